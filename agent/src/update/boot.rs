//! Before anything is loaded: what the last run left is brought to where the data path can start.
//!
//! Whatever only the record is needed for is done here, so that a model that crashes the process as soon as it is
//! loaded is rolled back by the record alone. What needs live frames or the network is left for the worker.

use wire::Phase;

use super::machine::{Action, Event};
use super::slot::{Happened, SlotRecord};
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

/// Returns `slot` to what was committed before, while no daemon runs.
///
/// # Errors
/// [`StoreError`]. Nothing happens where there is no way back; then the record is as it was.
pub fn go_back(store: &Store, slot: &str) -> Result<SlotRecord, StoreError> {
    let booted = boot(store, slot)?;
    let at_rest = matches!(booted.record.phase, Phase::Idle | Phase::Probation);
    if !at_rest || booted.record.way_back().is_none() {
        return Ok(booted.record);
    }
    happen(store, booted.record, Happened::Ordered)?;
    boot(store, slot).map(|booted| booted.record)
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
