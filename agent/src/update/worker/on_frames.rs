//! What a release does once it is on live frames: trial, commit, probation, and the way back.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wire::Digest;

use super::{Worker, blocking};
use crate::pipeline::worker::Generation;
use crate::report;
use crate::supervisor::Failure;
use crate::update::judge::{self, Judgement};
use crate::update::machine::Event;
use crate::update::slot::Happened;

/// How often a trial or a probation is judged.
const JUDGE_EVERY: Duration = Duration::from_millis(100);
/// How long an engine's thread may take to take a model that is handed to it: some frames.
const ADOPTION: Duration = Duration::from_secs(10);

impl Worker {
    pub(super) async fn try_out(&mut self) -> Result<Option<Happened>, Failure> {
        let (digest, document) = self.release()?;
        let failed = |reason: String| Ok(Some(Happened::Failed(reason)));
        let opened = match self.open(Some(digest)).await? {
            Ok(generation) => generation,
            Err(reason) => return failed(reason),
        };
        let trial = self.live.swap.try_out(&opened);
        let trial = trial.map_err(|error| Failure::retry("cannot start a trial", error))?;
        self.live.watch();
        let (began, poll) = (Instant::now(), self.shared.settings.poll);
        let mut looked = Instant::now();
        loop {
            tokio::select! {
                () = self.shared.stop.heard() => return Ok(None),
                () = tokio::time::sleep(JUDGE_EVERY) => {}
            }
            if let Some(happened) = self.busy() {
                return Ok(Some(happened));
            }
            let (figures, speaks) = (trial.figures(), self.live.watched());
            let stands_by = self.live.stands_by;
            match judge::trial(&document.terms, &figures, &speaks, stands_by, began.elapsed()) {
                Judgement::Wait => {}
                Judgement::Fail(reason) => return failed(reason),
                Judgement::Pass => {
                    // The last moment at which an operator's halt is heard.
                    if let ControlFlow::Break(ended) = self.still_wanted().await {
                        return Ok(ended);
                    }
                    tracing::info!(slot = self.live.slot, ?figures, ?speaks, "the trial went well");
                    drop(trial);
                    self.candidate = Some(opened);
                    return Ok(Some(Happened::Plain(Event::Passed)));
                }
            }
            if looked.elapsed() > poll {
                looked = Instant::now();
                if let ControlFlow::Break(ended) = self.still_wanted().await {
                    return Ok(ended);
                }
            }
        }
    }

    pub(super) async fn commit(&mut self) -> Result<Option<Happened>, Failure> {
        let (digest, _) = self.release()?;
        if self.serving != Some(digest) {
            let next = match self.candidate.take() {
                Some(generation) => generation,
                None => match self.open(Some(digest)).await? {
                    Ok(generation) => generation,
                    Err(reason) => return Ok(Some(Happened::Failed(reason))),
                },
            };
            self.previous = self.current.upgrade().map(|before| (self.serving, before));
            self.hand_over(Some(digest), next).await?;
        }
        self.point();
        Ok(Some(Happened::Plain(Event::Committed)))
    }

    pub(super) async fn watch(&mut self) -> Result<Option<Happened>, Failure> {
        let (_, document) = self.release()?;
        let version = &document.version;
        let watched_s = document.terms.probation_s;
        self.reply(&Ok(format!("{version} is committed, and watched for {watched_s} s")));
        self.live.watch();
        let began = Instant::now();
        loop {
            tokio::select! {
                () = self.shared.stop.heard() => return Ok(None),
                // Judged after an answer too: who asks again and again must not keep it from ending.
                Some(asked) = self.asked.recv() => if let Some(happened) = self.under_way(asked) {
                    return Ok(Some(happened));
                },
                () = tokio::time::sleep(JUDGE_EVERY) => {}
            }
            match judge::probation(&document.terms, &self.live.watched(), began.elapsed()) {
                Judgement::Wait => {}
                Judgement::Fail(reason) => return Ok(Some(Happened::Failed(reason))),
                Judgement::Pass => return Ok(Some(Happened::Plain(Event::Survived))),
            }
        }
    }

    /// What the record says is good speaks again, if something else does.
    pub(super) async fn roll_back(&mut self) -> Result<(), Failure> {
        self.candidate = None;
        let good = self.record.good.as_ref().map(|good| good.release.release);
        if self.serving == good {
            return Ok(());
        }
        let began = Instant::now();
        let generation = match self.previous.take() {
            Some((which, generation)) if which == good => generation,
            _ => match self.open(good).await? {
                Ok(generation) => generation,
                Err(reason) => {
                    return Err(Failure::retry("cannot return to the last good model", reason));
                }
            },
        };
        self.hand_over(good, generation).await?;
        tracing::info!(
            slot = self.live.slot,
            ms = began.elapsed().as_millis(),
            "the model before speaks again"
        );
        self.point();
        Ok(())
    }

    /// Opens a release, or the configured folder, aside.
    async fn open(
        &self,
        release: Option<Digest>,
    ) -> Result<Result<Arc<Generation>, String>, Failure> {
        let folder = self.folder(release);
        let open = self.live.open.clone();
        blocking(move || open(folder.as_deref()).map(Arc::new)).await
    }

    fn folder(&self, release: Option<Digest>) -> Option<PathBuf> {
        release.map(|digest| self.shared.store.folder(&digest))
    }

    /// Gives `generation` to the engine's thread, and waits until it was taken, between two frames.
    async fn hand_over(
        &mut self,
        release: Option<Digest>,
        generation: Arc<Generation>,
    ) -> Result<(), Failure> {
        let before = self.live.swap.adopted();
        (self.live.serves)(self.folder(release).as_deref(), &generation);
        self.current = Arc::downgrade(&generation);
        self.serving = release;
        self.live.swap.hand_over(generation);
        let asked = Instant::now();
        while self.live.swap.adopted() == before && asked.elapsed() < ADOPTION {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    /// For people only: a failure is logged.
    fn point(&self) {
        if let Some(release) = &self.serving
            && let Err(error) = self.shared.store.point(&self.live.slot, release)
        {
            tracing::warn!(
                slot = self.live.slot,
                error = report::chain(&error),
                "`current` is not right"
            );
        }
    }
}
