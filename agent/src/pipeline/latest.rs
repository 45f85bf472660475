//! The one-frame mailboxes before an engine: the newest frame wins, what it replaces is counted.
//!
//! Frames are swapped, never copied and never allocated: one is with the camera, one in the mailbox, one with
//! the engine. All mailboxes of one engine lie on one desk, so that its thread can wait for any of them and
//! take the most urgent: the frame whose successor is due first. A camera with a low rate is not starved,
//! because its frame's deadline comes nearer while those of a fast camera keep moving away.
//!
//! **Invariant:** a frame that is taken is the newest of its pipeline (`the_newest_frame_wins`).

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::frame::Frame;

/// Deadline of a frame whose source has no rate of its own.
const PERIOD_UNKNOWN: Duration = Duration::from_millis(33);

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
    open: bool,
    period: Duration,
    patient: bool,
    /// How long a frame waits for the one before to be taken.
    lenient: Duration,
    replaced: u64,
}

/// What [`Desk::take`] came back with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// A frame of this mailbox, of which so many were replaced unseen so far.
    Frame {
        /// Which mailbox.
        index: usize,
        /// Frames lost to newer ones since the start.
        replaced: u64,
    },
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
            open: true,
            period: rate
                .and_then(|rate| Duration::try_from_secs_f64(1.0 / rate).ok())
                .unwrap_or(PERIOD_UNKNOWN),
            patient: rate.is_none(),
            lenient: Duration::ZERO,
            replaced: 0,
        };
        let boxes = rates_hz.iter().map(mailbox).collect();
        Self {
            state: Mutex::new(State { boxes, closed: false, poked: false, excused: false }),
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
        let mailbox = &mut state.boxes[index];
        mailbox.replaced += u64::from(mailbox.fresh);
        mailbox.fresh = true;
        mailbox.since.get_or_insert_with(Instant::now);
        std::mem::swap(&mut mailbox.frame, frame);
        self.posted.notify_one();
        true
    }

    /// Swaps the most urgent frame into `frame`; blocks until there is one.
    #[must_use]
    pub fn take(&self, frame: &mut Frame) -> Taken {
        let mut state = self.lock();
        loop {
            if std::mem::take(&mut state.poked) {
                return Taken::Poked;
            }
            let urgent = state
                .boxes
                .iter()
                .enumerate()
                .filter(|(_, mailbox)| mailbox.fresh)
                .min_by_key(|(_, mailbox)| deadline(mailbox))
                .map(|(index, _)| index);
            if let Some(index) = urgent {
                let mailbox = &mut state.boxes[index];
                mailbox.fresh = false;
                mailbox.since = None;
                std::mem::swap(&mut mailbox.frame, frame);
                let replaced = mailbox.replaced;
                self.taken.notify_all();
                return Taken::Frame { index, replaced };
            }
            if state.closed || state.boxes.iter().all(|mailbox| !mailbox.open) {
                return Taken::Closed;
            }
            state = self.posted.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
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

/// When the successor of a mailbox's frame is due.
fn deadline(mailbox: &Mailbox) -> Instant {
    mailbox.frame.captured + mailbox.period
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A desk for `rates`, and a way to post a frame `seq` captured `at_ms`.
    fn desk(rates: &[Option<f64>]) -> (Desk, impl Fn(&Desk, usize, u64, u64)) {
        let start = Instant::now();
        (Desk::new(rates), move |desk: &Desk, index, seq, at_ms| {
            let captured = start + Duration::from_millis(at_ms);
            let mut frame = Frame { seq, captured, ..Frame::default() };
            assert!(desk.post(index, &mut frame));
        })
    }

    #[test]
    fn the_newest_frame_wins() {
        let (desk, post) = desk(&[Some(30.0)]);
        for seq in 0..3 {
            post(&desk, 0, seq, seq);
        }
        let mut frame = Frame::default();
        assert_eq!(desk.take(&mut frame), Taken::Frame { index: 0, replaced: 2 });
        assert_eq!(frame.seq, 2);
    }

    #[test]
    fn the_frame_whose_successor_is_due_first_is_taken_first() {
        for (slow_at_ms, fast_at_ms, first) in [(0, 0, 1), (0, 500, 1), (0, 990, 0)] {
            let (desk, post) = desk(&[Some(1.0), Some(30.0)]);
            post(&desk, 0, 0, slow_at_ms);
            post(&desk, 1, 0, fast_at_ms);
            let taken = desk.take(&mut Frame::default());
            assert_eq!(taken, Taken::Frame { index: first, replaced: 0 }, "{fast_at_ms}");
        }
    }

    #[test]
    fn a_frame_waits_from_the_first_that_nobody_took() {
        let (desk, post) = desk(&[Some(30.0), Some(30.0)]);
        let later = || Instant::now() + Duration::from_secs(60);
        assert_eq!(desk.waits(later()), Duration::ZERO);
        post(&desk, 0, 0, 0);
        post(&desk, 0, 1, 33);
        assert!(desk.waits(later()) >= Duration::from_secs(60));
        desk.excuse(true);
        assert_eq!(desk.waits(later()), Duration::ZERO);
        desk.excuse(false);
        assert!(desk.waits(later()) >= Duration::from_secs(60));
        assert!(matches!(desk.take(&mut Frame::default()), Taken::Frame { .. }));
        assert_eq!(desk.waits(later()), Duration::ZERO);
    }

    /// Posts so many frames as fast as they are taken: each of them comes, in order.
    fn all_arrive(desk: &Desk, count: u64) {
        let seen = std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut frame = Frame::default();
                for seq in 0..count {
                    frame.seq = seq;
                    assert!(desk.post(0, &mut frame));
                }
                desk.end(0);
            });
            let (mut frame, mut seen) = (Frame::default(), Vec::new());
            while let Taken::Frame { .. } = desk.take(&mut frame) {
                seen.push(frame.seq);
            }
            seen
        });
        assert_eq!(seen, (0..count).collect::<Vec<_>>());
    }

    #[test]
    fn a_source_without_a_rate_loses_no_frame() {
        let desk = Desk::new(&[None]);
        all_arrive(&desk, 1000);
    }

    #[test]
    fn frames_that_come_in_a_packet_wait_for_each_other_but_not_for_ever() {
        let mut desk = Desk::new(&[Some(8.0)]);
        desk.set_lenient(0, Duration::from_secs(60));
        all_arrive(&desk, 100);
        let (mut desk, post) = desk_of_one();
        desk.set_lenient(0, Duration::from_millis(1));
        (0..3).for_each(|seq| post(&desk, 0, seq, seq));
        assert_eq!(desk.take(&mut Frame::default()), Taken::Frame { index: 0, replaced: 2 });
    }

    fn desk_of_one() -> (Desk, impl Fn(&Desk, usize, u64, u64)) {
        desk(&[Some(30.0)])
    }

    #[test]
    fn a_closed_desk_gives_what_it_holds_and_takes_nothing() {
        let (desk, post) = desk(&[Some(30.0), None]);
        post(&desk, 0, 7, 0);
        desk.close();
        let mut frame = Frame::default();
        assert!(!desk.post(1, &mut frame));
        assert_eq!(desk.take(&mut frame), Taken::Frame { index: 0, replaced: 0 });
        assert_eq!(desk.take(&mut frame), Taken::Closed);
    }

    #[test]
    fn a_poke_is_heard_before_the_next_frame() {
        let (desk, post) = desk(&[Some(30.0)]);
        post(&desk, 0, 0, 0);
        desk.poke();
        let mut frame = Frame::default();
        assert_eq!(desk.take(&mut frame), Taken::Poked);
        assert_eq!(desk.take(&mut frame), Taken::Frame { index: 0, replaced: 0 });
    }
}
