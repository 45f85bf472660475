//! What time it is, for judging whether metadata expired.
//!
//! A board without a battery wakes in 1970; a bad time server says next year. Time is therefore the clock's, but
//! never before the latest time at which fresh metadata was accepted, nor before this program was written. That
//! floor is stored only when a refresh succeeded, and then it lies before what the timestamp role signed as its
//! own expiry: a clock that is far ahead finds everything expired and stores nothing, so that the device is not
//! locked out once the clock is right again.

use std::time::Duration;

use jiff::Timestamp;

/// No release of this program is older: 2026-11-01, in seconds.
const WRITTEN: i64 = 1_793_491_200;

/// When this program was written, roughly: it is not earlier than that.
#[must_use]
pub fn written() -> Timestamp {
    Timestamp::from_second(WRITTEN).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The time by which metadata is judged: `clock`, not before `written` and not before `floor`.
#[must_use]
pub(super) fn judged_by(
    clock: Timestamp,
    written: Timestamp,
    floor: Option<Timestamp>,
) -> Timestamp {
    clock.max(written).max(floor.unwrap_or(written))
}

/// Half to the whole of `pause`, so that a fleet does not ask in step.
pub(super) fn jittered(pause: Duration) -> Duration {
    let random =
        std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), 0);
    pause / 2 + pause / 1000 * u32::try_from(random % 501).unwrap_or(500)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poll_is_jittered_from_half_to_the_whole_of_its_interval() {
        let hour = Duration::from_secs(3600);
        let pauses: Vec<Duration> = (0..1000).map(|_| jittered(hour)).collect();
        assert!(pauses.iter().all(|pause| (hour / 2..=hour).contains(pause)));
        let (least, most) = (pauses.iter().min().unwrap(), pauses.iter().max().unwrap());
        assert!(*least < hour / 100 * 55 && *most > hour / 100 * 95, "{least:?} to {most:?}");
    }

    #[test]
    fn time_does_not_go_back_and_is_not_stored_ahead() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let floor = Some(at("2027-03-01T00:00:00Z"));
        for (clock, floor, wanted) in [
            ("1970-01-01T00:00:09Z", None, "2026-11-01T00:00:00Z"),
            ("1970-01-01T00:00:09Z", floor, "2027-03-01T00:00:00Z"),
            ("2027-02-01T00:00:00Z", floor, "2027-03-01T00:00:00Z"),
            ("2028-04-01T00:00:00Z", floor, "2028-04-01T00:00:00Z"),
        ] {
            assert_eq!(judged_by(at(clock), written(), floor), at(wanted), "{clock}");
        }
    }
}
