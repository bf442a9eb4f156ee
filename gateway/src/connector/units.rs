//! Minor units: ours are those of ISO 4217, some acquirers count some currencies otherwise.
//!
//! A table per acquirer, and checked conversion both ways. It must never round: an amount that the acquirer cannot
//! express is refused before it is sent, and one of theirs that we cannot express is not believed.

use super::{Decline, Failure};
use ledger::Currency;

/// Decimals by lower-case currency, where an acquirer's differ from ISO 4217.
#[derive(Clone, Copy, Debug)]
pub struct Units(pub &'static [(&'static str, u8)]);

impl Units {
    /// An amount of ours in the acquirer's minor units.
    ///
    /// # Errors
    /// A decline when the acquirer cannot express it: nothing was sent.
    pub fn outward(&self, amount: i64, currency: &str) -> Result<i64, Failure> {
        self.convert(amount, currency, false).ok_or_else(|| {
            Failure::Declined(Decline {
                code: "amount_not_supported".into(),
                decline_code: Some("invalid_amount".into()),
                message: format!("The acquirer cannot take this amount of {currency}: it has fewer decimals there."),
                acquirer_id: None,
                acquirer_reference: None,
            })
        })
    }

    /// An amount of the acquirer's in our minor units.
    ///
    /// # Errors
    /// [`Failure::Unknown`] when it cannot be ours.
    pub fn inward(&self, amount: i64, currency: &str) -> Result<i64, Failure> {
        self.convert(amount, currency, true)
            .ok_or_else(|| Failure::Unknown(format!("the acquirer tells an impossible amount of {currency}")))
    }

    fn convert(&self, amount: i64, currency: &str, inward: bool) -> Option<i64> {
        let ours = currency.parse::<Currency>().ok()?.exponent();
        let theirs = self
            .0
            .iter()
            .find(|(code, _)| *code == currency)
            .map_or(ours, |(_, decimals)| *decimals);
        let (from, to) = if inward { (theirs, ours) } else { (ours, theirs) };
        if to >= from {
            return amount.checked_mul(10i64.checked_pow(u32::from(to - from))?);
        }
        let by = 10i64.checked_pow(u32::from(from - to))?;
        (amount % by == 0).then_some(amount / by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UNITS: Units = Units(&[("isk", 2), ("mga", 0), ("ugx", 2)]);

    #[test]
    fn currencies_that_the_acquirer_counts_otherwise_are_converted_and_never_rounded() {
        assert_eq!(UNITS.outward(500, "isk"), Ok(50_000));
        assert_eq!(UNITS.inward(50_000, "isk"), Ok(500));
        assert!(matches!(UNITS.inward(50_050, "isk"), Err(Failure::Unknown(_))));
        assert_eq!(UNITS.outward(50_000, "mga"), Ok(500));
        assert!(matches!(UNITS.outward(50_050, "mga"), Err(Failure::Declined(_))));
        assert_eq!(UNITS.outward(500, "jpy"), Ok(500));
        assert!(matches!(UNITS.outward(i64::MAX, "ugx"), Err(Failure::Declined(_))));
    }

    #[test]
    fn one_major_unit_of_every_currency_comes_back_as_it_went() {
        for currency in Currency::all() {
            let one = 10i64.pow(u32::from(currency.exponent()));
            let sent = UNITS.outward(one, currency.as_str()).unwrap();
            assert_eq!(UNITS.inward(sent, currency.as_str()), Ok(one), "{}", currency.as_str());
        }
    }

    proptest! {
        #[test]
        fn what_can_be_sent_comes_back(amount in 1i64..=99_999_999, pick in 0usize..4) {
            let currency = ["isk", "mga", "usd", "kwd"][pick];
            if let Ok(sent) = UNITS.outward(amount, currency) {
                prop_assert_eq!(UNITS.inward(sent, currency), Ok(amount));
            }
        }
    }
}
