//! Which frames are worth a run of the model. Pure: time is an argument.
//!
//! ```text
//! wanted by somebody ─▶ infer
//! not the Nth, above the rate ─▶ thinned      the same byte by byte ─▶ duplicate      nothing moved ─▶ still
//! ```

use std::time::Duration;

use super::luma::{CELLS, Luma};
use crate::config::Section;
use crate::config::section::narrow;
use crate::pipeline::health::Skipped;

/// Every how many frames at most.
const EVERY: std::ops::RangeInclusive<u32> = 1..=10_000;
/// Rates that make sense, in frames a second.
const RATE_HZ: std::ops::RangeInclusive<f64> = 0.001..=1000.0;
/// Levels by which a cell has to change, of 255: more than the noise of a camera in the dark, on average of a cell.
const LEVELS: std::ops::RangeInclusive<u8> = 1..=255;
const LEVELS_DEFAULT: u8 = 8;
/// How long frames are still inferred after something moved.
const AFTER_MS: std::ops::RangeInclusive<u64> = 0..=3_600_000;
const AFTER_MS_DEFAULT: u64 = 1_000;
/// How long at most nothing is inferred because nothing moves; 0: for as long as that is so.
const AT_LEAST_MS: std::ops::RangeInclusive<u64> = 0..=86_400_000;
const AT_LEAST_MS_DEFAULT: u64 = 5_000;

/// Which frames are worth a run.
#[derive(Debug, Clone, PartialEq)]
pub struct GateSettings {
    /// Every how many frames.
    pub every: u32,
    /// Frames a second, at most.
    pub max_hz: Option<f64>,
    /// Share of the picture that must have changed.
    pub motion: Option<f32>,
    /// Levels by which a place has changed.
    pub levels: u8,
    /// How long frames are still inferred after something moved.
    pub after: Duration,
    /// How long at most nothing is inferred because nothing moves.
    pub at_least: Option<Duration>,
    /// Whether the same picture is not inferred twice.
    pub duplicates: bool,
}

impl Default for GateSettings {
    /// Every frame is worth one.
    fn default() -> Self {
        Self {
            every: 1,
            max_hz: None,
            motion: None,
            levels: LEVELS_DEFAULT,
            after: Duration::from_millis(AFTER_MS_DEFAULT),
            at_least: Some(Duration::from_millis(AT_LEAST_MS_DEFAULT)),
            duplicates: false,
        }
    }
}

impl GateSettings {
    /// Reads `[pipeline.gate]`.
    #[must_use]
    pub fn read(section: &Section<'_>) -> Self {
        let default = Self::default();
        let millis = |key, range, default| {
            Duration::from_millis(section.integer::<u64>(key, range).unwrap_or(default))
        };
        let at_least = millis("at_least_every_ms", AT_LEAST_MS, AT_LEAST_MS_DEFAULT);
        Self {
            every: section.integer("every", EVERY).unwrap_or(1),
            max_hz: section.number("max_hz", RATE_HZ),
            motion: section.number("motion", 0.0..=1.0).map(narrow),
            levels: section.integer("levels", LEVELS).unwrap_or(default.levels),
            after: millis("after_ms", AFTER_MS, AFTER_MS_DEFAULT),
            at_least: Some(at_least).filter(|time| !time.is_zero()),
            duplicates: section.flag("skip_duplicates").unwrap_or(default.duplicates),
        }
    }

    /// Frames a second that pass at most, of a source of `rate_hz`.
    #[must_use]
    pub fn most_hz(&self, rate_hz: f64) -> f64 {
        (rate_hz / f64::from(self.every)).min(self.max_hz.unwrap_or(f64::INFINITY))
    }
}

/// Decides frame by frame.
#[derive(Debug)]
pub(super) struct Gate {
    settings: GateSettings,
    count: u64,
    due: Option<Duration>,
    /// What the picture that was inferred last looked like.
    reference: Option<[u8; CELLS]>,
    digest: Option<u64>,
    /// When something moved last, and when a frame was inferred last.
    moved: Option<Duration>,
    inferred: Option<Duration>,
}

impl Gate {
    /// A gate that has seen nothing.
    #[must_use]
    pub(super) fn new(settings: GateSettings) -> Self {
        Self {
            settings,
            count: 0,
            due: None,
            reference: None,
            digest: None,
            moved: None,
            inferred: None,
        }
    }

    /// Whether the next frame is left out to keep to `limit_hz` and the configured rate. Asked once a frame, before
    /// it is looked at.
    #[must_use]
    pub(super) fn thins(&mut self, now: Duration, limit_hz: Option<f64>) -> bool {
        let nth = self.count.is_multiple_of(self.settings.every.into());
        self.count += 1;
        if !nth {
            return true;
        }
        let rate = match (self.settings.max_hz, limit_hz) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let Some(period) = rate.and_then(|rate| Duration::try_from_secs_f64(1.0 / rate).ok())
        else {
            self.due = None;
            return false;
        };
        // What is due within the moment is not worth waiting a whole frame for.
        let slack = period / 20;
        if self.due.is_some_and(|due| now + slack < due) {
            return true;
        }
        // The average keeps to the rate; what was missed is not made up for.
        let due = self.due.map_or(now, |due| due.max(now.saturating_sub(period)));
        self.due = Some(due + period);
        false
    }

    /// Whether a frame with these bytes was the last that was inferred.
    #[must_use]
    pub(super) fn repeats(&self, digest: Option<u64>) -> bool {
        digest.is_some() && self.digest == digest
    }

    /// Why the frame that looks like this is not worth a run; `None`: it is. A frame that is inferred all the same
    /// is told by [`Gate::inferred`].
    #[must_use]
    pub(super) fn still(&mut self, now: Duration, luma: &Luma) -> Option<Skipped> {
        let share = self.settings.motion?;
        let reference = self.reference?;
        if luma.changed(&reference, self.settings.levels) >= share.max(f32::MIN_POSITIVE) {
            self.moved = Some(now);
        }
        let within = |since: Option<Duration>, time: Duration| {
            since.is_some_and(|since| now.saturating_sub(since) < time)
        };
        let overdue = self.settings.at_least.is_some_and(|time| !within(self.inferred, time));
        let moves = self.moved == Some(now) || within(self.moved, self.settings.after);
        (!moves && !overdue).then_some(Skipped::Still)
    }

    /// The frame that looks like this and has these bytes, where it was looked at, is inferred.
    pub(super) fn inferred(&mut self, now: Duration, luma: Option<&Luma>, digest: Option<u64>) {
        if let Some(luma) = luma {
            self.reference = Some(luma.cells);
        }
        self.digest = digest;
        self.inferred = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::section::tests::check;

    fn gate(text: &str) -> Gate {
        let settings = std::cell::RefCell::new(None);
        let mistakes = check(text, |section| {
            settings.replace(Some(GateSettings::read(section)));
        });
        assert_eq!(mistakes, [""; 0], "{text}");
        Gate::new(settings.into_inner().unwrap())
    }

    fn picture(bright_cells: usize) -> Luma {
        let mut cells = [50; CELLS];
        cells[..bright_cells].fill(90);
        Luma::of(cells, Some(u64::try_from(bright_cells).unwrap()))
    }

    #[test]
    fn a_rate_is_kept_on_average_whatever_the_rhythm() {
        for (source_hz, max_hz, jitter_ms) in
            [(30.0, 10.0, 0), (30.0, 7.0, 0), (25.0, 10.0, 7), (10.0, 30.0, 0), (30.0, 29.0, 3)]
        {
            let mut gate = gate(&format!("max_hz = {max_hz}"));
            let mut passed = 0;
            for frame in 0..300_u32 {
                let even = Duration::from_secs_f64(f64::from(frame) / source_hz);
                let now = even + Duration::from_millis(u64::from(frame * 7919 % 3) * jitter_ms);
                passed += u32::from(!gate.thins(now, None));
            }
            let rate = f64::from(passed) / (300.0 / source_hz);
            let wanted = f64::min(source_hz, max_hz);
            assert!(rate <= wanted * 1.06 && rate > wanted * 0.9, "{source_hz} {max_hz}: {rate}");
        }
    }

    #[test]
    fn every_nth_frame_passes_and_the_lower_of_two_rates_holds() {
        let mut gate = gate("every = 3\nmax_hz = 100");
        let ms = Duration::from_millis;
        let passed: Vec<bool> = (0..7).map(|frame| !gate.thins(ms(100 * frame), None)).collect();
        assert_eq!(passed, [true, false, false, true, false, false, true]);
        let mut gate = self::gate("max_hz = 5");
        let passed = (0..100).filter(|frame| !gate.thins(ms(100 * frame), Some(2.0))).count();
        assert_eq!(passed, 20);
    }

    #[test]
    fn a_still_picture_is_inferred_now_and_then_and_a_moving_one_until_a_little_after() {
        let mut gate = gate("motion = 0.01\nafter_ms = 300\nat_least_every_ms = 2000");
        let mut passed = Vec::new();
        for frame in 0_u64..60 {
            let now = Duration::from_millis(100 * frame);
            // Ten cells change for five frames; one cell flickers all the time.
            let moving = (30..35).contains(&frame);
            let cells = if moving { 10 * usize::try_from(frame - 28).unwrap() } else { 1 };
            let luma = picture(cells - usize::from(frame % 2 == 0));
            if gate.still(now, &luma).is_none() {
                gate.inferred(now, Some(&luma), luma.digest);
                passed.push(frame);
            }
        }
        assert_eq!(passed, [0, 20, 30, 31, 32, 33, 34, 35, 36, 37, 57]);
    }

    #[test]
    fn the_same_picture_repeats_the_one_that_was_inferred_last_and_no_other() {
        let mut gate = gate("skip_duplicates = true");
        let mut repeats = Vec::new();
        for digest in [1, 1, 2, 2, 1].map(Some) {
            repeats.push(gate.repeats(digest));
            if !gate.repeats(digest) {
                gate.inferred(Duration::ZERO, None, digest);
            }
        }
        assert_eq!(repeats, [false, true, false, true, false]);
    }
}
