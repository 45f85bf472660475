//! Memory of a CUDA device, and copies to and from it: by the driver's own library, which is there wherever
//! ONNX Runtime's provider runs.
//!
//! Tensors of an accelerator's runs lie in it, at addresses that do not change: a replayed CUDA graph knows no
//! others, and the library need not allocate and copy for itself at each run.
#![expect(unsafe_code, reason = "the driver's C interface")]

use std::ffi::{c_int, c_uint, c_void};
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;

use libloading::Library;

use super::failure::Failure;
use super::turns;

/// The driver's library on every system that has CUDA, a Jetson too.
const NAME: &str = "libcuda.so.1";

/// A call's result; 0 where it went well.
type Status = c_int;
const OUT_OF_MEMORY: Status = 2;
/// An address on the device.
type Address = u64;

/// One device's memory. Its context is the one that ONNX Runtime has too.
#[derive(Debug)]
pub(super) struct Device {
    context: NonNull<c_void>,
    set_current: unsafe extern "C" fn(*mut c_void) -> Status,
    allocate: unsafe extern "C" fn(*mut Address, usize) -> Status,
    free: unsafe extern "C" fn(Address) -> Status,
    to_device: unsafe extern "C" fn(Address, *const c_void, usize) -> Status,
    to_host: unsafe extern "C" fn(*mut c_void, Address, usize) -> Status,
    /// The functions are its.
    _library: Library,
}

// SAFETY: the driver's functions may be called from any thread; each call first makes the context its thread's.
unsafe impl Send for Device {}
// SAFETY: as above.
unsafe impl Sync for Device {}

/// What a status means.
fn checked(status: Status, what: &str) -> Result<(), Failure> {
    match status {
        0 => Ok(()),
        // In the words in which ONNX Runtime says it: `failure` knows which of them last.
        code => Err(Failure::new(format!("CUDA failure {code}: {what}"))),
    }
}

impl Device {
    /// Device number `ordinal`.
    pub(super) fn open(ordinal: u16) -> Result<Arc<Self>, Failure> {
        let failed = |error: libloading::Error| Failure::new(format!("CUDA's driver: {error}"));
        // SAFETY: NVIDIA's driver library may be loaded at any time; ONNX Runtime's provider has done so already.
        let library = unsafe { Library::new(NAME) }.map_err(failed)?;
        /// # Safety
        /// `T` must be the symbol's type.
        unsafe fn symbol<T: Copy>(library: &Library, name: &str) -> Result<T, Failure> {
            // SAFETY: the caller's word.
            let found = unsafe { library.get::<T>(name) };
            found.map(|symbol| *symbol).map_err(|error| Failure::new(error.to_string()))
        }
        // SAFETY: the types are those of the driver's interface, stable since CUDA 3.2.
        unsafe {
            let init: unsafe extern "C" fn(c_uint) -> Status = symbol(&library, "cuInit")?;
            let get: unsafe extern "C" fn(*mut c_int, c_int) -> Status =
                symbol(&library, "cuDeviceGet")?;
            let retain: unsafe extern "C" fn(*mut *mut c_void, c_int) -> Status =
                symbol(&library, "cuDevicePrimaryCtxRetain")?;
            checked(init(0), "the driver does not start")?;
            let (mut device, mut context) = (0, null_mut());
            checked(get(&raw mut device, c_int::from(ordinal)), "there is no such device")?;
            // Kept until the process ends: ONNX Runtime never lets go of it either.
            checked(retain(&raw mut context, device), "the device cannot be used")?;
            let context = NonNull::new(context)
                .ok_or_else(|| Failure::new("CUDA's driver answered no context"))?;
            Ok(Arc::new(Self {
                context,
                set_current: symbol(&library, "cuCtxSetCurrent")?,
                allocate: symbol(&library, "cuMemAlloc_v2")?,
                free: symbol(&library, "cuMemFree_v2")?,
                to_device: symbol(&library, "cuMemcpyHtoD_v2")?,
                to_host: symbol(&library, "cuMemcpyDtoH_v2")?,
                _library: library,
            }))
        }
    }

    /// Makes the device this thread's.
    #[inline]
    fn here(&self) -> Result<(), Failure> {
        // SAFETY: a live context.
        checked(unsafe { (self.set_current)(self.context.as_ptr()) }, "the device is not at hand")
    }
}

/// Memory of a device with a fixed address.
#[derive(Debug)]
pub(super) struct DeviceBuffer {
    device: Arc<Device>,
    address: Address,
    bytes: usize,
}

impl DeviceBuffer {
    /// `bytes` bytes, at least one.
    pub(super) fn new(device: &Arc<Device>, bytes: usize) -> Result<Self, Failure> {
        device.here()?;
        let _turn = turns::to_change();
        let mut address = 0;
        // SAFETY: writes `address`, or returns a status.
        let status = unsafe { (device.allocate)(&raw mut address, bytes.max(1)) };
        let full = "the device has no memory left for this model's inputs and outputs";
        let what = if status == OUT_OF_MEMORY { full } else { "memory cannot be taken" };
        checked(status, what)?;
        Ok(Self { device: device.clone(), address, bytes })
    }

    /// Its address, as the library takes it. Nothing on the processor may follow it.
    pub(super) fn data(&self) -> Result<NonNull<u8>, Failure> {
        let address = usize::try_from(self.address).ok();
        let data = address
            .and_then(|address| NonNull::new(std::ptr::with_exposed_provenance_mut(address)));
        data.ok_or_else(|| Failure::new("CUDA's driver answered no address"))
    }

    /// Copies `host` here; it is here when this returns.
    #[inline]
    pub(super) fn fill(&self, host: &[u8]) -> Result<(), Failure> {
        self.device.here()?;
        let bytes = host.len().min(self.bytes);
        // SAFETY: both are at least that long.
        let status = unsafe { (self.device.to_device)(self.address, host.as_ptr().cast(), bytes) };
        checked(status, "an input cannot be copied to the device")
    }

    /// Copies this to `host`; it is there when this returns.
    #[inline]
    pub(super) fn read(&self, host: &mut [u8]) -> Result<(), Failure> {
        self.device.here()?;
        let bytes = host.len().min(self.bytes);
        // SAFETY: both are at least that long.
        let status =
            unsafe { (self.device.to_host)(host.as_mut_ptr().cast(), self.address, bytes) };
        checked(status, "an output cannot be copied from the device")
    }
}

impl Drop for DeviceBuffer {
    fn drop(&mut self) {
        let _turn = turns::to_change();
        if self.device.here().is_ok() {
            // SAFETY: allocated by `new` and not used after. A status would only say that it could not be freed.
            unsafe { (self.device.free)(self.address) };
        }
    }
}
