//! One thread does every step of a frame: what is best where the model runs on the same cores.

use std::sync::Arc;

use super::step::{Job, Paper};
use super::{Generation, Left, Patience, Worker};
use crate::pipeline::frame::Frame;
use crate::pipeline::latest::Taken;
use crate::supervisor::Failure;

impl Worker {
    pub(super) fn inline(&mut self, first: &Arc<Generation>) -> Result<Left, Failure> {
        let mut job = self.first_job(first)?;
        let (mut frame, mut paper, mut patience) =
            (Frame::default(), Paper::default(), Patience::default());
        loop {
            match self.desk.take(&mut frame) {
                Taken::Closed => return Ok(Left::Closed),
                Taken::Poked => {
                    let Some(next) = self.next_generation() else { continue };
                    if next.engine.overlaps() {
                        self.current = Some(next);
                        return Ok(Left::OtherMode);
                    }
                    let old = std::mem::replace(&mut job, self.first_job(&next)?);
                    self.reap(Box::new(old.retire()));
                }
                Taken::Frame { index, replaced } => {
                    if !job.prepare(index, &mut frame, replaced, &self.seats) {
                        continue;
                    }
                    match job.infer() {
                        Ok(()) => {
                            patience.ran();
                            job.finish(&self.seats, &mut self.observed, &self.said, &mut paper);
                        }
                        Err(error) => {
                            self.seats[index].health.failed();
                            patience.failed(error, &job.generation.model)?;
                        }
                    }
                    self.inbox.show(index, &frame);
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
