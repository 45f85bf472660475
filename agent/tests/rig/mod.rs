//! A whole data path in this process: pattern sources, the shapes model on the real ONNX Runtime, a queue for each.

#![allow(dead_code, clippy::allow_attributes, reason = "each test file uses a part of it")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]
#![expect(unreachable_pub, reason = "one rig for several tests")]

use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use vedette::config::section::{Mistakes, Section};
use vedette::config::tree::{At, parse};
use vedette::hw::ort::Runtime;
use vedette::kinds;
use vedette::model::ModelFolder;
use vedette::pipeline::analysis::{Analysis, AnalysisSettings};
use vedette::pipeline::batch::Batch;
use vedette::pipeline::capture::Capture;
use vedette::pipeline::door::Door;
use vedette::pipeline::engine::Engine;
use vedette::pipeline::frame::Frame;
use vedette::pipeline::health::Health;
use vedette::pipeline::latest::Desk;
use vedette::pipeline::lookout::Lookout;
use vedette::pipeline::postprocess::ModelFacts;
use vedette::pipeline::preprocess::Preprocess;
use vedette::pipeline::sink::Queue;
use vedette::pipeline::source::SourceSpec;
use vedette::pipeline::worker::{Fitting, Generation, ModelId, Seat, Swap, Worker};
use vedette::said::Said;
use vedette::stop::Stop;

/// A data path that runs.
pub struct Rig {
    queues: Vec<Arc<Queue>>,
    swap: Swap,
    /// That of the first pipeline.
    pub health: Arc<Health>,
    pub healths: Vec<Arc<Health>>,
    pub doors: Vec<Arc<Door>>,
    stop: Stop,
    desk: Arc<Desk>,
    threads: Vec<JoinHandle<()>>,
}

/// Builds what `text` configures.
fn build<S: ?Sized>(kinds: &'static [kinds::Kind<S>], text: &str) -> Box<S> {
    let (mistakes, file) = (Mistakes::new(), Path::new("rig"));
    let table = parse(text, file).unwrap();
    let section = Section::top(&table, At::File(file.into(), 1), Path::new("."), &mistakes);
    let built = kinds::build(kinds, section);
    let mistakes = mistakes.into_vec();
    assert!(mistakes.is_empty(), "{mistakes:?}");
    built.unwrap()
}

/// What looks at findings and frames as `text` configures it; nobody hears of its events.
fn watch(text: &str) -> (Analysis, Lookout) {
    let (mistakes, file) = (Mistakes::new(), Path::new("rig"));
    let table = parse(text, file).unwrap();
    let section = Section::top(&table, At::File(file.into(), 1), Path::new("."), &mistakes);
    let settings = AnalysisSettings::read(&section, &[]);
    section.finish();
    let mistakes = mistakes.into_vec();
    assert!(mistakes.is_empty(), "{mistakes:?}");
    (settings.analysis(&"rig".into(), false, None), settings.lookout(&"rig".into(), None))
}

/// Opens the shapes model with `engine` (a table with its `kind`), for one pipeline, as version `version`.
pub fn generation(engine: &str, version: &str) -> Generation {
    batched(engine, version, 1, Batch::ALONE)
}

/// The same for so many pipelines, whose frames go together as `batch` says.
pub fn batched(engine: &str, version: &str, pipelines: usize, batch: Batch) -> Generation {
    let library = std::env::var_os("VEDETTE_TEST_ORT")
        .expect("VEDETTE_TEST_ORT names no ONNX Runtime library: run scripts/test");
    Runtime::open(Some(Path::new(&library))).unwrap();
    let mistakes = Mistakes::new();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/shapes");
    let folder =
        ModelFolder::read(&path, &mistakes).unwrap_or_else(|| panic!("{:?}", mistakes.into_vec()));
    let engine: Arc<dyn Engine> = build(kinds::ENGINES, engine).open(&folder.files(None)).unwrap();
    let picture = folder.picture.as_ref().unwrap();
    let facts = ModelFacts {
        signature: engine.signature(),
        labels: &folder.labels,
        input_width: picture.width,
        input_height: picture.height,
        input_index: folder.input,
    };
    let own = Mistakes::new();
    let fitting = |_| {
        let at = At::File(path.as_path().into(), 1);
        let section = Section::top(&folder.postprocess, at, &path, &own);
        let postprocess = kinds::build(kinds::POSTPROCESSES, section).unwrap();
        Fitting::new(Preprocess::new(picture).unwrap(), postprocess.build(&facts).unwrap())
    };
    let fittings = (0..pipelines).map(fitting).collect();
    let model = ModelId {
        name: "shapes".into(),
        version: version.into(),
        sha256: folder.sha256.as_str().into(),
    };
    Generation::batched(model, engine, folder.input, fittings, batch).unwrap()
}

impl Rig {
    /// Frames of `source` (a table with its `kind`) through `first` to a queue that holds `held` observations. `more`
    /// are further settings of a pipeline: `track`, `zones`, `lines`, `events`, `gate`.
    pub fn start(source: &str, first: impl Into<Arc<Generation>>, held: usize, more: &str) -> Self {
        Self::start_all(&[source], first, held, more)
    }

    /// The same for a pipeline of each of `sources`, all of them on one engine.
    pub fn start_all(
        sources: &[&str],
        first: impl Into<Arc<Generation>>,
        held: usize,
        more: &str,
    ) -> Self {
        let sources: Vec<Arc<dyn SourceSpec>> =
            sources.iter().map(|text| build(kinds::SOURCES, text).into()).collect();
        let rates: Vec<_> = sources.iter().map(|source| source.rate_hz()).collect();
        let (desk, stop) = (Arc::new(Desk::new(&rates)), Stop::new());
        let (mut seats, mut captures) = (Vec::new(), Vec::new());
        for (index, source) in sources.into_iter().enumerate() {
            let (analysis, lookout) = watch(more);
            let seat = Seat {
                pipeline: format!("rig{index}").into(),
                outlets: vec![(Arc::new(Queue::new(held)), "t".into())],
                health: Arc::default(),
                door: Arc::default(),
                analysis: Arc::new(Mutex::new(analysis)),
                watch: Arc::default(),
                twin: None,
            };
            captures.push(Capture {
                source,
                desk: desk.clone(),
                index,
                lighter: None,
                health: seat.health.clone(),
                door: seat.door.clone(),
                lookout,
                stop: stop.clone(),
                frame: Frame::default(),
                opened: false,
            });
            seats.push(seat);
        }
        let queues = seats.iter().map(|seat| seat.outlets[0].0.clone()).collect();
        let healths: Vec<_> = seats.iter().map(|seat| seat.health.clone()).collect();
        let doors = seats.iter().map(|seat| seat.door.clone()).collect();
        let (reaper, old) = sync_channel(8);
        let build = || unreachable!("nothing fails here");
        let mut worker =
            Worker::new(desk.clone(), seats, Box::new(build), reaper, Arc::new(Said::new()));
        let swap = worker.swap();
        swap.hand_over(first);
        let mut threads = vec![
            std::thread::spawn(move || worker.work().unwrap()),
            std::thread::spawn(move || old.into_iter().for_each(drop)),
        ];
        let capture = |mut one: Capture| std::thread::spawn(move || one.work().unwrap());
        threads.extend(captures.into_iter().map(capture));
        Self { queues, swap, health: healths[0].clone(), healths, doors, stop, desk, threads }
    }

    /// The way to give it another model.
    pub fn swap(&self) -> Swap {
        self.swap.clone()
    }

    /// Waits until `reached` says so.
    pub fn until(&self, what: &str, mut reached: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(120);
        while !reached(self) {
            assert!(Instant::now() < deadline, "{what} did not come");
            std::thread::yield_now();
        }
    }

    /// Waits for the source to end (or ends it, where it would not), and returns what was observed.
    pub fn finish(self, ends_itself: bool) -> Vec<Vec<u8>> {
        self.finish_all(ends_itself).remove(0)
    }

    /// The same of every pipeline.
    pub fn finish_all(self, ends_itself: bool) -> Vec<Vec<Vec<u8>>> {
        if !ends_itself {
            self.stop.say();
            self.desk.close();
        }
        for thread in self.threads {
            thread.join().unwrap();
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let drained = |queue: Arc<Queue>| {
            queue.close();
            runtime.block_on(async {
                let mut bodies = Vec::new();
                while let Some(record) = queue.pop().await {
                    bodies.push(record.body);
                }
                bodies
            })
        };
        self.queues.into_iter().map(drained).collect()
    }
}
