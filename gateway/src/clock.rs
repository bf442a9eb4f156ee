//! The one clock. Everything that asks for the time asks here, so that a test can move it.
//!
//! It must never go backwards within a process: timers and ids rely on it.

use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Server time (UTC) plus an offset that only tests and demonstrations change.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    offset_ms: Arc<AtomicI64>,
}

impl Clock {
    /// The moment now, at the microsecond that PostgreSQL keeps.
    pub fn now(&self) -> Timestamp {
        let now = Timestamp::now() + SignedDuration::from_millis(self.offset_ms.load(Ordering::Relaxed));
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
    }

    /// A clock that is behind by so much, for a month of demonstration data.
    pub fn behind(by: SignedDuration) -> Self {
        let clock = Self::default();
        clock.advance(-by);
        clock
    }

    /// By how much it is behind the server's.
    pub fn behind_by(&self) -> SignedDuration {
        SignedDuration::from_millis(-self.offset_ms.load(Ordering::Relaxed))
    }

    /// Moves the clock forward: for tests of timers.
    pub fn advance(&self, by: SignedDuration) {
        self.offset_ms.fetch_add(by.as_millis() as i64, Ordering::Relaxed);
    }
}
