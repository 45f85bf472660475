//! Keeps workers alive: a task or thread that ends badly is started again after a pause, for ever.
//!
//! Only what a restart in this process cannot cure is fatal: then everything is drained and the process ends
//! with the failure's exit code. There is no "gave up". A worker that panics counts as one that failed.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::pipeline::sink::Queue;
use crate::report;
use crate::stop::Stop;

/// Exit codes, as `DESIGN.md` §6 and `--help` have them.
pub mod exit {
    /// All is well.
    pub const OK: u8 = 0;
    /// It failed, and the message says why.
    pub const FAILED: u8 = 1;
    /// The command line is wrong.
    pub const USAGE: u8 = 2;
    /// The accelerator is lost: only a new process can use it.
    pub const ACCELERATOR: u8 = 70;
    /// The state directory cannot be used.
    pub const STATE: u8 = 73;
    /// The configuration is refused: a restart will not help.
    pub const CONFIG: u8 = 78;
}

/// First pause before a restart.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// Longest pause before a restart: a camera that is plugged in again is seen within this.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How often it is asked meanwhile whether a restart is worth it already.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// A worker that ran this long before it failed begins again with the first pause.
const RAN_WELL: Duration = Duration::from_secs(60);

/// Says whether a restart is worth it before its pause is over.
pub type Sooner = Box<dyn FnMut() -> bool + Send + Sync>;

/// Why a worker ended badly.
pub struct Failure {
    fatal: Option<u8>,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
    sooner: Option<Sooner>,
    worked: bool,
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fatal, message, source, .. } = self;
        f.debug_struct("Failure")
            .field("fatal", fatal)
            .field("message", message)
            .field("source", source)
            .finish_non_exhaustive()
    }
}

impl Failure {
    /// Something that may go better next time.
    pub fn retry(
        message: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self {
            fatal: None,
            message: message.into(),
            source: Some(source.into()),
            sooner: None,
            worked: false,
        }
    }

    /// The pause of a thread ends before its time once `sooner` says so.
    #[must_use]
    pub fn until(mut self, sooner: Option<Sooner>) -> Self {
        self.sooner = sooner;
        self
    }

    /// Whether it had worked until then: the pauses begin anew, as after a long run.
    #[must_use]
    pub fn after_work(mut self, worked: bool) -> Self {
        self.worked = worked;
        self
    }

    /// Something that only a new process can cure.
    pub fn fatal(
        code: u8,
        message: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self {
            fatal: Some(code),
            message: message.into(),
            source: Some(source.into()),
            sooner: None,
            worked: false,
        }
    }

    fn panicked(payload: &(dyn Any + Send)) -> Self {
        let said = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        Self {
            fatal: None,
            message: format!("it panicked (a bug in vedette): {said}"),
            source: None,
            sooner: None,
            worked: false,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| {
            let source: &(dyn Error + 'static) = source;
            source
        })
    }
}

/// Pauses between restarts: doubling, capped, and short again after a good run.
#[derive(Debug, Clone, Copy)]
pub struct Pause {
    next: Duration,
}

impl Default for Pause {
    fn default() -> Self {
        Self { next: PAUSE_FIRST }
    }
}

impl Pause {
    /// How long to wait after a run that lasted `ran`.
    pub fn after(&mut self, ran: Duration) -> Duration {
        if ran >= RAN_WELL {
            self.next = PAUSE_FIRST;
        }
        let pause = self.next;
        self.next = (pause * 2).min(PAUSE_MAX);
        pause
    }
}

/// Starts workers, starts them again, and ends them.
#[derive(Debug, Clone)]
pub struct Supervisor(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    stop: Stop,
    runtime: Handle,
    fatal: Mutex<Option<(u8, String)>>,
    threads: Mutex<usize>,
    thread_ended: Condvar,
    idle: tokio::sync::Notify,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Supervisor {
    /// One whose tasks run on `runtime` and whose workers end when `stop` is said.
    #[must_use]
    pub fn new(stop: Stop, runtime: Handle) -> Self {
        Self(Arc::new(Inner {
            stop,
            runtime,
            fatal: Mutex::default(),
            threads: Mutex::default(),
            thread_ended: Condvar::new(),
            idle: tokio::sync::Notify::new(),
            tasks: Mutex::default(),
        }))
    }

    /// What everybody listens to.
    #[must_use]
    pub fn stop(&self) -> &Stop {
        &self.0.stop
    }

    /// The first fatal failure, as exit code and message.
    #[must_use]
    pub fn fatal(&self) -> Option<(u8, String)> {
        lock(&self.0.fatal).clone()
    }

    /// Runs `work` on a thread of its own. Started again after a failure, until it returns `Ok` or `stop` is
    /// said; the thread is called `name`, cut to what the kernel shows.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn thread<W>(&self, name: &str, mut work: W) -> std::io::Result<()>
    where
        W: FnMut() -> Result<(), Failure> + Send + 'static,
    {
        let (supervisor, worker) = (self.clone(), name.to_owned());
        *lock(&self.0.threads) += 1;
        let started =
            std::thread::Builder::new().name(name.chars().take(15).collect()).spawn(move || {
                let mut pause = Pause::default();
                loop {
                    let began = Instant::now();
                    let ended = catch_unwind(AssertUnwindSafe(&mut work))
                        .unwrap_or_else(|payload| Err(Failure::panicked(&*payload)));
                    let Err(mut failure) = ended else { break };
                    let ran = if failure.worked { RAN_WELL } else { began.elapsed() };
                    let pause = pause.after(ran);
                    if supervisor.judge(&worker, &failure, pause)
                        || supervisor.wait(pause, failure.sooner.as_mut())
                    {
                        break;
                    }
                }
                supervisor.thread_ended();
            });
        if started.is_err() {
            self.thread_ended();
        }
        started.map(drop)
    }

    /// Runs what `start` makes as a task. Made anew after a failure, until it returns `Ok` or `stop` is said.
    pub fn run<S, F>(&self, name: &str, mut start: S)
    where
        S: FnMut() -> F + Send + 'static,
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let (supervisor, worker) = (self.clone(), name.to_owned());
        let running = self.0.runtime.spawn(async move {
            let mut pause = Pause::default();
            loop {
                let began = Instant::now();
                // A task of its own, so that a panic is its end and not ours.
                let ended = match supervisor.0.runtime.spawn(start()).await {
                    Ok(ended) => ended,
                    Err(error) if error.is_panic() => Err(Failure::panicked(&*error.into_panic())),
                    Err(_) => break,
                };
                let Err(failure) = ended else { break };
                let pause = pause.after(began.elapsed());
                if supervisor.judge(&worker, &failure, pause) {
                    break;
                }
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = supervisor.0.stop.heard() => break,
                }
            }
        });
        lock(&self.0.tasks).push(running);
    }

    /// Runs a task that empties `queue`, which keeps what was queued while the task is made anew.
    pub fn sink<S, F>(&self, name: &str, queue: &Arc<Queue>, mut start: S)
    where
        S: FnMut(Arc<Queue>) -> F + Send + 'static,
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let queue = queue.clone();
        self.run(name, move || start(queue.clone()));
    }

    /// Waits until every thread has ended, or `deadline`. True where they have.
    #[must_use]
    pub fn join_threads(&self, deadline: Instant) -> bool {
        let held = lock(&self.0.threads);
        let left = deadline.saturating_duration_since(Instant::now());
        let waited = self.0.thread_ended.wait_timeout_while(held, left, |running| *running > 0);
        waited.map(|(running, _)| *running == 0).unwrap_or(false)
    }

    /// Resolves once no thread runs: there is nothing more to do.
    pub async fn idle(&self) {
        while *lock(&self.0.threads) > 0 {
            self.0.idle.notified().await;
        }
    }

    /// Waits until every task has ended, or `deadline`. True where they have.
    pub async fn join_tasks(&self, deadline: Instant) -> bool {
        let tasks = std::mem::take(&mut *lock(&self.0.tasks));
        let all = async {
            for task in tasks {
                // A supervising task neither panics nor is aborted.
                drop(task.await);
            }
        };
        tokio::time::timeout_at(deadline.into(), all).await.is_ok()
    }

    /// Waits for `pause`, or until `sooner` says that it is enough. True where `stop` was said.
    fn wait(&self, pause: Duration, sooner: Option<&mut Sooner>) -> bool {
        let Some(sooner) = sooner else { return self.0.stop.wait(pause) };
        let until = Instant::now() + pause;
        // As it is now, just after it failed: it may be back before it is asked about again.
        if sooner() {
            return self.0.stop.said();
        }
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if self.0.stop.wait(left.min(ASK_EVERY)) {
                return true;
            }
            if left <= ASK_EVERY || sooner() {
                return false;
            }
        }
    }

    /// Logs a failure where it ends. True where it is fatal.
    fn judge(&self, worker: &str, failure: &Failure, pause: Duration) -> bool {
        let error = report::chain(failure);
        match failure.fatal {
            Some(code) => {
                tracing::error!(worker, error, "ended for good: the daemon stops");
                lock(&self.0.fatal).get_or_insert((code, error));
                self.0.stop.say();
            }
            None if self.0.stop.said() => {
                tracing::warn!(worker, error, "ended badly while stopping")
            }
            None => tracing::warn!(
                worker,
                error,
                restart_s = pause.as_secs(),
                "ended badly, starting again"
            ),
        }
        failure.fatal.is_some()
    }

    fn thread_ended(&self) {
        *lock(&self.0.threads) -= 1;
        self.0.thread_ended.notify_all();
        self.0.idle.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn pauses_double_to_the_cap_and_shorten_after_a_good_run() {
        let mut pause = Pause::default();
        let seconds: Vec<u64> = (0..7).map(|_| pause.after(Duration::ZERO).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(pause.after(RAN_WELL), PAUSE_FIRST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_fails_or_panics_is_started_again() {
        let supervisor = Supervisor::new(Stop::new(), Handle::current());
        let runs = Arc::new(AtomicU32::new(0));
        let counted = runs.clone();
        supervisor.run("unlucky", move || {
            let run = counted.fetch_add(1, Ordering::SeqCst);
            async move {
                match run {
                    0 => Err(Failure::retry("no luck", "none")),
                    1 => panic!("a bug"),
                    _ => Ok(()),
                }
            }
        });
        assert!(supervisor.join_tasks(Instant::now() + Duration::from_secs(60)).await);
        assert_eq!((runs.load(Ordering::SeqCst), supervisor.fatal()), (3, None));
    }

    #[tokio::test]
    async fn a_fatal_failure_stops_everything_and_keeps_its_code() {
        let supervisor = Supervisor::new(Stop::new(), Handle::current());
        supervisor
            .thread("gpu", || Err(Failure::fatal(exit::ACCELERATOR, "lost", "fell off")))
            .unwrap();
        supervisor.stop().heard().await;
        assert!(supervisor.join_threads(Instant::now() + Duration::from_secs(10)));
        assert_eq!(supervisor.fatal(), Some((exit::ACCELERATOR, "lost: fell off".to_owned())));
    }

    #[test]
    fn a_pause_ends_when_what_was_away_is_back() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let supervisor = Supervisor::new(Stop::new(), runtime.handle().clone());
        let runs = Arc::new(AtomicU32::new(0));
        let counted = runs.clone();
        let began = Instant::now();
        // Pauses of 1, 2, 4 and 8 seconds otherwise.
        supervisor
            .thread("camera", move || match counted.fetch_add(1, Ordering::SeqCst) {
                0..4 => Err(Failure::retry("away", "cable").until(Some(Box::new(|| true)))),
                _ => Ok(()),
            })
            .unwrap();
        assert!(supervisor.join_threads(began + Duration::from_secs(14)));
        assert_eq!(runs.load(Ordering::SeqCst), 5);
    }

    #[test]
    fn a_thread_that_panics_is_started_again_and_ends_when_told() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (stop, runs) = (Stop::new(), Arc::new(AtomicU32::new(0)));
        let supervisor = Supervisor::new(stop.clone(), runtime.handle().clone());
        let counted = runs.clone();
        supervisor
            .thread("shaky", move || {
                assert!(counted.fetch_add(1, Ordering::SeqCst) > 0, "a bug");
                Ok(())
            })
            .unwrap();
        assert!(supervisor.join_threads(Instant::now() + Duration::from_secs(10)));
        assert_eq!(runs.load(Ordering::SeqCst), 2);
    }
}
