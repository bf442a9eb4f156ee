//! Money: a currency of ISO 4217 and an integer count of its minor units.
//!
//! Never converts from or to a float, never wraps, never adds two currencies. Rounding happens in two named places only:
//! [`Money::fee`] (half to even) and [`Money::split`] (largest remainder, so that the parts are the whole).

use std::fmt;
use std::str::FromStr;

/// A currency of ISO 4217. Parses in any case, displays in lower case (`usd`), as account names carry it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency([u8; 3]);

/// An amount in minor units (cents, yen, fils) of one currency. May be negative: a difference is money too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Money {
    /// Minor units.
    pub minor: i64,
    /// Whose minor units.
    pub currency: Currency,
}

/// Why an operation on money was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// No such currency in ISO 4217.
    #[error("no such currency")]
    UnknownCurrency,
    /// The operands are of two currencies.
    #[error("the currencies differ")]
    CurrencyMismatch,
    /// The result does not fit 64 bits.
    #[error("the amount is out of range")]
    OutOfRange,
    /// A split needs at least one positive weight and none that is negative.
    #[error("the weights cannot be split by")]
    InvalidWeights,
}

impl Currency {
    /// United States dollar; the one that examples use.
    pub const USD: Currency = Currency(*b"usd");
    /// Euro.
    pub const EUR: Currency = Currency(*b"eur");
    /// Japanese yen: no decimals.
    pub const JPY: Currency = Currency(*b"jpy");

    /// How many decimals the minor unit has: 2 for most, 0 for yen, 3 for dinars.
    pub fn exponent(self) -> u8 {
        match &self.0 {
            b"bif" | b"clp" | b"djf" | b"gnf" | b"isk" | b"jpy" | b"kmf" | b"krw" | b"pyg" | b"rwf" | b"ugx"
            | b"uyi" | b"vnd" | b"vuv" | b"xaf" | b"xof" | b"xpf" => 0,
            b"bhd" | b"iqd" | b"jod" | b"kwd" | b"lyd" | b"omr" | b"tnd" => 3,
            b"clf" | b"uyw" => 4,
            _ => 2,
        }
    }

    /// The lower-case code.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a currency holds three ASCII letters by construction")
    }

    /// All currencies, sorted by code.
    pub fn all() -> impl Iterator<Item = Currency> {
        CODES.split(' ').map(|code| {
            let b = code.as_bytes();
            Currency([b[0], b[1], b[2]])
        })
    }
}

impl FromStr for Currency {
    type Err = MoneyError;

    fn from_str(s: &str) -> Result<Self, MoneyError> {
        let bytes: [u8; 3] = s.as_bytes().try_into().map_err(|_| MoneyError::UnknownCurrency)?;
        let lower = bytes.map(|b| b.to_ascii_lowercase());
        // Fixed-width records of four bytes, sorted: a binary search without a table to build.
        let records = CODES.as_bytes();
        let (mut low, mut high) = (0, records.len().div_ceil(4));
        while low < high {
            let mid = (low + high) / 2;
            match records[mid * 4..mid * 4 + 3].cmp(&lower[..]) {
                std::cmp::Ordering::Equal => return Ok(Currency(lower)),
                std::cmp::Ordering::Less => low = mid + 1,
                std::cmp::Ordering::Greater => high = mid,
            }
        }
        Err(MoneyError::UnknownCurrency)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Money {
    /// An amount in minor units.
    pub const fn new(minor: i64, currency: Currency) -> Money {
        Money { minor, currency }
    }

    /// Sum of two amounts of one currency.
    pub fn checked_add(self, other: Money) -> Result<Money, MoneyError> {
        self.same_currency(other)?;
        self.with(self.minor.checked_add(other.minor))
    }

    /// Difference of two amounts of one currency.
    pub fn checked_sub(self, other: Money) -> Result<Money, MoneyError> {
        self.same_currency(other)?;
        self.with(self.minor.checked_sub(other.minor))
    }

    /// A fee on this amount: `basis_points` hundredths of a percent, rounded half to even, plus `fixed` minor units.
    pub fn fee(self, basis_points: u32, fixed: i64) -> Result<Money, MoneyError> {
        let product = i128::from(self.minor) * i128::from(basis_points);
        let (floor, rest) = (product.div_euclid(10_000), product.rem_euclid(10_000));
        let up = rest > 5_000 || (rest == 5_000 && floor % 2 != 0);
        let proportional = i64::try_from(floor + i128::from(up)).map_err(|_| MoneyError::OutOfRange)?;
        self.with(proportional.checked_add(fixed))
    }

    /// Splits by weights so that the parts add up to the whole: each part is rounded towards zero and the units left
    /// over go one each to the largest remainders, the earlier part first among equals.
    pub fn split(self, weights: &[u64]) -> Result<Vec<Money>, MoneyError> {
        let total: u128 = weights.iter().map(|w| u128::from(*w)).sum();
        if total == 0 {
            return Err(MoneyError::InvalidWeights);
        }
        let whole = u128::from(self.minor.unsigned_abs());
        // whole <= 2^63 and a weight < 2^64: the product fits 127 bits. A part is at most the whole.
        let mut parts: Vec<u128> = weights.iter().map(|w| whole * u128::from(*w) / total).collect();
        let mut left = whole - parts.iter().sum::<u128>();
        let mut by_remainder: Vec<usize> = (0..weights.len()).collect();
        by_remainder.sort_by_key(|i| std::cmp::Reverse(whole * u128::from(weights[*i]) % total));
        for i in by_remainder {
            if left == 0 {
                break;
            }
            parts[i] += 1;
            left -= 1;
        }
        let sign = i128::from(self.minor.signum());
        parts
            .into_iter()
            .map(|p| self.with(i128::try_from(p).ok().and_then(|p| i64::try_from(p * sign).ok())))
            .collect()
    }

    fn same_currency(self, other: Money) -> Result<(), MoneyError> {
        if self.currency == other.currency {
            Ok(())
        } else {
            Err(MoneyError::CurrencyMismatch)
        }
    }

    fn with(self, minor: Option<i64>) -> Result<Money, MoneyError> {
        minor
            .map(|minor| Money {
                minor,
                currency: self.currency,
            })
            .ok_or(MoneyError::OutOfRange)
    }
}

/// `12.34 usd`, `1234 jpy`, `1.234 bhd`: the full stored scale, exact.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", Decimal(self.minor.into(), self.currency), self.currency)
    }
}

/// A count of minor units written in major units at the currency's full scale. Wider than [`Money`] because sums of
/// balances may be.
pub(crate) struct Decimal(pub i128, pub Currency);

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exponent = usize::from(self.1.exponent());
        let sign = if self.0 < 0 { "-" } else { "" };
        let digits = format!("{:0>width$}", self.0.unsigned_abs(), width = exponent + 1);
        let (major, minor) = digits.split_at(digits.len() - exponent);
        let point = if minor.is_empty() { "" } else { "." };
        write!(f, "{sign}{major}{point}{minor}")
    }
}

/// ISO 4217 codes with a minor unit, sorted. `ang` and `bgn` are kept after their end: disputes arrive years later.
const CODES: &str = "aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob bov brl bsd btn bwp byn \
bzd cad cdf che chf chw clf clp cny cop cou crc cup cve czk djf dkk dop dzd egp ern etb eur fjd fkp gbp gel ghs gip gmd \
gnf gtq gyd hkd hnl htg huf idr ils inr iqd irr isk jmd jod jpy kes kgs khr kmf kpw krw kwd kyd kzt lak lbp lkr lrd lsl \
lyd mad mdl mga mkd mmk mnt mop mru mur mvr mwk mxn mxv myr mzn nad ngn nio nok npr nzd omr pab pen pgk php pkr pln pyg \
qar ron rsd rub rwf sar sbd scr sdg sek sgd shp sle sos srd ssp stn svc syp szl thb tjs tmt tnd top try ttd twd tzs uah \
ugx usd usn uyi uyu uyw uzs ved ves vnd vuv wst xaf xcd xcg xof xpf yer zar zmw zwg";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn currencies_are_sorted_and_parse_in_any_case() {
        let all: Vec<Currency> = Currency::all().collect();
        assert!(all.windows(2).all(|w| w[0] < w[1]));
        for c in all {
            assert_eq!(c.as_str().parse(), Ok(c));
            assert_eq!(c.as_str().to_uppercase().parse(), Ok(c));
        }
        for wrong in ["", "us", "usdd", "xxx", "aaa", "zzz", "u$d", "xau", "é1"] {
            assert_eq!(wrong.parse::<Currency>(), Err(MoneyError::UnknownCurrency), "{wrong}");
        }
    }

    #[test]
    fn display_keeps_the_full_scale() {
        let show = |minor, code: &str| Money::new(minor, code.parse().unwrap()).to_string();
        assert_eq!(show(1234, "usd"), "12.34 usd");
        assert_eq!(show(-5, "EUR"), "-0.05 eur");
        assert_eq!(show(1234, "jpy"), "1234 jpy");
        assert_eq!(show(7, "bhd"), "0.007 bhd");
        assert_eq!(show(i64::MIN, "clf"), "-922337203685477.5808 clf");
    }

    #[test]
    fn fees_round_half_to_even() {
        let fee = |minor, bp, fixed| Money::new(minor, Currency::USD).fee(bp, fixed).unwrap().minor;
        assert_eq!(fee(10_000, 290, 30), 320);
        assert_eq!(fee(50, 100, 0), 0); // 0.5 -> 0
        assert_eq!(fee(150, 100, 0), 2); // 1.5 -> 2
        assert_eq!(fee(250, 100, 0), 2); // 2.5 -> 2
        assert_eq!(fee(251, 100, 0), 3); // 2.51 -> 3
        assert_eq!(fee(-150, 100, 0), -2);
        assert_eq!(fee(-50, 100, 0), 0);
        assert_eq!(
            Money::new(i64::MAX, Currency::USD).fee(20_000, 0),
            Err(MoneyError::OutOfRange)
        );
    }

    #[test]
    fn currencies_do_not_mix_and_sums_do_not_wrap() {
        let (usd, eur) = (Money::new(1, Currency::USD), Money::new(1, Currency::EUR));
        assert_eq!(usd.checked_add(eur), Err(MoneyError::CurrencyMismatch));
        assert_eq!(
            usd.checked_add(Money::new(i64::MAX, Currency::USD)),
            Err(MoneyError::OutOfRange)
        );
        assert_eq!(
            Money::new(i64::MIN, Currency::USD).checked_sub(usd),
            Err(MoneyError::OutOfRange)
        );
    }

    proptest! {
        #[test]
        fn parts_are_the_whole(minor in any::<i64>(), weights in prop::collection::vec(any::<u64>(), 1..12)) {
            prop_assume!(weights.iter().any(|w| *w > 0));
            let parts = Money::new(minor, Currency::USD).split(&weights).unwrap();
            prop_assert_eq!(parts.iter().map(|p| i128::from(p.minor)).sum::<i128>(), i128::from(minor));
            // Each part is its exact share rounded up or down, and a part without weight gets nothing.
            let total: u128 = weights.iter().map(|w| u128::from(*w)).sum();
            for (part, weight) in parts.iter().zip(&weights) {
                let exact_floor = u128::from(minor.unsigned_abs()) * u128::from(*weight) / total;
                let got = u128::from(part.minor.unsigned_abs());
                prop_assert!(got == exact_floor || got == exact_floor + 1);
                prop_assert!(*weight > 0 || got == 0);
            }
        }

        #[test]
        fn fee_is_within_half_a_unit(minor in -1_000_000_000_000i64..1_000_000_000_000, bp in 0u32..10_000) {
            let fee = i128::from(Money::new(minor, Currency::USD).fee(bp, 0).unwrap().minor);
            let exact = i128::from(minor) * i128::from(bp);
            prop_assert!((fee * 10_000 - exact).abs() <= 5_000);
        }
    }
}
