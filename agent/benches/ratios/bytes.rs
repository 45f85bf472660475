//! What memory alone takes: the rows of a frame that a tensor is made of are read, a tensor is written, outputs are
//! read, and nothing is computed. What does the same and more takes no less; where a goal is below it, it is out of
//! reach.

use std::hint::black_box;
use std::time::Instant;

use vedette::hw::pages;
use vedette::pipeline::frame::Frame;
use vedette::pipeline::preprocess::{Fit, PictureSpec};

/// As many of each as an engine that overlaps has in turn.
const LANES: usize = 3;
/// Floats of the outputs of a detector of YOLOv8n's size: 4 + 80 rows of 8,400 places.
const OUTPUTS: usize = 84 * 8400;

/// Rows of a 1080p picture in a tensor of this size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bytes {
    /// Tensor rows that the picture covers.
    rows: u16,
    /// Elements in them.
    elements: usize,
}

impl Bytes {
    /// For tensors of `spec`: all of it where the picture is stretched, else as much as 16:9 covers.
    pub(crate) fn of(spec: &PictureSpec) -> Self {
        let (width, height) = (spec.width, spec.height);
        let rows = match spec.fit {
            Fit::Stretch => height,
            _ => (width * 9 / 16).min(height),
        };
        let elements = usize::try_from(3 * width * rows).unwrap();
        Self { rows: u16::try_from(rows).unwrap(), elements }
    }

    /// Reads the rows of an NV12 `frame` that lie next to a tensor row: milliseconds.
    pub(crate) fn read_rows(self, frame: &Frame) -> f64 {
        let width = usize::try_from(frame.width).unwrap();
        let planes = [frame.height, frame.height / 2];
        let began = Instant::now();
        let mut sum = 0;
        for (plane, height) in frame.planes.iter().zip(planes) {
            let mut last = None;
            for row in (0..self.rows).flat_map(|row| neighbours(row, self.rows, height)) {
                if last != Some(row) {
                    sum = added(sum, &frame.pixels[plane.offset + row * plane.stride..][..width]);
                    last = Some(row);
                }
            }
        }
        black_box(sum);
        began.elapsed().as_secs_f64() * 1e3
    }
}

/// The one or two rows of `height` between which row `row` of `rows` lies.
fn neighbours(row: u16, rows: u16, height: u32) -> impl Iterator<Item = usize> {
    let (row, rows) = (u32::from(row), u32::from(rows));
    // In halves of a row: (row + 0.5) * height / rows - 0.5.
    let twice = (2 * row + 1) * height;
    let near = twice.saturating_sub(rows) / (2 * rows);
    let far = (near + 1).min(height - 1);
    let between = twice.saturating_sub(rows) % (2 * rows) > 0;
    let rows = [Some(near), between.then_some(far)];
    rows.into_iter().flatten().map(|row| usize::try_from(row).unwrap())
}

fn added(sum: u64, bytes: &[u8]) -> u64 {
    let eights = bytes.as_chunks().0.iter();
    eights.fold(sum, |sum, eight| sum.wrapping_add(u64::from_ne_bytes(*eight)))
}

/// The memory of a detector's tensors and outputs.
pub(crate) struct Memory {
    bytes: Bytes,
    tensors: [Vec<f32>; LANES],
    outputs: [Vec<f32>; LANES],
    turn: usize,
}

impl Memory {
    pub(crate) fn new(bytes: Bytes) -> Self {
        let floats = |count| {
            let mut floats = pages::with_room(count);
            floats.resize(count, 1.0);
            floats
        };
        let tensors = [(); LANES].map(|()| floats(bytes.elements));
        Self { bytes, tensors, outputs: [(); LANES].map(|()| floats(OUTPUTS)), turn: 0 }
    }

    /// All that `frame` moves: milliseconds.
    pub(crate) fn moved(&mut self, frame: &Frame) -> f64 {
        let (tensor, outputs) = (&mut self.tensors[self.turn], &self.outputs[self.turn]);
        self.turn = (self.turn + 1) % LANES;
        let rows_ms = self.bytes.read_rows(frame);
        let began = Instant::now();
        tensor.fill(black_box(0.5));
        black_box(&tensor);
        // Eight sums, which no order of additions holds up.
        let mut sums = [0_u32; 8];
        for eight in outputs.as_chunks::<8>().0 {
            for (sum, number) in sums.iter_mut().zip(eight) {
                *sum = sum.wrapping_add(number.to_bits());
            }
        }
        black_box(sums);
        rows_ms + began.elapsed().as_secs_f64() * 1e3
    }
}
