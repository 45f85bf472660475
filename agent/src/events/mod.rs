//! What the rules of the pipelines see is told to the broker, and pictures are kept of it.
//!
//! ```text
//! rules ─▶ bounded channel ─▶ teller ─▶ log, and event/<pipeline> through the outbox
//!                               └─▶ one clip at a time a pipeline ─▶ clips/<name>/ under a quota ─▶ clip/<pipeline>
//! ```
//!
//! Nothing here is waited for by the data path. A clip is pictures of the frames that are inferred next, with what
//! was found drawn in; where one is being taken already, another is not begun and the event says so (`clip` null).

mod clip;
mod quota;
mod settings;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{Mutex, Semaphore, mpsc, oneshot};
use wire::{Event, EventState};

use self::clip::{Order, Taker};
pub use self::quota::{CLIPS, Kept};
pub use self::settings::EventSettings;
use crate::mqtt::Link;
use crate::outbox::Class;
use crate::pipeline::door::Door;
use crate::pipeline::rules::Occurrence;
use crate::said::{Said, encode};
use crate::supervisor::{Failure, Supervisor};

/// A pipeline whose events are told.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// Its name.
    pub name: Arc<str>,
    /// Where its pictures are asked for.
    pub door: Arc<Door>,
    /// Whether any of its rules keeps clips.
    pub clips: bool,
}

/// Everything that telling works with.
#[derive(Debug, Clone)]
pub struct Voice {
    /// The connection to the broker, where there is one.
    pub link: Option<Link>,
    /// Makes the keys that every payload begins with.
    pub said: Arc<Said>,
    /// The state directory.
    pub state: PathBuf,
}

/// Starts to tell what comes out of `happened`. What is returned resolves once everything was told: after the last
/// pipeline ended.
pub fn start(
    settings: &EventSettings,
    pipelines: &[Pipeline],
    happened: mpsc::Receiver<Occurrence>,
    voice: &Voice,
    supervisor: &Supervisor,
) -> oneshot::Receiver<()> {
    let store =
        Arc::new(std::sync::Mutex::new(Kept::new(voice.state.join(CLIPS), settings.clips_bytes)));
    let mut takers = BTreeMap::new();
    let keeps = settings.clips_bytes > 0;
    for pipeline in pipelines.iter().filter(|pipeline| pipeline.clips && keeps) {
        let (order, orders) = mpsc::channel(1);
        let taker = Taker::new(pipeline, orders, store.clone(), voice, supervisor.stop().clone());
        let taker = Arc::new(Mutex::new(taker));
        supervisor.run("clips", move || {
            let taker = taker.clone();
            async move { taker.lock().await.work().await }
        });
        takers.insert(pipeline.name.clone(), (Arc::new(Semaphore::new(1)), order));
    }
    let (ended, told) = oneshot::channel();
    let teller = Teller {
        happened,
        takers,
        seqs: BTreeMap::new(),
        voice: voice.clone(),
        ended: Some(ended),
    };
    let teller = Arc::new(Mutex::new(teller));
    supervisor.run("events", move || {
        let teller = teller.clone();
        async move { teller.lock().await.work().await }
    });
    told
}

struct Teller {
    happened: mpsc::Receiver<Occurrence>,
    /// Whose turn it is, and where to order: one clip is taken and none waits, since a second one of the same moment
    /// says nothing new.
    takers: BTreeMap<Arc<str>, (Arc<Semaphore>, mpsc::Sender<Order>)>,
    /// Events told so far, of each pipeline.
    seqs: BTreeMap<Arc<str>, u64>,
    voice: Voice,
    ended: Option<oneshot::Sender<()>>,
}

impl Teller {
    /// Tells until every pipeline has ended.
    async fn work(&mut self) -> Result<(), Failure> {
        while let Some(occurrence) = self.happened.recv().await {
            self.tell(&occurrence);
        }
        // Nobody may be waiting any more.
        self.ended.take().map(|ended| ended.send(()).ok());
        Ok(())
    }

    fn tell(&mut self, what: &Occurrence) {
        let Occurrence { pipeline, event, kind, state, .. } = what;
        let clip = self.order(what);
        let seq = self.seqs.entry(pipeline.clone()).or_default();
        *seq += 1;
        let about = what.sight.about.as_ref();
        let told = Event {
            envelope: self.voice.said.envelope("vedette/event/1", *seq),
            pipeline: (&**pipeline).into(),
            event: (&**event).into(),
            kind: (*kind).into(),
            state: *state,
            captured: what.captured.0,
            frame_seq: what.captured.1,
            began: what.began,
            duration_ms: what.duration.map(millis),
            place: what.place.as_deref().map(Into::into),
            track: about.map(|(track, _)| *track),
            label: about.map(|(_, label)| (&**label).into()),
            value: what.sight.value.filter(|value| value.is_finite()),
            limit: what.sight.limit.filter(|limit| limit.is_finite()),
            reason: what.reason.as_deref().map(Into::into),
            suppressed: what.suppressed,
            clip: clip.as_deref().map(Into::into),
        };
        let (value, limit, place) = (told.value, told.limit, what.place.as_deref());
        let reason = what.reason.as_deref();
        tracing::info!(%pipeline, %event, ?state, place, value, limit, reason, clip, "event");
        if let Some(link) = &self.voice.link {
            link.publish(Class::Event, &link.topics().event(pipeline), encode(&told));
        }
    }

    /// Has a clip taken where one is wanted; its name where one is.
    fn order(&self, what: &Occurrence) -> Option<String> {
        let settings = what.clip.filter(|_| what.state != EventState::Ended)?;
        let (turn, taker) = self.takers.get(&what.pipeline)?;
        let turn = turn.clone().try_acquire_owned().ok()?;
        let name = clip_name(Timestamp::now(), &what.pipeline, &what.event);
        let order = Order { name: name.clone(), event: what.event.clone(), settings, _turn: turn };
        taker.try_send(order).ok().map(|()| name)
    }
}

/// Name of a clip: they sort by age, and each is a good name of a directory.
fn clip_name(now: Timestamp, pipeline: &str, event: &str) -> String {
    let stamp: String = format!("{now:.3}").chars().filter(char::is_ascii_alphanumeric).collect();
    format!("{stamp}-{pipeline}-{event}")
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_clips_sort_by_age() {
        let at = |text: &str| clip_name(text.parse().unwrap(), "door", "loiter");
        let earlier = at("2026-11-26T02:43:54.009Z");
        assert_eq!(earlier, "20261126T024354009Z-door-loiter");
        assert!(earlier < at("2026-11-26T02:43:54.010Z") && earlier < at("2027-01-01T00:00:00Z"));
    }
}
