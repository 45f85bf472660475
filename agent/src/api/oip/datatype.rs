//! What the protocol calls the types of elements.

use crate::pipeline::tensor::{Dim, Element, TensorSpec};

/// Every type, and its name.
const NAMES: [(&str, Element); 14] = [
    ("BOOL", Element::Bool),
    ("UINT8", Element::U8),
    ("UINT16", Element::U16),
    ("UINT32", Element::U32),
    ("UINT64", Element::U64),
    ("INT8", Element::I8),
    ("INT16", Element::I16),
    ("INT32", Element::I32),
    ("INT64", Element::I64),
    ("FP16", Element::F16),
    ("BF16", Element::Bf16),
    ("FP32", Element::F32),
    ("FP64", Element::F64),
    ("BYTES", Element::String),
];

/// The protocol's name of `element`.
pub(super) fn name(element: Element) -> &'static str {
    NAMES.iter().find(|(_, of)| *of == element).map_or("?", |(name, _)| name)
}

/// The type of this name.
pub(super) fn element(name: &str) -> Option<Element> {
    NAMES.iter().find(|(of, _)| *of == name).map(|&(_, element)| element)
}

/// Every name, for whoever used another.
pub(super) fn names() -> String {
    NAMES.map(|(name, _)| name).join(", ")
}

/// The shape of a tensor, -1 where it is free.
pub(super) fn shape(spec: &TensorSpec) -> Vec<i64> {
    let extent = |dim: &Dim| match dim {
        Dim::Fixed(extent) => i64::try_from(*extent).unwrap_or(i64::MAX),
        Dim::Free(_) => -1,
    };
    spec.dims.iter().map(extent).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_a_name_of_its_own() {
        for (_, of) in Element::NAMES {
            assert_eq!(element(name(*of)), Some(*of), "{of:?}");
        }
        assert_eq!(element("fp32"), None);
    }
}
