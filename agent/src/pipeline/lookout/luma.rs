//! How bright a picture is, in a few hundred places: enough to see that something moved, and that a camera sees
//! nothing, for some microseconds a frame.
//!
//! The picture is cut into cells, and some rows of each are averaged. Only luma is looked at; of RGB pictures
//! green, which is most of it. A JPEG file is decoded for it at an eighth of its size, which costs what its
//! entropy coding costs: milliseconds for a large one.

use crate::hw::jpeg::{Decoder, Planes, Samples};
use crate::pipeline::frame::{Frame, PixelFormat};

/// Cells across.
const COLUMNS: usize = 32;
/// Cells down.
const ROWS: usize = 18;
/// Cells of a picture.
pub const CELLS: usize = COLUMNS * ROWS;
/// Rows of a cell that are looked at: of 1080p, every eighth.
const ROWS_OF_CELL: usize = 8;

/// What is seen of a picture at a glance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Luma {
    /// Mean of each cell, row by row.
    pub cells: [u8; CELLS],
    /// Mean of all.
    pub mean: f32,
    /// How much the cells differ: their standard deviation.
    pub contrast: f32,
    /// Tells pictures apart by all of their bytes, where that was asked for.
    pub digest: Option<u64>,
}

impl Luma {
    /// Of a picture with these cells.
    #[must_use]
    pub fn of(cells: [u8; CELLS], digest: Option<u64>) -> Self {
        let count = f32::from(u16::try_from(CELLS).unwrap_or(u16::MAX));
        let mean = cells.iter().map(|&cell| f32::from(cell)).sum::<f32>() / count;
        let off = |cell: &u8| (f32::from(*cell) - mean) * (f32::from(*cell) - mean);
        let contrast = (cells.iter().map(off).sum::<f32>() / count).sqrt();
        Self { cells, mean, contrast, digest }
    }

    /// Share of the cells that differ from `other`'s by more than `levels`.
    #[must_use]
    pub fn changed(&self, other: &[u8; CELLS], levels: u8) -> f32 {
        let changed = self.cells.iter().zip(other).filter(|(a, b)| a.abs_diff(**b) > levels);
        let count = |cells: usize| f32::from(u16::try_from(cells).unwrap_or(u16::MAX));
        count(changed.count()) / count(CELLS)
    }
}

/// Looks at frames, one after the other.
#[derive(Debug, Default)]
pub(super) struct Eye {
    decoder: Option<Decoder>,
    planes: Planes,
}

impl Eye {
    /// What is seen of `frame`, whose bytes have this digest. `None` where it is no picture.
    pub(super) fn look(&mut self, frame: &Frame, digest: Option<u64>) -> Option<Luma> {
        frame.check().ok()?;
        let cells = match frame.format {
            PixelFormat::Mjpeg => self.decoded(&frame.pixels)?,
            PixelFormat::Nv12 | PixelFormat::I420 | PixelFormat::Grey => cells(&plane(frame), 1, 0),
            PixelFormat::Yuyv => cells(&plane(frame), 2, 0),
            PixelFormat::Rgb | PixelFormat::Bgr => cells(&plane(frame), 3, 1),
            PixelFormat::Samples => return None,
        };
        Some(Luma::of(cells, digest))
    }

    fn decoded(&mut self, file: &[u8]) -> Option<[u8; CELLS]> {
        if self.decoder.is_none() {
            self.decoder = Decoder::new().ok();
        }
        let least = (extent(COLUMNS), extent(ROWS));
        self.decoder.as_mut()?.decode_planes(file, least, &mut self.planes).ok()?;
        let (samples, offset) = if self.planes.samples == Samples::Rgb { (3, 1) } else { (1, 0) };
        let (start, stride) = self.planes.planes[0];
        let plane = View {
            bytes: self.planes.pixels.get(start..)?,
            stride,
            width: size(self.planes.width),
            height: size(self.planes.height),
        };
        Some(cells(&plane, samples, offset))
    }
}

/// One plane of samples.
struct View<'a> {
    bytes: &'a [u8],
    stride: usize,
    width: usize,
    height: usize,
}

fn plane(frame: &Frame) -> View<'_> {
    let first = frame.planes[0];
    View {
        bytes: frame.pixels.get(first.offset..).unwrap_or_default(),
        stride: first.stride,
        width: size(frame.width),
        height: size(frame.height),
    }
}

/// The mean of each cell; a pixel is `step` bytes, of which the one at `offset` is looked at.
fn cells(plane: &View<'_>, step: usize, offset: usize) -> [u8; CELLS] {
    let mut cells = [0; CELLS];
    let skip = (plane.height / (ROWS * ROWS_OF_CELL)).max(1);
    for (row, cells) in cells.chunks_exact_mut(COLUMNS).enumerate() {
        let (top, bottom) = span(row, ROWS, plane.height);
        let (mut sums, mut counts) = ([0_u32; COLUMNS], [0_u32; COLUMNS]);
        for y in (top..bottom).step_by(skip) {
            let line = plane.bytes.get(y * plane.stride..).unwrap_or_default();
            for (column, (sum, count)) in sums.iter_mut().zip(&mut counts).enumerate() {
                let (left, right) = span(column, COLUMNS, plane.width);
                let samples = line.get(left * step..right * step).unwrap_or_default();
                *sum += if step == 1 {
                    samples.iter().map(|&sample| u32::from(sample)).sum::<u32>()
                } else {
                    samples.iter().skip(offset).step_by(step).map(|&s| u32::from(s)).sum()
                };
                *count += extent(right - left);
            }
        }
        for ((cell, sum), count) in cells.iter_mut().zip(sums).zip(counts) {
            *cell = u8::try_from(sum / count.max(1)).unwrap_or(u8::MAX);
        }
    }
    cells
}

/// Where part `index` of `parts` of `extent` begins and ends; at least one pixel.
fn span(index: usize, parts: usize, extent: usize) -> (usize, usize) {
    let from = (index * extent / parts).min(extent.saturating_sub(1));
    (from, ((index + 1) * extent / parts).max(from + 1).min(extent))
}

/// Tells bytes apart, not against an attacker: four lanes of multiply and rotate, about as fast as memory.
#[must_use]
pub(super) fn digest(bytes: &[u8]) -> u64 {
    const PRIME: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut lanes = [1_u64, 2, 3, 4];
    let mut blocks = bytes.chunks_exact(32);
    for block in &mut blocks {
        for (lane, word) in lanes.iter_mut().zip(block.chunks_exact(8)) {
            let word = word.try_into().map_or(0, u64::from_le_bytes);
            *lane = (*lane ^ word).wrapping_mul(PRIME).rotate_left(29);
        }
    }
    let mut all = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    for &byte in blocks.remainder() {
        all = (all ^ u64::from(byte)).wrapping_mul(PRIME).rotate_left(29);
    }
    for lane in lanes {
        all = (all ^ lane).wrapping_mul(PRIME);
        all ^= all >> 32;
    }
    all
}

#[expect(clippy::as_conversions, reason = "u32 to usize, lossless on every target of this crate")]
fn size(extent: u32) -> usize {
    extent as usize
}

fn extent(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hw::jpeg::Encoder;

    /// A picture whose left half is `left` and whose right half is `right`, in `format`.
    fn halves(format: PixelFormat, width: u32, height: u32, left: u8, right: u8) -> Frame {
        let mut frame = Frame::default();
        let wide = size(width);
        let grey = |index: usize| if 2 * (index % wide) < wide { left } else { right };
        let bytes = frame.reshape(format, width, height).unwrap();
        match format {
            PixelFormat::Mjpeg => {
                let rgb: Vec<u8> =
                    (0..wide * size(height)).flat_map(|index| [grey(index); 3]).collect();
                Encoder::new().unwrap().encode_rgb(&rgb, width, height, 95, bytes).unwrap();
            }
            PixelFormat::Yuyv => {
                let row = 4 * wide.div_ceil(2);
                for (index, byte) in bytes.iter_mut().enumerate() {
                    let luma = index % 2 == 0;
                    *byte = if luma { grey(index % row / 2) } else { 128 };
                }
            }
            PixelFormat::Rgb | PixelFormat::Bgr => {
                bytes.iter_mut().enumerate().for_each(|(index, byte)| *byte = grey(index / 3));
            }
            _ => {
                let luma = wide * size(height);
                for (index, byte) in bytes.iter_mut().enumerate() {
                    *byte = if index < luma { grey(index) } else { 128 };
                }
            }
        }
        frame
    }

    #[test]
    fn a_picture_looks_the_same_in_every_format() {
        for (_, format) in PixelFormat::NAMES {
            for (width, height) in [(640, 360), (37, 23), (1920, 1080)] {
                let frame = halves(*format, width, height, 40, 200);
                let luma = Eye::default().look(&frame, None).unwrap();
                let row = &luma.cells[..COLUMNS];
                for (cell, wanted) in [(2, 40), (COLUMNS - 3, 200)] {
                    assert!(row[cell].abs_diff(wanted) <= 4, "{format:?} {width}: {row:?}");
                }
                assert!((luma.mean - 120.0).abs() < 6.0 && (luma.contrast - 80.0).abs() < 6.0);
            }
        }
    }

    #[test]
    fn a_picture_smaller_than_its_cells_and_bytes_that_are_none_do_no_harm() {
        for (width, height) in [(1, 1), (3, 2), (31, 17)] {
            let luma = Eye::default().look(&halves(PixelFormat::Nv12, width, height, 9, 9), None);
            assert!((luma.unwrap().mean - 9.0).abs() < 0.01);
        }
        let mut frame = Frame::default();
        frame.reshape(PixelFormat::Mjpeg, 64, 64).unwrap().extend_from_slice(b"no picture");
        assert_eq!(Eye::default().look(&frame, None), None);
    }

    #[test]
    fn one_bit_anywhere_makes_another_digest() {
        let bytes: Vec<u8> = (0..=255).cycle().take(1000).collect();
        for at in 0..1000 {
            let mut other = bytes.clone();
            other[at] ^= 1;
            assert_ne!(digest(&bytes), digest(&other), "{at}");
        }
    }
}
