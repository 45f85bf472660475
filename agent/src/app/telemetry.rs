//! What is watched: the board, and each pipeline that runs.

use std::collections::BTreeSet;

use super::House;
use crate::mqtt;
use crate::telemetry::worker::{self, Ears, Pipeline};

impl House {
    /// Starts to watch, where that is configured.
    pub(super) fn watch_board(&self) {
        let Some(settings) = &self.config.telemetry else {
            // Nobody will say any more how the alarms stand that were watched before.
            if let Some(link) = &self.link {
                mqtt::sweep(link, &link.topics().alarm("+"), BTreeSet::new(), &self.supervisor);
            }
            return;
        };
        let pipelines = self.open.iter().map(|pipeline| {
            let configured = self.config.pipeline(&pipeline.name);
            Pipeline {
                name: pipeline.name.clone(),
                health: pipeline.health.clone(),
                door: pipeline.door.clone(),
                rate_hz: configured.and_then(|pipeline| pipeline.source.rate_hz()),
                load: configured.and_then(|pipeline| {
                    let rate_hz = pipeline.source.rate_hz()?;
                    let most_hz = pipeline.analysis.gate.most_hz(rate_hz);
                    Some((pipeline.analysis.load.clone()?, most_hz))
                }),
            }
        });
        let (link, said, seen) = (self.link.clone(), self.said.clone(), self.seen.clone());
        let ears = Ears { link, said, seen, outlet: self.outlet.clone() };
        worker::start(settings, pipelines.collect(), &ears, &self.supervisor);
    }
}
