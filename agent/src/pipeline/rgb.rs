//! Any frame as an RGB picture in full size: for snapshots and annotated pictures, where a person looks.
//!
//! What models see is made by `preprocess`. Chroma that pixels share is given to each of them as it is. Somebody who
//! looks has it done ten times a second: whole numbers in blocks, which the compiler makes vectors of.

use super::frame::{Frame, FrameError, PixelFormat, Range};
use crate::hw::jpeg::{Decoder, JpegError};

/// Why a frame cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum RgbError {
    /// Its bytes are not what it promises.
    #[error("the frame is not a picture")]
    Frame(#[source] FrameError),
    /// It is a window of samples.
    #[error("a window of samples is no picture: there is nothing to show of it")]
    Samples,
    /// Its JPEG file cannot be decoded.
    #[error("the frame's JPEG picture cannot be shown")]
    Jpeg(#[source] JpegError),
    /// Its JPEG file is of another size than it promises.
    #[error("the frame's JPEG picture is {found:?} pixels and not {promised:?}")]
    Size {
        /// In the file.
        found: (u32, u32),
        /// In the frame.
        promised: (u32, u32),
    },
}

/// Writes `frame` to `rgb`, which is resized: 3 bytes a pixel, rows tightly packed.
///
/// # Errors
/// [`RgbError`]; what `rgb` then holds means nothing.
#[expect(clippy::as_conversions, reason = "u32 to usize, lossless on every target of this crate")]
pub fn to_rgb(frame: &Frame, rgb: &mut Vec<u8>) -> Result<(), RgbError> {
    frame.check().map_err(RgbError::Frame)?;
    if frame.format == PixelFormat::Samples {
        return Err(RgbError::Samples);
    }
    if frame.format == PixelFormat::Mjpeg {
        let decoded = Decoder::new().and_then(|mut codec| codec.decode_rgb(&frame.pixels, rgb));
        let (found, promised) = (decoded.map_err(RgbError::Jpeg)?, (frame.width, frame.height));
        return if found == promised { Ok(()) } else { Err(RgbError::Size { found, promised }) };
    }
    let (width, height) = (frame.width as usize, frame.height as usize);
    rgb.resize(3 * width * height, 0);
    let lines = Lines { frame, width };
    let (convert, mut block) = (Convert::new(frame), Block::default());
    for (y, row) in rgb.chunks_exact_mut(3 * width).enumerate() {
        let pixels = row.as_chunks_mut::<3>().0.iter_mut();
        match frame.format {
            PixelFormat::Rgb => pixels.zip(lines.threes(y)).for_each(|(to, rgb)| *to = *rgb),
            PixelFormat::Bgr => {
                pixels.zip(lines.threes(y)).for_each(|(to, [b, g, r])| *to = [*r, *g, *b]);
            }
            PixelFormat::Grey | PixelFormat::Mjpeg | PixelFormat::Samples => {
                pixels.zip(lines.bytes(0, y, 0)).for_each(|(to, grey)| *to = [*grey; 3]);
            }
            PixelFormat::Nv12 | PixelFormat::I420 | PixelFormat::Yuyv => {
                for (index, out) in row.chunks_mut(3 * BLOCK).enumerate() {
                    lines.fill(index * BLOCK, y, &mut block);
                    convert.block(&block, out);
                }
            }
        }
    }
    Ok(())
}

/// Pixels that are converted at a time: even, since two share their chroma.
const BLOCK: usize = 64;

/// Luma and chroma of pixels beside each other; behind the end of a line anything.
struct Block {
    y: [u8; BLOCK],
    u: [u8; BLOCK],
    v: [u8; BLOCK],
}

impl Default for Block {
    fn default() -> Self {
        Self { y: [0; BLOCK], u: [0; BLOCK], v: [0; BLOCK] }
    }
}

/// The lines of a frame that was checked, so that they are all there.
struct Lines<'a> {
    frame: &'a Frame,
    width: usize,
}

impl<'a> Lines<'a> {
    /// Line `y` of a plane from its byte `from` on, to the end of the picture's memory.
    fn bytes(&self, plane: usize, y: usize, from: usize) -> &'a [u8] {
        let plane = self.frame.planes[plane];
        self.frame.pixels.get(plane.offset + y * plane.stride + from..).unwrap_or_default()
    }

    fn threes(&self, y: usize) -> &'a [[u8; 3]] {
        self.bytes(0, y, 0).as_chunks().0
    }

    /// The pixels from `x`, which is a multiple of [`BLOCK`], on.
    fn fill(&self, x: usize, y: usize, block: &mut Block) {
        let count = BLOCK.min(self.width - x);
        let pairs = count.div_ceil(2);
        let u_pairs = block.u.as_chunks_mut::<2>().0.iter_mut();
        let chroma = u_pairs.zip(block.v.as_chunks_mut::<2>().0).take(pairs);
        match self.frame.format {
            PixelFormat::Yuyv => {
                let luma = block.y.as_chunks_mut::<2>().0.iter_mut();
                let fours = self.bytes(0, y, 2 * x).as_chunks::<4>().0;
                for (((us, vs), ys), [y0, u, y1, v]) in chroma.zip(luma).zip(fours) {
                    (*us, *vs, *ys) = ([*u; 2], [*v; 2], [*y0, *y1]);
                }
                return;
            }
            PixelFormat::I420 => {
                let (us, vs) = (self.bytes(1, y / 2, x / 2), self.bytes(2, y / 2, x / 2));
                for ((to_u, to_v), (u, v)) in chroma.zip(us.iter().zip(vs)) {
                    (*to_u, *to_v) = ([*u; 2], [*v; 2]);
                }
            }
            _ => {
                let twos = self.bytes(1, y / 2, x).as_chunks::<2>().0;
                for ((to_u, to_v), [u, v]) in chroma.zip(twos) {
                    (*to_u, *to_v) = ([*u; 2], [*v; 2]);
                }
            }
        }
        let luma = self.bytes(0, y, x);
        block.y.iter_mut().zip(luma).take(count).for_each(|(to, from)| *to = *from);
    }
}

/// From Y, U, V to red, green, blue, in parts of [`ONE`].
struct Convert {
    luma_from: i32,
    luma_gain: i32,
    u_to_blue: i32,
    u_to_green: i32,
    v_to_red: i32,
    v_to_green: i32,
}

/// What 1 is in whole numbers: factors up to 3.9 have 16 bits, and products of them 32.
const ONE: i32 = 1 << BITS;
const BITS: u32 = 13;

impl Convert {
    fn new(frame: &Frame) -> Self {
        let (of_red, of_blue) = frame.colour.matrix.shares();
        let (luma_from, luma_gain, chroma_gain) = match frame.colour.range {
            Range::Limited => (16, 255.0 / 219.0, 255.0 / 224.0),
            Range::Full => (0, 1.0, 1.0),
        };
        let (u_to_blue, v_to_red) = (2.0 * (1.0 - of_blue), 2.0 * (1.0 - of_red));
        let of_green = 1.0 - of_red - of_blue;
        Self {
            luma_from,
            luma_gain: parts(luma_gain),
            u_to_blue: parts(chroma_gain * u_to_blue),
            u_to_green: parts(-chroma_gain * u_to_blue * of_blue / of_green),
            v_to_red: parts(chroma_gain * v_to_red),
            v_to_green: parts(-chroma_gain * v_to_red * of_red / of_green),
        }
    }

    /// As many pixels of `block` as `out` has room for.
    fn block(&self, block: &Block, out: &mut [u8]) {
        let [mut red, mut green, mut blue] = [[0_u8; BLOCK]; 3];
        for at in 0..BLOCK {
            let y = (i32::from(block.y[at]) - self.luma_from) * self.luma_gain + ONE / 2;
            let (u, v) = (i32::from(block.u[at]) - 128, i32::from(block.v[at]) - 128);
            red[at] = whole(y + self.v_to_red * v);
            green[at] = whole(y + self.u_to_green * u + self.v_to_green * v);
            blue[at] = whole(y + self.u_to_blue * u);
        }
        let pixels = red.iter().zip(&green).zip(&blue);
        for (to, ((red, green), blue)) in out.as_chunks_mut::<3>().0.iter_mut().zip(pixels) {
            *to = [*red, *green, *blue];
        }
    }
}

#[expect(clippy::as_conversions, clippy::cast_possible_truncation, reason = "a factor below 4")]
fn parts(factor: f64) -> i32 {
    (factor * f64::from(ONE)).round() as i32
}

fn whole(parts: i32) -> u8 {
    (parts >> BITS).clamp(0, 255).to_le_bytes()[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::frame::{Colour, Matrix, Pixels};

    /// A frame of that format and size whose bytes are these, over and over.
    fn frame(
        format: PixelFormat,
        (width, height): (u32, u32),
        colour: Colour,
        bytes: &[u8],
    ) -> Frame {
        let mut frame = Frame { colour, ..Frame::default() };
        let pixels = frame.reshape(format, width, height).unwrap();
        for (pixel, byte) in pixels.iter_mut().zip(bytes.iter().cycle()) {
            *pixel = *byte;
        }
        frame
    }

    #[test]
    fn known_samples_become_known_colours() {
        let bt709 = |range| Colour { matrix: Matrix::Bt709, range };
        for (format, colour, bytes, wanted) in [
            (PixelFormat::Rgb, Colour::JPEG, &[1, 2, 3][..], [1, 2, 3]),
            (PixelFormat::Bgr, Colour::JPEG, &[1, 2, 3], [3, 2, 1]),
            (PixelFormat::Grey, Colour::JPEG, &[9], [9, 9, 9]),
            (PixelFormat::Yuyv, Colour::CAMERA, &[16, 128], [0, 0, 0]),
            (PixelFormat::Yuyv, Colour::CAMERA, &[235, 128], [255, 255, 255]),
            (PixelFormat::Yuyv, Colour::CAMERA, &[81, 90, 81, 240], [254, 0, 0]),
            (PixelFormat::Yuyv, Colour::JPEG, &[76, 85, 76, 255], [254, 0, 0]),
            (PixelFormat::Yuyv, bt709(Range::Limited), &[173, 42, 173, 26], [0, 255, 1]),
            (PixelFormat::Yuyv, bt709(Range::Full), &[18, 255, 18, 116], [0, 0, 254]),
            // One luma row of two pixels, and then the chroma.
            (PixelFormat::Nv12, Colour::CAMERA, &[41, 41, 240, 110], [0, 0, 255]),
            (PixelFormat::I420, Colour::CAMERA, &[41, 41, 240, 110], [0, 0, 255]),
        ] {
            let mut rgb = Vec::new();
            to_rgb(&frame(format, (2, 1), colour, bytes), &mut rgb).unwrap();
            for (found, wanted) in rgb.iter().zip([wanted, wanted].as_flattened()) {
                assert!(found.abs_diff(*wanted) <= 1, "{format:?} {bytes:?}: {rgb:?}");
            }
        }
    }

    #[test]
    fn every_pixel_has_its_own_luma_and_the_chroma_of_its_neighbours() {
        let noise: Vec<u8> = (0..997_u32).map(|n| (n * n % 251).to_le_bytes()[0]).collect();
        for (width, height) in [(1, 1), (2, 3), (63, 4), (64, 2), (131, 5)] {
            for format in [PixelFormat::Nv12, PixelFormat::I420, PixelFormat::Yuyv] {
                let frame = frame(format, (width, height), Colour::CAMERA, &noise);
                let (mut rgb, columns) = (Vec::new(), usize::try_from(width).unwrap());
                to_rgb(&frame, &mut rgb).unwrap();
                let at = |plane: usize, x: usize, y: usize| {
                    let plane = frame.planes[plane];
                    f64::from(frame.pixels[plane.offset + y * plane.stride + x])
                };
                for (index, found) in rgb.as_chunks::<3>().0.iter().enumerate() {
                    let (x, y) = (index % columns, index / columns);
                    let (luma, u, v) = match format {
                        PixelFormat::Nv12 => {
                            (at(0, x, y), at(1, x & !1, y / 2), at(1, x | 1, y / 2))
                        }
                        PixelFormat::I420 => {
                            (at(0, x, y), at(1, x / 2, y / 2), at(2, x / 2, y / 2))
                        }
                        _ => {
                            (at(0, 2 * x, y), at(0, 4 * (x / 2) + 1, y), at(0, 4 * (x / 2) + 3, y))
                        }
                    };
                    let (luma, u, v) = ((luma - 16.0) * 1.16438, u - 128.0, v - 128.0);
                    let green = luma - 0.39176 * u - 0.81297 * v;
                    let wanted = [luma + 1.59603 * v, green, luma + 2.01723 * u];
                    for (found, wanted) in found.iter().zip(wanted) {
                        let off = f64::from(*found) - wanted.clamp(0.0, 255.0);
                        // Rounded, and a little for factors of 13 bits.
                        assert!(off.abs() < 0.55, "{format:?} {width}: {x}, {y}: {off}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_frame_that_is_no_picture_is_refused() {
        let mut short = frame(PixelFormat::Nv12, (4, 4), Colour::CAMERA, &[0]);
        short.pixels = Pixels::Owned(vec![0; 23]);
        assert!(matches!(to_rgb(&short, &mut Vec::new()), Err(RgbError::Frame(_))));
        let mut text = frame(PixelFormat::Mjpeg, (4, 4), Colour::JPEG, &[]);
        text.pixels = Pixels::Owned(b"no picture".to_vec());
        assert!(matches!(to_rgb(&text, &mut Vec::new()), Err(RgbError::Jpeg(_))));
    }
}
