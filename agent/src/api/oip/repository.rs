//! The model repository extension: which models there are, and whether their sessions for requests
//! are open.
//!
//! Which models there are is the configuration's and the releases' business: `load` opens a session
//! before the first request needs it, `unload` gives its memory back.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};

use super::Which;
use crate::api::Api;
use crate::api::answer::{Refusal, json};
use crate::api::work::Standing;

/// Pause between two looks whether a session is open: most open within half a second.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What is asked of the index.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::api) struct Asked {
    /// Only those that can be asked.
    #[serde(default)]
    ready: bool,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::api) struct Entry {
    name: String,
    version: String,
    state: &'static str,
    reason: String,
}

pub(super) async fn index(State(api): State<Arc<Api>>, body: Body) -> Result<Response, Refusal> {
    let body = api.room.take(body, 0).await?;
    let asked: Asked = match body.bytes.trim_ascii() {
        [] => Asked::default(),
        bytes => serde_json::from_slice(bytes).map_err(|error| {
            Refusal::bad(format!(
                "the request cannot be read: {error}; expected {{\"ready\": true}}"
            ))
        })?,
    };
    let mut entries = Vec::new();
    for name in &api.shelf.models.names {
        for version in api.shelf.versions(name) {
            let standing = match api.shelf.find(name, Some(&version)).await {
                Ok(model) => api.work.standing(&model),
                Err(refusal) => Standing::Failed(refusal.message),
            };
            let (state, reason) = match standing {
                Standing::Failed(why) => ("UNAVAILABLE", why),
                Standing::Opening => ("LOADING", String::new()),
                Standing::Open | Standing::Closed => ("READY", String::new()),
            };
            if state == "READY" || !asked.ready {
                entries.push(Entry { name: name.clone(), version, state, reason });
            }
        }
    }
    Ok(json(StatusCode::OK, &entries))
}

pub(super) async fn load(State(api): State<Arc<Api>>, which: Which) -> Result<Response, Refusal> {
    let model = api.shelf.find(&which.model, None).await?;
    api.work.load(&model)?;
    // Within the time that any request may take.
    loop {
        match api.work.standing(&model) {
            Standing::Opening => tokio::time::sleep(LOOK_EVERY).await,
            Standing::Failed(why) => {
                return Err(Refusal::bad(format!("the model cannot be opened: {why}")));
            }
            Standing::Open | Standing::Closed => return Ok(StatusCode::OK.into_response()),
        }
    }
}

pub(super) async fn unload(State(api): State<Arc<Api>>, which: Which) -> Result<Response, Refusal> {
    let model = api.shelf.find(&which.model, None).await?;
    api.work.unload(&model);
    Ok(StatusCode::OK.into_response())
}
