//! Every threshold of every rule. Must never change what is computed, only where a rule speaks up.

use crate::assessment::Decision;
use serde::{Deserialize, Serialize};

/// Thresholds of the rules; a value that reaches its threshold fires the rule. Counts are of *earlier* attempts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Score from which the level is elevated (0..=99).
    pub elevated_score: u8,
    /// Score from which the level is highest (0..=99).
    pub highest_score: u8,
    /// What the elevated list asks for.
    pub elevated_list_decision: Decision,
    /// What the highest list asks for.
    pub highest_list_decision: Decision,
    /// Rules, by name, that stay silent.
    pub disabled_rules: Vec<String>,

    /// Largest amount that counts as small, in minor units of a currency with up to two decimals (scaled for more).
    pub small_amount_minor: i64,
    /// The same for single currencies, in their own minor units.
    pub small_amount_minor_by_currency: Vec<(String, i64)>,

    /// Card testing on one device: distinct cards in 10 minutes.
    pub device_cards_10m: f64,
    /// Small or declined attempts that must come with it.
    pub device_suspect_10m: f64,
    /// Card testing from one IP address: distinct cards in 10 minutes that ask for review.
    pub ip_cards_10m: f64,
    /// Distinct cards that block, with declines, a small amount and an unknown card as further evidence.
    pub ip_cards_block_10m: f64,
    /// Card testing from one subnet (IPv4 /24, IPv6 /64): distinct cards in 10 minutes.
    pub subnet_cards_10m: f64,
    /// Distinct cards of one customer or e-mail address in an hour.
    pub identity_cards_1h: f64,
    /// Declines that must come with them.
    pub identity_declines_1h: f64,
    /// Share of declined among answered attempts that counts as evidence of testing (0..=1).
    pub testing_decline_ratio: f64,
    /// Share of small among all attempts that counts as evidence of testing (0..=1).
    pub testing_small_ratio: f64,
    /// Testing spread over many addresses: distinct cards at one merchant in 10 minutes, with as many declines.
    pub merchant_cards_10m: f64,
    /// Distinct cards of one BIN in 10 minutes, with half as many declines.
    pub bin_cards_10m: f64,
    /// Bad-number and bad-CVC declines at one merchant in an hour.
    pub merchant_bad_1h: f64,
    /// Their share of the merchant's attempts in that hour (0..=1).
    pub merchant_bad_ratio_1h: f64,

    /// Declines of one card in 10 minutes.
    pub card_declines_10m: f64,
    /// Declines on one device in 10 minutes.
    pub device_declines_10m: f64,
    /// Declines from one IP address in 10 minutes.
    pub ip_declines_10m: f64,
    /// Share of declined among answered attempts in a decline storm (0..=1).
    pub storm_decline_ratio: f64,

    /// Attempts with one card in 10 minutes; counts only with one of the next two.
    pub card_attempts_10m: f64,
    /// Distinct IP addresses that used the card in an hour.
    pub card_ips_1h: f64,
    /// Declines of the card in an hour.
    pub card_declines_1h: f64,

    /// Times the customer's (or, with an IP or device known, the card's) own mean that is far above it.
    pub amount_vs_own: f64,
    /// Approved payments that make a mean of one's own.
    pub own_payments_min: f64,
    /// Times the merchant's mean that is very high for a card never seen.
    pub amount_vs_merchant: f64,
    /// Approved payments that make a merchant's mean.
    pub merchant_payments_min: f64,

    /// Bound of the memory of all histories, in bytes (at least 4 MiB is used); the longest idle keys go first.
    pub memory_bytes_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            elevated_score: 65, // Stripe's defaults
            highest_score: 75,
            elevated_list_decision: Decision::Review,
            highest_list_decision: Decision::Block,
            disabled_rules: Vec::new(),
            small_amount_minor: 500,
            small_amount_minor_by_currency: Vec::new(),
            device_cards_10m: 5.0,
            device_suspect_10m: 4.0,
            ip_cards_10m: 10.0,
            ip_cards_block_10m: 20.0,
            subnet_cards_10m: 30.0,
            identity_cards_1h: 6.0,
            identity_declines_1h: 5.0,
            testing_decline_ratio: 0.6,
            testing_small_ratio: 0.8,
            merchant_cards_10m: 100.0,
            bin_cards_10m: 100.0,
            merchant_bad_1h: 50.0,
            merchant_bad_ratio_1h: 0.2,
            card_declines_10m: 10.0,
            device_declines_10m: 10.0,
            ip_declines_10m: 20.0,
            storm_decline_ratio: 0.8,
            card_attempts_10m: 20.0,
            card_ips_1h: 4.0,
            card_declines_1h: 8.0,
            amount_vs_own: 20.0,
            own_payments_min: 10.0,
            amount_vs_merchant: 50.0,
            merchant_payments_min: 500.0,
            memory_bytes_max: 256 << 20,
        }
    }
}

impl Config {
    /// For load tests: everything is computed as in production, and nothing but the lists speaks up.
    pub fn permissive() -> Self {
        let never = f64::MAX; // not infinity: JSON cannot say it
        Config {
            device_cards_10m: never,
            ip_cards_10m: never,
            ip_cards_block_10m: never,
            subnet_cards_10m: never,
            identity_cards_1h: never,
            merchant_cards_10m: never,
            bin_cards_10m: never,
            merchant_bad_1h: never,
            card_declines_10m: never,
            device_declines_10m: never,
            ip_declines_10m: never,
            card_attempts_10m: never,
            amount_vs_own: never,
            amount_vs_merchant: never,
            ..Config::default()
        }
    }

    /// Largest amount that counts as small, in minor units of this currency.
    pub(crate) fn small_amount_minor(&self, currency: [u8; 3], exponent: u8) -> i64 {
        let own = self
            .small_amount_minor_by_currency
            .iter()
            .find(|(code, _)| code.as_bytes() == currency);
        match own {
            Some((_, amount_minor)) => *amount_minor,
            None => self
                .small_amount_minor
                .saturating_mul(10_i64.saturating_pow(u32::from(exponent.saturating_sub(2)))),
        }
    }
}
