//! Where which objects are: the heads of the detector families, and what they have in common.
//!
//! A family's `Head` finds candidates in its outputs: scores that reach the threshold, with boxes in pixels
//! of the model's input. All the rest is here, once: the best are sorted, placed back into the original
//! picture, clipped to it, and those that show the same object are left out.
//!
//! NaN: a frame fails where any score that is read, or a candidate's box, is NaN or infinite; -∞ is a score
//! below every threshold, and boxes whose score is below it are not looked at.

mod candidate;
mod overlap;
mod rtdetr;
mod scores;
mod settings;
mod ssd;
mod yolov10;
mod yolov5;
mod yolov8;

use wire::Detection;

pub use candidate::MAX_CANDIDATES;
pub use settings::{MAX_DETECTIONS, read};

use self::candidate::Candidate;
use self::overlap::Kept;
use self::settings::{Nms, Spec};
use super::labels::Labels;
use super::outputs::Output;
use super::{Findings, Postprocess, PostprocessError};
use crate::pipeline::engine::Lane;
use crate::pipeline::preprocess::Placement;

/// What a rounded probability may be above 1. A higher score is none: the family or activation is wrong.
const SCORE_SLACK: f32 = 0.01;

/// Finds candidates in the outputs of one family of models.
trait Head: Send {
    /// Appends all candidates of item `item` whose score reaches `threshold`; no score is NaN or infinite.
    fn collect(
        &mut self,
        lane: &dyn Lane,
        item: usize,
        threshold: f32,
        candidates: &mut Vec<Candidate>,
    ) -> Result<(), PostprocessError>;

    /// The output with the scores.
    fn scores(&self) -> &Output;

    /// The output with the boxes.
    fn boxes(&self) -> &Output;
}

struct Detect {
    spec: Spec,
    threshold: f32,
    nms: Nms,
    head: Box<dyn Head>,
    labels: Labels,
    candidates: Vec<Candidate>,
    kept: Kept,
}

impl Postprocess for Detect {
    fn run(
        &mut self,
        lane: &dyn Lane,
        item: usize,
        placement: &Placement,
        findings: &mut Findings,
    ) -> Result<(), PostprocessError> {
        findings.clear();
        self.candidates.clear();
        self.kept.clear();
        self.head.collect(lane, item, self.threshold, &mut self.candidates)?;
        if !self.candidates.iter().all(|candidate| candidate.bounds.is_finite()) {
            return Err(self.head.boxes().not_finite());
        }
        candidate::sort(&mut self.candidates);
        if let Some(first) = self.candidates.first().filter(|c| c.score > 1.0 + SCORE_SLACK) {
            return Err(PostprocessError::Output {
                output: self.head.scores().quoted(),
                found: format!("a score of {}", first.score),
                expected: "0 to 1: see `family` and `activation`".to_owned(),
            });
        }
        for candidate in &self.candidates {
            if findings.detections.len() == self.spec.max_detections {
                break;
            }
            let Some(bounds) = candidate.bounds.in_picture(placement) else { continue };
            if self.nms != Nms::None {
                let class = if self.nms == Nms::Agnostic { 0 } else { candidate.class };
                if self.kept.overlaps(candidate.bounds, class, self.spec.iou_threshold) {
                    continue;
                }
                self.kept.push(candidate.bounds, class);
            }
            let label = self.labels.name(candidate.class, self.head.scores())?;
            let (index, score) = (candidate.class, candidate.score.min(1.0));
            findings.detections.push(Detection { index, label, score, bounds, track: None });
        }
        Ok(())
    }

    fn set_threshold(&mut self, threshold: Option<f32>) {
        self.threshold = threshold.unwrap_or(self.spec.score_threshold);
    }
}
