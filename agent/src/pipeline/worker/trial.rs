//! A second model that sees the frames of the one that speaks, and is not heard.
//!
//! It has a thread of its own, which asks for a frame when it is ready for one: the engine's thread copies it
//! then, after its own work on it. After each frame it rests as long as it worked, so that a slow model on trial
//! takes at most half of what a core has from the one that serves. What it finds is counted and thrown away.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::step::Job;
use super::{Generation, Swap, lock};
use crate::pipeline::frame::Frame;
use crate::pipeline::health::{Watch, Watched};
use crate::pipeline::latest::Picked;
use crate::pipeline::postprocess::Findings;

/// Longest rest between two frames of a trial: a model that takes longer still runs once in a while.
const REST_MAX: Duration = Duration::from_secs(2);

/// One frame that somebody waits for.
#[derive(Debug, Default)]
pub(super) struct Onlooker {
    wants: AtomicBool,
    place: Mutex<Place>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Place {
    seat: usize,
    frame: Frame,
    /// How many shared the run of this one.
    items: usize,
    fresh: bool,
    ended: bool,
}

impl Onlooker {
    /// Copies one of those that were served together, where one is wanted: of several pipelines each in its turn.
    pub(super) fn show(&self, served: &[Picked]) {
        if served.is_empty() || !self.wants.swap(false, Ordering::AcqRel) {
            return;
        }
        let mut place = lock(&self.place);
        let before = place.seat;
        let Some(next) = served.iter().min_by_key(|one| (one.index <= before, one.index)) else {
            return;
        };
        place.frame.copy_from(&next.frame);
        (place.seat, place.items, place.fresh) = (next.index, served.len(), true);
        self.changed.notify_all();
    }

    /// The next frame, swapped into `frame`, its seat, and how many shared its run; `None` once the trial ended.
    fn see(&self, frame: &mut Frame) -> Option<(usize, usize)> {
        let mut place = lock(&self.place);
        self.wants.store(true, Ordering::Release);
        while !place.fresh && !place.ended {
            place = self.changed.wait(place).unwrap_or_else(PoisonError::into_inner);
        }
        if place.ended {
            return None;
        }
        place.fresh = false;
        std::mem::swap(&mut place.frame, frame);
        Some((place.seat, place.items))
    }

    /// Rests, less where the trial ends before.
    fn rest(&self, time: Duration) {
        let place = lock(&self.place);
        drop(self.changed.wait_timeout_while(place, time, |place| !place.ended));
    }

    fn end(&self) {
        lock(&self.place).ended = true;
        self.wants.store(false, Ordering::Release);
        self.changed.notify_all();
    }
}

/// A model on trial. Ends when dropped.
#[derive(Debug)]
pub struct Trial {
    swap: Swap,
    onlooker: Arc<Onlooker>,
    watch: Arc<Watch>,
    thread: Option<JoinHandle<()>>,
}

impl Swap {
    /// Runs `generation` on the frames that the engine's thread serves, beside the model that speaks. A trial that
    /// is under way sees no more frames.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn try_out(&self, generation: &Arc<Generation>) -> io::Result<Trial> {
        let (onlooker, watch) = (Arc::<Onlooker>::default(), Arc::<Watch>::default());
        watch.begin();
        let (looks, counts, model) = (onlooker.clone(), watch.clone(), generation.clone());
        let thread = std::thread::Builder::new()
            .name("trial".to_owned())
            .spawn(move || run(&model, &looks, &counts))?;
        *lock(&self.inbox.onlooker) = Some(onlooker.clone());
        self.inbox.watched.store(true, Ordering::Relaxed);
        Ok(Trial { swap: self.clone(), onlooker, watch, thread: Some(thread) })
    }
}

impl Trial {
    /// What came of its frames so far. A model that could not even get its buffers failed once and saw none.
    #[must_use]
    pub fn figures(&self) -> Watched {
        self.watch.seen()
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        let mut current = lock(&self.swap.inbox.onlooker);
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, &self.onlooker)) {
            *current = None;
            self.swap.inbox.watched.store(false, Ordering::Relaxed);
        }
        drop(current);
        self.onlooker.end();
        if let Some(thread) = self.thread.take() {
            // A panic of the model's was counted by its silence.
            drop(thread.join());
        }
    }
}

fn run(generation: &Arc<Generation>, onlooker: &Onlooker, watch: &Watch) {
    let lane = generation.take_lanes().map(|lanes| {
        let mut lanes = lanes.into_iter();
        let first = lanes.next();
        lanes.for_each(|lane| generation.give_back(lane));
        first
    });
    let Ok(Some(lane)) = lane else {
        watch.failed();
        return;
    };
    let (mut job, mut findings) = (Job::new(generation, lane), Findings::default());
    let mut frame = Frame::default();
    while let Some((seat, items)) = onlooker.see(&mut frame) {
        let began = Instant::now();
        let tried = job.try_out(seat, &frame, items, &mut findings);
        let work = began.elapsed();
        match tried {
            Ok(()) => watch.inferred(work),
            Err(error) => {
                watch.failed();
                tracing::debug!(model = %generation.model.name, seq = frame.seq, error, "a frame failed on trial");
            }
        }
        onlooker.rest(work.min(REST_MAX));
    }
    drop(job.retire());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_pipelines_that_share_their_runs_each_is_shown_in_its_turn() {
        let (onlooker, mut frame) = (Onlooker::default(), Frame::default());
        let served = [2, 0, 1].map(|index| Picked { index, ..Picked::default() });
        let mut seen = Vec::new();
        for _ in 0..6 {
            onlooker.wants.store(true, Ordering::Release);
            onlooker.show(&served);
            seen.extend(onlooker.see(&mut frame));
        }
        assert_eq!(seen, [1, 2, 0, 1, 2, 0].map(|seat| (seat, 3)));
    }
}
