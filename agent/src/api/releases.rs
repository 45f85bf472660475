//! `POST /v1/models/{slot}/rollback`: back to the release that was committed before, as `vedette model rollback` does.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use serde::Serialize;

use super::Api;
use super::answer::{Refusal, json};
use crate::update::Command;

/// Changes something: behind the token.
pub(super) fn changes() -> Router<Arc<Api>> {
    Router::new().route("/v1/models/{slot}/rollback", post(rollback))
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::api) struct Done {
    /// What came of it, a line for each model.
    lines: Vec<String>,
}

async fn rollback(
    State(api): State<Arc<Api>>,
    slot: Result<Path<String>, PathRejection>,
) -> Result<Response, Refusal> {
    let Path(slot) = slot?;
    let desk = api.view.releases.as_ref().ok_or_else(|| {
        Refusal::not_found(format!("no model takes releases here, `{slot}` neither"))
    })?;
    // Where none can be taken at all the desk itself says why.
    let known = desk.standings().iter().any(|(name, _)| *name == slot);
    if !known && desk.broken().is_none() {
        return Err(Refusal::not_found(format!("no model `{slot}` takes releases here")));
    }
    let answer = desk.ask(&Command::Rollback { slot: Some(slot), to: None }).await;
    match answer.ok {
        true => Ok(json(StatusCode::OK, &Done { lines: answer.lines })),
        false => Err(Refusal::conflict(answer.lines.join("; "))),
    }
}
