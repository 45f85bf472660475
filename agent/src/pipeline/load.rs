//! How many frames a second a pipeline infers when its board is hot, or its model too slow. Pure: time and readings
//! are arguments.
//!
//! ```text
//! near the throttle point, throttled, or frames replaced, for a while ─▶ one step down: three quarters of the rate
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
        }
    }

    /// Frames a second, where it is less than all.
    #[must_use]
    pub fn limit_hz(&self) -> Option<f64> {
        (self.level > 0).then(|| self.rate(self.level))
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
        if self.stepped_up.is_some() {
            // The last one lasted until now.
            self.patience = (self.patience / 2).max(1);
        }
        self.level -= 1;
        (self.well_since, self.stepped_up) = (None, Some(now));
        Some(Step { limit_hz: self.limit_hz(), reason: Reason::Well })
    }

    fn down(&mut self, reason: Reason, now: Duration) -> Option<Step> {
        self.bad_since = None;
        if self.rate(self.level) <= self.settings.min_hz {
            return None;
        }
        self.level += 1;
        // A step up that did not last was too early: a board takes minutes to get hot.
        if let Some(up) = self.stepped_up.take() {
            let early = now.saturating_sub(up) < self.settings.up * self.patience * LASTED;
            self.patience = if early { (2 * self.patience).min(PATIENCE_MAX) } else { 1 };
        }
        Some(Step { limit_hz: self.limit_hz(), reason })
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
        (self.full_hz * STEP.powi(level)).max(self.settings.min_hz).min(self.full_hz)
    }
}

/// Share of the frames that newer ones replaced; `None` where there were too few to say.
#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn late(strain: &Strain) -> Option<f64> {
    let all = strain.inferred + strain.replaced;
    (all >= FRAMES_MIN).then(|| strain.replaced as f64 / all as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::section::tests::check;

    /// Looks every five seconds.
    const EVERY: Duration = Duration::from_secs(5);

    fn settings() -> LoadSettings {
        let read = std::cell::RefCell::new(None);
        let mistakes = check("min_hz = 2", |section| {
            read.replace(Some(LoadSettings::read(section)));
        });
        assert_eq!(mistakes, [""; 0]);
        read.into_inner().unwrap()
    }

    #[test]
    fn it_steps_down_after_a_while_of_bad_and_up_after_a_longer_while_of_well() {
        let mut controller = Controller::new(settings(), 30.0);
        let hot = Strain { margin_c: Some(4.0), ..Strain::default() };
        let warm = Strain { margin_c: Some(7.0), ..Strain::default() };
        let cool = Strain { margin_c: Some(20.0), ..Strain::default() };
        let mut steps = Vec::new();
        for (index, strain) in [hot; 6].iter().chain(&[warm; 30]).chain(&[cool; 30]).enumerate() {
            let now = EVERY * u32::try_from(index).unwrap();
            if let Some(step) = controller.look(strain, now) {
                steps.push((index, step.reason, step.limit_hz));
            }
        }
        let expected = [
            (2, Reason::Hot, Some(22.5)),
            (5, Reason::Hot, Some(16.875)),
            (48, Reason::Well, Some(22.5)),
            (61, Reason::Well, None),
        ];
        assert_eq!(steps, expected, "what is only warm changes nothing");
    }

    #[test]
    fn it_never_goes_below_the_least_nor_above_all() {
        let mut controller = Controller::new(settings(), 30.0);
        let throttled = Strain { throttled: Some(true), ..Strain::default() };
        let mut now = Duration::ZERO;
        let mut last = None;
        for _ in 0..200 {
            now += EVERY;
            last = controller.look(&throttled, now).or(last);
            let limit = controller.limit_hz().unwrap_or(30.0);
            assert!((2.0..=30.0).contains(&limit), "{limit}");
        }
        assert_eq!(last, Some(Step { limit_hz: Some(2.0), reason: Reason::Throttled }));
    }

    #[test]
    fn what_cannot_be_read_is_no_reason_for_anything() {
        let mut controller = Controller::new(settings(), 30.0);
        for second in 0..1000 {
            assert_eq!(controller.look(&Strain::default(), Duration::from_secs(second)), None);
        }
    }

    /// Four hours of a source of 30 a second; `strain` says how it is at a rate.
    fn simulate(mut strain: impl FnMut(f64) -> Strain) -> (Vec<(Duration, f64)>, f64) {
        let mut controller = Controller::new(settings(), 30.0);
        let (mut steps, mut frames) = (Vec::new(), 0.0);
        for look in 1..=2880_u32 {
            let rate = controller.limit_hz().unwrap_or(30.0);
            frames += rate * EVERY.as_secs_f64();
            if controller.look(&strain(rate), EVERY * look).is_some() {
                steps.push((EVERY * look, controller.limit_hz().unwrap_or(30.0)));
            }
        }
        (steps, frames / (2880.0 * EVERY.as_secs_f64()))
    }

    #[test]
    fn a_model_that_is_too_slow_soon_gets_what_it_can_do_and_is_tried_again_ever_more_rarely() {
        for most_hz in [4.0, 7.0, 13.0, 21.0, 29.0] {
            let (steps, mean_hz) = simulate(|rate| {
                let inferred = f64::min(rate, most_hz) * 5.0;
                let round = |frames: f64| frames.round().to_string().parse().unwrap();
                let replaced = round(rate * 5.0 - inferred);
                Strain { inferred: round(inferred), replaced, ..Strain::default() }
            });
            let later = steps.iter().filter(|(at, _)| *at > Duration::from_secs(7200)).count();
            assert!(later <= 10, "{most_hz}: {steps:?}");
            assert!(mean_hz >= 0.7 * most_hz && mean_hz <= 1.3 * most_hz, "{most_hz}: {mean_hz}");
        }
    }

    #[test]
    fn a_board_that_gets_too_hot_settles_below_its_trip_point() {
        for outside_c in [25.0, 45.0, 60.0] {
            // Two degrees more for each frame a second, reached within some minutes; it trips at 95.
            let mut temperature: f64 = outside_c;
            let mut tripped = 0;
            let (steps, mean_hz) = simulate(|rate| {
                temperature += (outside_c + 2.0 * rate - temperature) * 5.0 / 120.0;
                tripped += u32::from(temperature >= 95.0);
                let throttled = Some(temperature >= 95.0);
                Strain { margin_c: Some(95.0 - temperature), throttled, ..Strain::default() }
            });
            let later = steps.iter().filter(|(at, _)| *at > Duration::from_secs(7200)).count();
            assert!(later <= 10 && tripped == 0, "{outside_c}: {tripped} {steps:?}");
            let possible = f64::min(30.0, (90.0 - outside_c) / 2.0);
            assert!(mean_hz > 0.6 * possible && mean_hz < 1.2 * possible, "{outside_c}: {mean_hz}");
        }
    }
}
