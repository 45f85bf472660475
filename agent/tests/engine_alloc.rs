//! A run of an engine allocates nothing.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use support::onnx;
use vedette::hw::ort::{Options, Runtime};
use vedette::pipeline::engine::{EngineSpec, ModelFiles};
use vedette::pipeline::tensor::{Elements, ElementsMut};

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// Counts what each thread asks for.
struct Counting;

// SAFETY: everything is passed on to the system's allocator.
#[expect(unsafe_code, reason = "an allocator")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, data: *mut u8, layout: Layout) {
        // SAFETY: passed on.
        unsafe { System.dealloc(data, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_run_allocates_nothing_whether_its_outputs_are_known_or_not() {
    Runtime::open(Some(&support::library())).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in [("convolution", onnx::convolution()), ("nonzero", onnx::nonzero())] {
        let graph = folder.path().join(format!("{name}.onnx"));
        std::io::Write::write_all(&mut std::fs::File::create(&graph).unwrap(), &bytes).unwrap();
        let files =
            ModelFiles { graph: &graph, data: &[], digest: "0", signature: None, cache: None };
        let engine = Options { threads: 1, ..Options::default() }.open(&files).unwrap();
        let mut lane = engine.lane(1).unwrap();
        let mut frame = |value: f32| {
            if let ElementsMut::F32(x) = lane.input_mut(0).unwrap() {
                x.fill(value);
            }
            lane.run().unwrap();
            match lane.output(0).unwrap().elements {
                Elements::F32(y) => y.len(),
                Elements::I64(y) => y.len(),
                _ => 0,
            }
        };
        // The first two grow what is reused.
        assert_eq!(frame(1.0), frame(1.0));
        let before = COUNT.with(Cell::get);
        for round in 0..100_u8 {
            assert!(frame(f32::from(round) + 1.0) > 0);
        }
        let found = COUNT.with(Cell::get) - before;
        assert_eq!(found, 0, "{name}: {found} allocations in 100 runs");
    }
}
