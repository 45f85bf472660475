//! Looking for a release: what the fleet's operator says, and whether it is for this device, now.

use std::sync::Arc;

use jiff::Timestamp;
use wire::release::agent_version;
use wire::{ReleaseDocument, ReleaseRef, Turn};

use super::slot::{Installed, SlotRecord};
use super::transport::{Transport, TransportError};
use super::trust::TrustError;
use super::worker::Shared;
use crate::report;

/// What was found.
pub(super) enum Found {
    /// Nothing to be taken, and why.
    Nothing(String),
    /// Nothing is said there of this model, in words.
    Elsewhere(String),
    /// This version is installed already.
    Installed(String),
    /// A release to be taken.
    Offer(Box<Offer>),
}

/// A release to be taken.
pub(super) struct Offer {
    pub(super) installed: Installed,
    pub(super) document: ReleaseDocument,
    pub(super) bytes: Vec<u8>,
}

/// Looks for a release of `model` for the slot of `record`, in the `bundle` that the owner brought, where there is one:
/// then it is this device's turn.
pub(super) async fn look(
    shared: &Shared,
    model: &str,
    record: &SlotRecord,
    bundle: Option<Arc<dyn Transport>>,
) -> Result<Found, String> {
    let now = Timestamp::now();
    let source = shared.source.as_ref().map_err(Clone::clone)?;
    let by_hand = bundle.is_some();
    let transport = bundle.unwrap_or_else(|| source.transport.clone());
    let trust = source.trust.lock().await;
    let mut view = trust.refresh(transport, now).await.map_err(|error| report::chain(&error))?;
    if by_hand {
        // What a bundle has not it has not, whatever was seen of it elsewhere.
        view.all_anew();
    }
    let group = &shared.settings.group;
    let nothing = |why: String| Ok(Found::Nothing(why));
    let rollout = match view.rollout(model, group).await {
        Ok(Some(rollout)) => rollout,
        Ok(None) => {
            let why = format!("no release of {model} is rolled out to group {group}");
            return Ok(Found::Elsewhere(why));
        }
        // A bundle has one release, and the metadata of all.
        Err(TrustError::Transport(TransportError::Missing { .. })) if by_hand => {
            return Ok(Found::Elsewhere(format!("it has no release of {model} for group {group}")));
        }
        Err(error) => return Err(report::chain(&error)),
    };
    let version = &rollout.version;
    if record.good.as_ref().is_some_and(|good| good.release.release == rollout.release) {
        return Ok(Found::Installed(version.clone()));
    }
    // A board that woke in 1970 is not before what it verified, and not before a rollout that it was shown began.
    let time = view.now().max(rollout.started);
    match rollout.turn(&shared.device, time) {
        Turn::Halted => return nothing(format!("the rollout of {version} is halted")),
        Turn::Now => {}
        _ if by_hand => {}
        Turn::NotBefore(time) => {
            return nothing(format!("{version} is for this device from {time} on"));
        }
        Turn::Never => return nothing(format!("{version} is not for this device")),
    }
    let refusals = shared.store.refusals().map_err(|error| report::chain(&error))?;
    if let Some(refusal) = refusals.iter().find(|one| one.release.release == rollout.release) {
        return nothing(format!("{version} was refused: {}", refusal.reason));
    }
    if rollout.counter <= record.floor {
        return nothing(format!(
            "{version} has counter {}, this device had {} already: sign it anew to go back",
            rollout.counter, record.floor
        ));
    }
    let (document, bytes) = match view.release(&rollout).await {
        Ok(released) => released,
        Err(TrustError::Transport(TransportError::Missing { .. })) if by_hand => {
            return Ok(Found::Elsewhere(format!("it has not {version} of {model}")));
        }
        Err(error) => return Err(report::chain(&error)),
    };
    if let Some(why) = unfit(shared, &document) {
        return Err(format!("{version} does not fit this device: {why}"));
    }
    let release =
        ReleaseRef { version: version.clone(), counter: rollout.counter, release: rollout.release };
    let installed = Installed { release, min_counter: document.min_counter };
    Ok(Found::Offer(Box::new(Offer { installed, document, bytes })))
}

/// Why this device cannot take the release.
fn unfit(shared: &Shared, document: &ReleaseDocument) -> Option<String> {
    if !document.fits(&shared.boards) {
        return Some(format!(
            "it is for {}; this one is {}",
            document.boards.join(", "),
            shared.boards.join(", ")
        ));
    }
    let own = env!("CARGO_PKG_VERSION");
    if agent_version(own) < agent_version(&document.minimum_agent) {
        return Some(format!("it needs vedette {}, this is {own}", document.minimum_agent));
    }
    let missing: u64 =
        document.files.iter().map(|file| file.length - shared.blobs.progress(file)).sum();
    let needs = missing.saturating_add(document.disk_bytes);
    let free = rustix::fs::statvfs(shared.blobs.dir())
        .map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize))
        .unwrap_or(u64::MAX);
    (free < needs).then(|| format!("it needs {needs} bytes of disk, {free} are free"))
}
