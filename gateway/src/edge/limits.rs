//! Every bound of the edge in one place. A limit is never "off": an unbounded peer is how a service goes down.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Bounds of one listener. Times are milliseconds, sizes bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Open connections; one more is closed at once.
    pub connections: usize,
    /// Requests being handled at the same time, over all connections; one more gets 503 with `Retry-After`.
    pub requests: usize,
    /// From TCP accept to the end of the TLS handshake.
    pub handshake_ms: u64,
    /// From the first byte of a request head to its last; also how long a new connection may stay silent.
    pub header_read_ms: u64,
    /// From the end of the head to the end of the body; 408 beyond.
    pub body_read_ms: u64,
    /// From a whole request to its answer; 504 beyond, while the handler goes on.
    pub answer_ms: u64,
    /// A connection without a request, or a peer that does not read its answer, is closed after this.
    pub idle_ms: u64,
    /// Sum of all names and values of a request head; 431 beyond.
    pub header_bytes: usize,
    /// Header fields in a request; 431 beyond.
    pub header_count: usize,
    /// Path and query; 414 beyond.
    pub uri_bytes: usize,
    /// A request body; 413 beyond.
    pub body_bytes: usize,
    /// All request bodies in memory together; 503 beyond.
    pub body_memory_bytes: usize,
    /// Concurrent h2 streams of one connection.
    pub h2_streams: u32,
    /// How many more requests of an h2 connection may be reset by the peer than were answered (rapid reset, CVE-2023-44487).
    pub h2_resets: u64,
    /// Interval of h2 pings; a peer that does not answer within the same time is gone.
    pub h2_ping_ms: u64,
    /// How long a shutdown waits for answers that are owed.
    pub drain_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 20_000,
            requests: 4_096,
            handshake_ms: 10_000,
            header_read_ms: 10_000,
            body_read_ms: 20_000,
            answer_ms: 50_000,
            idle_ms: 75_000,
            header_bytes: 16 * 1024,
            header_count: 64,
            uri_bytes: 8 * 1024,
            body_bytes: 6 * 1024 * 1024,
            body_memory_bytes: 256 * 1024 * 1024,
            h2_streams: 128,
            h2_resets: 200,
            h2_ping_ms: 20_000,
            drain_ms: 25_000,
        }
    }
}

impl Limits {
    pub(super) fn handshake(&self) -> Duration {
        Duration::from_millis(self.handshake_ms)
    }

    pub(super) fn header_read(&self) -> Duration {
        Duration::from_millis(self.header_read_ms)
    }

    pub(super) fn body_read(&self) -> Duration {
        Duration::from_millis(self.body_read_ms)
    }

    pub(super) fn answer(&self) -> Duration {
        Duration::from_millis(self.answer_ms)
    }

    pub(super) fn idle(&self) -> Duration {
        Duration::from_millis(self.idle_ms)
    }

    pub(super) fn h2_ping(&self) -> Duration {
        Duration::from_millis(self.h2_ping_ms)
    }

    /// Name (as in the configuration file) and value of each.
    pub(crate) fn each(&self) -> [(&'static str, u64); 16] {
        let Self {
            connections,
            requests,
            handshake_ms,
            header_read_ms,
            body_read_ms,
            answer_ms,
            idle_ms,
            ..
        } = *self;
        let Self {
            header_bytes,
            header_count,
            uri_bytes,
            body_bytes,
            body_memory_bytes,
            ..
        } = *self;
        let Self {
            h2_streams,
            h2_resets,
            h2_ping_ms,
            drain_ms,
            ..
        } = *self;
        [
            ("limits.connections", connections as u64),
            ("limits.requests", requests as u64),
            ("limits.handshake_ms", handshake_ms),
            ("limits.header_read_ms", header_read_ms),
            ("limits.body_read_ms", body_read_ms),
            ("limits.answer_ms", answer_ms),
            ("limits.idle_ms", idle_ms),
            ("limits.header_bytes", header_bytes as u64),
            ("limits.header_count", header_count as u64),
            ("limits.uri_bytes", uri_bytes as u64),
            ("limits.body_bytes", body_bytes as u64),
            ("limits.body_memory_bytes", body_memory_bytes as u64),
            ("limits.h2_streams", u64::from(h2_streams)),
            ("limits.h2_resets", h2_resets),
            ("limits.h2_ping_ms", h2_ping_ms),
            ("limits.drain_ms", drain_ms),
        ]
    }

    /// How long a shutdown waits for answers that are owed.
    #[must_use]
    pub fn drain(&self) -> Duration {
        Duration::from_millis(self.drain_ms)
    }
}
