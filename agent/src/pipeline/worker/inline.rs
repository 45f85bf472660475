//! One thread does every step of a frame: what is best where the model runs on the same cores. Where a run uses
//! several of them, a second one helps to prepare, since they have nothing to do until the run.

use std::sync::Arc;

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
        loop {
            match self.desk.take(&mut picked, job.generation.batch) {
                Taken::Closed => return Ok(Left::Closed),
                Taken::Poked => {
                    let Some(next) = self.next_generation() else { continue };
                    if next.engine.overlaps() {
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
                }
                Taken::Frames(count) => {
                    let picked = &mut picked[..count];
                    if !job.prepare(picked, &self.seats, second.as_mut()) {
                        continue;
                    }
                    match job.infer() {
                        Ok(()) => {
                            patience.ran();
                            job.finish(&self.seats, &mut self.observed, &self.said, &mut paper);
                        }
                        Err(error) => {
                            job.failed(&self.seats);
                            patience.failed(error, &job.generation.model)?;
                        }
                    }
                    self.inbox.show(picked);
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
