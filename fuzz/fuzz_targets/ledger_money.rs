//! Arithmetic of money: refused or exact, never wrapped; parts make the whole; what is written is all of it.
#![no_main]

use ledger::{Currency, Money};
use libfuzzer_sys::{arbitrary, fuzz_target};

#[derive(arbitrary::Arbitrary, Debug)]
struct Input {
    minor: i64,
    other: i64,
    currency: u8,
    basis_points: u32,
    weights: Vec<u64>,
}

fuzz_target!(|input: Input| {
    let currencies: Vec<Currency> = Currency::all().collect();
    let currency = currencies[usize::from(input.currency) % currencies.len()];
    let (a, b) = (Money::new(input.minor, currency), Money::new(input.other, currency));
    assert_eq!(a.checked_add(b).ok().map(|m| m.minor), input.minor.checked_add(input.other));
    assert_eq!(a.checked_sub(b).ok().map(|m| m.minor), input.minor.checked_sub(input.other));

    if let Ok(fee) = a.fee(input.basis_points, 0) {
        // Half to even: never further than half a minor unit from the exact product.
        let exact = i128::from(input.minor) * i128::from(input.basis_points);
        assert!((i128::from(fee.minor) * 10_000 - exact).abs() <= 5_000);
    }
    if let Ok(parts) = a.split(&input.weights) {
        assert_eq!(parts.len(), input.weights.len());
        let sum: i128 = parts.iter().map(|p| i128::from(p.minor)).sum();
        assert_eq!(sum, i128::from(input.minor), "parts make the whole");
        let idle = parts.iter().zip(&input.weights).filter(|(_, weight)| **weight == 0);
        assert!(idle.into_iter().all(|(part, _)| part.minor == 0), "no weight, no share");
    }

    let text = a.to_string();
    let (number, code) = text.split_once(' ').expect("amount and currency");
    let digits: String = number.chars().filter(|c| *c != '.').collect();
    assert_eq!((digits.parse(), code), (Ok(input.minor), currency.as_str()));
});
