//! What the world hears of a slot: its state, retained, and an event for each change of phase.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use wire::{ModelEvent, ModelState, Phase, Refusal, ReleaseRef};

use crate::mqtt::Link;
use crate::outbox::Class;
use crate::said::{Said, encode};

/// Longest reason that is told: the log has the whole.
const REASON_MAX: usize = 1000;

/// Where a slot stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// What is committed; `None`: the configured folder.
    pub installed: Option<ReleaseRef>,
    /// What can be returned to.
    pub previous: Option<ReleaseRef>,
    /// What is under way.
    pub offered: Option<ReleaseRef>,
    /// What is being done with it.
    pub phase: Option<Phase>,
    /// Bytes of it that are here.
    pub progress_bytes: u64,
    /// Bytes of it in all.
    pub total_bytes: u64,
    /// Tries that are left.
    pub tries_left: Option<u32>,
    /// The last release that was refused.
    pub refused: Option<Refusal>,
    /// Why the last check failed.
    pub check_error: Option<String>,
}

/// Tells the world about one slot.
#[derive(Debug)]
pub(super) struct Told {
    slot: String,
    link: Option<Link>,
    said: Arc<Said>,
    states: AtomicU64,
    events: AtomicU64,
    last: Last,
}

/// How a slot stood when that last changed, for whoever asks.
pub(super) type Last = Arc<Mutex<Standing>>;

impl Told {
    /// For `slot`; without a broker only the log hears it.
    #[must_use]
    pub(super) fn new(slot: &str, link: Option<Link>, said: Arc<Said>) -> Self {
        let (zero, last) = (AtomicU64::default, Last::default());
        Self { slot: slot.to_owned(), link, said, states: zero(), events: zero(), last }
    }

    /// Where it stands now, from now on.
    pub(super) fn last(&self) -> Last {
        self.last.clone()
    }

    /// The slot stands as in `standing`.
    pub(super) fn state(&self, standing: &Standing) {
        let reason = standing.refused.as_ref().map(|refusal| short(&refusal.reason));
        self.said.refuse(&self.slot, reason.as_deref());
        if let Ok(mut last) = self.last.lock() {
            last.clone_from(standing);
        }
        let Some(link) = &self.link else { return };
        let seq = self.states.fetch_add(1, Ordering::Relaxed) + 1;
        let state = ModelState {
            envelope: self.said.envelope("vedette/model-state/1", seq),
            slot: self.slot.as_str().into(),
            installed: standing.installed.clone(),
            previous: standing.previous.clone(),
            offered: standing.offered.clone(),
            phase: standing.phase.unwrap_or(Phase::Idle),
            progress_bytes: standing.progress_bytes,
            total_bytes: standing.total_bytes,
            tries_left: standing.tries_left,
            refused: standing
                .refused
                .clone()
                .map(|refusal| Refusal { reason: short(&refusal.reason), ..refusal }),
            check_error: standing.check_error.as_deref().map(short),
        };
        link.retain(&link.topics().model_state(&self.slot), encode(&state));
    }

    /// The slot went from one phase to another.
    pub(super) fn event(&self, from: Phase, standing: &Standing, reason: Option<&str>) {
        let to = standing.phase.unwrap_or(Phase::Idle);
        let version = standing.offered.as_ref().or(standing.installed.as_ref());
        let version = version.map_or("", |release| &release.version);
        match (to, reason) {
            (Phase::RollingBack | Phase::Refusing, Some(reason)) => {
                tracing::warn!(slot = self.slot, version, ?from, ?to, reason, "model");
            }
            _ => tracing::info!(slot = self.slot, version, ?from, ?to, "model"),
        }
        let Some(link) = &self.link else { return };
        let seq = self.events.fetch_add(1, Ordering::Relaxed) + 1;
        let event = ModelEvent {
            envelope: self.said.envelope("vedette/model-event/1", seq),
            slot: self.slot.as_str().into(),
            from,
            to,
            offered: standing.offered.clone(),
            installed: standing.installed.clone(),
            reason: reason.map(short),
        };
        link.publish(Class::Event, &link.topics().model_event(&self.slot), encode(&event));
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(REASON_MAX) {
        Some((end, _)) => format!("{} …", &text[..end]),
        None => text.to_owned(),
    }
}
