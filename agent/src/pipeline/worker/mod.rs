//! The threads that belong to one engine, and how a model is swapped under them.
//!
//! Pipelines that share a model share its engine and therefore its thread, which serves their mailboxes in turn.
//! On a CPU one thread does all the steps of a frame, one after the other (`inline`); with an accelerator, and where
//! that pays on a CPU, the next frame is prepared and the last one finished while one runs (`overlapped`).
//!
//! Where the model allows it and that is configured, frames of several pipelines share a run (`Batch`): the desk says
//! which, each lies in an item of the lane's buffers, and each is understood and told by itself.
//!
//! A model is swapped between two frames: everything of the new one, buffers included, is made and run once
//! aside, and handed over; the old one is dropped on another thread.
//!
//! **Invariant:** no frame is lost to a swap (`tests/swap.rs`), and the steady state allocates nothing
//! (`tests/allocations.rs`).

mod courtesy;
mod inline;
mod line;
mod overlapped;
mod step;
mod trial;

use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::trial::Onlooker;
pub use self::trial::Trial;
use super::analysis::Analysis;
use super::batch::Batch;
use super::door::Door;
use super::engine::{Engine, EngineError, Lane};
use super::health::{Health, Watch};
use super::latest::{Desk, Picked};
use super::postprocess::Postprocess;
use super::preprocess::Prepare;
use super::sink::Queue;
use crate::said::Said;
use crate::supervisor::{Failure, exit};

/// Runs that fail in a row before the model is opened anew.
const FAILURES_MAX: u32 = 10;

/// Which model, exactly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelId {
    /// Its name in `model.toml`.
    pub name: Arc<str>,
    /// Its version in `model.toml`.
    pub version: Arc<str>,
    /// SHA-256 of its graph, lower-case hexadecimal.
    pub sha256: Arc<str>,
}

/// One loaded model with everything that its pipelines need of it, ready to run.
pub struct Generation {
    model: ModelId,
    engine: Arc<dyn Engine>,
    input: usize,
    fittings: Vec<Fitting>,
    batch: Batch,
    lanes: Mutex<Vec<Box<dyn Lane>>>,
    /// Whether the next frame is prepared while one runs, although the engine itself does not ask for it.
    ahead: AtomicBool,
}

/// How one pipeline's frames become this model's input, and its outputs that pipeline's findings.
pub struct Fitting {
    preprocess: Mutex<Prepare>,
    postprocess: Mutex<Box<dyn Postprocess>>,
}

impl Fitting {
    /// One pipeline's two ends of a model.
    #[must_use]
    pub fn new(preprocess: impl Into<Prepare>, postprocess: Box<dyn Postprocess>) -> Self {
        Self { preprocess: Mutex::new(preprocess.into()), postprocess: Mutex::new(postprocess) }
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generation").field("model", &self.model).finish_non_exhaustive()
    }
}

/// Lanes of an engine that overlaps: one being prepared, one running, one being finished.
const LANES_OVERLAPPED: usize = 3;

impl Generation {
    /// Makes the buffers and runs the model once in each, so that the first frame is as fast as any.
    ///
    /// `input` is the input that the source fills; `fittings` are those of the engine's pipelines, in order.
    ///
    /// # Errors
    /// What the engine said to its first runs.
    pub fn new(
        model: ModelId,
        engine: Arc<dyn Engine>,
        input: usize,
        fittings: Vec<Fitting>,
    ) -> Result<Self, EngineError> {
        Self::batched(model, engine, input, fittings, Batch::ALONE)
    }

    /// The same, for frames that go together as `batch` says. The model must take so many.
    ///
    /// # Errors
    /// What the engine said to its first runs: one for each number of frames.
    pub fn batched(
        model: ModelId,
        engine: Arc<dyn Engine>,
        input: usize,
        fittings: Vec<Fitting>,
        batch: Batch,
    ) -> Result<Self, EngineError> {
        let (lanes, ahead) = (Mutex::default(), AtomicBool::new(false));
        let new = Self { model, engine, input, fittings, batch, lanes, ahead };
        for mut lane in new.new_lanes()? {
            // The largest first: what the library keeps for it does for the others.
            (1..=batch.max).rev().try_for_each(|items| lane.run_first(items))?;
            new.give_back(lane);
        }
        Ok(new)
    }

    /// Whether the next frame is prepared while one runs.
    fn overlaps(&self) -> bool {
        self.engine.overlaps() || self.ahead.load(Ordering::Relaxed)
    }

    /// From now on the next frame is prepared while one runs, although both are done by the processor.
    fn overlap(&self) {
        self.ahead.store(true, Ordering::Relaxed);
    }

    fn new_lanes(&self) -> Result<Vec<Box<dyn Lane>>, EngineError> {
        let count = if self.overlaps() { LANES_OVERLAPPED } else { 1 };
        let lane = |_| self.engine.lane_up_to(self.batch.max);
        (0..count).map(lane).collect()
    }

    /// Which model it is.
    #[must_use]
    pub fn model(&self) -> &ModelId {
        &self.model
    }

    /// What runs it.
    #[must_use]
    pub fn engine(&self) -> &Arc<dyn Engine> {
        &self.engine
    }

    /// Takes over from `old`, which it follows, what a first frame would have to make.
    fn inherit(&self, old: &Self) {
        for (new, old) in self.fittings.iter().zip(&old.fittings) {
            // One that is on trial has its own, and may be using it.
            if let (Ok(mut new), Ok(mut old)) =
                (new.preprocess.try_lock(), old.preprocess.try_lock())
            {
                new.inherit(&mut old);
            }
        }
    }

    /// Puts a lane back for whoever runs this model next.
    fn give_back(&self, lane: Box<dyn Lane>) {
        lock(&self.lanes).push(lane);
    }

    fn take_lanes(&self) -> Result<Vec<Box<dyn Lane>>, EngineError> {
        let mut lanes = std::mem::take(&mut *lock(&self.lanes));
        // A worker that failed took them with it.
        if lanes.is_empty() {
            return self.new_lanes();
        }
        while self.ahead.load(Ordering::Relaxed) && lanes.len() < LANES_OVERLAPPED {
            lanes.push(self.engine.lane_up_to(self.batch.max)?);
        }
        Ok(lanes)
    }
}

/// What does not change of a pipeline when its model does.
#[derive(Debug, Clone)]
pub struct Seat {
    /// Its name.
    pub pipeline: Arc<str>,
    /// Where its observations go, and under which topic.
    pub outlets: Vec<(Arc<Queue>, Arc<str>)>,
    /// Where to count.
    pub health: Arc<Health>,
    /// Where it is asked for something.
    pub door: Arc<Door>,
    /// What becomes of its findings before they are told.
    pub analysis: Arc<Mutex<Analysis>>,
    /// What this engine makes of its frames, for who watches that.
    pub watch: Arc<Watch>,
    /// Where another engine infers its frames at other times: what is lost to newer ones, of both.
    pub twin: Option<Arc<AtomicU64>>,
}

impl Seat {
    /// A frame could not be understood or inferred.
    fn failed(&self) {
        self.health.failed();
        self.watch.failed();
    }
}

/// Makes a generation anew from files, when the one that ran no longer does.
pub type Build = Box<dyn Fn() -> Result<Generation, Failure> + Send + Sync>;

/// Hands a new model to a running engine thread.
#[derive(Debug, Clone)]
pub struct Swap {
    desk: Arc<Desk>,
    inbox: Arc<Inbox>,
}

#[derive(Debug, Default)]
struct Inbox {
    next: Mutex<Option<Arc<Generation>>>,
    adopted: AtomicU64,
    /// Who also wants to see the frames; its flag is all that a frame costs while there is nobody.
    onlooker: Mutex<Option<Arc<Onlooker>>>,
    watched: AtomicBool,
}

impl Inbox {
    /// Shows frames that were just served together to who looks on, if anybody.
    fn show(&self, served: &[Picked]) {
        if self.watched.load(Ordering::Relaxed)
            && let Some(onlooker) = lock(&self.onlooker).as_ref()
        {
            onlooker.show(served);
        }
    }
}

impl Swap {
    /// `next` runs from the next frame on.
    pub fn hand_over(&self, next: impl Into<Arc<Generation>>) {
        *lock(&self.inbox.next) = Some(next.into());
        self.desk.poke();
    }

    /// How many models were taken into use so far, the first one included.
    #[must_use]
    pub fn adopted(&self) -> u64 {
        self.inbox.adopted.load(Ordering::SeqCst)
    }
}

/// Drops old engines, which takes milliseconds, where no frame waits for it.
pub type Reaper = SyncSender<Box<dyn Any + Send>>;

/// Everything the threads of one engine work with.
pub struct Worker {
    /// Its pipelines' mailboxes.
    desk: Arc<Desk>,
    /// Its pipelines, in the order of their mailboxes.
    seats: Vec<Seat>,
    inbox: Arc<Inbox>,
    build: Build,
    reaper: Reaper,
    said: Arc<Said>,
    current: Option<Arc<Generation>>,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("seats", &self.seats).finish_non_exhaustive()
    }
}

/// Why the loop over frames was left.
enum Left {
    /// There will be no more frames.
    Closed,
    /// The new model wants the other loop.
    OtherMode,
}

impl Worker {
    /// A worker for the pipelines at `seats`, which post on `desk`; `build` makes its engine anew when it fails.
    #[must_use]
    pub fn new(
        desk: Arc<Desk>,
        seats: Vec<Seat>,
        build: Build,
        reaper: Reaper,
        said: Arc<Said>,
    ) -> Self {
        Self { desk, seats, inbox: Arc::default(), build, reaper, said, current: None }
    }

    /// The way to give it a model: the first one, and each that follows.
    #[must_use]
    pub fn swap(&self) -> Swap {
        Swap { desk: self.desk.clone(), inbox: self.inbox.clone() }
    }

    /// Serves frames until there are no more. Called again after a failure, with the engine made anew.
    ///
    /// # Errors
    /// Ten runs failed in a row, or the engine could not be made: retried. The accelerator is lost: fatal.
    pub fn work(&mut self) -> Result<(), Failure> {
        loop {
            let generation = match self.next_generation().or_else(|| self.current.take()) {
                Some(generation) => generation,
                None => {
                    self.seats.iter().for_each(|seat| seat.health.reopened());
                    self.desk.excuse(true);
                    let built = (self.build)();
                    self.desk.excuse(false);
                    self.adopt(Arc::new(built?))
                }
            };
            let left = if generation.overlaps() {
                self.overlapped(&generation)
            } else {
                self.inline(&generation)
            };
            match left? {
                Left::Closed => return Ok(()),
                Left::OtherMode => {}
            }
        }
    }

    /// The model that was handed over, if one was.
    fn next_generation(&self) -> Option<Arc<Generation>> {
        let next = lock(&self.inbox.next).take()?;
        Some(self.adopt(next))
    }

    fn adopt(&self, next: Arc<Generation>) -> Arc<Generation> {
        self.inbox.adopted.fetch_add(1, Ordering::SeqCst);
        next
    }

    /// Drops `old` elsewhere; here only where the reaper has more to do than it can hold.
    fn reap(&self, old: Box<dyn Any + Send>) {
        match self.reaper.try_send(old) {
            Ok(()) => {}
            Err(TrySendError::Full(old) | TrySendError::Disconnected(old)) => drop(old),
        }
    }
}

/// Counts failed runs in a row, and says when it is enough.
#[derive(Debug, Default)]
struct Patience {
    in_a_row: u32,
}

impl Patience {
    fn ran(&mut self) {
        self.in_a_row = 0;
    }

    /// A run failed with `error`.
    fn failed(&mut self, error: EngineError, model: &ModelId) -> Result<(), Failure> {
        if let EngineError::Lost(_) = error {
            return Err(Failure::fatal(
                exit::ACCELERATOR,
                format!("model `{}` cannot run", model.name),
                error,
            ));
        }
        self.in_a_row += 1;
        if self.in_a_row == 1 {
            let error = crate::report::chain(&error);
            tracing::warn!(model = %model.name, error, "a run failed");
        }
        if self.in_a_row < FAILURES_MAX {
            return Ok(());
        }
        let what = format!("model `{}` failed {FAILURES_MAX} times in a row", model.name);
        Err(Failure::retry(what, error))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Places for the frames of one run.
fn places(generation: &Generation) -> Vec<Picked> {
    (0..generation.batch.max).map(|_| Picked::default()).collect()
}
