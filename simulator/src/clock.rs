//! The simulated clock: the wall clock plus an offset that only grows.
//!
//! Every `created`, timer and retry reads it, so a test can move a dispute past its deadline without waiting. This is the only
//! place in the crate that reads the time; it must never go backwards by our doing.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// Shared by everything that needs to know or await a time.
pub struct Clock {
    offset_ms: AtomicI64,
    moved: watch::Sender<i64>,
}

impl Clock {
    /// A clock that starts `offset_ms` ahead of the wall clock.
    pub fn new(offset_ms: i64) -> Self {
        Self {
            offset_ms: AtomicI64::new(offset_ms),
            moved: watch::channel(offset_ms).0,
        }
    }

    /// Simulated time in milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        wall_ms().saturating_add(self.offset_ms.load(Ordering::Relaxed))
    }

    /// Real time in seconds, for signatures: their receivers do not live in simulated time.
    pub fn wall_seconds(&self) -> i64 {
        wall_ms().div_euclid(1000)
    }

    /// How far ahead of the wall clock this one is.
    pub fn offset_ms(&self) -> i64 {
        self.offset_ms.load(Ordering::Relaxed)
    }

    /// Moves time forward and wakes everyone who waits for a time.
    pub fn set_offset_ms(&self, offset_ms: i64) {
        let ahead = self.offset_ms.fetch_max(offset_ms, Ordering::Relaxed).max(offset_ms);
        self.moved.send_replace(ahead);
    }

    /// Returns when simulated time has reached `due_ms`.
    pub async fn sleep_until(&self, due_ms: i64) {
        let mut moved = self.moved.subscribe();
        loop {
            let left_ms = due_ms.saturating_sub(self.now_ms());
            if left_ms <= 0 {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(left_ms as u64)) => {}
                _ = moved.changed() => {}
            }
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "this is the injected clock")]
fn wall_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis() as i64
}
