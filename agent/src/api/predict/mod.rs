//! `POST /v1/predict`: a picture through a pipeline's preprocess, its model and its postprocess;
//! answers what the pipeline would publish.
//!
//! The picture is the body itself (JPEG or PNG, the pipeline in `?pipeline=`), or base64 in
//! `{"input": {"image": "…"}}`. The model runs beside the live pipeline as every request does:
//! [`work`](super::work).

mod lane;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wire::{FrameInfo, ModelRef, Observation, Timings};

use super::answer::{Refusal, json};
use super::body::Taken;
use super::models::{Counting, Known};
use super::work::Times;
use super::{Api, Pipeline};
use crate::pipeline::frame::Frame;
use crate::pipeline::postprocess::{Findings, ModelFacts, PostprocessSpec};
use crate::pipeline::preprocess::{Placement, Preprocess};
use crate::pipeline::source::replay;
use crate::pipeline::value::Value;
use crate::report;

/// Pictures that are prepared or wait for it at one time, on two threads: a large one is decoded for seconds, into
/// 200 MB, and whoever looks at a pipeline waits for the same threads.
const PICTURES_MAX: usize = 4;

/// Places for those whose pictures are prepared.
pub(super) fn places() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(PICTURES_MAX))
}

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new().route("/v1/predict", post(predict)).route("/predict", post(predict))
}

/// Which pipeline, where the body is the picture itself.
#[derive(Debug, Default, Deserialize)]
struct Which {
    #[serde(default)]
    pipeline: Option<String>,
}

/// A picture in JSON.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::api) struct Asked {
    #[serde(default)]
    pipeline: Option<String>,
    input: Input,
}

#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::api) struct Input {
    image: String,
}

async fn predict(
    State(api): State<Arc<Api>>,
    which: Result<Query<Which>, QueryRejection>,
    body: Body,
) -> Result<Response, Refusal> {
    let began = Instant::now();
    let Query(which) = which?;
    let Taken { bytes, room } = api.room.take(body, 0).await?;
    let (picture, named) = picture_of(&bytes)?;
    let pipeline = match named.or(which.pipeline) {
        Some(name) => api.pipeline(&name)?,
        None => only(&api)?,
    };
    let model = api.shelf.find(&pipeline.model, None).await?;
    let counting = Counting::of(&model);
    let answered = answer(&api, &model, pipeline, picture, room, began).await;
    if answered.is_err() {
        model.stats().refused(began.elapsed(), jiff::Timestamp::now().as_millisecond());
    }
    counting.answered();
    answered
}

/// The picture's file, and the pipeline that the body names.
fn picture_of(body: &[u8]) -> Result<(Vec<u8>, Option<String>), Refusal> {
    if body.is_empty() {
        return Err(Refusal::bad(EXPECTED));
    }
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Ok((body.to_vec(), None));
    }
    let asked: Asked = serde_json::from_slice(body).map_err(|error| {
        Refusal::bad(format!("the request cannot be read: {error}; {EXPECTED}"))
    })?;
    // As pages and programs have it: a data URL's head is let go.
    let text = match asked.input.image.split_once(";base64,") {
        Some((head, text)) if head.starts_with("data:") => text,
        _ => &asked.input.image,
    };
    let file = BASE64_STANDARD.decode(text.trim());
    let file =
        file.map_err(|error| Refusal::bad(format!("`input.image` is no base64: {error}")))?;
    Ok((file, asked.pipeline))
}

const EXPECTED: &str =
    "expected a JPEG or PNG picture, or {\"input\": {\"image\": \"<base64 of one>\"}}";

/// The only pipeline.
fn only(api: &Api) -> Result<&Pipeline, Refusal> {
    match api.view.pipelines.as_slice() {
        [only] => Ok(only),
        _ => Err(Refusal::bad(format!(
            "which pipeline? Expected `pipeline`, one of: {}",
            api.pipeline_names()
        ))),
    }
}

async fn answer(
    api: &Api,
    model: &Arc<Known>,
    pipeline: &Pipeline,
    picture: Vec<u8>,
    room: OwnedSemaphorePermit,
    began: Instant,
) -> Result<Response, Refusal> {
    let spec = postprocess(model, &pipeline.open.name)?;
    let known = model.clone();
    let place = api.predicting.clone().try_acquire_owned();
    let place = place.map_err(|_| Refusal::busy("too many pictures are being prepared"))?;
    // Decoding takes milliseconds: other requests go on meanwhile. It is not ended where its client goes away, and
    // keeps its place and its room until it has.
    let prepared = tokio::task::spawn_blocking(move || {
        let prepared = prepare(&known, picture);
        drop(place);
        (prepared, room)
    });
    let (prepared, room) =
        prepared.await.map_err(|_| Refusal::bad("the picture cannot be prepared"))?;
    let prepared = prepared?;
    let input = began.elapsed();
    let every = (0..model.folder.signature.outputs.len()).collect();
    let inputs = vec![prepared.input];
    let ran = api.work.ask(model, inputs.clone(), every, room, None).await?;
    let understanding = Instant::now();
    let findings = understand(
        model,
        spec.as_ref(),
        pipeline.open.door.threshold(),
        &lane::Answered::new(&inputs, &ran.outputs),
        &prepared.placement,
    )?;
    let millis = |time: std::time::Duration| time.as_secs_f32() * 1000.0;
    let observation = Observation {
        envelope: api.view.said.envelope("vedette/observation/1", 0),
        pipeline: (&*pipeline.open.name).into(),
        frame: prepared.frame,
        model: ModelRef {
            name: model.folder.name.as_str().into(),
            version: model.folder.version.as_str().into(),
            sha256: model.folder.sha256.as_str().into(),
        },
        timings: Timings {
            age_ms: millis(ran.queued),
            preprocess_ms: millis(input),
            inference_ms: millis(ran.ran),
            postprocess_ms: millis(understanding.elapsed()),
            latency_ms: millis(began.elapsed()),
        },
        classes: findings.classes.as_slice().into(),
        detections: findings.detections.as_slice().into(),
        anomaly: findings.anomaly,
        raw: findings.raw.as_slice().into(),
        // A picture alone has no before: nothing is followed in it.
        zones: Default::default(),
        lines: Default::default(),
        truth: None,
    };
    let response = json(StatusCode::OK, &observation);
    let times = Times {
        whole: began.elapsed(),
        input,
        queued: ran.queued,
        ran: ran.ran,
        output: understanding.elapsed(),
        items: 1,
    };
    model.stats().answered(&times, jiff::Timestamp::now().as_millisecond());
    Ok(response)
}

/// The postprocess of `pipeline` on this version of its model.
fn postprocess(model: &Known, pipeline: &str) -> Result<Arc<dyn PostprocessSpec>, Refusal> {
    let config = &model.version.config;
    let place = config.uses(model.version.model).position(|one| one.pipeline.name == pipeline);
    let specs = config.postprocesses(model.version.model, &model.folder);
    let spec = place.and_then(|place| specs.ok()?.get(place).cloned());
    spec.ok_or_else(|| Refusal::unavailable("the pipeline's settings do not fit its model now", 1))
}

/// A picture that became a tensor.
struct Prepared {
    input: Value,
    placement: Placement,
    frame: FrameInfo,
}

fn prepare(model: &Known, mut file: Vec<u8>) -> Result<Prepared, Refusal> {
    let signature = &model.folder.signature;
    let Some(spec) = &model.folder.picture else {
        return Err(Refusal::bad("the pipeline's model takes no pictures"));
    };
    if signature.inputs.len() != 1 {
        return Err(Refusal::bad("the pipeline's model takes more than a picture"));
    }
    let mut frame = Frame::default();
    replay::decode(&mut file, &mut frame)
        .map_err(|error| Refusal::bad(format!("{}; {EXPECTED}", report::chain(&error))))?;
    let mut preprocess =
        Preprocess::new(spec).map_err(|error| Refusal::bad(report::chain(&error)))?;
    let (input, placement) = lane::filled(signature, |elements| {
        preprocess.run(&frame, elements).map_err(|error| report::chain(&error))
    })
    .map_err(Refusal::bad)?;
    let (width_px, height_px) = (frame.width, frame.height);
    Ok(Prepared { input, placement, frame: FrameInfo { seq: 0, width_px, height_px, dropped: 0 } })
}

fn understand(
    model: &Known,
    spec: &dyn PostprocessSpec,
    threshold: Option<f32>,
    lane: &lane::Answered,
    placement: &Placement,
) -> Result<Findings, Refusal> {
    let folder = &model.folder;
    let (width, height) = folder.picture.as_ref().map_or((0, 0), |one| (one.width, one.height));
    let facts = ModelFacts {
        signature: &folder.signature,
        labels: &folder.labels,
        input_width: width,
        input_height: height,
        input_index: folder.input,
    };
    let wrong = |error: &dyn std::error::Error| Refusal::bad(report::chain(error));
    let mut postprocess = spec.build(&facts).map_err(|error| wrong(&error))?;
    // What was asked of the pipeline holds here too.
    postprocess.set_threshold(threshold);
    let mut findings = Findings::default();
    postprocess.run(lane, 0, placement, &mut findings).map_err(|error| wrong(&error))?;
    Ok(findings)
}
