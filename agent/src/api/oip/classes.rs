//! The classification extension: the most likely classes of an output, as texts
//! `value:index:label`.

use std::sync::Arc;

use bytes::Bytes;
use half::{bf16, f16};
use serde_json::Value as Json;

use crate::pipeline::tensor::{Element, TensorSpec};
use crate::pipeline::value::{Data, Value, count as elements};

/// Most classes that are told of one item.
const CLASSES_MAX: u64 = 100_000;

/// How many classes `asked` wants of the output `spec`.
///
/// # Errors
/// It is no number, or the output has no classes.
pub(super) fn count(asked: &Json, spec: &TensorSpec) -> Result<usize, String> {
    if matches!(spec.element, Element::String | Element::Bool) {
        return Err("classes are made of numbers, and it has none".to_owned());
    }
    let number = asked.as_u64().filter(|number| (1..=CLASSES_MAX).contains(number));
    let number = number.and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| format!("`classification` is {asked}, expected 1 to {CLASSES_MAX}"))
}

/// The `wanted` most likely classes of each item of `value`: of the whole, where it has one extent or none, or the
/// model's first extent does not count items (`batched`).
pub(super) fn classes(
    value: &Value,
    wanted: usize,
    labels: &[Arc<str>],
    batched: bool,
) -> Option<Value> {
    let numbers = numbers(value)?;
    let (items, each) = match value.shape.as_slice() {
        [items, rest @ ..] if batched && !rest.is_empty() => (Some(*items), elements(rest)?),
        _ => (None, numbers.len()),
    };
    let floats = [Element::F16, Element::Bf16, Element::F32, Element::F64];
    let digits = if floats.contains(&value.element) { 6 } else { 0 };
    let told = wanted.min(each);
    let mut texts = Vec::with_capacity(items.unwrap_or(1) * told);
    for item in numbers.chunks(each.max(1)) {
        let mut order: Vec<usize> = (0..item.len()).collect();
        order.sort_by(|&a, &b| item[b].total_cmp(&item[a]).then(a.cmp(&b)));
        for &class in order.iter().take(told) {
            let label = labels.get(class).filter(|_| labels.len() == item.len());
            let label = label.map(|label| format!(":{label}")).unwrap_or_default();
            texts.push(Bytes::from(format!("{:.digits$}:{class}{label}", item[class])));
        }
    }
    let shape = items.into_iter().chain([told]).collect();
    Some(Value { element: Element::String, shape, data: Data::Texts(texts) })
}

/// The elements as numbers; `None` where they are texts.
fn numbers(value: &Value) -> Option<Vec<f64>> {
    let Data::Bytes(bytes) = &value.data else { return None };
    Some(match value.element {
        Element::F32 => each(bytes, |four| f32::from_le_bytes(four).into()),
        Element::F64 => each(bytes, f64::from_le_bytes),
        Element::F16 => each(bytes, |two| f16::from_le_bytes(two).to_f64()),
        Element::Bf16 => each(bytes, |two| bf16::from_le_bytes(two).to_f64()),
        Element::U8 => each(bytes, |one| u8::from_le_bytes(one).into()),
        Element::I8 => each(bytes, |one| i8::from_le_bytes(one).into()),
        Element::U16 => each(bytes, |two| u16::from_le_bytes(two).into()),
        Element::I16 => each(bytes, |two| i16::from_le_bytes(two).into()),
        Element::U32 => each(bytes, |four| u32::from_le_bytes(four).into()),
        Element::I32 => each(bytes, |four| i32::from_le_bytes(four).into()),
        Element::U64 => each(bytes, |eight| rounded(u64::from_le_bytes(eight).into())),
        Element::I64 => each(bytes, |eight| rounded(i64::from_le_bytes(eight).into())),
        Element::Bool | Element::String => return None,
    })
}

#[expect(clippy::as_conversions, reason = "a score is told with six digits")]
#[expect(clippy::cast_precision_loss, reason = "a score is told with six digits")]
fn rounded(number: i128) -> f64 {
    number as f64
}

fn each<const N: usize>(bytes: &[u8], from: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| from(*chunk)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(shape: &[usize], numbers: &[f32]) -> Value {
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        let (shape, data) = (shape.to_vec(), Data::Bytes(bytes.into()));
        Value { element: Element::F32, shape, data }
    }

    #[test]
    fn the_most_likely_come_first_with_their_labels_where_there_are_as_many() {
        let labels: Vec<Arc<str>> = vec!["a".into(), "b".into(), "c".into()];
        for (shape, numbers, labels, wanted, texts, told) in [
            (
                &[3][..],
                &[0.1, 0.7, 0.2][..],
                &labels[..],
                2,
                &["0.700000:1:b", "0.200000:2:c"][..],
                &[2][..],
            ),
            (&[2, 2], &[0.5, 1.0, 3.0, 3.0], &labels, 1, &["1.000000:1", "3.000000:0"], &[2, 1]),
            (&[1, 2], &[1.0, f32::NAN], &[], 9, &["NaN:1", "1.000000:0"], &[1, 2]),
        ] {
            let found = classes(&value(shape, numbers), wanted, labels, true).unwrap();
            let wanted: Vec<Bytes> = texts.iter().map(|text| Bytes::from(*text)).collect();
            assert_eq!((found.data, found.shape.as_slice()), (Data::Texts(wanted), told));
        }
    }

    #[test]
    fn where_nothing_counts_items_an_output_is_one_and_whole_numbers_are_told_as_such() {
        let counts = Value {
            element: Element::U8,
            shape: vec![2, 2],
            data: Data::Bytes(Bytes::from_static(&[1, 7, 0, 3])),
        };
        let found = classes(&counts, 2, &[], false).unwrap();
        let texts = vec![Bytes::from_static(b"7:1"), Bytes::from_static(b"3:3")];
        assert_eq!((found.data, found.shape), (Data::Texts(texts), vec![2]));
    }
}
