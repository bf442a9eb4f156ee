//! Amounts, times and shares as people read them. Pure; it never computes with money beyond placing the decimal point.

use crate::wire;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

/// `USD 1,234.50`: the code first, since `$` is the sign of twenty currencies.
pub fn money(minor: i64, currency: &str) -> String {
    let amount = wire::amount(minor, currency);
    let (number, code) = amount.split_once(' ').unwrap_or((&amount, currency));
    format!("{} {}", code.to_uppercase(), grouped(number))
}

/// `1,234,567.89`
pub fn grouped(number: &str) -> String {
    let (sign, digits) = match number.strip_prefix('-') {
        Some(digits) => ("−", digits),
        None => ("", number),
    };
    let (whole, fraction) = match digits.split_once('.') {
        Some((whole, fraction)) => (whole, format!(".{fraction}")),
        None => (digits, String::new()),
    };
    let mut text = String::with_capacity(number.len() + number.len() / 3);
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    format!("{sign}{text}{fraction}")
}

/// `37.5 %` of two counts; a dash where there is no whole.
pub fn share(part: i64, whole: i64) -> String {
    if whole <= 0 {
        return "–".into();
    }
    let permille = (i128::from(part) * 1000 + i128::from(whole) / 2) / i128::from(whole);
    format!("{}.{} %", permille / 10, permille % 10)
}

/// `2026-11-24 03:15` where the reader is.
pub fn time(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string()
}

/// `2026-11-24 03:15:07.123`, for what follows one another closely.
pub fn moment(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string()
}

/// A time of a row that came as JSON.
pub fn timestamp(value: &Value) -> Option<Timestamp> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(seconds) => Timestamp::from_second(seconds.as_i64()?).ok(),
        _ => None,
    }
}

/// `3 d 4 h`, `17 min`: from now on, or ago.
pub fn distance(seconds: i64) -> String {
    let seconds = seconds.unsigned_abs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// Minor units from what a person types, `1,234.5`; none when it is no amount of this currency.
pub fn minor(text: &str, exponent: u8) -> Option<i64> {
    let text: String = text.trim().chars().filter(|c| *c != ',' && *c != ' ').collect();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let exponent = usize::from(exponent);
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > exponent {
        return None;
    }
    format!("{whole}{fraction:0<exponent$}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_the_decimals_of_their_currency() {
        assert_eq!(money(123_456_789, "usd"), "USD 1,234,567.89");
        assert_eq!(money(-5, "usd"), "USD −0.05");
        assert_eq!(money(1_000, "jpy"), "JPY 1,000");
        assert_eq!(money(12_340, "bhd"), "BHD 12.340");
    }

    #[test]
    fn what_is_typed_is_read_exactly_or_not_at_all() {
        for (text, exponent, read) in [
            ("12.34", 2, Some(1234)),
            ("1,234.5", 2, Some(123_450)),
            ("7", 2, Some(700)),
            ("100", 0, Some(100)),
            ("1.5", 0, None),
            ("1.234", 2, None),
            ("-1", 2, None),
            ("", 2, None),
            ("12e3", 2, None),
            ("99999999999999999999", 2, None),
        ] {
            assert_eq!(minor(text, exponent), read, "{text:?}");
        }
    }

    #[test]
    fn shares_and_distances() {
        assert_eq!(share(3, 8), "37.5 %");
        assert_eq!(share(1, 0), "–");
        assert_eq!(distance(59), "0 min");
        assert_eq!(distance(-3_700), "1 h 1 min");
        assert_eq!(distance(200_000), "2 d 7 h");
    }
}
