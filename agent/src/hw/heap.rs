//! Memory that was freed and that the C library keeps.
//!
//! Opening a model frees about as much as the model is large, in between what stays. glibc gives back only
//! what lies at the end of its heap, unless it is asked.

#![expect(unsafe_code, reason = "the C library's function has no safe name")]

/// Gives freed memory back to the system, wherever it lies. For the moment after something large was opened:
/// it takes a millisecond or two, in which other threads may wait for memory.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        unsafe extern "C" {
            fn malloc_trim(pad: usize) -> i32;
        }
        // SAFETY: glibc's own signature; it takes its own locks and touches free memory only.
        let gave = unsafe { malloc_trim(0) };
        tracing::debug!(gave = gave != 0, "freed memory goes back to the system");
    }
}
