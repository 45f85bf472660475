//! Counts requests by route and answer, for `/metrics`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::Api;
use crate::pipeline::meter::Meter;

/// What was answered so far.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    routes: Mutex<BTreeMap<String, Arc<Route>>>,
}

/// One route, as it is written in the code: there are as many as that.
#[derive(Debug, Default)]
pub(super) struct Route {
    /// Answers by their code.
    pub(super) codes: Mutex<BTreeMap<u16, u64>>,
    /// How long they took.
    pub(super) time: Meter,
}

impl Traffic {
    fn route(&self, path: &str) -> Arc<Route> {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        match routes.get(path) {
            Some(route) => route.clone(),
            None => routes.entry(path.to_owned()).or_default().clone(),
        }
    }

    /// Every route that was asked for.
    pub(super) fn all(&self) -> Vec<(String, Arc<Route>)> {
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        routes.iter().map(|(path, route)| (path.clone(), route.clone())).collect()
    }
}

/// Counts a request once it is answered.
pub(super) async fn count(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let path = request.extensions().get::<MatchedPath>();
    // What is no route is one: its names are for whoever asks to choose.
    let route = api.traffic.route(path.map_or("unknown", MatchedPath::as_str));
    let response = next.run(request).await;
    route.time.took(began.elapsed());
    let mut codes = route.codes.lock().unwrap_or_else(PoisonError::into_inner);
    *codes.entry(response.status().as_u16()).or_default() += 1;
    drop(codes);
    response
}
