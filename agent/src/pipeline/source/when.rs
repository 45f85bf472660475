//! When a frame was captured: the kernel's monotonic clock, which drivers and other processes speak, in the
//! daemon's two clocks.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use rustix::time::{ClockId, clock_gettime};

/// A frame is at most so old: a driver whose clock is another one must not make it look a day old.
const AGE_MAX: Duration = Duration::from_secs(60);

/// The kernel's monotonic clock, in nanoseconds.
pub(super) fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let (seconds, nanos) = (u64::try_from(now.tv_sec), u64::try_from(now.tv_nsec));
    seconds
        .unwrap_or_default()
        .saturating_mul(1_000_000_000)
        .saturating_add(nanos.unwrap_or_default())
}

/// The moment `at_ns` of that clock by the monotonic and by the wall clock.
pub(super) fn captured(at_ns: u64) -> (Instant, Timestamp) {
    let age = Duration::from_nanos(monotonic_ns().saturating_sub(at_ns));
    let (instant, ts) = (Instant::now(), Timestamp::now());
    if age > AGE_MAX {
        return (instant, ts);
    }
    let before = SignedDuration::try_from(age).ok().and_then(|age| ts.checked_sub(age).ok());
    (instant.checked_sub(age).unwrap_or(instant), before.unwrap_or(ts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_of_a_second_ago_is_a_second_old_by_both_clocks_and_none_is_of_the_future() {
        for (before_ms, age_ms) in [(1000, 1000), (0, 0), (120_000, 0)] {
            let at = monotonic_ns().saturating_sub(before_ms * 1_000_000);
            let (instant, ts) = captured(at);
            let ages = [
                instant.elapsed().as_millis(),
                u128::try_from(Timestamp::now().duration_since(ts).as_millis()).unwrap(),
            ];
            for age in ages {
                assert!((age_ms..age_ms + 500).contains(&age), "{before_ms}: {ages:?}");
            }
        }
        let (instant, _) = captured(monotonic_ns() + 5_000_000_000);
        assert!(instant <= Instant::now());
    }
}
