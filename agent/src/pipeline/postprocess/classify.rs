//! What a picture shows as a whole: the most likely classes.

use wire::Class;

use super::labels::Labels;
use super::outputs::{self, Output, Shape, Types};
use super::softmax::Softmax;
use super::{Findings, ModelFacts, Postprocess, PostprocessError, PostprocessSpec, numbers};
use crate::config::Section;
use crate::pipeline::engine::Lane;
use crate::pipeline::preprocess::Placement;

/// The most classes that can be asked for: with labels of 40 bytes that many fill half of an 8 KiB message.
pub const MAX_TOP_K: usize = 50;
const DEFAULT_TOP_K: usize = 5;

/// What the model's numbers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Activation {
    /// Logits: softmax makes probabilities of them.
    Softmax,
    /// Scores already.
    None,
}

/// `[postprocess]` with `kind = "classify"`.
#[derive(Debug, Clone)]
struct Spec {
    output: Option<String>,
    activation: Activation,
    top_k: usize,
}

/// Reads the settings.
#[must_use]
pub fn read(section: &Section<'_>) -> Option<Box<dyn PostprocessSpec>> {
    let activations = [("softmax", Activation::Softmax), ("none", Activation::None)];
    Some(Box::new(Spec {
        output: section.text("output"),
        activation: section.choice("activation", &activations).unwrap_or(Activation::Softmax),
        top_k: section.integer("top_k", 1..=MAX_TOP_K).unwrap_or(DEFAULT_TOP_K),
    }))
}

impl PostprocessSpec for Spec {
    fn build(&self, model: &ModelFacts<'_>) -> Result<Box<dyn Postprocess>, PostprocessError> {
        let index = outputs::find(model, "output", self.output.as_deref(), &[], |_, _| true)?;
        // [batch, classes], and often [batch, classes, 1, 1].
        let output = Output::new(model, index, Types::Floats, Shape::Any)?;
        let classes = output.fixed_count(model);
        let labels = Labels::new(model.labels, classes, &output)?;
        let top = Vec::with_capacity(self.top_k + 1);
        Ok(Box::new(Classify { spec: self.clone(), output, labels, buffer: Vec::new(), top }))
    }
}

struct Classify {
    spec: Spec,
    output: Output,
    labels: Labels,
    buffer: Vec<f32>,
    top: Vec<(f32, u32)>,
}

impl Postprocess for Classify {
    fn run(
        &mut self,
        lane: &dyn Lane,
        item: usize,
        _: &Placement,
        findings: &mut Findings,
    ) -> Result<(), PostprocessError> {
        findings.clear();
        let item = self.output.item(lane, item)?;
        let values = numbers::floats(item.elements, &mut self.buffer);
        if let Some(labels) = self.labels.count().filter(|&labels| labels != values.len()) {
            let (output, classes) = (self.output.spec().to_owned(), values.len());
            return Err(PostprocessError::Labels { output, classes, labels });
        }
        let softmax = match self.spec.activation {
            Activation::Softmax => {
                Some(Softmax::of(values).ok_or_else(|| self.output.not_finite())?)
            }
            Activation::None if values.iter().all(|value| value.is_finite()) => None,
            Activation::None => return Err(self.output.not_finite()),
        };
        best(values, self.spec.top_k, &mut self.top);
        for &(value, index) in &self.top {
            let label = self.labels.name(index, &self.output)?;
            let score = softmax.map_or(value, |softmax| softmax.probability(value));
            findings.classes.push(Class { index, label, score });
        }
        Ok(())
    }
}

/// The `count` largest of `values` and their places, largest first; of equals the first.
fn best(values: &[f32], count: usize, top: &mut Vec<(f32, u32)>) {
    top.clear();
    for (&value, index) in values.iter().zip(0..) {
        let full = top.len() == count;
        if full && top.last().is_some_and(|&(least, _)| value <= least) {
            continue;
        }
        let place = top.partition_point(|&(other, _)| other >= value);
        top.insert(place, (value, index));
        top.truncate(count);
    }
}
