//! What an engine is told once, when it is made. Must never hold what a rule could say: limits belong into conditions.

use serde::{Deserialize, Serialize};

/// Settings of an engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Largest amount that counts as small, in minor units of a currency with up to two decimals (scaled for more).
    pub small_amount_minor: i64,
    /// The same for single currencies, in their own minor units.
    pub small_amount_minor_by_currency: Vec<(String, i64)>,
    /// Bound of the memory of all histories, in bytes (at least 4 MiB is used); the longest idle keys go first.
    pub memory_bytes_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            small_amount_minor: 500,
            small_amount_minor_by_currency: Vec::new(),
            memory_bytes_max: 256 << 20,
        }
    }
}

impl Config {
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
