//! What a program on the same machine or network may ask over HTTP: health, metrics, status,
//! predictions.
//!
//! ```text
//! connection ─▶ server (places, TLS, time) ─▶ route ─▶ one file of this folder ─▶ View (what the daemon knows)
//! ```
//!
//! A group of routes is a file with `pub(super) fn routes() -> Router<Arc<Api>>`, and its line in
//! `routes`. Those that change something go into `changes`, behind the token.
//!
//! Everything here runs on one thread of its own, which asks for less than those of the data path.
//! **Invariants:** no frame waits for a request, and who asks for a picture waits for the next frame
//! only so long; a bad request is answered by an error that says what was expected, never by a panic;
//! connections, bodies and times have bounds. `tests/tests/api/` asks a real daemon.

mod answer;
mod body;
mod guard;
mod history;
mod live;
mod marks;
mod metrics;
mod models;
mod oip;
mod openapi;
mod page;
mod predict;
mod ready;
mod releases;
mod server;
mod settings;
mod slow;
mod status;
mod tls;
mod traffic;
mod view;
mod work;

use std::sync::Arc;

use axum::Router;
use axum::http::Uri;
use axum::middleware::{from_fn, from_fn_with_state};
use tokio::sync::Semaphore;

pub use models::{Models, Version};
pub use settings::{ApiSettings, Identity, WorkSettings};
pub use view::{Pipeline, View};

use crate::supervisor::Supervisor;
use answer::Refusal;

/// What every route can reach.
#[derive(Debug)]
struct Api {
    settings: ApiSettings,
    view: View,
    traffic: traffic::Traffic,
    viewers: Arc<Semaphore>,
    predicting: Arc<Semaphore>,
    marks: marks::Marks,
    room: body::Room,
    shelf: models::Shelf,
    work: Arc<work::Work>,
}

impl Api {
    /// The pipeline of this name.
    ///
    /// # Errors
    /// There is none; with the names of those that there are.
    fn pipeline(&self, name: &str) -> Result<&Pipeline, Refusal> {
        let found = self.view.pipelines.iter().find(|one| *one.open.name == *name);
        found.ok_or_else(|| {
            let names = self.pipeline_names();
            Refusal::not_found(format!("there is no pipeline `{name}`; there are: {names}"))
        })
    }

    fn pipeline_names(&self) -> String {
        let names: Vec<&str> = self.view.pipelines.iter().map(|one| &*one.open.name).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }
}

/// Starts to answer.
pub fn start(settings: &ApiSettings, view: View, supervisor: &Supervisor) {
    let api = Arc::new(Api {
        settings: settings.clone(),
        traffic: traffic::Traffic::default(),
        viewers: live::places(),
        predicting: predict::places(),
        marks: marks::Marks::new(view.pipelines.len()),
        room: body::Room::new(settings.body_bytes),
        work: work::Work::new(&settings.work, view.models.cache.clone()),
        shelf: models::Shelf::new(view.models.clone()),
        view,
    });
    let stop = supervisor.stop().clone();
    supervisor.run("api", move || server::serve(api.clone(), stop.clone()));
}

/// Every route.
fn routes(api: &Arc<Api>) -> Router {
    let changes = changes().route_layer(from_fn_with_state(api.clone(), guard::token));
    Router::new()
        .merge(ready::routes())
        .merge(metrics::routes())
        .merge(status::routes())
        .merge(slow::routes())
        .merge(history::routes())
        .merge(live::routes())
        .merge(page::routes())
        .merge(oip::routes())
        .merge(openapi::routes())
        .merge(predict::routes())
        .merge(changes)
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(api.clone(), guard::time))
        .layer(from_fn_with_state(api.clone(), traffic::count))
        .layer(from_fn(guard::headers))
        .with_state(api.clone())
}

/// Those that change something, behind the token.
fn changes() -> Router<Arc<Api>> {
    releases::changes().merge(oip::changes())
}

async fn unknown(uri: Uri) -> Refusal {
    Refusal::not_found(format!("there is no `{}` here", uri.path()))
}

async fn wrong_method(uri: Uri) -> Refusal {
    Refusal::method(format!("`{}` does not take this method", uri.path()))
}
