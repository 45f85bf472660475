//! `/healthz`: the daemon answers. `/readyz`: it does what it is there for, or why not.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde::Serialize;

use super::answer::json;
use super::{Api, Pipeline};

/// How long a pipeline may be without a frame: a camera that is plugged in again is seen within
/// this.
const SILENCE: Duration = Duration::from_secs(30);
/// The same in frames that are wanted of it, for one that infers a frame a minute.
const SILENCE_PERIODS: f64 = 3.0;

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz))
}

async fn healthz() -> Response {
    (StatusCode::OK, "ok\n").into_response()
}

/// What `/readyz` answers.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::api) struct Ready {
    ready: bool,
    /// Why not; empty where it is.
    reasons: Vec<String>,
}

async fn readyz(State(api): State<Arc<Api>>) -> Response {
    let reasons = reasons(&api);
    let ready = reasons.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json(status, &Ready { ready, reasons })
}

/// Why the daemon does not do what it is there for. A broker that is away is no reason: offline is
/// normal.
pub(super) fn reasons(api: &Api) -> Vec<String> {
    let mut reasons: Vec<String> = api.view.pipelines.iter().filter_map(silent).collect();
    if api.view.stop.said() {
        reasons.push("the daemon is ending".to_owned());
    }
    reasons
}

fn silent(pipeline: &Pipeline) -> Option<String> {
    let (open, health) = (&pipeline.open, &pipeline.open.health);
    let heard = Heard {
        paused: open.door.is_paused(),
        ended: health.has_ended(),
        ago: health.inferred_ago().into_iter().chain(health.looked_ago()).min(),
        age: health.age(),
        wanted_hz: pipeline.wanted_hz(),
    };
    heard.reason().map(|reason| format!("pipeline {}: {reason}", open.name))
}

/// When a pipeline last did something.
struct Heard {
    paused: bool,
    ended: bool,
    /// When a frame was inferred last, or was seen to show nothing new.
    ago: Option<Duration>,
    age: Duration,
    wanted_hz: Option<f64>,
}

impl Heard {
    fn reason(&self) -> Option<String> {
        // Who paused it, or gave it a file with an end, does not wait for frames.
        if self.paused || self.ended {
            return None;
        }
        let wanted = self.wanted_hz.filter(|rate| *rate > 0.0);
        let period = wanted.map(|rate| SILENCE_PERIODS / rate);
        let period = period.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let patience = period.unwrap_or_default().max(SILENCE);
        match self.ago {
            None => Some(format!("no frame yet, after {} s", self.age.as_secs())),
            Some(ago) if ago > patience => Some(format!("no frame for {} s", ago.as_secs())),
            Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipeline_is_waited_for_as_long_as_it_may_take() {
        let seconds = Duration::from_secs;
        for (paused, ended, ago, wanted_hz, reason) in [
            (false, false, None, Some(10.0), Some("no frame yet, after 7 s")),
            (false, false, Some(0), Some(10.0), None),
            (false, false, Some(30), Some(10.0), None),
            (false, false, Some(31), Some(10.0), Some("no frame for 31 s")),
            (false, false, Some(31), Some(0.1), Some("no frame for 31 s")),
            (false, false, Some(31), Some(0.01), None),
            (false, false, Some(31), Some(0.0), Some("no frame for 31 s")),
            (true, false, Some(31), Some(10.0), None),
            (false, true, Some(31), None, None),
        ] {
            let ago = ago.map(seconds);
            let heard = Heard { paused, ended, ago, age: seconds(7), wanted_hz };
            assert_eq!(heard.reason().as_deref(), reason, "{ago:?} {wanted_hz:?}");
        }
    }
}
