//! What was refused at the gate, or found to be wrong, counted and kept: the feed of [alarms](crate::alert).
//!
//! Equal events of one source within a moment are one row with a count, and the number of rows waiting is bounded, so that an
//! attack can fill neither the memory nor the table. An event names an address and, at most, a key's id: never a key, a
//! parameter or a person.

use crate::telemetry::table;
use deadpool_postgres::Pool;
use jiff::Timestamp;
use prometheus::IntCounterVec;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_postgres::types::Type;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Kind {
    MissingKey,
    WrongKey,
    EndedKey,
    ForeignAccount,
    Forbidden,
    CertificateMismatch,
    SignatureMissing,
    SignatureInvalid,
    NonceReplayed,
    Throttled,
    /// a callback that its acquirer did not sign
    ForgedCallback,
    /// a target that leads into our own network
    EgressRefused,
    /// sealed history is not what was sealed
    Tampered,
    /// what the scorer's model sees is no longer what it was trained on
    ModelDrifted,
}

impl Kind {
    /// Each of them.
    pub const ALL: [Self; 13] = [
        Self::MissingKey,
        Self::WrongKey,
        Self::EndedKey,
        Self::ForeignAccount,
        Self::Forbidden,
        Self::CertificateMismatch,
        Self::SignatureMissing,
        Self::SignatureInvalid,
        Self::NonceReplayed,
        Self::Throttled,
        Self::ForgedCallback,
        Self::EgressRefused,
        Self::Tampered,
    ];

    /// The word in the table and in the metric.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::MissingKey => "missing_key",
            Kind::WrongKey => "wrong_key",
            Kind::EndedKey => "ended_key",
            Kind::ForeignAccount => "foreign_account",
            Kind::Forbidden => "forbidden",
            Kind::CertificateMismatch => "certificate_mismatch",
            Kind::SignatureMissing => "signature_missing",
            Kind::SignatureInvalid => "signature_invalid",
            Kind::NonceReplayed => "nonce_replayed",
            Kind::Throttled => "throttled",
            Kind::ForgedCallback => "forged_callback",
            Kind::EgressRefused => "egress_refused",
            Kind::Tampered => "tampered",
            Kind::ModelDrifted => "model_drifted",
        }
    }
}

/// From where, and with which key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Source {
    /// the peer's address
    pub address: Option<IpAddr>,
    /// `key_..`, when the key is one of ours
    pub key_id: Option<Arc<str>>,
    /// what more there is to say, in our own words
    pub detail: Option<Arc<str>>,
}

impl Source {
    /// No peer of ours: something that was found.
    pub fn found(detail: &str) -> Self {
        let detail: String = detail.chars().filter(|c| !c.is_control()).take(DETAIL_MAX).collect();
        Self {
            detail: Some(detail.into()),
            ..Self::default()
        }
    }
}

/// Events that wait to be written.
#[derive(Debug)]
pub struct Events {
    waiting: Mutex<HashMap<(Kind, Source), Waiting>>,
    /// `counterfoil_security_events_total` by kind
    pub metric: IntCounterVec,
}

#[derive(Debug)]
struct Waiting {
    request_id: String,
    times: i64,
    first_at: Timestamp,
    last_at: Timestamp,
}

impl Default for Events {
    fn default() -> Self {
        let metric = table::counters("counterfoil_security_events_total");
        for kind in Kind::ALL {
            metric.with_label_values(&[kind.as_str()]); // a zero until it happens, not an absence
        }
        Self {
            waiting: Mutex::default(),
            metric,
        }
    }
}

impl Events {
    /// Counts one; it is in the database within seconds.
    pub fn record(&self, kind: Kind, source: &Source, request_id: &str, at: Timestamp) {
        self.metric.with_label_values(&[kind.as_str()]).inc();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = (kind, source.clone());
        if waiting.len() >= SOURCES_MAX && !waiting.contains_key(&key) {
            key.1 = Source::default(); // too many at once: counted, but no longer told apart
        }
        let entry = waiting.entry(key).or_insert_with(|| Waiting {
            request_id: request_id.to_owned(),
            times: 0,
            first_at: at,
            last_at: at,
        });
        entry.times = entry.times.saturating_add(1);
        entry.last_at = entry.last_at.max(at);
    }

    /// Writes what waits, one row per kind and source. What cannot be written is lost to the table, not to the log.
    /// `quiet` is the time from one alarm of a kind and key to the next.
    pub(crate) async fn flush(&self, database: &Pool, quiet: Duration) -> anyhow::Result<usize> {
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        if waiting.is_empty() {
            return Ok(0);
        }
        let (mut kinds, mut addresses, mut keys, mut requests, mut details) = (vec![], vec![], vec![], vec![], vec![]);
        let (mut times, mut first, mut last) = (vec![], vec![], vec![]);
        for ((kind, source), event) in &waiting {
            tracing::warn!(
                kind = kind.as_str(),
                source = source.address.map(tracing::field::display),
                key_id = source.key_id.as_deref(),
                detail = source.detail.as_deref(),
                first_request_id = event.request_id,
                times = event.times,
                "security event"
            );
            kinds.push(kind.as_str());
            addresses.push(source.address);
            keys.push(source.key_id.as_deref());
            requests.push(event.request_id.as_str());
            details.push(source.detail.as_deref());
            times.push(event.times);
            first.push(event.first_at);
            last.push(event.last_at);
        }
        database
            .get()
            .await?
            .query_typed(
                "SELECT gateway.note_security_events($1, $2, $3, $4, $5, $6, $7, $8, make_interval(secs => $9))",
                &[
                    (&kinds, Type::TEXT_ARRAY),
                    (&addresses, Type::INET_ARRAY),
                    (&keys, Type::TEXT_ARRAY),
                    (&requests, Type::TEXT_ARRAY),
                    (&details, Type::TEXT_ARRAY),
                    (&times, Type::INT8_ARRAY),
                    (&first, Type::TIMESTAMPTZ_ARRAY),
                    (&last, Type::TIMESTAMPTZ_ARRAY),
                    (&quiet.as_secs_f64(), Type::FLOAT8),
                ],
            )
            .await?;
        Ok(waiting.len())
    }
}

/// Kinds and sources that may wait at once: a quarter of a megabyte.
const SOURCES_MAX: usize = 1024;
const DETAIL_MAX: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_sources_is_counted_in_bounded_memory() {
        let events = Events::default();
        for host in 0..3000u32 {
            let source = Source {
                address: Some(IpAddr::V4(host.into())),
                ..Source::default()
            };
            for _ in 0..2 {
                events.record(Kind::WrongKey, &source, "req_1", Timestamp::UNIX_EPOCH);
            }
        }
        let waiting = events.waiting.lock().expect("not poisoned");
        assert!(waiting.len() <= SOURCES_MAX + Kind::ModelDrifted as usize + 1);
        assert_eq!(waiting.values().map(|event| event.times).sum::<i64>(), 6000);
        assert_eq!(events.metric.with_label_values(&["wrong_key"]).get(), 6000);
    }
}
