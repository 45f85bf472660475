//! What preprocess and postprocess see of a request: a lane whose run is over.

use bytes::Bytes;
use half::f16;

use crate::pipeline::engine::{EngineError, Lane};
use crate::pipeline::shape::bytes;
use crate::pipeline::tensor::{Dim, Element, Elements, ElementsMut, TensorSpec, View};
use crate::pipeline::value::{Data, Value, count};

/// A value for one item of `spec`, filled by `fill`, and what `fill` says of it.
///
/// # Errors
/// The input is none that a picture can become, or it could not be filled.
pub(super) fn filled<T>(
    spec: &TensorSpec,
    fill: impl FnOnce(ElementsMut<'_>) -> Result<T, String>,
) -> Result<(Value, T), String> {
    let extent = |(place, dim): (usize, &Dim)| match dim {
        Dim::Fixed(extent) => Some(*extent),
        Dim::Free(_) => (place == 0).then_some(1),
    };
    let shape: Option<Vec<usize>> = spec.dims.iter().enumerate().map(extent).collect();
    let shape = shape.ok_or_else(|| format!("input {spec} has a free extent"))?;
    let elements = bytes(spec.element, &shape).and_then(|_| count(&shape));
    let elements = elements.ok_or_else(|| format!("input {spec} is too large"))?;
    let (data, told) = match spec.element {
        Element::F32 => {
            let mut list = vec![0_f32; elements];
            let told = fill(ElementsMut::F32(&mut list))?;
            (list.iter().flat_map(|one| one.to_le_bytes()).collect(), told)
        }
        Element::F16 => {
            let mut list = vec![f16::ZERO; elements];
            let told = fill(ElementsMut::F16(&mut list))?;
            (list.iter().flat_map(|one| one.to_le_bytes()).collect(), told)
        }
        Element::U8 => {
            let mut list = vec![0_u8; elements];
            let told = fill(ElementsMut::U8(&mut list))?;
            (list, told)
        }
        Element::I8 => {
            let mut list = vec![0_i8; elements];
            let told = fill(ElementsMut::I8(&mut list))?;
            (list.iter().flat_map(|one| one.to_le_bytes()).collect::<Vec<u8>>(), told)
        }
        other => return Err(format!("input {spec} is {}, which no picture fills", other.name())),
    };
    Ok((Value { element: spec.element, shape, data: Data::Bytes(Bytes::from(data)) }, told))
}

/// A run that is over.
#[derive(Debug)]
pub(super) struct Answered {
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
}

#[derive(Debug)]
struct Tensor {
    shape: Vec<usize>,
    elements: Memory,
}

/// Elements where their type is at home.
#[derive(Debug)]
enum Memory {
    F32(Vec<f32>),
    F16(Vec<f16>),
    F64(Vec<f64>),
    I8(Vec<i8>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    Bool(Vec<bool>),
    U8(Bytes),
    Other(Element, Bytes),
}

impl Answered {
    pub(super) fn new(inputs: &[Value], outputs: &[Value]) -> Self {
        let tensor =
            |value: &Value| Tensor { shape: value.shape.clone(), elements: Memory::of(value) };
        Self {
            inputs: inputs.iter().map(tensor).collect(),
            outputs: outputs.iter().map(tensor).collect(),
        }
    }
}

impl Tensor {
    fn view(&self) -> View<'_> {
        let elements = match &self.elements {
            Memory::F32(list) => Elements::F32(list),
            Memory::F16(list) => Elements::F16(list),
            Memory::F64(list) => Elements::F64(list),
            Memory::I8(list) => Elements::I8(list),
            Memory::I32(list) => Elements::I32(list),
            Memory::I64(list) => Elements::I64(list),
            Memory::Bool(list) => Elements::Bool(list),
            Memory::U8(bytes) => Elements::U8(bytes),
            Memory::Other(element, bytes) => Elements::Other(*element, bytes),
        };
        View { shape: &self.shape, elements }
    }
}

impl Memory {
    fn of(value: &Value) -> Self {
        let Data::Bytes(bytes) = &value.data else {
            return Self::Other(value.element, Bytes::new());
        };
        match value.element {
            Element::F32 => Self::F32(each(bytes, f32::from_le_bytes)),
            Element::F16 => Self::F16(each(bytes, f16::from_le_bytes)),
            Element::F64 => Self::F64(each(bytes, f64::from_le_bytes)),
            Element::I8 => Self::I8(each(bytes, i8::from_le_bytes)),
            Element::I32 => Self::I32(each(bytes, i32::from_le_bytes)),
            Element::I64 => Self::I64(each(bytes, i64::from_le_bytes)),
            Element::Bool => Self::Bool(each(bytes, |[byte]: [u8; 1]| byte != 0)),
            Element::U8 => Self::U8(bytes.clone()),
            other => Self::Other(other, bytes.clone()),
        }
    }
}

fn each<T, const N: usize>(bytes: &[u8], from: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| from(*chunk)).collect()
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
