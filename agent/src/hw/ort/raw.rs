//! Owners of the library's objects: each is released once, when it is dropped.
#![expect(unsafe_code, reason = "the C interface")]

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::{NonNull, null, null_mut};
use std::sync::Arc;

use ort::sys::{
    ONNXTensorElementDataType, OrtAllocator, OrtAllocatorType, OrtApi, OrtIoBinding, OrtMemType,
    OrtMemoryInfo, OrtRunOptions, OrtStatusPtr, OrtTensorTypeAndShapeInfo, OrtTypeInfo, OrtValue,
};

use super::failure::{Failure, checked};

/// The library's interface. Only called once a [`Runtime`](super::Runtime) is open, so that it does not panic.
#[inline]
pub(super) fn api() -> &'static OrtApi {
    ort::api()
}

/// What a constructor of the library wrote, or why it did not.
fn made<T>(status: OrtStatusPtr, out: *mut T) -> Result<NonNull<T>, Failure> {
    checked(status)?;
    NonNull::new(out).ok_or_else(|| Failure::new("the library answered nothing"))
}

macro_rules! owner {
    ($(#[$doc:meta])* $name:ident($kind:ty), $release:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(super) struct $name(NonNull<$kind>);

        impl $name {
            /// The object, for a call.
            #[inline]
            pub(super) fn ptr(&self) -> *mut $kind {
                self.0.as_ptr()
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                // SAFETY: this owns the object, and nothing uses it after.
                unsafe { (api().$release)(self.0.as_ptr()) }
            }
        }

        // SAFETY: the library's objects are not bound to the thread that made them.
        unsafe impl Send for $name {}
    };
}

owner!(
    /// A tensor, or another value.
    Value(OrtValue), ReleaseValue
);
owner!(
    /// Which memory a tensor lies in.
    MemoryInfo(OrtMemoryInfo), ReleaseMemoryInfo
);
owner!(
    /// The inputs and outputs of a session's runs.
    Binding(OrtIoBinding), ReleaseIoBinding
);
owner!(
    /// Settings of a run.
    RunOptions(OrtRunOptions), ReleaseRunOptions
);
owner!(
    /// What an input or output is.
    TypeInfo(OrtTypeInfo), ReleaseTypeInfo
);
owner!(
    /// Type and extents of a tensor at hand.
    TensorInfo(OrtTensorTypeAndShapeInfo), ReleaseTensorTypeAndShapeInfo
);
owner!(
    /// Memory that an accelerator reads without a copy by the processor.
    HostAllocator(OrtAllocator), ReleaseAllocator
);

impl TypeInfo {
    pub(super) fn new(
        get: impl FnOnce(*mut *mut OrtTypeInfo) -> OrtStatusPtr,
    ) -> Result<Self, Failure> {
        let mut out = null_mut();
        made(get(&raw mut out), out).map(Self)
    }
}

impl MemoryInfo {
    /// Ordinary memory.
    pub(super) fn cpu() -> Result<Self, Failure> {
        let mut out = null_mut();
        let (kind, memory) = (OrtAllocatorType::OrtDeviceAllocator, OrtMemType::OrtMemTypeDefault);
        // SAFETY: writes `out`, or returns a status.
        made(unsafe { (api().CreateCpuMemoryInfo)(kind, memory, &raw mut out) }, out).map(Self)
    }

    /// Memory that CUDA device `device` reads without a copy by the processor.
    pub(super) fn pinned(device: u16) -> Result<Self, Failure> {
        Self::of_device(c"CudaPinned", device, OrtMemType::OrtMemTypeCPUOutput)
    }

    /// The memory of CUDA device `device`.
    pub(super) fn cuda(device: u16) -> Result<Self, Failure> {
        Self::of_device(c"Cuda", device, OrtMemType::OrtMemTypeDefault)
    }

    fn of_device(name: &CStr, device: u16, memory: OrtMemType) -> Result<Self, Failure> {
        let (kind, mut out) = (OrtAllocatorType::OrtDeviceAllocator, null_mut());
        // SAFETY: `name` ends with a NUL; writes `out`, or returns a status.
        let status = unsafe {
            (api().CreateMemoryInfo)(name.as_ptr(), kind, i32::from(device), memory, &raw mut out)
        };
        made(status, out).map(Self)
    }
}

impl RunOptions {
    pub(super) fn new() -> Result<Self, Failure> {
        let mut out = null_mut();
        // SAFETY: writes `out`, or returns a status.
        made(unsafe { (api().CreateRunOptions)(&raw mut out) }, out).map(Self)
    }

    /// Those of runs that are replayed as CUDA graph number `graph` of their session.
    pub(super) fn of_graph(graph: i32) -> Result<Self, Failure> {
        let this = Self::new()?;
        this.set(c"gpu_graph_id", &CString::new(graph.to_string())?)?;
        Ok(this)
    }

    pub(super) fn set(&self, key: &CStr, value: &CStr) -> Result<(), Failure> {
        // SAFETY: live for the call, which copies the texts.
        checked(unsafe { (api().AddRunConfigEntry)(self.ptr(), key.as_ptr(), value.as_ptr()) })
    }
}

impl Value {
    /// A value that the library gave away.
    pub(super) fn owned(value: *mut OrtValue) -> Result<Self, Failure> {
        NonNull::new(value).map(Self).ok_or_else(|| Failure::new("the library answered nothing"))
    }

    /// What a constructor of the library wrote.
    pub(super) fn made(status: OrtStatusPtr, out: *mut OrtValue) -> Result<Self, Failure> {
        made(status, out).map(Self)
    }

    /// A tensor over `bytes` bytes at `data`.
    ///
    /// # Safety
    /// They must outlive the value and everything that it is bound to, and hold `shape`'s elements.
    pub(super) unsafe fn over(
        info: &MemoryInfo,
        data: NonNull<u8>,
        bytes: usize,
        shape: &[i64],
        kind: ONNXTensorElementDataType,
    ) -> Result<Self, Failure> {
        let mut out = null_mut();
        // SAFETY: `shape` lives for the call; the caller vouches for the data; writes `out` or returns a status.
        let status = unsafe {
            (api().CreateTensorWithDataAsOrtValue)(
                info.ptr(),
                data.as_ptr().cast::<c_void>(),
                bytes,
                shape.as_ptr(),
                shape.len(),
                kind,
                &raw mut out,
            )
        };
        made(status, out).map(Self)
    }

    /// Where its elements are.
    pub(super) fn data(&self) -> Result<*const u8, Failure> {
        let mut out = null_mut();
        // SAFETY: a live value; writes `out`, or returns a status.
        checked(unsafe { (api().GetTensorMutableData)(self.ptr(), &raw mut out) })?;
        Ok(out.cast_const().cast::<u8>())
    }

    /// Its extents, into `into`.
    pub(super) fn shape(&self, into: &mut Vec<i64>) -> Result<(), Failure> {
        let mut out = null_mut();
        // SAFETY: a live value; writes `out`, or returns a status.
        let status = unsafe { (api().GetTensorTypeAndShape)(self.ptr(), &raw mut out) };
        let info = TensorInfo(made(status, out)?);
        let mut rank = 0;
        // SAFETY: a live object; writes `rank`.
        checked(unsafe { (api().GetDimensionsCount)(info.ptr(), &raw mut rank) })?;
        into.clear();
        into.resize(rank, 0);
        // SAFETY: `into` has room for `rank` numbers.
        checked(unsafe { (api().GetDimensions)(info.ptr(), into.as_mut_ptr(), rank) })
    }
}

impl Binding {
    pub(super) fn new(session: *mut ort::sys::OrtSession) -> Result<Self, Failure> {
        let mut out = null_mut();
        // SAFETY: a live session; writes `out`, or returns a status.
        made(unsafe { (api().CreateIoBinding)(session, &raw mut out) }, out).map(Self)
    }

    pub(super) fn input(&self, name: &CStr, value: &Value) -> Result<(), Failure> {
        // SAFETY: all three live for the call; the binding keeps what it needs of the value.
        checked(unsafe { (api().BindInput)(self.ptr(), name.as_ptr(), value.ptr()) })
    }

    pub(super) fn output(&self, name: &CStr, value: &Value) -> Result<(), Failure> {
        // SAFETY: as for an input.
        checked(unsafe { (api().BindOutput)(self.ptr(), name.as_ptr(), value.ptr()) })
    }

    /// Lets the next run allocate the output, in `info`'s memory.
    pub(super) fn output_in(&self, name: &CStr, info: &MemoryInfo) -> Result<(), Failure> {
        // SAFETY: all three live for the call.
        checked(unsafe { (api().BindOutputToDevice)(self.ptr(), name.as_ptr(), info.ptr()) })
    }

    /// Waits until what the last run copied has arrived.
    pub(super) fn synchronize(&self) -> Result<(), Failure> {
        // SAFETY: a live binding.
        checked(unsafe { (api().SynchronizeBoundOutputs)(self.ptr()) })
    }

    /// Hands each output of the last run to `take`, in the order in which they were bound.
    pub(super) fn outputs(&self, mut take: impl FnMut(usize, Value)) -> Result<(), Failure> {
        let allocator = default_allocator()?;
        let (mut values, mut count) = (null_mut(), 0);
        // SAFETY: writes an array of `count` values, allocated by `allocator`, or returns a status.
        checked(unsafe {
            (api().GetBoundOutputValues)(self.ptr(), allocator, &raw mut values, &raw mut count)
        })?;
        for index in 0..count {
            // SAFETY: the library wrote that many values, and this owns each.
            if let Some(value) = NonNull::new(unsafe { *values.add(index) }) {
                take(index, Value(value));
            }
        }
        // SAFETY: the array came from this allocator and is not used after.
        checked(unsafe { (api().AllocatorFree)(allocator, values.cast::<c_void>()) })
    }
}

/// The library's own allocator of ordinary memory; never released.
pub(super) fn default_allocator() -> Result<*mut OrtAllocator, Failure> {
    let mut out = null_mut();
    // SAFETY: writes `out`, or returns a status.
    checked(unsafe { (api().GetAllocatorWithDefaultOptions)(&raw mut out) })?;
    Ok(out)
}

/// A string that the library allocated, as ours.
pub(super) fn taken_text(
    get: impl FnOnce(*mut OrtAllocator, *mut *mut c_char) -> OrtStatusPtr,
) -> Result<std::ffi::CString, Failure> {
    let allocator = default_allocator()?;
    let mut out = null_mut();
    checked(get(allocator, &raw mut out))?;
    if out.is_null() {
        return Err(Failure::new("the library answered no text"));
    }
    // SAFETY: not null, and ends with a NUL.
    let text = unsafe { CStr::from_ptr(out) }.to_owned();
    // SAFETY: it came from this allocator and is not used after.
    checked(unsafe { (api().AllocatorFree)(allocator, out.cast::<c_void>()) })?;
    Ok(text)
}

impl HostAllocator {
    /// Allocates memory that CUDA device `device` reads directly, as `session` has it.
    pub(super) fn pinned(
        session: *const ort::sys::OrtSession,
        device: u16,
    ) -> Result<Arc<Self>, Failure> {
        let info = MemoryInfo::pinned(device)?;
        let mut out = null_mut();
        // SAFETY: a live session; writes `out`, or returns a status.
        let status = unsafe { (api().CreateAllocator)(session, info.ptr(), &raw mut out) };
        made(status, out).map(Self).map(Arc::new)
    }

    pub(super) fn allocate(&self, bytes: usize) -> Result<NonNull<u8>, Failure> {
        let mut out = null_mut();
        // SAFETY: a live allocator; writes `out`, or returns a status.
        let status = unsafe { (api().AllocatorAlloc)(self.ptr(), bytes, &raw mut out) };
        made(status, out).map(NonNull::cast)
    }

    /// # Safety
    /// `data` must come from [`HostAllocator::allocate`] of this one, and not be used after.
    pub(super) unsafe fn free(&self, data: NonNull<u8>) {
        // SAFETY: the caller's word. A status would only say that it could not be freed.
        drop(checked(unsafe { (api().AllocatorFree)(self.ptr(), data.as_ptr().cast()) }));
    }
}

// SAFETY: allocating and freeing are the only uses; ONNX Runtime's pinned allocator locks.
unsafe impl Sync for HostAllocator {}

// SAFETY: only its address in the library is read, which does not change.
unsafe impl Sync for MemoryInfo {}

// SAFETY: never changed after it was made; the library reads it.
unsafe impl Sync for RunOptions {}

/// What the library reports of a tensor's type.
pub(super) struct TensorType {
    /// ONNX's number of the element type.
    pub(super) element: i32,
    /// Extents; -1 where free.
    pub(super) dims: Vec<i64>,
    /// Names of free extents; empty where they have none.
    pub(super) names: Vec<String>,
}

/// ONNX's number of tensors among kinds of values.
const KIND_TENSOR: i32 = 1;

/// The tensor that `info` describes, or the number of the kind of value that it is instead.
pub(super) fn tensor_type(info: &TypeInfo) -> Result<Result<TensorType, i32>, Failure> {
    // Numbers, not the enums of the bindings: a newer library may answer one that these do not have.
    let mut kind = 0_i32;
    // SAFETY: a live object; the enum that it writes is an i32 in C.
    checked(unsafe { (api().GetOnnxTypeFromTypeInfo)(info.ptr(), (&raw mut kind).cast()) })?;
    if kind != KIND_TENSOR {
        return Ok(Err(kind));
    }
    let mut tensor = null();
    // SAFETY: writes a pointer that lives as long as `info`.
    checked(unsafe { (api().CastTypeInfoToTensorInfo)(info.ptr(), &raw mut tensor) })?;
    if tensor.is_null() {
        return Ok(Err(kind));
    }
    let (mut element, mut rank) = (0_i32, 0);
    // SAFETY: a live object; the enum that it writes is an i32 in C.
    checked(unsafe { (api().GetTensorElementType)(tensor, (&raw mut element).cast()) })?;
    // SAFETY: a live object; writes `rank`.
    checked(unsafe { (api().GetDimensionsCount)(tensor, &raw mut rank) })?;
    let mut dims = vec![0; rank];
    let mut names = vec![null::<c_char>(); rank];
    // SAFETY: `dims` has room for `rank` numbers.
    checked(unsafe { (api().GetDimensions)(tensor, dims.as_mut_ptr(), rank) })?;
    // SAFETY: `names` has room for `rank` pointers, which live as long as `info`.
    checked(unsafe { (api().GetSymbolicDimensions)(tensor, names.as_mut_ptr(), rank) })?;
    let names = names
        .into_iter()
        .map(|name| match name.is_null() {
            true => String::new(),
            // SAFETY: not null; a string of the library that ends with a NUL.
            false => unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned(),
        })
        .collect();
    Ok(Ok(TensorType { element, dims, names }))
}
