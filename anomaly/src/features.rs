//! The features: one table, each line a name, a unit, a meaning and how it is computed. Rules and models read nothing
//! else. Must never see the outcome of the attempt it describes: windows hold earlier attempts only.

use crate::attempt::Attempt;
use crate::entity::{Kind, Reading};
use crate::window::{Totals, Window};

/// Unit of a feature's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A number of things.
    Count,
    /// A share, 0..=1.
    Ratio,
    /// Times another amount.
    Times,
    /// Hours.
    Hours,
    /// Minor units of the attempt's currency.
    Minor,
    /// 0 or 1.
    Flag,
}

/// One line of [`FEATURES`].
#[derive(Debug, Clone, Copy)]
pub struct FeatureInfo {
    /// Which feature.
    pub feature: Feature,
    /// Stable name.
    pub name: &'static str,
    /// Unit of the value.
    pub unit: Unit,
    /// What it says.
    pub meaning: &'static str,
    extract: fn(&Facts<'_>) -> Option<f64>,
}

impl Feature {
    /// Stable name.
    pub fn name(self) -> &'static str {
        FEATURES[self as usize].name
    }
}

/// The values of all features for one attempt.
#[derive(Debug, Clone)]
pub struct Features([f64; FEATURES.len()]);

/// Equal bit for bit, so "not given" equals itself.
impl PartialEq for Features {
    fn eq(&self, other: &Self) -> bool {
        self.0.map(f64::to_bits) == other.0.map(f64::to_bits)
    }
}

impl Features {
    /// The value, or none when the attempt did not give what the feature is about.
    pub fn value(&self, feature: Feature) -> Option<f64> {
        Some(self.0[feature as usize]).filter(|value| !value.is_nan())
    }

    /// All values in the order of [`FEATURES`]; NaN is "not given". This is what a model reads.
    pub fn values(&self) -> &[f64] {
        &self.0
    }

    pub(crate) fn extract(facts: &Facts<'_>) -> Self {
        Features(FEATURES.map(|line| (line.extract)(facts).unwrap_or(f64::NAN)))
    }
}

/// What features are computed from.
pub(crate) struct Facts<'a> {
    pub attempt: &'a Attempt,
    /// By [`Kind`]; none where the attempt gives no such entity.
    pub readings: [Option<Reading>; Kind::ALL.len()],
    pub small_amount_minor: i64,
}

impl Facts<'_> {
    fn reading(&self, kind: Kind) -> Option<&Reading> {
        self.readings[kind as usize].as_ref()
    }

    fn count(&self, kind: Kind, window: Window, measure: fn(&Totals) -> u32) -> Option<f64> {
        self.reading(kind)
            .map(|reading| f64::from(measure(&reading.windows[window as usize])))
    }

    fn ratio(&self, kind: Kind, window: Window, part: fn(&Totals) -> u32, whole: fn(&Totals) -> u32) -> Option<f64> {
        let whole = self.count(kind, window, whole)?;
        let part = self.count(kind, window, part)?;
        Some(if whole > 0.0 { part / whole } else { 0.0 })
    }

    fn decline_ratio(&self, kind: Kind, window: Window) -> Option<f64> {
        self.ratio(kind, window, |t| t.declined, |t| t.declined.saturating_add(t.approved))
    }

    fn bad(&self, kind: Kind, window: Window) -> Option<f64> {
        self.count(kind, window, |t| t.bad_number.saturating_add(t.bad_cvc))
    }

    fn amount(&self, kind: Kind, window: Window) -> Option<f64> {
        self.reading(kind)
            .map(|reading| reading.windows[window as usize].amount_minor as f64)
    }

    /// Age in hours; 0 for an entity never seen.
    fn age(&self, kind: Kind) -> Option<f64> {
        self.reading(kind)
            .map(|reading| reading.age_ms.unwrap_or(0) as f64 / 3_600_000.0)
    }

    fn unseen(&self, kind: Kind) -> Option<f64> {
        self.reading(kind)
            .map(|reading| f64::from(u8::from(reading.age_ms.is_none())))
    }

    fn payments(&self, kind: Kind) -> Option<f64> {
        self.reading(kind).map(|reading| reading.payments as f64)
    }

    /// The attempt's amount as a multiple of the entity's own mean; none without a mean.
    fn times_mean(&self, kind: Kind) -> Option<f64> {
        let reading = self
            .reading(kind)
            .filter(|reading| reading.payments > 0 && reading.amount_minor > 0)?;
        Some(self.attempt.amount_minor as f64 * reading.payments as f64 / reading.amount_minor as f64)
    }
}

fn flag(set: bool) -> Option<f64> {
    Some(f64::from(u8::from(set)))
}

macro_rules! features {
    ($($variant:ident $name:literal $unit:ident $meaning:literal $extract:expr;)+) => {
        /// A feature, by name; [`FEATURES`] says what each means.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Feature { $(#[doc = $meaning] $variant,)+ }

        /// Every feature, in the order of [`Feature`]. Names are stable; new ones are added at the end of their group
        /// and change the schema of a trained model.
        pub const FEATURES: [FeatureInfo; [$(Feature::$variant),+].len()] = [$(FeatureInfo {
            feature: Feature::$variant, name: $name, unit: Unit::$unit, meaning: $meaning, extract: $extract,
        },)+];
    };
}

use Kind::{Bin, Card, Customer, Device, Email, Ip, Merchant, Subnet};
use Window::{H1, H24, M1, M10};

features! {
    Amount "amount" Minor "Amount of the attempt." |f| Some(f.attempt.amount_minor as f64);
    AmountSmall "amount_small" Flag "The amount is small enough to test a card with." |f| flag(f.attempt.amount_minor <= f.small_amount_minor);
    CvcMissing "cvc_missing" Flag "The buyer is present and no CVC was given." |f| flag(!f.attempt.cvc_provided && !f.attempt.off_session);

    CardUnseen "card_unseen" Flag "The card was never seen before." |f| f.unseen(Card);
    CardAge "card_age" Hours "Time since the card was first seen." |f| f.age(Card);
    CardPayments "card_payments" Count "Approved payments with the card in this currency." |f| f.payments(Card);
    CardAmountVsMean "card_amount_vs_mean" Times "Amount as a multiple of the card's own mean." |f| f.times_mean(Card);
    CardAttempts1m "card_attempts_1m" Count "Attempts with the card in 1 minute." |f| f.count(Card, M1, |t| t.attempts);
    CardAttempts10m "card_attempts_10m" Count "Attempts with the card in 10 minutes." |f| f.count(Card, M10, |t| t.attempts);
    CardAttempts1h "card_attempts_1h" Count "Attempts with the card in 1 hour." |f| f.count(Card, H1, |t| t.attempts);
    CardAttempts24h "card_attempts_24h" Count "Attempts with the card in 24 hours." |f| f.count(Card, H24, |t| t.attempts);
    CardAmount24h "card_amount_24h" Minor "Sum of amounts tried with the card in 24 hours." |f| f.amount(Card, H24);
    CardDeclines10m "card_declines_10m" Count "Declines of the card in 10 minutes." |f| f.count(Card, M10, |t| t.declined);
    CardDeclines1h "card_declines_1h" Count "Declines of the card in 1 hour." |f| f.count(Card, H1, |t| t.declined);
    CardDeclines24h "card_declines_24h" Count "Declines of the card in 24 hours." |f| f.count(Card, H24, |t| t.declined);
    CardDeclineRatio10m "card_decline_ratio_10m" Ratio "Declined among answered attempts with the card in 10 minutes." |f| f.decline_ratio(Card, M10);
    CardBadCvc1h "card_bad_cvc_1h" Count "Wrong CVCs tried with the card in 1 hour." |f| f.count(Card, H1, |t| t.bad_cvc);
    CardIps1h "card_ips_1h" Count "Distinct IP addresses that used the card in 1 hour." |f| f.count(Card, H1, |t| t.distinct);

    CustomerAge "customer_age" Hours "Time since the customer was first seen." |f| f.age(Customer);
    CustomerPayments "customer_payments" Count "Approved payments of the customer in this currency." |f| f.payments(Customer);
    CustomerAmountVsMean "customer_amount_vs_mean" Times "Amount as a multiple of the customer's own mean." |f| f.times_mean(Customer);
    CustomerAmount24h "customer_amount_24h" Minor "Sum of amounts tried by the customer in 24 hours." |f| f.amount(Customer, H24);
    CustomerAttempts1h "customer_attempts_1h" Count "Attempts of the customer in 1 hour." |f| f.count(Customer, H1, |t| t.attempts);
    CustomerCards1h "customer_cards_1h" Count "Distinct cards of the customer in 1 hour." |f| f.count(Customer, H1, |t| t.distinct);
    CustomerCards24h "customer_cards_24h" Count "Distinct cards of the customer in 24 hours." |f| f.count(Customer, H24, |t| t.distinct);
    CustomerDeclines1h "customer_declines_1h" Count "Declines of the customer in 1 hour." |f| f.count(Customer, H1, |t| t.declined);

    EmailAge "email_age" Hours "Time since the e-mail address was first seen." |f| f.age(Email);
    EmailAttempts1h "email_attempts_1h" Count "Attempts with the e-mail address in 1 hour." |f| f.count(Email, H1, |t| t.attempts);
    EmailCards1h "email_cards_1h" Count "Distinct cards with the e-mail address in 1 hour." |f| f.count(Email, H1, |t| t.distinct);
    EmailCards24h "email_cards_24h" Count "Distinct cards with the e-mail address in 24 hours." |f| f.count(Email, H24, |t| t.distinct);
    EmailDeclines1h "email_declines_1h" Count "Declines with the e-mail address in 1 hour." |f| f.count(Email, H1, |t| t.declined);

    DeviceAge "device_age" Hours "Time since the device was first seen." |f| f.age(Device);
    DeviceAttempts10m "device_attempts_10m" Count "Attempts from the device in 10 minutes." |f| f.count(Device, M10, |t| t.attempts);
    DeviceCards10m "device_cards_10m" Count "Distinct cards on the device in 10 minutes." |f| f.count(Device, M10, |t| t.distinct);
    DeviceCards24h "device_cards_24h" Count "Distinct cards on the device in 24 hours." |f| f.count(Device, H24, |t| t.distinct);
    DeviceDeclines10m "device_declines_10m" Count "Declines on the device in 10 minutes." |f| f.count(Device, M10, |t| t.declined);
    DeviceDeclineRatio10m "device_decline_ratio_10m" Ratio "Declined among answered attempts on the device in 10 minutes." |f| f.decline_ratio(Device, M10);
    DeviceSmall10m "device_small_10m" Count "Small amounts tried on the device in 10 minutes." |f| f.count(Device, M10, |t| t.small);
    DeviceRepeats10m "device_repeats_10m" Count "Attempts on the device with the amount of the one before, in 10 minutes." |f| f.count(Device, M10, |t| t.repeats);

    IpAge "ip_age" Hours "Time since the IP address was first seen." |f| f.age(Ip);
    IpAttempts1m "ip_attempts_1m" Count "Attempts from the IP address in 1 minute." |f| f.count(Ip, M1, |t| t.attempts);
    IpAttempts10m "ip_attempts_10m" Count "Attempts from the IP address in 10 minutes." |f| f.count(Ip, M10, |t| t.attempts);
    IpAttempts24h "ip_attempts_24h" Count "Attempts from the IP address in 24 hours." |f| f.count(Ip, H24, |t| t.attempts);
    IpCards10m "ip_cards_10m" Count "Distinct cards from the IP address in 10 minutes." |f| f.count(Ip, M10, |t| t.distinct);
    IpCards24h "ip_cards_24h" Count "Distinct cards from the IP address in 24 hours." |f| f.count(Ip, H24, |t| t.distinct);
    IpDeclines10m "ip_declines_10m" Count "Declines from the IP address in 10 minutes." |f| f.count(Ip, M10, |t| t.declined);
    IpDeclineRatio10m "ip_decline_ratio_10m" Ratio "Declined among answered attempts from the IP address in 10 minutes." |f| f.decline_ratio(Ip, M10);
    IpSmallRatio10m "ip_small_ratio_10m" Ratio "Small amounts among attempts from the IP address in 10 minutes." |f| f.ratio(Ip, M10, |t| t.small, |t| t.attempts);
    IpRepeats10m "ip_repeats_10m" Count "Attempts from the IP address with the amount of the one before, in 10 minutes." |f| f.count(Ip, M10, |t| t.repeats);

    SubnetAttempts10m "subnet_attempts_10m" Count "Attempts from the subnet in 10 minutes." |f| f.count(Subnet, M10, |t| t.attempts);
    SubnetCards10m "subnet_cards_10m" Count "Distinct cards from the subnet in 10 minutes." |f| f.count(Subnet, M10, |t| t.distinct);
    SubnetDeclineRatio10m "subnet_decline_ratio_10m" Ratio "Declined among answered attempts from the subnet in 10 minutes." |f| f.decline_ratio(Subnet, M10);

    BinCards10m "bin_cards_10m" Count "Distinct cards of the BIN in 10 minutes." |f| f.count(Bin, M10, |t| t.distinct);
    BinDeclines10m "bin_declines_10m" Count "Declines of the BIN in 10 minutes." |f| f.count(Bin, M10, |t| t.declined);
    BinDeclineRatio10m "bin_decline_ratio_10m" Ratio "Declined among answered attempts of the BIN in 10 minutes." |f| f.decline_ratio(Bin, M10);

    MerchantPayments "merchant_payments" Count "Approved payments of the merchant in this currency." |f| f.payments(Merchant);
    MerchantAmountVsMean "merchant_amount_vs_mean" Times "Amount as a multiple of the merchant's mean." |f| f.times_mean(Merchant);
    MerchantAttempts1m "merchant_attempts_1m" Count "Attempts at the merchant in 1 minute." |f| f.count(Merchant, M1, |t| t.attempts);
    MerchantAttempts24h "merchant_attempts_24h" Count "Attempts at the merchant in 24 hours." |f| f.count(Merchant, H24, |t| t.attempts);
    MerchantCards10m "merchant_cards_10m" Count "Distinct cards at the merchant in 10 minutes." |f| f.count(Merchant, M10, |t| t.distinct);
    MerchantDeclines10m "merchant_declines_10m" Count "Declines at the merchant in 10 minutes." |f| f.count(Merchant, M10, |t| t.declined);
    MerchantDeclineRatio10m "merchant_decline_ratio_10m" Ratio "Declined among answered attempts at the merchant in 10 minutes." |f| f.decline_ratio(Merchant, M10);
    MerchantBad1h "merchant_bad_1h" Count "Bad-number and bad-CVC declines at the merchant in 1 hour." |f| f.bad(Merchant, H1);
    MerchantBadRatio1h "merchant_bad_ratio_1h" Ratio "Their share of the merchant's attempts in 1 hour." |f| f.ratio(Merchant, H1, |t| t.bad_number.saturating_add(t.bad_cvc), |t| t.attempts);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enum_and_names_are_unique() {
        for (place, line) in FEATURES.iter().enumerate() {
            assert_eq!(line.feature as usize, place, "{}", line.name);
            assert_eq!(
                FEATURES.iter().filter(|other| other.name == line.name).count(),
                1,
                "{}",
                line.name
            );
        }
    }
}
