//! How long something took, counted in buckets that any thread may add to: a histogram as
//! Prometheus has it.
//!
//! Counts only ever grow, so that whoever reads twice can subtract; nothing is allocated and nobody
//! waits.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets in microseconds: from a small model on an accelerator (a quarter of
/// a millisecond) to a large one on a processor, each some two to two and a half times the one
/// before.
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

impl Metered {
    /// What came after `before`, which the same meter said earlier.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let mut at_most = self.at_most;
        for (now, before) in at_most.iter_mut().zip(before.at_most) {
            *now = now.saturating_sub(before);
        }
        Self {
            at_most,
            count: self.count.saturating_sub(before.count),
            sum_us: self.sum_us.saturating_sub(before.sum_us),
        }
    }

    /// How long one took on average, to a microsecond; `None` without any.
    #[must_use]
    #[expect(clippy::as_conversions, reason = "microseconds and counts far below 2^53")]
    #[expect(clippy::cast_precision_loss, reason = "microseconds and counts far below 2^53")]
    pub fn mean_ms(&self) -> Option<f64> {
        (self.count > 0).then(|| (self.sum_us as f64 / self.count as f64).round() / 1000.0)
    }

    /// What a share `quantile` of them took at most, as Prometheus estimates it: those of one bucket lie evenly in it,
    /// and those above all bounds at the last. `None` without any.
    #[must_use]
    #[expect(clippy::as_conversions, reason = "microseconds and counts far below 2^53")]
    #[expect(clippy::cast_precision_loss, reason = "microseconds and counts far below 2^53")]
    pub fn quantile_ms(&self, quantile: f64) -> Option<f64> {
        let rank = (self.count > 0).then_some(quantile * self.count as f64)?;
        let (mut below_us, mut below) = (0, 0);
        for (bound_us, at_most) in BOUNDS_US.into_iter().zip(self.at_most) {
            if at_most as f64 >= rank && at_most > below {
                let share = (rank - below as f64) / (at_most - below) as f64;
                let us = below_us as f64 + share * (bound_us - below_us) as f64;
                return Some(us.round() / 1000.0);
            }
            (below_us, below) = (bound_us, at_most);
        }
        Some(below_us as f64 / 1000.0)
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
    fn what_came_since_a_look_is_told_apart_from_what_was_before() {
        let meter = Meter::default();
        meter.took(Duration::from_secs(3));
        let before = meter.read();
        assert_eq!(before.since(&before).mean_ms(), None);
        for us in [1_000, 2_001] {
            meter.took(Duration::from_micros(us));
        }
        let since = meter.read().since(&before);
        assert_eq!((since.count, since.mean_ms()), (2, Some(1.501)));
        assert_eq!(since.at_most, [0, 0, 0, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2]);
    }

    #[test]
    fn a_quantile_is_where_prometheus_puts_it() {
        let meter = Meter::default();
        assert_eq!(meter.read().quantile_ms(0.5), None);
        for ms in [6, 7, 8, 9, 30, 40, 60, 70, 80, 9_000] {
            meter.took(Duration::from_millis(ms));
        }
        let read = meter.read();
        // Four of up to 10 ms, two of up to 50, three of up to 100, one above all bounds.
        for (quantile, ms) in [(0.2, 7.5), (0.4, 10.0), (0.5, 37.5), (0.6, 50.0), (0.95, 2500.0)] {
            assert_eq!(read.quantile_ms(quantile), Some(ms), "{quantile}");
        }
    }

    #[test]
    fn bounds_grow() {
        assert!(BOUNDS_US.is_sorted_by(|a, b| a < b));
    }
}
