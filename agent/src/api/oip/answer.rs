//! How an inference is answered: JSON, with the elements of its tensors in it or in binary behind
//! it.

use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use super::ask::Wanted;
use super::elements::List;
use super::{classes, datatype};
use crate::api::answer::Refusal;
use crate::api::models::Known;
use crate::pipeline::shape::takes_batches;
use crate::pipeline::value::{Data, Value};

/// Says how many bytes of a body are JSON; what follows is binary.
pub(super) const JSON_BYTES: HeaderName =
    HeaderName::from_static("inference-header-content-length");

/// Room for the JSON of an answer whose tensors are binary.
const HEAD_BYTES: usize = 512;

/// An answer, as it is written.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::api) struct Answer<'a> {
    model_name: &'a str,
    model_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    outputs: Vec<Output<'a>>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::api) struct Output<'a> {
    name: &'a str,
    datatype: &'static str,
    shape: &'a [usize],
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Size>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<List<'a>>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::api) struct Size {
    binary_data_size: usize,
}

/// Answers request `id` to `model` with `values`, which are `wanted`.
///
/// # Errors
/// A value cannot be told in the form that is wanted.
pub(super) fn answer(
    model: &Known,
    id: Option<&str>,
    wanted: &[Wanted],
    mut values: Vec<Value>,
) -> Result<Response, Refusal> {
    let specs = &model.folder.signature.outputs;
    for (value, wanted) in values.iter_mut().zip(wanted) {
        if let Some(count) = wanted.classes {
            let batched = takes_batches(&model.folder.signature);
            *value = classes::classes(value, count, &model.folder.labels, batched)
                .ok_or_else(|| Refusal::bad("classes are made of numbers"))?;
        }
    }
    let mut outputs = Vec::with_capacity(values.len());
    let mut binary_bytes = 0;
    for (value, wanted) in values.iter().zip(wanted) {
        let size = wanted.binary.then(|| Size { binary_data_size: binary_size(value) });
        binary_bytes += size.as_ref().map_or(0, |size| size.binary_data_size);
        outputs.push(Output {
            name: specs.get(wanted.index).map_or("", |spec| &spec.name),
            datatype: datatype::name(value.element),
            shape: &value.shape,
            parameters: size,
            data: (!wanted.binary).then_some(List(value)),
        });
    }
    let answer =
        Answer { model_name: &model.name, model_version: &model.version.version, id, outputs };
    let mut body = Vec::with_capacity(HEAD_BYTES + binary_bytes);
    serde_json::to_writer(&mut body, &answer).map_err(|error| Refusal::bad(error.to_string()))?;
    if !wanted.iter().any(|wanted| wanted.binary) {
        let json = HeaderValue::from_static("application/json");
        return Ok((StatusCode::OK, [(CONTENT_TYPE, json)], body).into_response());
    }
    let octets = HeaderValue::from_static("application/octet-stream");
    let headers = [(CONTENT_TYPE, octets), (JSON_BYTES, HeaderValue::from(body.len()))];
    for (value, _) in values.iter().zip(wanted).filter(|(_, wanted)| wanted.binary) {
        put(value, &mut body);
    }
    Ok((StatusCode::OK, headers, body).into_response())
}

/// Bytes that [`put`] writes.
fn binary_size(value: &Value) -> usize {
    match &value.data {
        Data::Bytes(bytes) => bytes.len(),
        Data::Texts(texts) => texts.iter().map(|text| size_of::<u32>() + text.len()).sum(),
    }
}

/// Elements as they lie in memory; texts each behind its length.
fn put(value: &Value, binary: &mut Vec<u8>) {
    match &value.data {
        Data::Bytes(bytes) => binary.extend_from_slice(bytes),
        Data::Texts(texts) => {
            for text in texts {
                // A text comes out of one buffer of the library, far below 4 GiB.
                let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
                binary.extend_from_slice(&length.to_le_bytes());
                binary.extend_from_slice(text);
            }
        }
    }
}
