//! A frame of a detector against `ultralytics-inference`, a program of its own: built beside the repository, and asked
//! as its users ask it. Its times are what it says of itself.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::Bench;
use crate::frames::{FRAMES, Format};
use crate::model::{Model, on_cpu};
use crate::path::{DataPath, Round};
use crate::quiet::rounds;
use crate::table::{Goal, Row, median};

const MODEL: &str = "yolo-n-size";

/// What it says of a picture, in milliseconds.
struct Speed {
    preprocess_ms: f64,
    run_ms: f64,
    postprocess_ms: f64,
    /// Of all pictures.
    found: usize,
}

/// BGR → a detector of YOLOv8n's size; where that program is.
pub(crate) fn rows(bench: &Bench) -> Vec<Row> {
    let Some(program) = &bench.ultralytics else { return Vec::new() };
    let pictures = TempDir::new().unwrap();
    bench.frames.write_pictures(pictures.path());
    // As many threads as it takes: one for each processor.
    let threads = u32::try_from(std::thread::available_parallelism().unwrap().get()).unwrap();
    let folder = bench.models.join(MODEL);
    let model = Model::read(&folder);
    let mut path = DataPath::start(model.generation(model.engine(&on_cpu(threads)), "1.0.0"), None);
    let rounds = rounds(bench.plan(), &[], || -> (Round, Speed) {
        let ours = path.round(&bench.frames, Format::Bgr, FRAMES);
        (ours, ask(program, &folder.join("model.onnx"), pictures.path()))
    });
    let theirs = |of: fn(&Speed) -> f64| rounds.each(|(_, theirs)| of(theirs));
    let outside = theirs(|theirs| theirs.preprocess_ms + theirs.postprocess_ms);
    let ours = rounds.each(|(ours, _)| ours.outside_ms);
    let found = rounds.all.iter().map(|(_, theirs)| theirs.found).min().unwrap_or(0);
    assert!(found > 0, "the peer found nothing in {FRAMES} pictures");
    vec![Row {
        name: "ultralytics-inference's time before and after the run ÷ ours outside of it, BGR → YOLOv8n-size 640"
            .to_owned(),
        rounds: outside.iter().zip(&ours).map(|(theirs, ours)| theirs / ours).collect(),
        goal: Goal::AtLeast(1.0),
        peer: format!(
            "{:.2} + {:.2} ms (run {:.1}) ÷ {:.3} ms of {:.2}; {}",
            median(&theirs(|theirs| theirs.preprocess_ms)),
            median(&theirs(|theirs| theirs.postprocess_ms)),
            median(&theirs(|theirs| theirs.run_ms)),
            median(&ours),
            median(&rounds.each(|(ours, _)| ours.frame_ms)),
            rounds.how
        ),
    }]
}

/// One run of the program on all pictures.
fn ask(program: &Path, model: &Path, pictures: &Path) -> Speed {
    let library = program.parent().unwrap().with_file_name("lib");
    let ran = Command::new(program)
        .env("LD_LIBRARY_PATH", library)
        .args([
            "predict", "--save", "false", "--rect", "false", "--conf", "0.25", "--iou", "0.45",
            "--model",
        ])
        .arg(model)
        .arg("--source")
        .arg(pictures)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    let speed = read(&said);
    assert!(speed.is_some(), "it does not say how fast it was: {said}");
    speed.unwrap()
}

/// `Speed: 3.1ms preprocess, 40.2ms inference, 1.0ms postprocess per image at …`
fn read(said: &str) -> Option<Speed> {
    let line = said.lines().find_map(|line| line.trim().strip_prefix("Speed: "))?;
    let mut times = line.split("ms ").map(|part| part.rsplit(' ').next()?.parse::<f64>().ok());
    let mut next = || times.next().flatten();
    let (preprocess_ms, run_ms, postprocess_ms) = (next()?, next()?, next()?);
    let found = said.matches("label").count();
    Some(Speed { preprocess_ms, run_ms, postprocess_ms, found })
}
