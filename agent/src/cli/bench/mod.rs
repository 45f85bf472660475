//! `vedette bench`.

use std::time::{Duration, Instant};

use clap::Args;
use hdrhistogram::Histogram;

use super::open::OpenArgs;
use super::{complain, say};
use crate::pipeline::engine::{Engine, EngineError};
use crate::report;
use crate::supervisor::exit;

/// Longest run that is told apart from longer ones: ten minutes.
const RUN_MAX_NS: u64 = 600_000_000_000;
/// Most items of one run: beyond it no board of this class has the memory.
const BATCH_MAX: usize = 1024;

/// Times a model's runs: warm-up, then each batch for some seconds.
#[derive(Debug, Args)]
pub(super) struct Bench {
    #[command(flatten)]
    open: OpenArgs,
    /// Items of one run; those that the model's batch dimension does not allow are left out and named
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1, 4, 8, 16])]
    batch: Vec<usize>,
    /// Seconds to measure each batch
    #[arg(long, value_name = "S", default_value_t = 3.0, value_parser = seconds)]
    seconds: f64,
    /// Runs before the measurement
    #[arg(long, value_name = "N", default_value_t = 10)]
    warm_up: u32,
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

/// What one batch measured.
struct Row {
    batch: usize,
    runs: u64,
    mean_ms: f64,
    p50_ms: f64,
    p95_ms: f64,
    p99_ms: f64,
    items_per_s: f64,
}

impl Bench {
    pub(super) fn run(self) -> u8 {
        if let Some(batch) = self.batch.iter().find(|batch| !(1..=BATCH_MAX).contains(*batch)) {
            complain(&format!("a batch of {batch} is not from 1 to {BATCH_MAX}"));
            return exit::USAGE;
        }
        let opened = match self.open.open() {
            Ok(opened) => opened,
            Err(message) => {
                complain(&message);
                return exit::FAILED;
            }
        };
        let (mut rows, mut left_out) = (Vec::new(), Vec::new());
        for &batch in &self.batch {
            match self.measure(opened.engine.as_ref(), batch) {
                Ok(row) => rows.push(row),
                Err(EngineError::Shape(why)) => left_out.push((batch, why)),
                Err(error) => {
                    complain(&report::chain(&error));
                    return exit::FAILED;
                }
            }
        }
        let report = opened.engine.report();
        let title = format!(
            "{} {} on {} ({})",
            opened.folder.name, opened.folder.version, report.provider, report.library
        );
        if self.json {
            say(&json(&title, &rows, &left_out));
        } else {
            say(&table(&title, &rows, &left_out));
        }
        if rows.is_empty() { exit::FAILED } else { exit::OK }
    }

    fn measure(&self, engine: &dyn Engine, batch: usize) -> Result<Row, EngineError> {
        let mut lane = engine.lane(batch)?;
        for _ in 0..self.warm_up {
            lane.run()?;
        }
        let broken = |error: hdrhistogram::CreationError| EngineError::Shape(error.to_string());
        let mut times = Histogram::<u64>::new_with_bounds(1, RUN_MAX_NS, 3).map_err(broken)?;
        let (began, limit) = (Instant::now(), Duration::from_secs_f64(self.seconds));
        while began.elapsed() < limit {
            let run = Instant::now();
            lane.run()?;
            times.saturating_record(
                u64::try_from(run.elapsed().as_nanos()).unwrap_or(RUN_MAX_NS).max(1),
            );
        }
        let took = began.elapsed().as_secs_f64();
        Ok(Row {
            batch,
            runs: times.len(),
            mean_ms: times.mean() / 1e6,
            p50_ms: millis(times.value_at_quantile(0.50)),
            p95_ms: millis(times.value_at_quantile(0.95)),
            p99_ms: millis(times.value_at_quantile(0.99)),
            items_per_s: count(times.len()) * count(u64::try_from(batch).unwrap_or(u64::MAX))
                / took,
        })
    }
}

fn table(title: &str, rows: &[Row], left_out: &[(usize, String)]) -> String {
    let mut text = format!(
        "{title}\n{:>6} {:>8} {:>10} {:>10} {:>10} {:>10} {:>10}",
        "batch", "runs", "mean ms", "p50 ms", "p95 ms", "p99 ms", "items/s"
    );
    for row in rows {
        text.push_str(&format!(
            "\n{:>6} {:>8} {:>10.3} {:>10.3} {:>10.3} {:>10.3} {:>10.1}",
            row.batch, row.runs, row.mean_ms, row.p50_ms, row.p95_ms, row.p99_ms, row.items_per_s
        ));
    }
    for (batch, why) in left_out {
        text.push_str(&format!("\n{batch:>6} left out: {why}"));
    }
    text
}

fn json(title: &str, rows: &[Row], left_out: &[(usize, String)]) -> String {
    let rows: Vec<serde_json::Value> = rows
        .iter()
        .map(|row| {
            serde_json::json!({
                "batch": row.batch, "runs": row.runs, "mean_ms": row.mean_ms, "p50_ms": row.p50_ms,
                "p95_ms": row.p95_ms, "p99_ms": row.p99_ms, "items_per_s": row.items_per_s,
            })
        })
        .collect();
    let left_out: Vec<serde_json::Value> = left_out
        .iter()
        .map(|(batch, why)| serde_json::json!({ "batch": batch, "why": why }))
        .collect();
    serde_json::json!({ "model": title, "rows": rows, "left_out": left_out }).to_string()
}

fn millis(ns: u64) -> f64 {
    count(ns) / 1e6
}

#[expect(clippy::as_conversions, reason = "counts and nanoseconds below 2^53")]
#[expect(clippy::cast_precision_loss, reason = "counts and nanoseconds below 2^53")]
fn count(number: u64) -> f64 {
    number as f64
}
