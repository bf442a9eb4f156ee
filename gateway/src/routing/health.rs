//! The health of each acquirer as this process sees it, and the circuit breaker made from it.
//!
//! Several failures in a row open the breaker: payments that have another way take it. After a pause one payment at a time
//! tries again, and a success closes it. A decline is a success: the acquirer is there. It must never decide about a payment
//! alone: who has no other acquirer is asked all the same.

use crate::connector::{Approval, Failure};
use crate::telemetry::table;
use prometheus::core::Collector;
use prometheus::{IntCounterVec, IntGaugeVec};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Failures in a row that open the breaker.
pub const OPENS_AFTER: u32 = 5;
/// How long an open breaker keeps payments away before it lets one try.
pub const PAUSE: Duration = Duration::from_secs(5);

/// All acquirers.
#[derive(Debug)]
pub struct Health {
    known: Mutex<BTreeMap<String, Seen>>,
    calls: IntCounterVec,
    open: IntGaugeVec,
}

#[derive(Clone, Debug, Default)]
struct Seen {
    failures_in_a_row: u32,
    /// since when the breaker is open, or when somebody last tried
    open_since: Option<Instant>,
    last_failure: Option<String>,
}

/// What is told of one acquirer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct State {
    /// its name
    pub connector: String,
    /// `closed`: payments go there; `open`: those with another way do not
    pub breaker: &'static str,
    /// since the last success
    pub failures_in_a_row: u32,
    /// what was wrong last
    pub last_failure: Option<String>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            calls: table::counters("counterfoil_connector_authorizations_total"),
            open: table::gauges("counterfoil_connector_breaker_open"),
        }
    }
}

impl Health {
    /// Whether a payment that has another way should go there. While the breaker is open, one is let through per pause.
    pub fn may_ask(&self, connector: &str) -> bool {
        let mut known = self.known();
        let Some(seen) = known.get_mut(connector) else {
            return true;
        };
        match seen.open_since {
            None => true,
            Some(since) if since.elapsed() >= PAUSE => {
                seen.open_since = Some(Instant::now());
                true
            }
            Some(_) => false,
        }
    }

    /// What came of an authorization there.
    pub fn record(&self, connector: &str, outcome: &Result<Approval, Failure>) {
        let (word, failure) = match outcome {
            Ok(_) => ("approved", None),
            Err(Failure::Declined(_)) => ("declined", None),
            Err(Failure::ActionNeeded(_)) => ("action_needed", None),
            Err(Failure::NotSent(why)) => ("not_sent", Some(why.clone())),
            Err(Failure::Unknown(why)) => ("unknown", Some(why.clone())),
            Err(Failure::Mismatch(mismatch)) => ("mismatch", Some(format!("it tells another {}", mismatch.field))),
        };
        self.calls.with_label_values(&[connector, word]).inc();
        let mut known = self.known();
        let seen = known.entry(connector.to_owned()).or_default();
        match failure {
            None => {
                if seen.open_since.is_some() {
                    tracing::info!(connector, "the acquirer answers again; its breaker is closed");
                }
                *seen = Seen::default();
            }
            Some(why) => {
                seen.failures_in_a_row = seen.failures_in_a_row.saturating_add(1);
                seen.last_failure = Some(why.clone());
                if seen.failures_in_a_row >= OPENS_AFTER {
                    if seen.open_since.is_none() {
                        tracing::error!(
                            connector,
                            why,
                            "the acquirer fails again and again; its breaker is open"
                        );
                    }
                    seen.open_since = Some(Instant::now());
                }
            }
        }
        self.open
            .with_label_values(&[connector])
            .set(i64::from(seen.open_since.is_some()));
    }

    /// Every one of these acquirers, for operators.
    pub fn states<'a>(&self, connectors: impl Iterator<Item = &'a str>) -> Vec<State> {
        let known = self.known();
        connectors
            .map(|connector| {
                let seen = known.get(connector).cloned().unwrap_or_default();
                State {
                    connector: connector.to_owned(),
                    breaker: if seen.open_since.is_some() { "open" } else { "closed" },
                    failures_in_a_row: seen.failures_in_a_row,
                    last_failure: seen.last_failure,
                }
            })
            .collect()
    }

    /// For `/metrics`.
    pub fn metrics(&self) -> Vec<Box<dyn Collector>> {
        vec![Box::new(self.calls.clone()), Box::new(self.open.clone())]
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Seen>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
