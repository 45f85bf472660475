//! One run on values of any shape: for requests, which come once and bring their own memory.
#![expect(unsafe_code, reason = "the library reads and writes values by their addresses")]

use std::ffi::{CString, c_char};
use std::ptr::{NonNull, null_mut};

use bytes::Bytes;

use crate::pipeline::engine::{EngineError, Signature};
use crate::pipeline::tensor::{Element, TensorSpec};
use crate::pipeline::value::{Data, Value as Given, count};

use super::failure::{Failure, checked, of_run};
use super::lane::Shared;
use super::raw::{Value, api, default_allocator};
use super::session::kind_of;

/// What the library's kernels like, and every element is aligned to.
const ALIGN: usize = 16;

/// An input in the library's hands, and its memory where that is ours.
struct Input {
    value: Value,
    /// Outlives `value`, which points into it.
    _memory: Memory,
}

/// Bytes that do not move while they are held.
enum Memory {
    Theirs(#[expect(dead_code, reason = "it keeps the bytes alive")] Bytes),
    Copied(Vec<u128>),
    Librarys,
}

/// Runs the graph of `shared` once on `inputs`, which are all of `signature`'s and in its order;
/// returns `outputs`.
pub(super) fn run(
    shared: &Shared,
    signature: &Signature,
    inputs: &[Given],
    outputs: &[usize],
) -> Result<Vec<Given>, EngineError> {
    let wrong = |what: String| EngineError::Shape(what);
    if inputs.len() != signature.inputs.len() {
        let (found, wanted) = (inputs.len(), signature.inputs.len());
        return Err(wrong(format!("{found} inputs, expected {wanted}")));
    }
    for (given, spec) in inputs.iter().zip(&signature.inputs) {
        if given.element != spec.element || !given.is_whole() {
            return Err(wrong(format!("input {spec} is given another type or too few elements")));
        }
    }
    let specs: Option<Vec<&TensorSpec>> =
        outputs.iter().map(|&index| signature.outputs.get(index)).collect();
    let specs = specs.ok_or_else(|| wrong("there is no such output".to_owned()))?;
    let made: Result<Vec<Input>, Failure> =
        inputs.iter().map(|given| Input::new(shared, given)).collect();
    let made = made.map_err(|failure| of_run(&failure))?;
    let names =
        |specs: &mut dyn Iterator<Item = &TensorSpec>| -> Result<Vec<CString>, EngineError> {
            let name = |spec: &TensorSpec| CString::new(spec.name.as_str());
            specs.map(|spec| name(spec).map_err(|_| wrong(format!("{spec} has a NUL")))).collect()
        };
    let given = names(&mut signature.inputs.iter())?;
    let wanted = names(&mut specs.iter().copied())?;
    let found = shared.session.run_values(
        &given,
        &made.iter().map(|input| input.value.ptr().cast_const()).collect::<Vec<_>>(),
        &wanted,
        shared.device.is_some(),
    );
    let found = found.map_err(|failure| of_run(&failure))?;
    let taken = found.iter().zip(&specs).map(|(value, spec)| take(value, spec.element));
    taken.collect::<Result<_, _>>().map_err(|failure| of_run(&failure))
}

impl Input {
    fn new(shared: &Shared, given: &Given) -> Result<Self, Failure> {
        let shape: Result<Vec<i64>, _> = given.shape.iter().map(|&n| i64::try_from(n)).collect();
        let shape = shape.map_err(|_| Failure::new("an input is too large"))?;
        let bytes = match &given.data {
            Data::Bytes(bytes) => bytes,
            Data::Texts(texts) => {
                let value = Value::texts(&shape)?;
                for (index, text) in texts.iter().enumerate() {
                    value.set_text(index, text)?;
                }
                return Ok(Self { value, _memory: Memory::Librarys });
            }
        };
        let memory = if bytes.as_ptr().align_offset(ALIGN) == 0 {
            Memory::Theirs(bytes.clone())
        } else {
            Memory::Copied(aligned(bytes))
        };
        let data = match &memory {
            Memory::Copied(words) => words.as_ptr().cast::<u8>().cast_mut(),
            _ => bytes.as_ptr().cast_mut(),
        };
        let data = NonNull::new(data).unwrap_or(NonNull::<u128>::dangling().cast());
        // SAFETY: `memory` holds the shape's elements (the caller looked) and lives as long as the
        // value; the library only reads its inputs.
        let value =
            unsafe { Value::over(&shared.cpu, data, bytes.len(), &shape, kind_of(given.element)) };
        Ok(Self { value: value?, _memory: memory })
    }
}

/// A copy of `bytes` that begins where a vector instruction likes it.
fn aligned(bytes: &[u8]) -> Vec<u128> {
    let word = |chunk: &[u8]| {
        let mut word = [0; size_of::<u128>()];
        word[..chunk.len()].copy_from_slice(chunk);
        u128::from_ne_bytes(word)
    };
    bytes.chunks(size_of::<u128>()).map(word).collect()
}

/// What the library answered, as ours.
fn take(value: &Value, element: Element) -> Result<Given, Failure> {
    let mut extents = Vec::new();
    value.shape(&mut extents)?;
    let shape: Result<Vec<usize>, _> = extents.iter().map(|&n| usize::try_from(n)).collect();
    let shape = shape.map_err(|_| Failure::new("an output has a negative extent"))?;
    let count = count(&shape).ok_or_else(|| Failure::new("an output is too large"))?;
    let data = if element == Element::String {
        Data::Texts(value.texts_of(count)?)
    } else {
        let bytes = count.checked_mul(element.size_bytes());
        let bytes = bytes.ok_or_else(|| Failure::new("an output is too large"))?;
        if bytes == 0 {
            Data::Bytes(Bytes::new())
        } else {
            let data = value.data()?;
            // SAFETY: the library says that so many elements are there, and they stay until the
            // value is dropped.
            Data::Bytes(Bytes::copy_from_slice(unsafe { std::slice::from_raw_parts(data, bytes) }))
        }
    };
    Ok(Given { element, shape, data })
}

impl Value {
    /// A tensor of texts, all empty.
    fn texts(shape: &[i64]) -> Result<Self, Failure> {
        let (allocator, mut out) = (default_allocator()?, null_mut());
        // SAFETY: all live for the call; writes `out`, or returns a status.
        let status = unsafe {
            (api().CreateTensorAsOrtValue)(
                allocator,
                shape.as_ptr(),
                shape.len(),
                kind_of(Element::String),
                &raw mut out,
            )
        };
        Self::made(status, out)
    }

    /// Puts `text` at `index` of a tensor of texts.
    fn set_text(&self, index: usize, text: &[u8]) -> Result<(), Failure> {
        let mut place = null_mut::<c_char>();
        // SAFETY: a live value; the library looks at the index, and writes where the text goes.
        checked(unsafe {
            (api().GetResizedStringTensorElementBuffer)(
                self.ptr(),
                index,
                text.len(),
                &raw mut place,
            )
        })?;
        if !text.is_empty() && !place.is_null() {
            // SAFETY: the library has made room for as many bytes there.
            unsafe { place.cast::<u8>().copy_from_nonoverlapping(text.as_ptr(), text.len()) };
        }
        Ok(())
    }

    /// The `count` texts of a tensor of texts.
    fn texts_of(&self, count: usize) -> Result<Vec<Bytes>, Failure> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let mut length = 0;
        // SAFETY: a live value; writes the number.
        checked(unsafe { (api().GetStringTensorDataLength)(self.ptr(), &raw mut length) })?;
        let (mut bytes, mut begins) = (vec![0_u8; length], vec![0_usize; count]);
        // SAFETY: there is room for as many bytes and numbers as it is told.
        checked(unsafe {
            (api().GetStringTensorContent)(
                self.ptr(),
                bytes.as_mut_ptr().cast(),
                length,
                begins.as_mut_ptr(),
                count,
            )
        })?;
        let bytes = Bytes::from(bytes);
        let ends = begins.iter().skip(1).copied().chain([length]);
        let texts = begins.iter().zip(ends).map(|(&begin, end)| {
            let range = begin.min(length)..end.min(length).max(begin.min(length));
            bytes.slice(range)
        });
        Ok(texts.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_aligned_and_has_every_byte() {
        for length in [0, 1, 15, 16, 17, 100] {
            let bytes: Vec<u8> = (0..length).collect();
            let words = aligned(&bytes);
            assert_eq!(words.as_ptr().align_offset(ALIGN), 0);
            let back: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
            assert_eq!(&back[..bytes.len()], bytes);
        }
    }
}
