//! `[[pipeline.events]]`: what every rule has, beside what is its own.

use std::sync::Arc;
use std::time::Duration;

use wire::topic::is_name;

use super::RuleSpec;
use crate::config::Section;
use crate::kinds;

/// How long a condition must hold, or be over: an hour at most.
pub(super) const MS: std::ops::RangeInclusive<u64> = 0..=3_600_000;
/// How long it must be over, unless configured.
const CLEAR_MS_DEFAULT: u64 = 1_000;
/// How long the next event of a rule is not told after one was, unless configured.
const COOL_DOWN_MS_DEFAULT: u64 = 10_000;
/// A day: rarer than that is a report, not an event.
const COOL_DOWN_MS: std::ops::RangeInclusive<u64> = 0..=86_400_000;
/// Pictures of one clip.
const PICTURES: std::ops::RangeInclusive<u32> = 1..=50;
/// Between two pictures of a clip.
const EVERY_MS: std::ops::RangeInclusive<u64> = 0..=60_000;
const EVERY_MS_DEFAULT: u64 = 500;

/// What is to be kept of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClipSettings {
    /// So many pictures.
    pub pictures: u32,
    /// So far from each other.
    pub every: Duration,
}

/// A configured rule with all that every rule has.
#[derive(Debug, Clone)]
pub struct RuleSettings {
    /// Its name.
    pub name: Arc<str>,
    /// Its kind.
    pub kind: &'static str,
    /// What is its own.
    pub spec: Arc<dyn RuleSpec>,
    /// How long it must be over before it is told.
    pub clear: Duration,
    /// How long the next is not told after one was.
    pub cool_down: Duration,
    /// What is to be kept.
    pub clip: Option<ClipSettings>,
}

impl RuleSettings {
    /// Reads one rule. `None` where a mistake was noted.
    #[must_use]
    pub fn read(section: &Section<'_>) -> Option<Self> {
        let name = section.required_text("name");
        if !name.is_empty() && !is_name(&name) {
            section.mistake("name", wire::topic::BadName(name.clone()).to_string());
        }
        let millis = |key, range, default| {
            section.integer::<u64>(key, range).map_or(default, Duration::from_millis)
        };
        let clear = millis("clear_ms", MS, Duration::from_millis(CLEAR_MS_DEFAULT));
        let cool_down =
            millis("cool_down_ms", COOL_DOWN_MS, Duration::from_millis(COOL_DOWN_MS_DEFAULT));
        let pictures = section.integer("clip_pictures", PICTURES);
        let every = millis("clip_every_ms", EVERY_MS, Duration::from_millis(EVERY_MS_DEFAULT));
        if pictures.is_none() && section.has("clip_every_ms") {
            section.mistake("clip_every_ms", "says nothing without `clip_pictures`");
        }
        let kind = section.required_text("kind");
        let kind = kinds::find(kinds::RULES, &kind, "kind", section)?;
        let spec = (kind.build)(section)?;
        Some(Self {
            name: name.into(),
            kind: kind.name,
            spec: spec.into(),
            clear,
            cool_down,
            clip: pictures.map(|pictures| ClipSettings { pictures, every }),
        })
    }
}

/// `for_ms` of a rule: how long it must be so.
pub(super) fn hold(section: &Section<'_>, default_ms: u64) -> Duration {
    Duration::from_millis(section.integer("for_ms", MS).unwrap_or(default_ms))
}

/// `limit` and `clear` of a rule about something that is too low: what is over is `above` the limit unless it says
/// otherwise, and never beyond what there can be.
pub(super) fn limits(
    section: &Section<'_>,
    range: std::ops::RangeInclusive<f64>,
    default: f64,
    above: f64,
) -> (f64, f64) {
    let limit = section.number("limit", range.clone()).unwrap_or(default);
    let most = (limit + above).min(*range.end());
    let clear = section.number("clear", range).unwrap_or(most);
    if clear < limit {
        section.mistake("clear", format!("{clear} is below `limit`, {limit}"));
    }
    (limit, clear)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::section::tests::check;

    #[test]
    fn what_is_over_can_be_reached_whatever_the_limit() {
        for (text, wanted) in [
            ("", (24.0, 32.0)),
            ("limit = 250", (250.0, 255.0)),
            ("limit = 9\nclear = 9", (9.0, 9.0)),
        ] {
            let mistakes = check(text, |section| {
                assert_eq!(limits(section, 0.0..=255.0, 24.0, 8.0), wanted, "{text}");
            });
            assert_eq!(mistakes, [""; 0]);
        }
    }
}
