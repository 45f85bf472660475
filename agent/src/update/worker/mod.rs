//! Walks one slot through the update path: writes each step down, then does it, until there is nothing to do.

mod answers;
mod aside;
mod on_frames;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Mutex, Notify, OwnedMutexGuard, mpsc};
use wire::{Digest, Phase, ReleaseDocument, ReleaseRef};

use self::aside::Pauses;
use super::blobs::Blobs;
use super::boot::Booted;
use super::clock::jittered;
use super::command::{Asked, Said};
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
use crate::report;
use crate::stop::Stop;
use crate::supervisor::{Failure, Supervisor};

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
    /// Held by who changes what the store has of more than one slot.
    pub(super) keeping: Mutex<()>,
    /// Where releases come from, or why none can be taken.
    pub(super) source: Result<Source, String>,
    pub(super) supervisor: Supervisor,
    pub(super) stop: Stop,
}

/// Where releases come from.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) trust: Mutex<Trust>,
    pub(super) transport: Arc<dyn Transport>,
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
    /// What is answered once nothing is under way any more.
    next: Option<Asked>,
    /// The release that is, or was last, under way.
    last: Option<ReleaseRef>,
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
        let last = booted.record.offered.as_ref().map(|one| one.installed.release.clone());
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
            next: None,
            last,
            check_error: None,
            progress: Arc::default(),
            total_bytes: 0,
            changing: None,
        }
    }

    /// Works until told to stop.
    ///
    /// A step that fails is waited with here and not with the supervisor, so that requests are answered meanwhile and an
    /// operator's halt is heard.
    pub(super) async fn work(&mut self) -> Result<(), Failure> {
        self.tell();
        let mut first = true;
        let (mut pauses, mut due) = (Pauses::new(), None);
        loop {
            let Some(action) = self.pending else {
                match self.wait(std::mem::take(&mut first)).await {
                    Woken::Stop => return Ok(()),
                    Woken::Look => drop(self.look(None).await),
                    Woken::Asked(asked) => self.answer(asked).await,
                }
                continue;
            };
            let failure = match self.step(action, due.take()).await {
                Ok(ControlFlow::Break(())) => return self.leave(),
                Ok(ControlFlow::Continue(())) => {
                    if std::mem::replace(&mut pauses, Pauses::new()).begun() {
                        self.check_error = None;
                        self.tell();
                    }
                    continue;
                }
                Err(failure) => report::chain(&failure),
            };
            match self.not_yet("a step of a release did not go well", failure, &mut pauses).await {
                ControlFlow::Continue(()) => {}
                ControlFlow::Break(None) => return self.leave(),
                ControlFlow::Break(happened) => due = happened,
            }
        }
    }

    /// Does `action`, unless something is `due` that ends it, and writes down what came of it. Breaks where it is time
    /// to stop.
    async fn step(
        &mut self,
        action: Action,
        due: Option<Happened>,
    ) -> Result<ControlFlow<()>, Failure> {
        let happened = match due {
            Some(happened) => Some(happened),
            None => self.act(action).await?,
        };
        match happened {
            Some(happened) => self.happen(happened)?,
            None if self.shared.stop.said() => return Ok(ControlFlow::Break(())),
            None => {}
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Waits for a reason to look for releases. The first one comes soon: a device that was off for long has
    /// something to catch up with; with jitter, as a thousand of them were off together.
    async fn wait(&mut self, first: bool) -> Woken {
        if let Some(asked) = self.next.take() {
            return Woken::Asked(asked);
        }
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

    /// Looks for a release, in the repository or in a `bundle`. What was found, or what went wrong.
    async fn look(&mut self, bundle: Option<Arc<dyn Transport>>) -> Said {
        let by_hand = bundle.is_some();
        let looking = look(&self.shared, &self.live.model, &self.record, bundle.clone());
        let found = tokio::select! {
            () = self.shared.stop.heard() => return Said::Failed("the daemon is ending".to_owned()),
            found = looking => found,
        };
        let error = found.as_ref().err().cloned();
        if error != self.check_error {
            if let Some(error) = &error {
                tracing::warn!(slot = self.live.slot, error, "no release is taken");
            }
            self.check_error = error;
            self.tell();
        }
        match found {
            Ok(Found::Offer(offer)) => self.take(*offer, bundle).await,
            Ok(Found::Installed(version)) => Said::Well(format!("{version} is installed")),
            // Who brings a release wants it installed.
            Ok(Found::Nothing(why)) if by_hand => Said::Failed(why),
            Ok(Found::Elsewhere(why)) if by_hand => Said::Elsewhere(why),
            Ok(Found::Nothing(why) | Found::Elsewhere(why)) => Said::Well(why),
            Err(why) => Said::Failed(why),
        }
    }

    /// Begins with a release that is offered.
    async fn take(&mut self, offer: Offer, bundle: Option<Arc<dyn Transport>>) -> Said {
        let Offer { installed, document, bytes } = offer;
        let (digest, version) = (installed.release.release, installed.release.version.clone());
        let shared = self.shared.clone();
        // Another slot that cleans up must not find the document before the record that needs it.
        let _held = shared.keeping.lock().await;
        let happened = match bundle {
            Some(_) => Happened::Brought(installed),
            None => Happened::Offered(installed),
        };
        let kept = shared.store.keep_document(&digest, &bytes);
        let kept = kept.map_err(|error| Failure::retry("cannot keep a release", error));
        let before = std::mem::replace(&mut self.total_bytes, document.bytes());
        match kept.and_then(|()| self.happen(happened)) {
            Ok(()) => {
                self.bundle = bundle;
                Said::Well(format!("{version} is offered"))
            }
            Err(failure) => {
                self.total_bytes = before;
                let error = report::chain(&failure);
                tracing::warn!(slot = self.live.slot, error, "no release is taken");
                Said::Failed(error)
            }
        }
    }

    /// Writes the next step down.
    fn happen(&mut self, happened: Happened) -> Result<(), Failure> {
        let from = self.record.phase;
        let (next, action) = match self.record.walk(happened) {
            Ok(walked) => walked,
            Err(error) => return Err(Failure::retry("a bug in vedette", error)),
        };
        if let Err(error) = self.shared.store.save(&next) {
            let failure = Failure::retry("cannot write down where a release stands", error);
            self.waiting.extend(self.next.take());
            self.reply(&Err(report::chain(&failure)));
            return Err(failure);
        }
        if let Some(offered) = &next.offered {
            self.last = Some(offered.installed.release.clone());
        }
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
                    let _held = self.shared.keeping.lock().await;
                    let refused = self.shared.store.refuse(refusal);
                    refused.map_err(|error| Failure::retry("cannot refuse a release", error))?;
                }
                plain(Event::Refused)
            }
            Action::Withdraw => plain(Event::Withdrawn),
            Action::Rest => {
                self.rest().await;
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

    /// Ends in order: a stop that somebody asked for is not the model's fault, and its try is given back. One for
    /// something fatal may be.
    fn leave(&mut self) -> Result<(), Failure> {
        if self.shared.supervisor.fatal().is_some() {
            return Ok(());
        }
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
