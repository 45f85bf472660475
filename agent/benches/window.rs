//! What a window costs beside its transform: `cargo bench -p agent --bench window`.
//!
//! Three channels of 1,024 samples, from the frame to the tensor's magnitudes (normalised, tapered, transformed), and
//! the same transforms by the crate alone, planned once, into memory that is reused. Both in turn; the medians.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use realfft::RealFftPlanner;
use vedette::pipeline::frame::{Frame, PixelFormat};
use vedette::pipeline::preprocess::Windows;
use vedette::pipeline::tensor::{Element, ElementsMut};
use vedette::pipeline::window::{Cut, WindowSpec};

const CHANNELS: usize = 3;
const LENGTH: usize = 1024;
/// Runs of one measurement, and measurements.
const RUNS: u32 = 200;
const ROUNDS: usize = 201;
/// The goal: half as much again as the transforms alone.
const GOAL: f64 = 1.5;

fn spec(spectrum: bool) -> WindowSpec {
    WindowSpec {
        cut: Cut {
            channels: vec!["x".into(), "y".into(), "z".into()],
            units: Vec::new(),
            rate_hz: 1000.0,
            length: LENGTH,
            hop: LENGTH / 2,
        },
        mean: vec![0.1; CHANNELS],
        std: vec![0.7; CHANNELS],
        spectrum,
        element: Element::F32,
    }
}

fn frame() -> Frame {
    let mut frame = Frame::default();
    let side = |count: usize| u32::try_from(count).unwrap();
    let bytes = frame.reshape(PixelFormat::Samples, side(LENGTH), side(CHANNELS)).unwrap();
    for (n, bytes) in bytes.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        let phase = f32::from(u16::try_from(n % 997).unwrap());
        *bytes = (phase * 0.37).sin().to_ne_bytes();
    }
    frame
}

fn time(mut work: impl FnMut()) -> Duration {
    let began = Instant::now();
    (0..RUNS).for_each(|_| work());
    began.elapsed() / RUNS
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
}

fn main() {
    let frame = frame();
    let mut windows = Windows::new(&spec(true)).unwrap();
    let mut plain = Windows::new(&spec(false)).unwrap();
    let mut tensor = vec![0.0_f32; CHANNELS * (LENGTH / 2 + 1)];
    let mut samples = vec![0.0_f32; CHANNELS * LENGTH];
    let plan = RealFftPlanner::<f32>::new().plan_fft_forward(LENGTH);
    let mut input = plan.make_input_vec();
    let (mut bins, mut scratch) = (plan.make_output_vec(), plan.make_scratch_vec());
    let (mut ours, mut alone, mut copied) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(time(|| {
            windows.run(black_box(&frame), ElementsMut::F32(&mut tensor)).unwrap();
            black_box(&tensor);
        }));
        alone.push(time(|| {
            for _ in 0..CHANNELS {
                plan.process_with_scratch(black_box(&mut input), &mut bins, &mut scratch).unwrap();
                black_box(&bins);
            }
        }));
        copied.push(time(|| {
            plain.run(black_box(&frame), ElementsMut::F32(&mut samples)).unwrap();
            black_box(&samples);
        }));
    }
    let (ours, alone, copied) = (median(ours), median(alone), median(copied));
    println!("window of {CHANNELS} x {LENGTH} samples, normalised: {copied:.2} us");
    println!(
        "spectrum of {CHANNELS} x {LENGTH} samples: {ours:.2} us, transforms alone {alone:.2} us: {:.2} times, goal {GOAL}",
        ours / alone
    );
}
