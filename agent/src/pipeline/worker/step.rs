//! The steps of a frame, whichever thread does them, and of those who share its run.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use wire::{FrameInfo, ModelRef, Observation, Timings, Truth};

use super::{Generation, Seat, lock};
use crate::hw::second::Second;
use crate::pipeline::analysis::Of;
use crate::pipeline::engine::{EngineError, Lane};
use crate::pipeline::frame::Frame;
use crate::pipeline::latest::Picked;
use crate::pipeline::postprocess::Findings;
use crate::pipeline::preprocess::{Margin, Placement};
use crate::pipeline::tensor::ElementsMut;
use crate::report;
use crate::said::Said;

/// Frames on their way through one run: a lane, and those who share it.
pub(super) struct Job {
    pub(super) generation: Arc<Generation>,
    lane: Box<dyn Lane>,
    /// As many as the lane has places; the first `count` are taken, each in its item of the batch.
    riders: Vec<Rider>,
    count: usize,
    /// When its last run ended.
    pub(super) ran: Instant,
}

/// What is needed of a frame once its pixels are gone.
struct Rider {
    seat: usize,
    timings: Timings,
    placement: Placement,
    /// Of its item of the lane's input.
    margin: Margin,
    captured: Instant,
    ts: Timestamp,
    frame: FrameInfo,
    truth: Option<Vec<Truth>>,
    /// A copy of the frame, where somebody wants to see it.
    shown: Option<Frame>,
}

impl Rider {
    fn new() -> Self {
        Self {
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

    fn of(&self) -> Of {
        let FrameInfo { seq, width_px, height_px, .. } = self.frame;
        Of { captured: self.captured, ts: self.ts, seq, width_px, height_px }
    }
}

impl Job {
    pub(super) fn new(generation: &Arc<Generation>, lane: Box<dyn Lane>) -> Self {
        let riders = (0..generation.batch.max).map(|_| Rider::new()).collect();
        Self { generation: generation.clone(), lane, riders, count: 0, ran: Instant::now() }
    }

    /// From the cameras' formats to the tensor, with help from `second`. A frame that is no picture is counted and
    /// let go; false where none is left.
    pub(super) fn prepare(
        &mut self,
        picked: &mut [Picked],
        seats: &[Seat],
        mut second: Option<&mut Second>,
    ) -> bool {
        self.count = 0;
        for one in picked {
            self.prepare_one(one, seats, second.as_deref_mut());
        }
        self.count > 0
    }

    fn prepare_one(&mut self, picked: &mut Picked, seats: &[Seat], second: Option<&mut Second>) {
        let began = Instant::now();
        let Picked { frame, index: seat, replaced } = picked;
        let (item, items) = (self.count, self.riders.len());
        let Some(rider) = self.riders.get_mut(item) else { return };
        rider.seat = *seat;
        (rider.captured, rider.ts) = (frame.captured, frame.ts);
        rider.frame = FrameInfo {
            seq: frame.seq,
            width_px: frame.width,
            height_px: frame.height,
            dropped: *replaced,
        };
        std::mem::swap(&mut rider.truth, &mut frame.truth);
        let mut preprocess = lock(&self.generation.fittings[*seat].preprocess);
        let input = input(self.lane.as_mut(), self.generation.input, item, items);
        let filled = input.and_then(|input| {
            let filled = preprocess.run_within(frame, input, &mut rider.margin, second);
            filled.map_err(|error| report::chain(&error))
        });
        rider.timings.age_ms = millis(began.saturating_duration_since(frame.captured));
        rider.timings.preprocess_ms = millis(began.elapsed());
        match filled {
            Ok(placement) => {
                rider.placement = placement;
                rider.shown = seats[*seat].door.wanted(frame);
                self.count += 1;
            }
            Err(error) => {
                let Seat { pipeline, .. } = &seats[*seat];
                seats[*seat].failed();
                tracing::debug!(%pipeline, seq = frame.seq, error, "a frame could not be prepared");
            }
        }
    }

    /// Ends the job: its lane goes back to the model, which may be asked to run again.
    pub(super) fn retire(self) -> Arc<Generation> {
        self.generation.give_back(self.lane);
        self.generation
    }

    /// Runs the model. Each frame's run took as long as the one that it shared.
    pub(super) fn infer(&mut self) -> Result<(), EngineError> {
        let began = Instant::now();
        let ran = self.lane.run_first(self.count);
        self.ran = Instant::now();
        let took = millis(self.ran - began);
        self.riders[..self.count].iter_mut().for_each(|rider| rider.timings.inference_ms = took);
        ran
    }

    /// The run failed: each of its frames is counted.
    pub(super) fn failed(&self, seats: &[Seat]) {
        self.riders[..self.count].iter().for_each(|rider| seats[rider.seat].failed());
    }

    /// All steps on a frame whose findings nobody hears, in a run of so many items, so that it takes as long as those
    /// that speak.
    pub(super) fn try_out(
        &mut self,
        seat: usize,
        frame: &Frame,
        items: usize,
        findings: &mut Findings,
    ) -> Result<(), String> {
        let Some(rider) = self.riders.first_mut() else { return Ok(()) };
        let fitting = &self.generation.fittings[seat];
        let most = self.generation.batch.max;
        let input = input(self.lane.as_mut(), self.generation.input, 0, most)?;
        let placement = lock(&fitting.preprocess)
            .run_within(frame, input, &mut rider.margin, None)
            .map_err(|error| report::chain(&error))?;
        self.lane.run_first(items.min(most)).map_err(|error| report::chain(&error))?;
        lock(&fitting.postprocess)
            .run(self.lane.as_ref(), 0, &placement, findings)
            .map_err(|error| report::chain(&error))
    }

    /// From the outputs to the sinks, one frame after the other.
    pub(super) fn finish(&mut self, seats: &[Seat], said: &Said, desk: &mut Paper) {
        for item in 0..self.count {
            if self.count > 1 {
                seats[self.riders[item].seat].health.shared();
            }
            self.finish_one(item, seats, said, desk);
        }
    }

    fn finish_one(&mut self, item: usize, seats: &[Seat], said: &Said, desk: &mut Paper) {
        let began = Instant::now();
        let Self { generation, lane, riders, .. } = self;
        let rider = &mut riders[item];
        let seat = &seats[rider.seat];
        let mut postprocess = lock(&generation.fittings[rider.seat].postprocess);
        postprocess.set_threshold(seat.door.threshold());
        let understood = postprocess.run(lane.as_ref(), item, &rider.placement, &mut desk.findings);
        drop(postprocess);
        if let Err(error) = understood {
            seat.failed();
            let (pipeline, error) = (&seat.pipeline, report::chain(&error));
            tracing::debug!(%pipeline, seq = rider.frame.seq, error, "outputs could not be understood");
            return;
        }
        let mut analysis = lock(&seat.analysis);
        if let Some(replaced) = &seat.twin
            && !analysis.follows(rider.captured)
        {
            // The other engine has told of a newer one.
            replaced.fetch_add(1, Ordering::Relaxed);
            return;
        }
        analysis.look(&mut desk.findings, &rider.of());
        let understood_in = began.elapsed();
        rider.timings.postprocess_ms = millis(understood_in);
        let latency = rider.captured.elapsed();
        rider.timings.latency_ms = millis(latency);
        let model = &generation.model;
        let observation = Observation {
            envelope: said.envelope("vedette/observation/1", analysis.number()),
            pipeline: (&*seat.pipeline).into(),
            frame: rider.frame,
            model: ModelRef {
                name: (&*model.name).into(),
                version: (&*model.version).into(),
                sha256: (&*model.sha256).into(),
            },
            timings: rider.timings,
            classes: desk.findings.classes.as_slice().into(),
            detections: desk.findings.detections.as_slice().into(),
            anomaly: desk.findings.anomaly,
            raw: desk.findings.raw.as_slice().into(),
            zones: analysis.zone_counts().into(),
            lines: analysis.line_counts().into(),
            truth: rider.truth.as_deref().map(Into::into),
        };
        desk.body.clear();
        if let Err(error) = serde_json::to_writer(&mut desk.body, &observation) {
            tracing::warn!(error = %error, "an observation could not be written");
            return;
        }
        for (queue, topic) in &seat.outlets {
            queue.push(topic, &desk.body);
        }
        drop(analysis);
        if let Some(frame) = rider.shown.take() {
            seat.door.show(frame, &desk.findings.detections);
        }
        let work = rider.timings.preprocess_ms + rider.timings.inference_ms;
        let work = Duration::from_secs_f32(work / 1000.0) + understood_in;
        seat.health.took(&rider.timings);
        seat.watch.inferred(work);
        seat.health.inferred(rider.frame.seq, latency, rider.frame.dropped);
    }
}

/// Item `item` of the lane's input `index`, which holds `items`, to be filled.
fn input(
    lane: &mut dyn Lane,
    index: usize,
    item: usize,
    items: usize,
) -> Result<ElementsMut<'_>, String> {
    let input = lane.input_mut(index).map_err(|error| report::chain(&error))?;
    input.item(item, items).ok_or_else(|| format!("the input has no {items} items"))
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
