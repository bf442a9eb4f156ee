//! What was refused at the gate, counted and kept: the feed of alarms.
//!
//! Equal events of one source within a moment are one row with a count, and the number of rows waiting is bounded, so that an
//! attack can fill neither the memory nor the table. An event names an address and, at most, a key's id: never a key, a
//! parameter or a person.

use crate::app::App;
use jiff::Timestamp;
use prometheus::{IntCounterVec, Opts};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
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
}

impl Kind {
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
}

/// Events that wait to be written.
pub struct Events {
    waiting: Mutex<HashMap<(Kind, Source), Waiting>>,
    /// `counterfoil_security_events_total` by kind
    pub metric: IntCounterVec,
}

struct Waiting {
    request_id: String,
    times: i64,
    first_at: Timestamp,
    last_at: Timestamp,
}

impl Default for Events {
    fn default() -> Self {
        let opts = Opts::new("counterfoil_security_events_total", "Refusals at the gate, by kind");
        Self {
            waiting: Mutex::default(),
            metric: IntCounterVec::new(opts, &["kind"]).expect("the name and the label are valid"),
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
    pub(crate) async fn flush(&self, app: &App) -> anyhow::Result<usize> {
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        if waiting.is_empty() {
            return Ok(0);
        }
        let (mut kinds, mut addresses, mut keys, mut requests, mut times, mut first, mut last) =
            (vec![], vec![], vec![], vec![], vec![], vec![], vec![]);
        for ((kind, source), event) in &waiting {
            tracing::warn!(
                kind = kind.as_str(),
                source = source.address.map(tracing::field::display),
                key_id = source.key_id.as_deref(),
                first_request_id = event.request_id,
                times = event.times,
                "refused at the gate"
            );
            kinds.push(kind.as_str());
            addresses.push(source.address);
            keys.push(source.key_id.as_deref());
            requests.push(event.request_id.as_str());
            times.push(event.times);
            first.push(event.first_at);
            last.push(event.last_at);
        }
        app.reads
            .get()
            .await?
            .query_typed(
                "INSERT INTO gateway.security_event (kind, source, key_id, request_id, times, first_at, last_at)
                 SELECT * FROM unnest($1::text[], $2::inet[], $3::text[], $4::text[], $5::bigint[], $6::timestamptz[], $7::timestamptz[])",
                &[
                    (&kinds, Type::TEXT_ARRAY),
                    (&addresses, Type::INET_ARRAY),
                    (&keys, Type::TEXT_ARRAY),
                    (&requests, Type::TEXT_ARRAY),
                    (&times, Type::INT8_ARRAY),
                    (&first, Type::TIMESTAMPTZ_ARRAY),
                    (&last, Type::TIMESTAMPTZ_ARRAY),
                ],
            )
            .await?;
        Ok(waiting.len())
    }
}

/// Kinds and sources that may wait at once: a quarter of a megabyte.
const SOURCES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_sources_is_counted_in_bounded_memory() {
        let events = Events::default();
        for host in 0..3000u32 {
            let source = Source {
                address: Some(IpAddr::V4(host.into())),
                key_id: None,
            };
            for _ in 0..2 {
                events.record(Kind::WrongKey, &source, "req_1", Timestamp::UNIX_EPOCH);
            }
        }
        let waiting = events.waiting.lock().expect("not poisoned");
        assert!(waiting.len() <= SOURCES_MAX + Kind::Throttled as usize + 1);
        assert_eq!(waiting.values().map(|event| event.times).sum::<i64>(), 6000);
        assert_eq!(events.metric.with_label_values(&["wrong_key"]).get(), 6000);
    }
}
