//! Any frame as an RGB picture in full size: for snapshots and annotated pictures, where a person looks.
//!
//! Simple, not quick: what models see is made by `preprocess`. Chroma that pixels share is given to each of
//! them as it is.

use super::frame::{Frame, FrameError, Matrix, PixelFormat, Range};
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
    let picture = Picture { frame, convert: Convert::new(frame) };
    for (y, row) in rgb.chunks_exact_mut(3 * width).enumerate() {
        for (x, pixel) in row.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            *pixel = picture.pixel(x, y);
        }
    }
    Ok(())
}

struct Picture<'a> {
    frame: &'a Frame,
    convert: Convert,
}

impl Picture<'_> {
    fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        let at = |plane, x, y| self.at(plane, x, y);
        match self.frame.format {
            PixelFormat::Rgb => [0, 1, 2].map(|channel| at(0, 3 * x + channel, y)),
            PixelFormat::Bgr => [2, 1, 0].map(|channel| at(0, 3 * x + channel, y)),
            PixelFormat::Grey | PixelFormat::Mjpeg | PixelFormat::Samples => [at(0, x, y); 3],
            PixelFormat::Nv12 => {
                let u = x & !1;
                self.convert.rgb(at(0, x, y), at(1, u, y / 2), at(1, u + 1, y / 2))
            }
            PixelFormat::I420 => {
                self.convert.rgb(at(0, x, y), at(1, x / 2, y / 2), at(2, x / 2, y / 2))
            }
            PixelFormat::Yuyv => {
                let pair = 4 * (x / 2);
                self.convert.rgb(at(0, 2 * x, y), at(0, pair + 1, y), at(0, pair + 3, y))
            }
        }
    }

    /// A byte of a plane; there, since the frame was checked.
    fn at(&self, plane: usize, x: usize, y: usize) -> u8 {
        let plane = self.frame.planes[plane];
        self.frame.pixels.get(plane.offset + y * plane.stride + x).copied().unwrap_or(0)
    }
}

/// From Y, U, V to red, green, blue.
struct Convert {
    luma_from: f32,
    luma_gain: f32,
    u_to_blue: f32,
    u_to_green: f32,
    v_to_red: f32,
    v_to_green: f32,
}

impl Convert {
    fn new(frame: &Frame) -> Self {
        let (of_red, of_blue) = match frame.colour.matrix {
            Matrix::Bt601 => (0.299, 0.114),
            Matrix::Bt709 => (0.2126, 0.0722),
        };
        let (luma_from, luma_gain, chroma_gain) = match frame.colour.range {
            Range::Limited => (16.0, 255.0 / 219.0, 255.0 / 224.0),
            Range::Full => (0.0, 1.0, 1.0),
        };
        let (u_to_blue, v_to_red) = (2.0 * (1.0 - of_blue), 2.0 * (1.0 - of_red));
        let of_green = 1.0 - of_red - of_blue;
        Self {
            luma_from,
            luma_gain,
            u_to_blue: chroma_gain * u_to_blue,
            u_to_green: -chroma_gain * u_to_blue * of_blue / of_green,
            v_to_red: chroma_gain * v_to_red,
            v_to_green: -chroma_gain * v_to_red * of_red / of_green,
        }
    }

    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "float to u8 saturates"
    )]
    fn rgb(&self, y: u8, u: u8, v: u8) -> [u8; 3] {
        let y = (f32::from(y) - self.luma_from) * self.luma_gain;
        let (u, v) = (f32::from(u) - 128.0, f32::from(v) - 128.0);
        let red = y + self.v_to_red * v;
        let green = y + self.u_to_green * u + self.v_to_green * v;
        let blue = y + self.u_to_blue * u;
        [red, green, blue].map(|value| (value + 0.5) as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::frame::{Colour, Pixels};

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
    fn a_frame_that_is_no_picture_is_refused() {
        let mut short = frame(PixelFormat::Nv12, (4, 4), Colour::CAMERA, &[0]);
        short.pixels = Pixels::Owned(vec![0; 23]);
        assert!(matches!(to_rgb(&short, &mut Vec::new()), Err(RgbError::Frame(_))));
        let mut text = frame(PixelFormat::Mjpeg, (4, 4), Colour::JPEG, &[]);
        text.pixels = Pixels::Owned(b"no picture".to_vec());
        assert!(matches!(to_rgb(&text, &mut Vec::new()), Err(RgbError::Jpeg(_))));
    }
}
