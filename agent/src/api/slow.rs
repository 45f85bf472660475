//! *Why is it slow?* in one line a pipeline: the first of the known causes that explains the last two minutes.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;

use super::answer::json;
use super::marks::Window;
use super::{Api, Pipeline};

/// Frames that a newer one replaced, of those that were worth a run: fewer are a matter of chance.
const REPLACED_PERCENT: f64 = 2.0;
/// Frames before there is anything to say.
const FRAMES_MIN: u64 = 30;
/// A source is not judged by less: a camera that begins, or pauses to adapt itself, takes seconds.
const SOURCE_S: f64 = 60.0;
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::api) struct Slow {
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
    let pipelines = &api.view.pipelines;
    let of = |(index, pipeline): (usize, &Pipeline)| {
        let window = api.marks.of(pipelines, index);
        let rates = Rates { source_hz: pipeline.rate_hz, wanted_hz: pipeline.wanted_hz() };
        let why = window.and_then(|window| why(&window, rates, &active));
        Slow { pipeline: pipeline.open.name.to_string(), why }
    };
    let all: Vec<Slow> = pipelines.iter().enumerate().map(of).collect();
    json(StatusCode::OK, &all)
}

/// Frames a second that are expected of a pipeline.
#[derive(Clone, Copy)]
struct Rates {
    /// That the source gives.
    source_hz: Option<f64>,
    /// That are inferred.
    wanted_hz: Option<f64>,
}

fn why(seen: &Window, rates: Rates, alarms: &[&str]) -> Option<String> {
    // Of a few frames nothing can be said but that they are few.
    let many = seen.wanted >= FRAMES_MIN;
    let replaced = if many { 100.0 * count(seen.replaced) / count(seen.wanted) } else { 0.0 };
    if replaced <= REPLACED_PERCENT {
        let gives = count(seen.captured) / seen.seconds.max(1.0);
        let rate = rates.source_hz.filter(|rate| gives < rate * SOURCE_PERCENT / 100.0)?;
        let judged = seen.seconds >= SOURCE_S;
        return judged.then(|| format!("source: it gives {gives:.1} of {rate:.1} frames a second"));
    }
    let lost = format!("{replaced:.0} % of the frames are replaced by newer ones");
    if let Some((_, cause)) = ALARMS
        .iter()
        .find(|(name, _)| alarms.iter().any(|alarm| alarm.split('.').next() == Some(name)))
    {
        return Some(format!("{cause}; {lost}"));
    }
    let [before, run, after] =
        [seen.preprocess_ms, seen.inference_ms, seen.postprocess_ms].map(Option::unwrap_or_default);
    let all = before + run + after;
    if let Some(period) = rates.wanted_hz.map(|rate| 1000.0 / rate)
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
    let period =
        rates.wanted_hz.map(|rate| format!(", and a frame comes every {:.1} ms", 1000.0 / rate));
    Some(format!("{cause}{}; {lost}", period.unwrap_or_default()))
}

#[expect(clippy::as_conversions, reason = "microseconds and counts far below 2^53")]
#[expect(clippy::cast_precision_loss, reason = "microseconds and counts far below 2^53")]
fn count(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::meter::Meter;

    #[test]
    fn the_gravest_known_cause_is_said_and_nothing_where_nothing_is_slow() {
        let seen = |replaced, seconds, preprocess_ms, inference_ms| Window {
            seconds,
            captured: 600,
            wanted: 300,
            replaced,
            inferred: 300 - replaced,
            latency: Meter::default().read(),
            preprocess_ms: Some(preprocess_ms),
            inference_ms: Some(inference_ms),
            postprocess_ms: Some(0.2),
        };
        // Every second frame is worth a run.
        let rates = Rates { source_hz: Some(60.0), wanted_hz: Some(30.0) };
        for (seen, alarms, said) in [
            (seen(0, 10.0, 1.0, 20.0), &[][..], None),
            (seen(6, 10.0, 1.0, 20.0), &["thermal_throttle"], None),
            (seen(0, 20.0, 1.0, 20.0), &[], None),
            (seen(0, 60.0, 1.0, 20.0), &[], Some("source: it gives 10.0 of 60.0 frames a second")),
            (
                Window { captured: 12, wanted: 3, ..seen(0, 60.0, 1.0, 20.0) },
                &[],
                Some("source: it gives 0.2 of 60.0 frames a second"),
            ),
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
            assert_eq!(why(&seen, rates, alarms).as_deref(), said);
        }
    }
}
