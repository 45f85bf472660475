//! What engines stand on: a desk for each model, a seat for each pipeline, and the thread that drops old engines.
//!
//! All of it is there before the first engine is opened, since a pipeline may have two: its own, and a lighter one for
//! when its load is too much. Its frames are posted on one desk or the other; whichever engine infers them, they have
//! one analysis, one count and one row of observations.

use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Ended, House};
use crate::config::{Config, PipelineConfig};
use crate::pipeline::health::Health;
use crate::pipeline::latest::Desk;
use crate::pipeline::rules::Outlet;
use crate::pipeline::sink::Queue;
use crate::pipeline::worker::{Reaper, Seat};
use crate::supervisor::exit;

/// Most that a window waits for the one before it: a capture thread is to hear of what it is told, and of gaps.
const LENIENT_MAX: Duration = Duration::from_secs(1);
/// Old engines that wait to be dropped: more than are swapped in the time one takes.
const REAPER_QUEUE: usize = 8;

/// See the module.
#[derive(Debug)]
pub(super) struct Ground {
    /// By the model.
    pub(super) desks: Vec<Arc<Desk>>,
    /// By the pipeline.
    pub(super) seats: Vec<Seat>,
    pub(super) reaper: Reaper,
}

impl Ground {
    pub(super) fn new(house: &House, sinks: &[Option<Arc<Queue>>]) -> Result<Self, Ended> {
        let config = &house.config;
        let outlets = |pipeline: &PipelineConfig| {
            let topic: Arc<str> = config.topics.observation(&pipeline.name).into();
            let queues = pipeline.sinks.iter().filter_map(|&sink| sinks[sink].clone());
            queues.map(|queue| (queue, topic.clone())).collect()
        };
        let seat = |pipeline| seat(pipeline, outlets(pipeline), house.outlet.as_ref());
        let seats: Vec<Seat> = config.pipelines.iter().map(seat).collect();
        let desks = (0..config.models.len()).map(|model| Arc::new(desk(config, model, &seats)));
        Ok(Self { desks: desks.collect(), seats, reaper: reaper()? })
    }
}

/// The mailboxes of the pipelines that `model` infers, always or at times.
fn desk(config: &Config, model: usize, seats: &[Seat]) -> Desk {
    let pipelines: Vec<_> = config.uses(model).map(|one| one.pipeline).collect();
    let mut desk = mailboxes(config, &pipelines);
    for (place, one) in config.uses(model).enumerate() {
        if let Some(replaced) = &seats[one.index].twin {
            desk.set_replaced(place, replaced.clone());
        }
    }
    desk
}

/// Mailboxes for `pipelines`, all before one engine.
pub(super) fn mailboxes(config: &Config, pipelines: &[&PipelineConfig]) -> Desk {
    let rates: Vec<_> = pipelines.iter().map(|pipeline| pipeline.source.rate_hz()).collect();
    let mut desk = Desk::new(&rates);
    for (place, pipeline) in pipelines.iter().enumerate() {
        // Samples come in packets: of windows that are whole at the same time none is to be lost. A lighter model's are
        // cut as those of the pipeline's own.
        let cut = config.models[pipeline.model].folder.window.as_ref().map(|window| &window.cut);
        if let Some(cut) = cut {
            desk.set_lenient(place, (cut.period() / 2).min(LENIENT_MAX));
        }
    }
    desk
}

/// What does not change of `pipeline` when its model does. Its rules tell `outlet`.
pub(super) fn seat(
    pipeline: &PipelineConfig,
    outlets: Vec<(Arc<Queue>, Arc<str>)>,
    outlet: Option<&Outlet>,
) -> Seat {
    let name: Arc<str> = pipeline.name.as_str().into();
    let timed = pipeline.source.rate_hz().is_some();
    let analysis = pipeline.analysis.analysis(&name, timed, outlet);
    Seat {
        outlets,
        health: Arc::new(Health::of(pipeline.source.samples())),
        door: Arc::default(),
        analysis: Arc::new(Mutex::new(analysis)),
        watch: Arc::default(),
        twin: pipeline.lighter.as_ref().map(|_| Arc::new(AtomicU64::new(0))),
        pipeline: name,
    }
}

/// A thread that drops what takes long to drop.
fn reaper() -> Result<Reaper, Ended> {
    let (reaper, old) = sync_channel(REAPER_QUEUE);
    // Not supervised: it has nothing that could fail, and it ends with the last who may send to it.
    let drop_all = |old: Receiver<Box<dyn std::any::Any + Send>>| old.into_iter().for_each(drop);
    std::thread::Builder::new()
        .name("reaper".to_owned())
        .spawn(move || drop_all(old))
        .map_err(|error| Ended::failed(exit::FAILED, &error))?;
    Ok(reaper)
}
