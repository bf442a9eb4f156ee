//! What a committer counts: relaxed atomics on the hot path, a plain copy for readers.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

const BUCKETS: usize = 32;

/// A histogram with bounds at powers of two: bucket `i` counts values below `2^i` that are not in an earlier one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Count per bucket; the last one has no upper bound.
    pub buckets: [u64; BUCKETS],
    /// Sum of all values.
    pub sum: u64,
}

/// The figures of a committer at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Snapshot {
    /// Units waiting now.
    pub queued: usize,
    /// Transactions committed.
    pub batches: u64,
    /// Units answered after a commit.
    pub units: u64,
    /// Units refused because the queue was full.
    pub rejections: u64,
    /// Transactions rolled back by 40001 or 40P01 and run again.
    pub retries: u64,
    /// Batches that had to be run again the careful way.
    pub careful: u64,
    /// Units per transaction.
    pub batch_size: Histogram,
    /// Microseconds from submit until a writer took the unit.
    pub wait_us: Histogram,
    /// Microseconds from BEGIN to the answer of COMMIT.
    pub commit_us: Histogram,
}

impl Histogram {
    /// Values counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Exclusive upper bound of bucket `i`; none for the last.
    pub fn upper_bound(i: usize) -> Option<u64> {
        (i + 1 < BUCKETS).then(|| 1 << i)
    }
}

#[derive(Default)]
pub(super) struct Metrics {
    batches: AtomicU64,
    units: AtomicU64,
    rejections: AtomicU64,
    retries: AtomicU64,
    careful: AtomicU64,
    batch_size: Counts,
    wait_us: Counts,
    commit_us: Counts,
}

impl Metrics {
    pub(super) fn committed(&self, units: usize, took: Duration) {
        self.batches.fetch_add(1, Relaxed);
        self.units.fetch_add(units as u64, Relaxed);
        self.batch_size.add(units as u64);
        self.commit_us.add(micros(took));
    }

    pub(super) fn waited(&self, wait: Duration) {
        self.wait_us.add(micros(wait));
    }

    pub(super) fn rejected(&self) {
        self.rejections.fetch_add(1, Relaxed);
    }

    pub(super) fn retried(&self) {
        self.retries.fetch_add(1, Relaxed);
    }

    pub(super) fn needed_care(&self) {
        self.careful.fetch_add(1, Relaxed);
    }

    pub(super) fn snapshot(&self, queued: usize) -> Snapshot {
        Snapshot {
            queued,
            batches: self.batches.load(Relaxed),
            units: self.units.load(Relaxed),
            rejections: self.rejections.load(Relaxed),
            retries: self.retries.load(Relaxed),
            careful: self.careful.load(Relaxed),
            batch_size: self.batch_size.snapshot(),
            wait_us: self.wait_us.snapshot(),
            commit_us: self.commit_us.snapshot(),
        }
    }
}

#[derive(Default)]
struct Counts {
    buckets: [AtomicU64; BUCKETS],
    sum: AtomicU64,
}

impl Counts {
    fn add(&self, value: u64) {
        let bucket = (u64::BITS - value.leading_zeros()) as usize;
        self.buckets[bucket.min(BUCKETS - 1)].fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    fn snapshot(&self) -> Histogram {
        Histogram {
            buckets: std::array::from_fn(|i| self.buckets[i].load(Relaxed)),
            sum: self.sum.load(Relaxed),
        }
    }
}

fn micros(d: Duration) -> u64 {
    u64::try_from(d.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_below_the_bound_of_its_bucket_and_not_below_the_one_before() {
        for value in [0, 1, 2, 3, 4, 255, 256, 1_000_000, u64::MAX] {
            let counts = Counts::default();
            counts.add(value);
            let h = counts.snapshot();
            let i = h.buckets.iter().position(|c| *c == 1).unwrap();
            assert!(Histogram::upper_bound(i).is_none_or(|bound| value < bound), "{value}");
            assert!(i == 0 || value >= Histogram::upper_bound(i - 1).unwrap(), "{value}");
            assert_eq!((h.count(), h.sum), (1, value));
        }
    }
}
