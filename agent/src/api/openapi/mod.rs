//! `/v1/openapi.json`: the routes, what each takes and what it answers, for programs that read such documents.
//!
//! The document is made from the types of requests and answers, by a test, which fails where the file
//! is another: `VEDETTE_WRITE_SCHEMAS=1 cargo nextest run --workspace -E
//! 'test(the_document_is_that_of_its_types)'`
//! writes it again. So a device carries the document, and not what makes it.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

use super::Api;

/// See the module.
const DOCUMENT: &str = include_str!("openapi.json");

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new().route("/v1/openapi.json", get(document))
}

async fn document() -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], DOCUMENT).into_response()
}
