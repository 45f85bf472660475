//! How long postprocesses take, median of many frames.
//!
//! `cargo bench -p agent --bench postprocess` prints a table, with `-- --json` a line of JSON each. *Warm* is
//! the same output again and again; *cold* is after 64 MB of something else, as it is where the output was
//! written long before. An engine on the CPU leaves it in between.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a benchmark that cannot go on must fail")]
#![expect(clippy::print_stdout, reason = "this is its output")]

#[path = "../tests/stored/mod.rs"]
mod stored;

use std::hint::black_box;
use std::time::{Duration, Instant};

use half::f16;
use stored::{Model, StoredLane, in_place};
use vedette::model::npy::{Array, ArrayData};
use vedette::pipeline::postprocess::Findings;

const FRAMES: usize = 400;
const FLUSH_BYTES: usize = 64 << 20;

/// Numbers that look random and are the same at every run.
struct Noise(u32);

impl Noise {
    /// From 0 to 1.
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f32::from(u16::try_from(self.0 >> 16).unwrap()) / 65_536.0
    }
}

/// A head of `classes` classes and `anchors` anchors, of which about `candidates` reach a score of 0.25, five
/// around each object.
fn yolov8(classes: usize, anchors: usize, candidates: usize) -> Vec<f32> {
    let mut noise = Noise(7);
    let mut numbers = vec![0.0; (4 + classes) * anchors];
    for (row, values) in numbers.chunks_exact_mut(anchors).enumerate() {
        for value in values {
            *value = noise.next() * if row < 4 { 640.0 } else { 0.1 };
        }
    }
    let (mut object, mut class) = ([0.0; 4], 0);
    for candidate in 0..candidates {
        if candidate % 5 == 0 {
            object = [640.0, 640.0, 80.0, 80.0].map(|most| 20.0 + noise.next() * most);
            class = (candidate * 31) % classes;
        }
        let anchor = (candidate * anchors / candidates + candidate % 7) % anchors;
        for (row, edge) in object.iter().enumerate() {
            numbers[row * anchors + anchor] = edge + noise.next() * 4.0;
        }
        numbers[(4 + class) * anchors + anchor] = 0.3 + 0.69 * noise.next();
    }
    numbers
}

/// The same, with rows for columns and how sure it is that there is anything.
fn yolov5(classes: usize, anchors: usize, candidates: usize) -> Vec<f32> {
    let head = yolov8(classes, anchors, candidates);
    let mut numbers = Vec::with_capacity((5 + classes) * anchors);
    for anchor in 0..anchors {
        let at = |row: usize| head[row * anchors + anchor];
        let best = (4..4 + classes).map(at).fold(0.0, f32::max);
        numbers.extend((0..4).map(at));
        numbers.push(best);
        numbers.extend((4..4 + classes).map(|row| if at(row) > 0.25 { 1.0 } else { 0.1 }));
    }
    numbers
}

fn main() {
    let json = std::env::args().any(|argument| argument == "--json");
    let logits: Vec<f32> = {
        let mut noise = Noise(3);
        (0..1000).map(|_| noise.next() * 12.0).collect()
    };
    let detect =
        |family: &str| format!("kind = 'detect'\nfamily = '{family}'\nmax_detections = 300");
    let head = yolov8(80, 8400, 300);
    let halves = ArrayData::F16(head.iter().copied().map(f16::from_f32).collect());
    let all = [1, 84, 8400];
    let noise: Vec<f32> = head.iter().map(|number| number * 9.0 % 1.0).collect();
    #[rustfmt::skip]
    let cases = [
        ("yolov8 84x8400 f32, 100 candidates", detect("yolov8"), &all[..], ArrayData::F32(yolov8(80, 8400, 100))),
        ("yolov8 84x8400 f32, 300 candidates", detect("yolov8"), &all[..], ArrayData::F32(head)),
        ("yolov8 84x8400 f16, 300 candidates", detect("yolov8"), &all[..], halves),
        ("yolov8 84x8400 f32, noise",          detect("yolov8"), &all[..], ArrayData::F32(noise)),
        ("yolov5 25200x85 f32, 300 candidates", detect("yolov5"), &[1, 25_200, 85], ArrayData::F32(yolov5(80, 25_200, 300))),
        ("classify 1000 f32",        "kind = 'classify'".to_owned(), &[1, 1000], ArrayData::F32(logits)),
    ];
    for (name, settings, shape, data) in cases {
        let lane =
            StoredLane { inputs: vec![], outputs: vec![Array { shape: shape.to_vec(), data }] };
        measure(name, &settings, &lane, json);
    }
}

fn measure(name: &str, settings: &str, lane: &StoredLane, json: bool) {
    let mut postprocess = Model::of(lane, &["o"], &[], [640, 640]).build(settings).unwrap();
    let (placement, mut findings) = (in_place(640.0, 640.0), Findings::default());
    let mut other = vec![0_u8; FLUSH_BYTES];
    let mut median = |cold: bool, frames: usize| {
        let mut times: Vec<Duration> = (0..frames)
            .map(|_| {
                if cold {
                    other.iter_mut().step_by(64).for_each(|byte| *byte = byte.wrapping_add(1));
                    black_box(&mut other);
                }
                let start = Instant::now();
                postprocess.run(lane, 0, &placement, &mut findings).unwrap();
                start.elapsed()
            })
            .collect();
        times.sort_unstable();
        times[frames / 2].as_secs_f64() * 1e6
    };
    let (warm, cold) = (median(false, FRAMES), median(true, FRAMES / 4));
    let found = findings.detections.len() + findings.classes.len();
    if json {
        println!(
            r#"{{"bench":"postprocess","name":"{name}","warm_p50_us":{warm:.1},"cold_p50_us":{cold:.1},"found":{found}}}"#
        );
    } else {
        println!("{name:40} warm {warm:8.1} us  cold {cold:8.1} us  {found:4} found");
    }
}
