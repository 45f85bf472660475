//! The composition root: opens everything, starts everything, drains with a deadline.

pub mod alone;
mod api;
mod engines;
mod ground;
mod outside;
mod releases;
mod reload;
mod telemetry;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use self::engines::{Engines, Plan};
use self::ground::Ground;
use self::releases::Slot;
use crate::commands;
use crate::config::Config;
use crate::config::checked::Use;
use crate::config::section::Mistake;
use crate::disk::StateDir;
use crate::hw::ort::Runtime;
use crate::hw::process::exit_now;
use crate::hw::{heap, pages};
use crate::mqtt::{self, Link};
use crate::pipeline::capture::Capture;
use crate::pipeline::frame::Frame;
use crate::pipeline::health::Health;
use crate::pipeline::latest::Desk;
use crate::pipeline::rules::{EVENTS_MAX, Occurrence, Outlet};
use crate::pipeline::sink::{Queue, SinkContext};
use crate::pipeline::worker::{Seat, Worker};
use crate::report;
use crate::said::{InfoParts, Said};
use crate::stop::Stop;
use crate::supervisor::{Supervisor, exit};
use crate::telemetry::seen::Seen;
use crate::update::{Booted, Live};
use crate::watchdog;

/// How long ending may take, from the signal to the last byte.
const DRAIN: Duration = Duration::from_secs(5);
/// What of it the frames get; the rest is for the sinks.
const DRAIN_FRAMES: Duration = Duration::from_secs(3);
/// What the events get: they only have to be written down, unless a camera or a model did not end.
const DRAIN_EVENTS: Duration = Duration::from_millis(200);
/// How often each pipeline's figures are logged.
const FIGURES_EVERY: Duration = Duration::from_secs(60);
/// When a start is over with all that follows it: the first samples, the first word to the broker.
const SETTLED: Duration = Duration::from_secs(5);
/// Threads for what waits for a network: there is little of it, and the cores belong to the models.
const NETWORK_THREADS: usize = 2;

/// Reads the configuration again, as it was read at the start.
pub type Reread = Arc<dyn Fn() -> Result<Config, Vec<Mistake>> + Send + Sync>;

/// Why the daemon ended: the exit code, and the message where it is not 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Exit code.
    pub code: u8,
    /// What to tell the user.
    pub message: String,
}

impl Ended {
    fn failed(code: u8, error: &dyn std::error::Error) -> Self {
        Self { code, message: report::chain(error) }
    }
}

/// Runs the daemon until it is told to stop, until every source has ended, or until something is fatal.
#[must_use]
pub fn run(config: Config, reread: Reread) -> Ended {
    let state = match StateDir::open(&config.state_dir) {
        Ok(state) => state,
        Err(error) => return Ended::failed(exit::STATE, &error),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(NETWORK_THREADS)
        .thread_name("network")
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return Ended::failed(exit::FAILED, &error),
    };
    let ended = match House::open(config, &state, &runtime) {
        Ok((house, signals)) => runtime.block_on(house.live(signals, reread)),
        Err(ended) => ended,
    };
    // A task that hangs must not keep the process.
    runtime.shutdown_timeout(Duration::from_millis(100));
    ended
}

/// Everything that runs.
struct House {
    supervisor: Supervisor,
    engines: Engines,
    desks: Vec<Arc<Desk>>,
    queues: Vec<Arc<Queue>>,
    pipelines: Vec<(Arc<str>, Arc<Health>)>,
    /// The same, for whoever asks from outside.
    open: Vec<commands::Pipeline>,
    link: Option<Link>,
    /// Where rules tell what happens; gone once all that have rules were started.
    outlet: Option<Outlet>,
    /// Resolves once every event was told.
    told: Option<oneshot::Receiver<()>>,
    said: Arc<Said>,
    /// The board, as it was seen last.
    seen: Seen,
    /// Rung when a release was taken or left.
    changed: Arc<tokio::sync::Notify>,
    /// That of the start: what a reload takes of another is the engines'.
    config: Arc<Config>,
}

/// Signals that do not end this process by themselves any more.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen(runtime: &tokio::runtime::Runtime, hangup: Signal) -> Result<Self, Ended> {
        let terminate = Self::one(runtime, SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: Self::one(runtime, SignalKind::interrupt())?, hangup })
    }

    fn one(runtime: &tokio::runtime::Runtime, kind: SignalKind) -> Result<Signal, Ended> {
        let _inside = runtime.enter();
        signal(kind).map_err(|error| Ended {
            code: exit::FAILED,
            message: format!("cannot listen for signals: {error}"),
        })
    }
}

impl House {
    /// Opens everything, the slowest and likeliest to fail first, and starts it. What the system tells it comes with it.
    fn open(
        config: Config,
        state: &StateDir,
        runtime: &tokio::runtime::Runtime,
    ) -> Result<(Self, Signals), Ended> {
        // Told to read its configuration again while it starts, it does so once it runs.
        let hangup = Signals::one(runtime, SignalKind::hangup())?;
        if let Some(library) = &config.onnxruntime {
            Runtime::open(Some(library)).map_err(|error| Ended::failed(exit::CONFIG, &error))?;
        }
        let supervisor = Supervisor::new(Stop::new(), runtime.handle().clone());
        let said = Arc::new(Said::new());
        let link = config
            .mqtt
            .as_ref()
            .map(|mqtt| mqtt::start(mqtt, &config.topics, state.path(), &said, &supervisor));
        // Before there is a connection: what is said once we are online is heard, and waits until we can obey.
        let asked = link.as_ref().map(|link| link.listen(&link.topics().commands()));
        let context = SinkContext { supervisor: &supervisor, link: link.as_ref() };
        let used = |index| config.pipelines.iter().any(|pipeline| pipeline.sinks.contains(&index));
        let sinks: Vec<Option<Arc<Queue>>> = config
            .sinks
            .iter()
            .enumerate()
            .map(|(index, sink)| used(index).then(|| sink.spec.start(&context)))
            .collect();
        let (outlet, happened) = tokio::sync::mpsc::channel::<Occurrence>(EVENTS_MAX);
        let config = Arc::new(config);
        let mut house = Self {
            changed: Arc::default(),
            config: config.clone(),
            queues: sinks.iter().flatten().chain(link.iter().map(Link::queue)).cloned().collect(),
            engines: Engines::new(state.path().join("engines")),
            supervisor,
            desks: Vec::new(),
            pipelines: Vec::new(),
            open: Vec::new(),
            link,
            outlet: Some(outlet),
            told: None,
            said,
            seen: Seen::default(),
        };
        let ground = Ground::new(&house, &sinks)?;
        let mut slots = Vec::new();
        for (index, model) in config.models.iter().enumerate() {
            let _opening = watchdog::Opening::begin(&format!("opening model {}", model.name));
            let booted = releases::boot(&config, index, state)?;
            slots.extend(house.start_engine(index, booted, &ground)?);
        }
        // From here on it is told to stop, and drains; while a model was opened, which may take minutes, it just ended.
        let signals = Signals::listen(runtime, hangup)?;
        house.tell();
        let releases = house.take_releases(slots, state);
        house.watch_board();
        house.tell_events(happened, state);
        house.serve_api(releases.as_ref(), state.path());
        house.answer_outside(releases, asked);
        Ok((house, signals))
    }

    /// Opens model `index` and starts its threads and the captures of the pipelines whose own it is. What a worker for
    /// its releases needs, where it takes releases.
    fn start_engine(
        &mut self,
        index: usize,
        mut slot: Option<Slot>,
        ground: &Ground,
    ) -> Result<Option<(Live, Booted)>, Ended> {
        let config = &self.config.clone();
        let uses: Vec<_> = config.uses(index).collect();
        if uses.is_empty() {
            tracing::warn!(
                model = config.models[index].name,
                "no pipeline uses this model: not opened"
            );
            return Ok(None);
        }
        let plan = Plan::new(config.clone(), index, slot.as_ref().and_then(Slot::folder));
        let first = Arc::new(self.first(&plan, slot.as_mut())?);
        let info = engines::info(&config.models[index].name, &first);
        let desk = ground.desks[index].clone();
        // What it makes of their frames is watched apart from what their other engine does.
        let seat =
            |one: &Use<'_>| Seat { watch: Arc::default(), ..ground.seats[one.index].clone() };
        let seats: Vec<Seat> = uses.iter().map(seat).collect();
        for (place, (one, seat)) in uses.iter().zip(&seats).enumerate() {
            if !one.lighter {
                self.start_pipeline(one, place, seat, ground)?;
            }
        }
        let watches = seats.iter().map(|seat| seat.watch.clone()).collect();
        let (build, reaper) = (self.engines.rebuild(&plan), ground.reaper.clone());
        let mut worker = Worker::new(desk.clone(), seats, build, reaper, self.said.clone());
        let swap = worker.swap();
        let current = Arc::downgrade(&first);
        swap.hand_over(first);
        let cache = self.engines.cache().to_owned();
        let running = self.engines.runs(plan, swap, info);
        let live =
            slot.map(|slot| slot.live(running, watches, current, &cache, self.changed.clone()));
        self.desks.push(desk);
        self.thread(&format!("run {}", config.models[index].name), move || worker.work())?;
        Ok(live)
    }

    /// Starts the capture of a pipeline, which posts at `place` of its own model's desk.
    fn start_pipeline(
        &mut self,
        own: &Use<'_>,
        place: usize,
        seat: &Seat,
        ground: &Ground,
    ) -> Result<(), Ended> {
        let pipeline = own.pipeline;
        if let Some(link) = &self.link {
            pipeline.source.connect(link);
        }
        let lighter = pipeline.lighter.as_ref().and_then(|lighter| {
            let place = self.config.uses(lighter.model).position(|one| one.index == own.index)?;
            Some((ground.desks[lighter.model].clone(), place))
        });
        let mut capture = Capture {
            source: pipeline.source.clone(),
            desk: ground.desks[pipeline.model].clone(),
            index: place,
            lighter,
            health: seat.health.clone(),
            door: seat.door.clone(),
            lookout: pipeline.analysis.lookout(&seat.pipeline, self.outlet.as_ref()),
            stop: self.supervisor.stop().clone(),
            frame: Frame::default(),
            opened: false,
        };
        self.thread(&format!("cap {}", pipeline.name), move || capture.work())?;
        self.pipelines.push((seat.pipeline.clone(), seat.health.clone()));
        self.open.push(commands::Pipeline {
            name: seat.pipeline.clone(),
            door: seat.door.clone(),
            health: seat.health.clone(),
            threshold: pipeline.postprocess.threshold(),
        });
        Ok(())
    }

    fn thread<W>(&self, name: &str, work: W) -> Result<(), Ended>
    where
        W: FnMut() -> Result<(), crate::supervisor::Failure> + Send + 'static,
    {
        self.supervisor.thread(name, work).map_err(|error| Ended::failed(exit::FAILED, &error))
    }

    /// Publishes what the device is and runs.
    fn tell(&self) {
        let (Some(link), config) = (&self.link, &self.config) else { return };
        let pipelines = config.pipelines.iter().map(|pipeline| wire::PipelineInfo {
            name: pipeline.name.clone(),
            source: pipeline.source_kind.clone(),
            model: config.models[pipeline.model].name.clone(),
        });
        let parts = InfoParts {
            onnxruntime_version: self.engines.library(),
            pipelines: pipelines.collect(),
            engines: self.engines.infos(),
        };
        link.retain(&link.topics().info(), self.said.info(parts));
    }

    /// Lives until it is time to end, and drains.
    async fn live(self, signals: Signals, reread: Reread) -> Ended {
        let Signals { mut terminate, mut interrupt, mut hangup } = signals;
        tracing::info!(
            pipelines = self.pipelines.len(),
            version = env!("CARGO_PKG_VERSION"),
            "running"
        );
        watchdog::start(&self.supervisor, self.desks.clone(), self.status_line());
        watchdog::ready();
        let settled = tokio::time::sleep(SETTLED);
        tokio::pin!(settled);
        let mut figures = tokio::time::interval(FIGURES_EVERY);
        figures.tick().await;
        let stop = self.supervisor.stop().clone();
        // Loading a model takes the time it takes: frames flow meanwhile, and who says stop is heard.
        let mut reloading = None::<tokio::task::JoinHandle<bool>>;
        loop {
            tokio::select! {
                () = told(&mut terminate, &mut interrupt) => {
                    tracing::info!("told to stop; once more to leave at once");
                    break;
                }
                () = stop.heard() => break,
                // Without a pipeline there is the board to watch.
                () = self.supervisor.idle(), if !self.pipelines.is_empty() => {
                    tracing::info!("every source has ended");
                    break;
                }
                _ = hangup.recv(), if reloading.is_none() => reloading = Some(self.reload(&reread)),
                swapped = ended(&mut reloading) => {
                    if swapped {
                        self.tell();
                    }
                }
                () = self.changed.notified() => self.tell(),
                _ = figures.tick() => self.log_figures(),
                () = &mut settled, if !settled.is_elapsed() => {
                    pages::release_program();
                    heap::give_back();
                }
            }
        }
        watchdog::stopping();
        tokio::select! {
            ended = self.drain() => ended,
            () = told(&mut terminate, &mut interrupt) => leave(),
        }
    }

    fn reload(&self, reread: &Reread) -> tokio::task::JoinHandle<bool> {
        let (engines, reread, started) =
            (self.engines.clone(), reread.clone(), self.config.clone());
        tokio::task::spawn_blocking(move || engines.reload(&reread, &started))
    }

    /// What `systemctl status` shows: how many pipelines, and how much they did.
    fn status_line(&self) -> impl Fn() -> String + Clone + Send + 'static {
        let pipelines = self.pipelines.clone();
        move || {
            let inferred: u64 = pipelines.iter().map(|(_, health)| health.counts().inferred).sum();
            let s = if pipelines.len() == 1 { "" } else { "s" };
            format!("{} pipeline{s}, {inferred} frames inferred", pipelines.len())
        }
    }

    fn log_figures(&self) {
        for (pipeline, health) in &self.pipelines {
            let summary = health.summary();
            tracing::info!(
                %pipeline,
                rate_hz = format_args!("{:.1}", summary.rate_hz),
                p50_ms = summary.p50_ms,
                p95_ms = summary.p95_ms,
                p99_ms = summary.p99_ms,
                captured = summary.captured,
                inferred = summary.inferred,
                replaced = summary.replaced,
                skipped = summary.skipped.iter().sum::<u64>(),
                failed = summary.failed,
                "figures"
            );
        }
    }

    /// Lets what is under way arrive, for as long as [`DRAIN`].
    async fn drain(self) -> Ended {
        let began = Instant::now();
        self.supervisor.stop().say();
        self.desks.iter().for_each(|desk| desk.close());
        let supervisor = self.supervisor.clone();
        let frames =
            tokio::task::spawn_blocking(move || supervisor.join_threads(began + DRAIN_FRAMES));
        let frames_drained = frames.await.unwrap_or(false);
        self.log_figures();
        if let Some(told) = self.told {
            // What the last frames had to tell is with the outbox before the broker hears goodbye.
            drop(tokio::time::timeout(DRAIN_EVENTS, told).await);
        }
        self.queues.iter().for_each(|queue| queue.close());
        let sinks_drained = self.supervisor.join_tasks(began + DRAIN).await;
        if let Some((code, message)) = self.supervisor.fatal() {
            return Ended { code, message };
        }
        if frames_drained && sinks_drained {
            tracing::info!(ms = began.elapsed().as_millis(), "ended");
            return Ended { code: exit::OK, message: String::new() };
        }
        let late = if frames_drained { "a sink" } else { "a camera or a model" };
        Ended {
            code: exit::FAILED,
            message: format!("{late} did not end within {} s", DRAIN.as_secs()),
        }
    }
}

/// Waits for the end of what is reloaded, for ever where nothing is. Whether a model was swapped.
async fn ended(reloading: &mut Option<tokio::task::JoinHandle<bool>>) -> bool {
    let Some(handle) = reloading else { return std::future::pending().await };
    let swapped = handle.await;
    *reloading = None;
    swapped.unwrap_or_else(|error| {
        tracing::error!(%error, "not reloaded (a bug in vedette)");
        false
    })
}

async fn told(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Ends the process without waiting for anything: the user asked twice.
fn leave() -> ! {
    tracing::warn!("told twice: leaving at once");
    exit_now(exit::FAILED)
}

/// Where the configuration was read from, for [`Reread`].
#[must_use]
pub fn reread(file: PathBuf) -> Reread {
    Arc::new(move || Config::load(&file, std::env::vars()))
}
