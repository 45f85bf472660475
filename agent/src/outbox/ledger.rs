//! What waits, where it is, and who goes next: decides, and touches neither disk nor clock nor network.
//!
//! **Invariant:** a record is forgotten when the broker has acknowledged it, or because a bound was reached, and
//! then it is counted. The bounds hold after every call. `tests.rs` drives this through seeded bad luck.

use std::time::Duration;

use bytes::Bytes;

use super::record::{Class, Id, Mark, Record};
use super::shelf::{Gone, Held, Shelf};

/// Records that are on their way without an acknowledgement. More are lost to order and to doubles when a
/// connection breaks; fewer do not fill a link.
pub const WINDOW: usize = 16;
/// Most records in all: a mark of 16 bytes is kept in memory of each.
const RECORDS_MAX: usize = 200_000;
/// Largest record: what passes the packet limit of every broker we know of. Ours are under 8 KiB.
pub const RECORD_MAX_BYTES: usize = 120 << 10;
/// Bodies of one class that stay in memory once they are on disk: what the next seconds send.
const MEMORY_BYTES: u64 = 256 << 10;
/// Bodies in all that may be in memory although they are on no disk: what a stalled disk may cost.
const UNSTORED_MAX_BYTES: u64 = 8 << 20;
/// How old an observation is before it goes to disk: a broker that is there has acknowledged it long before.
const COMMIT_AFTER: Duration = Duration::from_millis(250);
/// The same for alarms and events: a broker nearby is quicker than that.
const COMMIT_URGENT_AFTER: Duration = Duration::from_millis(50);
/// Most bytes of one commit: more would hold up what came meanwhile.
const COMMIT_MAX_BYTES: u64 = 1 << 20;
/// From how many records ready to be sent on more are read from disk, and how many at once.
const AHEAD_LOW: usize = WINDOW;
const AHEAD_READ: usize = 4 * WINDOW;
/// How old telemetry may be and still be called live: later it goes to `replay/…`.
pub const LIVE: Duration = Duration::from_secs(10);

/// The bounds, as configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of all records.
    pub max_bytes: u64,
    /// How old a record becomes.
    pub max_age: Duration,
    /// Pause between two records of stored telemetry.
    pub replay_pause: Duration,
}

/// What the outbox holds and has lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreFigures {
    /// Records that the broker has not acknowledged.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Age of the oldest; `None` where there is none.
    pub oldest_age_s: Option<u64>,
    /// Records that gave way, by class: alarm, event, observation, telemetry.
    pub dropped: [u64; 4],
    /// Records larger than any broker takes.
    pub oversized: u64,
    /// Records that were on disk and could not be read again.
    pub damaged: u64,
    /// Stores that were set aside because they could not be used.
    pub quarantined: u64,
}

impl StoreFigures {
    /// Messages that nobody will have, telemetry aside, of which the next is as good. A store that was set aside
    /// counts as one: what it held is not known.
    #[must_use]
    pub fn lost(&self) -> u64 {
        let [alarms, events, observations, _] = self.dropped;
        alarms + events + observations + self.oversized + self.damaged + self.quarantined
    }
}

/// A record to be sent now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// What it says and where.
    pub record: Record,
    /// Whether it is old enough to be called a replay.
    pub replay: bool,
}

/// What is to be written.
#[derive(Debug, Default)]
pub(super) struct Commit {
    pub(super) puts: Vec<Record>,
    pub(super) deletes: Vec<Id>,
}

#[derive(Debug)]
pub(super) struct Ledger {
    shelves: [Shelf; 4],
    limits: Limits,
    next_number: u64,
    records: usize,
    bytes: u64,
    /// On disk, and to be removed from there.
    deletes: Vec<Id>,
    replay_at_ms: u64,
    counts: StoreFigures,
}

impl Ledger {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            shelves: Default::default(),
            limits,
            next_number: 1,
            records: 0,
            bytes: 0,
            deletes: Vec::new(),
            replay_at_ms: 0,
            counts: StoreFigures::default(),
        }
    }

    /// Takes over what a store holds, in the order of its keys; only before anything else was taken in.
    pub(super) fn recover(&mut self, found: &[(Class, Mark)]) {
        for (class, mark) in found {
            self.shelves[class.index()].marks.push_back(*mark);
            self.records += 1;
            self.bytes += u64::from(mark.bytes);
            self.next_number = self.next_number.max(mark.number + 1);
        }
        self.bound();
    }

    /// Takes one more in. False where it is too large for any broker.
    pub(super) fn push(&mut self, class: Class, topic: Bytes, body: Bytes, now_ms: u64) -> bool {
        if topic.len() + body.len() > RECORD_MAX_BYTES {
            self.counts.oversized += 1;
            return false;
        }
        let id = Id { class, number: self.next_number };
        self.next_number += 1;
        let record = Record { id, at_ms: now_ms, topic, body };
        self.records += 1;
        self.bytes += record.bytes();
        self.shelves[class.index()].push_fresh(Held { record, stored: false });
        self.bound();
        true
    }

    /// The next record to be sent, if the window has room; it counts as sent.
    pub(super) fn next(&mut self, now_ms: u64) -> Option<Taken> {
        if self.outstanding() >= WINDOW {
            return None;
        }
        let live = now_ms.saturating_sub(millis(LIVE));
        let replay_due = now_ms >= self.replay_at_ms;
        for class in Class::ALL {
            let shelf = &mut self.shelves[class.index()];
            let is_live = shelf.fresh.front().is_some_and(|held| held.record.at_ms >= live);
            let telemetry = class == Class::Telemetry;
            let fresh = if telemetry {
                is_live || (!shelf.has_backlog() && replay_due)
            } else {
                !shelf.has_backlog()
            };
            let held = if fresh {
                shelf.pop_fresh()
            } else if telemetry && !replay_due {
                None
            } else {
                shelf.ahead.pop_front()
            };
            let Some(held) = held else { continue };
            let (record, replay) = (held.record.clone(), telemetry && held.record.at_ms < live);
            shelf.sent.insert(record.id.number, held);
            if replay {
                self.replay_at_ms = now_ms + millis(self.limits.replay_pause);
            }
            return Some(Taken { record, replay });
        }
        None
    }

    /// When [`Ledger::next`] may have more although nothing happened until then.
    pub(super) fn next_replay_ms(&self) -> Option<u64> {
        let shelf = &self.shelves[Class::Telemetry.index()];
        // With a backlog that is not read yet, the worker rings when it is.
        let waits = !shelf.ahead.is_empty() || (!shelf.fresh.is_empty() && !shelf.has_backlog());
        (waits && self.outstanding() < WINDOW).then_some(self.replay_at_ms)
    }

    /// The broker has it.
    pub(super) fn acknowledged(&mut self, id: Id) {
        if let Some(held) = self.shelves[id.class.index()].sent.remove(&id.number) {
            self.forget(id.class, Gone::of(&held));
        }
    }

    /// The connection is lost, and with it what was on its way.
    pub(super) fn unsend(&mut self) {
        self.shelves.iter_mut().for_each(Shelf::unsend);
    }

    fn outstanding(&self) -> usize {
        self.shelves.iter().map(|shelf| shelf.sent.len()).sum()
    }

    /// What is to be written now. `all`: also what the broker may still acknowledge in time.
    pub(super) fn commit(&mut self, now_ms: u64, all: bool) -> Commit {
        let (mut puts, mut bytes) = (Vec::new(), 0);
        for class in Class::ALL {
            let after = match class {
                _ if all => Duration::ZERO,
                Class::Alarm | Class::Event => COMMIT_URGENT_AFTER,
                Class::Observation | Class::Telemetry => COMMIT_AFTER,
            };
            let old = now_ms.saturating_sub(millis(after));
            let due = |held: &&Held| !held.stored && held.record.at_ms <= old;
            for held in self.shelves[class.index()].held().filter(due) {
                bytes += held.record.bytes();
                if bytes > COMMIT_MAX_BYTES && !puts.is_empty() {
                    break;
                }
                puts.push(held.record.clone());
            }
        }
        Commit { puts, deletes: std::mem::take(&mut self.deletes) }
    }

    /// What [`Ledger::commit`] gave is on disk for good.
    pub(super) fn committed(&mut self, commit: &Commit) {
        for record in &commit.puts {
            let shelf = &mut self.shelves[record.id.class.index()];
            match shelf.held_mut(record.id.number) {
                Some(held) => held.stored = true,
                // Acknowledged or dropped while it was written.
                None => self.deletes.push(record.id),
            }
        }
        self.shelves.iter_mut().for_each(|shelf| shelf.shrink(MEMORY_BYTES));
    }

    /// What [`Ledger::commit`] gave could not be written.
    pub(super) fn not_committed(&mut self, commit: Commit) {
        self.deletes.extend(commit.deletes);
    }

    /// What is to be read from disk, so that there is always something to send.
    pub(super) fn wanted(&self) -> Vec<Id> {
        let hungry = |class: &Class| {
            let shelf = &self.shelves[class.index()];
            shelf.ahead.len() < AHEAD_LOW && !shelf.marks.is_empty()
        };
        let Some(class) = Class::ALL.into_iter().find(hungry) else { return Vec::new() };
        let (mut wanted, mut bytes) = (Vec::new(), 0);
        for mark in self.shelves[class.index()].marks.iter().take(AHEAD_READ) {
            bytes += u64::from(mark.bytes);
            if bytes > MEMORY_BYTES && !wanted.is_empty() {
                break;
            }
            wanted.push(Id { class, number: mark.number });
        }
        wanted
    }

    /// What was read of what was wanted; `None` where it is not there any more.
    pub(super) fn loaded(&mut self, read: Vec<(Id, Option<Record>)>) {
        for (id, record) in read {
            let shelf = &mut self.shelves[id.class.index()];
            // Where it is not the first any more it gave way meanwhile.
            if shelf.marks.front().is_none_or(|mark| mark.number != id.number) {
                continue;
            }
            let Some(mark) = shelf.marks.pop_front() else { continue };
            if let Some(record) = record {
                shelf.ahead.push_back(Held { record, stored: true });
            } else {
                self.counts.damaged += 1;
                self.records -= 1;
                self.bytes = self.bytes.saturating_sub(mark.bytes.into());
            }
        }
    }

    /// The store was set aside: what was on disk only is gone, and what is in memory is on no disk.
    pub(super) fn lost_store(&mut self) {
        self.counts.quarantined += 1;
        self.deletes.clear();
        for shelf in &mut self.shelves {
            for mark in std::mem::take(&mut shelf.marks) {
                self.counts.damaged += 1;
                self.records -= 1;
                self.bytes = self.bytes.saturating_sub(mark.bytes.into());
            }
            let (sent, rest) = (shelf.sent.values_mut(), shelf.ahead.iter_mut());
            sent.chain(rest).chain(&mut shelf.fresh).for_each(|held| held.stored = false);
        }
    }

    /// Forgets what is too old, and makes backlog of telemetry that is not live any more.
    pub(super) fn age(&mut self, now_ms: u64) {
        let oldest = now_ms.saturating_sub(millis(self.limits.max_age));
        for class in Class::ALL {
            while self.shelves[class.index()].waiting_since_ms().is_some_and(|at| at < oldest) {
                self.drop_oldest(class);
            }
        }
        self.shelves[Class::Telemetry.index()].age(now_ms.saturating_sub(millis(LIVE)));
    }

    /// Makes room, from the least important class on.
    fn bound(&mut self) {
        while self.bytes > self.limits.max_bytes || self.records > RECORDS_MAX {
            let victim = self.least(|shelf| shelf.len() > shelf.sent.len());
            if !victim.is_some_and(|class| self.drop_oldest(class)) {
                break;
            }
        }
        // What is on disk is no help against what waits for the disk.
        while self.shelves.iter().map(|shelf| shelf.fresh_bytes).sum::<u64>() > UNSTORED_MAX_BYTES {
            let Some(class) = self.least(|shelf| !shelf.fresh.is_empty()) else { break };
            let Some(held) = self.shelves[class.index()].pop_fresh() else { break };
            self.counts.dropped[class.index()] += 1;
            self.forget(class, Gone::of(&held));
        }
    }

    /// The least important class whose shelf is so.
    fn least(&self, is_so: impl Fn(&Shelf) -> bool) -> Option<Class> {
        Class::ALL.into_iter().rev().find(|class| is_so(&self.shelves[class.index()]))
    }

    fn drop_oldest(&mut self, class: Class) -> bool {
        let Some(gone) = self.shelves[class.index()].drop_oldest() else { return false };
        self.counts.dropped[class.index()] += 1;
        self.forget(class, gone);
        true
    }

    fn forget(&mut self, class: Class, gone: Gone) {
        self.records -= 1;
        self.bytes = self.bytes.saturating_sub(gone.bytes);
        if gone.stored {
            self.deletes.push(Id { class, number: gone.number });
        }
    }

    /// Whether nothing is left to be sent or acknowledged.
    pub(super) fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Whether the disk has something to do, now or soon.
    pub(super) fn is_disk_idle(&self) -> bool {
        self.deletes.is_empty()
            && self
                .shelves
                .iter()
                .all(|shelf| shelf.marks.is_empty() && shelf.held().all(|held| held.stored))
    }

    pub(super) fn figures(&self, now_ms: u64) -> StoreFigures {
        let oldest = self.shelves.iter().filter_map(Shelf::oldest_ms).min();
        StoreFigures {
            records: u64::try_from(self.records).unwrap_or(u64::MAX),
            bytes: self.bytes,
            oldest_age_s: oldest.map(|at| now_ms.saturating_sub(at) / 1000),
            ..self.counts
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
