//! Carries between the ledger and the store, on the threads for what blocks.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Outbox;
use super::ledger::{Commit, Ledger};
use super::record::{Id, Record};
use super::store::{self, Store, StoreError};
use crate::report;
use crate::supervisor::Failure;

/// How often what is due is written: with the age at which it is due, how long a record may be in memory only.
const TICK: Duration = Duration::from_millis(100);
/// Pause after the disk refused: it may be full, and room is made by others.
const REFUSED: Duration = Duration::from_secs(5);
/// How long the end may take to write what is left, tries included.
const END: Duration = Duration::from_millis(400);

/// Reads what an earlier run left in `path`: the open store, where there is something in it, and when the newest
/// of it was taken in.
pub(super) fn recover(path: &Path, ledger: &mut Ledger) -> (Option<Arc<Store>>, Option<u64>) {
    // Without a store nothing is opened: a device whose broker is always there never needs one.
    if !path.exists() {
        return (None, None);
    }
    match Store::open(path).and_then(|store| Ok((store.scan()?, store))) {
        Ok((found, _)) if found.marks.is_empty() => (None, None),
        Ok((found, store)) => {
            let records = found.marks.len();
            tracing::info!(records, "the outbox has messages of an earlier run");
            ledger.recover(&found.marks);
            (Some(Arc::new(store)), found.newest_ms)
        }
        Err(error) => {
            ledger.lost_store();
            set_aside(path, &error);
            (None, None)
        }
    }
}

fn set_aside(path: &Path, error: &StoreError) {
    let error = report::chain(error);
    match store::set_aside(path) {
        Ok(aside) => tracing::error!(
            error,
            aside = %aside.display(),
            "the outbox is damaged: set aside, and begun anew; what only it held is lost"
        ),
        Err(failed) => tracing::error!(
            error,
            failed = report::chain(&failed),
            "the outbox is damaged and cannot be set aside: messages are kept in memory only"
        ),
    }
}

/// One errand to the disk.
struct Errand {
    path: PathBuf,
    store: Option<Arc<Store>>,
    commit: Commit,
    wanted: Vec<Id>,
}

/// What came of it.
struct Done {
    store: Option<Arc<Store>>,
    commit: Commit,
    written: Result<(), StoreError>,
    read: Result<Vec<(Id, Option<Record>)>, StoreError>,
}

impl Errand {
    fn run(self) -> Done {
        let Self { path, store, commit, wanted } = self;
        let store = match store {
            Some(store) => store,
            None => match Store::open(&path) {
                Ok(store) => Arc::new(store),
                Err(error) => {
                    return Done { store: None, commit, written: Err(error), read: Ok(Vec::new()) };
                }
            },
        };
        let is_nothing = commit.puts.is_empty() && commit.deletes.is_empty();
        let written = if is_nothing { Ok(()) } else { store.commit(&commit) };
        let read = if wanted.is_empty() { Ok(Vec::new()) } else { store.read(&wanted) };
        Done { store: Some(store), commit, written, read }
    }
}

/// Writes what is due and reads what is wanted, until the outbox ends.
pub(super) async fn work(outbox: Outbox) -> Result<(), Failure> {
    let mut store = outbox.lock().store.take();
    let (mut next_commit, mut refused_before, mut end) = (Instant::now(), false, None);
    loop {
        let now = Instant::now();
        let (commit, wanted, ending, idle) = {
            let mut state = outbox.lock();
            let state = &mut *state;
            let now_ms = state.clock.now_ms();
            state.ledger.age(now_ms);
            let due = now >= next_commit || state.ending;
            let commit =
                if due { state.ledger.commit(now_ms, state.ending) } else { Commit::default() };
            let wanted = if state.ending { Vec::new() } else { state.ledger.wanted() };
            (commit, wanted, state.ending, state.ledger.is_empty() && state.ledger.is_disk_idle())
        };
        let end = if ending { Some(*end.get_or_insert(now + END)) } else { None };
        if commit.puts.is_empty() && commit.deletes.is_empty() && wanted.is_empty() {
            if ending {
                return Ok(());
            }
            let pause = if idle { Duration::MAX } else { TICK };
            // At once for what is urgent, but not oftener than the disk has had its rest.
            drop(tokio::time::timeout(pause, outbox.0.work.notified()).await);
            continue;
        }
        let errand = Errand { path: outbox.0.path.clone(), store: store.take(), commit, wanted };
        let done = tokio::task::spawn_blocking(move || errand.run()).await;
        let done = done.map_err(|error| Failure::retry("the outbox's thread ended", error))?;
        next_commit = Instant::now() + TICK;
        match settle(&outbox, done) {
            Settled::Well(kept) => {
                store = kept;
                if std::mem::take(&mut refused_before) {
                    tracing::info!("the outbox can be written again");
                }
            }
            Settled::Refused(error) => {
                if end.is_some_and(|end| Instant::now() >= end) {
                    return Err(Failure::retry("cannot keep what was not sent", error));
                }
                if !std::mem::replace(&mut refused_before, true) {
                    let error = report::chain(&error);
                    tracing::warn!(
                        error,
                        "the outbox cannot be written: kept in memory; trying on"
                    );
                }
                next_commit = Instant::now() + REFUSED;
                let pause = if ending { TICK } else { REFUSED };
                tokio::time::sleep(pause).await;
            }
        }
    }
}

enum Settled {
    Well(Option<Arc<Store>>),
    Refused(StoreError),
}

/// Tells the ledger what came of an errand.
fn settle(outbox: &Outbox, done: Done) -> Settled {
    let Done { store, commit, written, read } = done;
    let mut state = outbox.lock();
    let mut failed = None;
    match written {
        Ok(()) => state.ledger.committed(&commit),
        Err(error) => {
            state.ledger.not_committed(commit);
            failed = Some(error);
        }
    }
    match read {
        Ok(read) => state.ledger.loaded(read),
        Err(error) => failed = Some(error),
    }
    let Some(error) = failed else {
        drop(state);
        outbox.0.ready.notify_one();
        return Settled::Well(store);
    };
    // After a failure sled must be opened again; where it cannot be, it is damaged. A full or read-only disk is
    // neither: what is on it stays.
    drop(store);
    if error.is_damage() {
        state.ledger.lost_store();
        drop(state);
        set_aside(&outbox.0.path, &error);
    }
    Settled::Refused(error)
}
