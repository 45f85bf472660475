//! What must arrive, until the broker has acknowledged it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

/// How much a record matters: where there is no room, the last of these is forgotten first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Somebody must act.
    Alarm,
    /// Something happened.
    Event,
    /// What a pipeline saw.
    Observation,
    /// How the device feels.
    Telemetry,
}

impl Class {
    /// All of them, the most important first.
    pub const ALL: [Self; 4] = [Self::Alarm, Self::Event, Self::Observation, Self::Telemetry];

    pub(crate) fn index(self) -> usize {
        match self {
            Self::Alarm => 0,
            Self::Event => 1,
            Self::Observation => 2,
            Self::Telemetry => 3,
        }
    }
}

/// One message on its way.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Where it is to be published.
    pub topic: String,
    /// What it says.
    pub body: Bytes,
}

/// Most records of one class that wait.
const RECORDS_MAX: usize = 4096;

/// What waits for the broker.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: Mutex<[VecDeque<Outgoing>; 4]>,
    bell: Notify,
}

impl Outbox {
    /// Takes one more; never waits.
    pub fn push(&self, class: Class, topic: &str, body: impl Into<Bytes>) {
        let mut waiting = self.lock();
        let class = &mut waiting[class.index()];
        if class.len() >= RECORDS_MAX {
            class.pop_front();
        }
        class.push_back(Outgoing { topic: topic.to_owned(), body: body.into() });
        drop(waiting);
        self.bell.notify_one();
    }

    /// The next to be published; waits for one.
    pub async fn next(&self) -> Outgoing {
        loop {
            if let Some(found) = self.lock().iter_mut().find_map(VecDeque::pop_front) {
                return found;
            }
            self.bell.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, [VecDeque<Outgoing>; 4]> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
