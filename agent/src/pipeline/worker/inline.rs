//! One thread does every step of a frame: what is best where the model runs on the same cores. Where a run uses
//! several of them, a second one helps to prepare, since they have nothing to do until the run. Where frames wait for
//! one another, much of that is preparing (a JPEG's decoding), and a run leaves a processor free, it goes over to the
//! way of an accelerator, which costs buffers: the next frame is prepared while one runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::step::{Job, Paper};
use super::{Generation, Left, Patience, Worker, places};
use crate::hw::second::Second;
use crate::pipeline::latest::{Picked, Taken};
use crate::supervisor::Failure;

impl Worker {
    pub(super) fn inline(&mut self, first: &Arc<Generation>) -> Result<Left, Failure> {
        let mut job = self.first_job(first)?;
        let mut second = second(first);
        let mut picked = places(first);
        let (mut paper, mut patience) = (Paper::default(), Patience::default());
        let (mut pace, mut spare) = (Pace::default(), has_free_processor(first));
        loop {
            let began = Instant::now();
            match self.desk.take(&mut picked, job.generation.batch) {
                Taken::Closed => return Ok(Left::Closed),
                Taken::Poked => {
                    let Some(next) = self.next_generation() else { continue };
                    if next.overlaps() {
                        self.current = Some(next);
                        return Ok(Left::OtherMode);
                    }
                    if (next.engine.threads() > 1) != second.is_some() {
                        second = self::second(&next);
                    }
                    next.inherit(&job.generation);
                    picked.resize_with(next.batch.max, Picked::default);
                    let old = std::mem::replace(&mut job, self.first_job(&next)?);
                    self.reap(Box::new(old.retire()));
                    (pace, spare) = (Pace::default(), has_free_processor(&job.generation));
                }
                Taken::Frames(count) => {
                    let taken = Instant::now();
                    let picked = &mut picked[..count];
                    if !job.prepare(picked, &self.seats, second.as_mut()) {
                        continue;
                    }
                    let prepared = Instant::now();
                    match job.infer() {
                        Ok(()) => {
                            patience.ran();
                            pace.add(taken - began, prepared - taken, prepared.elapsed());
                            job.finish(&self.seats, &self.said, &mut paper);
                        }
                        Err(error) => {
                            job.failed(&self.seats);
                            patience.failed(error, &job.generation.model)?;
                        }
                    }
                    self.inbox.show(picked);
                    if spare && pace.wants_to_overlap() {
                        job.generation.overlap();
                        self.current = Some(job.retire());
                        return Ok(Left::OtherMode);
                    }
                }
            }
        }
    }

    fn first_job(&self, generation: &Arc<Generation>) -> Result<Job, Failure> {
        let lanes = generation.take_lanes().map_err(|error| Failure::retry("no buffers", error))?;
        let lane = lanes.into_iter().next();
        lane.map(|lane| Job::new(generation, lane))
            .ok_or_else(|| Failure::retry("no buffers", "the engine gave none"))
    }
}

/// Frames in a row that are judged together: a burst of fewer is over before other buffers are made.
const FRAMES: u32 = 16;
/// Idle for less than this share of the time, frames wait for one another.
const IDLE: u32 = 16;
/// Preparing that takes less than this share of the time is not worth buffers.
const MUCH: u32 = 8;

/// What some frames in a row spent their time with.
#[derive(Debug, Default)]
struct Pace {
    frames: u32,
    idle: Duration,
    prepare: Duration,
    run: Duration,
}

impl Pace {
    fn add(&mut self, idle: Duration, prepare: Duration, run: Duration) {
        if self.frames == FRAMES {
            *self = Self::default();
        }
        self.frames += 1;
        self.idle += idle;
        self.prepare += prepare;
        self.run += run;
    }

    /// Whether more frames would be inferred if one were prepared while another runs.
    fn wants_to_overlap(&self) -> bool {
        let all = self.idle + self.prepare + self.run;
        self.frames == FRAMES && self.idle * IDLE < all && self.prepare * MUCH > all
    }
}

/// Whether a run leaves a processor free. Asked once for a model: the answer is read from files.
fn has_free_processor(generation: &Generation) -> bool {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    generation.engine.threads() < processors
}

/// Help with preparing, where the model's runs use more than one processor.
fn second(generation: &Generation) -> Option<Second> {
    if generation.engine.threads() < 2 {
        return None;
    }
    let started = Second::start("second");
    if let Err(error) = &started {
        tracing::warn!(%error, "no thread to help with preparing frames");
    }
    started.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_frames_that_wait_and_take_long_to_prepare_are_worth_buffers() {
        for (idle_us, prepare_us, run_us, wants) in [
            (0, 5700, 6200, true),
            (300, 5700, 6200, true),
            (1000, 5700, 6200, false),
            (20_000, 5700, 6200, false),
            (0, 250, 6200, false),
            (0, 0, 0, false),
        ] {
            let mut pace = Pace::default();
            for frame in 1..=3 * FRAMES {
                let [idle, prepare, run] = [idle_us, prepare_us, run_us].map(Duration::from_micros);
                pace.add(idle, prepare, run);
                assert_eq!(
                    pace.wants_to_overlap(),
                    wants && frame % FRAMES == 0,
                    "{idle_us} {frame}"
                );
            }
        }
    }
}
