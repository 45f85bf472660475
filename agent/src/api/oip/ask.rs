//! What an inference request asks: JSON, with the elements of its tensors in it or in binary behind
//! it, checked against what the model takes.

use bytes::{Buf as _, Bytes};
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::elements::{self, Listed};
use super::{classes, datatype};
use crate::pipeline::engine::Signature;
use crate::pipeline::tensor::{Dim, Element, TensorSpec};
use crate::pipeline::value::{Data, Value, count};

/// Most tensors of a request: no graph has so many inputs or outputs.
const TENSORS_MAX: usize = 1024;

/// A request, as it is written.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::api) struct Written {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    parameters: Map<String, Json>,
    inputs: Vec<WrittenInput>,
    #[serde(default)]
    outputs: Vec<WrittenOutput>,
}

#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::api) struct WrittenInput {
    name: String,
    shape: Vec<i64>,
    datatype: String,
    #[serde(default)]
    parameters: Map<String, Json>,
    #[serde(default)]
    data: Option<Listed>,
}

#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::api) struct WrittenOutput {
    name: String,
    #[serde(default)]
    parameters: Map<String, Json>,
}

/// A request that the model takes.
#[derive(Debug, PartialEq)]
pub(super) struct Ask {
    pub(super) id: Option<String>,
    /// Every input of the model, in its order.
    pub(super) inputs: Vec<Value>,
    pub(super) outputs: Vec<Wanted>,
}

/// An output, and the form in which it is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Which of the model's.
    pub(super) index: usize,
    pub(super) binary: bool,
    /// The most likely so many classes instead of the tensor.
    pub(super) classes: Option<usize>,
}

/// Reads a request: `body`, whose first `json_bytes` are JSON (all of it where there is no such
/// number).
///
/// # Errors
/// What is wrong with it, and what was expected.
pub(super) fn read(
    body: &Bytes,
    json_bytes: Option<usize>,
    signature: &Signature,
) -> Result<Ask, String> {
    let length = json_bytes.unwrap_or(body.len());
    if length > body.len() {
        return Err(format!(
            "the header Inference-Header-Content-Length says {length} bytes, and the body has {}",
            body.len()
        ));
    }
    let mut binary = body.slice(length..);
    let written: Written = serde_json::from_slice(&body[..length])
        .map_err(|error| format!("the request cannot be read: {error}"))?;
    if written.inputs.len() > TENSORS_MAX || written.outputs.len() > TENSORS_MAX {
        return Err(format!("more than {TENSORS_MAX} tensors"));
    }
    let mut given: Vec<Option<Value>> = signature.inputs.iter().map(|_| None).collect();
    for input in written.inputs {
        let place = signature.inputs.iter().position(|spec| spec.name == input.name);
        let place = place.ok_or_else(|| {
            format!("there is no input `{}`; expected {}", input.name, all(&signature.inputs))
        })?;
        let (spec, slot) = (&signature.inputs[place], &mut given[place]);
        if slot.is_some() {
            return Err(format!("input `{}` is there twice", input.name));
        }
        let named = |what: String| format!("input `{}`: {what}", spec.name);
        *slot = Some(value(input, spec, &mut binary).map_err(named)?);
    }
    if !binary.is_empty() {
        return Err(format!("{} bytes behind the last tensor belong to none", binary.len()));
    }
    let missing = given.iter().zip(&signature.inputs).find(|(given, _)| given.is_none());
    if let Some((_, spec)) = missing {
        return Err(format!("input {} is missing", described(spec)));
    }
    let all_binary = flag(&written.parameters, "binary_data_output")?.unwrap_or(false);
    Ok(Ask {
        id: written.id.filter(|id| !id.is_empty()),
        inputs: given.into_iter().flatten().collect(),
        outputs: outputs(written.outputs, all_binary, signature)?,
    })
}

fn value(input: WrittenInput, spec: &TensorSpec, binary: &mut Bytes) -> Result<Value, String> {
    let wanted = datatype::name(spec.element);
    match datatype::element(&input.datatype) {
        Some(element) if element == spec.element => {}
        Some(_) => return Err(format!("datatype {}, expected {wanted}", input.datatype)),
        None => {
            let (found, names) = (&input.datatype, datatype::names());
            return Err(format!("no datatype is called `{found}`; expected {wanted} of {names}"));
        }
    }
    let shape = shape(&input.shape, spec)?;
    let elements = count(&shape).ok_or("it is too large")?;
    if input.parameters.contains_key("shared_memory_region") {
        return Err("shared memory is not taken; expected `data` or `binary_data_size`".to_owned());
    }
    let size = match input.parameters.get("binary_data_size") {
        None => None,
        Some(size) => {
            Some(size.as_u64().and_then(|size| usize::try_from(size).ok()).ok_or_else(|| {
                format!("`binary_data_size` is {size}, expected a number of bytes")
            })?)
        }
    };
    let data = match (size, input.data) {
        (Some(_), Some(_)) => {
            return Err("both `data` and `binary_data_size`; expected one of them".to_owned());
        }
        (None, None) => return Err("neither `data` nor `binary_data_size`".to_owned()),
        (Some(size), None) => {
            if size > binary.len() {
                return Err(format!(
                    "`binary_data_size` is {size}, and only {} bytes are left in the body",
                    binary.len()
                ));
            }
            raw(binary.split_to(size), spec.element, elements)?
        }
        (None, Some(listed)) => {
            if listed.len() != elements {
                let found = listed.len();
                return Err(format!("{found} elements, expected {elements} for {shape:?}"));
            }
            elements::data(listed, spec.element).map_err(|what| format!("{wanted}: {what}"))?
        }
    };
    Ok(Value { element: spec.element, shape, data })
}

/// The extents, where the model takes them.
fn shape(written: &[i64], spec: &TensorSpec) -> Result<Vec<usize>, String> {
    let wrong = || format!("shape {written:?}, expected {:?}", datatype::shape(spec));
    let shape: Vec<usize> = written
        .iter()
        .map(|&extent| usize::try_from(extent).ok())
        .collect::<Option<_>>()
        .ok_or_else(wrong)?;
    // The library tells a scalar and a tensor of unknown rank alike.
    let same = spec.dims.is_empty()
        || (shape.len() == spec.dims.len()
            && shape.iter().zip(&spec.dims).all(|(extent, dim)| match dim {
                Dim::Fixed(wanted) => extent == wanted,
                Dim::Free(_) => true,
            }));
    if !same {
        return Err(wrong());
    }
    if shape.contains(&0) {
        return Err(format!("shape {written:?} has no elements"));
    }
    Ok(shape)
}

/// Elements as they lie in memory; texts each behind its length.
fn raw(mut bytes: Bytes, element: Element, elements: usize) -> Result<Data, String> {
    if element != Element::String {
        let wanted = elements.checked_mul(element.size_bytes()).ok_or("it is too large")?;
        if bytes.len() != wanted {
            return Err(format!(
                "{} bytes, expected {wanted} for {elements} elements",
                bytes.len()
            ));
        }
        if element == Element::Bool && bytes.iter().any(|byte| *byte > 1) {
            return Err("a BOOL is the byte 0 or 1".to_owned());
        }
        return Ok(Data::Bytes(bytes));
    }
    let mut texts = Vec::new();
    while !bytes.is_empty() {
        let length = bytes.try_get_u32_le().ok().and_then(|length| usize::try_from(length).ok());
        match length {
            Some(length) if length <= bytes.len() => texts.push(bytes.split_to(length)),
            _ => return Err(format!("text {} is cut off", texts.len())),
        }
    }
    if texts.len() != elements {
        return Err(format!("{} texts, expected {elements}", texts.len()));
    }
    Ok(Data::Texts(texts))
}

fn outputs(
    written: Vec<WrittenOutput>,
    all_binary: bool,
    signature: &Signature,
) -> Result<Vec<Wanted>, String> {
    if written.is_empty() {
        let every = 0..signature.outputs.len();
        return Ok(every
            .map(|index| Wanted { index, binary: all_binary, classes: None })
            .collect());
    }
    let mut outputs: Vec<Wanted> = Vec::with_capacity(written.len());
    for output in written {
        let name = &output.name;
        let place = signature.outputs.iter().position(|spec| spec.name == *name);
        let index = place.ok_or_else(|| {
            format!("there is no output `{name}`; expected {}", all(&signature.outputs))
        })?;
        if outputs.iter().any(|other| other.index == index) {
            return Err(format!("output `{name}` is asked for twice"));
        }
        let named = |what: String| format!("output `{name}`: {what}");
        if output.parameters.contains_key("shared_memory_region") {
            return Err(named("shared memory is not given".to_owned()));
        }
        let binary = flag(&output.parameters, "binary_data").map_err(named)?;
        let classes = match output.parameters.get("classification") {
            None => None,
            Some(count) => Some(classes::count(count, &signature.outputs[index]).map_err(named)?),
        };
        outputs.push(Wanted { index, binary: binary.unwrap_or(all_binary), classes });
    }
    Ok(outputs)
}

fn flag(parameters: &Map<String, Json>, name: &str) -> Result<Option<bool>, String> {
    match parameters.get(name) {
        None => Ok(None),
        Some(Json::Bool(flag)) => Ok(Some(*flag)),
        Some(other) => Err(format!("`{name}` is {other}, expected true or false")),
    }
}

/// A tensor as the protocol tells it.
fn described(spec: &TensorSpec) -> String {
    format!("`{}` {} {:?}", spec.name, datatype::name(spec.element), datatype::shape(spec))
}

fn all(specs: &[TensorSpec]) -> String {
    let all: Vec<String> = specs.iter().map(described).collect();
    all.join(", ")
}
