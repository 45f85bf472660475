//! What is said of a slot: to whoever asks, and to whoever listens.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use wire::{Phase, ReleaseRef};

use super::Worker;
use crate::report;
use crate::update::bundle::Bundle;
use crate::update::command::{Asked, Command, Said};
use crate::update::machine::Event;
use crate::update::slot::{Happened, Installed, Order};
use crate::update::told::Standing;

/// What is said with a request that has to wait.
const LATER: &str = "; ask again when it is through";

impl Worker {
    /// Does what the owner asks while nothing is under way, or says why not.
    pub(super) async fn answer(&mut self, asked: Asked) {
        match &asked.command {
            Command::Check => {
                let said = self.look(None).await;
                asked.answer(said);
            }
            // The desk knows by itself.
            Command::Trouble => asked.answer(Ok(String::new())),
            Command::Install { bundle } => match open(bundle) {
                Ok(opened) => match self.look(Some(opened)).await {
                    Said::Well(_) if self.pending.is_some() => self.waiting.push(asked),
                    said => asked.answer(said),
                },
                Err(why) => asked.answer(Err(why)),
            },
            Command::Rollback { to, .. } => match self.record.order(to.as_deref()) {
                Ok(_) => {
                    self.waiting.push(asked);
                    if let Err(failure) = self.happen(Happened::Ordered) {
                        let error = report::chain(&failure);
                        tracing::warn!(slot = self.live.slot, error, "cannot go back");
                    }
                }
                Err(why) => asked.answer(Err(why)),
            },
        }
    }

    /// Nothing is under way any more.
    pub(super) async fn rest(&mut self) {
        let installed = self.installed();
        let came = self.came_of_it();
        let ordered = |asked: &Asked| matches!(asked.command, Command::Rollback { .. });
        let back = Ok(format!("back to {installed}"));
        for asked in std::mem::take(&mut self.waiting) {
            let said = if ordered(&asked) { back.clone() } else { came.clone() };
            asked.answer(said);
        }
        (self.candidate, self.previous, self.bundle) = (None, None, None);
        self.pending = None;
        self.changing = None;
        self.total_bytes = 0;
        self.progress.store(0, Ordering::Relaxed);
        let held = self.shared.keeping.lock().await;
        if let Err(error) = self.shared.store.collect(&self.shared.blobs) {
            tracing::warn!(
                error = report::chain(&error),
                "what is not needed any more stays on the disk"
            );
        }
        drop(held);
        self.tell();
    }

    fn installed(&self) -> &str {
        let good = self.record.good.as_ref();
        good.map_or("the configured folder", |good| &good.release.version)
    }

    /// What came of the release that was under way last: an error, unless it is installed.
    pub(super) fn came_of_it(&self) -> Result<String, String> {
        let (record, installed) = (&self.record, self.installed());
        let Some(last) = &self.last else { return Ok(format!("{installed} is installed")) };
        let (version, same) = (&last.version, |one: &ReleaseRef| one.release == last.release);
        if let Some(refusal) = record.refused.as_ref().filter(|one| same(&one.release)) {
            return Err(format!("{version} is refused: {}", refusal.reason));
        }
        if record.good.as_ref().is_some_and(|good| same(&good.release)) {
            return Ok(format!("{version} is installed"));
        }
        Err(match &self.check_error {
            Some(error) => format!("{version} is not installed: {error}"),
            None => format!("{version} is not installed: it was taken back"),
        })
    }

    /// Answers whoever asks something that has to wait; what is to happen then, where the release is to be left.
    pub(super) fn busy(&mut self) -> Option<Happened> {
        while let Ok(asked) = self.asked.try_recv() {
            if let Some(happened) = self.under_way(asked) {
                return Some(happened);
            }
        }
        None
    }

    /// Answers what the owner asks while a release is under way: how far it is, that it is left, or that another one
    /// has to wait for its end. What is to happen then, where it is to be left.
    pub(super) fn under_way(&mut self, asked: Asked) -> Option<Happened> {
        match asked.command.clone() {
            Command::Rollback { to, .. } => return self.ordered(asked, to.as_deref()),
            Command::Install { bundle } => self.brought(asked, &bundle),
            Command::Check | Command::Trouble => asked.answer(Ok(self.how_far())),
        }
        None
    }

    fn ordered(&mut self, asked: Asked, to: Option<&str>) -> Option<Happened> {
        let left = self.record.may_be_left();
        if !left && self.record.phase != Phase::Probation {
            asked.answer(Err(self.how_far() + LATER));
            return None;
        }
        match self.record.order(to) {
            Ok(Order::GoBack) if left => self.next = Some(asked),
            Ok(_) => self.waiting.push(asked),
            Err(why) => {
                asked.answer(Err(why));
                return None;
            }
        }
        Some(if left { Happened::Plain(Event::Halted) } else { Happened::Ordered })
    }

    /// The owner brings a bundle: with what is under way, it is fetched from there and waited for.
    fn brought(&mut self, asked: Asked, path: &Path) {
        let bundle = match open(path) {
            Ok(bundle) => bundle,
            Err(why) => return asked.answer(Err(why)),
        };
        match self.release() {
            Ok((digest, document)) if bundle.brings(&digest, &document) => {}
            _ => return asked.answer(Err(self.how_far() + LATER)),
        }
        match self.record.phase {
            Phase::Probation => return asked.answer(Ok(self.how_far())),
            Phase::Fetching if self.bundle.is_none() => self.bundle = Some(bundle),
            _ => {}
        }
        self.waiting.push(asked);
    }

    /// How far the release under way is.
    fn how_far(&self) -> String {
        let offered = self.record.offered.as_ref();
        let version = offered.map_or("", |offered| &offered.installed.release.version);
        let phase = format!("{:?}", self.record.phase).to_lowercase();
        let mut line = match self.record.phase {
            Phase::Fetching => {
                let here = self.progress.load(Ordering::Relaxed);
                format!("{version} is being fetched: {here} of {} bytes are here", self.total_bytes)
            }
            Phase::Staging => format!("{version} is here, and waits for the maintenance window"),
            Phase::Probation => {
                format!("{version} is in probation; nothing else is taken until it ends")
            }
            _ => format!("{version} is under way: {phase}"),
        };
        if let Some(error) = &self.check_error {
            line.push_str(&format!("; {error}"));
        }
        line
    }

    pub(super) fn reply(&mut self, said: &Result<String, String>) {
        for asked in std::mem::take(&mut self.waiting) {
            asked.answer(said.clone());
        }
    }

    pub(super) fn standing(&self) -> Standing {
        let record = &self.record;
        let release = |installed: &Installed| installed.release.clone();
        Standing {
            installed: record.good.as_ref().map(release),
            previous: record.previous.as_ref().map(release),
            offered: record.offered.as_ref().map(|offered| release(&offered.installed)),
            phase: Some(record.phase),
            progress_bytes: self.progress.load(Ordering::Relaxed),
            total_bytes: self.total_bytes,
            tries_left: record.offered.as_ref().map(|offered| offered.tries_left),
            refused: record.refused.clone(),
            check_error: self.check_error.clone(),
        }
    }

    pub(super) fn tell(&self) {
        self.told.state(&self.standing());
    }
}

fn open(bundle: &Path) -> Result<Arc<Bundle>, String> {
    let opened = Bundle::open(bundle).map(Arc::new);
    opened.map_err(|error| format!("cannot use the bundle `{}`: {error}", bundle.display()))
}
