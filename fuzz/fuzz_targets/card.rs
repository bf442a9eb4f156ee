//! Cards as they are typed: number, month, year and CVC, a line each. What is taken for a card has the digits of one, and free
//! text that holds those digits is refused.
#![no_main]

use gateway::vault::{Brand, Card, contains_card_number};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut lines = text.splitn(4, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (number, month, year) = (line(), line().parse().unwrap_or(12), line().parse().unwrap_or(2034));
    let cvc = Some(line()).filter(|cvc| !cvc.is_empty());
    let now = jiff::Timestamp::from_second(1_795_000_000).expect("a moment");
    let Ok(card) = Card::parse(number, month, year, cvc, now) else { return };
    let digits = card.number();
    assert!((12..=19).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit()));
    let (month, year) = card.expiry();
    assert!((1..=12).contains(&month) && year >= 2026);
    assert!(card.brand() == Brand::Unknown || contains_card_number(digits));
});
