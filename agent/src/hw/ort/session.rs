//! One loaded graph: what it takes and gives, and its runs.
#![expect(unsafe_code, reason = "the C interface")]

use std::ffi::{CStr, CString, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{NonNull, null_mut};
use std::sync::{Mutex, PoisonError};

use ort::AsPointer;
use ort::session::builder::SessionBuilder;
use ort::sys::{ONNXTensorElementDataType as Kind, OrtSession, OrtValue};

use crate::pipeline::engine::Signature;
use crate::pipeline::tensor::{Dim, Element, TensorSpec};

use super::failure::{Failure, checked};
use super::raw::{Binding, RunOptions, TypeInfo, Value, api, taken_text, tensor_type};
use super::turns;

/// One loaded graph.
#[derive(Debug)]
pub(super) struct Session {
    session: NonNull<OrtSession>,
    options: RunOptions,
    /// Accelerators' providers are not safe to run twice at once, and a processor is not faster for it.
    turn: Mutex<()>,
}

// SAFETY: a session may be used from any thread; runs take turns.
unsafe impl Send for Session {}
// SAFETY: as above; everything else only reads it.
unsafe impl Sync for Session {}

impl Drop for Session {
    fn drop(&mut self) {
        let _turn = turns::to_change();
        // SAFETY: this owns the session, and nothing uses it after.
        unsafe { (api().ReleaseSession)(self.session.as_ptr()) }
    }
}

impl Session {
    /// Loads the graph at `path`, as `builder` says.
    pub(super) fn open(
        environment: &ort::environment::Environment,
        builder: &SessionBuilder,
        path: &Path,
    ) -> Result<Self, Failure> {
        let options = RunOptions::new()?;
        let path = CString::new(path.as_os_str().as_bytes())?;
        let mut out = null_mut();
        let _turn = turns::to_change();
        // SAFETY: all live for the call; writes `out`, or returns a status.
        checked(unsafe {
            (api().CreateSession)(environment.ptr(), path.as_ptr(), builder.ptr(), &raw mut out)
        })?;
        let session =
            NonNull::new(out).ok_or_else(|| Failure::new("the library answered no session"))?;
        Ok(Self { session, options, turn: Mutex::new(()) })
    }

    /// The session, for a call.
    pub(super) fn ptr(&self) -> *mut OrtSession {
        self.session.as_ptr()
    }

    /// Runs once on what is bound, with options of its own if it has some. Allocates nothing.
    #[inline]
    pub(super) fn run(
        &self,
        binding: &Binding,
        options: Option<&RunOptions>,
    ) -> Result<(), Failure> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let (session, options) = (self.session.as_ptr(), options.unwrap_or(&self.options).ptr());
        // SAFETY: all live for the call; what is bound outlives the binding (`lane`).
        checked(unsafe { (api().RunWithBinding)(session, options, binding.ptr()) })
    }

    /// Runs once on `inputs` of these names, and returns the outputs of `wanted` names. Takes its turn where runs do
    /// (`alone`): a processor runs several at once.
    pub(super) fn run_values(
        &self,
        names: &[CString],
        inputs: &[*const OrtValue],
        wanted: &[CString],
        alone: bool,
    ) -> Result<Vec<Value>, Failure> {
        // What is recorded on the device at this moment would be lost. First, as frames take it.
        let _device = alone.then(turns::to_run);
        let _turn = alone.then(|| self.turn.lock().unwrap_or_else(PoisonError::into_inner));
        let pointers = |names: &[CString]| -> Vec<*const c_char> {
            names.iter().map(|name| name.as_ptr()).collect()
        };
        let (names, wanted) = (pointers(names), pointers(wanted));
        let mut outputs = vec![null_mut(); wanted.len()];
        // SAFETY: all live for the call, and there are as many inputs as names; the library writes as many outputs.
        let status = unsafe {
            (api().Run)(
                self.session.as_ptr(),
                self.options.ptr().cast_const(),
                names.as_ptr(),
                inputs.as_ptr(),
                inputs.len().min(names.len()),
                wanted.as_ptr(),
                wanted.len(),
                outputs.as_mut_ptr(),
            )
        };
        checked(status)?;
        outputs.into_iter().map(Value::owned).collect()
    }

    /// The same, and gives back to the C library what the processor's arena no longer uses at its end. Fails
    /// where there is no arena.
    pub(super) fn run_and_shrink(&self, binding: &Binding) -> Result<(), Failure> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let options = RunOptions::new()?;
        options.set(c"memory.enable_memory_arena_shrinkage", c"cpu:0")?;
        // SAFETY: all live for the call; what is bound outlives the binding (`lane`).
        checked(unsafe {
            (api().RunWithBinding)(self.session.as_ptr(), options.ptr(), binding.ptr())
        })
    }

    /// Ends the profile that the builder asked for; returns its file.
    pub(super) fn end_profiling(&self) -> Result<CString, Failure> {
        // SAFETY: a live session and allocator; writes a string, or returns a status.
        taken_text(|allocator, out| unsafe {
            (api().SessionEndProfiling)(self.session.as_ptr(), allocator, out)
        })
    }

    /// What the graph takes and gives, or what of it is no tensor that can be handled.
    pub(super) fn signature(&self) -> Result<Result<Signature, String>, Failure> {
        let session = self.session.as_ptr().cast_const();
        let (mut inputs, mut outputs) = (0, 0);
        // SAFETY: a live session; writes the number.
        checked(unsafe { (api().SessionGetInputCount)(session, &raw mut inputs) })?;
        // SAFETY: as above.
        checked(unsafe { (api().SessionGetOutputCount)(session, &raw mut outputs) })?;
        let mut found = Signature::default();
        for index in 0..inputs {
            // SAFETY: a live session and an index below its count; as above, twice.
            let name = taken_text(|allocator, out| unsafe {
                (api().SessionGetInputName)(session, index, allocator, out)
            })?;
            // SAFETY: see above.
            let info = TypeInfo::new(|out| unsafe {
                (api().SessionGetInputTypeInfo)(session, index, out)
            })?;
            match spec(&name, &info)? {
                Ok(spec) => found.inputs.push(spec),
                Err(what) => return Ok(Err(format!("input `{}` {what}", name.to_string_lossy()))),
            }
        }
        for index in 0..outputs {
            // SAFETY: a live session and an index below its count; as above, twice.
            let name = taken_text(|allocator, out| unsafe {
                (api().SessionGetOutputName)(session, index, allocator, out)
            })?;
            // SAFETY: see above.
            let info = TypeInfo::new(|out| unsafe {
                (api().SessionGetOutputTypeInfo)(session, index, out)
            })?;
            match spec(&name, &info)? {
                Ok(spec) => found.outputs.push(spec),
                Err(what) => return Ok(Err(format!("output `{}` {what}", name.to_string_lossy()))),
            }
        }
        Ok(Ok(found))
    }
}

fn spec(name: &CStr, info: &TypeInfo) -> Result<Result<TensorSpec, String>, Failure> {
    let tensor = match tensor_type(info)? {
        Ok(tensor) => tensor,
        Err(kind) => return Ok(Err(format!("is {}, not a tensor", kind_name(kind)))),
    };
    let Some((element, _)) = kind_of_number(tensor.element) else {
        return Ok(Err(format!("has elements of ONNX type {}", tensor.element)));
    };
    let dims = tensor.dims.iter().zip(tensor.names);
    let dims =
        dims.map(|(&extent, name)| usize::try_from(extent).map_or(Dim::Free(name), Dim::Fixed));
    Ok(Ok(TensorSpec { name: name.to_string_lossy().into_owned(), element, dims: dims.collect() }))
}

fn kind_name(kind: i32) -> &'static str {
    match kind {
        2 => "a sequence",
        3 => "a map",
        4 => "opaque",
        5 => "a sparse tensor",
        6 => "optional",
        _ => "of no known kind",
    }
}

/// ONNX's number of each element type and the bindings' word for it.
const KINDS: &[(i32, Element, Kind)] = &[
    (1, Element::F32, Kind::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT),
    (2, Element::U8, Kind::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8),
    (3, Element::I8, Kind::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8),
    (4, Element::U16, Kind::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16),
    (5, Element::I16, Kind::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16),
    (6, Element::I32, Kind::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32),
    (7, Element::I64, Kind::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64),
    (8, Element::String, Kind::ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING),
    (9, Element::Bool, Kind::ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL),
    (10, Element::F16, Kind::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16),
    (11, Element::F64, Kind::ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE),
    (12, Element::U32, Kind::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32),
    (13, Element::U64, Kind::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64),
    (16, Element::Bf16, Kind::ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16),
];

fn kind_of_number(number: i32) -> Option<(Element, Kind)> {
    KINDS.iter().find(|(n, ..)| *n == number).map(|&(_, element, kind)| (element, kind))
}

/// The bindings' word for an element type.
pub(super) fn kind_of(element: Element) -> Kind {
    let found = KINDS.iter().find(|(_, e, _)| *e == element);
    found.map_or(Kind::ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED, |&(.., kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_type_has_its_onnx_number() {
        for (_, element) in Element::NAMES {
            let found = KINDS.iter().find(|(_, e, _)| e == element);
            let (number, _, kind) = found.unwrap_or_else(|| panic!("{element:?} has none"));
            assert_eq!(kind_of_number(*number), Some((*element, *kind)));
            assert_eq!(kind_of(*element), *kind);
        }
    }
}
