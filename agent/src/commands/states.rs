//! The pipelines as somebody outside sees them: how each is set, and the ways to set it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wire::{PipelineReport, PipelineState};

use crate::mqtt::Link;
use crate::pipeline::door::Door;
use crate::pipeline::health::Health;
use crate::pipeline::postprocess::Threshold;
use crate::said::Said;

/// One pipeline.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// Its name.
    pub name: Arc<str>,
    /// Where it is asked for something.
    pub door: Arc<Door>,
    /// Its counts.
    pub health: Arc<Health>,
    /// Its threshold, where it has one.
    pub threshold: Option<Threshold>,
}

impl Pipeline {
    fn current(&self) -> Option<f32> {
        let threshold = self.threshold?;
        Some(self.door.threshold().unwrap_or(threshold.configured))
    }

    /// How it is doing.
    #[must_use]
    pub fn report(&self) -> PipelineReport {
        let counts = self.health.counts();
        PipelineReport {
            name: self.name.to_string(),
            paused: self.door.is_paused(),
            threshold: self.current(),
            captured: counts.captured,
            inferred: counts.inferred,
            replaced: counts.replaced,
            failed: counts.failed,
            reopened: counts.reopened,
        }
    }
}

/// All of them, and the way to say how they are set.
#[derive(Debug)]
pub struct Pipelines {
    all: Vec<(Pipeline, AtomicU64)>,
    link: Link,
    said: Arc<Said>,
}

impl Pipelines {
    /// These, said on `link`.
    #[must_use]
    pub fn new(all: Vec<Pipeline>, link: Link, said: Arc<Said>) -> Self {
        let all = all.into_iter().map(|pipeline| (pipeline, AtomicU64::new(0))).collect();
        Self { all, link, said }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Pipeline> {
        self.all.iter().map(|(pipeline, _)| pipeline)
    }

    /// The one called `name`.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Pipeline> {
        self.iter().find(|pipeline| &*pipeline.name == name)
    }

    /// Says how `name` is set, retained.
    pub fn tell(&self, name: &str) {
        let found = self.all.iter().find(|(pipeline, _)| &*pipeline.name == name);
        let Some((pipeline, said)) = found else { return };
        let seq = said.fetch_add(1, Ordering::Relaxed) + 1;
        let state = PipelineState {
            envelope: self.said.envelope("vedette/pipeline-state/1", seq),
            pipeline: name.into(),
            paused: pipeline.door.is_paused(),
            threshold: pipeline.current(),
            threshold_configured: pipeline.threshold.map(|threshold| threshold.configured),
        };
        // Payload types have string keys and finite numbers only: this cannot fail.
        let body = serde_json::to_vec(&state).unwrap_or_default();
        self.link.retain(&self.link.topics().pipeline_state(name), body);
    }

    /// Says how each is set.
    pub fn tell_all(&self) {
        self.all.iter().for_each(|(pipeline, _)| self.tell(&pipeline.name));
    }
}
