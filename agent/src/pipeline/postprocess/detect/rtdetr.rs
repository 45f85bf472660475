//! RT-DETR, in the two forms that it is exported in; boxes are by centre and size, as shares of the input.
//!
//! - Two outputs, boxes `[batch, queries, 4]` and logits `[batch, queries, classes]`: each class of each query
//!   may be an object, by the sigmoid of its logit; the best count.
//! - One output `[batch, queries, 4 + classes]`, with scores that are probabilities already: of a query's
//!   classes the best counts, of equals the first.

use super::super::outputs::{self, Extent, Item, Output, Shape, Types};
use super::super::{ModelFacts, PostprocessError, numbers};
use super::candidate::{Candidate, Corners};
use super::scores::{self, Columns};
use super::settings::{Activation, Built, Nms};
use super::{Head, yolov5};
use crate::config::Section;
use crate::pipeline::engine::Lane;

/// Numbers of a box.
const BOX: usize = 4;

/// What only this family can be told.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    output: Option<String>,
    boxes: Option<String>,
    scores: Option<String>,
    activation: Option<Activation>,
}

impl Settings {
    /// Reads them.
    pub(super) fn read(section: &Section<'_>) -> Self {
        let activations = [("none", Activation::None), ("sigmoid", Activation::Sigmoid)];
        Self {
            output: section.text("output"),
            boxes: section.text("boxes"),
            scores: section.text("scores"),
            activation: section.choice("activation", &activations),
        }
    }
}

/// The head for `model`.
pub(super) fn build(
    model: &ModelFacts<'_>,
    settings: &Settings,
) -> Result<Built, PostprocessError> {
    let size = [model.input_width, model.input_height].map(numbers::pixels);
    let two = settings.boxes.is_some() || settings.scores.is_some();
    if settings.output.is_some() || (model.signature.outputs.len() == 1 && !two) {
        let index = outputs::find(model, "output", settings.output.as_deref(), &[], |_, _| true)?;
        let shape = vec![Extent::AtLeast(0, "queries"), Extent::AtLeast(BOX + 1, "4 + classes")];
        let mut output = Output::new(model, index, Types::Floats, Shape::Of(shape))?;
        let classes = output.classes(model, 1, BOX);
        let activation = settings.activation.unwrap_or(Activation::None);
        let head = Box::new(One { output, size, activation, buffer: Vec::new() });
        return Ok(Built { head, classes, nms: Nms::None });
    }
    let boxes = find_boxes(model, settings.boxes.as_deref())?;
    let is_scores = |index, spec: &_| index != boxes && outputs::rank(spec) == 3;
    let hints = ["logit", "score", "class", "cls"];
    let scores = outputs::find(model, "scores", settings.scores.as_deref(), &hints, is_scores)?;
    let shape = vec![Extent::AtLeast(0, "queries"), Extent::Exactly(BOX)];
    let boxes = Output::new(model, boxes, Types::Floats, Shape::Of(shape))?;
    let shape = vec![Extent::AtLeast(0, "queries"), Extent::AtLeast(1, "classes")];
    let mut scores = Output::new(model, scores, Types::Floats, Shape::Of(shape))?;
    let classes = scores.classes(model, 1, 0);
    let activation = settings.activation.unwrap_or(Activation::Sigmoid);
    let head = Box::new(Two { boxes, scores, size, activation, buffer: Vec::new() });
    Ok(Built { head, classes, nms: Nms::None })
}

/// The output with four numbers a place, by its name `name` or by its shape.
pub(super) fn find_boxes(
    model: &ModelFacts<'_>,
    name: Option<&str>,
) -> Result<usize, PostprocessError> {
    outputs::find(model, "boxes", name, &["box"], |_, spec| {
        let last = spec.dims.get(2).map(outputs::extent);
        outputs::rank(spec) == 3 && matches!(last, Some(None | Some(BOX)))
    })
}

struct One {
    output: Output,
    size: [f32; 2],
    activation: Activation,
    buffer: Vec<f32>,
}

impl Head for One {
    fn collect(
        &mut self,
        lane: &dyn Lane,
        item: usize,
        threshold: f32,
        candidates: &mut Vec<Candidate>,
    ) -> Result<(), PostprocessError> {
        let item = self.output.item(lane, item)?;
        let &[_, columns] = item.shape else { return Ok(()) };
        let rows = numbers::floats(item.elements, &mut self.buffer).chunks_exact(columns);
        for (row, place) in rows.zip(0..) {
            let &[x, y, width, height, ref scores @ ..] = row else { continue };
            let (class, score) = yolov5::best(scores);
            // The sigmoid of an infinity would be a number.
            let score = match self.activation {
                Activation::Sigmoid if score.is_finite() => super::super::softmax::sigmoid(score),
                _ => score,
            };
            if score < threshold {
                continue;
            }
            if !score.is_finite() {
                return Err(self.output.not_finite());
            }
            let bounds = Corners::centred(x, y, width, height).scaled(self.size);
            candidates.push(Candidate { score, class, place, bounds });
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

struct Two {
    boxes: Output,
    scores: Output,
    size: [f32; 2],
    activation: Activation,
    buffer: Vec<f32>,
}

impl Head for Two {
    fn collect(
        &mut self,
        lane: &dyn Lane,
        item: usize,
        threshold: f32,
        candidates: &mut Vec<Candidate>,
    ) -> Result<(), PostprocessError> {
        let (boxes, item) = pair(&self.boxes, &self.scores, lane, item)?;
        let count = item.shape.last().copied().unwrap_or(0);
        let columns = Columns { count, background: None, activation: self.activation };
        let scores = numbers::floats(item.elements, &mut self.buffer);
        let found = scores::each(scores, columns, threshold, |place, class, score| {
            let [x, y, width, height] = numbers::four(boxes.elements, place);
            let bounds = Corners::centred(x, y, width, height).scaled(self.size);
            candidates.push(Candidate::new(score, class, place, bounds));
        });
        found.map_err(|_| self.scores.not_finite())
    }

    fn scores(&self) -> &Output {
        &self.scores
    }

    fn boxes(&self) -> &Output {
        &self.boxes
    }
}

/// The boxes and scores of one item, equally many.
pub(super) fn pair<'a>(
    boxes: &Output,
    scores: &Output,
    lane: &'a dyn Lane,
    item: usize,
) -> Result<(Item<'a>, Item<'a>), PostprocessError> {
    let (found, item) = (boxes.item(lane, item)?, scores.item(lane, item)?);
    if found.shape.first() == item.shape.first() {
        return Ok((found, item));
    }
    let count = |item: &Item<'_>| item.shape.first().copied().unwrap_or(0);
    let (first, second) = (count(&found), count(&item));
    Err(boxes.wrong(&format!("{first} boxes long, with {second} rows of scores")))
}
