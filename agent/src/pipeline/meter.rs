//! How long something took, counted in buckets that any thread may add to: a histogram as Prometheus has it.
//!
//! Counts only ever grow, so that whoever reads twice can subtract; nothing is allocated and nobody waits.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets in microseconds: from a small model on an accelerator (a quarter of a millisecond)
/// to a large one on a processor, each some two to two and a half times the one before.
pub const BOUNDS_US: [u64; 14] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000,
];

/// See the module.
#[derive(Debug, Default)]
pub struct Meter {
    buckets: [AtomicU64; BOUNDS_US.len()],
    above: AtomicU64,
    sum_us: AtomicU64,
}

/// What a [`Meter`] has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metered {
    /// For each of [`BOUNDS_US`], how many took at most as long.
    pub at_most: [u64; BOUNDS_US.len()],
    /// How many there were in all.
    pub count: u64,
    /// How long they took together.
    pub sum_us: u64,
}

impl Meter {
    /// Something took `time`.
    pub fn took(&self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.iter().position(|bound| us <= *bound);
        bucket.map_or(&self.above, |place| &self.buckets[place]).fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// What was counted so far.
    #[must_use]
    pub fn read(&self) -> Metered {
        let mut count = 0;
        let at_most = self.buckets.each_ref().map(|bucket| {
            count += bucket.load(Ordering::Relaxed);
            count
        });
        let count = count + self.above.load(Ordering::Relaxed);
        Metered { at_most, count, sum_us: self.sum_us.load(Ordering::Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_counts_in_its_bucket_and_in_every_larger_one() {
        let meter = Meter::default();
        for us in [0, 100, 101, 4_000, 2_500_000, 2_500_001] {
            meter.took(Duration::from_micros(us));
        }
        let read = meter.read();
        assert_eq!(read.at_most, [2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 5]);
        assert_eq!((read.count, read.sum_us), (6, 5_004_202));
    }

    #[test]
    fn bounds_grow() {
        assert!(BOUNDS_US.is_sorted_by(|a, b| a < b));
    }
}
