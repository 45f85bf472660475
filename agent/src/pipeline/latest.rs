//! The one-frame mailboxes before an engine: the newest frame wins, what it replaces is counted.
//!
//! Frames are swapped, never copied and never allocated: one is with the camera, one in the mailbox, one with
//! the engine. All mailboxes of one engine lie on one desk, so that its thread can wait for any of them and
//! take the most urgent: the frame whose successor is due first. A camera with a low rate is not starved,
//! because its frame's deadline comes nearer while those of a fast camera keep moving away. Once frames are replaced
//! unseen the engine cannot serve all of them, and the camera that was served longest ago is next
//! (`where_not_all_can_be_served_each_has_its_turn`).
//!
//! Where the engine takes several frames at once, those that are here go together, one of each pipeline. They wait
//! for others only while a camera's next frame is to be expected within the time that is left.
//!
//! **Invariant:** a frame that is taken is the newest of its pipeline (`the_newest_frame_wins`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::batch::Batch;
use super::frame::Frame;

/// Deadline of a frame whose source has no rate of its own.
const PERIOD_UNKNOWN: Duration = Duration::from_millis(33);

/// A camera's frame may come by this part of its period earlier than the one before it did.
const JITTER: u32 = 8;

/// The mailboxes of one engine.
#[derive(Debug)]
pub struct Desk {
    state: Mutex<State>,
    /// Rung when a frame was posted or the desk closed.
    posted: Condvar,
    /// Rung when a frame was taken or the desk closed.
    taken: Condvar,
}

#[derive(Debug)]
struct State {
    boxes: Vec<Mailbox>,
    /// How many frames were taken.
    turns: u64,
    closed: bool,
    poked: bool,
    /// The engine is being made anew: nobody takes frames, and all is well.
    excused: bool,
}

#[derive(Debug)]
struct Mailbox {
    frame: Frame,
    fresh: bool,
    /// Since when a frame, this one or one that it replaced, lies here untaken.
    since: Option<Instant>,
    /// Whether this frame replaced one that nobody took.
    late: bool,
    /// At which turn of the engine a frame was taken last.
    turn: u64,
    /// When a frame was posted last.
    last: Option<Instant>,
    open: bool,
    period: Duration,
    patient: bool,
    /// How long a frame waits for the one before to be taken.
    lenient: Duration,
    /// Shared with the pipeline's mailbox on another desk, where it has one.
    replaced: Arc<AtomicU64>,
}

/// A frame that was taken, and whose it is.
#[derive(Debug, Default)]
pub struct Picked {
    /// The frame.
    pub frame: Frame,
    /// Which mailbox it lay in.
    pub index: usize,
    /// Frames that its pipeline lost to newer ones since the start.
    pub replaced: u64,
}

/// What [`Desk::take`] came back with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// So many frames, each of another pipeline.
    Frames(usize),
    /// No frame, but somebody has news for the engine.
    Poked,
    /// No frame and never again one: every source ended, or the desk was closed and emptied.
    Closed,
}

impl Desk {
    /// Mailboxes for sources of these rates, in frames a second. A source without a rate waits for its frame to
    /// be taken instead of replacing it: files are read as fast as they are inferred, and none is skipped.
    #[must_use]
    pub fn new(rates_hz: &[Option<f64>]) -> Self {
        let mailbox = |rate: &Option<f64>| Mailbox {
            frame: Frame::default(),
            fresh: false,
            since: None,
            late: false,
            turn: 0,
            last: None,
            open: true,
            period: rate
                .and_then(|rate| Duration::try_from_secs_f64(1.0 / rate).ok())
                .unwrap_or(PERIOD_UNKNOWN),
            patient: rate.is_none(),
            lenient: Duration::ZERO,
            replaced: Arc::default(),
        };
        let boxes = rates_hz.iter().map(mailbox).collect();
        Self {
            state: Mutex::new(State {
                boxes,
                turns: 0,
                closed: false,
                poked: false,
                excused: false,
            }),
            posted: Condvar::new(),
            taken: Condvar::new(),
        }
    }

    /// The source of mailbox `index` gives its frames in packets: each waits for the one before to be taken, at most
    /// so long, and then replaces it.
    pub fn set_lenient(&mut self, index: usize, limit: Duration) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        state.boxes[index].lenient = limit;
    }

    /// What mailbox `index` loses to newer frames is counted in `replaced`, which other desks may have too.
    pub fn set_replaced(&mut self, index: usize, replaced: Arc<AtomicU64>) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        state.boxes[index].replaced = replaced;
    }

    /// Puts `frame` into mailbox `index` and gives back one to fill. False once the desk is closed.
    #[must_use]
    pub fn post(&self, index: usize, frame: &mut Frame) -> bool {
        let mut state = self.lock();
        while state.boxes[index].patient && state.boxes[index].fresh && !state.closed {
            state = self.taken.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let lenient = state.boxes[index].lenient;
        if !lenient.is_zero() {
            let waits = |state: &mut State| state.boxes[index].fresh && !state.closed;
            let waited = self.taken.wait_timeout_while(state, lenient, waits);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if state.closed {
            return false;
        }
        state.boxes[index].put(frame, Instant::now());
        self.posted.notify_one();
        true
    }

    /// Swaps the most urgent frames into `picked`, as many as fit, are here, and go together by `batch`; blocks until
    /// there is one.
    #[must_use]
    pub fn take(&self, picked: &mut [Picked], batch: Batch) -> Taken {
        let batch = Batch { max: batch.max.min(picked.len()), ..batch };
        let mut state = self.lock();
        loop {
            if std::mem::take(&mut state.poked) {
                return Taken::Poked;
            }
            if !state.boxes.iter().any(|mailbox| mailbox.fresh) {
                if state.closed || state.boxes.iter().all(|mailbox| !mailbox.open) {
                    return Taken::Closed;
                }
                state = self.posted.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let Some(left) = state.waits(batch, Instant::now) else { break };
            let waited = self.posted.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let count = state.pick(picked);
        self.taken.notify_all();
        Taken::Frames(count)
    }

    /// How long a frame has been waiting for the engine at `now`; nothing while the engine is excused.
    #[must_use]
    pub fn waits(&self, now: Instant) -> Duration {
        let state = self.lock();
        let since = state.boxes.iter().filter_map(|mailbox| mailbox.since).min();
        let waits = since.map(|since| now.saturating_duration_since(since));
        waits.filter(|_| !state.excused).unwrap_or_default()
    }

    /// Whether the engine is being made anew, which may take minutes: frames that wait meanwhile are no alarm.
    pub fn excuse(&self, excused: bool) {
        let mut state = self.lock();
        state.excused = excused;
        // What waited until now did not wait for an engine that is stuck.
        let now = Instant::now();
        for since in state.boxes.iter_mut().filter_map(|mailbox| mailbox.since.as_mut()) {
            *since = now;
        }
    }

    /// The source of mailbox `index` has ended: nothing more will be posted there.
    pub fn end(&self, index: usize) {
        self.lock().boxes[index].open = false;
        self.posted.notify_all();
    }

    /// No frame is accepted from now on; what lies here is still taken.
    pub fn close(&self) {
        self.lock().closed = true;
        self.posted.notify_all();
        self.taken.notify_all();
    }

    /// Wakes the engine's thread though there is no frame.
    pub fn poke(&self) {
        self.lock().poked = true;
        self.posted.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// How long those that are fresh wait for others to go with them; `None`: they go.
    fn waits(&self, batch: Batch, now: impl Fn() -> Instant) -> Option<Duration> {
        if batch.max < 2 {
            return None;
        }
        let now = now();
        let fresh = self.boxes.iter().filter(|mailbox| mailbox.fresh);
        let first = fresh.clone().filter_map(|mailbox| mailbox.since).min()?;
        // Nobody waits for so long that its own next frame replaces it.
        let replacing = fresh.clone().filter(|mailbox| !mailbox.patient).map(Mailbox::early);
        let delay = replacing.min().map_or(batch.delay, |early| early.min(batch.delay));
        let (batch, until) = (Batch { delay, ..batch }, first + delay);
        let full = self.closed
            || fresh.count() >= batch.max
            || !self.boxes.iter().any(|mailbox| mailbox.is_expected(now, until));
        batch.waits(full, now.saturating_duration_since(first))
    }

    /// Swaps the most urgent of the fresh frames into `picked`. How many.
    fn pick(&mut self, picked: &mut [Picked]) -> usize {
        let late = self.boxes.iter().any(|mailbox| mailbox.fresh && mailbox.late);
        let urgency = |mailbox: &Mailbox| (if late { mailbox.turn } else { 0 }, mailbox.deadline());
        let mut count = 0;
        for place in picked {
            let fresh = self.boxes.iter_mut().enumerate().filter(|(_, mailbox)| mailbox.fresh);
            let Some((index, mailbox)) = fresh.min_by_key(|(_, mailbox)| urgency(mailbox)) else {
                break;
            };
            self.turns += 1;
            (mailbox.turn, mailbox.late) = (self.turns, false);
            mailbox.fresh = false;
            mailbox.since = None;
            std::mem::swap(&mut mailbox.frame, &mut place.frame);
            place.index = index;
            place.replaced = mailbox.replaced.load(Ordering::Relaxed);
            count += 1;
        }
        count
    }
}

impl Mailbox {
    fn put(&mut self, frame: &mut Frame, now: Instant) {
        if self.fresh {
            self.replaced.fetch_add(1, Ordering::Relaxed);
        }
        self.since.get_or_insert(now);
        self.late = self.fresh;
        self.fresh = true;
        self.last = Some(now);
        std::mem::swap(&mut self.frame, frame);
    }

    /// When the successor of its frame is due.
    fn deadline(&self) -> Instant {
        self.frame.captured + self.period
    }

    /// How long after a frame the next one may come.
    fn early(&self) -> Duration {
        self.period - self.period / JITTER
    }

    /// Whether a frame is to be expected before `until`: for a whole period after it was due, and no longer. Who waits
    /// for its frame to be taken has the next one at once.
    fn is_expected(&self, now: Instant, until: Instant) -> bool {
        let Some(last) = self.last.filter(|_| self.open && !self.fresh) else { return false };
        let early = if self.patient { self.period } else { self.period / JITTER };
        last + self.period <= until + early && now < last + 2 * self.period
    }
}

#[cfg(test)]
mod tests;
