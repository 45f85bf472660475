//! `/v1/status`: all that `vedette status` knows, and how the pipelines, the board and the broker
//! do.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;
use wire::{EngineInfo, Phase, PipelineReport, Readings, Refusal, ReleaseRef};

use super::answer::json;
use super::marks::Window;
use super::{Api, ready};
use crate::telemetry::alarms::Standing;

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new().route("/v1/status", get(status))
}

/// How the device does.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::api) struct Status {
    agent_version: &'static str,
    uptime_ms: u64,
    /// Whether it does what it is there for; else `reasons` say why not.
    ready: bool,
    reasons: Vec<String>,
    onnxruntime_version: Option<String>,
    pipelines: Vec<PipelineStatus>,
    engines: Vec<EngineInfo>,
    /// The models that take releases.
    releases: Vec<Release>,
    /// Why no release can be taken at all; `null` where that is not so.
    releases_broken: Option<String>,
    /// `null` without a broker in the configuration.
    broker: Option<Broker>,
    /// The last sample; `null` before the first, and where the board is not watched.
    board: Option<Readings>,
    alarms: Vec<Alarm>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::api) struct PipelineStatus {
    #[serde(flatten)]
    report: PipelineReport,
    model: String,
    /// Whether its source gives pictures; else samples.
    pictures: bool,
    /// How long ago the last frame was inferred; `null` before the first.
    last_inferred_ms: Option<u64>,
    /// Frames a second that the source is expected to give; `null` where it has no rate of its own.
    source_rate_hz: Option<f64>,
    /// Mean of each step since the start; `null` before the first frame.
    steps: Steps,
    /// The last two minutes; `null` where it is paused, has ended or just began.
    recent: Option<Recent>,
}

/// What came of a pipeline in the last two minutes.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::api) struct Recent {
    /// How much of them.
    seconds: f64,
    captured: u64,
    inferred: u64,
    replaced: u64,
    skipped: u64,
    /// Latency that half of the frames have at most, estimated from the buckets of `/metrics`.
    p50_ms: Option<f64>,
    /// That 95 % of them have at most.
    p95_ms: Option<f64>,
}

impl From<Window> for Recent {
    fn from(window: Window) -> Self {
        Self {
            seconds: window.seconds,
            captured: window.captured,
            inferred: window.inferred,
            replaced: window.replaced,
            skipped: window.captured.saturating_sub(window.wanted),
            p50_ms: window.latency.quantile_ms(0.50),
            p95_ms: window.latency.quantile_ms(0.95),
        }
    }
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::api) struct Steps {
    wait_ms: Option<f64>,
    preprocess_ms: Option<f64>,
    inference_ms: Option<f64>,
    postprocess_ms: Option<f64>,
    latency_ms: Option<f64>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::api) struct Release {
    slot: String,
    /// What runs; `null`: the configured folder.
    installed: Option<ReleaseRef>,
    previous: Option<ReleaseRef>,
    offered: Option<ReleaseRef>,
    phase: Phase,
    progress_bytes: u64,
    total_bytes: u64,
    tries_left: Option<u32>,
    refused: Option<Refusal>,
    trouble: Option<String>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::api) struct Broker {
    connected: bool,
    connections: u64,
    records_waiting: u64,
    bytes_waiting: u64,
    oldest_age_s: Option<u64>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::api) struct Alarm {
    alarm: String,
    active: bool,
    value: Option<f64>,
    threshold: Option<f64>,
    unit: Option<&'static str>,
    subject: Option<String>,
}

async fn status(State(api): State<Arc<Api>>) -> Response {
    json(StatusCode::OK, &now(&api))
}

pub(super) fn now(api: &Api) -> Status {
    let (view, reasons) = (&api.view, ready::reasons(api));
    let (facts, sample) = ((view.facts)(), view.seen.last());
    let standings = view.releases.iter().flat_map(|desk| desk.standings());
    Status {
        agent_version: env!("CARGO_PKG_VERSION"),
        uptime_ms: u64::try_from(view.said.uptime().as_millis()).unwrap_or(u64::MAX),
        ready: reasons.is_empty(),
        reasons,
        onnxruntime_version: facts.onnxruntime_version,
        pipelines: (0..view.pipelines.len()).map(|index| pipeline(api, index)).collect(),
        engines: facts.engines,
        releases: standings.map(|(slot, standing)| release(slot, standing)).collect(),
        releases_broken: view.releases.as_ref().and_then(|desk| desk.broken()).map(str::to_owned),
        broker: view.link.as_ref().map(|link| {
            let (reached, store) = (*link.connected().borrow(), link.store_figures());
            Broker {
                connected: reached.up,
                connections: reached.count,
                records_waiting: store.records,
                bytes_waiting: store.bytes,
                oldest_age_s: store.oldest_age_s,
            }
        }),
        alarms: sample.iter().flat_map(|sample| sample.alarms.iter().map(alarm)).collect(),
        board: sample.map(|sample| sample.readings.clone()),
    }
}

fn pipeline(api: &Api, index: usize) -> PipelineStatus {
    let pipelines = &api.view.pipelines;
    let pipeline = &pipelines[index];
    let health = &pipeline.open.health;
    let (steps, ago) = (health.steps(), health.inferred_ago());
    PipelineStatus {
        report: pipeline.open.report(),
        model: pipeline.model.clone(),
        pictures: pipeline.pictures,
        last_inferred_ms: ago.map(|ago| u64::try_from(ago.as_millis()).unwrap_or(u64::MAX)),
        source_rate_hz: pipeline.rate_hz,
        steps: Steps {
            wait_ms: steps.wait.read().mean_ms(),
            preprocess_ms: steps.preprocess.read().mean_ms(),
            inference_ms: steps.inference.read().mean_ms(),
            postprocess_ms: steps.postprocess.read().mean_ms(),
            latency_ms: steps.latency.read().mean_ms(),
        },
        recent: api.marks.of(pipelines, index).map(Recent::from),
    }
}

fn release(slot: String, standing: crate::update::Standing) -> Release {
    Release {
        slot,
        installed: standing.installed,
        previous: standing.previous,
        offered: standing.offered,
        phase: standing.phase.unwrap_or(Phase::Idle),
        progress_bytes: standing.progress_bytes,
        total_bytes: standing.total_bytes,
        tries_left: standing.tries_left,
        refused: standing.refused,
        trouble: standing.check_error,
    }
}

fn alarm(standing: &Standing) -> Alarm {
    Alarm {
        alarm: standing.name.clone(),
        active: standing.active,
        value: standing.value,
        threshold: standing.limit,
        unit: standing.unit,
        subject: standing.subject.clone(),
    }
}
