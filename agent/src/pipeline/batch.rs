//! When those that wait go together into one run, and how many at most. Pure: time is an argument.
//!
//! Frames of pipelines that share an engine (`latest`) and requests of programs (`api/work`) are held to the same
//! rule: who waits goes as soon as no more fit or come, and after so long whoever else there is.

use std::time::Duration;

use crate::config::Section;

/// Frames in one run: as many cameras as a board of this class has, and a lane has memory for so many.
const MAX: std::ops::RangeInclusive<usize> = 1..=16;
/// How long a frame waits for others, in milliseconds: a third of a period at 30 a second gets most of what batches
/// give.
const DELAY_MS_DEFAULT: u64 = 10;
/// A second is the period of the slowest cameras that are worth waiting for.
const DELAY_MS: std::ops::RangeInclusive<u64> = 0..=1000;

/// How many go together, and how long one waits for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// At most so many in one run.
    pub max: usize,
    /// How long the first of them waits for others.
    pub delay: Duration,
}

impl Batch {
    /// Each has a run of its own.
    pub const ALONE: Self = Self { max: 1, delay: Duration::ZERO };

    /// Reads `batch_max` and `batch_delay_ms` of a model.
    #[must_use]
    pub fn read(section: &Section<'_>) -> Self {
        let max = section.integer("batch_max", MAX).unwrap_or(1);
        let delay = section.integer("batch_delay_ms", DELAY_MS);
        if section.has("batch_delay_ms") && !section.has("batch_max") {
            section.mistake("batch_delay_ms", "waits for a batch: set `batch_max` too");
        }
        Self { max, delay: Duration::from_millis(delay.unwrap_or(DELAY_MS_DEFAULT)) }
    }

    /// How much longer those wait of whom the first has `waited`; `None`: they go now. `full`: no more fit, or none
    /// is to be expected.
    #[must_use]
    pub fn waits(&self, full: bool, waited: Duration) -> Option<Duration> {
        if full || self.max < 2 {
            return None;
        }
        self.delay.checked_sub(waited).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::section::tests::check;

    #[test]
    fn who_waits_goes_when_no_more_fit_or_the_time_is_over() {
        let ms = Duration::from_millis;
        let batch = Batch { max: 4, delay: ms(10) };
        for (batch, full, waited, left) in [
            (batch, false, ms(0), Some(ms(10))),
            (batch, false, ms(7), Some(ms(3))),
            (batch, false, ms(10), None),
            (batch, false, ms(99), None),
            (batch, true, ms(0), None),
            (Batch { max: 1, ..batch }, false, ms(0), None),
            (Batch { delay: ms(0), ..batch }, false, ms(0), None),
        ] {
            assert_eq!(batch.waits(full, waited), left, "{batch:?} {full} {waited:?}");
        }
    }

    #[test]
    fn nothing_is_batched_unless_that_was_asked_for() {
        let read = |text: &str| {
            let found = std::cell::Cell::new(Batch::ALONE);
            let mistakes = check(text, |section| found.set(Batch::read(section)));
            (found.get().max, found.get().delay.as_millis(), mistakes.join("\n"))
        };
        assert_eq!(read(""), (1, 10, String::new()));
        assert_eq!(read("batch_max = 4\nbatch_delay_ms = 3"), (4, 3, String::new()));
        let (_, _, mistake) = read("batch_delay_ms = 3");
        assert_eq!(mistake, "line 1: `batch_delay_ms`: waits for a batch: set `batch_max` too");
    }
}
