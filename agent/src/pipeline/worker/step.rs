//! The steps of one frame, whichever thread does them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use wire::{FrameInfo, ModelRef, Observation, Timings, Truth};

use super::{Generation, Seat, lock};
use crate::hw::second::Second;
use crate::pipeline::analysis::Of;
use crate::pipeline::engine::{EngineError, Lane};
use crate::pipeline::frame::Frame;
use crate::pipeline::postprocess::Findings;
use crate::pipeline::preprocess::{Margin, Placement};
use crate::report;
use crate::said::Said;

/// One frame on its way: a lane, and what is needed of the frame once its pixels are gone.
pub(super) struct Job {
    pub(super) generation: Arc<Generation>,
    pub(super) lane: Box<dyn Lane>,
    pub(super) seat: usize,
    pub(super) timings: Timings,
    placement: Placement,
    /// Of the lane's input.
    margin: Margin,
    captured: Instant,
    ts: Timestamp,
    frame: FrameInfo,
    truth: Option<Vec<Truth>>,
    /// A copy of the frame, where somebody wants to see it.
    shown: Option<Frame>,
}

impl Job {
    pub(super) fn new(generation: &Arc<Generation>, lane: Box<dyn Lane>) -> Self {
        Self {
            generation: generation.clone(),
            lane,
            seat: 0,
            timings: Timings::default(),
            placement: Placement::NONE,
            margin: Margin::default(),
            captured: Instant::now(),
            ts: Timestamp::UNIX_EPOCH,
            frame: FrameInfo { seq: 0, width_px: 0, height_px: 0, dropped: 0 },
            truth: None,
            shown: None,
        }
    }

    /// From the camera's format to the tensor, with help from `second`. False where the frame is no picture: it is counted and let go.
    pub(super) fn prepare(
        &mut self,
        seat: usize,
        frame: &mut Frame,
        replaced: u64,
        seats: &[Seat],
        second: Option<&mut Second>,
    ) -> bool {
        let began = Instant::now();
        self.seat = seat;
        (self.captured, self.ts) = (frame.captured, frame.ts);
        self.frame = FrameInfo {
            seq: frame.seq,
            width_px: frame.width,
            height_px: frame.height,
            dropped: replaced,
        };
        std::mem::swap(&mut self.truth, &mut frame.truth);
        let mut preprocess = lock(&self.generation.fittings[seat].preprocess);
        let filled = match self.lane.input_mut(self.generation.input) {
            Ok(input) => preprocess
                .run_within(frame, input, &mut self.margin, second)
                .map_err(|error| report::chain(&error)),
            Err(error) => Err(report::chain(&error)),
        };
        self.timings.age_ms = millis(began.saturating_duration_since(frame.captured));
        self.timings.preprocess_ms = millis(began.elapsed());
        match filled {
            Ok(placement) => {
                self.placement = placement;
                self.shown = seats[seat].door.wanted(frame);
                true
            }
            Err(error) => {
                let Seat { pipeline, health, .. } = &seats[seat];
                health.failed();
                tracing::debug!(%pipeline, seq = frame.seq, error, "a frame could not be prepared");
                false
            }
        }
    }

    /// Ends the job: its lane goes back to the model, which may be asked to run again.
    pub(super) fn retire(self) -> Arc<Generation> {
        self.generation.give_back(self.lane);
        self.generation
    }

    /// Runs the model.
    pub(super) fn infer(&mut self) -> Result<(), EngineError> {
        let began = Instant::now();
        let ran = self.lane.run();
        self.timings.inference_ms = millis(began.elapsed());
        ran
    }

    /// All steps on a frame whose findings nobody hears.
    pub(super) fn try_out(
        &mut self,
        seat: usize,
        frame: &Frame,
        findings: &mut Findings,
    ) -> Result<(), String> {
        let fitting = &self.generation.fittings[seat];
        let input = self.lane.input_mut(self.generation.input).map_err(|e| report::chain(&e))?;
        let placement = lock(&fitting.preprocess)
            .run_within(frame, input, &mut self.margin, None)
            .map_err(|error| report::chain(&error))?;
        self.lane.run().map_err(|error| report::chain(&error))?;
        lock(&fitting.postprocess)
            .run(self.lane.as_ref(), 0, &placement, findings)
            .map_err(|error| report::chain(&error))
    }

    fn of(&self) -> Of {
        let FrameInfo { seq, width_px, height_px, .. } = self.frame;
        Of { captured: self.captured, ts: self.ts, seq, width_px, height_px }
    }

    /// From the outputs to the sinks. `observed` counts the pipeline's observations.
    pub(super) fn finish(
        &mut self,
        seats: &[Seat],
        observed: &mut [u64],
        said: &Said,
        desk: &mut Paper,
    ) {
        let began = Instant::now();
        let seat = &seats[self.seat];
        let mut postprocess = lock(&self.generation.fittings[self.seat].postprocess);
        postprocess.set_threshold(seat.door.threshold());
        let understood =
            postprocess.run(self.lane.as_ref(), 0, &self.placement, &mut desk.findings);
        drop(postprocess);
        if let Err(error) = understood {
            seat.health.failed();
            let (pipeline, error) = (&seat.pipeline, report::chain(&error));
            tracing::debug!(%pipeline, seq = self.frame.seq, error, "outputs could not be understood");
            return;
        }
        let mut analysis = lock(&seat.analysis);
        analysis.look(&mut desk.findings, &self.of());
        let understood_in = began.elapsed();
        self.timings.postprocess_ms = millis(understood_in);
        observed[self.seat] += 1;
        let latency = self.captured.elapsed();
        self.timings.latency_ms = millis(latency);
        let model = &self.generation.model;
        let observation = Observation {
            envelope: said.envelope("vedette/observation/1", observed[self.seat]),
            pipeline: (&*seat.pipeline).into(),
            frame: self.frame,
            model: ModelRef {
                name: (&*model.name).into(),
                version: (&*model.version).into(),
                sha256: (&*model.sha256).into(),
            },
            timings: self.timings,
            classes: desk.findings.classes.as_slice().into(),
            detections: desk.findings.detections.as_slice().into(),
            anomaly: desk.findings.anomaly,
            raw: desk.findings.raw.as_slice().into(),
            zones: analysis.zone_counts().into(),
            lines: analysis.line_counts().into(),
            truth: self.truth.as_deref().map(Into::into),
        };
        desk.body.clear();
        if let Err(error) = serde_json::to_writer(&mut desk.body, &observation) {
            tracing::warn!(error = %error, "an observation could not be written");
            return;
        }
        drop(analysis);
        for (queue, topic) in &seat.outlets {
            queue.push(topic, &desk.body);
        }
        if let Some(frame) = self.shown.take() {
            seat.door.show(frame, &desk.findings.detections);
        }
        let work = self.timings.preprocess_ms + self.timings.inference_ms;
        let work = Duration::from_secs_f32(work / 1000.0) + understood_in;
        seat.health.took(&self.timings);
        seat.health.inferred(self.frame.seq, latency, work, self.frame.dropped);
    }
}

/// What the last step writes on, reused from frame to frame.
#[derive(Default)]
pub(super) struct Paper {
    findings: Findings,
    body: Vec<u8>,
}

#[expect(
    clippy::as_conversions,
    reason = "f64 to f32: a duration's digits beyond the seventh are noise"
)]
#[expect(clippy::cast_possible_truncation, reason = "milliseconds fit")]
fn millis(duration: Duration) -> f32 {
    (duration.as_secs_f64() * 1000.0) as f32
}
