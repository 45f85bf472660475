//! Walks one slot through the update path: writes each step down, then does it, until there is nothing to do.

mod answers;
mod aside;
mod on_frames;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Mutex, Notify, OwnedMutexGuard, mpsc};
use wire::{Digest, Phase, ReleaseDocument};

use super::blobs::Blobs;
use super::boot::Booted;
use super::bundle::Bundle;
use super::clock::jittered;
use super::command::{Asked, Command};
use super::live::Live;
use super::look::{Found, Offer, look};
use super::machine::{Action, Event};
use super::settings::UpdateSettings;
use super::slot::{Happened, SlotRecord, TRIES};
use super::store::Store;
use super::told::Told;
use super::transport::Transport;
use super::trust::Trust;
use crate::pipeline::worker::Generation;
use crate::stop::Stop;
use crate::supervisor::Failure;

/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// What all slots share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: UpdateSettings,
    pub(super) device: String,
    pub(super) boards: Vec<String>,
    pub(super) store: Store,
    pub(super) blobs: Blobs,
    pub(super) trust: Mutex<Trust>,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) stop: Stop,
}

/// Walks one slot.
#[derive(Debug)]
pub(super) struct Worker {
    shared: Arc<Shared>,
    live: Live,
    told: Told,
    asked: mpsc::Receiver<Asked>,
    /// Rung by a message on the slot's `install` topic.
    bell: Arc<Notify>,
    record: SlotRecord,
    pending: Option<Action>,
    /// Which release the engine's thread runs; `None`: the configured folder.
    serving: Option<Digest>,
    current: Weak<Generation>,
    candidate: Option<Arc<Generation>>,
    /// What ran before the commit, kept loaded for as long as it may have to return.
    previous: Option<(Option<Digest>, Arc<Generation>)>,
    /// Where the release under way comes from, if not from the configured repository.
    bundle: Option<Arc<dyn Transport>>,
    /// Who waits to hear what becomes of it.
    waiting: Vec<Asked>,
    check_error: Option<String>,
    progress: Arc<AtomicU64>,
    total_bytes: u64,
    changing: Option<OwnedMutexGuard<()>>,
}

/// What ends a wait.
enum Woken {
    Stop,
    Look,
    Asked(Asked),
}

impl Worker {
    pub(super) fn new(
        shared: Arc<Shared>,
        live: Live,
        booted: Booted,
        told: Told,
        asked: mpsc::Receiver<Asked>,
        bell: Arc<Notify>,
    ) -> Self {
        let serving = booted.record.good.as_ref().map(|good| good.release.release);
        Self {
            current: live.first.clone(),
            shared,
            live,
            told,
            asked,
            bell,
            record: booted.record,
            pending: booted.pending,
            serving,
            candidate: None,
            previous: None,
            bundle: None,
            waiting: Vec::new(),
            check_error: None,
            progress: Arc::default(),
            total_bytes: 0,
            changing: None,
        }
    }

    /// Works until told to stop. Called again after a failure, it goes on with what was pending.
    pub(super) async fn work(&mut self) -> Result<(), Failure> {
        self.tell();
        let mut first = true;
        loop {
            if let Some(action) = self.pending {
                match self.act(action).await? {
                    Some(happened) => self.happen(happened)?,
                    None if self.shared.stop.said() => return self.leave(),
                    None => {}
                }
                continue;
            }
            match self.wait(std::mem::take(&mut first)).await {
                Woken::Stop => return Ok(()),
                Woken::Look => drop(self.look(None).await?),
                Woken::Asked(asked) => self.answer(asked).await?,
            }
        }
    }

    /// Waits for a reason to look for releases. The first one comes soon: a device that was off for long has
    /// something to catch up with; with jitter, as a thousand of them were off together.
    async fn wait(&mut self, first: bool) -> Woken {
        let poll = self.shared.settings.poll;
        let pause =
            if first { jittered(poll.min(Duration::from_secs(10))) } else { jittered(poll) };
        tokio::select! {
            () = self.shared.stop.heard() => Woken::Stop,
            Some(asked) = self.asked.recv() => Woken::Asked(asked),
            () = self.bell.notified() => Woken::Look,
            () = tokio::time::sleep(pause) => Woken::Look,
        }
    }

    /// Does what the owner asks, or says why not.
    async fn answer(&mut self, asked: Asked) -> Result<(), Failure> {
        match asked.command.clone() {
            Command::Check => {
                let said = self.look(None).await?;
                drop(asked.reply.send(said));
            }
            // The desk knows by itself.
            Command::Trouble => drop(asked.reply.send(Ok(String::new()))),
            Command::Install { bundle } => match Bundle::open(&bundle) {
                Ok(opened) => match self.look(Some(Arc::new(opened))).await? {
                    Ok(_) if self.pending.is_some() => self.waiting.push(asked),
                    said => drop(asked.reply.send(said)),
                },
                Err(error) => {
                    let message = format!("cannot use the bundle `{}`: {error}", bundle.display());
                    drop(asked.reply.send(Err(message)));
                }
            },
            Command::Rollback { to, .. } => match self.way_back(to.as_deref()) {
                Ok(()) => {
                    self.waiting.push(asked);
                    self.happen(Happened::Ordered)?;
                }
                Err(why) => drop(asked.reply.send(Err(why))),
            },
        }
        Ok(())
    }

    /// Whether the owner may go back to `to`.
    fn way_back(&self, to: Option<&str>) -> Result<(), String> {
        let record = &self.record;
        let Some(good) = &record.good else {
            return Err("it runs the configured folder: there is nothing before it".to_owned());
        };
        let before = record.previous.as_ref();
        let version = before.map_or("the configured folder", |before| &before.release.version);
        if !record.returnable {
            return Err("what was before is gone: only one release is kept".to_owned());
        }
        if record.way_back().is_none() {
            return Err(format!(
                "{} does not allow to return to {version}: it is below the signed minimum {}",
                good.release.version, record.min_counter
            ));
        }
        match to {
            Some(to) if to != version => {
                Err(format!("there is no version {to} to go back to; there is {version}"))
            }
            _ => Ok(()),
        }
    }

    /// Looks for a release. What was found, or what went wrong, in words.
    async fn look(
        &mut self,
        bundle: Option<Arc<dyn Transport>>,
    ) -> Result<Result<String, String>, Failure> {
        let transport = bundle.clone().unwrap_or_else(|| self.shared.transport.clone());
        let found = look(&self.shared, &self.live.model, &self.record, transport, bundle.is_some());
        let (said, offer) = match found.await {
            Ok(Found::Nothing(why)) => (Ok(why), None),
            Ok(Found::Offer(offer)) => {
                (Ok(format!("{} is offered", offer.installed.release.version)), Some(offer))
            }
            Err(why) => (Err(why), None),
        };
        let error = said.as_ref().err().cloned();
        if error != self.check_error {
            if let Some(error) = &error {
                tracing::warn!(slot = self.live.slot, error, "no release is taken");
            }
            self.check_error = error;
            self.tell();
        }
        if let Some(offer) = offer {
            let Offer { installed, document, bytes } = *offer;
            let kept = self.shared.store.keep_document(&installed.release.release, &bytes);
            kept.map_err(|error| Failure::retry("cannot keep a release", error))?;
            self.bundle = bundle;
            self.total_bytes = document.bytes();
            self.happen(Happened::Offered(installed))?;
        }
        Ok(said)
    }

    /// Writes the next step down.
    fn happen(&mut self, happened: Happened) -> Result<(), Failure> {
        let from = self.record.phase;
        let (next, action) = match self.record.walk(happened) {
            Ok(walked) => walked,
            Err(error) => return Err(Failure::retry("a bug in vedette", error)),
        };
        let saved = self.shared.store.save(&next);
        saved.map_err(|error| Failure::retry("cannot write down where a release stands", error))?;
        let reason = next.offered.as_ref().and_then(|offered| offered.failed.as_ref());
        let reason = reason.map(|(_, reason)| reason.clone());
        (self.record, self.pending) = (next, Some(action));
        self.told.event(from, &self.standing(), reason.as_deref());
        self.tell();
        Ok(())
    }

    /// Does `action`; what came of it, or nothing where it is time to stop or there is nothing more to do.
    async fn act(&mut self, action: Action) -> Result<Option<Happened>, Failure> {
        if action != Action::Rest && self.changing.is_none() {
            self.changing = Some(self.live.changing.clone().lock_owned().await);
        }
        let plain = |event| Ok(Some(Happened::Plain(event)));
        match action {
            Action::Fetch => self.fetch().await,
            Action::Stage => self.stage().await,
            Action::Rehearse => self.rehearse().await,
            Action::Try => self.try_out().await,
            Action::Commit => self.commit().await,
            Action::Watch => self.watch().await,
            Action::RollBack => {
                self.roll_back().await?;
                plain(Event::RolledBack)
            }
            Action::Refuse => {
                if let Some(refusal) = &self.record.refused {
                    let refused = self.shared.store.refuse(refusal);
                    refused.map_err(|error| Failure::retry("cannot refuse a release", error))?;
                }
                plain(Event::Refused)
            }
            Action::Withdraw => plain(Event::Withdrawn),
            Action::Rest => {
                self.rest();
                Ok(None)
            }
        }
    }

    fn release(&self) -> Result<(Digest, ReleaseDocument), Failure> {
        let offered = self.record.offered.as_ref().map(|offered| offered.installed.release.release);
        let Some(digest) = offered else {
            return Err(Failure::retry("a bug in vedette", "no release is under way"));
        };
        let document = self.shared.store.document(&digest);
        document
            .map(|document| (digest, document))
            .map_err(|error| Failure::retry("a release's document is gone", error))
    }

    /// Ends in order: a stop that somebody asked for is not the model's fault, and its try is given back.
    fn leave(&mut self) -> Result<(), Failure> {
        let loaded = matches!(
            self.record.phase,
            Phase::Rehearsing | Phase::Trialing | Phase::Committing | Phase::Probation
        );
        let mut record = self.record.clone();
        if let Some(offered) = record.offered.as_mut().filter(|_| loaded) {
            offered.tries_left = (offered.tries_left + 1).min(TRIES);
            let saved = self.shared.store.save(&record);
            saved.map_err(|error| {
                Failure::retry("cannot write down where a release stands", error)
            })?;
        }
        Ok(())
    }
}

/// Runs what blocks where it disturbs nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Failure::retry("a step of the update ended badly", error))
}
