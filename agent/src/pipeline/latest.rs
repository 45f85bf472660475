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

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
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
    replaced: u64,
}

/// A frame that was taken, and whose it is.
#[derive(Debug, Default)]
pub struct Picked {
    /// The frame.
    pub frame: Frame,
    /// Which mailbox it lay in.
    pub index: usize,
    /// Frames that this mailbox lost to newer ones since the start.
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
            replaced: 0,
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
        let until = first + batch.delay;
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
            (place.index, place.replaced) = (index, mailbox.replaced);
            count += 1;
        }
        count
    }
}

impl Mailbox {
    fn put(&mut self, frame: &mut Frame, now: Instant) {
        self.replaced += u64::from(self.fresh);
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

    /// Whether a frame is to be expected before `until`: for a whole period after it was due, and no longer. Who waits
    /// for its frame to be taken has the next one at once.
    fn is_expected(&self, now: Instant, until: Instant) -> bool {
        let Some(last) = self.last.filter(|_| self.open && !self.fresh) else { return false };
        let early = if self.patient { self.period } else { self.period / JITTER };
        last + self.period <= until + early && now < last + 2 * self.period
    }
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

    /// What is taken: its mailbox, its number, and how many it replaced.
    fn take(desk: &Desk) -> (usize, u64, u64) {
        let mut picked = [Picked::default()];
        assert_eq!(desk.take(&mut picked, Batch::ALONE), Taken::Frames(1));
        (picked[0].index, picked[0].frame.seq, picked[0].replaced)
    }

    #[test]
    fn the_newest_frame_wins() {
        let (desk, post) = desk(&[Some(30.0)]);
        for seq in 0..3 {
            post(&desk, 0, seq, seq);
        }
        assert_eq!(take(&desk), (0, 2, 2));
    }

    #[test]
    fn the_frame_whose_successor_is_due_first_is_taken_first() {
        for (slow_at_ms, fast_at_ms, first) in [(0, 0, 1), (0, 500, 1), (0, 990, 0)] {
            let (desk, post) = desk(&[Some(1.0), Some(30.0)]);
            post(&desk, 0, 0, slow_at_ms);
            post(&desk, 1, 0, fast_at_ms);
            assert_eq!(take(&desk), (first, 0, 0), "{fast_at_ms}");
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
        take(&desk);
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
            let (mut picked, mut seen) = ([Picked::default()], Vec::new());
            while let Taken::Frames(_) = desk.take(&mut picked, Batch::ALONE) {
                seen.push(picked[0].frame.seq);
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
        assert_eq!(take(&desk), (0, 2, 2));
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
        assert_eq!(take(&desk), (0, 7, 0));
        assert_eq!(desk.take(&mut [Picked::default()], Batch::ALONE), Taken::Closed);
    }

    #[test]
    fn a_poke_is_heard_before_the_next_frame() {
        let (desk, post) = desk(&[Some(30.0)]);
        post(&desk, 0, 0, 0);
        desk.poke();
        assert_eq!(desk.take(&mut [Picked::default()], Batch::ALONE), Taken::Poked);
        assert_eq!(take(&desk), (0, 0, 0));
    }

    /// What is taken where up to `max` go together: the mailboxes.
    fn together(desk: &Desk, max: usize, delay: Duration) -> Vec<usize> {
        let mut picked: Vec<Picked> = (0..max).map(|_| Picked::default()).collect();
        match desk.take(&mut picked, Batch { max, delay }) {
            Taken::Frames(count) => picked[..count].iter().map(|one| one.index).collect(),
            other => panic!("{other:?}"),
        }
    }

    /// Longer than any test.
    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn those_that_are_here_go_together_the_most_urgent_first_and_no_more_than_fit() {
        let (desk, post) = desk(&[Some(30.0); 4]);
        for (index, at_ms) in [(0, 30), (1, 20), (2, 10), (3, 0)] {
            post(&desk, index, 0, at_ms);
        }
        assert_eq!(together(&desk, 3, LONG), [3, 2, 1]);
        // The others had their turn just now: nothing is to be expected of them within a millisecond.
        assert_eq!(together(&desk, 3, Duration::from_millis(1)), [0]);
    }

    #[test]
    fn who_never_gave_a_frame_or_has_ended_is_not_waited_for() {
        let (desk, post) = desk(&[Some(30.0), Some(30.0), Some(30.0)]);
        post(&desk, 0, 0, 0);
        assert_eq!(together(&desk, 3, LONG), [0]);
        (0..2).for_each(|index| post(&desk, index, 1, 0));
        assert_eq!(together(&desk, 2, LONG), [0, 1]);
        desk.end(1);
        post(&desk, 0, 2, 0);
        assert_eq!(together(&desk, 3, LONG), [0]);
    }

    #[test]
    fn a_frame_is_expected_from_a_little_before_it_is_due_until_a_period_after() {
        let now = Instant::now();
        let ms = |count: u64| now + Duration::from_millis(count);
        let mut mailbox = Desk::new(&[Some(10.0)]).state.into_inner().unwrap().boxes.remove(0);
        assert!(!mailbox.is_expected(now, ms(1000)), "it never gave one");
        mailbox.put(&mut Frame::default(), now);
        assert!(!mailbox.is_expected(now, ms(1000)), "it is here");
        (mailbox.fresh, mailbox.since) = (false, None);
        for (at, until, expected) in
            [(0, 80, false), (0, 90, true), (95, 105, true), (199, 210, true), (200, 210, false)]
        {
            assert_eq!(mailbox.is_expected(ms(at), ms(until)), expected, "{at} {until}");
        }
    }

    #[test]
    fn a_frame_waits_for_one_that_is_expected_and_goes_with_it() {
        let (desk, post) = desk(&[Some(0.01), Some(0.01)]);
        (0..2).for_each(|index| post(&desk, index, 0, 0));
        assert_eq!(together(&desk, 2, LONG), [0, 1]);
        post(&desk, 0, 1, 500);
        let taken = std::thread::scope(|scope| {
            let taken = scope.spawn(|| together(&desk, 2, LONG));
            post(&desk, 1, 1, 500);
            taken.join().unwrap()
        });
        assert_eq!(taken, [0, 1]);
    }

    #[test]
    fn whoever_does_not_come_is_waited_for_no_longer_than_the_delay() {
        let (desk, post) = desk(&[Some(40.0), Some(40.0)]);
        (0..2).for_each(|index| post(&desk, index, 0, 0));
        assert_eq!(together(&desk, 2, LONG), [0, 1]);
        // By its rate the first is expected within the delay.
        let began = Instant::now();
        post(&desk, 1, 1, 0);
        assert_eq!(together(&desk, 2, Duration::from_millis(30)), [1]);
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    }

    #[test]
    fn a_desk_that_is_closed_or_poked_waits_for_nobody() {
        let (desk, post) = desk(&[Some(0.01), Some(0.01)]);
        (0..2).for_each(|index| post(&desk, index, 0, 0));
        assert_eq!(together(&desk, 2, LONG), [0, 1]);
        post(&desk, 0, 1, 0);
        desk.poke();
        let batch = Batch { max: 2, delay: LONG };
        let mut picked = [Picked::default(), Picked::default()];
        assert_eq!(desk.take(&mut picked, batch), Taken::Poked);
        desk.close();
        assert_eq!(together(&desk, 2, LONG), [0]);
    }

    #[test]
    fn where_not_all_can_be_served_each_has_its_turn() {
        // Four cameras in step, and an engine that takes some frames only at every second of theirs.
        for max in [1, 2, 3] {
            let (desk, post) = desk(&[Some(30.0); 4]);
            let mut served = [0_u32; 4];
            for round in 0..120_u64 {
                (0..4).for_each(|index| post(&desk, index, round, 33 * round));
                if round % 2 == 1 {
                    let taken = together(&desk, max, Duration::ZERO);
                    taken.into_iter().for_each(|index| served[index] += 1);
                }
            }
            let (least, most) = (served.iter().min().unwrap(), served.iter().max().unwrap());
            assert!(most - least <= 1 && *least > 0, "{max}: {served:?}");
        }
    }
}
