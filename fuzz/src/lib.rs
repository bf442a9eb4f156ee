//! What several targets ask of their input.

use std::ops::ControlFlow;

use reconcile::{Format, Item, Options, read};

/// Any bytes are lines that add up or a refusal, the same every time.
pub fn lines_add_up_or_are_refused(format: Format, bytes: &[u8]) {
    let once = || {
        let (mut items, mut sum) = (Vec::new(), 0i128);
        let outcome = read(format, bytes, &Options::default(), &mut |item| {
            match &item {
                Item::Line(line) => {
                    assert!(line.number >= 1 && (line.amount != 0 || line.net != 0));
                    sum += i128::from(line.net);
                }
                Item::Statement(statement) => {
                    if let (Some(opening), Some(closing)) = (statement.opening, statement.closing) {
                        assert_eq!(
                            i128::from(opening) + sum,
                            i128::from(closing),
                            "a statement that does not add up"
                        );
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
}
