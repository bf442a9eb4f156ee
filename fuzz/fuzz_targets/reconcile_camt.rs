//! An ISO 20022 statement: any bytes are lines that add up or a refusal, the same every time.
#![no_main]

use libfuzzer_sys::fuzz_target;
use reconcile::{Format, Item, Options, read};
use std::ops::ControlFlow;

fuzz_target!(|bytes: &[u8]| {
    let once = || {
        let (mut items, mut sum) = (Vec::new(), 0i128);
        let outcome = read(Format::Camt053, bytes, &Options::default(), &mut |item| {
            match &item {
                Item::Line(line) => {
                    assert!(line.number >= 1 && (line.amount != 0 || line.net != 0));
                    sum += i128::from(line.net);
                }
                Item::Statement(statement) => {
                    if let (Some(opening), Some(closing)) = (statement.opening, statement.closing) {
                        assert_eq!(i128::from(opening) + sum, i128::from(closing), "a statement that does not add up");
                    }
                    sum = 0;
                }
            }
            items.push(item);
            ControlFlow::Continue(())
        });
        (outcome, items)
    };
    assert_eq!(once(), once());
});
