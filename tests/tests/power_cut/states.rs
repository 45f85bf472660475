//! The states of one recording: what a cut at each of its moments can leave, each once.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::disk::{Crash, Disk};
use crate::recording::Step;
use crate::recovery::Memory;

/// A state after a cut behind step `moment`, and the least that was durable then.
pub(crate) struct State {
    pub(crate) moment: usize,
    pub(crate) crash: Crash,
    pub(crate) least: Memory,
}

/// The different states of a recording, from how many; `last` has all content that there ever was.
pub(crate) struct States {
    pub(crate) found: Vec<State>,
    pub(crate) possible: f64,
    pub(crate) last: Disk,
}

impl States {
    /// Those that cuts in `steps` can leave of the disk `before`.
    pub(crate) fn of(before: &Disk, steps: &[Step]) -> Result<Self> {
        let place = tempfile::Builder::new().prefix("vedette-cut-").tempdir_in(quick())?;
        let place = place.path().join("least");
        let mut seen = BTreeSet::new();
        let mut states = Self { found: Vec::new(), possible: 0.0, last: before.clone() };
        let mut known: Option<(Crash, Memory)> = None;
        for moment in 0..=steps.len() {
            if let Some(step) = moment.checked_sub(1).and_then(|last| steps.get(last)) {
                let done = states.last.step(step);
                done.with_context(|| format!("step {moment}: {}", short(step)))?;
            }
            let lower = states.last.least();
            let least = match known.take() {
                Some((crash, memory)) if crash == lower => memory,
                _ => {
                    states.last.make(&lower, &place)?;
                    let memory = Memory::of(&place).with_context(|| format!("at {moment}"))?;
                    std::fs::remove_dir_all(&place)?;
                    memory
                }
            };
            let crashes = states.last.crashes();
            states.possible += crashes.possible;
            for crash in crashes.chosen {
                if seen.insert(crash.clone()) {
                    states.found.push(State { moment, crash, least: least.clone() });
                }
            }
            known = Some((lower, least));
        }
        Ok(states)
    }
}

/// Up to `most` of `count` places, evenly, the first and the last among them.
pub(crate) fn spread(count: usize, most: usize) -> Vec<usize> {
    if count <= most {
        return (0..count).collect();
    }
    (0..most).map(|one| one * (count - 1) / (most - 1)).collect()
}

/// A directory in memory, where there is such a place: nothing of this need reach a disk.
pub(crate) fn quick() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}

pub(crate) fn short(step: &Step) -> String {
    format!("{step:?}").chars().take(120).collect()
}
