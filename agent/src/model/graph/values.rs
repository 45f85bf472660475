//! What a graph takes and gives, as its file says.

use super::read::integer;
use super::wire::{Field, Wire, WireError};
use super::{NAME_BYTES_MAX, RANK_MAX, Value, ValueKind};
use crate::pipeline::tensor::Dim;

/// An input or output.
pub(super) fn value(wire: &mut Wire, end: u64) -> Result<Value, WireError> {
    let (mut name, mut kind) = (String::new(), ValueKind::Other("of no type"));
    wire.message(end, |wire, number, field| {
        match (number, field) {
            (1, Field::Length(end)) => name = wire.text(end, NAME_BYTES_MAX)?,
            (2, Field::Length(end)) => kind = value_kind(wire, end)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(Value { name, kind })
}

fn value_kind(wire: &mut Wire, end: u64) -> Result<ValueKind, WireError> {
    let mut kind = ValueKind::Other("of no type");
    wire.message(end, |wire, number, field| {
        let Field::Length(end) = field else { return Ok(()) };
        kind = match number {
            1 => tensor_kind(wire, end)?,
            4 => ValueKind::Other("a sequence"),
            5 => ValueKind::Other("a map"),
            7 => ValueKind::Other("opaque"),
            8 => ValueKind::Other("a sparse tensor"),
            9 => ValueKind::Other("optional"),
            _ => return Ok(()),
        };
        Ok(())
    })?;
    Ok(kind)
}

fn tensor_kind(wire: &mut Wire, end: u64) -> Result<ValueKind, WireError> {
    let (mut element, mut dims) = (0, None);
    wire.message(end, |wire, number, field| {
        match (number, field) {
            (1, field) => element = integer(wire, field, "an element type")?,
            (2, Field::Length(end)) => {
                let mut list = Vec::new();
                wire.message(end, |wire, number, field| match (number, field) {
                    (1, Field::Length(end)) => {
                        if list.len() >= RANK_MAX {
                            return Err(
                                wire.malformed(format!("a tensor of more than {RANK_MAX} extents"))
                            );
                        }
                        list.push(dim(wire, end)?);
                        Ok(())
                    }
                    _ => Ok(()),
                })?;
                dims = Some(list);
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(ValueKind::Tensor(element, dims))
}

fn dim(wire: &mut Wire, end: u64) -> Result<Dim, WireError> {
    let mut found = Dim::Free(String::new());
    wire.message(end, |wire, number, field| {
        match (number, field) {
            (1, field) => {
                let extent = integer(wire, field, "an extent")?;
                // Some exporters write -1 for a free one.
                found =
                    usize::try_from(extent).map_or_else(|_| Dim::Free(String::new()), Dim::Fixed);
            }
            (2, Field::Length(end)) => found = Dim::Free(wire.text(end, NAME_BYTES_MAX)?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(found)
}
