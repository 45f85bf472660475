//! Three threads for the steps of a frame: one prepares, one runs, one finishes, each on another frame.
//!
//! For engines whose runs leave the CPU free, or one processor of it with frames that take long to prepare (`inline`).
//! The frame being prepared is taken as late as it can be: when the run before it is about to end, by the average of
//! those before, so that a frame is not old when it is inferred.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::courtesy::Courtesy;
use super::line::{Ends, Line};
use super::step::{Job, Paper};
use super::{Generation, LANES_OVERLAPPED, Left, Patience, Worker, places};
use crate::pipeline::latest::{Desk, Picked, Taken};
use crate::supervisor::Failure;

/// Preparing takes this many times its average, now and then: begun so much earlier, it is rarely late.
const HEADSTART: u64 = 3;

/// When the current run began and how long runs and preparations take, for [`Clock::wait`].
struct Clock {
    zero: Instant,
    run_began_ns: AtomicU64,
    run_ns: AtomicU64,
    prepare_ns: AtomicU64,
}

impl Clock {
    fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self { zero: Instant::now(), run_began_ns: zero(), run_ns: zero(), prepare_ns: zero() }
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.zero.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Moves `average` an eighth towards `sample`.
    fn average(average: &AtomicU64, sample: Duration) {
        let sample = u64::try_from(sample.as_nanos()).unwrap_or(u64::MAX);
        let old = average.load(Ordering::Relaxed);
        let new = if old == 0 { sample } else { old - old / 8 + sample / 8 };
        average.store(new, Ordering::Relaxed);
    }

    /// How long to wait before the next frame is taken.
    fn wait(&self) -> Duration {
        let ends = self.run_began_ns.load(Ordering::Relaxed) + self.run_ns.load(Ordering::Relaxed);
        let begin = ends.saturating_sub(HEADSTART * self.prepare_ns.load(Ordering::Relaxed));
        Duration::from_nanos(begin.saturating_sub(self.now_ns()))
    }
}

/// Why preparing ended, and the model to go on with.
type Prepared = Result<(Left, Option<Arc<Generation>>), Failure>;

/// Jobs that exist at one time: those of one model, and those of the next while the last are finished.
const JOBS_MAX: usize = 2 * LANES_OVERLAPPED;

impl Worker {
    pub(super) fn overlapped(&mut self, first: &Arc<Generation>) -> Result<Left, Failure> {
        let jobs = jobs(first)?;
        let [free, ready, done] = [(); 3].map(|()| Line::new(JOBS_MAX));
        let clock = Clock::new();
        let this = &*self;
        let ended = std::thread::scope(|scope| {
            let (free, ready, done, clock) = (&free, &ready, &done, &clock);
            // Each ends with its thread, or at once where there is no thread to be had.
            let (prepared, finished) = (Ends([ready]), Ends([done, free]));
            let prepare = thread("prepare").spawn_scoped(scope, move || {
                let _prepared = prepared;
                this.prepare_all(jobs, free, ready, clock)
            });
            let finish = thread("finish").spawn_scoped(scope, move || {
                let _finished = finished;
                this.finish_all(done, free);
            });
            let ran = {
                // Last, when the lines have ended: who waits for frames then sees it.
                let _poke = Poke(&this.desk);
                let _ran = Ends([ready, done, free]);
                this.run_all(ready, done, free, clock)
            };
            let no_thread = |error| Failure::retry("cannot start a thread", error);
            finish.map_err(no_thread)?.join().unwrap_or_else(|panic| resume_unwind(panic));
            let prepared = prepare.map_err(no_thread)?.join();
            let prepared = prepared.unwrap_or_else(|panic| resume_unwind(panic));
            ran.and(prepared)
        });
        let (left, next) = ended?;
        self.current = next;
        Ok(left)
    }

    fn prepare_all(
        &self,
        mut spare: Vec<Job>,
        free: &Line<Job>,
        ready: &Line<Job>,
        clock: &Clock,
    ) -> Prepared {
        let Some(mut current) = spare.first().map(|job| job.generation.clone()) else {
            return Err(Failure::retry("no buffers", "the engine gave none"));
        };
        let mut picked = places(&current);
        loop {
            let Some(mut job) = spare.pop().or_else(|| free.take()) else {
                return Ok((Left::Closed, None));
            };
            if !Arc::ptr_eq(&job.generation, &current) {
                self.reap(Box::new(job.retire()));
                continue;
            }
            std::thread::sleep(clock.wait());
            match self.desk.take(&mut picked, current.batch) {
                Taken::Closed => return Ok((Left::Closed, None)),
                Taken::Poked if ready.has_ended() => {
                    return Ok((Left::OtherMode, None));
                }
                Taken::Poked => {
                    spare.push(job);
                    let Some(next) = self.next_generation() else { continue };
                    if !next.overlaps() {
                        return Ok((Left::OtherMode, Some(next)));
                    }
                    next.inherit(&current);
                    picked.resize_with(next.batch.max, Picked::default);
                    let old = std::mem::replace(&mut spare, jobs(&next)?);
                    let old: Vec<_> = old.into_iter().map(Job::retire).collect();
                    self.reap(Box::new((old, std::mem::replace(&mut current, next))));
                }
                Taken::Frames(count) => {
                    let (began, picked) = (Instant::now(), &mut picked[..count]);
                    if !job.prepare(picked, &self.seats, None) {
                        spare.push(job);
                        continue;
                    }
                    Clock::average(&clock.prepare_ns, began.elapsed());
                    if ready.put(job).is_err() {
                        return Ok((Left::OtherMode, None));
                    }
                    self.inbox.show(picked);
                }
            }
        }
    }

    fn run_all(
        &self,
        ready: &Line<Job>,
        done: &Line<Job>,
        free: &Line<Job>,
        clock: &Clock,
    ) -> Result<(), Failure> {
        let mut patience = Patience::default();
        while let Some(mut job) = ready.take() {
            let began = Instant::now();
            clock.run_began_ns.store(clock.now_ns(), Ordering::Relaxed);
            // Where the line has ended everything is ending, and the job with it.
            match job.infer() {
                Ok(()) => {
                    patience.ran();
                    Clock::average(&clock.run_ns, began.elapsed());
                    drop(done.put(job));
                }
                Err(error) => {
                    job.failed(&self.seats);
                    let failed = patience.failed(error, &job.generation.model);
                    drop(free.put(job));
                    failed?;
                }
            }
        }
        Ok(())
    }

    fn finish_all(&self, done: &Line<Job>, free: &Line<Job>) {
        let mut courtesy = Courtesy::begin();
        let mut paper = Paper::default();
        while let Some(mut job) = done.take() {
            courtesy.note(job.ran.elapsed());
            job.finish(&self.seats, &self.said, &mut paper);
            // Where the line has ended everything is ending, and the job with it.
            drop(free.put(job));
        }
    }
}

/// Wakes who waits for frames, so that it sees that everything ends.
struct Poke<'a>(&'a Desk);

impl Drop for Poke<'_> {
    fn drop(&mut self) {
        self.0.poke();
    }
}

fn thread(name: &str) -> std::thread::Builder {
    std::thread::Builder::new().name(name.to_owned())
}

fn jobs(generation: &Arc<Generation>) -> Result<Vec<Job>, Failure> {
    let lanes = generation.take_lanes().map_err(|error| Failure::retry("no buffers", error))?;
    Ok(lanes.into_iter().map(|lane| Job::new(generation, lane)).collect())
}
