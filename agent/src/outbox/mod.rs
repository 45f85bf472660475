//! What must arrive, until the broker has acknowledged it.
//!
//! ```text
//! push ─▶ ledger (memory) ─▶ next ─▶ on its way ─▶ acknowledged: forgotten
//!            │   ▲
//!            ▼   │  what a broker did not acknowledge within a quarter of a second
//!          store (sled, synced)
//! ```
//!
//! While a broker acknowledges at once nothing is written: flash wears, and a card that stalls for a second
//! would be the speed of everything. So a crash loses at most what had no acknowledgement and was younger than
//! 250 ms (alarms and events: 50 ms), the worker's tick of 100 ms and a commit. An orderly end writes everything.
//!
//! **Invariant:** nothing is forgotten before its acknowledgement, except where a bound is reached, and that is
//! counted by class; the least important class gives way first, its oldest record first. No caller ever waits
//! for the disk: only the worker touches it.

mod clock;
mod ledger;
mod record;
mod shelf;
mod store;
#[cfg(test)]
mod tests;
mod worker;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;

pub use ledger::{LIVE, Limits, RECORD_MAX_BYTES, StoreFigures, Taken, WINDOW};
pub use record::{Class, Id, Record};

use clock::Clock;
use ledger::Ledger;

use crate::supervisor::Supervisor;

/// Name of the store's directory in the state directory.
pub const DIRECTORY: &str = "outbox";

/// What waits for the broker, and where it is kept meanwhile.
#[derive(Debug, Clone)]
pub struct Outbox(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    state: Mutex<State>,
    /// Rung when the disk has something to do.
    work: Notify,
    /// Rung when there may be something to send.
    ready: Notify,
}

#[derive(Debug)]
struct State {
    ledger: Ledger,
    clock: Clock,
    /// Nothing more comes and nothing more is sent: write what is left and end.
    ending: bool,
    complained: bool,
    /// What was opened before the worker began.
    store: Option<Arc<store::Store>>,
}

impl Outbox {
    /// Opens the outbox below `directory`, with what an earlier run left there. A store that cannot be read is
    /// set aside, and an empty one takes its place.
    #[must_use]
    pub fn open(directory: &std::path::Path, limits: Limits) -> Self {
        let path = directory.join(DIRECTORY);
        let mut ledger = Ledger::new(limits);
        let (store, newest) = worker::recover(&path, &mut ledger);
        let state =
            State { ledger, clock: Clock::begin(newest), ending: false, complained: false, store };
        Self(Arc::new(Inner {
            path,
            state: Mutex::new(state),
            work: Notify::new(),
            ready: Notify::new(),
        }))
    }

    /// Starts the worker that writes and reads.
    pub fn start(&self, supervisor: &Supervisor) {
        let outbox = self.clone();
        supervisor.run("outbox", move || worker::work(outbox.clone()));
    }

    /// Takes one more record in. Never waits.
    pub fn push(&self, class: Class, topic: impl Into<Bytes>, body: impl Into<Bytes>) {
        let (topic, body) = (topic.into(), body.into());
        let mut state = self.lock();
        let now = state.clock.now_ms();
        let first = state.ledger.is_empty();
        let name = topic.clone();
        let taken = state.ledger.push(class, topic, body, now);
        let complains = !taken && !std::mem::replace(&mut state.complained, true);
        drop(state);
        if complains {
            let topic = String::from_utf8_lossy(&name).into_owned();
            tracing::error!(topic, "a message of more than {RECORD_MAX_BYTES} bytes is dropped");
        }
        if first {
            self.0.work.notify_one();
        }
        self.0.ready.notify_one();
    }

    /// The next record to be sent, if there is one and fewer than [`WINDOW`] are without acknowledgement.
    #[must_use]
    pub fn next(&self) -> Option<Taken> {
        let mut state = self.lock();
        let now = state.clock.now_ms();
        let taken = state.ledger.next(now);
        let hungry = !state.ledger.wanted().is_empty();
        drop(state);
        if hungry {
            self.0.work.notify_one();
        }
        taken
    }

    /// Resolves when [`Outbox::next`] may have more than the last time.
    pub async fn ready(&self) {
        let replay = {
            let state = self.lock();
            let now = state.clock.now_ms();
            state.ledger.next_replay_ms().map(|at| Duration::from_millis(at.saturating_sub(now)))
        };
        match replay {
            Some(pause) => {
                tokio::select! {
                    () = self.0.ready.notified() => {}
                    () = tokio::time::sleep(pause) => {}
                }
            }
            None => self.0.ready.notified().await,
        }
    }

    /// The broker has `id`: it is forgotten here.
    pub fn acknowledged(&self, id: Id) {
        self.lock().ledger.acknowledged(id);
        self.0.ready.notify_one();
    }

    /// The connection is lost: what was on its way will be sent again.
    pub fn unsend(&self) {
        self.lock().ledger.unsend();
    }

    /// What the outbox holds and has lost.
    #[must_use]
    pub fn figures(&self) -> StoreFigures {
        let state = self.lock();
        state.ledger.figures(state.clock.now_ms())
    }

    /// Whether every record was acknowledged.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().ledger.is_empty()
    }

    /// Nothing more will be sent: the worker writes what is left, and ends.
    pub fn end(&self) {
        self.lock().ending = true;
        self.0.work.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
