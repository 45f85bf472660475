//! What somebody outside gets of the daemon over MQTT beyond observations: commands, discovery, other trees.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::House;
use crate::commands::{self, Hands, Pipelines};
use crate::homeassistant::{self, Has};
use crate::mqtt::Heard;
use crate::{thinedge, update};

impl House {
    /// Starts to answer commands and to be found by dashboards, where there is a broker.
    /// `asked` is what came and comes of commands.
    pub(super) fn answer_outside(
        &mut self,
        releases: Option<update::Desk>,
        asked: Option<mpsc::Receiver<Heard>>,
    ) {
        let open = std::mem::take(&mut self.open);
        let (Some(link), Some(asked)) = (&self.link, asked) else { return };
        let config = &self.config;
        if let Some(settings) = &config.homeassistant {
            let pipelines = open.iter().map(|pipeline| homeassistant::Pipeline {
                name: pipeline.name.to_string(),
                threshold: pipeline.threshold.map(|threshold| (threshold.min, threshold.max)),
            });
            let slots = config.models.iter().filter(|model| model.release.is_some());
            let has = Has {
                pipelines: pipelines.collect(),
                slots: slots.map(|model| model.name.clone()).collect(),
                may: config.commands.allow.clone(),
                ..Has::default()
            };
            homeassistant::start(settings, has, link, &self.supervisor);
        }
        if let Some(settings) = &config.thinedge {
            thinedge::start(settings, link, &self.supervisor);
        }
        let pipelines = Arc::new(Pipelines::new(open, link.clone(), self.said.clone()));
        pipelines.tell_all();
        let hands = Hands { pipelines, releases, facts: self.engines.facts(), link: link.clone() };
        commands::start(&config.commands, hands, asked, &self.said, &self.supervisor);
    }
}
