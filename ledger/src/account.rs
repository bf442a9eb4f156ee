//! Names of books and accounts.
//!
//! An account's name is its identity inside its book: `number[.dimension].currency`, e.g. `2010.usd` or
//! `1110.stripe.usd`. It is computed, never looked up.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::{Chart, Currency, Refusal};

/// A book: one per merchant, and one for the platform. A journal stays inside one book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BookId(pub i64);

impl fmt::Display for BookId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of an account in its book. Clones share the text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountName {
    name: Arc<str>,
    chart: Chart,
    currency: Currency,
}

impl AccountName {
    /// `number[.dimension].currency`; the dimension (an acquirer, a bank account) is 1 to 40 of `A-Z a-z 0-9 _ -`,
    /// anything else is refused as [`Refusal::InvalidAccountName`].
    pub fn new(chart: Chart, dimension: Option<&str>, currency: Currency) -> Result<AccountName, Refusal> {
        let number = chart.number();
        let name: Arc<str> = match dimension {
            None => format!("{number}.{currency}").into(),
            Some(d) if valid_dimension(d) => format!("{number}.{d}.{currency}").into(),
            Some(d) => return Err(Refusal::InvalidAccountName(d.chars().take(64).collect())),
        };
        Ok(AccountName { name, chart, currency })
    }

    /// The account without a dimension: `2010.usd`.
    pub fn of(chart: Chart, currency: Currency) -> AccountName {
        AccountName {
            name: format!("{}.{currency}", chart.number()).into(),
            chart,
            currency,
        }
    }

    /// The name as stored.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// Its entry in the chart of accounts.
    pub fn chart(&self) -> Chart {
        self.chart
    }

    /// The acquirer or bank account, when it has one.
    pub fn dimension(&self) -> Option<&str> {
        self.name.get(5..self.name.len().checked_sub(4)?)
    }

    /// The currency of every amount on it.
    pub fn currency(&self) -> Currency {
        self.currency
    }
}

impl FromStr for AccountName {
    type Err = Refusal;

    fn from_str(s: &str) -> Result<Self, Refusal> {
        let invalid = || Refusal::InvalidAccountName(s.chars().take(64).collect());
        let mut parts = s.split('.');
        let (number, second, third) = (parts.next(), parts.next(), parts.next());
        let (dimension, currency) = match (second, third, parts.next()) {
            (Some(currency), None, None) => (None, currency),
            (Some(dimension), Some(currency), None) => (Some(dimension), currency),
            _ => return Err(invalid()),
        };
        let chart = number.and_then(Chart::from_number).ok_or_else(invalid)?;
        let name = AccountName::new(chart, dimension, currency.parse().map_err(|_| invalid())?)?;
        // The currency parses in any case, the name has one spelling.
        if name.as_str() == s { Ok(name) } else { Err(invalid()) }
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Debug for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

fn valid_dimension(d: &str) -> bool {
    (1..=40).contains(&d.len()) && d.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_deterministic_and_read_back() {
        let name = AccountName::new(Chart::AcquirerReceivable, Some("stripe"), Currency::USD).unwrap();
        assert_eq!(name.as_str(), "1110.stripe.usd");
        assert_eq!(name.dimension(), Some("stripe"));
        assert_eq!("1110.stripe.usd".parse(), Ok(name));
        let plain = AccountName::of(Chart::MerchantPending, Currency::JPY);
        assert_eq!((plain.as_str(), plain.dimension()), ("2010.jpy", None));
        assert_eq!("2010.jpy".parse(), Ok(plain));
    }

    #[test]
    fn nothing_else_is_a_name() {
        for wrong in [
            "",
            "2010",
            "2010.",
            "2010.USD",
            "9999.usd",
            "2010.xxx",
            "2010..usd",
            "2010.a.b.usd",
            "2010.a b.usd",
            "2010.{.usd",
        ] {
            assert!(wrong.parse::<AccountName>().is_err(), "{wrong}");
        }
        assert!(AccountName::new(Chart::ClientBank, Some("main','"), Currency::USD).is_err());
        assert!(AccountName::new(Chart::ClientBank, Some(&"x".repeat(41)), Currency::USD).is_err());
    }
}
