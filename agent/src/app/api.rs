//! What the HTTP API gets to see of the daemon.

use super::House;
use crate::api::{self, Pipeline, View};
use crate::update;

impl House {
    /// Starts to answer over HTTP, where that is configured.
    pub(super) fn serve_api(&self, releases: Option<&update::Desk>) {
        let Some(settings) = &self.config.api else { return };
        let configured = |name: &str| self.config.pipelines.iter().find(|own| own.name == name);
        let pipelines = self.open.iter().map(|open| {
            let own = configured(&open.name);
            let model = own.map(|own| self.config.models[own.model].name.clone());
            Pipeline {
                open: open.clone(),
                model: model.unwrap_or_default(),
                rate_hz: own.and_then(|own| own.source.rate_hz()),
            }
        });
        let view = View {
            said: self.said.clone(),
            stop: self.supervisor.stop().clone(),
            pipelines: pipelines.collect(),
            facts: self.engines.facts(),
            releases: releases.cloned(),
            link: self.link.clone(),
            seen: self.seen.clone(),
        };
        api::start(settings, view, &self.supervisor);
    }
}
