//! Where a picture's samples lie: every format as one to three components with even spacing.

use super::geometry::{Axis, Tap};
use crate::hw::jpeg::{Planes, Samples};
use crate::pipeline::frame::{Colour, Frame, PixelFormat};

/// How samples lie in memory, whatever the sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sampling {
    /// Luma, U and V planes of a JPEG file; chroma is halved so often across and down.
    Jpeg { shift_x: u32, shift_y: u32 },
    /// Luma plane, then U plane, then V plane.
    I420,
    /// Luma plane, then U and V in turn.
    Nv12,
    /// Y0 U Y1 V.
    Yuyv,
    /// Three bytes a pixel.
    Rgb,
    /// The same the other way round.
    Bgr,
    /// One plane.
    Grey,
}

/// What components mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    Yuv,
    Rgb,
    Grey,
}

/// One component: where its samples lie, and for which pixels they stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Component {
    pub(super) plane: usize,
    /// Byte of a row's first sample, and bytes from one sample to the next.
    pub(super) first: usize,
    pub(super) step: usize,
    /// How often samples are halved against the picture's, across and down.
    pub(super) shifts: [u32; 2],
    /// Whether a halved sample is the middle of its pixels, with straight lines between, or stands for all of
    /// them alike. OpenCV does the first when it decodes JPEG, and the second with a camera's formats.
    pub(super) smooth: bool,
}

impl Component {
    /// Bytes of one row of its plane that belong to a picture `width` samples wide.
    pub(super) fn row_bytes(&self, width: u32) -> usize {
        let samples = halved(width, self.shifts[0]);
        usize::try_from(samples).unwrap_or(usize::MAX).saturating_mul(self.step)
    }

    /// Between which of its samples the pixels of an axis lie; `down` is 0 for across, 1 for down.
    pub(super) fn taps(&self, axis: Axis, shape: &Shape, down: usize) -> Vec<Tap> {
        let extent = [shape.width, shape.height][down];
        let (samples, shift) = (shape.samples()[down], self.shifts[down]);
        if self.smooth {
            axis.taps(extent, shape.denominator << shift, halved(samples, shift)).collect()
        } else {
            let taps = axis.taps(extent, shape.denominator, samples);
            taps.map(|tap| Tap { near: tap.near >> shift, far: tap.far >> shift, ..tap }).collect()
        }
    }
}

fn halved(samples: u32, shift: u32) -> u32 {
    (samples.saturating_sub(1) >> shift) + 1
}

impl Sampling {
    /// Luma, U, V; or red, green, blue; or grey alone.
    pub(super) fn components(self) -> Vec<Component> {
        let of =
            |plane, first, step, shifts| Component { plane, first, step, shifts, smooth: false };
        let whole = |plane, first, step| of(plane, first, step, [0, 0]);
        match self {
            Self::Jpeg { shift_x, shift_y } => {
                // Quartered chroma is rare, and libjpeg does not smooth it.
                let smooth = shift_x.max(shift_y) < 2;
                let chroma = |plane| Component { smooth, ..of(plane, 0, 1, [shift_x, shift_y]) };
                vec![whole(0, 0, 1), chroma(1), chroma(2)]
            }
            Self::I420 => vec![whole(0, 0, 1), of(1, 0, 1, [1, 1]), of(2, 0, 1, [1, 1])],
            Self::Nv12 => vec![whole(0, 0, 1), of(1, 0, 2, [1, 1]), of(1, 1, 2, [1, 1])],
            Self::Yuyv => vec![whole(0, 0, 2), of(0, 1, 4, [1, 0]), of(0, 3, 4, [1, 0])],
            Self::Rgb => vec![whole(0, 0, 3), whole(0, 1, 3), whole(0, 2, 3)],
            Self::Bgr => vec![whole(0, 2, 3), whole(0, 1, 3), whole(0, 0, 3)],
            Self::Grey => vec![whole(0, 0, 1)],
        }
    }

    /// What they are.
    pub(super) fn meaning(self) -> Meaning {
        match self {
            Self::Jpeg { .. } | Self::I420 | Self::Nv12 | Self::Yuyv => Meaning::Yuv,
            Self::Rgb | Self::Bgr => Meaning::Rgb,
            Self::Grey => Meaning::Grey,
        }
    }
}

/// What the tables of a pass depend on: as long as it is the same, they are kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Shape {
    pub(super) sampling: Sampling,
    pub(super) colour: Colour,
    /// Of the original picture, in pixels.
    pub(super) width: u32,
    pub(super) height: u32,
    /// Pixels across one sample: more than 1 where a JPEG was decoded at a fraction of its size.
    pub(super) denominator: u32,
}

impl Shape {
    /// Samples of the picture, across and down.
    pub(super) fn samples(&self) -> [u32; 2] {
        [self.width, self.height].map(|extent| extent.div_ceil(self.denominator))
    }
}

/// A picture's samples.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) shape: Shape,
    /// First byte and bytes from row to row, by plane.
    planes: [(usize, usize); 3],
    bytes: &'a [u8],
}

impl<'a> View<'a> {
    /// The samples of a frame that was checked; `None` where it is JPEG and has none yet, or no picture.
    pub(super) fn of_frame(frame: &'a Frame) -> Option<Self> {
        let sampling = match frame.format {
            PixelFormat::Nv12 => Sampling::Nv12,
            PixelFormat::I420 => Sampling::I420,
            PixelFormat::Yuyv => Sampling::Yuyv,
            PixelFormat::Rgb => Sampling::Rgb,
            PixelFormat::Bgr => Sampling::Bgr,
            PixelFormat::Grey => Sampling::Grey,
            PixelFormat::Mjpeg | PixelFormat::Samples => return None,
        };
        let (width, height) = (frame.width, frame.height);
        let shape = Shape { sampling, colour: frame.colour, width, height, denominator: 1 };
        let planes = frame.planes.map(|plane| (plane.offset, plane.stride));
        Some(Self { shape, planes, bytes: &frame.pixels })
    }

    /// The samples of a JPEG picture of `width` x `height` pixels.
    pub(super) fn of_jpeg(planes: &'a Planes, width: u32, height: u32) -> Self {
        let sampling = match planes.samples {
            Samples::Grey => Sampling::Grey,
            Samples::Yuv { shift_x, shift_y } => Sampling::Jpeg { shift_x, shift_y },
            Samples::Rgb => Sampling::Rgb,
        };
        let (colour, denominator) = (Colour::JPEG, planes.denominator);
        let shape = Shape { sampling, colour, width, height, denominator };
        Self { shape, planes: planes.planes, bytes: &planes.pixels }
    }

    /// The first `row_bytes` bytes of a row of the component's plane.
    pub(super) fn row(&self, component: &Component, row: u32, row_bytes: usize) -> &'a [u8] {
        let (offset, stride) = self.planes[component.plane];
        let row = usize::try_from(row).unwrap_or(usize::MAX);
        let begin = offset + row * stride;
        &self.bytes[begin..begin + row_bytes]
    }
}
