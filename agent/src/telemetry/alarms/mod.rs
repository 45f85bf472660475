//! What is wrong with a device: pure, from readings and the monotonic clock to alarms that were raised or ended.

pub mod rules;

use std::collections::BTreeSet;
use std::time::Duration;

use wire::telemetry::Readings;

use self::rules::{About, Rule};
use super::sysfs;
use crate::latch::{Latch, Verdict, above, below};

/// A source of which so many frames in a row are missing is silent: one may be lost.
const PERIODS: u32 = 3;

/// All that alarms look at.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The board.
    pub readings: &'a Readings,
    /// The pipelines.
    pub pipelines: &'a [PipelineView],
    /// Releases that were refused: slot and reason.
    pub refused: &'a [(String, String)],
    /// Messages that were lost since the view before, telemetry aside; `None` where there is no broker.
    pub lost: Option<u64>,
}

/// What one pipeline did since the view before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PipelineView {
    /// Its name.
    pub name: String,
    /// Frames that its source gave.
    pub captured: u64,
    /// Frames that a newer one replaced.
    pub replaced: u64,
    /// How long it has been without a frame.
    pub silent: Duration,
    /// How long it is between two of its frames, where that is known.
    pub period: Option<Duration>,
    /// Whether it ever gave one.
    pub begun: bool,
    /// Whether its source came to its end, as a file does.
    pub ended: bool,
}

/// One alarm as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// Its name: the last level of its topic.
    pub name: String,
    /// Whether it is raised.
    pub active: bool,
    /// Unit of value and limit.
    pub unit: Option<&'static str>,
    /// What decided.
    pub value: Option<f64>,
    /// What it was compared with.
    pub limit: Option<f64>,
    /// What it is about.
    pub subject: Option<String>,
}

/// What there is to say of one alarm.
#[derive(Debug, Clone, PartialEq)]
struct Evidence {
    verdict: Verdict,
    value: Option<f64>,
    limit: Option<f64>,
    subject: Option<String>,
}

/// One alarm that is watched.
#[derive(Debug)]
struct Watched {
    rule: Rule,
    /// Which pipeline it is about, where there is one of it for each.
    pipeline: Option<String>,
    latch: Latch,
    told: Standing,
}

/// Every alarm of one device.
#[derive(Debug)]
pub struct Alarms {
    watched: Vec<Watched>,
    floor: Floor,
    /// Fans that were seen turning.
    turned: BTreeSet<String>,
}

impl Alarms {
    /// None is raised. Those about pipelines are watched for each of `pipelines`.
    #[must_use]
    pub fn new(rules: &[Rule], pipelines: &[String]) -> Self {
        let mut watched = Vec::new();
        for rule in rules.iter().filter(|rule| rule.enabled) {
            let each = matches!(rule.about, About::Source | About::Pipeline);
            if each {
                watched.extend(pipelines.iter().map(|name| Watched::new(rule, Some(name))));
            } else {
                watched.push(Watched::new(rule, None));
            }
        }
        Self { watched, floor: Floor::default(), turned: BTreeSet::new() }
    }

    /// Every alarm as it was last told.
    pub fn standing(&self) -> impl Iterator<Item = &Standing> {
        self.watched.iter().map(|watched| &watched.told)
    }

    /// Looks at everything, `now` by the monotonic clock. What was raised and what ended.
    pub fn look(&mut self, view: &View<'_>, now: Duration) -> Vec<Standing> {
        let floor = self.floor.look(view.readings);
        for (name, fan) in &view.readings.fans {
            if fan.speed_rpm.is_some_and(|speed| speed > 0) && !self.turned.contains(name) {
                self.turned.insert(name.clone());
            }
        }
        let mut changed = Vec::new();
        for watched in &mut self.watched {
            let evidence = watched.evidence(view, &floor, &self.turned);
            if watched.latch.hear(evidence.verdict, now) {
                watched.told = Standing {
                    active: watched.latch.is_raised(),
                    value: evidence.value,
                    limit: evidence.limit,
                    subject: evidence.subject,
                    ..watched.told.clone()
                };
                changed.push(watched.told.clone());
            }
        }
        changed
    }
}

impl Watched {
    fn new(rule: &Rule, pipeline: Option<&String>) -> Self {
        let name =
            pipeline.map_or_else(|| rule.name.to_owned(), |name| format!("{}.{name}", rule.name));
        Self {
            rule: *rule,
            pipeline: pipeline.cloned(),
            latch: Latch::new(rule.hold, rule.clear_after),
            told: Standing {
                name,
                active: false,
                unit: rule.unit,
                value: None,
                limit: rule.limit,
                subject: pipeline.cloned(),
            },
        }
    }

    fn evidence(&self, view: &View<'_>, floor: &Evidence, turned: &BTreeSet<String>) -> Evidence {
        let readings = view.readings;
        let Readings { thermal, throttle, over_current, memory, host, .. } = readings;
        match self.rule.about {
            About::Temperature => self.low(thermal.margin_c, thermal.margin_zone.clone()),
            About::Throttle => yes_or_no(throttle.active, throttle.reasons.first().cloned()),
            About::UnderVoltage => self.under_voltage(readings),
            About::OverCurrent => self.high(over_current.oc3.events_per_s, Some("oc3".to_owned())),
            About::ClockFloor => floor.clone(),
            About::GpuMemory => self.gpu_memory(readings),
            About::Memory => self.low(share(memory.total_bytes, memory.available_bytes), None),
            About::Disk => self.disk(readings),
            About::OomKill => self.high(memory.oom_kills_delta.map(number), None),
            About::Fan => self.fan(readings, turned),
            About::Source => yes_or_no(self.silent(view), self.pipeline.clone()),
            About::Pipeline => self.high(self.lost(view), self.pipeline.clone()),
            About::Release => {
                let refused = view.refused.first();
                let subject = refused.map(|(slot, reason)| format!("{slot}: {reason}"));
                yes_or_no(Some(refused.is_some()), subject)
            }
            About::Outbox => self.high(view.lost.map(number), None),
            About::Clock => yes_or_no(host.clock_synchronised.map(|same| !same), None),
        }
    }

    /// The larger of what OC1 and OC2 counted.
    fn under_voltage(&self, readings: &Readings) -> Evidence {
        let counts = [("oc1", readings.over_current.oc1), ("oc2", readings.over_current.oc2)];
        let known = counts.into_iter().filter_map(|(name, oc)| Some((name, oc.events_delta?)));
        let most = known.max_by_key(|(_, count)| *count);
        let name = most.filter(|(_, count)| *count > 0).map(|(name, _)| name.to_owned());
        self.high(most.map(|(_, count)| number(count)), name)
    }

    fn gpu_memory(&self, readings: &Readings) -> Evidence {
        let (total, used) = (readings.gpu.memory_total_bytes, readings.gpu.memory_used_bytes);
        let free = total.zip(used).map(|(total, used)| total.saturating_sub(used));
        self.low(share(total, free), None)
    }

    /// The fullest file system.
    fn disk(&self, readings: &Readings) -> Evidence {
        let free = readings.host.disks.iter().filter_map(|(mount, disk)| {
            Some((mount, share(Some(disk.total_bytes), Some(disk.available_bytes))?))
        });
        let fullest = free.min_by(|a, b| a.1.total_cmp(&b.1));
        self.low(fullest.map(|(_, free)| free), fullest.map(|(mount, _)| mount.clone()))
    }

    fn view<'a>(&self, view: &View<'a>) -> Option<&'a PipelineView> {
        let name = self.pipeline.as_ref()?;
        view.pipelines.iter().find(|pipeline| pipeline.name == *name)
    }

    /// Whether the pipeline's source is silent; `None` where its first frame is not due.
    fn silent(&self, view: &View<'_>) -> Option<bool> {
        let pipeline = self.view(view)?;
        let late = pipeline.silent > pipeline.period.unwrap_or_default() * PERIODS;
        let given = pipeline.captured > 0 || pipeline.ended || (pipeline.begun && !late);
        (given || late).then_some(!given)
    }

    /// Share of the pipeline's frames that a newer one replaced, in percent.
    fn lost(&self, view: &View<'_>) -> Option<f64> {
        let pipeline = self.view(view)?;
        let replaced = pipeline.replaced.min(pipeline.captured);
        share(Some(pipeline.captured), Some(replaced))
    }

    /// A value that should not be above the limit.
    fn high(&self, value: Option<f64>, subject: Option<String>) -> Evidence {
        let (limit, clear) = self.limits();
        Evidence { verdict: above(value, limit, clear), value, limit: self.rule.limit, subject }
    }

    /// A value that should not be below the limit.
    fn low(&self, value: Option<f64>, subject: Option<String>) -> Evidence {
        let (limit, clear) = self.limits();
        Evidence { verdict: below(value, limit, clear), value, limit: self.rule.limit, subject }
    }

    fn limits(&self) -> (f64, f64) {
        // A rule without limits asks for none.
        (self.rule.limit.unwrap_or(f64::MAX), self.rule.clear.unwrap_or(f64::MAX))
    }

    /// A fan that stands still while it is hot. What never turned and is only a header is no fan.
    fn fan(&self, readings: &Readings, turned: &BTreeSet<String>) -> Evidence {
        let stopped = readings.fans.iter().find(|(name, fan)| match (fan.enabled, fan.speed_rpm) {
            (Some(false), _) => true,
            (_, Some(speed)) => {
                speed == 0 && (turned.contains(*name) || !sysfs::is_fan_header(name))
            }
            // Without a tachometer, what is known is whether it gets any power.
            (_, None) => fan.duty_percent == Some(0.0),
        });
        let hot = self.high(readings.thermal.hottest_c, stopped.map(|(name, _)| name.clone()));
        match (readings.fans.is_empty(), stopped) {
            (true, _) => Evidence { verdict: Verdict::Open, ..hot },
            (false, None) => Evidence { verdict: Verdict::Good, ..hot },
            (false, Some(_)) => hot,
        }
    }
}

/// The least that the clocks may fall to, and the most that this was: a fall undoes `jetson_clocks`, silently.
#[derive(Debug, Default)]
struct Floor {
    gpu: Option<u64>,
    cpu: Option<u64>,
    mode: Option<u32>,
}

impl Floor {
    fn look(&mut self, readings: &Readings) -> Evidence {
        // Another power mode has other clocks: that is no fall.
        let mode = readings.board.power_mode_id;
        if mode.is_some() && self.mode.is_some() && mode != self.mode {
            *self = Self::default();
        }
        self.mode = mode.or(self.mode);
        let mut known = false;
        for (name, now, most) in [
            ("gpu", readings.gpu.frequency_min_hz, &mut self.gpu),
            ("cpu", readings.host.cpu_min_hz, &mut self.cpu),
        ] {
            let Some(now) = now else { continue };
            known = true;
            let before = *most.get_or_insert(now);
            *most = Some(before.max(now));
            if now < before {
                return Evidence {
                    verdict: Verdict::Bad,
                    value: Some(number(now)),
                    limit: Some(number(before)),
                    subject: Some(name.to_owned()),
                };
            }
        }
        let verdict = if known { Verdict::Good } else { Verdict::Open };
        Evidence { verdict, value: None, limit: None, subject: None }
    }
}

/// Evidence of what has no number.
fn yes_or_no(bad: Option<bool>, subject: Option<String>) -> Evidence {
    let verdict = bad.map_or(Verdict::Open, |bad| if bad { Verdict::Bad } else { Verdict::Good });
    Evidence { verdict, value: None, limit: None, subject }
}

/// `part` of `whole`, in percent.
fn share(whole: Option<u64>, part: Option<u64>) -> Option<f64> {
    let whole = whole.filter(|whole| *whole > 0)?;
    Some((number(part?) * 1000.0 / number(whole)).round() / 10.0)
}

#[expect(clippy::as_conversions, reason = "bytes, hertz and counts below 2^53")]
#[expect(clippy::cast_precision_loss, reason = "bytes, hertz and counts below 2^53")]
fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
