//! The steps that no running engine notices: fetch, stage, rehearse.
//!
//! One that cannot be done now says why and waits for a better moment, longer each time. It waits here and not with the
//! supervisor, so that requests are answered meanwhile, an operator's halt is heard, and an orderly stop takes no try
//! from the release.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use wire::{Digest, Phase, ReleaseDocument};

use super::{Shared, TELL_EVERY, Worker, blocking};
use crate::report;
use crate::supervisor::Failure;
use crate::update::clock::jittered;
use crate::update::fetch::fetch;
use crate::update::machine::Event;
use crate::update::rehearse::{Unrehearsed, rehearse};
use crate::update::slot::Happened;

/// First pause.
const PAUSE_FIRST: Duration = Duration::from_secs(5);
/// Longest one.
const PAUSE_MAX: Duration = Duration::from_secs(900);
/// Longest one where what speaks is not settled: the supervisor's.
const PAUSE_SPEAKS_MAX: Duration = Duration::from_secs(30);

/// How long the next wait is.
pub(super) struct Pauses(Duration);

impl Pauses {
    pub(super) fn new() -> Self {
        Self(PAUSE_FIRST)
    }

    /// Whether there was one already.
    pub(super) fn begun(&self) -> bool {
        self.0 > PAUSE_FIRST
    }
}

/// How an attempt to fetch a release ended.
enum Fetched {
    /// All of it is here.
    All,
    /// The owner brought it, and it is fetched from there.
    Elsewhere,
    /// Not yet, for this reason.
    Failed(String),
    /// There is no use in another attempt.
    Ended(Option<Happened>),
}

impl Worker {
    /// Waits with what is to be done, for the reason `why`. Breaks where there is no use in another attempt: it is time
    /// to stop, or the release is to be left.
    pub(super) async fn not_yet(
        &mut self,
        message: &'static str,
        why: String,
        pauses: &mut Pauses,
    ) -> ControlFlow<Option<Happened>> {
        tracing::warn!(slot = self.live.slot, error = why, "{message}");
        if self.record.phase == Phase::RollingBack {
            // Who asked for it need not wait until it goes: it may be the next time, or when the owner did something.
            self.reply(&Err(format!("{why}; it is tried again")));
        }
        self.check_error = Some(why);
        self.tell();
        let max = if self.record.may_be_left() { PAUSE_MAX } else { PAUSE_SPEAKS_MAX };
        let pause = jittered(pauses.0.min(max));
        pauses.0 = (pauses.0 * 2).min(PAUSE_MAX);
        tokio::select! {
            () = self.shared.stop.heard() => return ControlFlow::Break(None),
            () = self.bell.notified() => {}
            Some(asked) = self.asked.recv() => if let Some(happened) = self.under_way(asked) {
                return ControlFlow::Break(Some(happened));
            },
            () = tokio::time::sleep(pause) => {}
        }
        self.still_wanted().await
    }

    /// Asks the fleet's operator whether the release is still to be taken, where he has a say: not in what the owner
    /// brought, nor once it is committed. Breaks where it is not, or where it is time to stop.
    pub(super) async fn still_wanted(&mut self) -> ControlFlow<Option<Happened>> {
        let Some(offered) = &self.record.offered else { return ControlFlow::Continue(()) };
        if offered.by_hand || self.bundle.is_some() || !self.record.may_be_left() {
            return ControlFlow::Continue(());
        }
        let digest = offered.installed.release.release;
        let taken_back = taken_back(self.shared.clone(), self.live.model.clone(), digest);
        let mut taken_back = std::pin::pin!(taken_back);
        loop {
            tokio::select! {
                () = self.shared.stop.heard() => return ControlFlow::Break(None),
                Some(asked) = self.asked.recv() => if let Some(happened) = self.under_way(asked) {
                    return ControlFlow::Break(Some(happened));
                },
                taken_back = &mut taken_back => return match taken_back {
                    true => ControlFlow::Break(Some(Happened::Plain(Event::Halted))),
                    false => ControlFlow::Continue(()),
                },
            }
        }
    }

    pub(super) async fn fetch(&mut self) -> Result<Option<Happened>, Failure> {
        let (_, document) = self.release()?;
        self.total_bytes = document.bytes();
        let mut pauses = Pauses::new();
        loop {
            let error = match self.fetch_all(&document).await {
                Fetched::Ended(ended) => return Ok(ended),
                Fetched::All => {
                    self.check_error = None;
                    return Ok(Some(Happened::Plain(Event::Fetched)));
                }
                Fetched::Elsewhere => continue,
                Fetched::Failed(error) => error,
            };
            if self.bundle.is_some() {
                tracing::warn!(
                    slot = self.live.slot,
                    error,
                    "the bundle has not all of the release"
                );
                self.check_error = Some(error);
                return Ok(Some(Happened::Plain(Event::Halted)));
            }
            let waited = self.not_yet("the release is not here yet", error, &mut pauses);
            if let ControlFlow::Break(ended) = waited.await {
                return Ok(ended);
            }
        }
    }

    /// Fetches every file.
    async fn fetch_all(&mut self, document: &ReleaseDocument) -> Fetched {
        let shared = self.shared.clone();
        let brought = self.bundle.is_some();
        let transport = match (&self.bundle, &shared.source) {
            (Some(bundle), _) => bundle.clone(),
            (None, Ok(source)) => source.transport.clone(),
            (None, Err(why)) => return Fetched::Failed(why.clone()),
        };
        let progress = self.progress.clone();
        let bytes_s = shared.settings.link.bandwidth_bytes_s.filter(|_| !brought);
        let all = async {
            let mut before = 0;
            for file in &document.files {
                let told = |bytes| progress.store(before + bytes, Ordering::Relaxed);
                fetch(transport.as_ref(), file, &shared.blobs, bytes_s, &told)
                    .await
                    .map_err(|error| report::chain(&error))?;
                before += file.length;
            }
            Ok(())
        };
        let mut all = std::pin::pin!(all);
        let mut tick = tokio::time::interval(TELL_EVERY);
        loop {
            tokio::select! {
                ended = &mut all => return ended.map_or_else(Fetched::Failed, |()| Fetched::All),
                () = shared.stop.heard() => return Fetched::Ended(None),
                _ = tick.tick() => self.tell(),
                Some(asked) = self.asked.recv() => {
                    if let Some(happened) = self.under_way(asked) {
                        return Fetched::Ended(Some(happened));
                    }
                    if self.bundle.is_some() != brought {
                        return Fetched::Elsewhere;
                    }
                }
            }
        }
    }

    pub(super) async fn stage(&mut self) -> Result<Option<Happened>, Failure> {
        while self.shared.settings.window.is_some_and(|window| !window.holds(Timestamp::now())) {
            tokio::select! {
                () = self.shared.stop.heard() => return Ok(None),
                Some(asked) = self.asked.recv() => if let Some(happened) = self.under_way(asked) {
                    return Ok(Some(happened));
                },
                () = tokio::time::sleep(Duration::from_secs(30)) => {}
            }
        }
        // The window may have been hours away.
        if let ControlFlow::Break(ended) = self.still_wanted().await {
            return Ok(ended);
        }
        let (digest, document) = self.release()?;
        let shared = self.shared.clone();
        let held = shared.keeping.lock().await;
        let staging = shared.clone();
        let staged =
            blocking(move || staging.store.stage(&digest, &document, &staging.blobs)).await?;
        drop(held);
        match staged {
            Ok(_) => Ok(Some(Happened::Plain(Event::Staged))),
            Err(error) => Err(Failure::retry("cannot put a release together", error)),
        }
    }

    pub(super) async fn rehearse(&mut self) -> Result<Option<Happened>, Failure> {
        let (digest, document) = self.release()?;
        let mut pauses = Pauses::new();
        loop {
            let folder = self.shared.store.folder(&digest);
            let (settings, document) = (self.live.rehearsal.clone(), document.clone());
            let rehearsed = blocking(move || rehearse(&folder, &document, &settings));
            let mut rehearsed = std::pin::pin!(rehearsed);
            let rehearsed = loop {
                tokio::select! {
                    () = self.shared.stop.heard() => return Ok(None),
                    Some(asked) = self.asked.recv() => if let Some(happened) = self.under_way(asked) {
                        return Ok(Some(happened));
                    },
                    rehearsed = &mut rehearsed => break rehearsed?,
                }
            };
            let why = match rehearsed {
                Ok(run_ms) => {
                    tracing::info!(slot = self.live.slot, run_ms, "rehearsed");
                    self.check_error = None;
                    return Ok(Some(Happened::Plain(Event::Rehearsed)));
                }
                Err(Unrehearsed::Unfit(reason)) => return Ok(Some(Happened::Failed(reason))),
                // The device's fault, not the model's: it stays offered.
                Err(Unrehearsed::Unknown(reason)) => reason,
            };
            let waited = self.not_yet("cannot rehearse a release", why, &mut pauses);
            if let ControlFlow::Break(ended) = waited.await {
                return Ok(ended);
            }
        }
    }
}

/// Whether the fleet's operator halted the release `digest` of `model`, or chose another one since.
async fn taken_back(shared: Arc<Shared>, model: String, digest: Digest) -> bool {
    let Ok(source) = &shared.source else { return false };
    let trust = source.trust.lock().await;
    let Ok(mut view) = trust.refresh(source.transport.clone(), Timestamp::now()).await else {
        return false;
    };
    match view.rollout(&model, &shared.settings.group).await {
        Ok(Some(rollout)) => rollout.halted || rollout.release != digest,
        _ => false,
    }
}
