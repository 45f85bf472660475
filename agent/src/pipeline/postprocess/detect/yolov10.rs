//! YOLOv10, and every model with its selection inside: `[batch, objects, 6]`, each row the left, top, right and
//! bottom edge in pixels of the input, the score and the class.

use super::super::outputs::{self, Extent, Output, Shape, Types};
use super::super::{ModelFacts, PostprocessError, numbers};
use super::Head;
use super::candidate::{Candidate, Corners};
use super::settings::{Built, Nms};
use crate::pipeline::engine::Lane;

const COLUMNS: usize = 6;

/// The head for `model`, from its output `name` or its only one.
pub(super) fn build(model: &ModelFacts<'_>, name: Option<&str>) -> Result<Built, PostprocessError> {
    let index = outputs::find(model, "output", name, &[], |_, _| true)?;
    let shape = vec![Extent::AtLeast(0, "objects"), Extent::Exactly(COLUMNS)];
    let output = Output::new(model, index, Types::Floats, Shape::Of(shape))?;
    let head = Box::new(Yolov10 { output, buffer: Vec::new() });
    Ok(Built { head, classes: None, nms: Nms::None })
}

struct Yolov10 {
    output: Output,
    buffer: Vec<f32>,
}

impl Head for Yolov10 {
    fn collect(
        &mut self,
        lane: &dyn Lane,
        item: usize,
        threshold: f32,
        candidates: &mut Vec<Candidate>,
    ) -> Result<(), PostprocessError> {
        let item = self.output.item(lane, item)?;
        let rows = numbers::floats(item.elements, &mut self.buffer).as_chunks::<COLUMNS>().0;
        for (&[x1, y1, x2, y2, score, class], place) in rows.iter().zip(0..) {
            if score < threshold {
                continue;
            }
            if !score.is_finite() || !class.is_finite() {
                return Err(self.output.not_finite());
            }
            let Some(class) = numbers::index(class) else {
                return Err(self.output.no_class(class));
            };
            candidates.push(Candidate { score, class, place, bounds: Corners { x1, y1, x2, y2 } });
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
