//! One picture, in the format in which the camera gave it; or one window of samples, which travels the same way.
//!
//! A frame's memory is reused: three frames circulate between a source, its mailbox and the engine's thread,
//! so that the steady state allocates nothing.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use wire::Truth;

use crate::hw::pages;

/// Longest side of a picture, in pixels: more than any camera of this class gives, and far below where sizes
/// computed from it could overflow.
pub const SIDE_MAX: u32 = 16_384;

/// Most pixels of a picture: 64 megapixels, so that one bad header cannot take a small board's memory.
pub const PIXELS_MAX: u64 = 64 << 20;

/// How a picture's samples lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    /// Luma plane, then interleaved U and V at half width and half height.
    Nv12,
    /// Luma plane, then U plane, then V plane, both at half width and half height.
    I420,
    /// Two pixels in four bytes: Y0 U Y1 V.
    Yuyv,
    /// A JPEG image; baseline or progressive.
    Mjpeg,
    /// Three bytes a pixel: red, green, blue.
    Rgb,
    /// Three bytes a pixel: blue, green, red.
    Bgr,
    /// One byte a pixel.
    Grey,
    /// No picture: a window of samples. A row is a channel, a column a moment, each sample an `f32` in the machine's
    /// byte order.
    Samples,
}

impl PixelFormat {
    /// Every format of pictures and its name in configurations.
    pub const NAMES: &[(&str, Self)] = &[
        ("nv12", Self::Nv12),
        ("i420", Self::I420),
        ("yuyv", Self::Yuyv),
        ("mjpeg", Self::Mjpeg),
        ("rgb", Self::Rgb),
        ("bgr", Self::Bgr),
        ("grey", Self::Grey),
    ];
}

/// Which luma weights a YUV picture was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Matrix {
    /// ITU-R BT.601: cameras, standard definition, JPEG.
    Bt601,
    /// ITU-R BT.709: high-definition video.
    Bt709,
}

impl Matrix {
    /// The shares of red and of blue in luma; green has the rest.
    #[must_use]
    pub const fn shares(self) -> (f64, f64) {
        match self {
            Self::Bt601 => (0.299, 0.114),
            Self::Bt709 => (0.2126, 0.0722),
        }
    }
}

/// Which part of the byte a YUV picture's samples use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Range {
    /// Luma 16 to 235, chroma 16 to 240.
    Limited,
    /// 0 to 255.
    Full,
}

/// How to turn a YUV picture's samples into colours. RGB, BGR and GREY pictures ignore it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Colour {
    /// Luma weights.
    pub matrix: Matrix,
    /// Sample range.
    pub range: Range,
}

impl Colour {
    /// What most cameras give: BT.601, limited range.
    pub const CAMERA: Self = Self { matrix: Matrix::Bt601, range: Range::Limited };
    /// What JPEG files hold: BT.601, full range.
    pub const JPEG: Self = Self { matrix: Matrix::Bt601, range: Range::Full };
}

/// The bytes of a picture.
#[derive(Debug, Clone)]
pub enum Pixels {
    /// The frame's own, reused from picture to picture.
    Owned(Vec<u8>),
    /// Somebody else's, such as a driver's buffer or a picture that is shown again and again.
    Shared(Arc<Vec<u8>>),
}

impl std::ops::Deref for Pixels {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Owned(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

/// Where one plane begins in the bytes, and how far its rows are apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Plane {
    /// Byte offset of the first row.
    pub offset: usize,
    /// Bytes from one row to the next; at least a row's length.
    pub stride: usize,
}

/// One picture and when it was taken.
///
/// `planes` says where the samples lie: NV12 has two planes, I420 three, MJPEG none (the bytes are the file),
/// the others one. [`Frame::check`] makes sure that the bytes hold what the sizes promise; whoever reads
/// pixels may then index without asking again.
#[derive(Debug, Clone)]
pub struct Frame {
    /// How the samples lie.
    pub format: PixelFormat,
    /// Width in pixels (of an MJPEG frame: as its header says).
    pub width: u32,
    /// Height in pixels (of an MJPEG frame: as its header says).
    pub height: u32,
    /// How to read YUV samples.
    pub colour: Colour,
    /// Where the planes lie in `pixels`; unused ones are zero.
    pub planes: [Plane; 3],
    /// The bytes.
    pub pixels: Pixels,
    /// When it was captured, on the monotonic clock.
    pub captured: Instant,
    /// When it was captured, on the wall clock.
    pub ts: Timestamp,
    /// Counts the source's frames from 0.
    pub seq: u64,
    /// What is in it, where the source knows.
    pub truth: Option<Vec<Truth>>,
}

/// Why bytes are not the picture that they claim to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// No pixels at all, or more than [`SIDE_MAX`] and [`PIXELS_MAX`] allow.
    #[error(
        "a picture of {width} x {height} pixels is not from 1 x 1 to {SIDE_MAX} x {SIDE_MAX} and {PIXELS_MAX} pixels"
    )]
    Size {
        /// Claimed width.
        width: u32,
        /// Claimed height.
        height: u32,
    },
    /// Fewer bytes than the format and the size need.
    #[error("a {format:?} picture of {width} x {height} pixels needs {need} bytes and has {have}")]
    Short {
        /// Its format.
        format: PixelFormat,
        /// Claimed width.
        width: u32,
        /// Claimed height.
        height: u32,
        /// Bytes needed.
        need: usize,
        /// Bytes there.
        have: usize,
    },
}

impl Default for Frame {
    fn default() -> Self {
        Self {
            format: PixelFormat::Grey,
            width: 0,
            height: 0,
            colour: Colour::CAMERA,
            planes: [Plane::default(); 3],
            pixels: Pixels::Owned(Vec::new()),
            captured: Instant::now(),
            ts: Timestamp::UNIX_EPOCH,
            seq: 0,
            truth: None,
        }
    }
}

/// Whether a picture of this size may be handled at all.
///
/// # Errors
/// [`FrameError::Size`] where it may not.
pub fn check_size(width: u32, height: u32) -> Result<(), FrameError> {
    let pixels = u64::from(width) * u64::from(height);
    if width == 0 || height == 0 || width > SIDE_MAX || height > SIDE_MAX || pixels > PIXELS_MAX {
        return Err(FrameError::Size { width, height });
    }
    Ok(())
}

/// Rows of each plane and bytes of a row, for a picture of this size. A JPEG has none.
#[expect(clippy::as_conversions, reason = "u32 to usize, lossless on every target of this crate")]
fn extents(format: PixelFormat, width: u32, height: u32) -> [(usize, usize); 3] {
    let (w, h) = (width as usize, height as usize);
    let (half_w, half_h) = (w.div_ceil(2), h.div_ceil(2));
    match format {
        PixelFormat::Nv12 => [(h, w), (half_h, 2 * half_w), (0, 0)],
        PixelFormat::I420 => [(h, w), (half_h, half_w), (half_h, half_w)],
        PixelFormat::Yuyv => [(h, 4 * half_w), (0, 0), (0, 0)],
        PixelFormat::Rgb | PixelFormat::Bgr => [(h, 3 * w), (0, 0), (0, 0)],
        PixelFormat::Grey => [(h, w), (0, 0), (0, 0)],
        PixelFormat::Samples => [(h, 4 * w), (0, 0), (0, 0)],
        PixelFormat::Mjpeg => [(0, 0); 3],
    }
}

impl Frame {
    /// Becomes a copy of `other`, in the memory that it has.
    pub fn copy_from(&mut self, other: &Self) {
        let own = match std::mem::replace(&mut self.pixels, Pixels::Owned(Vec::new())) {
            Pixels::Owned(bytes) => bytes,
            Pixels::Shared(_) => Vec::new(),
        };
        self.pixels = match &other.pixels {
            Pixels::Shared(bytes) => Pixels::Shared(bytes.clone()),
            Pixels::Owned(bytes) => {
                let mut own = own;
                own.clear();
                own.extend_from_slice(bytes);
                Pixels::Owned(own)
            }
        };
        (self.format, self.width, self.height) = (other.format, other.width, other.height);
        (self.colour, self.planes) = (other.colour, other.planes);
        (self.captured, self.ts, self.seq) = (other.captured, other.ts, other.seq);
        self.truth.clone_from(&other.truth);
    }

    /// Makes this a picture of `format` and size with tightly packed planes, and returns its bytes to be
    /// filled. They are reused: what was in them is still there. For MJPEG the bytes are empty: push the file.
    ///
    /// # Errors
    /// [`FrameError::Size`].
    pub fn reshape(
        &mut self,
        format: PixelFormat,
        width: u32,
        height: u32,
    ) -> Result<&mut Vec<u8>, FrameError> {
        check_size(width, height)?;
        let mut offset = 0;
        for (plane, (rows, stride)) in self.planes.iter_mut().zip(extents(format, width, height)) {
            *plane = Plane { offset, stride };
            offset += rows * stride;
        }
        (self.format, self.width, self.height) = (format, width, height);
        if let Pixels::Shared(_) = self.pixels {
            self.pixels = Pixels::Owned(Vec::new());
        }
        match &mut self.pixels {
            Pixels::Owned(bytes) => {
                if format == PixelFormat::Mjpeg {
                    bytes.clear();
                } else {
                    pages::resize(bytes, offset);
                }
                Ok(bytes)
            }
            Pixels::Shared(_) => Err(FrameError::Size { width, height }),
        }
    }

    /// The bytes, to be filled; they are reused, and what is in them means nothing.
    pub fn own(&mut self) -> &mut Vec<u8> {
        if let Pixels::Shared(_) = self.pixels {
            self.pixels = Pixels::Owned(Vec::new());
        }
        match &mut self.pixels {
            Pixels::Owned(bytes) => bytes,
            // Not any more.
            Pixels::Shared(bytes) => Arc::make_mut(bytes),
        }
    }

    /// Whether the bytes hold what format, size and planes promise.
    ///
    /// # Errors
    /// [`FrameError`] with what is missing.
    pub fn check(&self) -> Result<(), FrameError> {
        check_size(self.width, self.height)?;
        let (width, height, have) = (self.width, self.height, self.pixels.len());
        for (plane, (rows, row)) in self.planes.iter().zip(extents(self.format, width, height)) {
            let need = match rows {
                0 => 0,
                rows => plane.offset.saturating_add((rows - 1).saturating_mul(plane.stride)) + row,
            };
            if need > have || (rows > 0 && plane.stride < row) {
                return Err(FrameError::Short { format: self.format, width, height, need, have });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reshaped_frame_holds_what_its_format_needs() {
        for (format, bytes) in [
            (PixelFormat::Nv12, 15 + 2 * 6),
            (PixelFormat::I420, 15 + 2 * 6),
            (PixelFormat::Yuyv, 3 * 12),
            (PixelFormat::Rgb, 45),
            (PixelFormat::Bgr, 45),
            (PixelFormat::Grey, 15),
            (PixelFormat::Samples, 60),
            (PixelFormat::Mjpeg, 0),
        ] {
            let mut frame = Frame::default();
            assert_eq!(frame.reshape(format, 5, 3).unwrap().len(), bytes, "{format:?}");
            frame.check().unwrap();
            if let Pixels::Owned(bytes) = &mut frame.pixels {
                bytes.pop();
            }
            assert_eq!(frame.check().is_err(), format != PixelFormat::Mjpeg, "{format:?}");
        }
    }

    #[test]
    fn a_size_that_no_camera_gives_is_refused() {
        for (width, height) in [(0, 9), (9, 0), (20_000, 20_000), (16_384, 16_384), (u32::MAX, 1)] {
            assert_eq!(
                Frame::default().reshape(PixelFormat::Rgb, width, height).err(),
                Some(FrameError::Size { width, height })
            );
        }
    }
}
