//! Windows out of samples at the model's rate.

use std::sync::Arc;

use crate::pipeline::frame::{Frame, FrameError, PixelFormat};
use crate::pipeline::window::Cut;

/// Cuts windows. Nothing is allocated for one.
#[derive(Debug)]
pub(super) struct Cutter {
    length: usize,
    hop: usize,
    /// By channel.
    samples: Vec<Vec<f32>>,
    /// Samples that lie between two windows and are still to come.
    skip: usize,
}

impl Cutter {
    pub(super) fn new(cut: &Cut) -> Self {
        let one = |_: &Arc<str>| Vec::with_capacity(cut.length);
        let samples = cut.channels.iter().map(one).collect();
        Self { length: cut.length, hop: cut.hop, samples, skip: 0 }
    }

    /// Begins a window anew.
    pub(super) fn begin(&mut self) {
        self.samples.iter_mut().for_each(Vec::clear);
        self.skip = 0;
    }

    /// Takes the next sample. True where a window is whole: it is to be taken before the next.
    #[expect(clippy::as_conversions, reason = "a tensor's numbers have seven digits")]
    #[expect(clippy::cast_possible_truncation, reason = "a tensor's numbers have seven digits")]
    pub(super) fn push(&mut self, sample: &[f64]) -> bool {
        if let Some(less) = self.skip.checked_sub(1) {
            self.skip = less;
            return false;
        }
        for (samples, value) in self.samples.iter_mut().zip(sample) {
            samples.push(*value as f32);
        }
        self.samples.first().is_some_and(|samples| samples.len() >= self.length)
    }

    /// Writes the whole window into `frame`, and keeps what the next one has of it.
    pub(super) fn take(&mut self, frame: &mut Frame) -> Result<(), FrameError> {
        let side = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let (width, height) = (side(self.length), side(self.samples.len()));
        let bytes = frame.reshape(PixelFormat::Samples, width, height)?;
        let all = self.samples.iter().flatten();
        for (bytes, sample) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(all) {
            *bytes = sample.to_ne_bytes();
        }
        let gone = self.hop.min(self.length);
        for samples in &mut self.samples {
            samples.drain(..gone.min(samples.len()));
        }
        self.skip = self.hop - gone;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// First sample of each channel of each window of the numbers from 0 on, and how many windows there are.
    fn starts(length: usize, hop: usize) -> Vec<Vec<f32>> {
        let channels = vec!["x".into(), "y".into()];
        let cut = Cut { channels, units: Vec::new(), rate_hz: 1.0, length, hop };
        let (mut cutter, mut frame) = (Cutter::new(&cut), Frame::default());
        let mut found = Vec::new();
        for n in 0..20 {
            let n = f64::from(n);
            if cutter.push(&[n, -n]) {
                cutter.take(&mut frame).unwrap();
                frame.check().unwrap();
                let at = |place: usize| {
                    f32::from_ne_bytes(frame.pixels[4 * place..][..4].try_into().unwrap())
                };
                assert!((at(length - 1) - at(0) - crate_length(length)).abs() < 1e-6);
                found.push(vec![at(0), at(length)]);
            }
        }
        found
    }

    fn crate_length(length: usize) -> f32 {
        f32::from(u16::try_from(length - 1).unwrap())
    }

    #[test]
    fn windows_overlap_follow_or_leave_out_as_their_hop_says() {
        for (length, hop, wanted) in [
            (8, 4, vec![0.0, 4.0, 8.0, 12.0]),
            (8, 8, vec![0.0, 8.0]),
            (4, 7, vec![0.0, 7.0, 14.0]),
            (1, 6, vec![0.0, 6.0, 12.0, 18.0]),
        ] {
            let found = starts(length, hop);
            let wanted: Vec<Vec<f32>> = wanted.into_iter().map(|n| vec![n, -n]).collect();
            assert_eq!(found, wanted, "{length} {hop}");
        }
    }
}
