//! The statistics extension: how many requests each version of a model had, and where their time
//! went.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use super::Which;
use crate::api::Api;
use crate::api::answer::{Refusal, json};
use crate::api::work::{Stats, Tally};

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::api) struct Statistics {
    model_stats: Vec<ModelStatistics>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::api) struct ModelStatistics {
    name: String,
    version: String,
    /// Milliseconds since 1970; 0 before the first.
    last_inference: i64,
    /// Items.
    inference_count: u64,
    /// Runs.
    execution_count: u64,
    inference_stats: InferenceStatistics,
    batch_stats: Vec<BatchStatistics>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::api) struct InferenceStatistics {
    success: Count,
    fail: Count,
    queue: Count,
    compute_input: Count,
    compute_infer: Count,
    compute_output: Count,
    cache_hit: Count,
    cache_miss: Count,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::api) struct BatchStatistics {
    batch_size: usize,
    compute_input: Count,
    compute_infer: Count,
    compute_output: Count,
}

#[derive(Debug, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::api) struct Count {
    count: u64,
    ns: u64,
}

impl From<Tally> for Count {
    fn from(tally: Tally) -> Self {
        Self { count: tally.count, ns: ns(tally.time) }
    }
}

fn ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

pub(super) async fn all(State(api): State<Arc<Api>>) -> Response {
    // Those that nobody asked yet have statistics, too.
    for name in &api.shelf.models.names {
        // One that cannot be read has none.
        drop(api.shelf.find(name, None).await);
    }
    let counted = api.shelf.counted();
    let model_stats =
        counted.into_iter().map(|((name, version), stats)| of(name, version, stats)).collect();
    json(StatusCode::OK, &Statistics { model_stats })
}

pub(super) async fn model(State(api): State<Arc<Api>>, which: Which) -> Result<Response, Refusal> {
    let model = api.shelf.find(&which.model, which.version.as_deref()).await?;
    let (name, version) = (model.name.clone(), model.version.version.clone());
    let stats = api.shelf.counted_of(&name, &version);
    Ok(json(StatusCode::OK, &Statistics { model_stats: vec![of(name, version, stats)] }))
}

fn of(name: String, version: String, stats: Stats) -> ModelStatistics {
    let batch = |(items, tally): (&usize, &Tally)| BatchStatistics {
        batch_size: *items,
        compute_input: Count::default(),
        compute_infer: (*tally).into(),
        compute_output: Count::default(),
    };
    ModelStatistics {
        name,
        version,
        last_inference: stats.last_ms,
        inference_count: stats.items,
        execution_count: stats.runs,
        inference_stats: InferenceStatistics {
            success: stats.success.into(),
            fail: stats.fail.into(),
            queue: stats.queue.into(),
            compute_input: stats.input.into(),
            compute_infer: stats.infer.into(),
            compute_output: stats.output.into(),
            cache_hit: Count::default(),
            cache_miss: Count::default(),
        },
        batch_stats: stats.batches.iter().map(batch).collect(),
    }
}
