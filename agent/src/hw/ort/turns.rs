//! Who may use CUDA when. While the runs of one lane are recorded as a CUDA graph, no other thread of the process
//! may run, allocate or free: the recording would be lost, and the other's call fails ("operation not permitted
//! when stream is capturing"; seen with ONNX Runtime 1.31 and CUDA 13, a model swapped under frames).
//!
//! A recording takes some runs' time, and frames wait for it; loading a model takes seconds, and they do not. So
//! there are two locks: runs share one; what loads, allocates or frees takes the other; a recording takes that
//! one first, and then both.

use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

static CHANGES: Mutex<()> = Mutex::new(());
static RUNS: RwLock<()> = RwLock::new(());

/// A run's turn, beside other runs.
pub(super) type Beside = RwLockReadGuard<'static, ()>;

/// A turn with nobody else on the device.
#[derive(Debug)]
#[expect(dead_code, reason = "held for their ends")]
pub(super) struct Alone(RwLockWriteGuard<'static, ()>, MutexGuard<'static, ()>);

/// For a run.
#[inline]
pub(super) fn to_run() -> Beside {
    RUNS.read().unwrap_or_else(PoisonError::into_inner)
}

/// For runs that are recorded.
pub(super) fn to_record() -> Alone {
    let changes = to_change();
    Alone(RUNS.write().unwrap_or_else(PoisonError::into_inner), changes)
}

/// For whatever loads, allocates or frees.
pub(super) fn to_change() -> MutexGuard<'static, ()> {
    CHANGES.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_is_alone_and_a_load_keeps_no_run_waiting() {
        let load = to_change();
        // Another thread records: it waits for the load, and meanwhile runs go on.
        let recording = std::thread::spawn(|| drop(to_record()));
        drop((to_run(), to_run()));
        assert!(!recording.is_finished());
        drop(load);
        recording.join().unwrap();
    }
}
