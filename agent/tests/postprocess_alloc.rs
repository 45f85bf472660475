//! That a frame allocates nothing once everything has grown to its size.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on must fail")]
#![expect(unsafe_code, reason = "an allocator that counts is an allocator")]

mod stored;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use half::f16;
use stored::{Model, StoredLane, in_place};
use vedette::model::npy::{Array, ArrayData};
use vedette::pipeline::postprocess::Findings;

thread_local! {
    /// Allocations of this thread: the test harness has threads of its own.
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: all is done by the system's allocator; counting touches no memory of its callers, and a
// thread-local without a destructor needs no allocation.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: as the caller promised.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// An output of these extents, a score above the threshold here and there.
fn output(shape: &[usize], half: bool) -> Array {
    let mut state = 1_u32;
    let numbers: Vec<f32> = (0..shape.iter().product())
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from(u16::try_from(state >> 16).unwrap()) / 65_536.0
        })
        .collect();
    let data = if half {
        ArrayData::F16(numbers.into_iter().map(f16::from_f32).collect())
    } else {
        ArrayData::F32(numbers)
    };
    Array { shape: shape.to_vec(), data }
}

/// An output's name and shape.
type Named = (&'static str, &'static [usize]);

#[test]
fn a_frame_allocates_nothing_once_everything_has_grown() {
    #[rustfmt::skip]
    let cases: &[(&str, &[Named])] = &[
        ("kind = 'classify'",                       &[("o", &[1, 1000])]),
        ("kind = 'anomaly'\nthreshold = 0.1",       &[("o", &[1, 3, 5000])]),
        ("kind = 'anomaly'\nthreshold = 0.1\nscore = 'output'", &[("o", &[1])]),
        ("kind = 'detect'\nfamily = 'yolov5'",      &[("o", &[1, 2000, 13])]),
        ("kind = 'detect'\nfamily = 'yolov8'",      &[("o", &[1, 12, 2000])]),
        ("kind = 'detect'\nfamily = 'yolov10'",     &[("o", &[1, 300, 6])]),
        ("kind = 'detect'\nfamily = 'rtdetr'",      &[("o", &[1, 300, 12])]),
        ("kind = 'detect'\nfamily = 'rtdetr'",      &[("logits", &[1, 300, 8]), ("boxes", &[1, 300, 4])]),
        ("kind = 'detect'\nfamily = 'ssd'",         &[("scores", &[1, 2000, 9]), ("boxes", &[1, 2000, 4])]),
        ("kind = 'detect'\nfamily = 'ssd'\nactivation = 'softmax'", &[("scores", &[1, 2000, 2]), ("boxes", &[1, 2000, 4])]),
        ("kind = 'detect'\nfamily = 'ssd'",         &[("boxes", &[1, 100, 4]), ("scores", &[1, 100]), ("classes", &[1, 100])]),
    ];
    for (settings, outputs) in cases {
        for half in [false, true] {
            let (names, arrays): (Vec<&str>, Vec<Array>) =
                outputs.iter().map(|(name, shape)| (*name, output(shape, half))).unzip();
            let lane = StoredLane { inputs: vec![output(&[1, 3, 5000], false)], outputs: arrays };
            let model = Model::of(&lane, &names, &[], [640, 640]);
            let mut postprocess = model.build(settings).unwrap();
            let (placement, mut findings) = (in_place(640.0, 640.0), Findings::default());
            postprocess.run(&lane, 0, &placement, &mut findings).unwrap();

            let before = COUNT.get();
            for _ in 0..3 {
                postprocess.run(&lane, 0, &placement, &mut findings).unwrap();
            }
            assert_eq!(COUNT.get() - before, 0, "{settings}, {names:?}, half {half}");
            // What allocates nothing because it does nothing proves nothing.
            let found = findings.detections.len() + findings.classes.len();
            assert!(found > 0 || findings.anomaly.is_some(), "{settings}, {names:?}");
        }
    }
}
