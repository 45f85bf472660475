//! Outputs that are there already, and models that have them: what a postprocess sees of an engine.

use std::path::Path;
use std::sync::Arc;

use vedette::config::section::{Mistakes, Section};
use vedette::config::tree::{At, parse};
use vedette::kinds::POSTPROCESSES;
use vedette::model::npy::Array;
use vedette::pipeline::engine::{EngineError, Lane, Signature};
use vedette::pipeline::postprocess::{ModelFacts, Postprocess, PostprocessError, PostprocessSpec};
use vedette::pipeline::preprocess::Placement;
use vedette::pipeline::tensor::{Dim, ElementsMut, TensorSpec, View};

/// A lane whose run is over.
pub(crate) struct StoredLane {
    pub(crate) inputs: Vec<Array>,
    pub(crate) outputs: Vec<Array>,
}

impl Lane for StoredLane {
    fn input_mut(&mut self, index: usize) -> Result<ElementsMut<'_>, EngineError> {
        Err(EngineError::Shape(format!("input {index} is stored and cannot be filled")))
    }

    fn input(&self, index: usize) -> Option<View<'_>> {
        self.inputs.get(index).map(Array::view)
    }

    fn run(&mut self) -> Result<(), EngineError> {
        Ok(())
    }

    fn output(&self, index: usize) -> Option<View<'_>> {
        self.outputs.get(index).map(Array::view)
    }
}

/// What a model's files would say of it.
pub(crate) struct Model {
    pub(crate) signature: Signature,
    pub(crate) labels: Vec<Arc<str>>,
    pub(crate) input_width: u32,
    pub(crate) input_height: u32,
}

impl Model {
    /// With a free batch, and inputs and outputs like those of `lane`, named so.
    pub(crate) fn of(lane: &StoredLane, outputs: &[&str], labels: &[&str], size: [u32; 2]) -> Self {
        let spec = |array: &Array, name: &str| {
            let mut dims: Vec<Dim> = array.shape.iter().map(|&extent| Dim::Fixed(extent)).collect();
            if let Some(batch) = dims.first_mut() {
                *batch = Dim::Free("batch".to_owned());
            }
            TensorSpec { name: name.to_owned(), element: array.data.element(), dims }
        };
        let signature = Signature {
            inputs: lane.inputs.iter().map(|array| spec(array, "input")).collect(),
            outputs: lane
                .outputs
                .iter()
                .zip(outputs)
                .map(|(array, name)| spec(array, name))
                .collect(),
        };
        let labels = labels.iter().map(|&label| Arc::from(label)).collect();
        Self { signature, labels, input_width: size[0], input_height: size[1] }
    }

    /// The postprocess that `settings`, a table in TOML, asks for.
    pub(crate) fn build(&self, settings: &str) -> Result<Box<dyn Postprocess>, PostprocessError> {
        let spec = read(settings).unwrap_or_else(|mistakes| panic!("{settings}: {mistakes:?}"));
        spec.build(&ModelFacts {
            signature: &self.signature,
            labels: &self.labels,
            input_width: self.input_width,
            input_height: self.input_height,
            input_index: 0,
        })
    }
}

/// Reads `[postprocess]`, or says all that is wrong with it.
pub(crate) fn read(settings: &str) -> Result<Box<dyn PostprocessSpec>, Vec<String>> {
    let (file, mistakes) = (Path::new("f"), Mistakes::new());
    let table = parse(settings, file).unwrap();
    let section = Section::top(&table, At::File(file.into(), 1), file, &mistakes);
    let name = section.required_text("kind");
    let kind = POSTPROCESSES.iter().find(|kind| kind.name == name).unwrap();
    let spec = (kind.build)(&section);
    section.finish();
    let mistakes = mistakes.into_vec();
    match spec {
        Some(spec) if mistakes.is_empty() => Ok(spec),
        _ => Err(mistakes.iter().map(ToString::to_string).collect()),
    }
}

/// The picture is the input.
pub(crate) fn in_place(width: f32, height: f32) -> Placement {
    Placement {
        picture_width: width,
        picture_height: height,
        scale_x: 1.0,
        scale_y: 1.0,
        offset_x: 0.0,
        offset_y: 0.0,
    }
}
