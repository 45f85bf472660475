//! Every alarm, on one page: what it is about, and from when on. Each number can be configured.

use std::time::Duration;

use crate::config::Section;
use crate::config::section::unknown;

/// Longest time that an alarm may wait: a day.
const HOLD_S: std::ops::RangeInclusive<u64> = 0..=86_400;
/// Limits beyond this are mistakes.
const LIMIT: std::ops::RangeInclusive<f64> = 0.0..=1e6;

/// What an alarm looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// How far the nearest zone is from its trip point.
    Temperature,
    /// Whether heat slows the board down.
    Throttle,
    /// Events of OC1 and OC2.
    UnderVoltage,
    /// Events of OC3.
    OverCurrent,
    /// The least that the clocks may fall to.
    ClockFloor,
    /// Free memory of the GPU's own.
    GpuMemory,
    /// Free space of the fullest file system.
    Disk,
    /// Free memory.
    Memory,
    /// Processes that the kernel ended.
    OomKill,
    /// Fans, and how hot it is.
    Fan,
    /// Frames of each pipeline's source.
    Source,
    /// Frames of each pipeline that were replaced.
    Pipeline,
    /// Releases that were refused.
    Release,
    /// Messages that the broker will never have.
    Outbox,
    /// Whether the clock follows another one.
    Clock,
}

/// One alarm, as it is configured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// Its name in topics and in the configuration.
    pub name: &'static str,
    /// What it looks at.
    pub about: About,
    /// Unit of its limits.
    pub unit: Option<&'static str>,
    /// Whether it is watched at all.
    pub enabled: bool,
    /// From where on it is bad; `None` where bad is a matter of yes or no.
    pub limit: Option<f64>,
    /// From where on it is good again.
    pub clear: Option<f64>,
    /// How long it must be bad.
    pub hold: Duration,
    /// How long it must be good again.
    pub clear_after: Duration,
}

const fn rule(
    name: &'static str,
    about: About,
    unit: Option<&'static str>,
    limits: Option<(f64, f64)>,
    (hold_s, clear_s): (u64, u64),
) -> Rule {
    let (limit, clear) = match limits {
        Some((limit, clear)) => (Some(limit), Some(clear)),
        None => (None, None),
    };
    Rule {
        name,
        about,
        unit,
        enabled: true,
        limit,
        clear,
        hold: Duration::from_secs(hold_s),
        clear_after: Duration::from_secs(clear_s),
    }
}

const C: Option<&str> = Some("celsius");
const PERCENT: Option<&str> = Some("percent");
const EVENTS: Option<&str> = Some("events");

/// All of them: limit and where it is good again, seconds until it is raised and until it ends.
pub const RULES: &[Rule] = &[
    rule("temperature", About::Temperature, C, Some((5.0, 8.0)), (10, 30)),
    rule("thermal_throttle", About::Throttle, None, None, (5, 30)),
    // One event is one too many; none for five minutes is over.
    rule("under_voltage", About::UnderVoltage, EVENTS, Some((0.0, 0.0)), (0, 300)),
    // Tens of thousands an hour are normal in the fastest power modes.
    rule("over_current", About::OverCurrent, Some("events_per_s"), Some((20.0, 10.0)), (60, 60)),
    rule("clock_floor", About::ClockFloor, Some("hertz"), None, (0, 0)),
    rule("gpu_memory", About::GpuMemory, PERCENT, Some((5.0, 8.0)), (30, 30)),
    rule("disk", About::Disk, PERCENT, Some((5.0, 8.0)), (30, 30)),
    rule("memory", About::Memory, PERCENT, Some((5.0, 8.0)), (30, 30)),
    rule("oom_kill", About::OomKill, EVENTS, Some((0.0, 0.0)), (0, 600)),
    // A fan may rest while it is cool: below the limit nothing is asked.
    rule("fan_stopped", About::Fan, C, Some((70.0, 65.0)), (30, 10)),
    rule("source_silent", About::Source, None, None, (10, 5)),
    rule("pipeline_slow", About::Pipeline, PERCENT, Some((10.0, 5.0)), (60, 60)),
    rule("model_refused", About::Release, None, None, (0, 0)),
    // By a bound, by a damaged store that was set aside: ten minutes without are over.
    rule("messages_lost", About::Outbox, Some("messages"), Some((0.0, 0.0)), (0, 600)),
    // A board without a battery needs a while after it got its network.
    rule("clock_unsynchronised", About::Clock, None, None, (300, 0)),
];

/// Reads `[alarms]`.
#[must_use]
pub fn read(section: Option<Section<'_>>) -> Vec<Rule> {
    let mut rules = RULES.to_vec();
    let Some(section) = section else { return rules };
    for name in section.keys() {
        if !RULES.iter().any(|rule| rule.name == name) {
            let names: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
            section.mistake(name, unknown(name, &names));
        }
    }
    for rule in &mut rules {
        if let Some(section) = section.section(rule.name) {
            one(rule, &section);
            section.finish();
        }
    }
    rules
}

fn one(rule: &mut Rule, section: &Section<'_>) {
    rule.enabled = section.flag("enabled").unwrap_or(true);
    if let (Some(limit), Some(clear)) = (&mut rule.limit, &mut rule.clear) {
        let distance = *clear - *limit;
        *limit = section.number("limit", LIMIT).unwrap_or(*limit);
        *clear = section.number("clear", LIMIT).unwrap_or((*limit + distance).max(0.0));
        // On the wrong side of the limit it would be good and bad at once.
        let wrong = if distance > 0.0 { *clear < *limit } else { *clear > *limit };
        if wrong {
            let side = if distance > 0.0 { "below" } else { "above" };
            section.mistake("clear", format!("{clear} is {side} the limit {limit}"));
        }
    }
    let seconds =
        |key, default: Duration| section.integer(key, HOLD_S).map_or(default, Duration::from_secs);
    rule.hold = seconds("hold_s", rule.hold);
    rule.clear_after = seconds("clear_after_s", rule.clear_after);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::section::tests::check;

    #[test]
    fn each_number_of_an_alarm_can_be_configured_and_a_wrong_one_is_said() {
        let read = |text: &str| {
            let rules = std::cell::RefCell::new(Vec::new());
            let mistakes = check(text, |top| *rules.borrow_mut() = read(top.section("alarms")));
            (rules.into_inner(), mistakes)
        };
        let (rules, mistakes) = read("");
        assert_eq!((rules.as_slice(), mistakes.len()), (RULES, 0));
        let (rules, mistakes) = read(
            "[alarms.temperature]\nlimit = 10\nhold_s = 1\nclear_after_s = 2\n[alarms.disk]\nenabled = false\n",
        );
        assert_eq!(mistakes, [""; 0]);
        let found = |name: &str| *rules.iter().find(|rule| rule.name == name).unwrap();
        let temperature = found("temperature");
        assert_eq!((temperature.limit, temperature.clear), (Some(10.0), Some(13.0)));
        assert_eq!((temperature.hold.as_secs(), temperature.clear_after.as_secs()), (1, 2));
        assert!(temperature.enabled && !found("disk").enabled);
        for (text, words) in [
            ("[alarms.temprature]\n", "did you mean `temperature`"),
            ("[alarms.disk]\nlimit = 5\nclear = 4\n", "4 is below the limit 5"),
            ("[alarms.over_current]\nclear = 30\n", "30 is above the limit 20"),
            ("[alarms.thermal_throttle]\nlimit = 1\n", "unknown key"),
        ] {
            let mistakes = read(text).1;
            assert!(mistakes.iter().any(|mistake| mistake.contains(words)), "{text}: {mistakes:?}");
        }
    }
}
