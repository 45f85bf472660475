//! YOLOv8 and v11 as their heads give them: `[batch, 4 + classes, anchors]`, boxes by centre and size in pixels
//! of the input, scores as probabilities.
//!
//! A class's scores lie side by side, so they are scanned class by class, and only those that reach the
//! threshold touch anything else: at 80 × 8,400 scores that is the difference between reading memory once and
//! gathering it. Of an anchor's classes the best counts, of equals the first.

use super::super::outputs::{self, Extent, Output, Shape, Types};
use super::super::scan::{scan, scan_halves};
use super::super::{ModelFacts, PostprocessError, numbers};
use super::Head;
use super::candidate::{Candidate, Corners};
use super::settings::{Built, Nms};
use crate::pipeline::engine::Lane;
use crate::pipeline::tensor::Elements;

/// Rows of a box.
const BOX: usize = 4;

/// The head for `model`, from its output `name` or its only one.
pub(super) fn build(model: &ModelFacts<'_>, name: Option<&str>) -> Result<Built, PostprocessError> {
    let index = outputs::find(model, "output", name, &[], |_, _| true)?;
    let shape = vec![Extent::AtLeast(BOX + 1, "4 + classes"), Extent::AtLeast(0, "anchors")];
    let mut output = Output::new(model, index, Types::Floats, Shape::Of(shape))?;
    let classes = output.classes(model, 0, BOX);
    let head = Box::new(Yolov8 { output, best: Vec::new(), class: Vec::new() });
    Ok(Built { head, classes, nms: Nms::ByClass })
}

struct Yolov8 {
    output: Output,
    /// Each anchor's best score that reaches the threshold, -∞ without one, and its class.
    best: Vec<f32>,
    class: Vec<u32>,
}

impl Head for Yolov8 {
    fn collect(
        &mut self,
        lane: &dyn Lane,
        item: usize,
        threshold: f32,
        candidates: &mut Vec<Candidate>,
    ) -> Result<(), PostprocessError> {
        let Self { output, best, class } = self;
        let item = output.item(lane, item)?;
        let &[rows, anchors] = item.shape else { return Ok(()) };
        best.clear();
        best.resize(anchors, f32::NEG_INFINITY);
        class.resize(anchors, 0);
        for (row, number) in (BOX..rows).zip(0..) {
            let mut hit = |anchor: usize, score: f32| {
                if !score.is_finite() {
                    return Err(output.not_finite());
                }
                if let (Some(best), Some(class)) = (best.get_mut(anchor), class.get_mut(anchor))
                    && score > *best
                {
                    (*best, *class) = (score, number);
                }
                Ok(())
            };
            match numbers::slice(item.elements, row * anchors, anchors) {
                Some(Elements::F32(scores)) => scan(scores, threshold, &mut hit)?,
                Some(Elements::F16(scores)) => scan_halves(scores, threshold, &mut hit)?,
                _ => {}
            }
        }
        scan(best, threshold, |anchor, score| {
            let edge = |row: usize| numbers::one(item.elements, row * anchors + anchor);
            let bounds = Corners::centred(edge(0), edge(1), edge(2), edge(3));
            let class = class.get(anchor).copied().unwrap_or(0);
            let place = u32::try_from(anchor).unwrap_or(u32::MAX);
            candidates.push(Candidate { score, class, place, bounds });
            Ok(())
        })
    }

    fn scores(&self) -> &Output {
        &self.output
    }

    fn boxes(&self) -> &Output {
        &self.output
    }
}
