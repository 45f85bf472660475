//! YOLOv5 and v7: `[batch, anchors, 5 + classes]`, boxes by centre and size in pixels of the input, then how
//! sure it is that there is anything, then how sure of each class if there is. The score is the product of
//! both, of the best class, of equals the first.

use super::super::outputs::{self, Extent, Output, Shape, Types};
use super::super::{ModelFacts, PostprocessError, numbers};
use super::Head;
use super::candidate::{Candidate, Corners};
use super::settings::{Built, Nms};
use crate::pipeline::engine::Lane;

/// Columns before the classes: a box and how sure it is that there is anything.
const BEFORE: usize = 5;
/// Rows read at once: as `f32` of 80 classes they stay in the second-level cache.
const BLOCK: usize = 256;

/// The head for `model`, from its output `name` or its only one.
pub(super) fn build(model: &ModelFacts<'_>, name: Option<&str>) -> Result<Built, PostprocessError> {
    let index = outputs::find(model, "output", name, &[], |_, _| true)?;
    let shape = vec![Extent::AtLeast(0, "anchors"), Extent::AtLeast(BEFORE + 1, "5 + classes")];
    let mut output = Output::new(model, index, Types::Floats, Shape::Of(shape))?;
    let classes = output.classes(model, 1, BEFORE);
    let head = Box::new(Yolov5 { output, buffer: Vec::new() });
    Ok(Built { head, classes, nms: Nms::ByClass })
}

struct Yolov5 {
    output: Output,
    buffer: Vec<f32>,
}

impl Head for Yolov5 {
    fn collect(
        &mut self,
        lane: &dyn Lane,
        item: usize,
        threshold: f32,
        candidates: &mut Vec<Candidate>,
    ) -> Result<(), PostprocessError> {
        let item = self.output.item(lane, item)?;
        let &[anchors, columns] = item.shape else { return Ok(()) };
        for start in (0..anchors).step_by(BLOCK) {
            let count = BLOCK.min(anchors - start) * columns;
            let Some(rows) = numbers::slice(item.elements, start * columns, count) else { break };
            let rows = numbers::floats(rows, &mut self.buffer);
            for (row, place) in rows.chunks_exact(columns).zip(start..) {
                let &[x, y, width, height, sure, ref classes @ ..] = row else { continue };
                // No class is surer than 1, so this is enough for nearly all rows; NaN goes on.
                if sure < threshold {
                    continue;
                }
                let (class, best) = best(classes);
                let score = sure * best;
                if !score.is_finite() {
                    return Err(self.output.not_finite());
                }
                if score >= threshold {
                    let place = u32::try_from(place).unwrap_or(u32::MAX);
                    let bounds = Corners::centred(x, y, width, height);
                    candidates.push(Candidate { score, class, place, bounds });
                }
            }
        }
        Ok(())
    }

    fn scores(&self) -> &Output {
        &self.output
    }

    fn boxes(&self) -> &Output {
        &self.output
    }
}

/// The place and value of the largest of `scores`, of equals the first; NaN where one is NaN.
pub(super) fn best(scores: &[f32]) -> (u32, f32) {
    let mut best = (0, f32::NEG_INFINITY);
    for (&score, class) in scores.iter().zip(0..) {
        if score.is_nan() {
            return (class, score);
        }
        if score > best.1 {
            best = (class, score);
        }
    }
    best
}
