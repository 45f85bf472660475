//! The Open Inference Protocol, version 2, as KServe and Triton speak it: models by name, tensors
//! in and out.
//!
//! Beside the protocol itself, its extensions for binary tensors, classification, statistics, the
//! model repository and the model configuration. NVIDIA's own client is the judge:
//! `tests/tests/api/triton.rs`.
//!
//! **Invariant:** a bad request is answered by the protocol's error object, which names what was
//! found and what was expected; it reaches no model.

pub(super) mod answer;
pub(super) mod ask;
mod classes;
mod datatype;
mod elements;
pub(super) mod health;
mod infer;
pub(super) mod metadata;
pub(super) mod repository;
pub(super) mod statistics;

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::routing::{get, post};
use serde::Deserialize;

use super::Api;
use super::answer::Refusal;

/// Extensions, as the server's metadata lists them.
const EXTENSIONS: [&str; 5] = [
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "statistics",
];

pub(super) fn routes() -> Router<Arc<Api>> {
    let model = |suffix: &str| {
        let of = |middle: &str| format!("/v2/models/{{model}}{middle}{suffix}");
        [of(""), of("/versions/{version}")]
    };
    let mut routes = Router::new()
        .route("/v2", get(metadata::server))
        .route("/v2/", get(metadata::server))
        .route("/v2/health/live", get(health::live))
        .route("/v2/health/ready", get(health::ready))
        .route("/v2/models/stats", get(statistics::all))
        .route("/v2/repository/index", post(repository::index));
    for path in model("") {
        routes = routes.route(&path, get(metadata::model));
    }
    for path in model("/ready") {
        routes = routes.route(&path, get(health::model));
    }
    for path in model("/config") {
        routes = routes.route(&path, get(metadata::config));
    }
    for path in model("/stats") {
        routes = routes.route(&path, get(statistics::model));
    }
    for path in model("/infer") {
        routes = routes.route(&path, post(infer::infer));
    }
    routes
}

/// Those that change something.
pub(super) fn changes() -> Router<Arc<Api>> {
    Router::new()
        .route("/v2/repository/models/{model}/load", post(repository::load))
        .route("/v2/repository/models/{model}/unload", post(repository::unload))
}

/// Which model a request is about, and which version of it.
#[derive(Debug, Clone, Deserialize)]
struct Which {
    model: String,
    /// `None`: the one that serves.
    #[serde(default)]
    version: Option<String>,
}

impl FromRequestParts<Arc<Api>> for Which {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Refusal> {
        let Path(which) = Path::<Self>::from_request_parts(parts, api).await?;
        Ok(which)
    }
}
