//! When a source that has no clock of its own gives its next picture.
//!
//! Pictures are due at whole multiples of the period after the first one, so that no error adds up. A source
//! that comes late gives its picture at once; turns that are wholly past are skipped, never made up for in
//! a burst. `turn` decides, with the time as an argument; [`Ticker`] waits.

use std::time::{Duration, Instant};

use crate::config::Section;
use crate::stop::Stop;

/// Slowest rate: a picture every ten seconds.
const RATE_HZ_MIN: f64 = 0.1;

/// Fastest rate: beyond it, timers and not cameras would be tried. As fast as possible is `pace = "free"`.
const RATE_HZ_MAX: f64 = 1000.0;

/// How fast pictures follow each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// As fast as they are taken.
    Free,
    /// So many a second.
    Hz(f64),
}

impl Pace {
    /// Reads `rate_hz` and `pace`. Without either it is `default_hz`; a rate of 0 means free.
    pub fn read(section: &Section<'_>, default_hz: f64) -> Option<Self> {
        let free = section.choice("pace", &[("real-time", false), ("free", true)]);
        let rate = section.number("rate_hz", 0.0..=RATE_HZ_MAX);
        match (free, rate) {
            (Some(true), _) => Some(Self::Free),
            (Some(false), Some(0.0)) => {
                section
                    .mistake("rate_hz", "0 is as fast as possible, and `pace` asks for real time");
                None
            }
            (_, Some(0.0)) => Some(Self::Free),
            (_, Some(rate)) if rate < RATE_HZ_MIN => {
                let wanted = format!("{rate} is neither 0 nor from {RATE_HZ_MIN} to {RATE_HZ_MAX}");
                section.mistake("rate_hz", wanted);
                None
            }
            (_, Some(rate)) => Some(Self::Hz(rate)),
            (_, None) if section.has("rate_hz") => None,
            (_, None) => Some(Self::Hz(default_hz)),
        }
    }

    /// Pictures a second, where that is set.
    #[must_use]
    pub fn rate_hz(self) -> Option<f64> {
        match self {
            Self::Free => None,
            Self::Hz(rate) => Some(rate),
        }
    }
}

/// What to do before the next picture. Times are nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Turn {
    /// Wait so long.
    wait_ns: u64,
    /// It is this turn's picture.
    number: u64,
}

/// The turn after which a source that asks for turn `next` gives its picture, `elapsed_ns` after turn 0.
fn turn(period_ns: u64, next: u64, elapsed_ns: u64) -> Turn {
    let due_ns = period_ns.saturating_mul(next);
    match due_ns.checked_sub(elapsed_ns) {
        Some(wait_ns) => Turn { wait_ns, number: next },
        None => Turn { wait_ns: 0, number: next.max(elapsed_ns / period_ns.max(1)) },
    }
}

/// Keeps a pace.
#[derive(Debug)]
pub struct Ticker {
    period_ns: Option<u64>,
    began: Option<Instant>,
    next: u64,
}

impl Ticker {
    /// Its turn 0 is when it is first asked.
    #[must_use]
    pub fn new(pace: Pace) -> Self {
        let period_ns = pace.rate_hz().map(|rate| nanoseconds(Duration::from_secs_f64(1.0 / rate)));
        Self { period_ns, began: None, next: 0 }
    }

    /// Blocks until the next picture is due. True where `stop` was said.
    #[must_use]
    pub fn wait(&mut self, stop: &Stop) -> bool {
        let Some(period_ns) = self.period_ns else { return stop.said() };
        let began = *self.began.get_or_insert_with(Instant::now);
        let turn = turn(period_ns, self.next, nanoseconds(began.elapsed()));
        self.next = turn.number.saturating_add(1);
        match turn.wait_ns {
            0 => stop.said(),
            wait_ns => stop.wait(Duration::from_nanos(wait_ns)),
        }
    }
}

/// Saturates after 584 years.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When the pictures of a source are given that needs so long for each.
    fn given(period_ns: u64, work_ns: &[u64]) -> Vec<u64> {
        let (mut now, mut next, mut given) = (0, 0, Vec::new());
        for work in work_ns {
            let turn = turn(period_ns, next, now);
            now += turn.wait_ns;
            given.push(now);
            (now, next) = (now + work, turn.number + 1);
        }
        given
    }

    #[test]
    fn pictures_come_on_the_beat_and_a_late_one_is_followed_by_no_burst() {
        for (what, work, wanted) in [
            ("quick work waits for its turn", [1, 2, 3, 4, 0], [0, 100, 200, 300, 400]),
            ("exactly in time is not late", [100, 100, 100, 100, 0], [0, 100, 200, 300, 400]),
            ("a little late, then on the beat", [130, 10, 10, 10, 0], [0, 130, 200, 300, 400]),
            ("turns that are past are skipped", [350, 10, 10, 10, 0], [0, 350, 400, 500, 600]),
            ("always late: at once each time", [150, 150, 150, 150, 0], [0, 150, 300, 450, 600]),
        ] {
            assert_eq!(given(100, &work), wanted, "{what}");
        }
    }

    #[test]
    fn after_a_year_the_beat_is_where_it_began() {
        let (period_ns, year) = (33_333_333, 365 * 24 * 3600 * 1_000_000_000);
        let next = year / period_ns;
        let turn = turn(period_ns, next, next * period_ns - 5);
        assert_eq!(turn, Turn { wait_ns: 5, number: next });
    }

    #[test]
    fn a_ticker_that_is_told_to_stop_does_not_wait() {
        let stop = Stop::new();
        let mut ticker = Ticker::new(Pace::Hz(RATE_HZ_MIN));
        assert!(!ticker.wait(&stop), "the first picture is due at once");
        stop.say();
        assert!(ticker.wait(&stop));
        assert!(Ticker::new(Pace::Free).wait(&stop));
    }
}
