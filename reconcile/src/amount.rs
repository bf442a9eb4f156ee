//! Amounts as files write them, read exactly: no float, no rounding, no default.

use ledger::Currency;

/// `12.34`, `-0.5`, `1000` in major units to minor units. More decimals than the currency has are read when they are zeros.
pub(crate) fn major(text: &str, currency: Currency, point: char) -> Result<i64, String> {
    let wrong = || format!("`{}` is not an amount in {currency}", short(text));
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, decimals) = match digits.split_once(point) {
        Some((whole, decimals)) => (whole, decimals),
        None => (digits, ""),
    };
    let exponent = usize::from(currency.exponent());
    let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() && decimals.is_empty() || !all_digits(whole) || !all_digits(decimals) {
        return Err(wrong());
    }
    let (kept, rest) = decimals.split_at(decimals.len().min(exponent));
    if rest.bytes().any(|b| b != b'0') {
        return Err(format!(
            "`{}` has more decimals than {currency}, which has {exponent}",
            short(text)
        ));
    }
    let sign = if negative { "-" } else { "" };
    let number = format!("{sign}{whole}{kept:0<exponent$}");
    match number.parse() {
        Ok(minor) => Ok(minor),
        Err(_) if whole.is_empty() && kept.is_empty() && exponent == 0 => Ok(0),
        Err(_) => Err(wrong()),
    }
}

/// `-1234`: minor units as they are.
pub(crate) fn minor(text: &str) -> Result<i64, String> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("`{}` is not an amount in minor units", short(text)));
    }
    text.parse().map_err(|_| format!("`{}` is out of range", short(text)))
}

/// Enough of a wrong value to find it.
pub(crate) fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(text: &str, code: &str) -> Option<i64> {
        major(text, code.parse().unwrap(), '.').ok()
    }

    #[test]
    fn amounts_are_exact_or_refused() {
        for (text, code, minor) in [
            ("12.34", "usd", 1234),
            ("-0.5", "usd", -50),
            ("12", "usd", 1200),
            ("12.3400", "usd", 1234),
            (".5", "usd", 50),
            ("5.", "usd", 500),
            ("+1.00", "eur", 100),
            ("1000", "jpy", 1000),
            ("1000.00", "jpy", 1000),
            ("0.001", "bhd", 1),
            ("0", "usd", 0),
        ] {
            assert_eq!(of(text, code), Some(minor), "{text} {code}");
        }
        for (text, code) in [
            ("", "usd"),
            (".", "usd"),
            ("-", "usd"),
            ("12.345", "usd"),
            ("1.5", "jpy"),
            ("1,234.00", "usd"),
            ("1e3", "usd"),
            ("NaN", "usd"),
            ("--1", "usd"),
            ("٣", "usd"),
            ("92233720368547758.08", "usd"),
        ] {
            assert_eq!(of(text, code), None, "{text} {code}");
        }
        assert_eq!(major("1234,5", Currency::EUR, ','), Ok(123_450));
        assert_eq!(
            (minor("-7"), minor("1.0").is_err(), minor("").is_err()),
            (Ok(-7), true, true)
        );
    }

    proptest! {
        #[test]
        fn what_money_writes_is_read_back(amount in any::<i64>(), currency in prop::sample::select(Currency::all().collect::<Vec<_>>())) {
            let text = ledger::Money::new(amount, currency).to_string();
            let (number, _) = text.split_once(' ').unwrap();
            prop_assert_eq!(major(number, currency, '.'), Ok(amount));
        }

        #[test]
        fn any_text_is_an_amount_or_a_refusal(text in ".{0,40}") {
            let _ = major(&text, Currency::USD, '.');
            let _ = major(&text, Currency::JPY, ',');
            let _ = minor(&text);
        }
    }
}
