//! Before anything is loaded: what the last run left is brought to where the data path can start.
//!
//! Whatever only the record is needed for is done here, so that a model that crashes the process as soon as it is
//! loaded is rolled back by the record alone. What needs live frames or the network is left for the worker.

use wire::Phase;

use super::machine::{Action, Event};
use super::slot::{Happened, Order, SlotRecord};
use super::store::{Store, StoreError};

/// A slot as the data path finds it, and what its worker goes on with.
#[derive(Debug)]
pub struct Booted {
    /// Its record.
    pub record: SlotRecord,
    /// What was begun and is to be done (again).
    pub pending: Option<Action>,
}

/// Brings `slot` to where the data path can start.
///
/// # Errors
/// [`StoreError`]: its record cannot be read or written.
pub fn boot(store: &Store, slot: &str) -> Result<Booted, StoreError> {
    let record = store.load(slot)?;
    if record.phase == Phase::Idle {
        return Ok(Booted { record, pending: None });
    }
    let from = record.phase;
    let mut booted = happen(store, record, Happened::Restarted)?;
    tracing::info!(slot, ?from, to = ?booted.record.phase, "going on with a release where the last run stopped");
    while let Some(done) = booted.pending.and_then(recorded) {
        if booted.pending == Some(Action::Refuse)
            && let Some(refusal) = &booted.record.refused
        {
            store.refuse(refusal)?;
        }
        booted = happen(store, booted.record, Happened::Plain(done))?;
    }
    Ok(booted)
}

/// Returns `slot` to what was committed before, `to` this version where one is named, while no daemon runs. What is
/// under way is left. The record then, or why there is no such way back.
///
/// # Errors
/// [`StoreError`].
pub fn go_back(
    store: &Store,
    slot: &str,
    to: Option<&str>,
) -> Result<Result<SlotRecord, String>, StoreError> {
    let mut record = store.load(slot)?;
    if !record.may_be_left() {
        record = settle(store, record)?;
    }
    let order = match record.order(to) {
        Ok(order) => order,
        Err(why) => return Ok(Err(why)),
    };
    if record.may_be_left() {
        let left = happen(store, record, Happened::Plain(Event::Halted))?;
        record = settle(store, left.record)?;
    }
    if order == Order::GoBack {
        let ordered = happen(store, record, Happened::Ordered)?;
        record = settle(store, ordered.record)?;
    }
    Ok(Ok(record))
}

/// Brings what only the record is needed for to its end. No start: it costs no try.
fn settle(store: &Store, mut record: SlotRecord) -> Result<SlotRecord, StoreError> {
    loop {
        let done = match record.phase {
            Phase::Committing => Event::Committed,
            Phase::RollingBack => Event::RolledBack,
            Phase::Refusing => Event::Refused,
            Phase::Withdrawing => Event::Withdrawn,
            _ => return Ok(record),
        };
        if let (Event::Refused, Some(refusal)) = (done, &record.refused) {
            store.refuse(refusal)?;
        }
        record = happen(store, record, Happened::Plain(done))?.record;
    }
}

/// The event that ends an action that is done as soon as it is written down.
fn recorded(action: Action) -> Option<Event> {
    match action {
        // What is committed is what is loaded next.
        Action::Commit => Some(Event::Committed),
        Action::RollBack => Some(Event::RolledBack),
        Action::Refuse => Some(Event::Refused),
        Action::Withdraw => Some(Event::Withdrawn),
        _ => None,
    }
}

fn happen(store: &Store, record: SlotRecord, happened: Happened) -> Result<Booted, StoreError> {
    match record.walk(happened) {
        Ok((next, action)) => {
            store.save(&next)?;
            Ok(Booted { record: next, pending: Some(action) })
        }
        Err(error) => {
            tracing::error!(slot = record.slot, error = %error, "a bug in vedette");
            Ok(Booted { record, pending: None })
        }
    }
}

#[cfg(test)]
mod tests {
    use wire::{Digest, ReleaseRef};

    use super::super::slot::Installed;
    use super::*;

    /// What ends each phase well.
    const WAY: [Event; 6] = [
        Event::Fetched,
        Event::Staged,
        Event::Rehearsed,
        Event::Passed,
        Event::Committed,
        Event::Survived,
    ];

    /// `record` with release `counter` walked through as many phases.
    fn walked(record: SlotRecord, counter: u64, phases: usize) -> SlotRecord {
        let version = format!("{counter}.0.0");
        let release = ReleaseRef { version, counter, release: Digest::of(&counter.to_be_bytes()) };
        let offered = Happened::Offered(Installed { release, min_counter: 0 });
        let events = WAY.iter().take(phases).map(|event| Happened::Plain(*event));
        std::iter::once(offered)
            .chain(events)
            .fold(record, |record, happened| record.walk(happened).unwrap().0)
    }

    #[test]
    fn without_a_daemon_it_goes_back_from_what_is_installed_whatever_is_under_way() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let second = walked(walked(SlotRecord::new("s"), 1, 6), 2, 6);
        for (phases, to, wanted) in [
            (6, None, Ok("2.0.0")),
            (5, None, Ok("2.0.0")),
            (4, None, Ok("2.0.0")),
            (3, None, Ok("1.0.0")),
            (2, None, Ok("1.0.0")),
            (2, Some("2.0.0"), Ok("2.0.0")),
            (1, None, Ok("1.0.0")),
            (0, None, Ok("1.0.0")),
            (0, Some("3.0.0"), Err("there is no version 3.0.0 to go back to; there is 1.0.0")),
        ] {
            let before = walked(second.clone(), 3, phases);
            store.save(&before).unwrap();
            let gone = go_back(&store, "s", to).unwrap();
            let now = store.load("s").unwrap();
            let good = now.good.as_ref().map_or("", |good| &good.release.version);
            match wanted {
                Ok(version) => {
                    assert_eq!(gone, Ok(now.clone()));
                    assert_eq!((good, now.phase), (version, Phase::Idle), "{:?}", before.phase);
                }
                Err(why) => assert_eq!((gone, &now), (Err(why.to_owned()), &before)),
            }
        }
    }
}
