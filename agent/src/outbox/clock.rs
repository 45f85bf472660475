//! The outbox's own clock: milliseconds that never jump, so that a device without a battery for its clock does
//! not find its records fifty years old when the network tells it the time.
//!
//! Within a run only the monotonic clock counts. A run begins at the wall clock, or where the records of the
//! run before end, whichever is later; where those come from a clock that was never set, there only.

use std::time::{Duration, Instant, SystemTime};

/// A wall clock before this (2025-01-01) was never set.
const PLAUSIBLE_MS: u64 = 1_735_689_600_000;

#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    base_ms: u64,
    began: Instant,
}

impl Clock {
    /// One that goes on after `newest_ms`, the newest record of the store.
    pub(super) fn begin(newest_ms: Option<u64>) -> Self {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { base_ms: base_ms(newest_ms, millis(wall)), began: Instant::now() }
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.base_ms.saturating_add(millis(self.began.elapsed()))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn base_ms(newest_ms: Option<u64>, wall_ms: u64) -> u64 {
    match newest_ms {
        Some(newest) if newest < PLAUSIBLE_MS => newest,
        Some(newest) if wall_ms < PLAUSIBLE_MS => newest,
        Some(newest) => newest.max(wall_ms),
        None => wall_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_never_set_makes_no_record_old() {
        let (set, later, unset) = (PLAUSIBLE_MS + 5, PLAUSIBLE_MS + 1000, 77);
        for (newest, wall, base) in [
            (None, set, set),
            (None, unset, unset),
            (Some(set), later, later),
            (Some(later), set, later),
            (Some(set), unset, set),
            (Some(unset), set, unset),
        ] {
            assert_eq!(base_ms(newest, wall), base, "{newest:?} {wall}");
        }
    }
}
