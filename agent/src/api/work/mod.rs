//! Runs that requests ask for, beside the live pipelines.
//!
//! ```text
//! request ─▶ ask (bounded, else 429) ─▶ queue ─▶ a runner's thread ─▶ the model's own session for requests ─▶ answer
//! ```
//!
//! Frames never wait for a request: requests have sessions of their own, opened when the first one
//! comes and closed after [`IDLE`], and runners of their own, each on `api.threads` processors and
//! ten steps of niceness below the data path. A request whose client has gone away is never run.
//! What waits has a bound; so have the runs at one time. A short run for the only client is done where
//! it is asked for, which is on a thread of the same rank, and which waits awake for a client that asks in a row.

mod batch;
mod queue;
mod stats;

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedSemaphorePermit, oneshot};

pub(super) use batch::count;
use queue::{Alone, Job, Picked, Queue, Run, SOON, input_bytes};
pub(super) use queue::{Caller, Standing};
pub(super) use stats::{Stats, Tally, Times};

use super::answer::Refusal;
use super::models::Known;
use super::settings::WorkSettings;
use crate::hw::process;
use crate::pipeline::engine::{Engine, EngineError};
use crate::pipeline::value::Value;
use crate::report;

/// A session that nobody asked for so long is closed: its memory is the data path's.
pub(super) const IDLE: Duration = Duration::from_secs(600);

/// What came of a run.
pub(super) type Done = Result<Ran, Refusal>;

/// A run that went well.
#[derive(Debug)]
pub(super) struct Ran {
    /// The outputs that were asked for.
    pub(super) outputs: Vec<Value>,
    /// How long the request waited for it.
    pub(super) queued: Duration,
    /// How long it took.
    pub(super) ran: Duration,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Work {
    settings: WorkSettings,
    cache: PathBuf,
    state: Mutex<State>,
    bell: Condvar,
    /// Told where a request may soon follow the one that was run at once.
    soon: Notify,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    runners: usize,
    ended: bool,
}

impl Work {
    pub(super) fn new(settings: &WorkSettings, cache: PathBuf) -> Arc<Self> {
        let state = State { queue: Queue::new(settings), runners: 0, ended: false };
        let (state, bell, soon) = (Mutex::new(state), Condvar::new(), Notify::new());
        Arc::new(Self { settings: settings.clone(), cache, state, bell, soon })
    }

    /// Has `model` run on `inputs`, which take up `room`, for `caller`, and returns `outputs`. Whoever lets go of the
    /// future has it taken out of the queue.
    ///
    /// # Errors
    /// Too much waits already, the model cannot be opened, or the run failed.
    pub(super) async fn ask(
        self: &Arc<Self>,
        model: &Arc<Known>,
        inputs: Vec<Value>,
        outputs: Vec<usize>,
        room: OwnedSemaphorePermit,
        caller: Option<Caller>,
    ) -> Done {
        let (reply, replied) = oneshot::channel();
        let bytes = input_bytes(&inputs);
        let job = Job { inputs, outputs, _room: room, reply, asked: Instant::now() };
        match self.alone(model, caller, bytes) {
            Some(Alone { engine, soon }) => {
                let run = self.run(model, engine.as_ref(), vec![job]);
                self.lock().queue.ran(&model.key, run, Instant::now());
                if soon {
                    self.soon.notify_one();
                }
            }
            None => self.push(model, job)?,
        }
        let ending = || Refusal::unavailable("the daemon is ending", 1);
        replied.await.unwrap_or_else(|_| Err(ending()))
    }

    /// Keeps the thread of all connections awake where a request may soon follow: it looks at each again and again.
    pub(super) async fn stay_awake(&self) -> Infallible {
        loop {
            self.soon.notified().await;
            let until = Instant::now() + SOON;
            while Instant::now() < until {
                tokio::task::yield_now().await;
            }
        }
    }

    fn alone(&self, model: &Known, caller: Option<Caller>, bytes: usize) -> Option<Alone> {
        let mut state = self.lock();
        if state.ended {
            return None;
        }
        state.queue.alone(&model.key, caller, bytes, Instant::now())
    }

    fn push(self: &Arc<Self>, model: &Arc<Known>, job: Job) -> Result<(), Refusal> {
        let mut state = self.lock();
        if state.ended {
            return Err(Refusal::unavailable("the daemon is ending", 1));
        }
        state.queue.push(model, job)?;
        self.hire(&mut state)?;
        drop(state);
        self.bell.notify_one();
        Ok(())
    }

    /// Starts another runner, where there may be one more: one is enough, where the system has no thread for two.
    fn hire(self: &Arc<Self>, state: &mut State) -> Result<(), Refusal> {
        if state.runners >= self.settings.runners {
            return Ok(());
        }
        let worker = self.clone();
        let name = format!("infer {}", state.runners);
        match std::thread::Builder::new().name(name).spawn(move || worker.work()) {
            Ok(_) => state.runners += 1,
            Err(error) if state.runners == 0 => {
                return Err(Refusal::unavailable(format!("no thread to run it: {error}"), 1));
            }
            Err(_) => {}
        }
        Ok(())
    }

    /// Whether a version's session is open, being opened, or could not be opened for this reason.
    pub(super) fn standing(&self, model: &Known) -> Standing {
        self.lock().queue.standing(&model.key, Instant::now())
    }

    /// Requests that wait.
    pub(super) fn waiting(&self) -> usize {
        self.lock().queue.waiting()
    }

    /// Opens the session of `model` where it is not open, for the request that is to come. A runner is there from
    /// then on, which closes it where none comes.
    ///
    /// # Errors
    /// There is no thread for a runner, or the daemon is ending.
    pub(super) fn load(self: &Arc<Self>, model: &Arc<Known>) -> Result<(), Refusal> {
        let mut state = self.lock();
        if state.ended {
            return Err(Refusal::unavailable("the daemon is ending", 1));
        }
        self.hire(&mut state)?;
        let wants = state.queue.wants_open(model, Instant::now());
        drop(state);
        if wants {
            self.open(model.clone());
        }
        Ok(())
    }

    /// Closes the session of `model`; the next request opens it again.
    pub(super) fn unload(&self, model: &Known) {
        let closed = self.lock().queue.close(&model.key);
        drop(closed);
    }

    /// Runs nothing more. What runs ends by itself.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        let left = state.queue.empty();
        drop(state);
        drop(left);
        self.bell.notify_all();
    }

    fn work(self: Arc<Self>) {
        be_second();
        let mut state = self.lock();
        while !state.ended {
            match state.queue.pick(Instant::now()) {
                Picked::Run { model, engine, jobs } => {
                    drop(state);
                    let run = self.run(&model, engine.as_ref(), jobs);
                    state = self.lock();
                    state.queue.ran(&model.key, run, Instant::now());
                    // Another runner may have waited for this one's model.
                    self.bell.notify_one();
                }
                Picked::Open(model) => {
                    drop(state);
                    self.open(model);
                    state = self.lock();
                }
                Picked::Wait(time) => {
                    let idle = state.queue.idle(Instant::now());
                    if !idle.is_empty() {
                        drop(state);
                        drop(idle);
                        state = self.lock();
                        continue;
                    }
                    let time = time.unwrap_or_else(|| state.queue.rests_for(Instant::now()));
                    let waited = self.bell.wait_timeout(state, time);
                    state = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    /// Opens a session on a thread of its own: an accelerator may build for minutes, and other
    /// models go on.
    fn open(self: &Arc<Self>, model: Arc<Known>) {
        let (worker, known) = (self.clone(), model.clone());
        let opening = move || {
            be_second();
            let opened = catch_unwind(AssertUnwindSafe(|| worker.opened(&known)))
                .unwrap_or_else(|_| Err("it panicked (a bug in vedette)".to_owned()));
            if let Err(error) = &opened {
                tracing::warn!(model = known.name, error, "a model cannot be opened for requests");
            }
            let refused = worker.lock().queue.opened(&known.key, opened, Instant::now());
            for (job, why) in refused {
                drop(job.reply.send(Err(why)));
            }
            worker.bell.notify_all();
        };
        let started = std::thread::Builder::new().name("open".to_owned()).spawn(opening);
        if let Err(error) = started {
            let refused =
                self.lock().queue.opened(&model.key, Err(error.to_string()), Instant::now());
            for (job, why) in refused {
                drop(job.reply.send(Err(why)));
            }
        }
    }

    fn opened(&self, model: &Known) -> Result<Arc<dyn Engine>, String> {
        let spec = &model.version.config.models[model.version.model].engine;
        if !model.folder.is_unchanged() {
            return Err("its file is another one than at the start: restart".to_owned());
        }
        let files = model.folder.files(Some(&self.cache));
        let engine = match spec.options().cloned() {
            Some(mut options) => {
                options.threads = self.settings.threads;
                // A recorded run is for one shape and one place; requests have any.
                (options.tensorrt.cuda_graph, options.cuda.cuda_graph) = (false, false);
                crate::pipeline::engine::EngineSpec::open(&options, &files)
            }
            None => spec.open(&files),
        };
        let engine = engine.map_err(|error| report::chain(&error))?;
        let provider = &engine.report().provider;
        tracing::info!(model = model.name, version = model.key.1, provider, "opened for requests");
        Ok(engine)
    }

    /// Runs `jobs` at once, and answers each.
    fn run(&self, model: &Known, engine: &dyn Engine, jobs: Vec<Job>) -> Run {
        let input_bytes = jobs.iter().map(|job| input_bytes(&job.inputs)).sum();
        let began = Instant::now();
        let inferred = catch_unwind(AssertUnwindSafe(|| batch::infer(engine, &jobs)));
        let inferred = inferred.unwrap_or_else(|_| {
            let refusal = Refusal::unavailable("it panicked (a bug in vedette)", 1);
            jobs.iter().map(|_| Err(refusal.clone())).collect()
        });
        let took = began.elapsed();
        let well = inferred.iter().all(Result::is_ok);
        if well {
            let signature = &model.folder.signature;
            let items = jobs.iter().map(|job| count(signature, &job.inputs)).sum();
            model.stats().ran(items, took);
        }
        for (job, outputs) in jobs.into_iter().zip(inferred) {
            let queued = began.saturating_duration_since(job.asked);
            // Whoever waited for it may be gone.
            drop(job.reply.send(outputs.map(|outputs| Ran { outputs, queued, ran: took })));
        }
        Run { input_bytes, took, well }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn be_second() {
    if let Err(error) = process::be_second() {
        tracing::debug!(%error, "requests have the rank of frames");
    }
}

/// What whoever asked is told of a run that failed: nearly always what it asked for is the reason.
fn refused(error: &EngineError) -> Refusal {
    let message = report::chain(error);
    match error {
        EngineError::Shape(_) | EngineError::Run(_) => Refusal::bad(message),
        _ => Refusal::unavailable(message, 1),
    }
}
