//! `/metrics`: everything that is counted, in Prometheus' text format.
//!
//! Each file of this folder writes the families of one room of the house. Names follow Prometheus' own rules (base
//! units, `_total`), which promtool checks in `tests/tests/api/`; what is not known is left out, never 0.

mod board;
mod daemon;
mod data_path;
mod text;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

use super::Api;
use text::Text;

/// What Prometheus calls its text format.
const TYPE: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new().route("/metrics", get(metrics))
}

async fn metrics(State(api): State<Arc<Api>>) -> Response {
    ([(CONTENT_TYPE, TYPE)], render(&api)).into_response()
}

/// All families, as text.
fn render(api: &Api) -> String {
    let mut text = Text::new();
    daemon::write(api, &mut text);
    data_path::write(api, &mut text);
    if let Some(sample) = api.view.seen.last() {
        board::write(&sample, &mut text);
    }
    text.finish()
}
