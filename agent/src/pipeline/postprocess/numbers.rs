//! Elements of any type as the `f32` that postprocesses compute with.

#![expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "results are f32: numbers of 64 bits are rounded to it"
)]

use half::f16;
use half::slice::HalfFloatSliceExt;

use crate::pipeline::tensor::{Element, Elements};

/// How many elements there are.
pub(super) fn len(elements: Elements<'_>) -> usize {
    match elements {
        Elements::F32(all) => all.len(),
        Elements::F16(all) => all.len(),
        Elements::F64(all) => all.len(),
        Elements::U8(all) => all.len(),
        Elements::I8(all) => all.len(),
        Elements::I32(all) => all.len(),
        Elements::I64(all) => all.len(),
        Elements::Bool(all) => all.len(),
        Elements::Other(element, bytes) => {
            bytes.len().checked_div(element.size_bytes()).unwrap_or(0)
        }
    }
}

/// `count` of them from `start` on; `None` where there are fewer.
pub(super) fn slice(elements: Elements<'_>, start: usize, count: usize) -> Option<Elements<'_>> {
    let end = start.checked_add(count)?;
    Some(match elements {
        Elements::F32(all) => Elements::F32(all.get(start..end)?),
        Elements::F16(all) => Elements::F16(all.get(start..end)?),
        Elements::F64(all) => Elements::F64(all.get(start..end)?),
        Elements::U8(all) => Elements::U8(all.get(start..end)?),
        Elements::I8(all) => Elements::I8(all.get(start..end)?),
        Elements::I32(all) => Elements::I32(all.get(start..end)?),
        Elements::I64(all) => Elements::I64(all.get(start..end)?),
        Elements::Bool(all) => Elements::Bool(all.get(start..end)?),
        Elements::Other(element, bytes) => {
            let size = element.size_bytes();
            let range = start.checked_mul(size)?..end.checked_mul(size)?;
            Elements::Other(element, bytes.get(range)?)
        }
    })
}

/// The float at `index`; NaN where there is none.
pub(super) fn one(elements: Elements<'_>, index: usize) -> f32 {
    let found = match elements {
        Elements::F32(all) => all.get(index).copied(),
        Elements::F16(all) => all.get(index).map(|item| item.to_f32()),
        _ => None,
    };
    found.unwrap_or(f32::NAN)
}

/// The four floats of row `row`; NaN where there are none.
pub(super) fn four(elements: Elements<'_>, row: usize) -> [f32; 4] {
    [0, 1, 2, 3].map(|column| one(elements, row.saturating_mul(4).saturating_add(column)))
}

/// All of them as `f32`: as they lie where they are `f32`, else converted into `buffer`, which grows once.
/// Text becomes nothing.
pub(super) fn floats<'a>(elements: Elements<'a>, buffer: &'a mut Vec<f32>) -> &'a [f32] {
    match elements {
        Elements::F32(all) => all,
        Elements::F16(all) => {
            // Not cleared first: that would write all of it twice.
            buffer.resize(all.len(), 0.0);
            all.convert_to_f32_slice(buffer);
            buffer
        }
        _ => {
            buffer.clear();
            convert(elements, buffer);
            buffer
        }
    }
}

fn convert(elements: Elements<'_>, buffer: &mut Vec<f32>) {
    match elements {
        Elements::F32(all) => buffer.extend(all),
        Elements::F16(all) => buffer.extend(all.iter().map(|item| item.to_f32())),
        Elements::F64(all) => buffer.extend(all.iter().map(|&item| item as f32)),
        Elements::U8(all) => buffer.extend(all.iter().map(|&item| f32::from(item))),
        Elements::I8(all) => buffer.extend(all.iter().map(|&item| f32::from(item))),
        Elements::I32(all) => buffer.extend(all.iter().map(|&item| item as f32)),
        Elements::I64(all) => buffer.extend(all.iter().map(|&item| item as f32)),
        Elements::Bool(all) => buffer.extend(all.iter().map(|&item| f32::from(u8::from(item)))),
        Elements::Other(element, bytes) => others(element, bytes, buffer),
    }
}

fn others(element: Element, bytes: &[u8], buffer: &mut Vec<f32>) {
    match element {
        Element::Bf16 => extend(buffer, bytes, |item| half::bf16::from_ne_bytes(item).to_f32()),
        Element::F16 => extend(buffer, bytes, |item| f16::from_ne_bytes(item).to_f32()),
        Element::F32 => extend(buffer, bytes, f32::from_ne_bytes),
        Element::F64 => extend(buffer, bytes, |item| f64::from_ne_bytes(item) as f32),
        Element::U8 | Element::Bool => extend(buffer, bytes, |[item]| f32::from(item)),
        Element::I8 => extend(buffer, bytes, |item| f32::from(i8::from_ne_bytes(item))),
        Element::U16 => extend(buffer, bytes, |item| f32::from(u16::from_ne_bytes(item))),
        Element::I16 => extend(buffer, bytes, |item| f32::from(i16::from_ne_bytes(item))),
        Element::U32 => extend(buffer, bytes, |item| u32::from_ne_bytes(item) as f32),
        Element::I32 => extend(buffer, bytes, |item| i32::from_ne_bytes(item) as f32),
        Element::U64 => extend(buffer, bytes, |item| u64::from_ne_bytes(item) as f32),
        Element::I64 => extend(buffer, bytes, |item| i64::from_ne_bytes(item) as f32),
        Element::String => {}
    }
}

fn extend<const N: usize>(buffer: &mut Vec<f32>, bytes: &[u8], read: impl Fn([u8; N]) -> f32) {
    buffer.extend(bytes.as_chunks().0.iter().map(|&item| read(item)));
}

/// A count, for a mean.
pub(super) fn count(items: usize) -> f64 {
    items as f64
}

/// A mean's end.
pub(super) fn round(mean: f64) -> f32 {
    mean as f32
}

/// A number of pixels.
pub(super) fn pixels(extent: u32) -> f32 {
    extent as f32
}

/// A class number that a model gave as a float; `None` where it is none.
#[expect(clippy::cast_sign_loss, reason = "the guard lets no negative number through")]
pub(super) fn index(number: f32) -> Option<u32> {
    // Up to here every integer is exact in f32, and no model has as many classes.
    const LIMIT: f32 = 16_777_216.0;
    let rounded = number.round();
    (0.0..LIMIT).contains(&rounded).then_some(rounded as u32)
}
