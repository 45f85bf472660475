//! SSD, in the two forms that it is exported in; boxes are by their edges, as shares of the input.
//!
//! - Boxes `[batch, anchors, 4]` and scores `[batch, anchors, classes]`, the background being one of the
//!   classes: each other class of each anchor may be an object.
//! - With the selection inside: boxes `[batch, objects, 4]`, classes and scores `[batch, objects]`, and often how
//!   many of them count, `[batch]`. With `background = "first"` the first class is number 1.

use super::super::outputs::{self, Extent, Output, Shape, Types};
use super::super::{ModelFacts, PostprocessError, numbers};
use super::Head;
use super::candidate::{Candidate, Corners};
use super::rtdetr::{find_boxes, pair};
use super::scores::{self, Columns};
use super::settings::{Activation, Built, Nms};
use crate::config::Section;
use crate::pipeline::engine::Lane;

/// Numbers of a box.
const BOX: usize = 4;

/// What only this family can be told.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    boxes: Option<String>,
    scores: Option<String>,
    classes: Option<String>,
    count: Option<String>,
    order: Option<Order>,
    background: Background,
    activation: Activation,
}

/// In which order a box's edges come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Left, top, right, bottom.
    Xyxy,
    /// Top, left, bottom, right.
    Yxyx,
}

/// Which class stands for nothing at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Background {
    First,
    Last,
    None,
}

impl Settings {
    /// Reads them.
    pub(super) fn read(section: &Section<'_>) -> Self {
        let orders = [("xyxy", Order::Xyxy), ("yxyx", Order::Yxyx)];
        let backgrounds =
            [("first", Background::First), ("last", Background::Last), ("none", Background::None)];
        let activations = [
            ("none", Activation::None),
            ("softmax", Activation::Softmax),
            ("sigmoid", Activation::Sigmoid),
        ];
        Self {
            boxes: section.text("boxes"),
            scores: section.text("scores"),
            classes: section.text("classes"),
            count: section.text("count"),
            order: section.choice("box_order", &orders),
            background: section.choice("background", &backgrounds).unwrap_or(Background::First),
            activation: section.choice("activation", &activations).unwrap_or(Activation::None),
        }
    }
}

/// The head for `model`.
pub(super) fn build(
    model: &ModelFacts<'_>,
    settings: &Settings,
) -> Result<Built, PostprocessError> {
    let boxes = find_boxes(model, settings.boxes.as_deref())?;
    let shape = vec![Extent::AtLeast(0, "anchors"), Extent::Exactly(BOX)];
    let place = Placed {
        boxes: Output::new(model, boxes, Types::Floats, Shape::Of(shape))?,
        size: [model.input_width, model.input_height].map(numbers::pixels),
        order: settings.order.unwrap_or(Order::Xyxy),
    };
    let named = settings.scores.is_some() && settings.classes.is_none();
    if settings.classes.is_some() || (model.signature.outputs.len() > 2 && !named) {
        return selected(model, settings, boxes, place);
    }
    let is_scores = |index, spec: &_| index != boxes && outputs::rank(spec) == 3;
    let hints = ["score", "conf", "class", "cls", "logit"];
    let scores = outputs::find(model, "scores", settings.scores.as_deref(), &hints, is_scores)?;
    let besides = usize::from(settings.background != Background::None);
    let shape = vec![Extent::AtLeast(0, "anchors"), Extent::AtLeast(besides + 1, "classes")];
    let mut scores = Output::new(model, scores, Types::Floats, Shape::Of(shape))?;
    let classes = scores.classes(model, 1, besides);
    let (background, activation) = (settings.background, settings.activation);
    let head = Box::new(Anchors { place, scores, background, activation, buffer: Vec::new() });
    Ok(Built { head, classes, nms: Nms::ByClass })
}

/// The head for a model with its selection inside.
fn selected(
    model: &ModelFacts<'_>,
    settings: &Settings,
    boxes: usize,
    place: Placed,
) -> Result<Built, PostprocessError> {
    let find = |key, name: &Option<String>, hints: &[&str], rank| {
        outputs::find(model, key, name.as_deref(), hints, |index, spec| {
            let hinted = hints.iter().any(|hint| spec.name.to_ascii_lowercase().contains(hint));
            index != boxes && hinted && outputs::rank(spec) == rank
        })
    };
    let scores = find("scores", &settings.scores, &["score", "conf"], 2)?;
    let classes = find("classes", &settings.classes, &["class", "label"], 2)?;
    let count = match &settings.count {
        Some(_) => Some(find("count", &settings.count, &[], 1)?),
        None => find("count", &None, &["num", "count"], 1).ok(),
    };
    let list = || Shape::Of(vec![Extent::AtLeast(0, "objects")]);
    let count = count.map(|count| Output::new(model, count, Types::Numbers, Shape::Any));
    let head = Box::new(Selected {
        place: Placed { order: settings.order.unwrap_or(Order::Yxyx), ..place },
        scores: Output::new(model, scores, Types::Floats, list())?,
        classes: Output::new(model, classes, Types::Numbers, list())?,
        count: count.transpose()?,
        first: u32::from(settings.background == Background::First),
        buffers: Default::default(),
    });
    Ok(Built { head, classes: None, nms: Nms::None })
}

/// Where boxes are, and what their numbers mean.
struct Placed {
    boxes: Output,
    size: [f32; 2],
    order: Order,
}

impl Placed {
    fn corners(&self, numbers: [f32; BOX]) -> Corners {
        let [a, b, c, d] = numbers;
        let corners = match self.order {
            Order::Xyxy => Corners { x1: a, y1: b, x2: c, y2: d },
            Order::Yxyx => Corners { x1: b, y1: a, x2: d, y2: c },
        };
        corners.scaled(self.size)
    }
}

struct Anchors {
    place: Placed,
    scores: Output,
    background: Background,
    activation: Activation,
    buffer: Vec<f32>,
}

impl Head for Anchors {
    fn collect(
        &mut self,
        lane: &dyn Lane,
        item: usize,
        threshold: f32,
        candidates: &mut Vec<Candidate>,
    ) -> Result<(), PostprocessError> {
        let (boxes, item) = pair(&self.place.boxes, &self.scores, lane, item)?;
        let count = item.shape.last().copied().unwrap_or(0);
        let background = match self.background {
            Background::First => Some(0),
            Background::Last => count.checked_sub(1),
            Background::None => None,
        };
        let columns = Columns { count, background, activation: self.activation };
        let before = usize::from(self.background == Background::First);
        let scores = numbers::floats(item.elements, &mut self.buffer);
        let found = scores::each(scores, columns, threshold, |place, column, score| {
            let bounds = self.place.corners(numbers::four(boxes.elements, place));
            candidates.push(Candidate::new(score, column.saturating_sub(before), place, bounds));
        });
        found.map_err(|_| self.scores.not_finite())
    }

    fn scores(&self) -> &Output {
        &self.scores
    }

    fn boxes(&self) -> &Output {
        &self.place.boxes
    }
}

struct Selected {
    place: Placed,
    scores: Output,
    classes: Output,
    count: Option<Output>,
    /// The number of the first class.
    first: u32,
    buffers: [Vec<f32>; 3],
}

impl Head for Selected {
    fn collect(
        &mut self,
        lane: &dyn Lane,
        item: usize,
        threshold: f32,
        candidates: &mut Vec<Candidate>,
    ) -> Result<(), PostprocessError> {
        let [scores, classes, count] = &mut self.buffers;
        let (boxes, found) = pair(&self.place.boxes, &self.scores, lane, item)?;
        let scores = numbers::floats(found.elements, scores);
        let classes = numbers::floats(self.classes.item(lane, item)?.elements, classes);
        if classes.len() != scores.len() {
            let (classes, scores) = (classes.len(), scores.len());
            return Err(self.classes.wrong(&format!("{classes} long, with {scores} scores")));
        }
        let all = match &self.count {
            None => scores.len(),
            Some(output) => {
                let count = numbers::floats(output.item(lane, item)?.elements, count);
                let count = count.first().copied().and_then(numbers::index);
                let count = count.ok_or_else(|| output.not_finite())?;
                usize::try_from(count).unwrap_or(usize::MAX)
            }
        };
        for (place, (&score, &class)) in scores.iter().zip(classes).enumerate().take(all) {
            if score < threshold {
                continue;
            }
            if !score.is_finite() {
                return Err(self.scores.not_finite());
            }
            if !class.is_finite() {
                return Err(self.classes.not_finite());
            }
            let Some(number) = numbers::index(class) else {
                return Err(self.classes.no_class(class));
            };
            // The background itself is nothing to tell of.
            let Some(class) = number.checked_sub(self.first) else { continue };
            let class = usize::try_from(class).unwrap_or(usize::MAX);
            let bounds = self.place.corners(numbers::four(boxes.elements, place));
            candidates.push(Candidate::new(score, class, place, bounds));
        }
        Ok(())
    }

    fn scores(&self) -> &Output {
        &self.scores
    }

    fn boxes(&self) -> &Output {
        &self.place.boxes
    }
}
