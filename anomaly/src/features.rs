//! The features: one table, each line a name, a unit, a meaning and how it is computed. Rules and models read nothing
//! else, and the order of the table is the order of a model's inputs. Must never see the outcome of the attempt it
//! describes, or a label before it was known: windows hold earlier attempts only.

use crate::attempt::Attempt;
use crate::entity::{Kind, Reading, Readings};
use crate::profile::{Habits, Labels};
use crate::tile::Counts;
use crate::window::{Totals, Window};

/// Unit of a feature's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A number of things.
    Count,
    /// A share, 0..=1.
    Ratio,
    /// Times another amount or rate.
    Times,
    /// Mean deviations.
    Deviations,
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
}

impl Feature {
    /// Stable name.
    pub fn name(self) -> &'static str {
        FEATURES[self as usize].name
    }

    /// The feature of this name.
    pub fn named(name: &str) -> Option<Feature> {
        FEATURES.iter().find(|line| line.name == name).map(|line| line.feature)
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
    pub fn values(&self) -> &[f64; FEATURES.len()] {
        &self.0
    }

    /// From values in the order of [`FEATURES`], as stored with a decision.
    pub fn from_values(values: [f64; FEATURES.len()]) -> Self {
        Features(values)
    }

    pub(crate) fn extract(facts: &Facts<'_>) -> Self {
        Features(extract(facts))
    }
}

/// What features are computed from.
pub(crate) struct Facts<'a> {
    pub attempt: &'a Attempt,
    /// By [`Kind`]; none where the attempt gives no such entity.
    pub readings: Readings,
    pub small_amount_minor: i64,
}

type Measure = fn(&Counts) -> u32;

impl Facts<'_> {
    fn reading(&self, kind: Kind) -> Option<&Reading> {
        self.readings[kind as usize].as_ref()
    }

    fn habits(&self, kind: Kind) -> Option<&Habits> {
        debug_assert!(kind.kept().habits, "habits of a {} are not kept", kind.name());
        self.reading(kind).map(|reading| &reading.habits)
    }

    fn labels(&self, kind: Kind) -> Option<&Labels> {
        debug_assert!(kind.kept().labels, "labels of a {} are not kept", kind.name());
        self.reading(kind).map(|reading| &reading.labels)
    }

    fn totals(&self, kind: Kind, window: Window) -> Option<&Totals> {
        let (kept, long) = (kind.kept(), window.length_ms() > H24.length_ms());
        debug_assert!(
            kept.day && (kept.past || !long),
            "{window:?} of a {} is not kept",
            kind.name()
        );
        self.reading(kind).map(|reading| &reading.windows[window as usize])
    }

    fn count(&self, kind: Kind, window: Window, measure: Measure) -> Option<f64> {
        self.totals(kind, window)
            .map(|totals| f64::from(measure(&totals.counts)))
    }

    fn distinct(&self, kind: Kind, window: Window) -> Option<f64> {
        self.totals(kind, window).map(|totals| f64::from(totals.distinct))
    }

    fn ratio(&self, kind: Kind, window: Window, part: Measure, whole: Measure) -> Option<f64> {
        let whole = self.count(kind, window, whole)?;
        let part = self.count(kind, window, part)?;
        Some(if whole > 0.0 { part / whole } else { 0.0 })
    }

    fn decline_ratio(&self, kind: Kind, window: Window) -> Option<f64> {
        self.ratio(kind, window, |c| c.declined, |c| c.declined.saturating_add(c.approved))
    }

    fn bad(&self, kind: Kind, window: Window) -> Option<f64> {
        self.count(kind, window, |c| c.bad_number.saturating_add(c.bad_cvc))
    }

    fn amount(&self, kind: Kind, window: Window) -> Option<f64> {
        self.totals(kind, window)
            .map(|totals| totals.counts.amount_minor as f64)
    }

    /// The attempt's amount as a multiple of the mean of a window; none without a mean.
    fn times_window_mean(&self, kind: Kind, window: Window) -> Option<f64> {
        let counts = &self.totals(kind, window)?.counts;
        (counts.priced > 0 && counts.amount_minor > 0)
            .then(|| self.attempt.amount_minor as f64 * f64::from(counts.priced) / counts.amount_minor as f64)
    }

    /// Age in hours; 0 for an entity never seen.
    fn age(&self, kind: Kind) -> Option<f64> {
        self.reading(kind).map(|reading| hours(reading.age_ms.unwrap_or(0)))
    }

    /// Hours since it was last seen; none if never.
    fn gap(&self, kind: Kind) -> Option<f64> {
        self.reading(kind)?.gap_ms.map(hours)
    }

    fn unseen(&self, kind: Kind) -> Option<f64> {
        self.reading(kind)
            .map(|reading| f64::from(u8::from(reading.age_ms.is_none())))
    }

    fn payments(&self, kind: Kind) -> Option<f64> {
        self.habits(kind).map(|habits| f64::from(habits.payments))
    }

    /// The attempt's amount as a multiple of the entity's own mean; none without a mean.
    fn times_mean(&self, kind: Kind) -> Option<f64> {
        let habits = self.habits(kind)?;
        (habits.payments > 0 && habits.amount_minor > 0)
            .then(|| self.attempt.amount_minor as f64 * f64::from(habits.payments) / habits.amount_minor as f64)
    }

    /// The same with the mean of the last payments.
    fn times_recent(&self, kind: Kind) -> Option<f64> {
        let habits = self.habits(kind)?;
        (habits.recent_16ths > 0).then(|| self.attempt.amount_minor as f64 * 16.0 / habits.recent_16ths as f64)
    }

    fn times_max(&self, kind: Kind) -> Option<f64> {
        let habits = self.habits(kind)?;
        (habits.max_minor > 0).then(|| self.attempt.amount_minor as f64 / habits.max_minor as f64)
    }

    /// How far above the mean of its last payments, in mean deviations (at least a twentieth of the mean).
    fn deviations(&self, kind: Kind) -> Option<f64> {
        let habits = self.habits(kind)?;
        let scale = (habits.deviation_16ths as f64).max(habits.recent_16ths as f64 / 20.0);
        (scale > 0.0).then(|| (self.attempt.amount_minor as f64 * 16.0 - habits.recent_16ths as f64) / scale)
    }

    /// Share of its payments within an hour and a half of this time of day, drawn towards the share of chance.
    fn hour_share(&self, kind: Kind) -> Option<f64> {
        let habits = self.habits(kind)?;
        (habits.hours_counted > 0)
            .then(|| (f64::from(habits.near_this_hour) + 1.0) / (f64::from(habits.hours_counted) + 8.0))
    }

    /// Share of fraud among what became known, drawn towards one in a hundred by ten payments.
    fn risk(&self, kind: Kind, window: Window) -> Option<f64> {
        let counts = &self.totals(kind, window)?.counts;
        Some((f64::from(counts.frauds) + 0.1) / (f64::from(counts.labelled) + 10.0))
    }

    fn frauds(&self, kind: Kind, window: Window) -> Option<f64> {
        self.count(kind, window, |c| c.frauds)
    }

    /// Hours since the last payment that is known as fraud; none without one.
    fn since_fraud(&self, kind: Kind) -> Option<f64> {
        let labels = self.labels(kind)?;
        (labels.last_fraud_ms > 0).then(|| hours(self.attempt.at_ms.saturating_sub(labels.last_fraud_ms)))
    }

    fn since_genuine(&self, kind: Kind) -> Option<f64> {
        let labels = self.labels(kind)?;
        (labels.last_genuine_ms > 0).then(|| hours(self.attempt.at_ms.saturating_sub(labels.last_genuine_ms)))
    }

    fn streak(&self, kind: Kind) -> Option<f64> {
        self.labels(kind).map(|labels| f64::from(labels.streak))
    }

    fn streak_age(&self, kind: Kind) -> Option<f64> {
        let labels = self.labels(kind)?;
        (labels.streak > 0).then(|| hours(self.attempt.at_ms.saturating_sub(labels.streak_since_ms)))
    }

    /// A count of the last minute against what the last 24 hours would make one expect in a minute, drawn towards 1.
    fn surge(&self, kind: Kind, measure: Measure) -> Option<f64> {
        let minute = self.count(kind, M1, measure)?;
        let day = self.count(kind, H24, measure)?;
        Some((minute + 1.0) / ((day - minute) / 1_440.0 + 1.0))
    }

    /// Adds up what is given; none if nothing is.
    fn sum(&self, parts: [Option<f64>; 4]) -> Option<f64> {
        parts.into_iter().flatten().reduce(|a, b| a + b)
    }

    /// Of the identities that the attempt gives, the share that was never seen.
    fn unseen_share(&self) -> Option<f64> {
        let given = [Card, Customer, Email, Device, Ip].map(|kind| self.unseen(kind));
        let unseen: f64 = given.iter().flatten().sum();
        let given = given.iter().flatten().count();
        (given > 0).then(|| unseen / given as f64)
    }
}

fn hours(ms: i64) -> f64 {
    ms as f64 / 3_600_000.0
}

fn flag(set: bool) -> Option<f64> {
    Some(f64::from(u8::from(set)))
}

macro_rules! features {
    ($($variant:ident $name:literal $unit:ident $meaning:literal $extract:expr;)+) => {
        /// A feature, by name; [`FEATURES`] says what each means.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Feature { $(#[doc = $meaning] $variant,)+ }

        /// Every feature, in the order of [`Feature`]. Names are stable; a change of the table changes the schema that a
        /// trained model demands.
        pub static FEATURES: [FeatureInfo; [$(Feature::$variant),+].len()] = [$(FeatureInfo {
            feature: Feature::$variant, name: $name, unit: Unit::$unit, meaning: $meaning,
        },)+];

        fn extract(facts: &Facts<'_>) -> [f64; FEATURES.len()] {
            [$({
                let extract: fn(&Facts<'_>) -> Option<f64> = $extract;
                extract(facts).unwrap_or(f64::NAN)
            },)+]
        }
    };
}

use Kind::{
    Bin, BinMerchant, Card, CardEmail, CardIp, CardMerchant, CardTerminal, Customer, Device, Email, Ip, Merchant,
    Subnet, Terminal,
};
use Window::{D7, D30, D90, H1, H24, M1, M10};

features! {
    Amount "amount" Minor "Amount of the attempt." |f| Some(f.attempt.amount_minor as f64);
    AmountSmall "amount_small" Flag "The amount is small enough to test a card with." |f| flag(f.attempt.amount_minor <= f.small_amount_minor);
    CvcMissing "cvc_missing" Flag "The buyer is present and no CVC was given." |f| flag(!f.attempt.cvc_provided && !f.attempt.off_session);
    OffSession "off_session" Flag "The buyer is absent: a subscription or an instalment." |f| flag(f.attempt.off_session);
    IdentitiesUnseen "identities_unseen" Ratio "Share of the identities given (card, customer, e-mail, device, IP) that were never seen." |f| f.unseen_share();
    LinkedCards30d "linked_cards_30d" Count "Cards in 30 days that share the customer, e-mail address, device or IP address." |f| f.sum([f.distinct(Customer, D30), f.distinct(Email, D30), f.distinct(Device, D30), f.distinct(Ip, D30)]);
    LinkedFrauds90d "linked_frauds_90d" Count "Frauds in 90 days on the e-mail address, device, IP address or customer." |f| f.sum([f.frauds(Customer, D90), f.frauds(Email, D90), f.frauds(Device, D90), f.frauds(Ip, D90)]);

    CardUnseen "card_unseen" Flag "The card was never seen before." |f| f.unseen(Card);
    CardAge "card_age" Hours "Time since the card was first seen." |f| f.age(Card);
    CardPayments "card_payments" Count "Approved payments with the card in this currency." |f| f.payments(Card);
    CardAmountVsMean "card_amount_vs_mean" Times "Amount as a multiple of the card's own mean." |f| f.times_mean(Card);
    CardAttempts1m "card_attempts_1m" Count "Attempts with the card in 1 minute." |f| f.count(Card, M1, |c| c.attempts);
    CardAttempts10m "card_attempts_10m" Count "Attempts with the card in 10 minutes." |f| f.count(Card, M10, |c| c.attempts);
    CardAttempts1h "card_attempts_1h" Count "Attempts with the card in 1 hour." |f| f.count(Card, H1, |c| c.attempts);
    CardAttempts24h "card_attempts_24h" Count "Attempts with the card in 24 hours." |f| f.count(Card, H24, |c| c.attempts);
    CardAmount24h "card_amount_24h" Minor "Sum of amounts tried with the card in 24 hours." |f| f.amount(Card, H24);
    CardDeclines10m "card_declines_10m" Count "Declines of the card in 10 minutes." |f| f.count(Card, M10, |c| c.declined);
    CardDeclines1h "card_declines_1h" Count "Declines of the card in 1 hour." |f| f.count(Card, H1, |c| c.declined);
    CardDeclines24h "card_declines_24h" Count "Declines of the card in 24 hours." |f| f.count(Card, H24, |c| c.declined);
    CardDeclineRatio10m "card_decline_ratio_10m" Ratio "Declined among answered attempts with the card in 10 minutes." |f| f.decline_ratio(Card, M10);
    CardBadCvc1h "card_bad_cvc_1h" Count "Wrong CVCs tried with the card in 1 hour." |f| f.count(Card, H1, |c| c.bad_cvc);
    CardIps1h "card_ips_1h" Count "Distinct IP addresses that used the card in 1 hour." |f| f.distinct(Card, H1);
    CardGap "card_gap" Hours "Time since the last attempt with the card." |f| f.gap(Card);
    CardAttempts7d "card_attempts_7d" Count "Attempts with the card in 7 days." |f| f.count(Card, D7, |c| c.attempts);
    CardAttempts30d "card_attempts_30d" Count "Attempts with the card in 30 days." |f| f.count(Card, D30, |c| c.attempts);
    CardAmount7d "card_amount_7d" Minor "Sum of amounts tried with the card in 7 days." |f| f.amount(Card, D7);
    CardAmountVsMean24h "card_amount_vs_mean_24h" Times "Amount as a multiple of the mean tried with the card in 24 hours." |f| f.times_window_mean(Card, H24);
    CardAmountVsMean30d "card_amount_vs_mean_30d" Times "Amount as a multiple of the mean tried with the card in 30 days." |f| f.times_window_mean(Card, D30);
    CardAmountVsRecent "card_amount_vs_recent" Times "Amount as a multiple of the mean of the card's last payments." |f| f.times_recent(Card);
    CardAmountVsMax "card_amount_vs_max" Times "Amount as a multiple of the card's largest payment in 30 to 60 days." |f| f.times_max(Card);
    CardAmountDeviations "card_amount_deviations" Deviations "How far the amount is above the mean of the card's last payments." |f| f.deviations(Card);
    CardOutliers24h "card_outliers_24h" Count "Amounts far above the card's own mean in 24 hours." |f| f.count(Card, H24, |c| c.outliers);
    CardOutliers7d "card_outliers_7d" Count "Amounts far above the card's own mean in 7 days." |f| f.count(Card, D7, |c| c.outliers);
    CardOutliers30d "card_outliers_30d" Count "Amounts far above the card's own mean in 30 days." |f| f.count(Card, D30, |c| c.outliers);
    CardHourShare "card_hour_share" Ratio "Share of the card's payments near this time of day." |f| f.hour_share(Card);
    CardIps30d "card_ips_30d" Count "Distinct IP addresses that used the card in 30 days." |f| f.distinct(Card, D30);
    CardFrauds90d "card_frauds_90d" Count "Payments with the card that became known as fraud in 90 days." |f| f.frauds(Card, D90);
    CardSinceFraud "card_since_fraud" Hours "Time since the last payment with the card that is known as fraud." |f| f.since_fraud(Card);

    CustomerAge "customer_age" Hours "Time since the customer was first seen." |f| f.age(Customer);
    CustomerPayments "customer_payments" Count "Approved payments of the customer in this currency." |f| f.payments(Customer);
    CustomerAmountVsMean "customer_amount_vs_mean" Times "Amount as a multiple of the customer's own mean." |f| f.times_mean(Customer);
    CustomerAmount24h "customer_amount_24h" Minor "Sum of amounts tried by the customer in 24 hours." |f| f.amount(Customer, H24);
    CustomerAttempts1h "customer_attempts_1h" Count "Attempts of the customer in 1 hour." |f| f.count(Customer, H1, |c| c.attempts);
    CustomerCards1h "customer_cards_1h" Count "Distinct cards of the customer in 1 hour." |f| f.distinct(Customer, H1);
    CustomerCards24h "customer_cards_24h" Count "Distinct cards of the customer in 24 hours." |f| f.distinct(Customer, H24);
    CustomerDeclines1h "customer_declines_1h" Count "Declines of the customer in 1 hour." |f| f.count(Customer, H1, |c| c.declined);
    CustomerGap "customer_gap" Hours "Time since the last attempt of the customer." |f| f.gap(Customer);
    CustomerAttempts7d "customer_attempts_7d" Count "Attempts of the customer in 7 days." |f| f.count(Customer, D7, |c| c.attempts);
    CustomerAmountDeviations "customer_amount_deviations" Deviations "How far the amount is above the mean of the customer's last payments." |f| f.deviations(Customer);
    CustomerOutliers7d "customer_outliers_7d" Count "Amounts far above the customer's own mean in 7 days." |f| f.count(Customer, D7, |c| c.outliers);
    CustomerHourShare "customer_hour_share" Ratio "Share of the customer's payments near this time of day." |f| f.hour_share(Customer);
    CustomerCards30d "customer_cards_30d" Count "Distinct cards of the customer in 30 days." |f| f.distinct(Customer, D30);
    CustomerFrauds90d "customer_frauds_90d" Count "Payments of the customer that became known as fraud in 90 days." |f| f.frauds(Customer, D90);

    EmailAge "email_age" Hours "Time since the e-mail address was first seen." |f| f.age(Email);
    EmailAttempts1h "email_attempts_1h" Count "Attempts with the e-mail address in 1 hour." |f| f.count(Email, H1, |c| c.attempts);
    EmailCards1h "email_cards_1h" Count "Distinct cards with the e-mail address in 1 hour." |f| f.distinct(Email, H1);
    EmailCards24h "email_cards_24h" Count "Distinct cards with the e-mail address in 24 hours." |f| f.distinct(Email, H24);
    EmailDeclines1h "email_declines_1h" Count "Declines with the e-mail address in 1 hour." |f| f.count(Email, H1, |c| c.declined);
    EmailCards30d "email_cards_30d" Count "Distinct cards with the e-mail address in 30 days." |f| f.distinct(Email, D30);
    EmailFrauds90d "email_frauds_90d" Count "Payments with the e-mail address that became known as fraud in 90 days." |f| f.frauds(Email, D90);

    DeviceAge "device_age" Hours "Time since the device was first seen." |f| f.age(Device);
    DeviceAttempts10m "device_attempts_10m" Count "Attempts from the device in 10 minutes." |f| f.count(Device, M10, |c| c.attempts);
    DeviceCards10m "device_cards_10m" Count "Distinct cards on the device in 10 minutes." |f| f.distinct(Device, M10);
    DeviceCards24h "device_cards_24h" Count "Distinct cards on the device in 24 hours." |f| f.distinct(Device, H24);
    DeviceDeclines10m "device_declines_10m" Count "Declines on the device in 10 minutes." |f| f.count(Device, M10, |c| c.declined);
    DeviceDeclineRatio10m "device_decline_ratio_10m" Ratio "Declined among answered attempts on the device in 10 minutes." |f| f.decline_ratio(Device, M10);
    DeviceSmall10m "device_small_10m" Count "Small amounts tried on the device in 10 minutes." |f| f.count(Device, M10, |c| c.small);
    DeviceRepeats10m "device_repeats_10m" Count "Attempts on the device with the amount of the one before, in 10 minutes." |f| f.count(Device, M10, |c| c.repeats);
    DeviceCards30d "device_cards_30d" Count "Distinct cards on the device in 30 days." |f| f.distinct(Device, D30);
    DeviceFrauds90d "device_frauds_90d" Count "Payments from the device that became known as fraud in 90 days." |f| f.frauds(Device, D90);

    IpAge "ip_age" Hours "Time since the IP address was first seen." |f| f.age(Ip);
    IpAttempts1m "ip_attempts_1m" Count "Attempts from the IP address in 1 minute." |f| f.count(Ip, M1, |c| c.attempts);
    IpAttempts10m "ip_attempts_10m" Count "Attempts from the IP address in 10 minutes." |f| f.count(Ip, M10, |c| c.attempts);
    IpAttempts24h "ip_attempts_24h" Count "Attempts from the IP address in 24 hours." |f| f.count(Ip, H24, |c| c.attempts);
    IpCards10m "ip_cards_10m" Count "Distinct cards from the IP address in 10 minutes." |f| f.distinct(Ip, M10);
    IpCards24h "ip_cards_24h" Count "Distinct cards from the IP address in 24 hours." |f| f.distinct(Ip, H24);
    IpDeclines10m "ip_declines_10m" Count "Declines from the IP address in 10 minutes." |f| f.count(Ip, M10, |c| c.declined);
    IpDeclineRatio10m "ip_decline_ratio_10m" Ratio "Declined among answered attempts from the IP address in 10 minutes." |f| f.decline_ratio(Ip, M10);
    IpSmallRatio10m "ip_small_ratio_10m" Ratio "Small amounts among attempts from the IP address in 10 minutes." |f| f.ratio(Ip, M10, |c| c.small, |c| c.attempts);
    IpRepeats10m "ip_repeats_10m" Count "Attempts from the IP address with the amount of the one before, in 10 minutes." |f| f.count(Ip, M10, |c| c.repeats);
    IpCards30d "ip_cards_30d" Count "Distinct cards from the IP address in 30 days." |f| f.distinct(Ip, D30);
    IpDeclineRatio24h "ip_decline_ratio_24h" Ratio "Declined among answered attempts from the IP address in 24 hours." |f| f.decline_ratio(Ip, H24);
    IpProbes1h "ip_probes_1h" Count "Declines from the IP address, in 1 hour, of cards never seen before." |f| f.count(Ip, H1, |c| c.probes);
    IpFrauds90d "ip_frauds_90d" Count "Payments from the IP address that became known as fraud in 90 days." |f| f.frauds(Ip, D90);

    SubnetAttempts10m "subnet_attempts_10m" Count "Attempts from the subnet in 10 minutes." |f| f.count(Subnet, M10, |c| c.attempts);
    SubnetCards10m "subnet_cards_10m" Count "Distinct cards from the subnet in 10 minutes." |f| f.distinct(Subnet, M10);
    SubnetDeclineRatio10m "subnet_decline_ratio_10m" Ratio "Declined among answered attempts from the subnet in 10 minutes." |f| f.decline_ratio(Subnet, M10);
    SubnetProbes1h "subnet_probes_1h" Count "Declines from the subnet, in 1 hour, of cards never seen before." |f| f.count(Subnet, H1, |c| c.probes);
    SubnetRisk90d "subnet_risk_90d" Ratio "Share of fraud from the subnet in 90 days, smoothed." |f| f.risk(Subnet, D90);

    BinCards10m "bin_cards_10m" Count "Distinct cards of the BIN in 10 minutes." |f| f.distinct(Bin, M10);
    BinDeclines10m "bin_declines_10m" Count "Declines of the BIN in 10 minutes." |f| f.count(Bin, M10, |c| c.declined);
    BinDeclineRatio10m "bin_decline_ratio_10m" Ratio "Declined among answered attempts of the BIN in 10 minutes." |f| f.decline_ratio(Bin, M10);
    BinProbes10m "bin_probes_10m" Count "Declines of the BIN, in 10 minutes, of cards never seen before." |f| f.count(Bin, M10, |c| c.probes);
    BinRisk90d "bin_risk_90d" Ratio "Share of fraud of the BIN in 90 days, smoothed." |f| f.risk(Bin, D90);

    MerchantPayments "merchant_payments" Count "Approved payments of the merchant in this currency." |f| f.payments(Merchant);
    MerchantAmountVsMean "merchant_amount_vs_mean" Times "Amount as a multiple of the merchant's mean." |f| f.times_mean(Merchant);
    MerchantAttempts1m "merchant_attempts_1m" Count "Attempts at the merchant in 1 minute." |f| f.count(Merchant, M1, |c| c.attempts);
    MerchantAttempts24h "merchant_attempts_24h" Count "Attempts at the merchant in 24 hours." |f| f.count(Merchant, H24, |c| c.attempts);
    MerchantCards10m "merchant_cards_10m" Count "Distinct cards at the merchant in 10 minutes." |f| f.distinct(Merchant, M10);
    MerchantDeclines10m "merchant_declines_10m" Count "Declines at the merchant in 10 minutes." |f| f.count(Merchant, M10, |c| c.declined);
    MerchantDeclineRatio10m "merchant_decline_ratio_10m" Ratio "Declined among answered attempts at the merchant in 10 minutes." |f| f.decline_ratio(Merchant, M10);
    MerchantBad1h "merchant_bad_1h" Count "Bad-number and bad-CVC declines at the merchant in 1 hour." |f| f.bad(Merchant, H1);
    MerchantBadRatio1h "merchant_bad_ratio_1h" Ratio "Their share of the merchant's attempts in 1 hour." |f| f.ratio(Merchant, H1, |c| c.bad_number.saturating_add(c.bad_cvc), |c| c.attempts);
    MerchantAge "merchant_age" Hours "Time since the merchant was first seen." |f| f.age(Merchant);
    MerchantAmountDeviations "merchant_amount_deviations" Deviations "How far the amount is above the mean of the merchant's last payments." |f| f.deviations(Merchant);
    MerchantSmallRatio10m "merchant_small_ratio_10m" Ratio "Small amounts among attempts at the merchant in 10 minutes." |f| f.ratio(Merchant, M10, |c| c.small, |c| c.attempts);
    MerchantProbes1m "merchant_probes_1m" Count "Declines at the merchant, in 1 minute, of cards never seen before." |f| f.count(Merchant, M1, |c| c.probes);
    MerchantProbes10m "merchant_probes_10m" Count "Declines at the merchant, in 10 minutes, of cards never seen before." |f| f.count(Merchant, M10, |c| c.probes);
    MerchantProbeSurge "merchant_probe_surge" Times "Such declines in 1 minute as a multiple of the merchant's usual rate." |f| f.surge(Merchant, |c| c.probes);
    MerchantDeclineSurge "merchant_decline_surge" Times "Declines in 1 minute as a multiple of the merchant's usual rate." |f| f.surge(Merchant, |c| c.declined);
    MerchantRisk30d "merchant_risk_30d" Ratio "Share of fraud at the merchant among what became known in 30 days, smoothed." |f| f.risk(Merchant, D30);
    MerchantRisk90d "merchant_risk_90d" Ratio "Share of fraud at the merchant among what became known in 90 days, smoothed." |f| f.risk(Merchant, D90);

    TerminalAge "terminal_age" Hours "Time since the terminal or listing was first seen." |f| f.age(Terminal);
    TerminalGap "terminal_gap" Hours "Time since the last attempt at the terminal or listing." |f| f.gap(Terminal);
    TerminalAttempts24h "terminal_attempts_24h" Count "Attempts at the terminal or listing in 24 hours." |f| f.count(Terminal, H24, |c| c.attempts);
    TerminalAttempts7d "terminal_attempts_7d" Count "Attempts at the terminal or listing in 7 days." |f| f.count(Terminal, D7, |c| c.attempts);
    TerminalAttempts30d "terminal_attempts_30d" Count "Attempts at the terminal or listing in 30 days." |f| f.count(Terminal, D30, |c| c.attempts);
    TerminalCards7d "terminal_cards_7d" Count "Distinct cards at the terminal or listing in 7 days." |f| f.distinct(Terminal, D7);
    TerminalDeclineRatio24h "terminal_decline_ratio_24h" Ratio "Declined among answered attempts at the terminal or listing in 24 hours." |f| f.decline_ratio(Terminal, H24);
    TerminalAmountDeviations "terminal_amount_deviations" Deviations "How far the amount is above the mean of the last payments at the terminal or listing." |f| f.deviations(Terminal);
    TerminalFrauds7d "terminal_frauds_7d" Count "Payments at the terminal or listing that became known as fraud in 7 days." |f| f.frauds(Terminal, D7);
    TerminalFrauds30d "terminal_frauds_30d" Count "Payments at the terminal or listing that became known as fraud in 30 days." |f| f.frauds(Terminal, D30);
    TerminalRisk7d "terminal_risk_7d" Ratio "Share of fraud at the terminal or listing among what became known in 7 days, smoothed." |f| f.risk(Terminal, D7);
    TerminalRisk30d "terminal_risk_30d" Ratio "Share of fraud at the terminal or listing among what became known in 30 days, smoothed." |f| f.risk(Terminal, D30);
    TerminalFraudStreak "terminal_fraud_streak" Count "Frauds at the terminal or listing since its last genuine payment." |f| f.streak(Terminal);
    TerminalFraudStreakAge "terminal_fraud_streak_age" Hours "Time since the first of them." |f| f.streak_age(Terminal);
    TerminalSinceFraud "terminal_since_fraud" Hours "Time since the last payment at the terminal or listing that is known as fraud." |f| f.since_fraud(Terminal);
    TerminalSinceGenuine "terminal_since_genuine" Hours "Time since the last payment at the terminal or listing that is known as genuine." |f| f.since_genuine(Terminal);

    CardMerchantAge "card_merchant_age" Hours "Time since the card was first used at the merchant." |f| f.age(CardMerchant);
    CardMerchantAttempts1h "card_merchant_attempts_1h" Count "Attempts with the card at the merchant in 1 hour." |f| f.count(CardMerchant, H1, |c| c.attempts);
    CardMerchantPayments "card_merchant_payments" Count "Approved payments with the card at the merchant in this currency." |f| f.payments(CardMerchant);
    CardTerminalUnseen "card_terminal_unseen" Flag "The card was never used at the terminal or listing before." |f| f.unseen(CardTerminal);
    CardTerminalAttempts30d "card_terminal_attempts_30d" Count "Attempts with the card at the terminal or listing in 30 days." |f| f.count(CardTerminal, D30, |c| c.attempts);
    CardIpUnseen "card_ip_unseen" Flag "The card was never used from the IP address before." |f| f.unseen(CardIp);
    CardIpDeclines1h "card_ip_declines_1h" Count "Declines of the card from the IP address in 1 hour." |f| f.count(CardIp, H1, |c| c.declined);
    CardEmailUnseen "card_email_unseen" Flag "The card was never given with the e-mail address before." |f| f.unseen(CardEmail);
    BinMerchantCards10m "bin_merchant_cards_10m" Count "Distinct cards of the BIN at the merchant in 10 minutes." |f| f.distinct(BinMerchant, M10);
    BinMerchantProbes10m "bin_merchant_probes_10m" Count "Declines of the BIN at the merchant, in 10 minutes, of cards never seen before." |f| f.count(BinMerchant, M10, |c| c.probes);
    BinMerchantDeclineRatio10m "bin_merchant_decline_ratio_10m" Ratio "Declined among answered attempts of the BIN at the merchant in 10 minutes." |f| f.decline_ratio(BinMerchant, M10);
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
