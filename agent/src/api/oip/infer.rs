//! `POST /v2/models/<model>[/versions/<version>]/infer`.

use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_ENCODING;
use axum::response::Response;

use super::answer::{JSON_BYTES, answer};
use super::{Which, ask};
use crate::api::Api;
use crate::api::answer::Refusal;
use crate::api::models::{Counting, Known};
use crate::api::work::{Caller, Times, count};

pub(super) async fn infer(
    State(api): State<Arc<Api>>,
    which: Which,
    caller: Option<Extension<Caller>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let began = Instant::now();
    let model = api.shelf.find(&which.model, which.version.as_deref()).await?;
    let mut times = Times::default();
    let caller = caller.map(|Extension(caller)| caller);
    let counting = Counting::of(&model);
    let answered = run(&api, &model, caller, &headers, body, began, &mut times).await;
    let now_ms = jiff::Timestamp::now().as_millisecond();
    match &answered {
        Ok(_) => model.stats().answered(&Times { whole: began.elapsed(), ..times }, now_ms),
        Err(_) => model.stats().refused(began.elapsed(), now_ms),
    }
    counting.answered();
    answered
}

async fn run(
    api: &Api,
    model: &Arc<Known>,
    caller: Option<Caller>,
    headers: &HeaderMap,
    body: Body,
    began: Instant,
    times: &mut Times,
) -> Result<Response, Refusal> {
    let json_bytes = json_bytes(headers)?;
    let body = api.room.take(body, json_bytes.unwrap_or(0)).await?;
    let ask = ask::read(&body.bytes, json_bytes, &model.folder.signature).map_err(Refusal::bad)?;
    times.input = began.elapsed();
    times.items = u64::try_from(count(&model.folder.signature, &ask.inputs)).unwrap_or(1);
    let outputs = ask.outputs.iter().map(|wanted| wanted.index).collect();
    let ran = api.work.ask(model, ask.inputs, outputs, body.room, caller).await?;
    (times.queued, times.ran) = (ran.queued, ran.ran);
    let writing = Instant::now();
    let response = answer(model, ask.id.as_deref(), &ask.outputs, ran.outputs)?;
    times.output = writing.elapsed();
    Ok(response)
}

/// How many bytes of the body are JSON, where it says so.
fn json_bytes(headers: &HeaderMap) -> Result<Option<usize>, Refusal> {
    if let Some(coding) = headers.get(CONTENT_ENCODING)
        && coding != "identity"
    {
        return Err(Refusal::bad(format!("{coding:?} bodies are not taken; expected plain ones")));
    }
    let Some(value) = headers.get(JSON_BYTES) else { return Ok(None) };
    let bytes = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    bytes.map(Some).ok_or_else(|| {
        Refusal::bad(format!("Inference-Header-Content-Length is {value:?}, expected a number"))
    })
}
