//! What only the C library can do with a process.
#![expect(unsafe_code, reason = "calls into the C library")]

use std::ffi::c_int;

unsafe extern "C" {
    safe fn _exit(status: c_int) -> !;
}

/// Ends this process at once, without what libraries left to be run at its end: an accelerator's library that
/// was opened at run time may crash there, after all the work is done.
pub fn exit_now(status: u8) -> ! {
    _exit(c_int::from(status))
}
