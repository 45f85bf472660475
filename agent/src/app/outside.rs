//! What somebody outside gets of the daemon over MQTT beyond observations: commands, discovery, other trees.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::House;
use crate::commands::{self, Hands, Pipelines};
use crate::disk::StateDir;
use crate::events::{self, Voice};
use crate::homeassistant::{self, Has};
use crate::mqtt::Heard;
use crate::pipeline::load::LOAD_EVENT;
use crate::pipeline::rules::Occurrence;
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
            let pipelines = open.iter().filter_map(|pipeline| {
                let own = config.pipeline(&pipeline.name)?;
                let rules = own.analysis.rules.iter().map(|rule| rule.name.to_string());
                let load = own.analysis.load.as_ref().map(|_| LOAD_EVENT.to_owned());
                Some(homeassistant::Pipeline {
                    pictures: own.source.samples().is_none(),
                    name: own.name.clone(),
                    events: rules.chain(load).collect(),
                    threshold: pipeline.threshold.map(|threshold| (threshold.min, threshold.max)),
                })
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

impl House {
    /// Starts to tell what the rules see. Every pipeline was started.
    pub(super) fn tell_events(&mut self, happened: mpsc::Receiver<Occurrence>, state: &StateDir) {
        self.outlet = None;
        let clips = |name: &str| {
            let own = self.config.pipeline(name);
            own.is_some_and(|own| own.analysis.rules.iter().any(|rule| rule.clip.is_some()))
        };
        let pipelines = self.open.iter().map(|pipeline| events::Pipeline {
            clips: clips(&pipeline.name),
            name: pipeline.name.clone(),
            door: pipeline.door.clone(),
        });
        let pipelines: Vec<_> = pipelines.collect();
        let voice = Voice {
            link: self.link.clone(),
            said: self.said.clone(),
            state: state.path().to_owned(),
        };
        let told =
            events::start(&self.config.events, &pipelines, happened, &voice, &self.supervisor);
        self.told = Some(told);
    }
}
