//! What preprocess and postprocess see of a request: a lane whose run is over.

use bytes::Bytes;

use crate::model::npy::{Array, ArrayData};
use crate::pipeline::engine::{EngineError, Lane, Signature};
use crate::pipeline::shape::{bytes, extents};
use crate::pipeline::tensor::{Element, Elements, ElementsMut, View};
use crate::pipeline::value::{Data, Value};
use crate::report;

/// A value for one item of the first input of `signature`, filled by `fill`, and what `fill` says of it.
///
/// # Errors
/// The input is none that a picture can become, or it could not be filled.
pub(super) fn filled<T>(
    signature: &Signature,
    fill: impl FnOnce(ElementsMut<'_>) -> Result<T, String>,
) -> Result<(Value, T), String> {
    let shapes = extents(signature, 1).map_err(|error| report::chain(&error))?;
    let (spec, shape) = signature
        .inputs
        .first()
        .zip(shapes.inputs.into_iter().next())
        .ok_or_else(|| "the model has no input".to_owned())?;
    let zeros = vec![0; bytes(spec.element, &shape).unwrap_or_default()];
    let wrong = || format!("input {spec} is none that a picture fills");
    let mut data = ArrayData::from_bytes(spec.element, &zeros).map_err(|_| wrong())?;
    let told = match &mut data {
        ArrayData::F32(list) => fill(ElementsMut::F32(list)),
        ArrayData::F16(list) => fill(ElementsMut::F16(list)),
        ArrayData::U8(list) => fill(ElementsMut::U8(list)),
        ArrayData::I8(list) => fill(ElementsMut::I8(list)),
        _ => Err(wrong()),
    }?;
    let mut filled = zeros;
    filled.clear();
    data.append_to(&mut filled);
    Ok((Value { element: spec.element, shape, data: Data::Bytes(filled.into()) }, told))
}

/// A run that is over.
#[derive(Debug)]
pub(super) struct Answered {
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
}

#[derive(Debug)]
enum Tensor {
    /// Elements where their type is at home.
    Read(Array),
    /// Of a type that no postprocess computes with.
    Other { shape: Vec<usize>, element: Element, bytes: Bytes },
}

impl Answered {
    pub(super) fn new(inputs: &[Value], outputs: &[Value]) -> Self {
        Self {
            inputs: inputs.iter().map(Tensor::of).collect(),
            outputs: outputs.iter().map(Tensor::of).collect(),
        }
    }
}

impl Tensor {
    fn of(value: &Value) -> Self {
        let (element, shape) = (value.element, value.shape.clone());
        let bytes = match &value.data {
            Data::Bytes(bytes) => bytes.clone(),
            Data::Texts(_) => Bytes::new(),
        };
        match ArrayData::from_bytes(element, &bytes) {
            Ok(data) => Self::Read(Array { shape, data }),
            Err(_) => Self::Other { shape, element, bytes },
        }
    }

    fn view(&self) -> View<'_> {
        match self {
            Self::Read(array) => array.view(),
            Self::Other { shape, element, bytes } => {
                View { shape, elements: Elements::Other(*element, bytes) }
            }
        }
    }
}

impl Lane for Answered {
    fn input_mut(&mut self, index: usize) -> Result<ElementsMut<'_>, EngineError> {
        Err(EngineError::Shape(format!("input {index} of a run that is over")))
    }

    fn input(&self, index: usize) -> Option<View<'_>> {
        self.inputs.get(index).map(Tensor::view)
    }

    fn run(&mut self) -> Result<(), EngineError> {
        Err(EngineError::Shape("the run is over".to_owned()))
    }

    fn output(&self, index: usize) -> Option<View<'_>> {
        self.outputs.get(index).map(Tensor::view)
    }
}
