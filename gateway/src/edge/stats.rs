//! Counters of a listener, read by the metrics page. They only count; nothing decides by them.

use std::sync::atomic::{AtomicU64, Ordering};

/// Monotonic counters, except `connections_open`, which is a level.
#[derive(Debug, Default)]
pub struct Stats {
    /// Connections now being served, handshake included.
    pub connections_open: AtomicU64,
    /// TCP connections accepted.
    pub connections_accepted: AtomicU64,
    /// Closed at once because the cap was reached.
    pub connections_refused: AtomicU64,
    /// Closed because idle, or because the peer did not read its answer.
    pub connections_idle: AtomicU64,
    /// Closed in the middle of a request head.
    pub connections_slow_head: AtomicU64,
    /// Closed for resetting streams faster than they can be answered.
    pub connections_flooding: AtomicU64,
    /// TLS handshakes refused by either side.
    pub handshakes_failed: AtomicU64,
    /// TLS handshakes that ran out of time.
    pub handshakes_slow: AtomicU64,
    /// Requests whose head arrived whole.
    pub requests: AtomicU64,
    /// Requests answered by the edge itself with 4xx or 503.
    pub requests_refused: AtomicU64,
    /// Handlers that panicked.
    pub panics: AtomicU64,
}

impl Stats {
    pub(super) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Name and value of each, for the metrics page.
    #[must_use]
    pub fn read(&self) -> [(&'static str, u64); 11] {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            ("connections_open", value(&self.connections_open)),
            ("connections_accepted", value(&self.connections_accepted)),
            ("connections_refused", value(&self.connections_refused)),
            ("connections_idle", value(&self.connections_idle)),
            ("connections_slow_head", value(&self.connections_slow_head)),
            ("connections_flooding", value(&self.connections_flooding)),
            ("handshakes_failed", value(&self.handshakes_failed)),
            ("handshakes_slow", value(&self.handshakes_slow)),
            ("requests", value(&self.requests)),
            ("requests_refused", value(&self.requests_refused)),
            ("panics", value(&self.panics)),
        ]
    }
}

/// Counts a connection as open for as long as it lives.
pub(super) struct Open<'a>(&'a Stats);

impl<'a> Open<'a> {
    pub(super) fn new(stats: &'a Stats) -> Self {
        stats.connections_open.fetch_add(1, Ordering::Relaxed);
        Self(stats)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.connections_open.fetch_sub(1, Ordering::Relaxed);
    }
}
