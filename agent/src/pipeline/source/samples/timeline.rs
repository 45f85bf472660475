//! When a sample was taken, by which clock, and whether it follows the one before.
//!
//! With a time column the sensor's clock counts. Without one samples are taken to be evenly spaced, since when they
//! arrive says little: they come in packets. A sample that cannot be used still takes its time. Pure: times are
//! arguments, in seconds.

/// Samples that do not come for so long are missing, whatever the spacing of those that do.
const ARRIVAL_GAP_S: f64 = 1.5;
/// A gap is at least so long where none is configured, and
const GAP_S: f64 = 0.25;
/// at least so many samples.
const GAP_SAMPLES: f64 = 10.0;

/// Shortest gap for samples at `rate_hz`, where none is configured.
pub(super) fn gap_s(rate_hz: f64) -> f64 {
    GAP_S.max(GAP_SAMPLES / rate_hz)
}

/// Whose clock counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Clock {
    /// The sensor's: each sample has a time.
    Stamped,
    /// None: so many samples a second.
    Counted(f64),
}

/// Why a window is begun anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// It is the first sample, or nothing is wrong.
    Begin,
    /// Samples are missing.
    Gap,
    /// The sensor's clock was set.
    Jump,
}

/// Where a sample lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Placed {
    /// At this time, after the one before.
    At(f64),
    /// At this time, and not after the one before.
    Anew(f64, Why),
    /// Nowhere: its time is no time, or again that of the one before.
    Nowhere,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Timeline {
    clock: Clock,
    gap_s: f64,
    /// Samples since `began`, those that could not be used included.
    counted: u64,
    began: f64,
    /// Time of the last sample, and when it arrived.
    last: Option<(f64, f64)>,
}

impl Timeline {
    pub(super) fn new(clock: Clock, gap_s: f64) -> Self {
        Self { clock, gap_s, counted: 0, began: 0.0, last: None }
    }

    pub(super) fn clock(&self) -> Clock {
        self.clock
    }

    /// From now on samples are so many a second. Begins anew.
    pub(super) fn set_rate(&mut self, rate_hz: f64) {
        self.began = self.counted_now();
        self.counted = 0;
        self.clock = Clock::Counted(rate_hz);
        self.last = None;
    }

    /// The next sample begins anew, and nothing is wrong with that.
    pub(super) fn begin(&mut self) {
        self.last = None;
    }

    /// A sample that cannot be used.
    pub(super) fn skip(&mut self) {
        self.counted += 1;
    }

    /// Where the next sample lies, which says `stamp` and arrived at `arrived`.
    pub(super) fn place(&mut self, stamp: Option<f64>, arrived: f64) -> Placed {
        let at = match (self.clock, stamp) {
            (Clock::Counted(_), _) => {
                let at = self.counted_now();
                self.counted += 1;
                at
            }
            (Clock::Stamped, Some(stamp)) if stamp.is_finite() => stamp,
            (Clock::Stamped, _) => return Placed::Nowhere,
        };
        let Some((before, arrived_before)) = self.last.replace((at, arrived)) else {
            return Placed::Anew(at, Why::Begin);
        };
        let (step, waited) = (at - before, arrived - arrived_before);
        match self.clock {
            Clock::Stamped if step == 0.0 => Placed::Nowhere,
            Clock::Stamped if step < 0.0 => Placed::Anew(at, Why::Jump),
            // Who waited for it about as long as it says saw a gap; else the clock was set.
            Clock::Stamped if step > self.gap_s && waited >= step / 2.0 => {
                Placed::Anew(at, Why::Gap)
            }
            Clock::Stamped if step > self.gap_s => Placed::Anew(at, Why::Jump),
            Clock::Counted(_) if step > self.gap_s || waited > self.gap_s.max(ARRIVAL_GAP_S) => {
                Placed::Anew(at, Why::Gap)
            }
            _ => Placed::At(at),
        }
    }

    #[expect(clippy::as_conversions, reason = "samples of a thousand years are below 2^53")]
    fn counted_now(&self) -> f64 {
        match self.clock {
            Clock::Counted(rate_hz) => self.began + self.counted as f64 / rate_hz,
            Clock::Stamped => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_that_follow_each_other_are_taken_and_gaps_and_jumps_are_told_apart() {
        for (what, stamp, arrived, wanted) in [
            ("the next", 10.1, 5.1, Placed::At(10.1)),
            ("a late packet", 10.1, 9.0, Placed::At(10.1)),
            ("the same again", 10.0, 5.1, Placed::Nowhere),
            ("no time", f64::NAN, 5.1, Placed::Nowhere),
            ("a gap", 12.0, 7.0, Placed::Anew(12.0, Why::Gap)),
            ("set forward", 90.0, 5.1, Placed::Anew(90.0, Why::Jump)),
            ("set back", 3.0, 5.1, Placed::Anew(3.0, Why::Jump)),
        ] {
            let mut line = Timeline::new(Clock::Stamped, 0.25);
            assert_eq!(line.place(Some(10.0), 5.0), Placed::Anew(10.0, Why::Begin));
            assert_eq!(line.place(Some(stamp), arrived), wanted, "{what}");
        }
        let mut line = Timeline::new(Clock::Stamped, 0.25);
        assert_eq!(line.place(None, 0.0), Placed::Nowhere);
    }

    #[test]
    fn without_stamps_samples_are_even_however_they_arrive_and_a_lost_one_takes_its_time() {
        let mut line = Timeline::new(Clock::Counted(100.0), 0.25);
        assert_eq!(line.place(None, 0.0), Placed::Anew(0.0, Why::Begin));
        assert_eq!(line.place(None, 1.0), Placed::At(0.01));
        line.skip();
        assert_eq!(line.place(None, 1.0), Placed::At(0.03));
        assert_eq!(line.place(None, 3.0), Placed::Anew(0.04, Why::Gap));
        (0..30).for_each(|_| line.skip());
        assert_eq!(line.place(None, 3.0), Placed::Anew(0.35, Why::Gap));
        line.begin();
        assert_eq!(line.place(None, 9.0), Placed::Anew(0.36, Why::Begin));
    }
}
