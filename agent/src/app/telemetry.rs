//! What is watched: the board, and each pipeline that runs.

use super::House;
use crate::telemetry::worker::{self, Pipeline};

impl House {
    /// Starts to watch, where that is configured.
    pub(super) fn watch_board(&self) {
        let Some(settings) = &self.config.telemetry else { return };
        let pipelines = self.pipelines.iter().map(|(name, health)| {
            let configured = self.config.pipelines.iter().find(|pipeline| *pipeline.name == **name);
            Pipeline {
                name: name.clone(),
                health: health.clone(),
                rate_hz: configured.and_then(|pipeline| pipeline.source.rate_hz()),
            }
        });
        worker::start(
            settings,
            pipelines.collect(),
            self.link.as_ref(),
            &self.said,
            &self.supervisor,
        );
    }
}
