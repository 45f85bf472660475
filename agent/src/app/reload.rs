//! SIGHUP: what can change under live frames is changed, and what cannot is named.
//!
//! A model's folder, its settings and its pipelines' postprocess can change: the model is opened aside and
//! swapped in between two frames. Sources, sinks, the broker and the list of pipelines need a restart.

use std::sync::Arc;

use super::Reread;
use super::engines::{Engines, info};
use crate::config::Config;
use crate::report;

impl Engines {
    /// Reads the configuration again and takes what can be taken. The configuration now in use, where one model
    /// or more were swapped. Whatever fails is logged, and what runs goes on.
    pub(super) fn reload(&mut self, reread: &Reread) -> Option<Arc<Config>> {
        let next = match reread() {
            Ok(next) => Arc::new(next),
            Err(mistakes) => {
                for mistake in mistakes {
                    tracing::error!(%mistake, "not reloaded: the configuration is refused");
                }
                return None;
            }
        };
        let plans: Vec<_> = self.running().iter().map(|running| running.plan.clone()).collect();
        let (before, _) = plans.first()?.get();
        for what in needs_restart(&before, &next) {
            tracing::warn!(what, "changed in the configuration: takes effect at the next start");
        }
        let mut swapped = false;
        for (index, plan) in plans.iter().enumerate() {
            swapped |= self.reload_one(index, plan, &next);
        }
        tracing::info!(swapped, "reloaded");
        swapped.then_some(next)
    }

    /// Opens the model of `plan` anew where it changed, and swaps it in.
    fn reload_one(
        &mut self,
        index: usize,
        plan: &super::engines::Plan,
        next: &Arc<Config>,
    ) -> bool {
        let (before, model) = plan.get();
        let name = &before.models[model].name;
        let Some(now) = next.models.iter().position(|model| model.name == *name) else {
            return false;
        };
        if pipelines(&before, model) != pipelines(next, now)
            || facts(&before, model) == facts(next, now)
        {
            return false;
        }
        let trying = super::engines::Plan::new(next.clone(), now);
        match self.build(&trying) {
            Ok(generation) => {
                tracing::info!(
                    model = name,
                    version = &*generation.model().version,
                    "model swapped"
                );
                plan.set(next.clone(), now);
                let running = &mut self.running()[index];
                running.info = info(name, &generation);
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

/// Names of the pipelines that use model `index`, in order.
fn pipelines(config: &Config, index: usize) -> Vec<&str> {
    let own = config.pipelines.iter().filter(|pipeline| pipeline.model == index);
    own.map(|pipeline| pipeline.name.as_str()).collect()
}

/// All that a swap can change of model `index`, to be compared.
fn facts(config: &Config, index: usize) -> String {
    let own = config.pipelines.iter().filter(|pipeline| pipeline.model == index);
    let postprocesses: Vec<_> = own.map(|pipeline| &pipeline.postprocess).collect();
    format!("{:?} {postprocesses:?}", config.models[index])
}

/// What differs and cannot be taken without a restart.
fn needs_restart(before: &Config, next: &Config) -> Vec<&'static str> {
    let pipeline = |config: &Config| -> Vec<String> {
        let parts = config.pipelines.iter().map(|pipeline| {
            let sinks: Vec<&str> =
                pipeline.sinks.iter().map(|&sink| config.sinks[sink].name.as_str()).collect();
            let model = &config.models[pipeline.model].name;
            format!("{} {:?} {model} {sinks:?}", pipeline.name, pipeline.source)
        });
        parts.collect()
    };
    let parts = [
        ("device", before.topics == next.topics),
        ("state_dir", before.state_dir == next.state_dir),
        ("onnxruntime", before.onnxruntime == next.onnxruntime),
        ("log", before.log == next.log),
        ("mqtt", before.mqtt == next.mqtt),
        ("sinks", format!("{:?}", before.sinks) == format!("{:?}", next.sinks)),
        ("pipeline", pipeline(before) == pipeline(next)),
    ];
    parts.into_iter().filter(|(_, same)| !same).map(|(what, _)| what).collect()
}
