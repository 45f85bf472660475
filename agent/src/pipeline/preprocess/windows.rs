//! From a window of samples to the tensor: normalised by channel, and by frequency where the model wants that.

use half::f16;

use super::plan::narrow;
use super::spectrum::Spectrum;
use super::{Placement, PreprocessError};
use crate::pipeline::frame::{Frame, PixelFormat};
use crate::pipeline::tensor::{Element, ElementsMut};
use crate::pipeline::window::WindowSpec;

/// Bytes of one sample of a frame.
const SAMPLE_BYTES: usize = 4;

/// Fills tensors from windows. An element is `(sample - mean) / std`, by channel, one channel after the other; or
/// the magnitudes of that.
#[derive(Debug)]
pub struct Windows {
    spec: WindowSpec,
    /// What a sample is multiplied with and then added to, by channel.
    gains: Vec<(f32, f32)>,
    spectrum: Option<Spectrum>,
    /// Elements of one channel, where the tensor has another type.
    row: Vec<f32>,
}

impl Windows {
    /// For tensors as `spec` wants them.
    ///
    /// # Errors
    /// [`PreprocessError::Element`], [`PreprocessError::Factor`].
    pub fn new(spec: &WindowSpec) -> Result<Self, PreprocessError> {
        if !matches!(spec.element, Element::F32 | Element::F16) {
            return Err(PreprocessError::Samples(spec.element));
        }
        let mut gains = Vec::with_capacity(spec.cut.channels.len());
        for (&mean, &std) in spec.mean.iter().zip(&spec.std) {
            let (gain, bias) = (1.0 / f64::from(std), -f64::from(mean) / f64::from(std));
            let (gain, bias) = (narrow(gain), narrow(bias));
            for (field, value, good) in
                [("mean", mean, bias.is_finite()), ("std", std, gain.is_finite())]
            {
                if !good || !value.is_finite() {
                    let rule = "elements would be no numbers";
                    return Err(PreprocessError::Factor { field, value, rule });
                }
            }
            gains.push((gain, bias));
        }
        let spectrum = spec.spectrum.then(|| Spectrum::new(spec.cut.length));
        Ok(Self { row: vec![0.0; spec.width()], spec: spec.clone(), gains, spectrum })
    }

    /// Fills `out`, one batch item, with the window in `frame`.
    ///
    /// # Errors
    /// [`PreprocessError`]; what `out` then holds means nothing.
    pub fn run(
        &mut self,
        frame: &Frame,
        out: ElementsMut<'_>,
    ) -> Result<Placement, PreprocessError> {
        frame.check().map_err(PreprocessError::Frame)?;
        let (length, channels) = (self.spec.cut.length, self.spec.cut.channels.len());
        let size = (extent(frame.width), extent(frame.height));
        if frame.format != PixelFormat::Samples || size != (length, channels) {
            return Err(PreprocessError::NotThisWindow { wanted: (length, channels) });
        }
        let width = self.spec.width();
        match out {
            ElementsMut::F32(out) if out.len() == channels * width => {
                for (channel, out) in out.chunks_exact_mut(width).enumerate() {
                    self.channel(frame, channel, out);
                }
            }
            ElementsMut::F16(out) if out.len() == channels * width => {
                let mut row = std::mem::take(&mut self.row);
                for (channel, out) in out.chunks_exact_mut(width).enumerate() {
                    self.channel(frame, channel, &mut row);
                    for (out, value) in out.iter_mut().zip(&row) {
                        *out = f16::from_f32(*value);
                    }
                }
                self.row = row;
            }
            other => return Err(self.mismatch(&other)),
        }
        Ok(Placement::NONE)
    }

    fn mismatch(&self, out: &ElementsMut<'_>) -> PreprocessError {
        let (found, have) = super::extent_of(out);
        let (need, wanted) = (self.spec.elements(), self.spec.element);
        PreprocessError::Tensor { have, need, found, wanted }
    }

    /// The elements of one channel.
    fn channel(&mut self, frame: &Frame, channel: usize, out: &mut [f32]) {
        let (gain, bias) = self.gains.get(channel).copied().unwrap_or((1.0, 0.0));
        let plane = frame.planes[0];
        let begin = plane.offset + channel * plane.stride;
        let bytes = &frame.pixels[begin..begin + SAMPLE_BYTES * self.spec.cut.length];
        let fill = |into: &mut [f32]| {
            for (into, sample) in into.iter_mut().zip(bytes.as_chunks::<SAMPLE_BYTES>().0) {
                *into = f32::from_ne_bytes(*sample) * gain + bias;
            }
        };
        match &mut self.spectrum {
            None => fill(out),
            Some(spectrum) => {
                fill(spectrum.samples());
                spectrum.magnitudes(out);
            }
        }
    }
}

fn extent(side: u32) -> usize {
    usize::try_from(side).unwrap_or(usize::MAX)
}

/// What makes tensors of frames: of pictures, or of windows.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one for each pipeline, never moved")]
pub enum Prepare {
    /// Of pictures.
    Picture(super::Preprocess),
    /// Of windows of samples.
    Window(Windows),
}

impl From<super::Preprocess> for Prepare {
    fn from(pictures: super::Preprocess) -> Self {
        Self::Picture(pictures)
    }
}

impl From<Windows> for Prepare {
    fn from(windows: Windows) -> Self {
        Self::Window(windows)
    }
}

impl Prepare {
    /// Fills `out`, one batch item, with what is in `frame`; as [`super::Preprocess::run_within`].
    ///
    /// # Errors
    /// [`PreprocessError`].
    pub fn run_within(
        &mut self,
        frame: &Frame,
        out: ElementsMut<'_>,
        margin: &mut super::Margin,
        second: Option<&mut crate::hw::second::Second>,
    ) -> Result<Placement, PreprocessError> {
        match self {
            Self::Picture(pictures) => pictures.run_within(frame, out, margin, second),
            Self::Window(windows) => windows.run(frame, out),
        }
    }

    /// Takes over the tables and the memory of `other`, where both fill the same tensors of pictures.
    pub fn inherit(&mut self, other: &mut Self) {
        if let (Self::Picture(own), Self::Picture(other)) = (self, other) {
            own.inherit(other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::preprocess::{Channels, Fit, Layout, PictureSpec, Preprocess};
    use crate::pipeline::window::Cut;

    fn spec(channels: usize, length: usize, spectrum: bool) -> WindowSpec {
        let channels: Vec<_> = ["x", "y", "z"][..channels].iter().map(|&one| one.into()).collect();
        WindowSpec {
            mean: vec![1.0; channels.len()],
            std: vec![0.5; channels.len()],
            cut: Cut { channels, units: Vec::new(), rate_hz: 100.0, length, hop: length },
            spectrum,
            element: Element::F32,
        }
    }

    fn window(values: &[&[f32]]) -> Frame {
        let mut frame = Frame::default();
        let side = |count: usize| u32::try_from(count).unwrap();
        let bytes = frame.reshape(PixelFormat::Samples, side(values[0].len()), side(values.len()));
        for (bytes, value) in
            bytes.unwrap().chunks_exact_mut(4).zip(values.iter().copied().flatten())
        {
            bytes.copy_from_slice(&value.to_ne_bytes());
        }
        frame
    }

    #[test]
    fn samples_are_normalised_by_channel_in_every_type() {
        let frame = window(&[&[1.0, 2.0], &[3.0, -1.0]]);
        let wanted = [0.0, 2.0, 4.0, -4.0];
        let mut out = [9.0; 4];
        let spec = spec(2, 2, false);
        Windows::new(&spec).unwrap().run(&frame, ElementsMut::F32(&mut out)).unwrap();
        assert_eq!(out, wanted);
        let mut out = [f16::ZERO; 4];
        let halves = WindowSpec { element: Element::F16, ..spec };
        Windows::new(&halves).unwrap().run(&frame, ElementsMut::F16(&mut out)).unwrap();
        assert_eq!(out, wanted.map(f16::from_f32));
    }

    #[test]
    fn a_spectrum_is_of_the_normalised_samples() {
        let frame = window(&[&[1.5; 8], &[1.0; 8]]);
        let mut out = [9.0_f32; 10];
        let mut windows = Windows::new(&spec(2, 8, true)).unwrap();
        windows.run(&frame, ElementsMut::F32(&mut out)).unwrap();
        for (bin, wanted) in [(0, 1.0), (1, 1.0), (2, 0.0), (5, 0.0), (6, 0.0)] {
            assert!((out[bin] - wanted).abs() < 1e-6, "{out:?}");
        }
    }

    #[test]
    fn what_is_no_window_of_this_model_is_refused_and_a_window_is_no_picture() {
        let mut windows = Windows::new(&spec(2, 2, false)).unwrap();
        let mut out = [0.0; 4];
        for frame in [window(&[&[1.0; 3], &[1.0; 3]]), window(&[&[1.0; 2]]), Frame::default()] {
            windows.run(&frame, ElementsMut::F32(&mut out)).unwrap_err();
        }
        let picture = PictureSpec {
            width: 2,
            height: 2,
            layout: Layout::Nchw,
            channels: Channels::Grey,
            fit: Fit::Stretch,
            pad: 0,
            scale: 1.0,
            mean: [0.0; 3],
            std: [1.0; 3],
            element: Element::F32,
        };
        let mut pictures = Preprocess::new(&picture).unwrap();
        let found = pictures.run(&window(&[&[1.0; 2], &[1.0; 2]]), ElementsMut::F32(&mut out));
        assert!(matches!(found, Err(PreprocessError::NotPicture)), "{found:?}");
        let mut grey = Frame::default();
        grey.reshape(PixelFormat::Grey, 2, 2).unwrap();
        let found = windows.run(&grey, ElementsMut::F32(&mut out));
        assert!(matches!(found, Err(PreprocessError::NotThisWindow { .. })), "{found:?}");
    }
}
