//! A whole data path in this process: a pattern source, the shapes model on the real ONNX Runtime, one queue.

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
use vedette::pipeline::capture::Capture;
use vedette::pipeline::engine::Engine;
use vedette::pipeline::frame::Frame;
use vedette::pipeline::health::Health;
use vedette::pipeline::latest::Desk;
use vedette::pipeline::lookout::Lookout;
use vedette::pipeline::postprocess::ModelFacts;
use vedette::pipeline::preprocess::Preprocess;
use vedette::pipeline::sink::Queue;
use vedette::pipeline::worker::{Fitting, Generation, ModelId, Seat, Swap, Worker};
use vedette::said::Said;
use vedette::stop::Stop;

/// A data path that runs.
pub struct Rig {
    queue: Arc<Queue>,
    swap: Swap,
    pub health: Arc<Health>,
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
    let section =
        Section::top(&folder.postprocess, At::File(path.as_path().into(), 1), &path, &own);
    let postprocess = kinds::build(kinds::POSTPROCESSES, section).unwrap().build(&facts).unwrap();
    let fitting = Fitting::new(Preprocess::new(picture).unwrap(), postprocess);
    let model = ModelId {
        name: "shapes".into(),
        version: version.into(),
        sha256: folder.sha256.as_str().into(),
    };
    Generation::new(model, engine, folder.input, vec![fitting]).unwrap()
}

impl Rig {
    /// Frames of `source` (a table with its `kind`) through `first` to a queue that holds `held` observations. `more`
    /// are further settings of a pipeline: `track`, `zones`, `lines`, `events`, `gate`.
    pub fn start(source: &str, first: impl Into<Arc<Generation>>, held: usize, more: &str) -> Self {
        let (analysis, lookout) = watch(more);
        let source = build(kinds::SOURCES, source);
        let desk = Arc::new(Desk::new(&[source.rate_hz()]));
        let (queue, health, stop) =
            (Arc::new(Queue::new(held)), Arc::<Health>::default(), Stop::new());
        let seat = Seat {
            pipeline: "rig".into(),
            outlets: vec![(queue.clone(), "t".into())],
            health: health.clone(),
            door: Arc::default(),
            analysis: Arc::new(Mutex::new(analysis)),
        };
        let (reaper, old) = sync_channel(8);
        let build = || unreachable!("nothing fails here");
        let mut worker =
            Worker::new(desk.clone(), vec![seat], Box::new(build), reaper, Arc::new(Said::new()));
        let swap = worker.swap();
        swap.hand_over(first);
        let mut capture = Capture {
            source: source.into(),
            desk: desk.clone(),
            index: 0,
            health: health.clone(),
            door: Arc::default(),
            lookout,
            stop: stop.clone(),
            frame: Frame::default(),
            opened: false,
        };
        let threads = vec![
            std::thread::spawn(move || capture.work().unwrap()),
            std::thread::spawn(move || worker.work().unwrap()),
            std::thread::spawn(move || old.into_iter().for_each(drop)),
        ];
        Self { queue, swap, health, stop, desk, threads }
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
        if !ends_itself {
            self.stop.say();
            self.desk.close();
        }
        for thread in self.threads {
            thread.join().unwrap();
        }
        self.queue.close();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut bodies = Vec::new();
            while let Some(record) = self.queue.pop().await {
                bodies.push(record.body);
            }
            bodies
        })
    }
}
