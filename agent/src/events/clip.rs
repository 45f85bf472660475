//! Takes the pictures of a clip, one clip after the other.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, mpsc};
use wire::{Clip, ClipPicture};

use super::{Kept, Pipeline, Voice};
use crate::outbox::Class;
use crate::pipeline::door::{Door, Shot};
use crate::pipeline::rules::ClipSettings;
use crate::pipeline::snapshot::snapshot;
use crate::report::chain;
use crate::said::encode;
use crate::stop::Stop;
use crate::supervisor::Failure;

/// How long the next frame may take: a camera that is gone has a source alarm.
const FRAME_WAIT: Duration = Duration::from_secs(5);
/// Largest picture of a clip.
const PICTURE_MAX_BYTES: usize = 192 << 10;
/// Longest text about what went wrong.
const ERROR_MAX: usize = 256;

/// A clip to be taken.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) name: String,
    pub(super) event: Arc<str>,
    pub(super) settings: ClipSettings,
    /// Held while it is taken: no other is ordered meanwhile.
    pub(super) _turn: OwnedSemaphorePermit,
}

/// Takes the clips of one pipeline.
pub(super) struct Taker {
    pipeline: Arc<str>,
    door: Arc<Door>,
    orders: mpsc::Receiver<Order>,
    kept: Arc<Mutex<Kept>>,
    voice: Voice,
    stop: Stop,
    seq: u64,
}

/// What came of the pictures of a clip.
#[derive(Debug, Default)]
struct Taken {
    pictures: Vec<ClipPicture>,
    removed: u32,
    error: Option<String>,
}

/// A clip that is being taken: none that gives way, until this is dropped, however that comes.
struct Taking<'a> {
    kept: Arc<Mutex<Kept>>,
    clip: &'a str,
}

impl<'a> Taking<'a> {
    fn begin(kept: &Arc<Mutex<Kept>>, clip: &'a str) -> Self {
        lock(kept).begin(clip);
        Self { kept: kept.clone(), clip }
    }
}

impl Drop for Taking<'_> {
    fn drop(&mut self) {
        lock(&self.kept).end(self.clip);
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Taker {
    pub(super) fn new(
        pipeline: &Pipeline,
        orders: mpsc::Receiver<Order>,
        kept: Arc<Mutex<Kept>>,
        voice: &Voice,
        stop: Stop,
    ) -> Self {
        Self {
            pipeline: pipeline.name.clone(),
            door: pipeline.door.clone(),
            orders,
            kept,
            voice: voice.clone(),
            stop,
            seq: 0,
        }
    }

    pub(super) async fn work(&mut self) -> Result<(), Failure> {
        while let Some(order) = self.orders.recv().await {
            let taking = Taking::begin(&self.kept, &order.name);
            let taken = self.take(&order).await;
            drop(taking);
            self.announce(&order, taken);
        }
        Ok(())
    }

    async fn take(&self, order: &Order) -> Taken {
        let mut taken = Taken::default();
        let mut ticks = tokio::time::interval(order.settings.every.max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for number in 0..order.settings.pictures {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.stop.heard() => {
                    taken.error = Some("the daemon ended".to_owned());
                    break;
                }
            }
            let Some(shot) = self.next().await else {
                taken.error = Some("there was no further frame".to_owned());
                break;
            };
            let (kept, name) = (self.kept.clone(), order.name.clone());
            // Encoding and the disk have no business on a thread of the network.
            let keeping = tokio::task::spawn_blocking(move || keep(&kept, &name, number, &shot));
            match keeping.await {
                Ok(Ok((picture, removed))) => {
                    taken.pictures.push(picture);
                    taken.removed += removed;
                }
                Ok(Err(error)) => {
                    taken.error = Some(error);
                    break;
                }
                Err(error) => return Taken { error: Some(error.to_string()), ..taken },
            }
        }
        taken
    }

    async fn next(&self) -> Option<Arc<Shot>> {
        let picture = self.door.picture()?;
        tokio::select! {
            shown = tokio::time::timeout(FRAME_WAIT, picture) => shown.ok()?.ok(),
            () = self.stop.heard() => None,
        }
    }

    fn announce(&mut self, order: &Order, mut taken: Taken) {
        if let Some(error) = &mut taken.error {
            let end = error.char_indices().nth(ERROR_MAX).map_or(error.len(), |(at, _)| at);
            error.truncate(end);
            tracing::warn!(pipeline = %self.pipeline, clip = order.name, error, "a clip is not whole");
        }
        let Some(link) = &self.voice.link else { return };
        self.seq += 1;
        let clip = Clip {
            envelope: self.voice.said.envelope("vedette/clip/1", self.seq),
            pipeline: (&*self.pipeline).into(),
            event: (&*order.event).into(),
            clip: order.name.as_str().into(),
            bytes: taken.pictures.iter().map(|picture| picture.bytes).sum(),
            pictures: taken.pictures,
            removed: taken.removed,
            error: taken.error,
        };
        link.publish(Class::Event, &link.topics().clip(&self.pipeline), encode(&clip));
    }
}

/// Encodes a shot and keeps it. How many clips gave way is returned with it.
fn keep(
    kept: &Mutex<Kept>,
    clip: &str,
    number: u32,
    shot: &Shot,
) -> Result<(ClipPicture, u32), String> {
    let made = snapshot(shot, PICTURE_MAX_BYTES).map_err(|error| chain(&error))?;
    let file = format!("{number:02}.jpg");
    let removed = kept
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .keep(clip, &file, &made.jpeg)
        .map_err(|error| chain(&error))?
        .ok_or("a picture is larger than all clips may be: see [events] clips_mb")?;
    let picture = ClipPicture {
        file,
        bytes: u64::try_from(made.jpeg.len()).unwrap_or(u64::MAX),
        width_px: made.width_px,
        height_px: made.height_px,
        frame_seq: shot.frame.seq,
    };
    Ok((picture, removed))
}
