//! What the server is, and what its models take and give.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use super::{EXTENSIONS, Which, datatype};
use crate::api::Api;
use crate::api::answer::{Refusal, json};
use crate::pipeline::shape::takes_batches;
use crate::pipeline::tensor::{Element, TensorSpec};

/// What clients know this kind of server's models by.
const PLATFORM: &str = "onnxruntime_onnx";

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::api) struct Server {
    name: &'static str,
    version: &'static str,
    extensions: [&'static str; EXTENSIONS.len()],
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::api) struct Model<'a> {
    name: &'a str,
    versions: Vec<String>,
    platform: &'static str,
    inputs: Vec<Tensor<'a>>,
    outputs: Vec<Tensor<'a>>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::api) struct Tensor<'a> {
    name: &'a str,
    datatype: &'static str,
    shape: Vec<i64>,
}

/// A model's configuration in Triton's words, as far as they have a meaning here.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::api) struct Config<'a> {
    name: &'a str,
    platform: &'static str,
    backend: &'static str,
    /// More than 0 where the batch is free: then it is no part of `dims`.
    max_batch_size: usize,
    input: Vec<ConfigTensor<'a>>,
    output: Vec<ConfigTensor<'a>>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::api) struct ConfigTensor<'a> {
    name: &'a str,
    data_type: String,
    dims: Vec<i64>,
}

pub(super) async fn server() -> Response {
    let version = env!("CARGO_PKG_VERSION");
    json(StatusCode::OK, &Server { name: "vedette", version, extensions: EXTENSIONS })
}

pub(super) async fn model(State(api): State<Arc<Api>>, which: Which) -> Result<Response, Refusal> {
    let model = api.shelf.find(&which.model, which.version.as_deref()).await?;
    let signature = &model.folder.signature;
    let told = Model {
        name: &model.name,
        versions: api.shelf.versions(&model.name),
        platform: PLATFORM,
        inputs: signature.inputs.iter().map(tensor).collect(),
        outputs: signature.outputs.iter().map(tensor).collect(),
    };
    Ok(json(StatusCode::OK, &told))
}

pub(super) async fn config(State(api): State<Arc<Api>>, which: Which) -> Result<Response, Refusal> {
    let model = api.shelf.find(&which.model, which.version.as_deref()).await?;
    let signature = &model.folder.signature;
    let batches = takes_batches(signature);
    let tensor = |spec| config_tensor(spec, batches);
    let told = Config {
        name: &model.name,
        platform: PLATFORM,
        backend: "onnxruntime",
        max_batch_size: if batches { api.settings.work.batch_max } else { 0 },
        input: signature.inputs.iter().map(tensor).collect(),
        output: signature.outputs.iter().map(tensor).collect(),
    };
    Ok(json(StatusCode::OK, &told))
}

fn tensor(spec: &TensorSpec) -> Tensor<'_> {
    Tensor {
        name: &spec.name,
        datatype: datatype::name(spec.element),
        shape: datatype::shape(spec),
    }
}

fn config_tensor(spec: &TensorSpec, batches: bool) -> ConfigTensor<'_> {
    let name = match spec.element {
        Element::String => "STRING",
        element => datatype::name(element),
    };
    let dims = datatype::shape(spec).into_iter().skip(usize::from(batches));
    ConfigTensor { name: &spec.name, data_type: format!("TYPE_{name}"), dims: dims.collect() }
}
