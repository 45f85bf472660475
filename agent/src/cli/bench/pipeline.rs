//! `vedette bench --pipeline`: how long each step of a configured pipeline takes, as it really runs.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;
use wire::Timings;

use super::meter::Meter;
use super::{RUN_MAX_NS, count, millis};
use crate::app::alone::{Alone, AloneError, Lap, Tally, Wanted};
use crate::cli::{complain, say};
use crate::config::Config;
use crate::hw::heap;
use crate::report;
use crate::supervisor::exit;

/// What is timed of a frame.
const STAGES: [&str; 6] = ["capture", "wait", "preprocess", "run", "postprocess", "total"];
const WIDTHS: [usize; 5] = [11, 11, 11, 11, 11];

/// Measures pipeline `name`, and prints it; the exit code.
pub(super) fn run(config: Config, name: &str, wanted: &Wanted, as_json: bool) -> u8 {
    // As the daemon begins.
    heap::keep_large_apart();
    match measure(config, name, wanted) {
        Ok(measured) => {
            let json = || serde_json::to_string(&measured).unwrap_or_default();
            say(&if as_json { json() } else { measured.table() });
            exit::OK
        }
        Err(error) => {
            complain(&report::chain(&error));
            if matches!(error, AloneError::Unknown { .. }) { exit::USAGE } else { exit::FAILED }
        }
    }
}

fn measure(config: Config, name: &str, wanted: &Wanted) -> Result<Measured, AloneError> {
    let began = Instant::now();
    let alone = Alone::open(config, name)?;
    let load_ms = began.elapsed().as_secs_f64() * 1e3;
    let (mut times, mut meter) = (Times::default(), None);
    let tally = alone.measure(wanted, &mut || meter = Some(Meter::start()), &mut |lap| {
        times.add(&lap);
    })?;
    let power_w = meter.and_then(Meter::stop);
    let (pipeline, generation) = (alone.pipeline(), alone.generation());
    let (model, report) = (generation.model(), generation.engine().report());
    let seconds = tally.took.as_secs_f64();
    let fps = count(tally.inferred) / seconds;
    Ok(Measured {
        pipeline: pipeline.name.clone(),
        source: pipeline.source_kind.clone(),
        model: model.name.to_string(),
        version: model.version.to_string(),
        provider: report.provider.clone(),
        library: report.library.clone(),
        why_not: report.why_not.clone(),
        load_ms,
        seconds,
        fps,
        captured_fps: count(tally.captured) / seconds,
        power_w,
        energy_j: power_w.map(|watts| watts / fps),
        resident_bytes: tally.resident_bytes,
        counts: tally.into(),
        stages: times.stages(),
    })
}

/// The times of each of [`STAGES`], in nanoseconds; empty where they cannot be kept.
#[derive(Default)]
struct Times([Option<Histogram<u64>>; STAGES.len()]);

impl Times {
    fn add(&mut self, lap: &Lap) {
        let time = |ms: f32| Duration::from_secs_f32(ms.max(0.0) / 1e3);
        match *lap {
            Lap::Captured(took) => self.put(0, took),
            Lap::Inferred(Timings {
                age_ms,
                preprocess_ms,
                inference_ms,
                postprocess_ms,
                latency_ms,
            }) => {
                let all = [age_ms, preprocess_ms, inference_ms, postprocess_ms, latency_ms];
                (1..).zip(all).for_each(|(stage, ms)| self.put(stage, time(ms)));
            }
        }
    }

    fn put(&mut self, stage: usize, took: Duration) {
        if self.0[stage].is_none() {
            self.0[stage] = Histogram::new_with_bounds(1, RUN_MAX_NS, 3).ok();
        }
        if let Some(times) = &mut self.0[stage] {
            times.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(RUN_MAX_NS).max(1));
        }
    }

    fn stages(&self) -> Vec<Stage> {
        let of = |(stage, times): (&'static str, &Option<Histogram<u64>>)| {
            let times = times.as_ref()?;
            Some(Stage {
                stage,
                mean_ms: times.mean() / 1e6,
                p50_ms: millis(times.value_at_quantile(0.50)),
                p95_ms: millis(times.value_at_quantile(0.95)),
                p99_ms: millis(times.value_at_quantile(0.99)),
            })
        };
        STAGES.into_iter().zip(&self.0).filter_map(of).collect()
    }
}

/// One step.
#[derive(Debug, Serialize)]
struct Stage {
    stage: &'static str,
    mean_ms: f64,
    p50_ms: f64,
    p95_ms: f64,
    p99_ms: f64,
}

/// What became of the frames.
#[derive(Debug, Serialize)]
struct Frames {
    captured: u64,
    inferred: u64,
    /// By a newer one, before their turn.
    replaced: u64,
    /// Not worth a run, says the gate.
    skipped: u64,
    failed: u64,
}

impl From<Tally> for Frames {
    fn from(tally: Tally) -> Self {
        let Tally { captured, inferred, replaced, skipped, failed, .. } = tally;
        Self { captured, inferred, replaced, skipped, failed }
    }
}

/// One pipeline.
#[derive(Debug, Serialize)]
struct Measured {
    pipeline: String,
    source: String,
    model: String,
    version: String,
    provider: String,
    library: String,
    /// Why a preferred provider does not run.
    why_not: std::collections::BTreeMap<String, String>,
    load_ms: f64,
    seconds: f64,
    fps: f64,
    captured_fps: f64,
    #[serde(flatten)]
    counts: Frames,
    power_w: Option<f64>,
    /// Of one inferred frame.
    energy_j: Option<f64>,
    resident_bytes: Option<u64>,
    stages: Vec<Stage>,
}

impl Measured {
    /// As a person reads it.
    fn table(&self) -> String {
        let Self { pipeline, source, model, version, provider, library, .. } = self;
        let mut text = format!(
            "{pipeline}: {source} to {model} {version} on {provider} ({library})\n\
             {:.1} s at {:.1} frames/s of {:.1} captured; {} replaced by newer ones, {} not worth a run, {} failed",
            self.seconds,
            self.fps,
            self.captured_fps,
            self.counts.replaced,
            self.counts.skipped,
            self.counts.failed
        );
        if let Some(bytes) = self.resident_bytes {
            text.push_str(&format!("; {} MiB resident", bytes >> 20));
        }
        if let (Some(watts), Some(joules)) = (self.power_w, self.energy_j) {
            text.push_str(&format!("; {watts:.1} W, {joules:.4} J a frame"));
        }
        for (provider, why) in &self.why_not {
            text.push_str(&format!("\n{provider} does not run: {why}"));
        }
        text.push('\n');
        for (head, width) in ["stage", "mean ms", "p50 ms", "p95 ms", "p99 ms"].iter().zip(WIDTHS) {
            text.push_str(&format!("{head:>width$}"));
        }
        for stage in &self.stages {
            text.push_str(&format!("\n{:>width$}", stage.stage, width = WIDTHS[0]));
            for (ms, width) in
                [stage.mean_ms, stage.p50_ms, stage.p95_ms, stage.p99_ms].iter().zip(WIDTHS)
            {
                text.push_str(&format!("{ms:>width$.3}"));
            }
        }
        text
    }
}
