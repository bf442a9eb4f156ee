//! What a card is: the shape of its number, its brand, its expiry, and how to find one in free text.
//!
//! Pure. A [`Card`] exists only if it passed every check, and it must never be printed: its `Debug` shows nothing.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::borrow::Cow;
use std::ops::Range;
use zeroize::Zeroizing;

/// A card that passed every check. The CVC was looked at and is not in it: it is never stored.
#[derive(Clone)]
pub struct Card {
    pub(super) number: Zeroizing<String>,
    pub(super) exp_month: i16,
    pub(super) exp_year: i16,
}

impl std::fmt::Debug for Card {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Card(..)")
    }
}

impl Card {
    /// Checks what a caller typed. Spaces and hyphens in the number are tolerated, a two-digit year is this century's,
    /// and a card is good until the end of its month.
    ///
    /// # Errors
    /// The first thing wrong, in the order number, month, year, CVC.
    pub fn parse(
        number: &str,
        exp_month: i64,
        exp_year: i64,
        cvc: Option<&str>,
        now: Timestamp,
    ) -> Result<Self, CardError> {
        // Room for the longest number at once: a string that grows leaves copies behind.
        let mut digits = Zeroizing::new(String::with_capacity(MAX_LENGTH + 1));
        for c in number.chars() {
            match c {
                '0'..='9' if digits.len() < MAX_LENGTH => digits.push(c),
                ' ' | '-' => {}
                _ => return Err(CardError::InvalidNumber),
            }
        }
        if digits.len() < MIN_LENGTH {
            return Err(CardError::InvalidNumber);
        }
        let brand = Brand::of(&digits);
        if !luhn(digits.bytes()) || !brand.lengths().contains(&digits.len()) {
            return Err(CardError::IncorrectNumber);
        }
        let (exp_month, exp_year) = Self::expires(exp_month, exp_year, now)?;
        if let Some(cvc) = cvc {
            let length = matches!((brand, cvc.len()), (_, 3) | (Brand::Amex | Brand::Unknown, 4));
            if !length || !cvc.bytes().all(|b| b.is_ascii_digit()) {
                return Err(CardError::InvalidCvc);
            }
        }
        Ok(Self {
            number: digits,
            exp_month,
            exp_year,
        })
    }

    /// Checks an expiry alone: month (1 to 12) and four-digit year, not over and not absurdly far away.
    ///
    /// # Errors
    /// The first thing wrong, month before year.
    pub fn expires(exp_month: i64, exp_year: i64, now: Timestamp) -> Result<(i16, i16), CardError> {
        if !(1..=12).contains(&exp_month) {
            return Err(CardError::InvalidExpiryMonth);
        }
        let exp_year = if (0..100).contains(&exp_year) {
            exp_year + 2000
        } else {
            exp_year
        };
        let today = now.to_zoned(TimeZone::UTC).date();
        let (this_year, this_month) = (i64::from(today.year()), i64::from(today.month()));
        if exp_year < this_year || exp_year > this_year + MAX_YEARS_AHEAD {
            return Err(CardError::InvalidExpiryYear);
        }
        if exp_year == this_year && exp_month < this_month {
            return Err(CardError::InvalidExpiryMonth);
        }
        // Both are within i16 by the checks above.
        Ok((exp_month as i16, exp_year as i16))
    }

    /// The digits.
    pub fn number(&self) -> &Zeroizing<String> {
        &self.number
    }

    /// Month (1 to 12) and four-digit year.
    pub fn expiry(&self) -> (i16, i16) {
        (self.exp_month, self.exp_year)
    }

    /// Whose network it is.
    pub fn brand(&self) -> Brand {
        Brand::of(&self.number)
    }
}

/// Why a card is refused: Stripe's codes and words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CardError {
    /// not 12 to 19 digits
    #[error("The card number is not a valid credit card number.")]
    InvalidNumber,
    /// fails the Luhn check, or its brand has no numbers of this length
    #[error("Your card number is incorrect.")]
    IncorrectNumber,
    /// not a month, or one of this year that is over
    #[error("Your card's expiration month is invalid.")]
    InvalidExpiryMonth,
    /// over, or absurdly far away
    #[error("Your card's expiration year is invalid.")]
    InvalidExpiryYear,
    /// not three digits (four on American Express)
    #[error("Your card's security code is invalid.")]
    InvalidCvc,
}

impl CardError {
    /// Stripe's error code.
    pub fn code(self) -> &'static str {
        match self {
            CardError::InvalidNumber => "invalid_number",
            CardError::IncorrectNumber => "incorrect_number",
            CardError::InvalidExpiryMonth => "invalid_expiry_month",
            CardError::InvalidExpiryYear => "invalid_expiry_year",
            CardError::InvalidCvc => "invalid_cvc",
        }
    }

    /// The field of the card group that it is about.
    pub fn param(self) -> &'static str {
        match self {
            CardError::InvalidNumber | CardError::IncorrectNumber => "number",
            CardError::InvalidExpiryMonth => "exp_month",
            CardError::InvalidExpiryYear => "exp_year",
            CardError::InvalidCvc => "cvc",
        }
    }
}

/// A card network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Brand {
    Visa,
    Mastercard,
    Amex,
    Discover,
    Diners,
    Jcb,
    UnionPay,
    Unknown,
}

impl Brand {
    /// The brand that owns this number's range; 62 is UnionPay's also where Discover carries it.
    pub fn of(digits: &str) -> Self {
        let prefix = |length: usize| digits.get(..length).and_then(|p| p.parse::<u32>().ok()).unwrap_or(0);
        match (prefix(2), prefix(3), prefix(4)) {
            (40..=49, ..) => Brand::Visa,
            (51..=55, ..) | (_, _, 2221..=2720) => Brand::Mastercard,
            (34 | 37, ..) => Brand::Amex,
            (36 | 38 | 39, ..) | (_, 300..=305, _) | (_, _, 3095) => Brand::Diners,
            (_, _, 3528..=3589) => Brand::Jcb,
            (65, ..) | (_, 644..=649, _) | (_, _, 6011) => Brand::Discover,
            (62 | 81, ..) => Brand::UnionPay,
            _ => Brand::Unknown,
        }
    }

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Brand::Visa => "visa",
            Brand::Mastercard => "mastercard",
            Brand::Amex => "amex",
            Brand::Discover => "discover",
            Brand::Diners => "diners",
            Brand::Jcb => "jcb",
            Brand::UnionPay => "unionpay",
            Brand::Unknown => "unknown",
        }
    }

    fn lengths(self) -> &'static [usize] {
        match self {
            Brand::Visa => &[13, 16, 19],
            Brand::Mastercard => &[16],
            Brand::Amex => &[15],
            Brand::Diners => &[14, 15, 16, 17, 18, 19],
            Brand::Discover | Brand::Jcb | Brand::UnionPay => &[16, 17, 18, 19],
            Brand::Unknown => &[12, 13, 14, 15, 16, 17, 18, 19],
        }
    }
}

/// Whether free text holds what looks like a card number: digits of a known brand and length that pass the Luhn check,
/// alone or grouped by spaces, hyphens, dots and the like. Such text is refused before it is stored anywhere.
pub fn contains_card_number(text: &str) -> bool {
    card_numbers(text).next().is_some()
}

/// The text with the middle of every card number replaced by asterisks: what a log line or a message of someone else
/// may show.
pub fn mask(text: &str) -> Cow<'_, str> {
    let mut masked = Cow::Borrowed(text);
    // The last digits of one number may begin another: what is left is looked at again, and each time there is less of it.
    while let Some(less) = mask_once(&masked) {
        masked = Cow::Owned(less);
    }
    masked
}

fn mask_once(text: &str) -> Option<String> {
    let found: Vec<Vec<Digit>> = card_numbers(text).collect();
    if found.is_empty() {
        return None;
    }
    let mut hidden: Vec<Range<usize>> = found
        .into_iter()
        .flat_map(|n| {
            n[6..n.len() - 4]
                .iter()
                .map(|d| d.at..d.at + d.width)
                .collect::<Vec<_>>()
        })
        .collect();
    hidden.sort_by_key(|range| range.start);
    let mut masked = String::with_capacity(text.len());
    let mut shown_to = 0;
    for range in hidden {
        if range.start >= shown_to {
            masked.push_str(&text[shown_to..range.start]);
            masked.push('*');
            shown_to = range.end;
        }
    }
    masked.push_str(&text[shown_to..]);
    Some(masked)
}

/// The Luhn check: from the right every second digit doubled, the digits summed, a multiple of ten.
pub(super) fn luhn(digits: impl DoubleEndedIterator<Item = u8>) -> bool {
    let sum: u32 = digits
        .rev()
        .enumerate()
        .map(|(i, b)| {
            let digit = u32::from(b - b'0');
            if i % 2 == 0 { digit } else { digit / 5 + digit * 2 % 10 }
        })
        .sum();
    sum.is_multiple_of(10)
}

#[derive(Clone, Copy)]
struct Digit {
    value: u8,
    at: usize,
    width: usize,
    /// first of its chunk: what is before it is not a digit
    first: bool,
    last: bool,
}

/// Card numbers in a text, each from the first to the last digit of whole chunks: a number does not begin in the middle
/// of a longer one, or every tenth order number would be taken for a card.
fn card_numbers(text: &str) -> impl Iterator<Item = Vec<Digit>> + '_ {
    runs(text).into_iter().flat_map(|run| {
        let mut found = Vec::new();
        let mut start = 0;
        while start < run.len() {
            let longest = (SHORTEST_IN_TEXT..=MAX_LENGTH).rev().find(|&length| {
                let Some(candidate) = run.get(start..start + length) else {
                    return false;
                };
                candidate[0].first && candidate[length - 1].last && is_card(candidate)
            });
            match longest {
                Some(length) => {
                    found.push(run[start..start + length].to_vec());
                    start += length;
                }
                None => start += 1,
            }
        }
        found
    })
}

fn is_card(candidate: &[Digit]) -> bool {
    let digits: Zeroizing<String> = Zeroizing::new(candidate.iter().map(|d| d.value as char).collect());
    let brand = Brand::of(&digits);
    brand != Brand::Unknown && brand.lengths().contains(&digits.len()) && luhn(digits.bytes())
}

/// Runs of digits, full-width ones too, that at most two separators interrupt; UUIDs are left out.
fn runs(text: &str) -> Vec<Vec<Digit>> {
    let mut runs: Vec<Vec<Digit>> = Vec::new();
    if text.len() < SHORTEST_IN_TEXT {
        return runs;
    }
    let mut run: Vec<Digit> = Vec::new();
    let mut gap = 0;
    let mut skip_to = 0;
    for (at, c) in text.char_indices() {
        if at < skip_to {
            continue;
        }
        let value = match c {
            '0'..='9' => Some(c as u8),
            '\u{FF10}'..='\u{FF19}' => Some(b'0' + (c as u32 - 0xFF10) as u8),
            _ => None,
        };
        if (c.is_ascii_hexdigit()) && uuid_at(text.as_bytes(), at) {
            runs.push(std::mem::take(&mut run));
            skip_to = at + UUID_LENGTH;
            continue;
        }
        match value {
            Some(value) => {
                if gap > 0
                    && let Some(previous) = run.last_mut()
                {
                    previous.last = true;
                }
                let first = run.is_empty() || gap > 0;
                run.push(Digit {
                    value,
                    at,
                    width: c.len_utf8(),
                    first,
                    last: false,
                });
                gap = 0;
            }
            None if !run.is_empty() && gap < 2 && is_separator(c) => gap += 1,
            None => {
                runs.push(std::mem::take(&mut run));
                gap = 0;
            }
        }
    }
    runs.push(run);
    for run in &mut runs {
        if let Some(digit) = run.last_mut() {
            digit.last = true;
        }
    }
    runs.retain(|run| run.len() >= SHORTEST_IN_TEXT);
    runs
}

fn is_separator(c: char) -> bool {
    matches!(
        c,
        ' ' | '-' | '.' | '_' | '/' | ',' | ':' | '+' | '\t' | '\n' | '\r' | '\u{A0}' | '\u{2009}' | '\u{2010}'
            ..='\u{2015}' | '\u{3000}'
    )
}

/// Whether a UUID stands here: its groups can look like a card number, and ids of other systems often are UUIDs. A prefix or a
/// suffix after a hyphen is common (`stripe-node-retry-<uuid>` is a key that an SDK sends with every request).
fn uuid_at(text: &[u8], at: usize) -> bool {
    let alone = |index: Option<usize>| {
        index
            .and_then(|i| text.get(i))
            .is_none_or(|b| !b.is_ascii_alphanumeric())
    };
    text.get(at..at + UUID_LENGTH).is_some_and(|candidate| {
        candidate.iter().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => *b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
    }) && alone(at.checked_sub(1))
        && alone(Some(at + UUID_LENGTH))
}

const MIN_LENGTH: usize = 12;
const MAX_LENGTH: usize = 19;
/// The shortest number of a known brand; anything shorter in a text is not taken for a card.
const SHORTEST_IN_TEXT: usize = 13;
const UUID_LENGTH: usize = 36;
const MAX_YEARS_AHEAD: i64 = 50;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn now() -> Timestamp {
        "2026-11-23T12:00:00Z".parse().unwrap()
    }

    fn parse(number: &str, month: i64, year: i64, cvc: Option<&str>) -> Result<Card, CardError> {
        Card::parse(number, month, year, cvc, now())
    }

    #[test]
    fn what_is_wrong_is_named_in_order() {
        use CardError::*;
        #[rustfmt::skip]
        let cases: &[(&str, i64, i64, Option<&str>, CardError)] = &[
            ("", 13, 1999, Some("x"), InvalidNumber),
            ("4242", 12, 2030, None, InvalidNumber),
            ("4242424242424242424242", 12, 2030, None, InvalidNumber),
            ("424242424242424x", 12, 2030, None, InvalidNumber),
            ("4242424242424241", 13, 2030, None, IncorrectNumber),
            ("378282246310006", 12, 2030, None, IncorrectNumber),
            ("42424242424242", 12, 2030, None, IncorrectNumber), // Luhn holds, no Visa has 14 digits
            ("4242424242424242", 0, 2030, None, InvalidExpiryMonth),
            ("4242424242424242", 13, 2030, None, InvalidExpiryMonth),
            ("4242424242424242", 10, 2026, None, InvalidExpiryMonth),
            ("4242424242424242", 12, 2025, None, InvalidExpiryYear),
            ("4242424242424242", 12, 25, None, InvalidExpiryYear),
            ("4242424242424242", 12, 9999, None, InvalidExpiryYear),
            ("4242424242424242", 12, -1, None, InvalidExpiryYear),
            ("4242424242424242", 12, 2030, Some("12"), InvalidCvc),
            ("4242424242424242", 12, 2030, Some("1234"), InvalidCvc),
            ("4242424242424242", 12, 2030, Some("12a"), InvalidCvc),
            ("4242424242424242", 12, 2030, Some(""), InvalidCvc),
        ];
        for (number, month, year, cvc, expected) in cases {
            assert_eq!(
                parse(number, *month, *year, *cvc).unwrap_err(),
                *expected,
                "{number} {month}/{year} {cvc:?}"
            );
        }
    }

    #[test]
    fn a_good_card_is_good_through_its_last_month() {
        let card = parse("4242 4242-4242 4242", 11, 26, Some("123")).unwrap();
        assert_eq!(
            (card.number().as_str(), card.expiry()),
            ("4242424242424242", (11, 2026))
        );
        assert!(parse("378282246310005", 12, 2030, Some("1234")).is_ok());
        assert_eq!(format!("{card:?}"), "Card(..)");
    }

    #[test]
    fn brands() {
        #[rustfmt::skip]
        let cases = [
            ("4242424242424242", "visa"), ("5555555555554444", "mastercard"), ("2223003122003222", "mastercard"),
            ("378282246310005", "amex"), ("6011111111111117", "discover"), ("3056930009020004", "diners"),
            ("36227206271667", "diners"), ("3566002020360505", "jcb"), ("6200000000000005", "unionpay"),
            ("6445644564456445", "discover"), ("9999999999999995", "unknown"),
        ];
        for (number, brand) in cases {
            assert_eq!(
                parse(number, 12, 2030, None).unwrap().brand().as_str(),
                brand,
                "{number}"
            );
        }
    }

    #[test]
    fn numbers_in_text_are_found_and_masked() {
        for (text, masked) in [
            ("my card 4242424242424242 thanks", "my card 424242******4242 thanks"),
            ("4242 4242 4242 4242", "4242 42** **** 4242"),
            ("x4242-4242-4242-4242-12/30", "x4242-42**-****-4242-12/30"),
            ("order 17, 3782 822463 10005", "order 17, 3782 82**** *0005"),
            ("\u{FF14}242424242424242", "\u{FF14}24242******4242"),
            (
                "a 5555555555554444 b 4000056655665556",
                "a 555555******4444 b 400005******5556",
            ),
        ] {
            assert!(contains_card_number(text), "{text}");
            assert_eq!(mask(text), masked);
        }
        for text in [
            "",
            "order 4242424242424241",
            "4242424242424242424242424242",
            "tel +49 30 1234567 ext 12",
            "42424242-4242-4242-8242-424242424242",
            "2026-11-23T12:00:00.123456Z",
            "1763900000000",
        ] {
            assert!(!contains_card_number(text), "{text}");
            assert_eq!(mask(text), text);
        }
    }

    fn number() -> impl Strategy<Value = String> {
        let brands = prop_oneof![
            Just(("4", 16)),
            Just(("4", 13)),
            Just(("51", 16)),
            Just(("34", 15)),
            Just(("36", 14)),
            Just(("3530", 16)),
            Just(("62", 19))
        ];
        (brands, proptest::collection::vec(0u8..10, 20)).prop_map(|((prefix, length), digits)| {
            let mut number = prefix.to_owned();
            number.extend(
                digits
                    .iter()
                    .map(|d| (b'0' + d) as char)
                    .take(length - 1 - prefix.len()),
            );
            let check = (b'0'..=b'9').find(|c| luhn(number.bytes().chain([*c]))).unwrap();
            number.push(check as char);
            number
        })
    }

    proptest! {
        #[test]
        fn any_number_in_any_words_is_found(number in number(), before in "[a-z .,]{0,20}", after in "[a-z ]{0,20}", every in 2usize..6, sep in "[ .-]?") {
            let grouped: Vec<String> = number.as_bytes().chunks(every).map(|c| String::from_utf8(c.to_vec()).unwrap()).collect();
            let text = format!("{before}{}{after}", grouped.join(&sep));
            prop_assert!(contains_card_number(&text), "{text}");
            let masked = mask(&text);
            prop_assert!(!contains_card_number(&masked));
            prop_assert_eq!(masked.chars().filter(|c| *c == '*').count(), number.len() - 10);
        }

        #[test]
        fn one_wrong_digit_is_never_a_card(number in number(), at in 0usize..13, by in 1u8..10) {
            let mut bytes = number.into_bytes();
            bytes[at] = b'0' + (bytes[at] - b'0' + by) % 10;
            let wrong = String::from_utf8(bytes).unwrap();
            prop_assert!(!contains_card_number(&wrong));
            prop_assert!(parse(&wrong, 12, 2030, None).is_err());
        }

        #[test]
        fn nothing_panics(text in any::<String>()) {
            let _ = contains_card_number(&text);
            let _ = mask(&text);
        }
    }

    /// Found by the fuzzer: of two numbers that share digits, masking the first left the second one whole.
    #[test]
    fn numbers_that_overlap_are_all_masked() {
        let text = "\u{FF14}\u{FF12}\u{FF14}\u{FF12} 4242 4242 4242 4242. 4242 4242 42";
        let masked = mask(text);
        assert!(!contains_card_number(&masked), "{masked}");
    }
}
