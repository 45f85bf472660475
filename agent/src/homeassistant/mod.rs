//! How Home Assistant finds this device: one retained message that lists everything it has.
//!
//! `has` says what there is, `discovery` makes the message of it; both are pure. The worker here learns from the
//! device's own messages what to list, and from the message that the broker still has what to take back.

mod discovery;
mod has;
mod readings;
mod settings;

use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc::Receiver;
use tokio::time::Instant;

pub use discovery::{discovery, id, topic, without_vanished};
pub use has::{Has, Pipeline};
pub use readings::{EACH, PIPELINE, Reading, SINGLE};
pub use settings::HomeAssistantSettings;

use crate::mqtt::{Heard, Link};
use crate::stop::Stop;
use crate::supervisor::{Failure, Supervisor};

/// How long the device's own retained messages and first readings get to arrive, so that they are listed at once
/// instead of one after the other.
const SETTLE: Duration = Duration::from_secs(2);
/// How long what the device had before and has not yet said again is still listed: a reading may come late, and what
/// Home Assistant takes off its list loses its history.
const LEARNING: Duration = Duration::from_secs(600);
/// A Home Assistant that comes back is answered by a whole fleet: not all in one moment.
const GREET_MS: std::ops::Range<u64> = 1000..5000;

/// Starts to be found, or takes back what was published before.
pub fn start(settings: &HomeAssistantSettings, has: Has, link: &Link, supervisor: &Supervisor) {
    let topics = link.topics();
    let topic = topic(&settings.prefix, topics.device());
    if !settings.enabled {
        link.forget(&topic);
        return;
    }
    let worker = Worker {
        births: link.listen(&format!("{}/status", settings.prefix)),
        earlier_ones: link.listen(&topic),
        boards: link.listen(&topics.telemetry_board()),
        measures: link.listen(&topics.telemetry_pipeline("+")),
        alarms: link.listen(&topics.alarm("+")),
        link: link.clone(),
        stop: supervisor.stop().clone(),
        topic,
        has,
        earlier: None,
        published: None,
        learns_until: Some(Instant::now() + LEARNING),
    };
    let worker = std::sync::Arc::new(tokio::sync::Mutex::new(worker));
    supervisor.run("homeassistant", move || {
        let worker = worker.clone();
        async move { worker.lock().await.work().await }
    });
}

struct Worker {
    births: Receiver<Heard>,
    earlier_ones: Receiver<Heard>,
    boards: Receiver<Heard>,
    measures: Receiver<Heard>,
    alarms: Receiver<Heard>,
    link: Link,
    stop: Stop,
    topic: String,
    has: Has,
    /// What the broker had before.
    earlier: Option<Value>,
    /// What we said last.
    published: Option<Value>,
    /// When what was not said again is taken back; `None` afterwards.
    learns_until: Option<Instant>,
}

impl Worker {
    async fn work(&mut self) -> Result<(), Failure> {
        let mut connected = self.link.connected();
        // Until there was a broker once, what it still has is not known.
        let mut due = self.published.is_some().then(Instant::now);
        let mut again = false;
        loop {
            let last =
                |heard: &Heard| heard.topic.rsplit('/').next().unwrap_or_default().to_owned();
            let before = self.has.clone();
            tokio::select! {
                () = self.stop.heard() => return Ok(()),
                reached = connected.wait_for(|reached| reached.up), if due.is_none() && self.published.is_none() => {
                    if reached.is_err() { return Ok(()); }
                    due = Some(Instant::now() + SETTLE);
                }
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    due = None;
                    self.publish(std::mem::take(&mut again));
                }
                () = tokio::time::sleep_until(self.learns_until.unwrap_or_else(Instant::now)), if self.learns_until.is_some() => {
                    self.learns_until = None;
                    due = due.or_else(|| self.published.is_some().then(Instant::now));
                }
                Some(heard) = self.births.recv() => {
                    // A retained birth was said before we came, and was answered by what is retained.
                    if &*heard.payload == b"online" && !heard.retained {
                        again = true;
                        due = Some(Instant::now() + greeting(random()));
                    }
                }
                Some(heard) = self.earlier_ones.recv() => {
                    if heard.retained && self.published.is_none() {
                        self.earlier = serde_json::from_slice(&heard.payload).ok();
                    }
                }
                Some(heard) = self.boards.recv() => {
                    if let Ok(body) = serde_json::from_slice(&heard.payload) {
                        self.has.learn_board(&body);
                    }
                }
                Some(heard) = self.measures.recv() => self.has.learn_pipeline(&last(&heard)),
                Some(heard) = self.alarms.recv() => {
                    self.has.learn_alarm(&last(&heard), &heard.payload);
                }
            }
            if self.has != before && due.is_none() && self.published.is_some() {
                due = Some(Instant::now() + SETTLE);
            }
        }
    }

    /// Publishes what the device has, where that is another thing than before, or `again`.
    fn publish(&mut self, again: bool) {
        let next = discovery(self.link.topics(), &self.has);
        let earlier = self.published.as_ref().or(self.earlier.as_ref());
        let next = without_vanished(earlier, next, self.learns_until.is_some());
        if again || self.published.as_ref() != Some(&next) {
            // Made of strings and numbers: this cannot fail.
            self.link.retain(&self.topic, serde_json::to_vec(&next).unwrap_or_default());
            self.published = Some(next);
        }
    }
}

/// How long to wait before a Home Assistant that came back is answered.
fn greeting(random: u64) -> Duration {
    Duration::from_millis(GREET_MS.start + random % (GREET_MS.end - GREET_MS.start))
}

fn random() -> u64 {
    std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_comes_one_to_five_seconds_later() {
        for number in [0, 1, 3999, 4000, u64::MAX, random()] {
            let wait = greeting(number);
            assert!((Duration::from_secs(1)..Duration::from_secs(5)).contains(&wait), "{wait:?}");
        }
    }
}
