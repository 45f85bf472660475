//! How unusual an input is: by how badly the model could draw it again, or by the model's own score.

use wire::Anomaly;

use super::outputs::{self, Output, Shape, Types};
use super::{
    Findings, ModelFacts, Postprocess, PostprocessError, PostprocessSpec, Threshold, numbers,
};
use crate::config::Section;
use crate::config::section::narrow;
use crate::pipeline::engine::Lane;
use crate::pipeline::preprocess::Placement;
use crate::pipeline::tensor::Elements;

/// Numbers compared at once: input and output as `f32` stay in the first-level cache.
const BLOCK: usize = 1024;
/// Sums kept side by side, so that they can be added by whole registers.
const LANES: usize = 16;

/// Where the score comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Score {
    /// The mean squared difference of the input from the output.
    Reconstruction,
    /// The output is the score.
    Output,
}

/// `[postprocess]` with `kind = "anomaly"`.
#[derive(Debug, Clone)]
struct Spec {
    output: Option<String>,
    score: Score,
    threshold: f32,
}

/// Reads the settings.
#[must_use]
pub fn read(section: &Section<'_>) -> Option<Box<dyn PostprocessSpec>> {
    let scores = [("reconstruction", Score::Reconstruction), ("output", Score::Output)];
    let limit = f64::from(f32::MAX);
    if !section.has("threshold") {
        section.mistake("threshold", "is missing: from which score on is an input anomalous?");
    }
    Some(Box::new(Spec {
        output: section.text("output"),
        score: section.choice("score", &scores).unwrap_or(Score::Reconstruction),
        threshold: section.number("threshold", -limit..=limit).map_or(0.0, narrow),
    }))
}

impl PostprocessSpec for Spec {
    fn build(&self, model: &ModelFacts<'_>) -> Result<Box<dyn Postprocess>, PostprocessError> {
        let index = outputs::find(model, "output", self.output.as_deref(), &[], |_, _| true)?;
        let output = Output::new(model, index, Types::Numbers, Shape::Any)?;
        let wanted = match self.score {
            Score::Output => Some(1),
            Score::Reconstruction => model
                .signature
                .inputs
                .get(model.input_index)
                .and_then(|input| outputs::count(&input.dims)),
        };
        let anomaly = Compare {
            score: self.score,
            configured: self.threshold,
            threshold: self.threshold,
            output,
            input: model.input_index,
            buffers: Default::default(),
        };
        match (anomaly.output.fixed_count(model), wanted) {
            (Some(found), Some(wanted)) if found != wanted => Err(anomaly.mismatch(found, wanted)),
            _ => Ok(Box::new(anomaly)),
        }
    }

    fn threshold(&self) -> Option<Threshold> {
        Some(Threshold { configured: self.threshold, min: -f32::MAX, max: f32::MAX })
    }
}

struct Compare {
    score: Score,
    configured: f32,
    threshold: f32,
    output: Output,
    input: usize,
    buffers: [Vec<f32>; 2],
}

impl Compare {
    fn mismatch(&self, found: usize, wanted: usize) -> PostprocessError {
        let expected = match self.score {
            Score::Output => "one, the score".to_owned(),
            Score::Reconstruction => format!("{wanted}, as the input has"),
        };
        let found = format!("{found} numbers an item");
        PostprocessError::Output { output: self.output.quoted(), found, expected }
    }

    /// The mean squared difference of two sets of numbers of the same size.
    fn difference(&mut self, input: Elements<'_>, output: Elements<'_>) -> f32 {
        let count = numbers::len(output);
        let mut sum = 0.0_f64;
        for start in (0..count).step_by(BLOCK) {
            let block = |elements| numbers::slice(elements, start, BLOCK.min(count - start));
            let (Some(input), Some(output)) = (block(input), block(output)) else { break };
            let [first, second] = &mut self.buffers;
            sum += squares(numbers::floats(input, first), numbers::floats(output, second));
        }
        numbers::round(sum / numbers::count(count))
    }
}

/// The sum of the squared differences.
fn squares(a: &[f32], b: &[f32]) -> f64 {
    let mut sums = [0.0_f32; LANES];
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += (a - b) * (a - b);
        }
    }
    let rest = a_rest.iter().zip(b_rest).map(|(a, b)| (a - b) * (a - b));
    sums.into_iter().chain(rest).map(f64::from).sum()
}

impl Postprocess for Compare {
    fn run(
        &mut self,
        lane: &dyn Lane,
        item: usize,
        _: &Placement,
        findings: &mut Findings,
    ) -> Result<(), PostprocessError> {
        findings.clear();
        let output = self.output.item(lane, item)?.elements;
        let found = numbers::len(output);
        let score = match self.score {
            Score::Output if found == 1 => {
                numbers::floats(output, &mut self.buffers[0]).first().copied()
            }
            Score::Output => return Err(self.mismatch(found, 1)),
            Score::Reconstruction => {
                let input = lane.input(self.input).and_then(|view| outputs::item(view, item));
                let wanted = input.map_or(0, |input| numbers::len(input.elements));
                let input = input.filter(|_| found == wanted && found > 0);
                let input = input.ok_or_else(|| self.mismatch(found, wanted))?;
                Some(self.difference(input.elements, output))
            }
        };
        let score = score.filter(|score| score.is_finite());
        let score = score.ok_or_else(|| self.output.not_finite())?;
        let (threshold, anomalous) = (self.threshold, score >= self.threshold);
        findings.anomaly = Some(Anomaly { score, threshold, anomalous });
        Ok(())
    }

    fn set_threshold(&mut self, threshold: Option<f32>) {
        self.threshold = threshold.unwrap_or(self.configured);
    }
}
