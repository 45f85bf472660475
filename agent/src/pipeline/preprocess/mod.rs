//! From the camera's format to the tensor, in one pass.
//!
//! ```text
//! frame ─► view ─┐                    ┌─► samples (row, bytes → 16 bit) ─► elements (two rows → floats) ─► tensor
//! JPEG ─► planes ┘   plan (tables, ───┘   one row at a time, in the first-level cache
//!                    kept from frame to frame)
//! ```
//! A tensor element is what one would get from the whole picture converted to RGB (each chroma sample standing
//! for all its pixels, as `cv2.cvtColor` does it), scaled with `cv2.resize(INTER_LINEAR)` and normalised,
//! without the rounding in between: within 2 of 255 levels of that for samples, see `tests/preprocess/`.
//! JPEG differs by more where it is decoded at a fraction of its size, which averages instead of skipping.
//!
//! **Invariant:** a picture gives the same tensor, bit by bit, with every kernel and on every machine
//! (`kernel/tests.rs`). In the steady state nothing is allocated here; libjpeg allocates for itself.

mod ahead;
mod colour;
mod fill;
mod geometry;
mod kernel;
mod pixel;
mod plan;
mod spectrum;
mod taps;
mod view;
mod windows;

use self::fill::{Filler, Pass};
use self::kernel::Kernel;
use self::plan::Plan;
use self::view::View;
pub use self::windows::{Prepare, Windows};
use super::frame::{Frame, FrameError, PixelFormat, check_size};
use super::tensor::{Element, ElementsMut};
use crate::hw::jpeg::{Decoder, Header, JpegError, Planes};
use crate::hw::second::Second;

/// In which order a picture tensor's elements lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// Batch, channel, row, column.
    Nchw,
    /// Batch, row, column, channel.
    Nhwc,
}

/// The channels a model wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Channels {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
    /// Luma.
    Grey,
}

/// How a picture of another shape is made to fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fit {
    /// Scaled to lie wholly inside, centred, the rest padded.
    Letterbox,
    /// Scaled to fill exactly; proportions change.
    Stretch,
    /// Scaled to cover, centred, the overhang cut off.
    Crop,
}

/// The picture that a model wants: `[picture]` of its `model.toml`.
///
/// An element becomes `(sample * scale - mean) / std`, with `sample` from 0 to 255 and `mean` and `std` by
/// channel in the order of `channels`.
#[derive(Debug, Clone, PartialEq)]
pub struct PictureSpec {
    /// Width of the tensor.
    pub width: u32,
    /// Height of the tensor.
    pub height: u32,
    /// Element order.
    pub layout: Layout,
    /// Channels and their order.
    pub channels: Channels,
    /// How the picture is made to fit.
    pub fit: Fit,
    /// Sample value of the padding, 0 to 255, before scale, mean and std.
    pub pad: u8,
    /// Factor on samples.
    pub scale: f32,
    /// Subtracted after scaling, by channel.
    pub mean: [f32; 3],
    /// Divided by at the end, by channel.
    pub std: [f32; 3],
    /// Element type; integers are rounded to nearest even and saturate.
    pub element: Element,
}

/// Where the original picture lies in the model's input: `input = picture * scale + offset`, per axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placement {
    /// Width of the original picture.
    pub picture_width: f32,
    /// Height of the original picture.
    pub picture_height: f32,
    /// Input pixels per picture pixel, across.
    pub scale_x: f32,
    /// Input pixels per picture pixel, down.
    pub scale_y: f32,
    /// Input pixels left of the picture; negative where the picture is cropped.
    pub offset_x: f32,
    /// Input pixels above the picture; negative where the picture is cropped.
    pub offset_y: f32,
}

impl Placement {
    /// That of what is no picture.
    pub const NONE: Self = Self {
        picture_width: 0.0,
        picture_height: 0.0,
        scale_x: 1.0,
        scale_y: 1.0,
        offset_x: 0.0,
        offset_y: 0.0,
    };
}

impl PictureSpec {
    /// How many channels a pixel has.
    #[must_use]
    pub fn depth(&self) -> usize {
        match self.channels {
            Channels::Rgb | Channels::Bgr => 3,
            Channels::Grey => 1,
        }
    }

    /// Indices of the channels that hold red, green and blue; 0 three times for grey.
    fn red_first(&self) -> [usize; 3] {
        match self.channels {
            Channels::Rgb => [0, 1, 2],
            Channels::Bgr => [2, 1, 0],
            Channels::Grey => [0; 3],
        }
    }

    /// Gain and bias that make an element of a sample of this channel.
    fn normalise(&self, channel: usize) -> (f64, f64) {
        let (mean, std) = (f64::from(self.mean[channel]), f64::from(self.std[channel]));
        (f64::from(self.scale) / std, -mean / std)
    }

    /// What padding becomes, by channel.
    fn padding(&self) -> [f32; 3] {
        [0, 1, 2].map(|channel| {
            let (gain, bias) = self.normalise(channel);
            plan::narrow(f64::from(self.pad) * gain + bias)
        })
    }
}

/// Whose padding a tensor has around its picture: at first nobody's.
#[derive(Debug, Default)]
pub struct Margin(u64);

/// Why a picture could not become a tensor.
#[derive(Debug, thiserror::Error)]
pub enum PreprocessError {
    /// The tensor would be empty or too large. The model's description is wrong.
    #[error("the model's picture cannot be made")]
    Size(#[source] FrameError),
    /// No picture becomes elements of this type. The model's description is wrong.
    #[error("a picture cannot become elements of type {}: only f32, f16, u8 and i8", .0.name())]
    Element(Element),
    /// A factor that makes no number. The model's description is wrong.
    #[error("`{field}` of the model's picture is {value}: {rule}")]
    Factor {
        /// Which.
        field: &'static str,
        /// Its value.
        value: f32,
        /// What it must be.
        rule: &'static str,
    },
    /// No window becomes elements of this type. The model's description is wrong.
    #[error("samples cannot become elements of type {}: only f32 and f16", .0.name())]
    Samples(Element),
    /// The frame is a window of samples, and the model wants a picture. Skip it.
    #[error("a window of samples is no picture")]
    NotPicture,
    /// The frame is not the window that the model wants. Skip it.
    #[error("the frame is no window of {} samples of {} channels", wanted.0, wanted.1)]
    NotThisWindow {
        /// Samples and channels.
        wanted: (usize, usize),
    },
    /// The frame's bytes are not what it claims. Skip it.
    #[error("the frame cannot be read")]
    Frame(#[source] FrameError),
    /// The frame's JPEG file cannot be decoded. Skip it.
    #[error("the frame's JPEG file cannot be read")]
    Jpeg(#[source] JpegError),
    /// The frame's JPEG file is another picture than the frame claims. Skip it.
    #[error("the frame claims {frame:?} pixels and its JPEG file has {file:?}")]
    Disagree {
        /// Width and height that the frame claims.
        frame: (u32, u32),
        /// Width and height in the file's header.
        file: (u32, u32),
    },
    /// The tensor given is not of the model's shape or type. A mistake in this program.
    #[error("the tensor to be filled has {have} elements of type {} instead of {need} of type {}", .found.name(), .wanted.name())]
    Tensor {
        /// Elements there.
        have: usize,
        /// Elements needed.
        need: usize,
        /// Their type.
        found: Element,
        /// The type needed.
        wanted: Element,
    },
}

/// Fills tensors from frames. It keeps its tables from frame to frame and its memory for ever.
#[derive(Debug)]
pub struct Preprocess {
    spec: PictureSpec,
    kernel: Kernel,
    plan: Option<Plan>,
    filler: Filler,
    decoder: Option<Decoder>,
    planes: Planes,
}

impl Preprocess {
    /// For tensors as `spec` wants them.
    ///
    /// # Errors
    /// [`PreprocessError::Size`], [`PreprocessError::Element`], [`PreprocessError::Factor`].
    pub fn new(spec: &PictureSpec) -> Result<Self, PreprocessError> {
        Self::with(spec, Kernel::best())
    }

    fn with(spec: &PictureSpec, kernel: Kernel) -> Result<Self, PreprocessError> {
        check(spec)?;
        Ok(Self {
            spec: spec.clone(),
            kernel,
            plan: None,
            filler: Filler::default(),
            decoder: None,
            planes: Planes::default(),
        })
    }

    /// Takes over the tables and the memory of `other`, which fills the same tensors, where this one has none yet.
    pub fn inherit(&mut self, other: &mut Self) {
        if self.plan.is_none() && self.spec == other.spec {
            std::mem::swap(self, other);
        }
    }

    /// What it fills.
    #[must_use]
    pub fn spec(&self) -> &PictureSpec {
        &self.spec
    }

    /// Elements of one tensor.
    #[must_use]
    pub fn elements(&self) -> usize {
        let extent = |side| usize::try_from(side).unwrap_or(usize::MAX);
        extent(self.spec.width) * extent(self.spec.height) * self.spec.depth()
    }

    /// Fills `out`, one batch item, with the picture in `frame`, and returns where it lies in it.
    ///
    /// The tables are made anew when the frame's size, format or colours differ from the last one's.
    ///
    /// # Errors
    /// [`PreprocessError`]; what `out` then holds means nothing.
    pub fn run(
        &mut self,
        frame: &Frame,
        out: ElementsMut<'_>,
    ) -> Result<Placement, PreprocessError> {
        self.run_within(frame, out, &mut Margin::default(), None)
    }

    /// The same for a tensor that nobody else writes and that stays together with its `margin`: padding that is
    /// there already is not written again. It is 44 % of a 640 × 640 tensor with a picture of 16:9 in it. `second`
    /// helps, where there is one.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_within(
        &mut self,
        frame: &Frame,
        out: ElementsMut<'_>,
        margin: &mut Margin,
        second: Option<&mut Second>,
    ) -> Result<Placement, PreprocessError> {
        frame.check().map_err(PreprocessError::Frame)?;
        self.check_tensor(&out)?;
        if frame.format == PixelFormat::Samples {
            return Err(PreprocessError::NotPicture);
        }
        if frame.format == PixelFormat::Mjpeg {
            self.decode(frame)?;
        }
        let view = View::of_frame(frame)
            .unwrap_or_else(|| View::of_jpeg(&self.planes, frame.width, frame.height));
        let plan = match self.plan.take() {
            Some(plan) if plan.shape == view.shape => plan,
            _ => {
                let plan = Plan::new(&self.spec, view.shape);
                self.filler.fit(&plan, self.spec.depth());
                plan
            }
        };
        let pass = Pass { spec: &self.spec, kernel: self.kernel, plan: &plan, view };
        match out {
            ElementsMut::F32(out) => self.filler.fill(pass, out, margin, second),
            ElementsMut::F16(out) => self.filler.fill(pass, out, margin, second),
            ElementsMut::U8(out) => self.filler.fill(pass, out, margin, second),
            ElementsMut::I8(out) => self.filler.fill(pass, out, margin, second),
        }
        Ok(self.plan.insert(plan).placement)
    }

    /// Decodes the frame's file into `planes`, no larger than it takes to cover the tensor.
    fn decode(&mut self, frame: &Frame) -> Result<(), PreprocessError> {
        let file = Header::read(&frame.pixels).map_err(PreprocessError::Jpeg)?;
        let claimed = (frame.width, frame.height);
        if file != claimed {
            return Err(PreprocessError::Disagree { frame: claimed, file });
        }
        let decoder = match &mut self.decoder {
            Some(decoder) => decoder,
            None => self.decoder.insert(Decoder::new().map_err(PreprocessError::Jpeg)?),
        };
        let least = geometry::axes(&self.spec, file.0, file.1).map(|axis| axis.scaled);
        decoder
            .decode_planes(&frame.pixels, least.into(), &mut self.planes)
            .map_err(PreprocessError::Jpeg)?;
        Ok(())
    }

    fn check_tensor(&self, out: &ElementsMut<'_>) -> Result<(), PreprocessError> {
        let (found, have) = extent_of(out);
        let (need, wanted) = (self.elements(), self.spec.element);
        if (have, found) == (need, wanted) {
            Ok(())
        } else {
            Err(PreprocessError::Tensor { have, need, found, wanted })
        }
    }
}

/// Type and number of elements.
fn extent_of(out: &ElementsMut<'_>) -> (Element, usize) {
    match out {
        ElementsMut::F32(out) => (Element::F32, out.len()),
        ElementsMut::F16(out) => (Element::F16, out.len()),
        ElementsMut::U8(out) => (Element::U8, out.len()),
        ElementsMut::I8(out) => (Element::I8, out.len()),
    }
}

fn check(spec: &PictureSpec) -> Result<(), PreprocessError> {
    check_size(spec.width, spec.height).map_err(PreprocessError::Size)?;
    if !matches!(spec.element, Element::F32 | Element::F16 | Element::U8 | Element::I8) {
        return Err(PreprocessError::Element(spec.element));
    }
    let finite = |field, value: f32| match value.is_finite() {
        true => Ok(()),
        false => Err(PreprocessError::Factor { field, value, rule: "it must be a finite number" }),
    };
    finite("scale", spec.scale)?;
    for (mean, std) in spec.mean.into_iter().zip(spec.std).take(spec.depth()) {
        finite("mean", mean)?;
        finite("std", std)?;
        if std == 0.0 {
            let rule = "elements are divided by it";
            return Err(PreprocessError::Factor { field: "std", value: std, rule });
        }
        if !(255.0 * spec.scale / std).is_finite() || !(mean / std).is_finite() {
            let rule = "elements would be infinite";
            return Err(PreprocessError::Factor { field: "std", value: std, rule });
        }
    }
    Ok(())
}
