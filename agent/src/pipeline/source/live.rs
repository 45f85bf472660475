//! What every camera's table has: how fast it is, and how long it may be silent.

use std::time::Duration;

use crate::config::Section;

/// What a camera is expected to give where nothing is configured.
const RATE_HZ: f64 = 30.0;
/// Slowest and fastest.
const RATES_HZ: std::ops::RangeInclusive<f64> = 0.05..=1000.0;
/// A silence that is reported within three seconds, and longer than any camera pauses for a change of exposure.
const SILENCE: Duration = Duration::from_millis(2500);
/// Periods that may be silent besides: one frame may be lost on the way, and two are no bad luck.
const PERIODS: f64 = 3.0;
/// A network camera that wakes, and the key frame that its stream begins with.
const START: Duration = Duration::from_secs(15);
/// Longest of both: ten minutes without a frame is a dead camera whatever is configured.
const WAIT_MAX_S: f64 = 600.0;
/// Shortest silence that is told from none.
const WAIT_MIN_S: f64 = 0.2;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Live {
    /// Frames a second that are expected.
    pub(super) rate_hz: f64,
    /// How long until a source that gave frames has failed.
    pub(super) silence: Duration,
    /// How long the first frame may take.
    pub(super) start: Duration,
}

/// How often a wait looks whether it is to stop.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(100);

impl Live {
    /// How long frame number `seq` of an open camera may take.
    pub(super) fn patience(&self, seq: u64) -> Duration {
        if seq == 0 { self.start } else { self.silence }
    }

    /// Reads `rate_hz`, `silence_s` and `start_s`.
    pub(super) fn read(section: &Section<'_>) -> Self {
        let rate_hz = section.number("rate_hz", RATES_HZ).unwrap_or(RATE_HZ);
        let wait = |key| section.number(key, WAIT_MIN_S..=WAIT_MAX_S).map(Duration::from_secs_f64);
        let silence = SILENCE.max(Duration::from_secs_f64(PERIODS / rate_hz));
        Self {
            rate_hz,
            silence: wait("silence_s").unwrap_or(silence),
            start: wait("start_s").unwrap_or(START.max(silence)),
        }
    }
}
