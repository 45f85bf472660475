//! What a model of sensors wants to be shown: windows of samples of named channels, at one rate.
//!
//! The cut belongs to the source, which makes windows of its samples before the mailbox; what is made of a window's
//! numbers belongs to the model ([`super::preprocess::Windows`]). A window travels as a [`super::frame::Frame`].

use std::sync::Arc;
use std::time::Duration;

use super::tensor::Element;

/// Slowest and fastest rate of samples, a sensor's and a model's: a reading a day, and faster than any text comes.
pub const RATES_HZ: std::ops::RangeInclusive<f64> = 1e-5..=1e6;

/// How a model's windows are cut out of a stream of samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Cut {
    /// The channels, in the order in which the model wants them.
    pub channels: Vec<Arc<str>>,
    /// In what each is measured, where the model says so; else empty.
    pub units: Vec<Arc<str>>,
    /// Samples a second.
    pub rate_hz: f64,
    /// Samples of a window, of each channel.
    pub length: usize,
    /// Samples from the start of a window to the start of the next.
    pub hop: usize,
}

impl Cut {
    /// Windows a second.
    #[must_use]
    pub fn windows_hz(&self) -> f64 {
        self.rate_hz / count(self.hop)
    }

    /// From one window to the next.
    #[must_use]
    pub fn period(&self) -> Duration {
        Duration::try_from_secs_f64(1.0 / self.windows_hz()).unwrap_or(Duration::MAX)
    }
}

/// The window that a model wants: `[window]` of its `model.toml`.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowSpec {
    /// How it is cut.
    pub cut: Cut,
    /// Subtracted from each sample, by channel.
    pub mean: Vec<f32>,
    /// Divided by then, by channel.
    pub std: Vec<f32>,
    /// Whether the model wants each channel's magnitudes by frequency instead of its samples.
    pub spectrum: bool,
    /// Type of the tensor's elements.
    pub element: Element,
}

impl WindowSpec {
    /// Numbers of each channel: its samples, or its magnitudes from 0 to half of the rate.
    #[must_use]
    pub fn width(&self) -> usize {
        if self.spectrum { self.cut.length / 2 + 1 } else { self.cut.length }
    }

    /// Elements of one tensor.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.cut.channels.len() * self.width()
    }
}

/// A count as a number to compute with.
#[must_use]
#[expect(clippy::as_conversions, reason = "counts of samples are far below 2^53")]
pub(super) fn count(samples: usize) -> f64 {
    samples as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_follow_each_other_by_their_hop() {
        let cut = Cut {
            channels: vec!["x".into()],
            units: Vec::new(),
            rate_hz: 1000.0,
            length: 256,
            hop: 128,
        };
        assert!((cut.windows_hz() - 7.8125).abs() < 1e-12);
        assert_eq!(cut.period(), Duration::from_millis(128));
        let mut spec = WindowSpec {
            cut,
            mean: vec![0.0],
            std: vec![1.0],
            spectrum: false,
            element: Element::F32,
        };
        assert_eq!(spec.elements(), 256);
        spec.spectrum = true;
        assert_eq!(spec.elements(), 129);
    }
}
