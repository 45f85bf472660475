//! What Vedette adds to a model's run, against that run alone and against Python: every ratio in one run of
//! this program, in rounds that alternate, on 1080p frames that have left the cache.
//!
//! `scripts/bench` makes what this needs and calls it; `cargo bench` alone only says so. A row's value is the
//! median over its quiet rounds, beside it the lowest and the highest of them.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on must fail")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is its output")]

mod api;
mod bytes;
mod daemon;
mod frames;
mod memory;
mod model;
mod overhead;
mod path;
mod peer;
mod quiet;
mod reload;
mod shadow;
mod table;
mod tensor;
mod ultralytics;

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::Parser;
use vedette::hw::heap;
use vedette::hw::ort::Runtime;

use frames::Frames;
use quiet::Plan;
use table::{Goal, Row};

/// Measures some rows.
type Measure = fn(&Bench) -> Vec<Row>;

/// Everything that is measured, by the names that select it.
const GROUPS: &[(&str, Measure)] = &[
    ("mobilenet", overhead::mobilenet),
    ("yolo", overhead::yolo),
    ("mjpeg", overhead::mjpeg),
    ("ultralytics", ultralytics::rows),
    ("shadow", shadow::rows),
    ("tensor", tensor::rows),
    ("memory", memory::rows),
    ("reload", reload::rows),
    ("allocations", allocations),
    ("api-infer", api::infer),
    ("api-load", api::endurance),
    ("api-live", api::live),
    ("api-page", api::page),
];

/// Whether `wanted` selects the group `name`: by its name, or by the first part of it.
fn selects(wanted: &str, name: &str) -> bool {
    name.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// The command line, as `scripts/bench` writes it.
#[derive(Debug, Parser)]
struct Arguments {
    /// What to measure; everything where nothing is named
    names: Vec<String>,
    /// Writes the table as JSON too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Few and short rounds
    #[arg(long)]
    quick: bool,
    /// How long the API is loaded, in seconds
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..))]
    load: Option<u64>,
    /// Folder of the benchmark models
    #[arg(long, default_value = ".cache/bench-models")]
    models: PathBuf,
    /// The committed detector
    #[arg(long, default_value = "models/shapes")]
    shapes: PathBuf,
    /// The ONNX Runtime library
    #[arg(long)]
    onnxruntime: Option<PathBuf>,
    /// The daemon
    #[arg(long)]
    vedette: Option<PathBuf>,
    /// The test that counts allocations
    #[arg(long)]
    allocations: Option<PathBuf>,
    /// Python and the peer that it runs
    #[arg(long, num_args = 2)]
    peer: Option<Vec<PathBuf>>,
    /// The program of the `ultralytics-inference` crate
    #[arg(long)]
    ultralytics: Option<PathBuf>,
    /// What cargo passes
    #[arg(long, hide = true)]
    bench: bool,
}

/// What every row may use.
pub(crate) struct Bench {
    quick: bool,
    load: Option<Duration>,
    frames: Frames,
    models: PathBuf,
    shapes: PathBuf,
    onnxruntime: PathBuf,
    vedette: PathBuf,
    allocations: PathBuf,
    peer: Vec<PathBuf>,
    ultralytics: Option<PathBuf>,
}

impl Bench {
    /// `full`, or `quick` where it has to be quick.
    fn either<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// Rounds of about half a second.
    fn plan(&self) -> Plan {
        self.either(Plan { enough: 15, most: 60 }, Plan { enough: 3, most: 4 })
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (Some(onnxruntime), Some(vedette), Some(allocations), Some(peer)) =
        (arguments.onnxruntime, arguments.vedette, arguments.allocations, arguments.peer)
    else {
        println!("ratios: not measured here: run scripts/bench");
        return ExitCode::SUCCESS;
    };
    let known: Vec<&str> = GROUPS.iter().map(|(name, _)| *name).collect();
    let unknown = |wanted: &&String| !known.iter().any(|name| selects(wanted, name));
    if let Some(name) = arguments.names.iter().find(unknown) {
        eprintln!("bench: there is no `{name}`; there are: {}", known.join(", "));
        return ExitCode::from(2);
    }
    // As the daemon begins.
    heap::keep_large_apart();
    Runtime::open(Some(&onnxruntime)).unwrap();
    let bench = Bench {
        quick: arguments.quick,
        load: arguments.load.map(Duration::from_secs),
        frames: Frames::draw(),
        models: arguments.models,
        shapes: arguments.shapes,
        onnxruntime,
        vedette,
        allocations,
        peer,
        ultralytics: arguments.ultralytics,
    };
    let mut rows = Vec::new();
    for (name, measure) in GROUPS {
        if arguments.names.is_empty() || arguments.names.iter().any(|wanted| selects(wanted, name))
        {
            eprintln!("bench: {name} ...");
            rows.extend(measure(&bench));
        }
    }
    println!("{}", table::text(&rows));
    if let Some(file) = arguments.json {
        vedette::disk::replace(&file, table::json(&rows).as_bytes()).unwrap();
    }
    ExitCode::SUCCESS
}

/// Runs the test that counts them: it passes only where there is none.
fn allocations(bench: &Bench) -> Vec<Row> {
    let ran = Command::new(&bench.allocations)
        .env("VEDETTE_TEST_ORT", &bench.onnxruntime)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    // What `assert_eq!` says of the count.
    let left =
        said.lines().find_map(|line| line.trim().strip_prefix("left: ")?.parse::<f64>().ok());
    let value = if ran.status.success() { 0.0 } else { left.unwrap_or(f64::NAN) };
    vec![Row {
        name: "allocations in 200 frames of the steady state (test `allocations`)".to_owned(),
        rounds: vec![value],
        goal: Goal::AtMost(0.0),
        peer: "nv12, rgb, mjpeg".to_owned(),
    }]
}
