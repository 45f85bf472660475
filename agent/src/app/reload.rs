//! SIGHUP: what can change under live frames is changed, and what cannot is named.
//!
//! A model's folder, its settings and its pipelines' postprocess can change: the model is opened aside and
//! swapped in between two frames. Sources, sinks, the broker and the list of pipelines need a restart.

use std::sync::Arc;

use super::Reread;
use super::engines::{Engines, Made, Plan, Running, info, input, lock};
use crate::config::Config;
use crate::report;

impl Engines {
    /// Reads the configuration again and takes what can be taken, where `started` is the one of the start. Whether one
    /// model or more were swapped. Whatever fails is logged, and what runs goes on.
    pub(super) fn reload(&self, reread: &Reread, started: &Config) -> bool {
        let next = match reread() {
            Ok(next) => Arc::new(next),
            Err(mistakes) => {
                for mistake in mistakes {
                    tracing::error!(%mistake, "not reloaded: the configuration is refused");
                }
                return false;
            }
        };
        for what in needs_restart(started, &next) {
            tracing::warn!(what, "changed in the configuration: takes effect at the next start");
        }
        let mut swapped = false;
        for running in self.running() {
            swapped |= self.reload_one(running, &next);
        }
        tracing::info!(swapped, "reloaded");
        swapped
    }

    /// Opens the model of `plan` anew where it changed, and swaps it in.
    fn reload_one(&self, running: &Running, next: &Arc<Config>) -> bool {
        let plan = &running.plan;
        let before = plan.get();
        let name = before.name().to_owned();
        let Some(now) = next.models.iter().position(|model| model.name == name) else {
            return false;
        };
        let after = Made { config: next.clone(), model: now, folder: before.folder.clone() };
        if pipelines(&before) != pipelines(&after) || facts(&before) == facts(&after) {
            return false;
        }
        let folder = |made: &Made| input(&made.config.models[made.model].folder);
        if folder(&before) != folder(&after) {
            let (was, is) = (folder(&before), folder(&after));
            tracing::error!(
                model = name,
                was,
                is,
                "the changed model is not taken: its sources give what they gave; restart"
            );
            return false;
        }
        let Ok(_changing) = running.changing.try_lock() else {
            tracing::warn!(
                model = name,
                "a release of it is on its way: not reloaded, ask again later"
            );
            return false;
        };
        match self.build(&Plan::new(after.config.clone(), now, after.folder.clone())) {
            Ok(generation) => {
                tracing::info!(
                    model = name,
                    version = &*generation.model().version,
                    "model swapped"
                );
                plan.set(after);
                *lock(&running.info) = info(&name, &generation);
                running.swap.hand_over(generation);
                true
            }
            Err(error) => {
                let error = report::chain(&error);
                tracing::error!(
                    model = name,
                    error,
                    "the changed model is not taken: the old one goes on"
                );
                false
            }
        }
    }
}

/// Names of the pipelines that use the model, always or at times, in order.
fn pipelines(made: &Made) -> Vec<(&str, bool)> {
    let uses = made.config.uses(made.model);
    uses.map(|own| (own.pipeline.name.as_str(), own.lighter)).collect()
}

/// All that a swap can change of the model, to be compared.
fn facts(made: &Made) -> String {
    let postprocesses: Vec<_> = made.config.uses(made.model).map(|own| own.postprocess).collect();
    let model = &made.config.models[made.model];
    // While a release runs, the configured folder is not what would be loaded.
    let folder = made.folder.is_none().then_some(&model.folder);
    format!("{:?} {:?} {folder:?} {postprocesses:?}", model.engine, model.batch)
}

/// What differs and cannot be taken without a restart.
fn needs_restart(before: &Config, next: &Config) -> Vec<&'static str> {
    let pipeline = |config: &Config| -> Vec<String> {
        let parts = config.pipelines.iter().map(|pipeline| {
            let sinks: Vec<&str> =
                pipeline.sinks.iter().map(|&sink| config.sinks[sink].name.as_str()).collect();
            let model = &config.models[pipeline.model].name;
            let (source, analysis) = (&pipeline.source, &pipeline.analysis);
            format!("{} {source:?} {model} {sinks:?} {analysis:?}", pipeline.name)
        });
        parts.collect()
    };
    let parts = [
        ("device", before.topics == next.topics),
        ("state_dir", before.state_dir == next.state_dir),
        ("onnxruntime", before.onnxruntime == next.onnxruntime),
        ("log", before.log == next.log),
        ("mqtt", before.mqtt == next.mqtt),
        ("api", before.api == next.api),
        ("commands", before.commands == next.commands),
        ("homeassistant", before.homeassistant == next.homeassistant),
        ("thinedge", before.thinedge == next.thinedge),
        ("update", before.update == next.update && releases(before) == releases(next)),
        ("telemetry", before.telemetry == next.telemetry),
        ("events", before.events == next.events),
        ("sinks", format!("{:?}", before.sinks) == format!("{:?}", next.sinks)),
        ("pipeline", pipeline(before) == pipeline(next)),
        ("a model that no pipeline uses", unused(before) == unused(next)),
    ];
    parts.into_iter().filter(|(_, same)| !same).map(|(what, _)| what).collect()
}

/// Models that only requests run. They are opened as the start had them.
fn unused(config: &Config) -> Vec<String> {
    let unused = config.models.iter().enumerate();
    let unused = unused.filter(|(index, _)| config.uses(*index).next().is_none());
    unused
        .map(|(_, model)| format!("{} {:?} {:?}", model.name, model.engine, model.folder))
        .collect()
}

/// Which models take which releases.
fn releases(config: &Config) -> Vec<(&str, Option<&str>)> {
    config.models.iter().map(|model| (model.name.as_str(), model.release.as_deref())).collect()
}
