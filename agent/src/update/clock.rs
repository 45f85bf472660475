//! What time it is, for judging whether metadata expired.
//!
//! A board without a battery wakes in 1970; a bad time server says next year. Time is therefore the clock's, but
//! never before the latest time at which fresh metadata was accepted, nor before this program was written. That
//! floor is stored only when a refresh succeeded, and then it lies before what the timestamp role signed as its
//! own expiry: a clock that is far ahead finds everything expired and stores nothing, so that the device is not
//! locked out once the clock is right again.

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

#[cfg(test)]
mod tests {
    use super::*;

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
