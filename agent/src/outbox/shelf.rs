//! The records of one class, in order: on their way, to be sent next, on disk only, and the newest.
//!
//! ```text
//! sent (no acknowledgement yet) │ ahead (read from disk, or to be sent again) │ marks (on disk only) │ fresh
//! ```
//!
//! Numbers grow from left to right; telemetry alone may be sent from `fresh` while older records wait, since a
//! replay must not delay what is live.

use std::collections::{BTreeMap, VecDeque};

use super::record::{Mark, Record};

/// A record in memory.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) record: Record,
    /// Whether it is on disk too.
    pub(super) stored: bool,
}

#[derive(Debug, Default)]
pub(super) struct Shelf {
    pub(super) sent: BTreeMap<u64, Held>,
    pub(super) ahead: VecDeque<Held>,
    pub(super) marks: VecDeque<Mark>,
    pub(super) fresh: VecDeque<Held>,
    /// Bytes of the bodies in `fresh`.
    pub(super) fresh_bytes: u64,
}

/// A record that gave way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gone {
    pub(super) number: u64,
    pub(super) bytes: u64,
    pub(super) stored: bool,
}

impl Gone {
    pub(super) fn of(held: &Held) -> Self {
        let number = held.record.id.number;
        Self { number, bytes: held.record.bytes(), stored: held.stored }
    }
}

impl Shelf {
    pub(super) fn len(&self) -> usize {
        self.sent.len() + self.ahead.len() + self.marks.len() + self.fresh.len()
    }

    pub(super) fn push_fresh(&mut self, held: Held) {
        self.fresh_bytes += held.record.bytes();
        self.fresh.push_back(held);
    }

    pub(super) fn pop_fresh(&mut self) -> Option<Held> {
        let held = self.fresh.pop_front()?;
        self.fresh_bytes -= held.record.bytes();
        Some(held)
    }

    /// Whether something older than the newest waits.
    pub(super) fn has_backlog(&self) -> bool {
        !self.ahead.is_empty() || !self.marks.is_empty()
    }

    /// Forgets the oldest record that is not on its way.
    pub(super) fn drop_oldest(&mut self) -> Option<Gone> {
        if let Some(held) = self.ahead.pop_front() {
            return Some(Gone::of(&held));
        }
        if let Some(mark) = self.marks.pop_front() {
            return Some(Gone { number: mark.number, bytes: mark.bytes.into(), stored: true });
        }
        self.pop_fresh().map(|held| Gone::of(&held))
    }

    /// When the oldest record that is not on its way was taken in.
    pub(super) fn waiting_since_ms(&self) -> Option<u64> {
        let ahead = self.ahead.front().map(|held| held.record.at_ms);
        let marks = || self.marks.front().map(|mark| u64::from(mark.at_s) * 1000);
        let fresh = || self.fresh.front().map(|held| held.record.at_ms);
        ahead.or_else(marks).or_else(fresh)
    }

    /// When the oldest record was taken in.
    pub(super) fn oldest_ms(&self) -> Option<u64> {
        let sent = self.sent.values().map(|held| held.record.at_ms).min();
        sent.into_iter().chain(self.waiting_since_ms()).min()
    }

    /// The connection is lost: what was on its way is to be sent again, in its old place.
    pub(super) fn unsend(&mut self) {
        while let Some((number, held)) = self.sent.pop_last() {
            let ahead = self.ahead.front().map(|held| held.record.id.number);
            let marks = self.marks.front().map(|mark| mark.number);
            if ahead.or(marks).is_some_and(|first| number < first) {
                self.ahead.push_front(held);
            } else {
                // Nothing older waits, or it was sent past that, as live telemetry is.
                self.fresh_bytes += held.record.bytes();
                self.fresh.push_front(held);
            }
        }
    }

    /// Keeps of the oldest of `fresh` only marks, until its bodies have at most `max` bytes or the next one is
    /// not on disk yet.
    pub(super) fn shrink(&mut self, max: u64) {
        while self.fresh_bytes > max && self.fresh.front().is_some_and(|held| held.stored) {
            if let Some(held) = self.pop_fresh() {
                self.marks.push_back(Mark::of(&held.record));
            }
        }
    }

    /// Makes backlog of what is on disk and older than `before_ms`.
    pub(super) fn age(&mut self, before_ms: u64) {
        while self.fresh.front().is_some_and(|held| held.stored && held.record.at_ms < before_ms) {
            if let Some(held) = self.pop_fresh() {
                self.marks.push_back(Mark::of(&held.record));
            }
        }
    }

    /// Every record in memory.
    pub(super) fn held(&self) -> impl Iterator<Item = &Held> {
        self.sent.values().chain(&self.ahead).chain(&self.fresh)
    }

    /// The record `number`, where it is in memory.
    pub(super) fn held_mut(&mut self, number: u64) -> Option<&mut Held> {
        if self.sent.contains_key(&number) {
            return self.sent.get_mut(&number);
        }
        if let Ok(at) = self.fresh.binary_search_by_key(&number, |held| held.record.id.number) {
            return self.fresh.get_mut(at);
        }
        self.ahead.iter_mut().find(|held| held.record.id.number == number)
    }
}
