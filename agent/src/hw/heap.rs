//! How the C library keeps memory: large buffers apart, and what was freed not for ever.
//!
//! Left alone, glibc puts large buffers into the common heap once one of that size was freed: there they lie at any
//! address, where few large pages fit into them (`pages`), and between small ones that keep them from being
//! given back.
//!
//! Opening a model frees about as much as the model is large, in between what stays. glibc gives back only
//! what lies at the end of its heap, unless it is asked.

#![expect(unsafe_code, reason = "the C library's functions have no safe names")]

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

/// Buffers of at least this size, that of a large page, get a mapping of their own.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const APART_BYTES: i32 = 2 << 20;

/// From now on large buffers get mappings of their own, and go back to the system when they are freed. To be called
/// once, at the start of a program that keeps its large buffers.
pub fn keep_large_apart() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        unsafe extern "C" {
            fn mallopt(parameter: i32, value: i32) -> i32;
        }
        /// `M_MMAP_THRESHOLD` of malloc.h.
        const MMAP_THRESHOLD: i32 = -3;
        // SAFETY: glibc's own signature; it takes its own lock and changes a number.
        let set = unsafe { mallopt(MMAP_THRESHOLD, APART_BYTES) };
        if set == 0 {
            tracing::trace!("the C library chooses by itself what to keep apart");
        }
    }
}
