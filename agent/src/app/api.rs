//! What the HTTP API gets to see of the daemon.

use std::path::Path;
use std::sync::Arc;

use super::House;
use super::engines::{Plan, Running, lock};
use crate::api::{self, Models, Pipeline, Version, View};
use crate::config::{Config, PipelineConfig};
use crate::update;
use crate::update::store::Store;

impl House {
    /// Starts to answer over HTTP, where that is configured.
    pub(super) fn serve_api(&mut self, releases: Option<&update::Desk>, state: &Path) {
        let Some(settings) = &self.config.api else { return };
        let pipelines = self.open.iter().map(|open| {
            let own = self.config.pipeline(&open.name);
            let model = own.map(|own| self.config.models[own.model].name.clone());
            let rate_hz = own.and_then(|own| own.source.rate_hz());
            let most_hz =
                |own: &PipelineConfig| own.analysis.gate.most_hz(rate_hz.unwrap_or(f64::INFINITY));
            Pipeline {
                open: open.clone(),
                model: model.unwrap_or_default(),
                pictures: own.is_some_and(|own| own.source.samples().is_none()),
                rate_hz,
                most_hz: own.map(most_hz).filter(|most| most.is_finite()),
            }
        });
        let pipelines = pipelines.collect();
        let view = View {
            said: self.said.clone(),
            stop: self.supervisor.stop().clone(),
            pipelines,
            facts: self.engines.facts(),
            models: models(&self.config, self.engines.running(), state),
            releases: releases.cloned(),
            link: self.link.clone(),
            seen: self.seen.clone(),
        };
        api::start(settings, view, &self.supervisor);
    }
}

/// The models that can be asked: those that run, and those that no pipeline uses.
fn models(config: &Arc<Config>, running: &[Running], state: &Path) -> Models {
    let running: Vec<_> =
        running.iter().map(|running| (running.plan.clone(), running.info.clone())).collect();
    let (own, of_running) = (config.clone(), running.clone());
    let current = move |name: &str| {
        let runs = of_running.iter().find(|(plan, _)| plan.get().name() == name);
        match runs {
            Some((plan, info)) => {
                let (version, made) = (lock(info).version.clone(), plan.get());
                Some(Version {
                    version,
                    config: made.config,
                    model: made.model,
                    folder: made.folder,
                })
            }
            None => configured(&own, name),
        }
    };
    let (own, store) = (config.clone(), Store::at(state));
    let previous = move |name: &str| {
        let model = own.models.iter().find(|model| model.name == name)?;
        model.release.as_ref()?;
        let record = store.load(name).ok()?;
        let plan = running.iter().map(|(plan, _)| plan).find(|plan| plan.get().name() == name);
        let config = plan.map_or_else(|| own.clone(), |plan: &Plan| plan.get().config);
        match record.previous {
            Some(before) => {
                let folder = Some(store.folder(&before.release.release));
                let version = before.release.version;
                Some(Version { version, folder, ..configured(&config, name)? })
            }
            None if record.returnable => configured(&config, name),
            None => None,
        }
    };
    Models {
        names: config.models.iter().map(|model| model.name.clone()).collect(),
        current: Arc::new(current),
        previous: Arc::new(previous),
        cache: state.join("engines"),
    }
}

/// The folder that the configuration names.
fn configured(config: &Arc<Config>, name: &str) -> Option<Version> {
    let model = config.models.iter().position(|model| model.name == name)?;
    let version = config.models[model].folder.version.clone();
    Some(Version { version, config: config.clone(), model, folder: None })
}
