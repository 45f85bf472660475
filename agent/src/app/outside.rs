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
            let rules = |name: &str| {
                let own = config.pipelines.iter().filter(|pipeline| pipeline.name == name);
                let analyses: Vec<_> = own.map(|pipeline| &pipeline.analysis).collect();
                let rules = analyses.iter().flat_map(|analysis| &analysis.rules);
                let load = analyses.iter().any(|analysis| analysis.load.is_some());
                let load = load.then(|| LOAD_EVENT.to_owned());
                rules.map(|rule| rule.name.to_string()).chain(load).collect()
            };
            let samples = |name: &str| {
                let mut own = config.pipelines.iter().filter(|pipeline| pipeline.name == name);
                own.any(|pipeline| pipeline.source.samples().is_some())
            };
            let pipelines = open.iter().map(|pipeline| homeassistant::Pipeline {
                pictures: !samples(&pipeline.name),
                name: pipeline.name.to_string(),
                events: rules(&pipeline.name),
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

impl House {
    /// Starts to tell what the rules see. Every pipeline was started.
    pub(super) fn tell_events(&mut self, happened: mpsc::Receiver<Occurrence>, state: &StateDir) {
        self.outlet = None;
        let clips = |name: &str| {
            let mut own = self.config.pipelines.iter().filter(|pipeline| pipeline.name == name);
            own.any(|pipeline| pipeline.analysis.rules.iter().any(|rule| rule.clip.is_some()))
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
