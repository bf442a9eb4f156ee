//! A token bucket as one number: the moment by which everything that was taken is given back (GCRA).
//!
//! Times are nanoseconds of the monotonic clock since the process began, so that a bucket is one atomic word. A refused
//! request takes nothing.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// So many per window; all of them may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    interval_ns: u64,
    burst: u32,
    window_s: u32,
}

/// What is left after a request was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refill {
    /// requests that could follow at once
    pub left: u64,
    /// until the bucket is full again
    pub full_in: Duration,
}

/// One caller's bucket, full at first.
#[derive(Debug, Default)]
pub struct Bucket(AtomicU64);

impl Quota {
    /// `count` a second; zero counts as one.
    pub const fn per_second(count: u32) -> Self {
        Self::new(count, 1)
    }

    /// `count` a minute; zero counts as one.
    pub const fn per_minute(count: u32) -> Self {
        Self::new(count, 60)
    }

    const fn new(count: u32, window_s: u32) -> Self {
        let burst = if count == 0 { 1 } else { count };
        let interval_ns = window_s as u64 * 1_000_000_000 / burst as u64;
        Self {
            // More than one a nanosecond is as good as no limit, but not a division by zero.
            interval_ns: if interval_ns == 0 { 1 } else { interval_ns },
            burst,
            window_s,
        }
    }

    /// How many may come at once.
    pub fn burst(&self) -> u32 {
        self.burst
    }

    /// Within how many seconds so many come back.
    pub fn window_s(&self) -> u32 {
        self.window_s
    }

    /// The bucket after one more request at `now`, or how long that request has to wait.
    pub(super) fn after_one(&self, bucket: u64, now: u64) -> Result<(u64, Refill), Duration> {
        let depth = self.interval_ns * u64::from(self.burst);
        let owed = bucket.saturating_sub(now) + self.interval_ns;
        if owed > depth {
            return Err(Duration::from_nanos(owed - depth));
        }
        let refill = Refill {
            left: (depth - owed) / self.interval_ns,
            full_in: Duration::from_nanos(owed),
        };
        Ok((now + owed, refill))
    }
}

impl Bucket {
    /// Takes one.
    ///
    /// # Errors
    /// How long to wait when there is none.
    pub fn take(&self, quota: &Quota, now: u64) -> Result<Refill, Duration> {
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            let (after, refill) = quota.after_one(seen, now)?;
            match self
                .0
                .compare_exchange_weak(seen, after, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return Ok(refill),
                Err(changed) => seen = changed,
            }
        }
    }
}

/// Nanoseconds since the first call.
pub(super) fn now() -> u64 {
    static BEGUN: OnceLock<Instant> = OnceLock::new();
    BEGUN.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_burst_passes_and_the_next_waits_for_one_interval() {
        let (quota, bucket) = (Quota::per_second(4), Bucket::default());
        for left in (0..4).rev() {
            assert_eq!(bucket.take(&quota, 7).map(|refill| refill.left), Ok(left));
        }
        let wait = bucket.take(&quota, 7).expect_err("empty");
        assert_eq!(wait, Duration::from_millis(250));
        assert_eq!(bucket.take(&quota, 7), Err(wait), "a refusal takes nothing");
        assert!(bucket.take(&quota, 7 + wait.as_nanos() as u64).is_ok());
        assert!(bucket.take(&quota, 7 + wait.as_nanos() as u64).is_err());
    }

    #[test]
    fn the_largest_and_the_smallest_quota_work() {
        for count in [0, 1, u32::MAX] {
            let (quota, bucket) = (Quota::per_second(count), Bucket::default());
            assert_eq!(
                bucket.take(&quota, u64::MAX / 2).map(|refill| refill.left),
                Ok(u64::from(count.max(1)) - 1)
            );
        }
    }

    proptest! {
        /// Over any span, no more than the burst and what the span gives back; and whoever waits as told is let in.
        #[test]
        fn no_schedule_beats_the_quota(count in 1u32..50, gaps in prop::collection::vec(0u64..400_000_000, 1..200)) {
            let (quota, bucket) = (Quota::per_second(count), Bucket::default());
            let (mut now, mut passed) = (0u64, 0u64);
            for gap in gaps {
                now += gap;
                match bucket.take(&quota, now) {
                    Ok(refill) => {
                        passed += 1;
                        prop_assert!(refill.left < u64::from(count));
                    }
                    Err(wait) => {
                        now += wait.as_nanos() as u64;
                        prop_assert!(bucket.take(&quota, now).is_ok());
                        passed += 1;
                    }
                }
                prop_assert!(passed <= u64::from(count) + now / quota.interval_ns);
            }
        }
    }
}
