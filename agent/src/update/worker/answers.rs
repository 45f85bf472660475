//! What is said of a slot: to whoever asks, and to whoever listens.

use std::sync::atomic::Ordering;

use wire::Phase;

use super::Worker;
use crate::report;
use crate::update::command::{Asked, Command};
use crate::update::slot::Installed;
use crate::update::told::Standing;

impl Worker {
    /// Nothing is under way any more.
    pub(super) fn rest(&mut self) {
        let record = &self.record;
        let installed =
            record.good.as_ref().map_or("the configured folder", |good| &good.release.version);
        let line = match (&record.refused, &self.check_error) {
            (Some(refusal), _) => {
                Err(format!("{} is refused: {}", refusal.release.version, refusal.reason))
            }
            (None, Some(error)) => Err(error.clone()),
            (None, None) => Ok(format!("{installed} is installed")),
        };
        let ordered = |asked: &Asked| matches!(asked.command, Command::Rollback { .. });
        let back = Ok(format!("back to {installed}"));
        for asked in std::mem::take(&mut self.waiting) {
            let said = if ordered(&asked) { back.clone() } else { line.clone() };
            drop(asked.reply.send(said));
        }
        (self.candidate, self.previous, self.bundle) = (None, None, None);
        self.pending = None;
        self.changing = None;
        self.total_bytes = 0;
        self.progress.store(0, Ordering::Relaxed);
        if let Err(error) = self.shared.store.collect(&self.shared.blobs) {
            tracing::warn!(
                error = report::chain(&error),
                "what is not needed any more stays on the disk"
            );
        }
        self.tell();
    }

    /// Answers whoever asks something that has to wait.
    pub(super) fn busy(&mut self) {
        while let Ok(asked) = self.asked.try_recv() {
            self.under_way(asked);
        }
    }

    /// Says how far the release under way is; whoever wants another one has to wait for its end.
    pub(super) fn under_way(&self, asked: Asked) {
        let offered = self.record.offered.as_ref();
        let version = offered.map_or("", |offered| &offered.installed.release.version);
        let phase = format!("{:?}", self.record.phase).to_lowercase();
        let mut line = match self.record.phase {
            Phase::Fetching => {
                let here = self.progress.load(Ordering::Relaxed);
                format!("{version} is being fetched: {here} of {} bytes are here", self.total_bytes)
            }
            Phase::Staging => format!("{version} is here, and waits for the maintenance window"),
            _ => format!("{version} is under way: {phase}"),
        };
        if let Some(error) = &self.check_error {
            line.push_str(&format!("; {error}"));
        }
        let said = match asked.command {
            Command::Check => Ok(line),
            _ => Err(line + "; ask again when it is through"),
        };
        drop(asked.reply.send(said));
    }

    pub(super) fn reply(&mut self, line: impl Fn() -> Result<String, String>) {
        for asked in std::mem::take(&mut self.waiting) {
            drop(asked.reply.send(line()));
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
