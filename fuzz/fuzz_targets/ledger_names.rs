//! Names that come from files, commands and rows: what parses has one spelling, and is found in the lists.
#![no_main]

use ledger::{AccountName, Currency, JournalCode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(name) = text.parse::<AccountName>() {
        assert_eq!(name.as_str(), text);
        let built = AccountName::new(name.chart(), name.dimension(), name.currency());
        assert_eq!(built.as_ref(), Ok(&name), "its parts make it again");
    }
    if let Ok(currency) = text.parse::<Currency>() {
        assert!(text.eq_ignore_ascii_case(currency.as_str()) && currency.exponent() <= 4);
    }
    if let Ok(code) = text.parse::<JournalCode>() {
        assert_eq!(code.as_str(), text);
    }
});
