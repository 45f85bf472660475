//! What was counted of a pipeline a little while ago, so that what is said of it now is of now and not of
//! all the time since its start.
//!
//! A mark every ten seconds, of the last two minutes; a pipeline that is paused, or has not begun, has none.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Pipeline;
use crate::pipeline::health::{Counts, Health};
use crate::pipeline::meter::Metered;

/// How far marks are apart.
pub(super) const EVERY: Duration = Duration::from_secs(10);
/// When a mark is due since the last: a clock that ticks a little early once makes no gap.
const DUE: Duration = Duration::from_millis(9_500);
/// Marks of one pipeline: two minutes, in which what a person just saw is not forgotten, and what is over
/// soon is.
const KEPT: usize = 12;
/// What is older is no part of what is said of now.
const LONGEST: Duration = Duration::from_secs(120);

/// The marks of all pipelines, in their order.
#[derive(Debug)]
pub(super) struct Marks(Vec<Mutex<Track>>);

/// What was counted by one moment.
#[derive(Debug, Clone)]
struct Mark {
    at: Instant,
    counts: Counts,
    steps: [Metered; 3],
    latency: Metered,
}

/// What came between two.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Window {
    pub(super) seconds: f64,
    /// Frames that the source gave.
    pub(super) captured: u64,
    /// Those that were worth a run.
    pub(super) wanted: u64,
    /// Those of them that newer ones replaced.
    pub(super) replaced: u64,
    /// Those of them whose observation went to the sinks.
    pub(super) inferred: u64,
    /// From the capture to the sinks.
    pub(super) latency: Metered,
    pub(super) preprocess_ms: Option<f64>,
    pub(super) inference_ms: Option<f64>,
    pub(super) postprocess_ms: Option<f64>,
}

#[derive(Debug, Default)]
struct Track {
    /// Oldest first.
    marks: VecDeque<Mark>,
}

impl Marks {
    /// For so many pipelines.
    pub(super) fn new(pipelines: usize) -> Self {
        Self((0..pipelines).map(|_| Mutex::default()).collect())
    }

    /// Looks at `pipelines`, all that there are: a mark is made where one is due.
    pub(super) fn look(&self, pipelines: &[Pipeline]) {
        for index in 0..pipelines.len() {
            self.of(pipelines, index);
        }
    }

    /// What came of pipeline `index` in the last two minutes; `None` where it does nothing, or has just begun.
    pub(super) fn of(&self, pipelines: &[Pipeline], index: usize) -> Option<Window> {
        let open = &pipelines.get(index)?.open;
        let idle = open.door.is_paused() || open.health.has_ended();
        let mut track = self.0.get(index)?.lock().unwrap_or_else(PoisonError::into_inner);
        track.look(Mark::now(&open.health), idle)
    }
}

impl Mark {
    fn now(health: &Health) -> Self {
        let steps = health.steps();
        let latency = steps.latency.read();
        let steps = [&steps.preprocess, &steps.inference, &steps.postprocess];
        Self {
            latency,
            at: Instant::now(),
            counts: health.counts(),
            steps: steps.map(|meter| meter.read()),
        }
    }

    fn since(&self, before: &Self) -> Window {
        let of =
            |count: fn(&Counts) -> u64| count(&self.counts).saturating_sub(count(&before.counts));
        let [preprocess_ms, inference_ms, postprocess_ms] =
            [0, 1, 2].map(|step: usize| self.steps[step].since(&before.steps[step]).mean_ms());
        Window {
            seconds: self.at.saturating_duration_since(before.at).as_secs_f64(),
            captured: of(|counts| counts.captured),
            wanted: of(|counts| counts.captured.saturating_sub(counts.skipped)),
            replaced: of(|counts| counts.replaced),
            inferred: of(|counts| counts.inferred),
            latency: self.latency.since(&before.latency),
            preprocess_ms,
            inference_ms,
            postprocess_ms,
        }
    }
}

impl Track {
    /// Keeps `now` where a mark is due. What came since the oldest that is kept.
    fn look(&mut self, now: Mark, idle: bool) -> Option<Window> {
        if idle || now.counts.captured == 0 {
            self.marks.clear();
            return None;
        }
        // Nobody may have looked for a while.
        let old = |mark: &Mark| now.at.saturating_duration_since(mark.at) > LONGEST;
        while self.marks.front().is_some_and(old) {
            self.marks.pop_front();
        }
        let window = self.marks.front().map(|oldest| now.since(oldest));
        let due = |last: &Mark| now.at.saturating_duration_since(last.at) >= DUE;
        if self.marks.back().is_none_or(due) {
            self.marks.push_back(now);
        }
        while self.marks.len() > KEPT {
            self.marks.pop_front();
        }
        window
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_before_the_last_two_minutes_is_forgotten_and_so_is_all_before_a_pause() {
        let began = Instant::now();
        let health = Health::default();
        let mark = |second: u64, captured: u64| {
            let counts = Counts { captured, ..health.counts() };
            Mark { at: began + Duration::from_secs(second), counts, ..Mark::now(&health) }
        };
        let mut track = Track::default();
        assert_eq!(track.look(mark(0, 0), false), None, "it has not begun");
        assert_eq!(track.look(mark(1, 5), false), None);
        // Ten frames a second for ten minutes, looked at every second; then one a second.
        let mut captured = 5;
        let mut last = None;
        for second in 2..800 {
            captured += if second < 600 { 10 } else { 1 };
            last = track.look(mark(second, captured), false);
            let seconds = last.as_ref().map_or(0.0, |window| window.seconds);
            assert!(seconds <= 120.0, "{seconds}");
        }
        let window = last.unwrap();
        assert!(window.seconds >= 110.0 && window.captured <= 120, "{window:?}");
        assert_eq!(window.wanted, window.captured);
        // A tick that comes a little early makes no gap, and one after a long time no long window.
        let tick = |ms: u64| Mark { at: began + Duration::from_millis(ms), ..mark(0, captured) };
        let mut recent = None;
        for number in 0..30 {
            let early = if number % 2 == 0 { 0 } else { 1 };
            recent = track.look(tick(800_000 + 10_000 * number - early), false);
        }
        assert!(recent.unwrap().seconds <= 121.0);
        assert_eq!(track.look(tick(2_000_000), false), None);
        assert_eq!(track.look(mark(800, captured), true), None);
        assert_eq!(track.look(mark(860, captured + 1), false), None);
        assert_eq!(track.look(mark(861, captured + 2), false).unwrap().captured, 1);
    }
}
