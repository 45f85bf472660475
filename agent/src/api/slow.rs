//! *Why is it slow?* in one line a pipeline: the first of the known causes that explains it.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;

use super::answer::json;
use super::{Api, Pipeline};
use crate::pipeline::meter::Meter;

/// Frames that a newer one replaced, of all: fewer are a matter of chance.
const REPLACED_PERCENT: f64 = 2.0;
/// Frames before there is anything to say.
const FRAMES_MIN: u64 = 30;
/// Until a source gives its first frame.
const START_S: f64 = 3.0;
/// A frame that takes less of its period than this is not the cause itself.
const BUSY_PERCENT: f64 = 80.0;
/// A source that gives less of what it promised than this is the cause.
const SOURCE_PERCENT: f64 = 90.0;
/// Alarms that explain it, the gravest first: what to say of each.
const ALARMS: [(&str, &str); 4] = [
    ("thermal_throttle", "heat: the board throttles its clocks"),
    ("under_voltage", "power: the supply is too weak, and the board throttles"),
    ("over_current", "power: the board limits its current"),
    ("clock_floor", "clocks: something keeps them low"),
];

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new().route("/v1/slow", get(slow))
}

#[derive(Debug, Serialize)]
struct Slow {
    pipeline: String,
    /// `null` where it is not slow.
    why: Option<String>,
}

async fn slow(State(api): State<Arc<Api>>) -> Response {
    let sample = api.view.seen.last();
    let active: Vec<&str> = sample
        .iter()
        .flat_map(|sample| sample.alarms.iter().filter(|alarm| alarm.active))
        .map(|alarm| alarm.name.as_str())
        .collect();
    let all: Vec<Slow> = api.view.pipelines.iter().map(|one| of(one, &active)).collect();
    json(StatusCode::OK, &all)
}

fn of(pipeline: &Pipeline, alarms: &[&str]) -> Slow {
    let (open, steps) = (&pipeline.open, pipeline.open.health.steps());
    let report = open.report();
    let seen = Seen {
        rate_hz: pipeline.rate_hz,
        captured: report.captured,
        replaced: report.replaced,
        age_s: open.health.age().as_secs_f64(),
        preprocess_ms: mean_ms(&steps.preprocess),
        inference_ms: mean_ms(&steps.inference),
        postprocess_ms: mean_ms(&steps.postprocess),
    };
    let idle = report.paused || open.health.has_ended();
    Slow { pipeline: report.name, why: if idle { None } else { why(&seen, alarms) } }
}

/// What is known of a pipeline.
struct Seen {
    rate_hz: Option<f64>,
    captured: u64,
    replaced: u64,
    age_s: f64,
    preprocess_ms: f64,
    inference_ms: f64,
    postprocess_ms: f64,
}

fn why(seen: &Seen, alarms: &[&str]) -> Option<String> {
    if seen.captured < FRAMES_MIN {
        return None;
    }
    let (captured, rate) = (count(seen.captured), seen.rate_hz.filter(|rate| *rate > 0.0));
    let replaced = 100.0 * count(seen.replaced) / captured;
    if replaced <= REPLACED_PERCENT {
        let gives = captured / (seen.age_s - START_S).max(1.0);
        let rate = rate.filter(|rate| gives < rate * SOURCE_PERCENT / 100.0)?;
        return Some(format!("source: it gives {gives:.1} of {rate:.1} frames a second"));
    }
    let lost = format!("{replaced:.0} % of the frames are replaced by newer ones");
    if let Some((_, cause)) = ALARMS
        .iter()
        .find(|(name, _)| alarms.iter().any(|alarm| alarm.split('.').next() == Some(name)))
    {
        return Some(format!("{cause}; {lost}"));
    }
    let (before, run, after) = (seen.preprocess_ms, seen.inference_ms, seen.postprocess_ms);
    let all = before + run + after;
    if let Some(period) = rate.map(|rate| 1000.0 / rate)
        && all < period * BUSY_PERCENT / 100.0
    {
        return Some(format!(
            "the processor or the engine is busy with something else: a frame takes {all:.1} of its {period:.1} ms; {lost}"
        ));
    }
    let cause = if before > run.max(after) {
        format!("decoding and scaling: {before:.1} ms a frame")
    } else if after > run {
        format!("understanding the outputs: {after:.1} ms a frame")
    } else {
        format!("model: a run takes {run:.1} ms")
    };
    let period = rate.map(|rate| format!(", and a frame comes every {:.1} ms", 1000.0 / rate));
    Some(format!("{cause}{}; {lost}", period.unwrap_or_default()))
}

fn mean_ms(meter: &Meter) -> f64 {
    let read = meter.read();
    if read.count == 0 { 0.0 } else { count(read.sum_us) / count(read.count) / 1000.0 }
}

#[expect(clippy::as_conversions, reason = "microseconds and counts far below 2^53")]
#[expect(clippy::cast_precision_loss, reason = "microseconds and counts far below 2^53")]
fn count(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gravest_known_cause_is_said_and_nothing_where_nothing_is_slow() {
        let seen = |replaced, age_s, preprocess_ms, inference_ms| Seen {
            rate_hz: Some(30.0),
            captured: 300,
            replaced,
            age_s,
            preprocess_ms,
            inference_ms,
            postprocess_ms: 0.2,
        };
        for (seen, alarms, said) in [
            (seen(0, 10.0, 1.0, 20.0), &[][..], None),
            (seen(6, 10.0, 1.0, 20.0), &["thermal_throttle"], None),
            (seen(0, 23.0, 1.0, 20.0), &[], Some("source: it gives 15.0 of 30.0 frames a second")),
            (
                seen(150, 10.0, 1.0, 20.0),
                &[],
                Some(
                    "the processor or the engine is busy with something else: a frame takes 21.2 of its 33.3 ms; 50 % of the frames are replaced by newer ones",
                ),
            ),
            (
                seen(150, 10.0, 1.0, 45.0),
                &[],
                Some(
                    "model: a run takes 45.0 ms, and a frame comes every 33.3 ms; 50 % of the frames are replaced by newer ones",
                ),
            ),
            (
                seen(150, 10.0, 50.0, 45.0),
                &["disk"],
                Some(
                    "decoding and scaling: 50.0 ms a frame, and a frame comes every 33.3 ms; 50 % of the frames are replaced by newer ones",
                ),
            ),
            (
                seen(150, 10.0, 1.0, 45.0),
                &["over_current", "thermal_throttle.cpu"],
                Some(
                    "heat: the board throttles its clocks; 50 % of the frames are replaced by newer ones",
                ),
            ),
        ] {
            assert_eq!(why(&seen, alarms).as_deref(), said);
        }
    }
}
