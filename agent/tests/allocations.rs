//! The steady state allocates nothing: counted by the allocator, in every thread of the data path.

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

mod rig;

use rig::{Rig, batched};
use vedette::pipeline::batch::Batch;

thread_local! {
    /// Set in the test's own thread, which may allocate as it likes.
    static EXEMPT: Cell<bool> = const { Cell::new(false) };
}
static STEADY: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
/// Where the last of them came from, so that a failure far away can be understood.
static WHENCE: Mutex<Vec<Backtrace>> = Mutex::new(Vec::new());
/// Back traces that are kept: a few tell the story.
const WHENCE_MAX: usize = 4;

struct Counting;

impl Counting {
    fn count() {
        if STEADY.load(Ordering::Relaxed) && !EXEMPT.try_with(Cell::get).unwrap_or(true) {
            ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
            // What this allocates is the test's, not the data path's.
            EXEMPT.set(true);
            let mut whence = WHENCE.lock().unwrap_or_else(PoisonError::into_inner);
            if whence.len() < WHENCE_MAX {
                whence.push(Backtrace::force_capture());
            }
            drop(whence);
            EXEMPT.set(false);
        }
    }
}

#[expect(unsafe_code, reason = "an allocator is unsafe by its trait; this one only counts")]
// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count();
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::count();
        // SAFETY: as the caller promised.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Frames until every list and buffer has grown to what it will need.
const WARM_UP: u64 = 150;
/// Frames of one window that is counted.
const COUNTED: u64 = 100;
/// Windows until one must be without an allocation. What a frame allocates is in every window; what a thread
/// allocates when it waits in a channel for the first time (the standard library's place to wait) is in one.
const WINDOWS: u64 = 6;

/// Runs frames of `format` through `engine`, those of `cameras` together, and returns what was allocated in the steady state: in the best of
/// [`WINDOWS`] windows that follow each other.
fn allocations(format: &str, engine: &str, more: &str, cameras: usize) -> u64 {
    EXEMPT.set(true);
    let source = format!(
        "kind = 'pattern'\nwidth = 320\nheight = 180\nformat = '{format}'\npace = 'free'\nseed = 3\ncut = 0\n"
    );
    let batch = Batch { max: cameras, delay: Duration::from_millis(5) };
    let first = batched(engine, "1.0.0", cameras, batch);
    let rig = Rig::start_all(&vec![source.as_str(); cameras], first, 8, more);
    let inferred = |rig: &Rig| rig.health.summary().inferred;
    rig.until("the warm-up", |rig| inferred(rig) >= WARM_UP);
    let mut fewest = u64::MAX;
    STEADY.store(true, Ordering::SeqCst);
    for window in 1..=WINDOWS {
        WHENCE.lock().unwrap_or_else(PoisonError::into_inner).clear();
        ALLOCATIONS.store(0, Ordering::SeqCst);
        rig.until("the counted frames", |rig| inferred(rig) >= WARM_UP + window * COUNTED);
        fewest = fewest.min(ALLOCATIONS.load(Ordering::SeqCst));
        if fewest == 0 {
            break;
        }
    }
    STEADY.store(false, Ordering::SeqCst);
    assert_eq!(rig.swap().adopted(), 1);
    let shared = rig.health.counts().shared;
    assert_eq!(shared > 0, cameras > 1, "{shared} frames of {cameras} cameras shared a run");
    assert!(!rig.finish(false).is_empty());
    fewest
}

/// Everything that can be made of findings: numbers, zones, lines, rules, and a gate that looks at each frame.
const WATCHED: &str = "gate = { motion = 0.0, skip_duplicates = true }
[track]
high = 0.4
begin = 0.4
[[zones]]
name = 'left'
points = [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]
[[lines]]
name = 'middle'
points = [[0.5, 1], [0.5, 0]]
[[events]]
name = 'loiter'
kind = 'in-zone'
zone = 'left'
[[events]]
name = 'crowd'
kind = 'count-over'
limit = 3
[[events]]
name = 'passed'
kind = 'crossing'
line = 'middle'
[[events]]
name = 'stuck'
kind = 'frozen'
[[events]]
name = 'turned'
kind = 'moved'
";

#[test]
fn the_steady_state_allocates_nothing() {
    let onnxruntime = "kind = 'onnxruntime'\nproviders = ['cpu']\nthreads = 1\n";
    let shadow = "kind = 'shadow'\nlatency_us = 500\n";
    for (format, engine, more, cameras) in [
        ("nv12", onnxruntime, "", 1),
        ("nv12", onnxruntime, WATCHED, 1),
        ("rgb", onnxruntime, "", 1),
        ("mjpeg", onnxruntime, "", 1),
        ("nv12", shadow, "", 1),
        ("nv12", onnxruntime, "", 2),
        ("nv12", shadow, WATCHED, 3),
    ] {
        let count = allocations(format, engine, more, cameras);
        let whence = WHENCE.lock().unwrap();
        assert_eq!(
            count, 0,
            "{format} of {cameras} through {engine}, the last of them from {whence:#?}"
        );
    }
}
