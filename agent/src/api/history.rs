//! `/v1/history`: a quarter of an hour of the board's figures. `/v1/log`: the last warnings and errors.
//! `/v1/diagnostics`: all of it in one file, for whoever is asked for help.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde::Serialize;

use super::answer::json;
use super::{Api, status};
use crate::recent;
use crate::telemetry::seen::Point;

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/v1/history", get(history))
        .route("/v1/log", get(log))
        .route("/v1/diagnostics", get(diagnostics))
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::api) struct History {
    /// Oldest first; empty where the board is not watched.
    points: Vec<Point>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::api) struct Log {
    /// Oldest first.
    lines: Vec<String>,
}

/// What somebody who looks for a fault wants to know.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::api) struct Diagnostics {
    status: status::Status,
    history: Vec<Point>,
    log: Vec<String>,
}

async fn history(State(api): State<Arc<Api>>) -> Response {
    json(StatusCode::OK, &History { points: api.view.seen.history() })
}

async fn log() -> Response {
    json(StatusCode::OK, &Log { lines: recent::lines() })
}

async fn diagnostics(State(api): State<Arc<Api>>) -> Response {
    let all = Diagnostics {
        status: status::now(&api),
        history: api.view.seen.history(),
        log: recent::lines(),
    };
    let name = HeaderValue::from_static("attachment; filename=\"vedette-diagnostics.json\"");
    ([(CONTENT_DISPOSITION, name)], json(StatusCode::OK, &all)).into_response()
}
