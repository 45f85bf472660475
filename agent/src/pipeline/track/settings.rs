//! `[pipeline.track]`: whether and how objects are followed from frame to frame.

use std::time::Duration;

use crate::config::Section;
use crate::config::section::narrow;

/// Frames in which an object must be seen before it has a number.
const CONFIRM: std::ops::RangeInclusive<u32> = 1..=30;
/// How long an object that is not seen is waited for, in milliseconds; longer, and its place says nothing any more.
const LOST_MS: std::ops::RangeInclusive<u64> = 0..=30_000;
const LOST_MS_DEFAULT: u64 = 1_000;

/// How objects are followed.
#[derive(Debug, Clone, PartialEq)]
pub struct TrackSettings {
    /// From which score on a box is believed by itself.
    pub high: f32,
    /// From which score on a box continues an object that was there before.
    pub low: f32,
    /// From which score on a box that continues nothing begins a new object.
    pub begin: f32,
    /// Least overlap (intersection over union) of where an object should be and where it is.
    pub overlap: f32,
    /// How long an object that is not seen is waited for.
    pub lost: Duration,
    /// Frames in which an object must be seen before it has a number.
    pub confirm: u32,
    /// Whether an object keeps its class.
    pub by_class: bool,
}

impl Default for TrackSettings {
    fn default() -> Self {
        Self {
            high: 0.5,
            low: 0.1,
            begin: 0.6,
            overlap: 0.2,
            lost: Duration::from_millis(LOST_MS_DEFAULT),
            confirm: 2,
            by_class: true,
        }
    }
}

impl TrackSettings {
    /// Reads the table.
    #[must_use]
    pub fn read(section: &Section<'_>) -> Self {
        let default = Self::default();
        let score = |key, default| section.number(key, 0.0..=1.0).map_or(default, narrow);
        let high = score("high", default.high);
        let settings = Self {
            high,
            low: score("low", default.low.min(high)),
            begin: score("begin", default.begin.max(high)),
            overlap: score("overlap", default.overlap),
            lost: section.integer("lost_ms", LOST_MS).map_or(default.lost, Duration::from_millis),
            confirm: section.integer("confirm", CONFIRM).unwrap_or(default.confirm),
            by_class: section.flag("by_class").unwrap_or(default.by_class),
        };
        if settings.low > settings.high {
            section.mistake("low", format!("{} is above `high`, {high}", settings.low));
        }
        if settings.begin < settings.high {
            section.mistake("begin", format!("{} is below `high`, {high}", settings.begin));
        }
        settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::section::tests::check;

    #[test]
    fn thresholds_that_contradict_each_other_are_refused() {
        for (text, wanted) in [
            ("high = 0.4\nlow = 0.1\nlost_ms = 500\nconfirm = 1\nby_class = false\n", &[][..]),
            ("high = 0.05", &[]),
            ("high = 0.9", &[]),
            ("high = 0.4\nlow = 0.5", &["line 2: `low`: 0.5 is above `high`, 0.4"]),
            ("begin = 0.3", &["line 1: `begin`: 0.3 is below `high`, 0.5"]),
            ("confirm = 0", &["line 1: `confirm`: 0 is not from 1 to 30"]),
        ] {
            let found = check(text, |section| assert!(TrackSettings::read(section).overlap > 0.0));
            assert_eq!(found, wanted, "{text}");
        }
    }
}
