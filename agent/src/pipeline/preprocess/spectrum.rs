//! Magnitudes by frequency, of windows of one length.
//!
//! Each is that of a sine's amplitude: a sine of amplitude 1 that turns a whole number of times in the window is 1 in
//! its bin. The window is Hann's, `(1 - cos(2πn/N)) / 2`, so that a bin's neighbours have half of it. Planned once;
//! a window allocates nothing (`agent/tests/sensors/`).

use std::f64::consts::TAU;
use std::fmt;
use std::sync::Arc;

use realfft::num_complex::Complex32;
use realfft::{RealFftPlanner, RealToComplex};

use super::plan::narrow;
use crate::pipeline::window::count;

/// See the module.
pub(super) struct Spectrum {
    plan: Arc<dyn RealToComplex<f32>>,
    /// Hann's window, with the scale of an amplitude in it.
    taper: Vec<f32>,
    samples: Vec<f32>,
    bins: Vec<Complex32>,
    scratch: Vec<Complex32>,
}

impl fmt::Debug for Spectrum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spectrum").field("length", &self.taper.len()).finish_non_exhaustive()
    }
}

impl Spectrum {
    /// For windows of `length` samples.
    pub(super) fn new(length: usize) -> Self {
        let plan = RealFftPlanner::<f32>::new().plan_fft_forward(length);
        let (samples, bins) = (plan.make_input_vec(), plan.make_output_vec());
        let scratch = plan.make_scratch_vec();
        let hann: Vec<f64> =
            (0..length).map(|n| 0.5 - 0.5 * (TAU * count(n) / count(length)).cos()).collect();
        // Half of an amplitude is at the negative frequency.
        let scale = 2.0 / hann.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        let taper = hann.into_iter().map(|weight| narrow(weight * scale)).collect();
        Self { plan, taper, samples, bins, scratch }
    }

    /// Where the next window's samples go.
    pub(super) fn samples(&mut self) -> &mut [f32] {
        &mut self.samples
    }

    /// Writes the magnitudes of those samples: as many as half of them, and one more.
    pub(super) fn magnitudes(&mut self, out: &mut [f32]) {
        for (sample, weight) in self.samples.iter_mut().zip(&self.taper) {
            *sample *= weight;
        }
        // The lengths are the plan's own: it cannot fail.
        let done =
            self.plan.process_with_scratch(&mut self.samples, &mut self.bins, &mut self.scratch);
        if done.is_err() {
            out.fill(0.0);
            return;
        }
        for (out, bin) in out.iter_mut().zip(&self.bins) {
            *out = (bin.re * bin.re + bin.im * bin.im).sqrt();
        }
        // These two have no negative frequency.
        let even = self.samples.len().is_multiple_of(2);
        if let Some(zero) = out.first_mut() {
            *zero *= 0.5;
        }
        if let (true, Some(last)) = (even && out.len() > 1, out.last_mut()) {
            *last *= 0.5;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn magnitudes(length: usize, signal: impl Fn(f64) -> f64) -> Vec<f32> {
        let mut spectrum = Spectrum::new(length);
        let samples = spectrum.samples();
        for (n, sample) in samples.iter_mut().enumerate() {
            *sample = narrow(signal(count(n) / count(length)));
        }
        let mut out = vec![0.0; length / 2 + 1];
        spectrum.magnitudes(&mut out);
        out
    }

    #[test]
    fn a_sine_of_whole_turns_is_its_amplitude_in_its_bin_and_half_of_it_beside() {
        for length in [64, 1000, 1024, 97] {
            let found = magnitudes(length, |t| 0.7 * (TAU * 9.0 * t + 0.3).sin());
            for (bin, magnitude) in found.iter().enumerate() {
                let wanted = match bin {
                    9 => 0.7,
                    8 | 10 => 0.35,
                    _ => 0.0,
                };
                assert!((magnitude - wanted).abs() < 2e-6, "{length} {bin}: {magnitude}");
            }
        }
    }

    #[test]
    fn what_does_not_change_is_in_the_first_bin_and_what_changes_each_time_in_the_last() {
        let steady = magnitudes(64, |_| -0.5);
        assert!((steady[0] - 0.5).abs() < 1e-6 && (steady[1] - 0.5).abs() < 1e-6, "{steady:?}");
        let nyquist = magnitudes(64, |t| (TAU * 32.0 * t).cos());
        assert!((nyquist[32] - 1.0).abs() < 1e-5 && nyquist[16].abs() < 1e-6, "{nyquist:?}");
    }
}
