//! A model's outputs as they are, for whoever understands them.
//!
//! **Invariant:** whatever the numbers, the message that carries them stays under 8 KiB; `max_elements` can
//! only ask for less. `the_longest_numbers_of_all_outputs_fit_one_message` in `tests/postprocess.rs` holds it.

use std::sync::Arc;

use wire::RawTensor;

use super::outputs::{Output, Shape, Types};
use super::{Findings, ModelFacts, Postprocess, PostprocessError, PostprocessSpec, numbers};
use crate::config::Section;
use crate::pipeline::engine::Lane;
use crate::pipeline::preprocess::Placement;

/// The most numbers in one message: with a comma each takes at most 17 bytes, and 6,528 of 8,192 leave room
/// for all else in it.
pub const MAX_ELEMENTS: usize = 384;
/// Bytes of the message's other keys, with names as long as a configuration allows them.
const ENVELOPE_BYTES: usize = 1_280;
/// Bytes of the longest number, such as `-0.0000123456789`, and its comma.
const NUMBER_BYTES: usize = 17;
/// Bytes of an output's keys, and of one extent.
const OUTPUT_BYTES: usize = 64;
const EXTENT_BYTES: usize = 12;
const MESSAGE_BYTES: usize = 8_192;

/// `[postprocess]` with `kind = "raw"`.
#[derive(Debug, Clone)]
struct Spec {
    outputs: Option<Vec<String>>,
    max_elements: usize,
}

/// Reads the settings.
#[must_use]
pub fn read(section: &Section<'_>) -> Option<Box<dyn PostprocessSpec>> {
    Some(Box::new(Spec {
        outputs: section.texts("outputs"),
        max_elements: section.integer("max_elements", 1..=MAX_ELEMENTS).unwrap_or(MAX_ELEMENTS),
    }))
}

impl PostprocessSpec for Spec {
    fn build(&self, model: &ModelFacts<'_>) -> Result<Box<dyn Postprocess>, PostprocessError> {
        let all = &model.signature.outputs;
        let chosen: Vec<usize> = match &self.outputs {
            None => (0..all.len()).collect(),
            Some(names) => {
                let find = |name: &String| {
                    super::outputs::find(model, "outputs", Some(name), &[], |_, _| true)
                };
                names.iter().map(find).collect::<Result<_, _>>()?
            }
        };
        let mut outputs = Vec::new();
        let mut room = MESSAGE_BYTES - ENVELOPE_BYTES;
        for &index in &chosen {
            let output = Output::new(model, index, Types::Numbers, Shape::Any)?;
            let spec = all.get(index).map(|spec| (spec.name.as_str(), spec.dims.len()));
            let (name, rank) = spec.unwrap_or_default();
            // A character of a name may be escaped as six.
            let keys = OUTPUT_BYTES + EXTENT_BYTES * rank + 6 * name.len();
            room = room.saturating_sub(keys);
            outputs.push((Arc::from(name), output));
        }
        let each = (room / NUMBER_BYTES).min(MAX_ELEMENTS) / outputs.len().max(1);
        if each == 0 || outputs.is_empty() {
            return Err(PostprocessError::Output {
                output: "list".to_owned(),
                found: format!("{} outputs long", outputs.len()),
                expected: "between one and what fits a message of 8 KiB: choose by `outputs`"
                    .to_owned(),
            });
        }
        let limit = self.max_elements.min(each);
        Ok(Box::new(Raw { outputs, limit, buffer: Vec::new() }))
    }
}

struct Raw {
    outputs: Vec<(Arc<str>, Output)>,
    /// The most numbers of one output.
    limit: usize,
    buffer: Vec<f32>,
}

impl Postprocess for Raw {
    fn run(
        &mut self,
        lane: &dyn Lane,
        item: usize,
        _: &Placement,
        findings: &mut Findings,
    ) -> Result<(), PostprocessError> {
        findings.clear();
        for (name, output) in &self.outputs {
            let item = output.item(lane, item)?;
            let elements = numbers::len(item.elements);
            let kept = numbers::slice(item.elements, 0, elements.min(self.limit));
            let kept = kept.map_or(&[][..], |kept| numbers::floats(kept, &mut self.buffer));
            findings.raw.push(RawTensor {
                name: Arc::clone(name),
                shape: item.shape.to_vec(),
                data: kept.iter().map(|&number| wire::finite(number)).collect(),
                elements,
            });
        }
        Ok(())
    }
}
