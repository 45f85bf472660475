//! `vedette bench`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use hdrhistogram::Histogram;

mod meter;
mod pipeline;
mod table;

use super::open::HowArgs;
use super::{ConfigArgs, complain, say};
use crate::app::alone::Wanted;
use crate::hw::process;
use crate::pipeline::engine::{Engine, EngineError};
use crate::report;
use crate::supervisor::exit;
use meter::Meter;
use table::{LeftOut, Measured, Row, side_by_side};

/// Longest run that is told apart from longer ones: ten minutes.
const RUN_MAX_NS: u64 = 600_000_000_000;
/// Most items of one run: beyond it no board of this class has the memory.
const BATCH_MAX: usize = 1024;

/// How long each batch of a model is measured, unless said.
const BATCH_SECONDS: f64 = 3.0;
/// The same for a pipeline: 300 frames of most cameras.
const PIPELINE_SECONDS: f64 = 10.0;

/// Times a model's runs, each batch for some seconds; or the steps of a configured pipeline, as they really run.
#[derive(Debug, Args)]
pub(super) struct Bench {
    /// Model folder: model.onnx, model.toml, golden/
    #[arg(value_name = "MODEL", required_unless_present = "pipeline")]
    model: Option<PathBuf>,
    #[command(flatten)]
    how: HowArgs,
    /// Items of one run; those that the model's batch dimension does not allow are left out and named
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1, 4, 8, 16])]
    batch: Vec<usize>,
    /// Seconds to measure; 3 for each batch, 10 for a pipeline
    #[arg(long, value_name = "S", value_parser = seconds)]
    seconds: Option<f64>,
    /// Runs, or frames of a pipeline, before the measurement
    #[arg(long, value_name = "N", default_value_t = 10)]
    warm_up: u32,
    /// Measure this model too, and print both side by side
    #[arg(long, value_name = "OTHER")]
    compare: Option<PathBuf>,
    /// Time this pipeline of the configuration instead, on its own source: capture, wait, preprocess, run, postprocess.
    /// Its sinks, rules and broker hear nothing of it, and a daemon that runs is not disturbed; but a camera that only
    /// one can open must be free. Its runs are its own, whatever `batch_max` says. Only for this is --config read
    #[arg(long, value_name = "NAME", conflicts_with_all = [
        "model", "providers", "threads", "fp16", "cuda_graph", "onnxruntime", "batch", "compare",
    ])]
    pipeline: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
    /// JSON instead of a table
    #[arg(long)]
    json: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.01..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("expected a number of seconds from 0.01 to 3600".to_owned()),
    }
}

impl Bench {
    pub(super) fn run(self) -> u8 {
        if let Some(name) = &self.pipeline {
            return match self.config.load() {
                Ok(config) => pipeline::run(config, name, &self.wanted(), self.json),
                Err(code) => code,
            };
        }
        if let Some(batch) = self.batch.iter().find(|batch| !(1..=BATCH_MAX).contains(*batch)) {
            complain(&format!("a batch of {batch} is not from 1 to {BATCH_MAX}"));
            return exit::USAGE;
        }
        match self.measure_all() {
            Ok(all) => {
                say(&if self.json { json(&all) } else { text(&all) });
                if all.iter().any(|one| one.rows.is_empty()) { exit::FAILED } else { exit::OK }
            }
            Err(message) => {
                complain(&message);
                exit::FAILED
            }
        }
    }

    /// What is wanted of a pipeline.
    fn wanted(&self) -> Wanted {
        let time = Duration::from_secs_f64(self.seconds.unwrap_or(PIPELINE_SECONDS));
        Wanted { warm_up: self.warm_up.into(), time }
    }

    /// The model, and the one that it is compared with.
    fn measure_all(&self) -> Result<Vec<Measured>, String> {
        let folders = self.model.iter().chain(&self.compare);
        folders.map(|folder| self.measure(folder)).collect()
    }

    fn measure(&self, folder: &Path) -> Result<Measured, String> {
        let began = Instant::now();
        let opened = self.how.open(folder)?;
        let load_ms = began.elapsed().as_secs_f64() * 1e3;
        let (folder, engine) = (&opened.folder, opened.engine.as_ref());
        let mut all = Measured::new(&folder.name, &folder.version, engine.report(), load_ms);
        for &batch in &self.batch {
            match self.row(engine, batch) {
                Ok(row) => all.rows.push(row),
                Err(EngineError::Shape(why)) => all.left_out.push(LeftOut { batch, why }),
                Err(error) => return Err(report::chain(&error)),
            }
        }
        all.resident_bytes = process::memory_bytes(std::process::id(), "VmRSS:");
        Ok(all)
    }

    fn row(&self, engine: &dyn Engine, batch: usize) -> Result<Row, EngineError> {
        let mut lane = engine.lane(batch)?;
        for _ in 0..self.warm_up {
            lane.run()?;
        }
        let broken = |error: hdrhistogram::CreationError| EngineError::Shape(error.to_string());
        let mut times = Histogram::<u64>::new_with_bounds(1, RUN_MAX_NS, 3).map_err(broken)?;
        let meter = Meter::start();
        let (began, limit) =
            (Instant::now(), Duration::from_secs_f64(self.seconds.unwrap_or(BATCH_SECONDS)));
        while began.elapsed() < limit {
            let run = Instant::now();
            lane.run()?;
            times.saturating_record(
                u64::try_from(run.elapsed().as_nanos()).unwrap_or(RUN_MAX_NS).max(1),
            );
        }
        let took = began.elapsed().as_secs_f64();
        let power_w = meter.stop();
        let items_per_s =
            count(times.len()) * count(u64::try_from(batch).unwrap_or(u64::MAX)) / took;
        Ok(Row {
            batch,
            runs: times.len(),
            mean_ms: times.mean() / 1e6,
            p50_ms: millis(times.value_at_quantile(0.50)),
            p95_ms: millis(times.value_at_quantile(0.95)),
            p99_ms: millis(times.value_at_quantile(0.99)),
            items_per_s,
            power_w,
            energy_j: power_w.map(|watts| watts / items_per_s),
        })
    }
}

fn text(all: &[Measured]) -> String {
    let mut parts: Vec<String> = all.iter().map(Measured::table).collect();
    if let [one, other] = all {
        parts.push(side_by_side(one, other));
    }
    parts.join("\n\n")
}

/// One object for one model; for two, the other one is in it.
fn json(all: &[Measured]) -> String {
    let mut values = all.iter().map(|one| serde_json::to_value(one).unwrap_or_default());
    let mut first = values.next().unwrap_or_default();
    if let (Some(other), Some(object)) = (values.next(), first.as_object_mut()) {
        object.insert("compared_with".to_owned(), other);
    }
    first.to_string()
}

fn millis(ns: u64) -> f64 {
    count(ns) / 1e6
}

#[expect(clippy::as_conversions, reason = "counts and nanoseconds below 2^53")]
#[expect(clippy::cast_precision_loss, reason = "counts and nanoseconds below 2^53")]
fn count(number: u64) -> f64 {
    number as f64
}
