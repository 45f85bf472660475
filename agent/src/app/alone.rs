//! One configured pipeline for a measurement: its source, gate, model, postprocess and rules, as the daemon runs them,
//! and nothing that is seen outside.
//!
//! ```text
//! source ─▶ lookout ─▶ desk ─▶ preprocess ─▶ run ─▶ postprocess ─▶ analysis ─▶ JSON ─▶ a queue that is read here
//! ```
//!
//! No sink, broker or API is started and rules tell nobody. Of the state directory only the record of what is
//! installed is read, without its lock, so that a daemon beside it is not disturbed; engines that are built on this
//! device are shared with it, as they are with its rehearsals. A run is never shared, whatever `batch_max` says, and no
//! lighter model stands in. What the two cannot share (a camera, the memory of an
//! accelerator) fails here.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::sync::mpsc;
use wire::Timings;

use super::engines::{self, Made};
use super::ground;
use crate::config::{Config, PipelineConfig};
use crate::hw::ort::Runtime;
use crate::hw::process;
use crate::pipeline::capture::Capture;
use crate::pipeline::engine::EngineError;
use crate::pipeline::frame::Frame;
use crate::pipeline::health::{Counts, Health};
use crate::pipeline::latest::Desk;
use crate::pipeline::sink::Queue;
use crate::pipeline::source::{Next, Source, SourceError, SourceSpec};
use crate::pipeline::worker::{Build, Generation, Seat, Worker};
use crate::said::Said;
use crate::stop::Stop;
use crate::supervisor::Failure;
use crate::update::store::{Store, StoreError};

/// Longest time until the frames before the measurement are there. Sources give up before; a gate may wait for ever.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the source and the model may take to end.
const DRAIN: Duration = Duration::from_secs(5);
/// Observations and laps that wait to be read: some seconds of any camera.
const WAITING_MAX: usize = 4096;

/// What is to be measured.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Inferred frames before the measurement.
    pub warm_up: u64,
    /// How long it takes.
    pub time: Duration,
}

/// Why there is no measurement.
#[derive(Debug, thiserror::Error)]
pub enum AloneError {
    /// The configuration has no such pipeline.
    #[error("there is no pipeline `{name}`; there are: {}", known.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// Its frames come to the daemon's own client of the broker; a second one of that name would end the first.
    #[error(
        "the source of pipeline `{0}` hears the daemon's connection to the broker, which only the daemon has: \
         /metrics has its times (vedette_pipeline_stage_seconds)"
    )]
    Broker(String),
    /// ONNX Runtime cannot be used.
    #[error("ONNX Runtime cannot be used")]
    Runtime(#[source] EngineError),
    /// The model cannot be opened for this pipeline.
    #[error("pipeline `{name}` cannot run")]
    Model {
        /// The pipeline.
        name: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The system has no thread for it.
    #[error("no thread for pipeline `{name}`")]
    Thread {
        /// The pipeline.
        name: String,
        /// Why.
        source: std::io::Error,
    },
    /// The source or the model failed while it ran.
    #[error("pipeline `{name}` failed")]
    Failed {
        /// The pipeline.
        name: String,
        /// Why.
        source: Failure,
    },
    /// No frame came far enough.
    #[error(
        "pipeline `{name}` inferred too few frames to measure: {} captured, {} not worth a run, {} failed, {} inferred",
        counts.captured,
        counts.skipped,
        counts.failed,
        counts.inferred
    )]
    Silent {
        /// The pipeline.
        name: String,
        /// What was counted.
        counts: Counts,
    },
}

/// One thing that was timed.
#[derive(Debug, Clone, Copy)]
pub enum Lap {
    /// The source gave a frame after so long, its own pace included.
    Captured(Duration),
    /// A frame went all the way.
    Inferred(Timings),
}

/// What was counted during the measurement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tally {
    /// How long it took.
    pub took: Duration,
    /// Frames that the source gave.
    pub captured: u64,
    /// Frames that went all the way.
    pub inferred: u64,
    /// Frames that a newer one replaced.
    pub replaced: u64,
    /// Frames that were not worth a run.
    pub skipped: u64,
    /// Frames that could not be understood or inferred.
    pub failed: u64,
    /// Memory of this process while it ran.
    pub resident_bytes: Option<u64>,
}

/// A pipeline whose model is open.
#[derive(Debug)]
pub struct Alone {
    config: Arc<Config>,
    generation: Arc<Generation>,
}

impl Alone {
    /// Opens the model of pipeline `name`: the release that is installed, as the daemon would, else the
    /// configured folder.
    ///
    /// # Errors
    /// There is no such pipeline, or it cannot run here.
    pub fn open(mut config: Config, name: &str) -> Result<Self, AloneError> {
        let known: Vec<String> = config.pipelines.iter().map(|one| one.name.clone()).collect();
        config.pipelines.retain(|one| one.name == name);
        let Some(pipeline) = config.pipelines.first() else {
            return Err(AloneError::Unknown { name: name.to_owned(), known });
        };
        if pipeline.source.needs_mqtt() {
            return Err(AloneError::Broker(name.to_owned()));
        }
        let model = pipeline.model;
        if let Some(library) = &config.onnxruntime {
            Runtime::open(Some(library)).map_err(AloneError::Runtime)?;
        }
        let failed = |source| AloneError::Model { name: name.to_owned(), source };
        let folder = installed(&config, model).map_err(|error| failed(error.into()))?;
        let (cache, config) = (config.state_dir.join("engines"), Arc::new(config));
        let made = Made { config: config.clone(), model, folder };
        let generation = engines::open(&made, &cache).map_err(|error| failed(error.into()))?;
        Ok(Self { config, generation: Arc::new(generation) })
    }

    /// What runs.
    #[must_use]
    pub fn generation(&self) -> &Generation {
        &self.generation
    }

    /// The pipeline's configuration.
    #[must_use]
    pub fn pipeline(&self) -> &PipelineConfig {
        // `open` left exactly one.
        &self.config.pipelines[0]
    }

    /// Runs it, and shows every lap that belongs to the measurement to `see`; a source that ends, as a file does, ends
    /// it early.
    ///
    /// # Errors
    /// The source or the model failed, or no frame came.
    pub fn measure(
        &self,
        wanted: &Wanted,
        began: &mut dyn FnMut(),
        see: &mut dyn FnMut(Lap),
    ) -> Result<Tally, AloneError> {
        let name = || self.pipeline().name.clone();
        let no_thread = |source| AloneError::Thread { name: name(), source };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(no_thread)?;
        let mut parts = self.start().map_err(no_thread)?;
        let measured = runtime.block_on(parts.watch(wanted, began, see));
        let counts = parts.health.counts();
        runtime.block_on(parts.end());
        match measured {
            Ok(Some(tally)) => Ok(tally),
            Ok(None) => Err(AloneError::Silent { name: name(), counts }),
            Err(source) => Err(AloneError::Failed { name: name(), source }),
        }
    }

    fn start(&self) -> std::io::Result<Parts> {
        let (pipeline, stop) = (self.pipeline(), Stop::new());
        let desk = Arc::new(ground::mailboxes(&self.config, &[pipeline]));
        let (queue, name) = (Arc::new(Queue::new(WAITING_MAX)), Arc::from(pipeline.name.as_str()));
        let outlets = vec![(queue.clone(), Arc::clone(&name))];
        let seat = Seat { twin: None, ..ground::seat(pipeline, outlets, None) };
        let (timer, laps) = sync_channel(WAITING_MAX);
        let health = seat.health.clone();
        let mut capture = Capture {
            source: Arc::new(TimedSpec { inner: pipeline.source.clone(), timer }),
            desk: desk.clone(),
            index: 0,
            lighter: None,
            health: health.clone(),
            door: seat.door.clone(),
            lookout: pipeline.analysis.lookout(&name, None),
            stop: stop.clone(),
            frame: Frame::default(),
            opened: false,
        };
        // Nothing is swapped: what would be dropped elsewhere is dropped at once.
        let (reaper, _) = sync_channel(1);
        let build: Build =
            Box::new(|| Err(Failure::retry("the model failed", "its runs failed one by one")));
        let mut worker =
            Worker::new(desk.clone(), vec![seat], build, reaper, Arc::new(Said::new()));
        worker.swap().hand_over(self.generation.clone());
        let (ends, ended) = mpsc::channel(2);
        let parts = Parts { stop, desk, queue, health, laps, ended };
        let started = thread("run", ends.clone(), Part::Model, move || worker.work())
            .and_then(|()| thread("capture", ends, Part::Capture, move || capture.work()));
        if started.is_err() {
            parts.desk.close();
        }
        started.map(|()| parts)
    }
}

/// The folder of the release that is installed; `None`: the configured one runs.
fn installed(config: &Config, model: usize) -> Result<Option<PathBuf>, StoreError> {
    let model = &config.models[model];
    if config.update.is_none() || model.release.is_none() {
        return Ok(None);
    }
    let store = Store::at(&config.state_dir);
    let good = store.load(&model.name)?.good;
    Ok(good.map(|good| store.folder(&good.release.release)))
}

/// What a thread does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Capture,
    Model,
}

type Ended = (Part, Result<(), Failure>);

fn thread(
    name: &str,
    ends: mpsc::Sender<Ended>,
    part: Part,
    mut work: impl FnMut() -> Result<(), Failure> + Send + 'static,
) -> std::io::Result<()> {
    // There is room for both, and whoever reads may be gone.
    let work = move || drop(ends.try_send((part, work())));
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}

/// What runs.
struct Parts {
    stop: Stop,
    desk: Arc<Desk>,
    queue: Arc<Queue>,
    health: Arc<Health>,
    laps: Receiver<Duration>,
    ended: mpsc::Receiver<Ended>,
}

/// What is read of an observation.
#[derive(Deserialize)]
struct Seen {
    timings: Timings,
}

impl Parts {
    /// Waits for the first frames, and measures; `None` where too few came.
    async fn watch(
        &mut self,
        wanted: &Wanted,
        began: &mut dyn FnMut(),
        see: &mut dyn FnMut(Lap),
    ) -> Result<Option<Tally>, Failure> {
        let (mut first, mut seen) = (None::<(Instant, Counts)>, 0);
        let mut until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let record = tokio::select! {
                record = self.queue.pop() => record,
                Some((part, ended)) = self.ended.recv() => {
                    ended?;
                    if part == Part::Model {
                        self.queue.close();
                    }
                    continue;
                }
                () = tokio::time::sleep_until(until.into()) => break,
            };
            // The source has ended, and all of its frames are here.
            let Some(record) = record else { break };
            let timings = serde_json::from_slice::<Seen>(&record.body).map(|seen| seen.timings);
            self.queue.recycle(record);
            seen += 1;
            let laps = self.laps.try_iter();
            if first.is_some() {
                laps.for_each(|lap| see(Lap::Captured(lap)));
                timings.into_iter().for_each(|timings| see(Lap::Inferred(timings)));
            } else if seen >= wanted.warm_up.max(1) {
                laps.for_each(drop);
                (first, seen) = (Some((Instant::now(), self.health.counts())), 0);
                until = Instant::now() + wanted.time;
                began();
            }
        }
        let Some((began, before)) = first.filter(|_| seen > 0) else { return Ok(None) };
        let counts = self.health.counts();
        Ok(Some(Tally {
            took: began.elapsed(),
            captured: counts.captured - before.captured,
            inferred: seen,
            replaced: counts.replaced - before.replaced,
            skipped: counts.skipped - before.skipped,
            failed: counts.failed - before.failed,
            resident_bytes: process::memory_bytes(std::process::id(), "VmRSS:"),
        }))
    }

    /// Lets both end; a camera that hangs is left behind.
    async fn end(&mut self) {
        self.stop.say();
        self.desk.close();
        let all = async { while self.ended.recv().await.is_some() {} };
        drop(tokio::time::timeout(DRAIN, all).await);
    }
}

/// A source whose turns are timed.
#[derive(Debug)]
struct TimedSpec {
    inner: Arc<dyn SourceSpec>,
    timer: SyncSender<Duration>,
}

struct Timed {
    inner: Box<dyn Source>,
    timer: SyncSender<Duration>,
}

impl SourceSpec for TimedSpec {
    fn open(&self) -> Result<Box<dyn Source>, SourceError> {
        Ok(Box::new(Timed { inner: self.inner.open()?, timer: self.timer.clone() }))
    }

    fn rate_hz(&self) -> Option<f64> {
        self.inner.rate_hz()
    }
}

impl Source for Timed {
    fn next(&mut self, frame: &mut Frame, stop: &Stop) -> Result<Next, SourceError> {
        let began = Instant::now();
        let next = self.inner.next(frame, stop)?;
        if self.timer.try_send(began.elapsed()).is_err() {
            // Nobody reads them any more, or too slowly: they are not missed.
        }
        Ok(next)
    }
}
