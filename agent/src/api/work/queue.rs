//! Which requests run next. Pure but for the clients' channels: time is an argument.
//!
//! Each version of a model has a line; lines are served in turn, so that nobody's many requests
//! keep another's few waiting. A line whose model takes several items at once gives as many as fit,
//! once the first has waited long enough.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{Done, IDLE, batch};
use crate::api::answer::Refusal;
use crate::api::models::{Key, Known};
use crate::api::settings::WorkSettings;
use crate::pipeline::batch::Batch;
use crate::pipeline::engine::Engine;
use crate::pipeline::value::Value;

/// A model that could not be opened is not tried again before this.
const AGAIN: Duration = Duration::from_secs(10);
/// Whoever comes while a model has been opened for so long already is told to come again.
const OPENS_QUICKLY: Duration = Duration::from_secs(5);
/// A run that takes no longer may be done by the thread that all connections share, where all else waits as long.
const SHORT: Duration = Duration::from_millis(1);
/// Who asks again so soon after a run is waited for awake, for as long: a processor that sleeps takes tens of
/// microseconds to wake. Frames go before, and it ends 0.25 ms after the last request of such a client.
pub(super) const SOON: Duration = Duration::from_micros(250);

/// One request.
#[derive(Debug)]
pub(in crate::api) struct Job {
    /// Every input of the model, in its order.
    pub(in crate::api) inputs: Vec<Value>,
    /// The outputs that are wanted.
    pub(in crate::api) outputs: Vec<usize>,
    /// The room of the bytes that the inputs lie in: taken for as long as they are there, whether the client is or not.
    pub(in crate::api) _room: OwnedSemaphorePermit,
    /// Who waits for it; closed where the client has gone away.
    pub(in crate::api) reply: oneshot::Sender<Done>,
    pub(in crate::api) asked: Instant,
}

/// How the session of a version stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::api) enum Standing {
    /// Not open: the next request opens it.
    Closed,
    /// Being opened.
    Opening,
    /// Open.
    Open,
    /// It could not be opened.
    Failed(String),
}

enum Session {
    Closed,
    Opening(Instant),
    Open(Arc<dyn Engine>),
    Failed { why: String, since: Instant },
}

struct Line {
    model: Arc<Known>,
    session: Session,
    jobs: VecDeque<Job>,
    running: usize,
    /// When it last ran.
    used: Instant,
    /// Bytes of input of the last run, where it went well and took [`SHORT`] at most.
    short_bytes: Option<usize>,
}

/// What a runner is to do.
pub(super) enum Picked {
    /// Run these at once.
    Run { model: Arc<Known>, engine: Arc<dyn Engine>, jobs: Vec<Job> },
    /// Have this one opened.
    Open(Arc<Known>),
    /// Nothing, for so long; `None`: until something comes.
    Wait(Option<Duration>),
}

/// See the module.
pub(super) struct Queue {
    lines: Vec<Line>,
    /// The line that is served first.
    turn: usize,
    waiting_max: usize,
    batch: Batch,
    /// Whose request came last.
    caller: Option<Caller>,
    /// When the last run ended.
    ended: Option<Instant>,
}

/// What runs a request at once.
pub(super) struct Alone {
    pub(super) engine: Arc<dyn Engine>,
    /// Whether it came so soon after the one before that the next may, too.
    pub(super) soon: bool,
}

/// One run, of one request or several.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) input_bytes: usize,
    pub(super) took: Duration,
    /// Whether all of it went well.
    pub(super) well: bool,
}

/// A connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api) struct Caller(pub(in crate::api) u64);

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}

impl Queue {
    pub(super) fn new(settings: &WorkSettings) -> Self {
        Self {
            lines: Vec::new(),
            turn: 0,
            waiting_max: settings.queue,
            batch: Batch { max: settings.batch_max, delay: settings.batch_delay },
            caller: None,
            ended: None,
        }
    }

    pub(super) fn waiting(&self) -> usize {
        self.lines.iter().map(|line| line.jobs.len()).sum()
    }

    pub(super) fn standing(&self, key: &Key, now: Instant) -> Standing {
        match self.lines.iter().find(|line| line.model.key == *key).map(|line| &line.session) {
            None | Some(Session::Closed) => Standing::Closed,
            // The next request tries it again.
            Some(Session::Failed { since, .. })
                if now.saturating_duration_since(*since) >= AGAIN =>
            {
                Standing::Closed
            }
            Some(Session::Opening(_)) => Standing::Opening,
            Some(Session::Open(_)) => Standing::Open,
            Some(Session::Failed { why, .. }) => Standing::Failed(why.clone()),
        }
    }

    /// Puts `job` into the line of `model`.
    pub(super) fn push(&mut self, model: &Arc<Known>, job: Job) -> Result<(), Refusal> {
        if self.waiting() >= self.waiting_max {
            // Those whose clients have gone away take no place.
            self.lines.iter_mut().for_each(Line::forget_gone);
            if self.waiting() >= self.waiting_max {
                return Err(Refusal::busy(format!(
                    "{} requests wait already (`api.queue`)",
                    self.waiting_max
                )));
            }
        }
        let now = job.asked;
        let line = self.line(model, now);
        match &line.session {
            Session::Failed { why, since } if now.saturating_duration_since(*since) < AGAIN => {
                return Err(cannot_open(why));
            }
            Session::Opening(since) if now.saturating_duration_since(*since) > OPENS_QUICKLY => {
                return Err(Refusal::unavailable("the model is still being opened", 5));
            }
            _ => {}
        }
        line.jobs.push_back(job);
        Ok(())
    }

    fn line(&mut self, model: &Arc<Known>, now: Instant) -> &mut Line {
        let place = self.lines.iter().position(|line| line.model.key == model.key);
        let place = place.unwrap_or_else(|| {
            let (session, jobs) = (Session::Closed, VecDeque::new());
            let model = model.clone();
            let (running, used, short_bytes) = (0, now, None);
            self.lines.push(Line { model, session, jobs, running, used, short_bytes });
            self.lines.len() - 1
        });
        &mut self.lines[place]
    }

    /// What is to be done now.
    pub(super) fn pick(&mut self, now: Instant) -> Picked {
        let (count, mut soonest) = (self.lines.len(), None::<Duration>);
        for step in 0..count {
            let place = (self.turn + step) % count;
            let batch = self.batch;
            let line = &mut self.lines[place];
            line.forget_gone();
            let Some(first) = line.jobs.front() else { continue };
            let engine = match &line.session {
                Session::Opening(_) => continue,
                Session::Open(engine) => engine.clone(),
                Session::Closed | Session::Failed { .. } => {
                    line.session = Session::Opening(now);
                    return Picked::Open(line.model.clone());
                }
            };
            let together = batch::together(engine.as_ref(), &line.jobs, batch.max);
            let waited = now.saturating_duration_since(first.asked);
            if let Some(left) = batch.waits(together.full, waited) {
                soonest = Some(soonest.map_or(left, |soonest| soonest.min(left)));
                continue;
            }
            let jobs = line.jobs.drain(..together.jobs).collect();
            line.running += 1;
            self.turn = (place + 1) % count;
            return Picked::Run { model: line.model.clone(), engine, jobs };
        }
        Picked::Wait(soonest)
    }

    /// What runs a request of `caller` at once, without a runner: two threads need not wake each other for a short
    /// run. Only for who asks alone, so that many never wait for one another there: the same connection asked
    /// before, and nothing waits or runs. And only where the run before was short, and had as much to do.
    pub(super) fn alone(
        &mut self,
        key: &Key,
        caller: Option<Caller>,
        input_bytes: usize,
        now: Instant,
    ) -> Option<Alone> {
        let again = caller.is_some() && self.caller == caller;
        self.caller = caller;
        if !again || self.lines.iter().any(|line| line.running > 0 || !line.jobs.is_empty()) {
            return None;
        }
        let after = |ended| now.saturating_duration_since(ended);
        let soon = self.ended.is_some_and(|ended| after(ended) <= SOON);
        let line = self.lines.iter_mut().find(|line| line.model.key == *key)?;
        match &line.session {
            Session::Open(engine) if line.short_bytes.is_some_and(|short| input_bytes <= short) => {
                line.running = 1;
                Some(Alone { engine: engine.clone(), soon })
            }
            _ => None,
        }
    }

    /// A run of the version of `key` has ended.
    pub(super) fn ran(&mut self, key: &Key, run: Run, now: Instant) {
        self.ended = Some(now);
        if let Some(line) = self.lines.iter_mut().find(|line| line.model.key == *key) {
            line.running = line.running.saturating_sub(1);
            line.used = now;
            line.short_bytes = (run.well && run.took <= SHORT).then_some(run.input_bytes);
        }
    }

    /// How long it is until a line that rests may be idle.
    pub(super) fn rests_for(&self, now: Instant) -> Duration {
        let left = |line: &Line| IDLE.saturating_sub(now.saturating_duration_since(line.used));
        self.lines.iter().filter(|line| line.rests()).map(left).min().unwrap_or(IDLE)
    }

    /// Whether somebody must open `model`, which counts as being opened from now on.
    pub(super) fn wants_open(&mut self, model: &Arc<Known>, now: Instant) -> bool {
        let line = self.line(model, now);
        let wants = matches!(line.session, Session::Closed | Session::Failed { .. });
        if wants {
            line.session = Session::Opening(now);
        }
        wants
    }

    /// The version of `key` is open, or not. Those who waited in vain, with what they are told.
    pub(super) fn opened(
        &mut self,
        key: &Key,
        opened: Result<Arc<dyn Engine>, String>,
        now: Instant,
    ) -> Vec<(Job, Refusal)> {
        let Some(line) = self.lines.iter_mut().find(|line| line.model.key == *key) else {
            return Vec::new();
        };
        (line.used, line.short_bytes) = (now, None);
        match opened {
            Ok(engine) => {
                line.session = Session::Open(engine);
                Vec::new()
            }
            Err(why) => {
                let refusal = cannot_open(&why);
                line.session = Session::Failed { why, since: now };
                line.jobs.drain(..).map(|job| (job, refusal.clone())).collect()
            }
        }
    }

    /// Closes the version of `key`. What is to be dropped.
    pub(super) fn close(&mut self, key: &Key) -> Option<Arc<dyn Engine>> {
        let line = self.lines.iter_mut().find(|line| line.model.key == *key)?;
        line.short_bytes = None;
        match std::mem::replace(&mut line.session, Session::Closed) {
            Session::Open(engine) => Some(engine),
            Session::Opening(since) => {
                line.session = Session::Opening(since);
                None
            }
            Session::Closed | Session::Failed { .. } => None,
        }
    }

    /// Closes what nobody asked for in a long time, and forgets its line. What is to be dropped.
    pub(super) fn idle(&mut self, now: Instant) -> Vec<Arc<dyn Engine>> {
        let idle = |line: &mut Line| {
            let long = now.saturating_duration_since(line.used) >= IDLE;
            long && line.rests()
        };
        let open = |line: Line| match line.session {
            Session::Open(engine) => Some(engine),
            _ => None,
        };
        self.lines.extract_if(.., idle).filter_map(open).collect()
    }

    /// Everything that waits, which will not be run.
    pub(super) fn empty(&mut self) -> Vec<Job> {
        self.lines.iter_mut().flat_map(|line| line.jobs.drain(..)).collect()
    }
}

/// Bytes of all inputs of a request.
pub(super) fn input_bytes(inputs: &[Value]) -> usize {
    inputs.iter().map(Value::size_bytes).sum()
}

impl Line {
    /// Whether nothing is done or waits there.
    fn rests(&self) -> bool {
        let opens = matches!(self.session, Session::Opening(_));
        !opens && self.jobs.is_empty() && self.running == 0
    }

    /// Lets go of those whose clients have gone away.
    fn forget_gone(&mut self) {
        self.jobs.retain(|job| !job.reply.is_closed());
    }
}

fn cannot_open(why: &str) -> Refusal {
    Refusal::unavailable(format!("the model cannot be opened: {why}"), 10)
}

#[cfg(test)]
mod tests;
