//! The steps that no running engine notices: fetch, stage, rehearse.
//!
//! One that cannot be done now says why and waits for a better moment, longer each time. It waits here and not with the
//! supervisor, so that requests are answered meanwhile, an operator's halt is heard, and an orderly stop takes no try
//! from the release.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use wire::{Digest, ReleaseDocument};

use super::{TELL_EVERY, Worker, blocking};
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

/// How long the next wait is.
struct Pauses(Duration);

impl Pauses {
    fn new() -> Self {
        Self(PAUSE_FIRST)
    }
}

impl Worker {
    /// Waits with release `digest`, for the reason `why`. Breaks where there is no use in another attempt: it is time to
    /// stop, or the release was taken back.
    async fn not_yet(
        &mut self,
        digest: &Digest,
        message: &'static str,
        why: String,
        pauses: &mut Pauses,
    ) -> ControlFlow<Option<Happened>> {
        tracing::warn!(slot = self.live.slot, error = why, "{message}");
        self.check_error = Some(why);
        self.tell();
        tokio::select! {
            () = self.shared.stop.heard() => return ControlFlow::Break(None),
            () = self.bell.notified() => {}
            Some(asked) = self.asked.recv() => self.under_way(asked),
            () = tokio::time::sleep(jittered(pauses.0)) => {}
        }
        pauses.0 = (pauses.0 * 2).min(PAUSE_MAX);
        // What came in a bundle is no operator's to take back.
        if self.bundle.is_none() && self.taken_back(digest).await {
            return ControlFlow::Break(Some(Happened::Plain(Event::Halted)));
        }
        ControlFlow::Continue(())
    }

    pub(super) async fn fetch(&mut self) -> Result<Option<Happened>, Failure> {
        let (digest, document) = self.release()?;
        self.total_bytes = document.bytes();
        let mut pauses = Pauses::new();
        loop {
            let fetched = self.fetch_all(&document).await;
            let error = match fetched {
                None => return Ok(None),
                Some(Ok(())) => {
                    self.check_error = None;
                    return Ok(Some(Happened::Plain(Event::Fetched)));
                }
                Some(Err(error)) => error,
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
            let waited = self.not_yet(&digest, "the release is not here yet", error, &mut pauses);
            if let ControlFlow::Break(ended) = waited.await {
                return Ok(ended);
            }
        }
    }

    /// Fetches every file; `None` where it is time to stop.
    async fn fetch_all(&mut self, document: &ReleaseDocument) -> Option<Result<(), String>> {
        let shared = self.shared.clone();
        let transport = self.bundle.clone().unwrap_or_else(|| shared.transport.clone());
        let progress = self.progress.clone();
        let bytes_s = shared.settings.link.bandwidth_bytes_s.filter(|_| self.bundle.is_none());
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
                ended = &mut all => return Some(ended),
                () = shared.stop.heard() => return None,
                _ = tick.tick() => self.tell(),
                Some(asked) = self.asked.recv() => self.under_way(asked),
            }
        }
    }

    /// Whether the fleet's operator halted the release, or chose another one since.
    pub(super) async fn taken_back(&self, digest: &Digest) -> bool {
        let shared = &self.shared;
        let trust = shared.trust.lock().await;
        let Ok(mut view) = trust.refresh(shared.transport.clone(), Timestamp::now()).await else {
            return false;
        };
        match view.rollout(&self.live.model, &shared.settings.group).await {
            Ok(Some(rollout)) => rollout.halted || rollout.release != *digest,
            _ => false,
        }
    }

    pub(super) async fn stage(&mut self) -> Result<Option<Happened>, Failure> {
        while self.shared.settings.window.is_some_and(|window| !window.holds(Timestamp::now())) {
            tokio::select! {
                () = self.shared.stop.heard() => return Ok(None),
                Some(asked) = self.asked.recv() => self.under_way(asked),
                () = tokio::time::sleep(Duration::from_secs(30)) => {}
            }
        }
        let (digest, document) = self.release()?;
        let shared = self.shared.clone();
        let staged =
            blocking(move || shared.store.stage(&digest, &document, &shared.blobs)).await?;
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
                    Some(asked) = self.asked.recv() => self.under_way(asked),
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
            let waited = self.not_yet(&digest, "cannot rehearse a release", why, &mut pauses);
            if let ControlFlow::Break(ended) = waited.await {
                return Ok(ended);
            }
        }
    }
}
