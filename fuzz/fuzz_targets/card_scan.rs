//! The search for card numbers in free text: it reads anything, and what it masks holds none any more.
#![no_main]

use gateway::vault::{contains_card_number, mask};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let masked = mask(text);
    assert_eq!(contains_card_number(text), masked != text);
    assert!(!contains_card_number(&masked), "left over: {masked}");
    assert_eq!(masked.chars().count(), text.chars().count());
    // A number is found wherever it stands, unless it continues what is before or after it.
    for spelled in [" 4242424242424242 ", " 4242-4242-4242-4242 "] {
        let mut with = text.trim_end_matches(|c: char| c.is_alphanumeric() || !c.is_ascii_alphabetic()).to_owned();
        with.push_str(" x");
        with.push_str(spelled);
        assert!(contains_card_number(&with), "{with}");
    }
});
