//! Which extents a model's tensors have, once its batch is chosen.
//!
//! Pure: a graph's signature, what its description says of it, and a batch go in; extents, or each
//! contradiction by name, come out.

use std::collections::BTreeMap;

use super::engine::{EngineError, Signature};
use super::tensor::{Dim, Element, TensorSpec};

/// Most bytes of one tensor: 1 GiB, many times the largest picture of any model of this class, so that a shape
/// in a bad model cannot take a small board's memory.
pub const TENSOR_BYTES_MAX: usize = 1 << 30;

/// Inputs of this rank or more count items in their first extent, as pictures do. Of a smaller rank it may as
/// well be the samples of a window, so that a fixed first extent is then taken as it is.
const RANK_OF_BATCHES: usize = 4;

/// Extents for one batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extents {
    /// Of each input.
    pub inputs: Vec<Vec<usize>>,
    /// Of each output; `None` where only a run tells.
    pub outputs: Vec<Option<Vec<usize>>>,
}

/// The extents of `signature`'s tensors for `batch` items: every free first dimension of an input becomes
/// `batch`, and an output's free dimensions become what the input dimension of the same name is.
///
/// # Errors
/// [`EngineError::Shape`] where the batch is fixed to another number or another dimension of an input is free.
pub fn extents(signature: &Signature, batch: usize) -> Result<Extents, EngineError> {
    let mut named = BTreeMap::new();
    let inputs = signature
        .inputs
        .iter()
        .map(|spec| input(spec, batch, &mut named))
        .collect::<Result<_, _>>()?;
    if batch != 1 && !signature.inputs.iter().any(|spec| counts(spec, batch)) {
        return Err(EngineError::Shape(format!("its inputs do not take {batch} items at once")));
    }
    let outputs = signature.outputs.iter().map(|spec| output(spec, &named)).collect();
    Ok(Extents { inputs, outputs })
}

/// Whether the first extent of this input is `batch`, or becomes it.
fn counts(spec: &TensorSpec, batch: usize) -> bool {
    match spec.dims.first() {
        Some(Dim::Fixed(extent)) => *extent == batch,
        Some(Dim::Free(_)) => true,
        None => false,
    }
}

fn input<'a>(
    spec: &'a TensorSpec,
    batch: usize,
    named: &mut BTreeMap<&'a str, usize>,
) -> Result<Vec<usize>, EngineError> {
    let refuse = |why: String| EngineError::Shape(format!("input {spec}: {why}"));
    if spec.dims.len() >= RANK_OF_BATCHES && !counts(spec, batch) {
        return Err(refuse(format!("its batch is not {batch}")));
    }
    let mut found = Vec::with_capacity(spec.dims.len());
    for (index, dim) in spec.dims.iter().enumerate() {
        found.push(match dim {
            Dim::Fixed(extent) => *extent,
            Dim::Free(name) if index == 0 => {
                if !name.is_empty() {
                    named.insert(name, batch);
                }
                batch
            }
            Dim::Free(name) => match named.get(name.as_str()) {
                Some(extent) => *extent,
                None => {
                    return Err(refuse(format!(
                        "dimension {index} is free; `model.toml` can fix it"
                    )));
                }
            },
        });
    }
    match bytes(spec.element, &found) {
        Some(_) => Ok(found),
        None => Err(refuse(format!("it is larger than {TENSOR_BYTES_MAX} bytes"))),
    }
}

fn output(spec: &TensorSpec, named: &BTreeMap<&str, usize>) -> Option<Vec<usize>> {
    // The library tells a scalar and a tensor of unknown rank alike.
    if spec.dims.is_empty() {
        return None;
    }
    let found: Vec<usize> = spec
        .dims
        .iter()
        .map(|dim| match dim {
            Dim::Fixed(extent) => Some(*extent),
            Dim::Free(name) => named.get(name.as_str()).copied(),
        })
        .collect::<Option<_>>()?;
    bytes(spec.element, &found).map(|_| found)
}

/// Whether every input and output counts items in its first extent, by one name. Extents without a name may each be
/// another.
#[must_use]
pub fn takes_batches(signature: &Signature) -> bool {
    fn first(spec: &TensorSpec) -> Option<&str> {
        match spec.dims.first() {
            Some(Dim::Free(name)) if !name.is_empty() => Some(name),
            _ => None,
        }
    }
    let mut tensors = signature.inputs.iter().chain(&signature.outputs).map(first);
    let Some(Some(name)) = tensors.next() else { return false };
    tensors.all(|other| other == Some(name))
}

/// Bytes of a tensor; `None` above [`TENSOR_BYTES_MAX`].
#[must_use]
pub fn bytes(element: Element, shape: &[usize]) -> Option<usize> {
    let mut product = element.size_bytes();
    for extent in shape {
        product = product.checked_mul(*extent)?;
    }
    (product <= TENSOR_BYTES_MAX).then_some(product)
}

/// `graph`'s signature with the free dimensions that `wanted` fixes fixed, and with `wanted`'s names for the
/// others.
///
/// # Errors
/// Each contradiction, with the tensor, what was found and what was expected.
pub fn agree(graph: &Signature, wanted: &Signature) -> Result<Signature, Vec<String>> {
    let mut wrong = Vec::new();
    let inputs = agree_all("input", &graph.inputs, &wanted.inputs, &mut wrong);
    let outputs = agree_all("output", &graph.outputs, &wanted.outputs, &mut wrong);
    if wrong.is_empty() { Ok(Signature { inputs, outputs }) } else { Err(wrong) }
}

fn agree_all(
    role: &str,
    graph: &[TensorSpec],
    wanted: &[TensorSpec],
    wrong: &mut Vec<String>,
) -> Vec<TensorSpec> {
    for spec in wanted {
        if !graph.iter().any(|found| found.name == spec.name) {
            let names: Vec<String> = graph.iter().map(|spec| format!("`{}`", spec.name)).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            wrong.push(format!("{role} {spec} is not in the graph, whose {role}s are {names}"));
        }
    }
    graph
        .iter()
        .map(|found| match wanted.iter().find(|spec| spec.name == found.name) {
            Some(spec) => agree_one(role, found, spec, wrong),
            None => {
                wrong.push(format!("{role} {found} of the graph is not in `model.toml`"));
                found.clone()
            }
        })
        .collect()
}

fn agree_one(
    role: &str,
    found: &TensorSpec,
    wanted: &TensorSpec,
    wrong: &mut Vec<String>,
) -> TensorSpec {
    let unknown_rank = role == "output" && found.dims.is_empty();
    let fits = |(found, wanted): (&Dim, &Dim)| matches!(found, Dim::Free(_)) || found == wanted;
    let same = found.element == wanted.element
        && (unknown_rank
            || (found.dims.len() == wanted.dims.len()
                && found.dims.iter().zip(&wanted.dims).all(fits)));
    if !same {
        wrong.push(format!("{role} is {found} in the graph, expected {wanted}"));
    }
    wanted.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `name:type:extent,extent…`
    fn spec(text: &str) -> TensorSpec {
        let mut parts = text.split(':');
        let (name, element) = (parts.next().unwrap(), parts.next().unwrap());
        let dims = parts.next().unwrap().split(',').filter(|dim| !dim.is_empty());
        TensorSpec {
            name: name.to_owned(),
            element: Element::NAMES.iter().find(|(name, _)| *name == element).unwrap().1,
            dims: dims
                .map(|dim| dim.parse().map_or_else(|_| Dim::Free(dim.to_owned()), Dim::Fixed))
                .collect(),
        }
    }

    fn signature(inputs: &[&str], outputs: &[&str]) -> Signature {
        Signature {
            inputs: inputs.iter().copied().map(spec).collect(),
            outputs: outputs.iter().copied().map(spec).collect(),
        }
    }

    #[test]
    fn a_batch_fills_every_free_first_dimension_and_what_is_named_like_it() {
        let model =
            signature(&["a:f32:n,3,8,8", "b:i64:n,2"], &["o:f32:n,9", "p:f32:k,6", "q:f32:"]);
        let found = extents(&model, 4).unwrap();
        assert_eq!(found.inputs, [vec![4, 3, 8, 8], vec![4, 2]]);
        assert_eq!(found.outputs, [Some(vec![4, 9]), None, None]);
    }

    #[test]
    fn a_batch_that_the_model_does_not_take_is_refused_with_the_reason() {
        for (inputs, batch, reason) in [
            (["a:f32:1,3,8,8"], 4, "input `a` f32 [1, 3, 8, 8]: its batch is not 4"),
            (["a:f32:4,3,8,8"], 1, "input `a` f32 [4, 3, 8, 8]: its batch is not 1"),
            (["a:f32:256,3"], 2, "its inputs do not take 2 items at once"),
            (
                ["a:f32:n,3,h,8"],
                1,
                "input `a` f32 [n, 3, h, 8]: dimension 2 is free; `model.toml` can fix it",
            ),
            (
                ["a:f32:n,99999,99999"],
                1,
                "input `a` f32 [n, 99999, 99999]: it is larger than 1073741824 bytes",
            ),
        ] {
            let error = extents(&signature(&inputs, &[]), batch).unwrap_err();
            assert_eq!(error.to_string(), format!("the model cannot be run as asked: {reason}"));
        }
        assert_eq!(extents(&signature(&["a:f32:256,3"], &[]), 1).unwrap().inputs, [[256, 3]]);
        assert_eq!(extents(&signature(&["a:f32:4,3,8,8"], &[]), 4).unwrap().inputs, [[4, 3, 8, 8]]);
    }

    #[test]
    fn only_extents_of_one_name_are_a_batch() {
        for (input, output, batches) in [
            ("a:f32:n,3", "o:f32:n", true),
            ("a:f32:n,3", "o:f32:m", false),
            ("a:f32:n,3", "o:f32:1", false),
            ("a:f32:1,3", "o:f32:1", false),
            ("a:f32:", "o:f32:n", false),
        ] {
            assert_eq!(takes_batches(&signature(&[input], &[output])), batches, "{input} {output}");
        }
        let mut unnamed = signature(&["a:f32:n,3"], &["o:f32:n"]);
        for spec in unnamed.inputs.iter_mut().chain(&mut unnamed.outputs) {
            spec.dims[0] = Dim::Free(String::new());
        }
        assert!(!takes_batches(&unnamed));
        assert!(!takes_batches(&Signature::default()));
    }

    #[test]
    fn a_description_fixes_what_the_graph_leaves_free() {
        let graph = signature(&["a:f32:N,3,H,W"], &["o:f32:N,K", "q:f32:"]);
        let wanted = signature(&["a:f32:batch,3,320,320"], &["o:f32:batch,9", "q:f32:1,2"]);
        assert_eq!(agree(&graph, &wanted).unwrap(), wanted);
    }

    #[test]
    fn each_contradiction_names_the_tensor_and_both_sides() {
        let graph = signature(&["a:f32:1,3,8,8"], &["o:f32:1,9", "p:f32:1"]);
        let wanted = signature(&["a:f32:batch,3,8,8", "b:u8:1"], &["o:f16:1,9"]);
        assert_eq!(
            agree(&graph, &wanted).unwrap_err(),
            [
                "input `b` u8 [1] is not in the graph, whose inputs are `a`",
                "input is `a` f32 [1, 3, 8, 8] in the graph, expected `a` f32 [batch, 3, 8, 8]",
                "output is `o` f32 [1, 9] in the graph, expected `o` f16 [1, 9]",
                "output `p` f32 [1] of the graph is not in `model.toml`",
            ]
        );
    }
}
