//! What becomes of findings before they are told: objects get numbers, zones and lines count them, rules look at
//! both. One for each pipeline; it outlives the models that are swapped under it.
//!
//! Its clock is the frames': when they were taken, and where a source has no rate of its own (files read as fast
//! as possible) how many there were, thirty a second.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use wire::{LineCount, ZoneCount};

use super::load::{LOAD_EVENT, LoadSettings};
use super::lookout::{GateSettings, Lookout};
use super::postprocess::Findings;
use super::rules::{Needs, Outlet, RuleSettings, Rules, Seen};
use super::track::{STEP, TrackSettings, Tracker, steps};
use super::zones::{LineSettings, When, ZONES_MAX, ZoneSettings, Zones};
use crate::config::Section;
use crate::config::section::unknown;

/// Rules of one pipeline: each is looked at in each frame.
const RULES_MAX: usize = 32;

/// What is made of a pipeline's findings, as it is configured.
#[derive(Debug, Clone, Default)]
pub struct AnalysisSettings {
    /// How objects are followed, where they are.
    pub track: Option<TrackSettings>,
    /// Its zones.
    pub zones: Vec<ZoneSettings>,
    /// Its lines.
    pub lines: Vec<LineSettings>,
    /// What it waits for.
    pub rules: Vec<RuleSettings>,
    /// Which frames are worth a run.
    pub gate: GateSettings,
    /// When fewer are inferred, where that is wanted.
    pub load: Option<LoadSettings>,
}

impl AnalysisSettings {
    /// Reads `track`, `zones`, `lines`, `events`, `gate` and `load` of a pipeline whose model has these `labels`.
    #[must_use]
    pub fn read(section: &Section<'_>, labels: &[Arc<str>]) -> Self {
        let table = |key| section.section(key);
        let mut track = table("track").map(|section| {
            let settings = TrackSettings::read(&section);
            section.finish();
            settings
        });
        let gate = table("gate").map(|section| {
            let settings = GateSettings::read(&section);
            section.finish();
            settings
        });
        let load = table("load").map(|section| {
            let settings = LoadSettings::read(&section);
            section.finish();
            settings
        });
        let zones = list(section, "zones", ZONES_MAX, |one| ZoneSettings::read(one, labels));
        let lines = list(section, "lines", ZONES_MAX, |one| LineSettings::read(one, labels));
        let rules = list(section, "events", RULES_MAX, RuleSettings::read);
        let zone_names: Vec<&str> = zones.iter().map(|zone| &*zone.name).collect();
        let line_names: Vec<&str> = lines.iter().map(|line| &*line.name).collect();
        let rule_names: Vec<&str> = rules.iter().map(|rule| &*rule.name).collect();
        for (what, names) in
            [("zones", &zone_names), ("lines", &line_names), ("events", &rule_names)]
        {
            let twice = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name));
            if let Some((_, name)) = twice {
                section.mistake(what, format!("two are called `{name}`"));
            }
        }
        if load.is_some() && rule_names.contains(&LOAD_EVENT) {
            section
                .mistake("events", format!("`{LOAD_EVENT}` is what [pipeline.load] itself tells"));
        }
        for rule in &rules {
            let (name, known) = match rule.spec.needs() {
                Needs::Zone(zone) => (zone, &zone_names),
                Needs::Line(line) => (line, &line_names),
                _ => continue,
            };
            if !name.is_empty() && !known.contains(&name) {
                section.mistake("events", format!("`{}`: {}", rule.name, unknown(name, known)));
            }
        }
        // Who is in a zone is an object with a number.
        if track.is_none() && !(zones.is_empty() && lines.is_empty()) {
            track = Some(TrackSettings::default());
        }
        Self { track, zones, lines, rules, gate: gate.unwrap_or_default(), load }
    }

    /// Notes what is configured that looks at pictures, which a sensor does not give.
    pub fn refuse_pictures(&self, section: &Section<'_>) {
        let zones = [("zones", !self.zones.is_empty()), ("lines", !self.lines.is_empty())];
        let gate = [("gate", self.gate.motion.is_some()), ("track", self.track.is_some())];
        for (key, there) in zones.into_iter().chain(gate) {
            if there {
                section.mistake(key, "looks at pictures, and the source gives samples");
            }
        }
        for rule in &self.rules {
            if rule.spec.needs() != Needs::Anomaly {
                let (name, kind) = (&rule.name, rule.kind);
                let why = "looks at pictures, and the source gives samples: `anomaly` does not";
                section.mistake("events", format!("`{name}`: `{kind}` {why}"));
            }
            if rule.clip.is_some() {
                let why = "has a clip, which is of pictures, and the source gives samples";
                section.mistake("events", format!("`{}` {why}", rule.name));
            }
        }
    }

    /// What looks at the findings of `pipeline`. `timed`: its source has a rate of its own.
    #[must_use]
    pub fn analysis(&self, pipeline: &Arc<str>, timed: bool, outlet: Option<&Outlet>) -> Analysis {
        let findings = |needs: &Needs<'_>| *needs != Needs::Source;
        Analysis {
            tracker: self.track.clone().map(Tracker::new),
            zones: Zones::new(&self.zones, &self.lines),
            rules: self.rules(pipeline, findings, outlet),
            clock: Clock { timed, ..Clock::default() },
            told: 0,
            newest: None,
        }
    }

    /// What looks at the frames of `pipeline`'s source.
    #[must_use]
    pub fn lookout(&self, pipeline: &Arc<str>, outlet: Option<&Outlet>) -> Lookout {
        let source = |needs: &Needs<'_>| *needs == Needs::Source;
        Lookout::new(self.gate.clone(), self.rules(pipeline, source, outlet))
    }

    fn rules(
        &self,
        pipeline: &Arc<str>,
        which: impl Fn(&Needs<'_>) -> bool,
        outlet: Option<&Outlet>,
    ) -> Rules {
        let place = |needs: &Needs<'_>| match needs {
            Needs::Zone(name) => self.zones.iter().position(|zone| &*zone.name == *name),
            Needs::Line(name) => self.lines.iter().position(|line| &*line.name == *name),
            _ => None,
        };
        // Names were checked when they were read.
        Rules::new(pipeline, &self.rules, which, |needs| place(needs).unwrap_or(0), outlet.cloned())
    }
}

/// The tables of `[[key]]`, at most `most` of them.
fn list<T>(
    section: &Section<'_>,
    key: &'static str,
    most: usize,
    read: impl Fn(&Section<'_>) -> Option<T>,
) -> Vec<T> {
    let sections = section.sections(key);
    if sections.len() > most {
        section.mistake(key, format!("{} are more than {most}", sections.len()));
    }
    let mut all = Vec::with_capacity(sections.len());
    for section in sections {
        all.extend(read(&section));
        section.finish();
    }
    all
}

/// The frame that findings are of.
#[derive(Debug, Clone, Copy)]
pub struct Of {
    /// When it was taken, by the monotonic clock.
    pub captured: Instant,
    /// By the wall clock.
    pub ts: Timestamp,
    /// Its number.
    pub seq: u64,
    /// Its width.
    pub width_px: u32,
    /// Its height.
    pub height_px: u32,
}

/// See the module. Does nothing where nothing is configured.
#[derive(Debug, Default)]
pub struct Analysis {
    tracker: Option<Tracker>,
    zones: Zones,
    rules: Rules,
    clock: Clock,
    told: u64,
    newest: Option<Instant>,
}

impl Analysis {
    /// Whether the frame that was captured then is newer than every one that was looked at. Where two engines infer a
    /// pipeline's frames in turn, one that was begun earlier may end later: its turn is over.
    pub fn follows(&mut self, captured: Instant) -> bool {
        let follows = self.newest.is_none_or(|newest| captured >= newest);
        if follows {
            self.newest = Some(captured);
        }
        follows
    }

    /// The number of the next observation of this pipeline, from 1, whichever engine it is of.
    pub fn number(&mut self) -> u64 {
        self.told += 1;
        self.told
    }

    /// Gives the objects in `findings` their numbers, counts them, and tells what is to be told.
    pub fn look(&mut self, findings: &mut Findings, of: &Of) {
        let before = self.clock.now;
        let now = self.clock.tick(of);
        if let Some(tracker) = &mut self.tracker {
            let ids = tracker.update(&findings.detections, steps(now.saturating_sub(before)));
            for (found, id) in findings.detections.iter_mut().zip(ids) {
                found.track = *id;
            }
            let when = When {
                now,
                ts: of.ts,
                width_px: extent(of.width_px),
                height_px: extent(of.height_px),
            };
            self.zones.update(&findings.detections, &when);
        }
        if !self.rules.is_empty() {
            self.rules.look(&Seen {
                now,
                ts: of.ts,
                frame_seq: of.seq,
                luma: None,
                zones: self.tracker.is_some().then_some(&self.zones),
                detections: &findings.detections,
                anomaly: findings.anomaly,
            });
        }
    }

    /// What is in each zone.
    #[must_use]
    pub fn zone_counts(&self) -> &[ZoneCount] {
        self.zones.zone_counts()
    }

    /// What crossed each line.
    #[must_use]
    pub fn line_counts(&self) -> &[LineCount] {
        self.zones.line_counts()
    }
}

/// The frames' clock; it never goes back.
#[derive(Debug, Default)]
struct Clock {
    timed: bool,
    now: Duration,
    last: Option<(Instant, u64)>,
}

impl Clock {
    fn tick(&mut self, of: &Of) -> Duration {
        let passed = match self.last.replace((of.captured, of.seq)) {
            None => Duration::ZERO,
            Some((captured, _)) if self.timed => of.captured.saturating_duration_since(captured),
            // A source that was opened again counts from 0: the next frame is one later.
            Some((_, seq)) => {
                let frames = of.seq.checked_sub(seq).unwrap_or(1);
                STEP.saturating_mul(u32::try_from(frames).unwrap_or(u32::MAX))
            }
        };
        self.now += passed;
        self.now
    }
}

#[expect(clippy::as_conversions, reason = "pixels of a picture are far below 2^24")]
#[expect(clippy::cast_precision_loss, reason = "pixels of a picture are far below 2^24")]
fn extent(pixels: u32) -> f32 {
    pixels as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::section::tests::check;

    #[test]
    fn names_that_lead_nowhere_are_refused_and_zones_need_numbers() {
        let zone = "[[zones]]\nname = 'z'\npoints = [[0, 0], [1, 0], [1, 1]]\n";
        for (text, wanted) in [
            (format!("{zone}[[events]]\nname = 'e'\nkind = 'in-zone'\nzone = 'z'\n"), ""),
            (
                format!("{zone}[[events]]\nname = 'e'\nkind = 'in-zone'\nzone = 'y'\n"),
                "line 4: `events`: `e`: unknown value `y`; did you mean `z`?",
            ),
            (format!("{zone}{zone}"), "line 1: `zones`: two are called `z`"),
            (
                "[[events]]\nname = 'e'\nkind = 'crossing'\nline = 'l'\n".to_owned(),
                "line 1: `events`: `e`: unknown value `l`; no key is known here",
            ),
        ] {
            let found = check(&text, |section| {
                let settings = AnalysisSettings::read(section, &[]);
                assert_eq!(settings.track.is_some(), !settings.zones.is_empty());
            });
            assert_eq!(found.join("\n"), wanted, "{text}");
        }
    }

    #[test]
    fn the_clock_is_that_of_the_frames_and_never_goes_back() {
        let began = Instant::now();
        let of = |ms: u64, seq| Of {
            captured: began + Duration::from_millis(ms),
            ts: Timestamp::UNIX_EPOCH,
            seq,
            width_px: 1,
            height_px: 1,
        };
        let frames = [of(0, 7), of(50, 8), of(50, 11), of(20, 0), of(400, 1)];
        for (timed, expected) in
            [(true, [0.0, 50.0, 50.0, 50.0, 430.0]), (false, [0.0, 33.3, 133.3, 166.6, 199.9])]
        {
            let mut clock = Clock { timed, ..Clock::default() };
            for (frame, wanted) in frames.iter().zip(expected) {
                let now = clock.tick(frame).as_secs_f64() * 1000.0;
                assert!((now - wanted).abs() < 0.2, "{timed}: {now} {wanted}");
            }
        }
    }
}
