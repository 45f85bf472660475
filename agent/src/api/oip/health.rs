//! Whether the server and its models can be asked.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use super::Which;
use crate::api::Api;
use crate::api::answer::{Refusal, json};
use crate::api::work::Standing;

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::api) struct Live {
    live: bool,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::api) struct Ready {
    ready: bool,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::api) struct ModelReady<'a> {
    name: &'a str,
    ready: bool,
}

pub(super) async fn live() -> Response {
    json(StatusCode::OK, &Live { live: true })
}

/// Whether every model can be asked. How the pipelines do is another question: `/readyz`.
pub(super) async fn ready(State(api): State<Arc<Api>>) -> Response {
    let mut ready = !api.view.stop.said();
    for name in &api.shelf.models.names {
        ready &= match api.shelf.find(name, None).await {
            Ok(model) => asked(&api.work.standing(&model)),
            Err(_) => false,
        };
    }
    json(status(ready), &Ready { ready })
}

/// Whether a model can be asked: the first request opens it, where it is not open.
pub(super) async fn model(State(api): State<Arc<Api>>, which: Which) -> Result<Response, Refusal> {
    let model = api.shelf.find(&which.model, which.version.as_deref()).await?;
    let ready = asked(&api.work.standing(&model));
    Ok(json(status(ready), &ModelReady { name: &model.name, ready }))
}

/// Whether a request would be served: the first one opens a session that is not open.
fn asked(standing: &Standing) -> bool {
    matches!(standing, Standing::Open | Standing::Closed)
}

fn status(ready: bool) -> StatusCode {
    if ready { StatusCode::OK } else { StatusCode::BAD_REQUEST }
}
