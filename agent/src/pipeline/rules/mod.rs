//! What a pipeline waits for: its rules, each with a hysteresis and a pause before it is told again.
//!
//! ```text
//! what was seen ─▶ rule: is it so? ─▶ latch: long enough? ─▶ told (not before the cool-down is over) ─▶ outlet
//! ```
//!
//! A rule is one file of this folder and one line of `kinds::RULES`. Rules about the camera look at its frames,
//! all others at what the model found. Pure up to the outlet, which is a bounded channel: nothing here waits.
//!
//! **Invariant:** an event is told in the frame that decides it, and a frame that decides nothing allocates nothing.

pub mod anomaly;
mod below;
pub mod count;
pub mod covered;
pub mod crossing;
pub mod dark;
pub mod frozen;
pub mod in_zone;
pub mod moved;
mod settings;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use wire::{Anomaly, Detection, EventState};

pub use self::settings::{ClipSettings, RuleSettings};
use super::frame::Frame;
use super::lookout::Luma;
use super::zones::Zones;
use crate::latch::{Latch, Verdict};

/// Events of all pipelines that wait to be told: whoever tells them never waits, so that a hundred are many.
pub const EVENTS_MAX: usize = 256;

/// What there is to see for a rule.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// By the pipeline's own clock.
    pub now: Duration,
    /// When the frame was taken, by the wall clock.
    pub ts: Timestamp,
    /// Number of the frame.
    pub frame_seq: u64,
    /// How bright it is.
    pub luma: Option<&'a Luma>,
    /// Who is where in it.
    pub zones: Option<&'a Zones>,
    /// Objects in it.
    pub detections: &'a [Detection],
    /// How unusual it is.
    pub anomaly: Option<Anomaly>,
}

impl<'a> Seen<'a> {
    /// What the camera gave.
    #[must_use]
    pub fn source(now: Duration, frame: &Frame, luma: &'a Luma) -> Self {
        Self {
            now,
            ts: frame.ts,
            frame_seq: frame.seq,
            luma: Some(luma),
            zones: None,
            detections: &[],
            anomaly: None,
        }
    }
}

/// What a rule says of one frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Sight {
    /// Whether what it waits for is so.
    pub verdict: Verdict,
    /// What was measured.
    pub value: Option<f64>,
    /// What it is compared with.
    pub limit: Option<f64>,
    /// The object that it is about, and its label.
    pub about: Option<(u64, Arc<str>)>,
}

impl Sight {
    /// Nothing can be said.
    pub const NOTHING: Self =
        Self { verdict: Verdict::Open, value: None, limit: None, about: None };

    /// What was measured against a limit.
    #[must_use]
    pub fn measured(verdict: Verdict, value: f64, limit: f64) -> Self {
        Self { verdict, value: Some(value), limit: Some(limit), about: None }
    }
}

/// One rule at work. Used by one thread at a time.
pub trait Rule: Debug + Send {
    /// Looks at the next frame.
    fn look(&mut self, seen: &Seen<'_>) -> Sight;

    /// Whether what it waits for lasts; else it happens in a moment.
    fn lasts(&self) -> bool {
        true
    }
}

/// What a rule needs to be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs<'a> {
    /// The camera's frames.
    Source,
    /// Objects, wherever they are.
    Objects,
    /// This zone.
    Zone(&'a str),
    /// This line.
    Line(&'a str),
    /// The anomaly score.
    Anomaly,
}

/// A configured rule.
pub trait RuleSpec: Debug + Send + Sync {
    /// What it needs to be seen.
    fn needs(&self) -> Needs<'_>;

    /// How long it must be so before it is told.
    fn hold(&self) -> Duration {
        Duration::ZERO
    }

    /// Whether it tells pictures apart by all of their bytes, which costs reading them.
    fn tells_apart(&self) -> bool {
        false
    }

    /// Makes the rule; `place` is the index of its zone or line.
    fn build(&self, place: usize) -> Box<dyn Rule>;
}

/// Something that a rule has to tell.
#[derive(Debug, Clone, PartialEq)]
pub struct Occurrence {
    /// In which pipeline.
    pub pipeline: Arc<str>,
    /// The rule's name.
    pub event: Arc<str>,
    /// Its kind.
    pub kind: &'static str,
    /// Whether it began, ended or happened.
    pub state: EventState,
    /// When the frame that decided was taken (or it was decided, without one), and its number.
    pub captured: (Timestamp, Option<u64>),
    /// When it began, where it lasts.
    pub began: Option<Timestamp>,
    /// How long it lasted.
    pub duration: Option<Duration>,
    /// The zone or line that it is about.
    pub place: Option<Arc<str>>,
    /// What the rule saw.
    pub sight: Sight,
    /// Why, in words, where the daemon itself decided.
    pub reason: Option<Cow<'static, str>>,
    /// How often it was not told since.
    pub suppressed: u64,
    /// What is to be kept of it.
    pub clip: Option<ClipSettings>,
}

/// Where events go.
pub type Outlet = mpsc::Sender<Occurrence>;

/// The rules of one pipeline that look at the same things.
#[derive(Debug, Default)]
pub struct Rules {
    pipeline: Arc<str>,
    rules: Vec<Running>,
    tells_apart: bool,
    outlet: Option<Outlet>,
}

#[derive(Debug)]
struct Running {
    name: Arc<str>,
    kind: &'static str,
    place: Option<Arc<str>>,
    rule: Box<dyn Rule>,
    latch: Latch,
    /// Since when it is so, by both clocks.
    since: Option<(Duration, Timestamp)>,
    pause: Pause,
    clip: Option<ClipSettings>,
}

/// Whether what is so was told, and when the next may be.
#[derive(Debug, Default)]
struct Pause {
    cool_down: Duration,
    told: bool,
    until: Option<Duration>,
    suppressed: u64,
}

impl Pause {
    /// Whether it may be told now that it is so; begins the next pause then.
    fn allows(&mut self, now: Duration) -> bool {
        if self.until.is_some_and(|until| now < until) {
            return false;
        }
        self.told = true;
        self.until = Some(now + self.cool_down);
        true
    }
}

impl Rules {
    /// Those of `settings` that `which` names, of the pipeline `pipeline`; `place` finds zones and lines.
    #[must_use]
    pub fn new(
        pipeline: &Arc<str>,
        settings: &[RuleSettings],
        which: impl Fn(&Needs<'_>) -> bool,
        place: impl Fn(&Needs<'_>) -> usize,
        outlet: Option<Outlet>,
    ) -> Self {
        let own = settings.iter().filter(|rule| which(&rule.spec.needs()));
        let tells_apart = own.clone().any(|rule| rule.spec.tells_apart());
        let rules = own.map(|rule| Running {
            name: rule.name.clone(),
            kind: rule.kind,
            place: match rule.spec.needs() {
                Needs::Zone(name) | Needs::Line(name) => Some(name.into()),
                _ => None,
            },
            rule: rule.spec.build(place(&rule.spec.needs())),
            latch: Latch::new(rule.spec.hold(), rule.clear),
            since: None,
            pause: Pause { cool_down: rule.cool_down, ..Pause::default() },
            clip: rule.clip,
        });
        Self { pipeline: pipeline.clone(), rules: rules.collect(), tells_apart, outlet }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether any tells pictures apart by all of their bytes.
    #[must_use]
    pub fn tells_apart(&self) -> bool {
        self.tells_apart
    }

    /// Shows every rule the next frame; what is to be told goes to the outlet.
    pub fn look(&mut self, seen: &Seen<'_>) {
        for rule in &mut self.rules {
            if let Some(occurrence) = rule.look(&self.pipeline, seen) {
                tell(self.outlet.as_ref(), occurrence);
            }
        }
    }
}

/// Hands `occurrence` to whoever tells it. Where there are too many at once it is lost, and the log says so.
pub fn tell(outlet: Option<&Outlet>, occurrence: Occurrence) {
    let Some(outlet) = outlet else { return };
    if let Err(error) = outlet.try_send(occurrence) {
        let (pipeline, event) = match &error {
            mpsc::error::TrySendError::Full(lost) | mpsc::error::TrySendError::Closed(lost) => {
                (&lost.pipeline, &lost.event)
            }
        };
        tracing::warn!(%pipeline, %event, "an event is lost: more than {EVENTS_MAX} at once");
    }
}

impl Running {
    fn look(&mut self, pipeline: &Arc<str>, seen: &Seen<'_>) -> Option<Occurrence> {
        let sight = self.rule.look(seen);
        let state = if self.rule.lasts() {
            self.lasting(sight.verdict, seen)?
        } else {
            self.moment(sight.verdict, seen.now)?
        };
        let ended = state == EventState::Ended;
        let since = self.since;
        if ended {
            self.since = None;
        }
        Some(Occurrence {
            pipeline: pipeline.clone(),
            event: self.name.clone(),
            kind: self.kind,
            state,
            captured: (seen.ts, Some(seen.frame_seq)),
            began: since.map(|(_, ts)| ts),
            duration: since.filter(|_| ended).map(|(began, _)| seen.now.saturating_sub(began)),
            place: self.place.clone(),
            sight,
            reason: None,
            suppressed: if ended { 0 } else { std::mem::take(&mut self.pause.suppressed) },
            clip: self.clip.filter(|_| !ended),
        })
    }

    /// What is to be told of something that lasts.
    fn lasting(&mut self, verdict: Verdict, seen: &Seen<'_>) -> Option<EventState> {
        let changed = self.latch.hear(verdict, seen.now);
        if self.latch.is_raised() {
            if changed {
                (self.since, self.pause.told) = (Some((seen.now, seen.ts)), false);
            }
            if self.pause.told {
                return None;
            }
            return self.pause.allows(seen.now).then_some(EventState::Began);
        }
        // The end of what was never told is not told either.
        let tells = changed && std::mem::take(&mut self.pause.told);
        if changed && !tells {
            self.since = None;
            self.pause.suppressed += 1;
        }
        tells.then_some(EventState::Ended)
    }

    fn moment(&mut self, verdict: Verdict, now: Duration) -> Option<EventState> {
        if verdict != Verdict::Bad {
            return None;
        }
        if self.pause.allows(now) {
            return Some(EventState::Happened);
        }
        self.pause.suppressed += 1;
        None
    }
}
