//! How many frames a second a pipeline infers, and by which model, when its board is hot, or its model too slow. Pure:
//! time and readings are arguments.
//!
//! ```text
//! near the throttle point, throttled, or frames replaced, for a while ─▶ one step down: the lighter model, where there
//!                                                   is one, which still sees every frame; then three quarters of the rate
//! none of it for a longer while ─▶ one step up; that it was too early doubles the while until the next
//! ```
//!
//! **Invariants:** the rate is never below the configured least, nor above the source's; and a board or a model that
//! cannot do more is tried again ever more rarely (`a_model_that_is_too_slow_…`, `a_board_that_gets_too_hot_…`).

use std::time::Duration;

use crate::config::Section;

/// Name of the events that tell of steps.
pub const LOAD_EVENT: &str = "load";
/// What one step leaves of the rate.
const STEP: f64 = 0.75;
/// How much longer than configured a step up waits at most, after it was too early again and again.
const PATIENCE_MAX: u32 = 32;
/// A step up was right where it lasted so many times as long as it was waited for.
const LASTED: u32 = 10;
/// Frames that must have come between two looks to say whether they were replaced.
const FRAMES_MIN: u64 = 3;

const MIN_HZ_DEFAULT: f64 = 1.0;
const MARGIN_C_DEFAULT: f64 = 5.0;
/// How much cooler it must be to be well.
const CLEAR_ABOVE_C: f64 = 4.0;
const LATE_DEFAULT: f64 = 0.1;
const DOWN_S_DEFAULT: u64 = 10;
const UP_S_DEFAULT: u64 = 60;
/// An hour.
const SECONDS: std::ops::RangeInclusive<u64> = 1..=3_600;

/// When a pipeline infers less, and when more again.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadSettings {
    /// Name of the model that infers its frames from the first step down on, where there is one.
    pub lighter: Option<String>,
    /// Least frames a second.
    pub min_hz: f64,
    /// Degrees below the nearest trip point from which on it is too hot, and from which on well again.
    pub margin_c: (f64, f64),
    /// Share of frames that may be replaced by newer ones.
    pub late: f64,
    /// How long it must be bad for a step down.
    pub down: Duration,
    /// How long well for a step up.
    pub up: Duration,
}

impl LoadSettings {
    /// Reads `[pipeline.load]`.
    #[must_use]
    pub fn read(section: &Section<'_>) -> Self {
        let seconds =
            |key, default| Duration::from_secs(section.integer(key, SECONDS).unwrap_or(default));
        let margin = section.number("margin_c", 0.0..=100.0).unwrap_or(MARGIN_C_DEFAULT);
        let clear = section.number("clear_c", 0.0..=100.0).unwrap_or(margin + CLEAR_ABOVE_C);
        if clear < margin {
            section.mistake("clear_c", format!("{clear} is below `margin_c`, {margin}"));
        }
        Self {
            lighter: section.text("lighter"),
            min_hz: section.number("min_hz", 0.01..=1000.0).unwrap_or(MIN_HZ_DEFAULT),
            margin_c: (margin, clear),
            late: section.number("late", 0.0..=1.0).unwrap_or(LATE_DEFAULT),
            down: seconds("down_after_s", DOWN_S_DEFAULT),
            up: seconds("up_after_s", UP_S_DEFAULT),
        }
    }
}

/// What is known of a board and a pipeline at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Strain {
    /// How far the board is from the nearest trip point.
    pub margin_c: Option<f64>,
    /// Whether something slows the board down.
    pub throttled: Option<bool>,
    /// Frames since the look before that were inferred, and that newer ones replaced.
    pub inferred: u64,
    /// See `inferred`.
    pub replaced: u64,
}

/// Why a step was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The board is near a trip point.
    Hot,
    /// The board is slowed down.
    Throttled,
    /// The model does not keep up.
    Late,
    /// All is well.
    Well,
}

impl Reason {
    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Hot => "the board is near a trip point",
            Self::Throttled => "the board is slowed down",
            Self::Late => "the model does not keep up: frames are replaced by newer ones",
            Self::Well => "all was well for a while",
        }
    }
}

/// A step that was taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Frames a second from now on; `None`: as many as the source gives.
    pub limit_hz: Option<f64>,
    /// Whether the lighter model infers them from now on.
    pub lighter: bool,
    /// Why.
    pub reason: Reason,
}

/// Decides for one pipeline.
#[derive(Debug)]
pub struct Controller {
    settings: LoadSettings,
    full_hz: f64,
    level: i32,
    bad_since: Option<Duration>,
    well_since: Option<Duration>,
    /// How many times longer than configured a step up waits, and when the last one was.
    patience: u32,
    stepped_up: Option<Duration>,
    /// The patience at the first of the steps up since the last one down.
    climbed_with: u32,
}

impl Controller {
    /// For a source of `full_hz` frames a second.
    #[must_use]
    pub fn new(settings: LoadSettings, full_hz: f64) -> Self {
        Self {
            settings,
            full_hz,
            level: 0,
            bad_since: None,
            well_since: None,
            patience: 1,
            stepped_up: None,
            climbed_with: 1,
        }
    }

    /// Frames a second, where it is less than all.
    #[must_use]
    pub fn limit_hz(&self) -> Option<f64> {
        (self.slower(self.level) > 0).then(|| self.rate(self.level))
    }

    /// Whether the lighter model is to infer them.
    #[must_use]
    pub fn is_lighter(&self) -> bool {
        self.settings.lighter.is_some() && self.level > 0
    }

    fn step(&self, reason: Reason) -> Step {
        Step { limit_hz: self.limit_hz(), lighter: self.is_lighter(), reason }
    }

    /// How many of the steps down to `level` are of the rate.
    fn slower(&self, level: i32) -> i32 {
        (level - i32::from(self.settings.lighter.is_some())).max(0)
    }

    /// Looks at how it is at `now`. What is to be changed, if anything.
    pub fn look(&mut self, strain: &Strain, now: Duration) -> Option<Step> {
        let bad = self.bad(strain);
        if let Some(reason) = bad {
            self.well_since = None;
            let since = *self.bad_since.get_or_insert(now);
            if now.saturating_sub(since) < self.settings.down {
                return None;
            }
            return self.down(reason, now);
        }
        self.bad_since = None;
        if !self.well(strain) || self.level == 0 {
            self.well_since = None;
            return None;
        }
        let since = *self.well_since.get_or_insert(now);
        if now.saturating_sub(since) < self.settings.up * self.patience {
            return None;
        }
        match self.stepped_up {
            // The last one lasted until now.
            Some(_) => self.patience = (self.patience / 2).max(1),
            None => self.climbed_with = self.patience,
        }
        self.level -= 1;
        (self.well_since, self.stepped_up) = (None, Some(now));
        Some(self.step(Reason::Well))
    }

    fn down(&mut self, reason: Reason, now: Duration) -> Option<Step> {
        self.bad_since = None;
        let heavy = self.settings.lighter.is_some() && !self.is_lighter();
        if !heavy && self.rate(self.level) <= self.settings.min_hz {
            return None;
        }
        self.level += 1;
        // A step up that did not last was too early: a board takes minutes to get hot.
        if let Some(up) = self.stepped_up.take() {
            // Steps up that followed it were quicker, and so say nothing of how long to wait for the next.
            let waited = self.climbed_with;
            let early = now.saturating_sub(up) < self.settings.up * waited * LASTED;
            self.patience = if early { (2 * waited).min(PATIENCE_MAX) } else { 1 };
        }
        Some(self.step(reason))
    }

    /// What is bad, the worst first.
    fn bad(&self, strain: &Strain) -> Option<Reason> {
        if strain.throttled == Some(true) {
            return Some(Reason::Throttled);
        }
        if strain.margin_c.is_some_and(|margin| margin < self.settings.margin_c.0) {
            return Some(Reason::Hot);
        }
        late(strain).is_some_and(|late| late > self.settings.late).then_some(Reason::Late)
    }

    /// Whether nothing is bad, nor near to it. What is not known is well.
    fn well(&self, strain: &Strain) -> bool {
        strain.margin_c.is_none_or(|margin| margin >= self.settings.margin_c.1)
            && late(strain).is_none_or(|late| late <= self.settings.late / 2.0)
    }

    fn rate(&self, level: i32) -> f64 {
        (self.full_hz * STEP.powi(self.slower(level))).max(self.settings.min_hz).min(self.full_hz)
    }
}

/// Share of the frames that newer ones replaced; `None` where there were too few to say.
#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn late(strain: &Strain) -> Option<f64> {
    let all = strain.inferred + strain.replaced;
    (all >= FRAMES_MIN).then(|| strain.replaced as f64 / all as f64)
}

#[cfg(test)]
mod tests;
