//! Samples at any times, as samples at the model's rate.
//!
//! Where they come about as often as the model wants them, or less often: on the straight line between two of them,
//! by their times; a sample on the model's beat is itself. Where they come more often: the weighted mean of those
//! around, by a sinc that is cut off by Hann's window ten beats away on either side. It lets through what is slower
//! than 0.32 of the model's rate and holds back by 40 dB and more what is faster than half of it, which would
//! otherwise look like something slow (`what_is_too_fast_for_the_model_does_not_look_like_something_slow`).
//! Pure, and nothing is allocated for a sample.

use std::collections::VecDeque;
use std::f64::consts::{PI, TAU};

/// A source that is so much faster than the model is filtered: clocks that differ a little are not.
const FASTER: f64 = 1.25;
/// Beats of the model on either side of which samples count.
const REACH: f64 = 10.0;
/// Where the filter is at half, in shares of the model's rate.
const CUT_OFF: f64 = 0.4;
/// Points of its table, from the middle outwards: between them it is straight.
const POINTS: usize = 1024;
/// Samples by which it is seen how often they come, where nothing says so.
const PROBE: usize = 16;
/// Most samples kept: 200 times the model's rate; beyond it the filter is cut shorter.
const KEPT_MAX: usize = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Not known yet.
    Probing,
    Linear,
    Filtered,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Resampler {
    rate_hz: f64,
    channels: usize,
    mode: Mode,
    /// What is known from the start.
    expected: Mode,
    /// How far samples count on either side of a beat, in seconds; shorter where not all of them are kept.
    reach: f64,
    times: VecDeque<f64>,
    /// `channels` of each time.
    values: VecDeque<f64>,
    /// Time of the model's first beat.
    start: f64,
    /// Which beat is next.
    beat: u64,
    table: Vec<f64>,
}

impl Resampler {
    /// To `rate_hz` samples a second; `source_hz` come, where that is known.
    pub(super) fn new(rate_hz: f64, channels: usize, source_hz: Option<f64>) -> Self {
        let expected = source_hz.map_or(Mode::Probing, |source| mode(source, rate_hz));
        let reach = source_hz.map_or(0.0, |source| reach(source, rate_hz));
        Self {
            reach,
            rate_hz,
            channels,
            mode: expected,
            expected,
            times: VecDeque::with_capacity(KEPT_MAX),
            values: VecDeque::with_capacity(KEPT_MAX * channels),
            start: f64::NAN,
            beat: 0,
            table: (0..=POINTS)
                .map(|index| weight(crate::pipeline::window::count(index)))
                .collect(),
        }
    }

    /// Forgets everything; from now on `source_hz` come, where that is known.
    pub(super) fn begin(&mut self, source_hz: Option<f64>) {
        if let Some(source) = source_hz {
            self.expected = mode(source, self.rate_hz);
            self.reach = reach(source, self.rate_hz);
        }
        self.mode = self.expected;
        self.times.clear();
        self.values.clear();
        (self.start, self.beat) = (f64::NAN, 0);
    }

    /// Takes the next sample, which is later than the one before.
    pub(super) fn push(&mut self, time: f64, values: &[f64]) {
        if self.times.len() == KEPT_MAX {
            self.forget_first();
        }
        self.times.push_back(time);
        self.values.extend(values.iter().take(self.channels));
        if let (Mode::Probing, PROBE, Some(first)) =
            (self.mode, self.times.len(), self.times.front())
        {
            let spacing = (time - first) / crate::pipeline::window::count(PROBE - 1);
            self.mode = mode(1.0 / spacing, self.rate_hz);
            self.reach = reach(1.0 / spacing, self.rate_hz);
        }
        if self.start.is_nan() && self.mode != Mode::Probing {
            let reach = if self.mode == Mode::Filtered { self.reach } else { 0.0 };
            self.start = self.times.front().copied().unwrap_or(time) + reach;
        }
    }

    /// Writes the sample on the next beat to `out`. False where more samples are needed for it.
    pub(super) fn pull(&mut self, out: &mut [f64]) -> bool {
        let due = self.due();
        let Some(&newest) = self.times.back() else { return false };
        let ready = match self.mode {
            Mode::Probing => false,
            Mode::Linear => newest >= due,
            Mode::Filtered => newest >= due + self.reach,
        };
        if !ready {
            return false;
        }
        match self.mode {
            Mode::Filtered => self.filtered(due, out),
            _ => self.straight(due, out),
        }
        self.beat += 1;
        true
    }

    #[expect(clippy::as_conversions, reason = "beats of a thousand years are below 2^53")]
    fn due(&self) -> f64 {
        self.start + self.beat as f64 / self.rate_hz
    }

    /// On the line between the last sample that is not after `due` and the next.
    fn straight(&mut self, due: f64, out: &mut [f64]) {
        while self.times.len() > 2 && self.times.get(1).is_some_and(|&second| second <= due) {
            self.forget_first();
        }
        let first = self.times.front().copied().unwrap_or(due);
        let second = self.times.get(1).copied();
        let share = second.map_or(0.0, |second| ((due - first) / (second - first)).clamp(0.0, 1.0));
        for (channel, out) in out.iter_mut().enumerate() {
            let one = self.values.get(channel).copied().unwrap_or(0.0);
            let other = self.values.get(self.channels + channel).copied().unwrap_or(one);
            // The two ends are themselves, whatever lies at the other.
            *out = match share {
                0.0 => one,
                1.0 => other,
                share => one + (other - one) * share,
            };
        }
    }

    /// The weighted mean of the samples around `due`.
    fn filtered(&mut self, due: f64, out: &mut [f64]) {
        let reach = self.reach;
        while self.times.front().is_some_and(|&first| first < due - reach) {
            self.forget_first();
        }
        out.fill(0.0);
        let scale = crate::pipeline::window::count(POINTS) * self.rate_hz / REACH;
        let (mut sum, mut at) = (0.0, 0);
        for &time in self.times.iter().take_while(|&&time| time <= due + reach) {
            let weight = self.weight_at((time - due).abs() * scale);
            sum += weight;
            for (out, value) in out.iter_mut().zip(self.values.range(at..)) {
                *out += weight * value;
            }
            at += self.channels;
        }
        if sum != 0.0 {
            out.iter_mut().for_each(|out| *out /= sum);
        }
    }

    #[expect(clippy::as_conversions, reason = "a place in a table, which is looked at")]
    #[expect(clippy::cast_possible_truncation, reason = "a place in a table, which is looked at")]
    #[expect(clippy::cast_sign_loss, reason = "a place in a table, which is looked at")]
    fn weight_at(&self, place: f64) -> f64 {
        let index = place as usize;
        let (one, other) = (self.table.get(index), self.table.get(index + 1));
        let one = one.copied().unwrap_or(0.0);
        one + (other.copied().unwrap_or(0.0) - one) * place.fract()
    }

    fn forget_first(&mut self) {
        self.times.pop_front();
        for _ in 0..self.channels {
            self.values.pop_front();
        }
    }
}

fn mode(source_hz: f64, rate_hz: f64) -> Mode {
    if source_hz > FASTER * rate_hz { Mode::Filtered } else { Mode::Linear }
}

/// How far the filter reaches on either side of a beat, in seconds: as far as samples are kept.
fn reach(source_hz: f64, rate_hz: f64) -> f64 {
    (REACH / rate_hz).min(crate::pipeline::window::count(KEPT_MAX / 2 - 1) / source_hz)
}

/// The filter at point `index` of its table.
fn weight(index: f64) -> f64 {
    let share = index / crate::pipeline::window::count(POINTS);
    let turns = TAU * CUT_OFF * share * REACH;
    let sinc = if turns == 0.0 { 1.0 } else { turns.sin() / turns };
    sinc * 0.5 * (1.0 + (PI * share).cos())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::window::count;

    /// What comes out of `samples` of one channel.
    fn resampled(rate_hz: f64, source_hz: Option<f64>, samples: &[(f64, f64)]) -> Vec<f64> {
        let mut resampler = Resampler::new(rate_hz, 1, source_hz);
        let (mut found, mut one) = (Vec::new(), [0.0]);
        for (time, value) in samples {
            resampler.push(*time, &[*value]);
            while resampler.pull(&mut one) {
                found.push(one[0]);
            }
        }
        found
    }

    fn sine(frequency_hz: f64, source_hz: f64, seconds: f64) -> Vec<(f64, f64)> {
        let mut samples = Vec::new();
        while count(samples.len()) < seconds * source_hz {
            let time = count(samples.len()) / source_hz;
            samples.push((time, (TAU * frequency_hz * time).sin()));
        }
        samples
    }

    /// Of a sine, from its mean square, away from the ends.
    fn amplitude(found: &[f64]) -> f64 {
        let inner = &found[20..found.len() - 20];
        (2.0 * inner.iter().map(|value| value * value).sum::<f64>() / count(inner.len())).sqrt()
    }

    #[test]
    fn samples_on_the_beat_are_themselves_bit_by_bit() {
        for source in [Some(1000.0), None] {
            let samples = sine(87.0, 1000.0, 0.5);
            let found = resampled(1000.0, source, &samples);
            let wanted: Vec<f64> = samples.iter().map(|(_, value)| *value).collect();
            assert_eq!(found, wanted[..found.len()], "{source:?}");
            assert!(found.len() >= 499);
        }
    }

    #[test]
    fn between_two_samples_lies_a_straight_line_by_their_times() {
        let found = resampled(4.0, Some(2.0), &[(10.0, 0.0), (10.5, 2.0), (11.5, -2.0)]);
        assert_eq!(found, [0.0, 1.0, 2.0, 1.0, 0.0, -1.0, -2.0]);
        // Late or early, they lie on the same line.
        let ramp: Vec<(f64, f64)> =
            (0..50).map(|n| f64::from(n) + f64::from(n % 3) * 0.1).map(|t| (t, 3.0 * t)).collect();
        for (beat, value) in resampled(1.0, None, &ramp).iter().enumerate() {
            assert!((value - 3.0 * count(beat)).abs() < 1e-9, "{beat}: {value}");
        }
    }

    #[test]
    fn what_the_model_can_see_comes_through_a_faster_source_unchanged() {
        for (ratio, source) in [(10.0, Some(10_000.0)), (10.0, None), (1.5, None), (3.7, None)] {
            for share in [0.02, 0.2, 0.31] {
                let samples = sine(share * 1000.0, ratio * 1000.0, 1.0);
                let found = amplitude(&resampled(1000.0, source, &samples));
                assert!((found - 1.0).abs() < 0.03, "{ratio} {share}: {found}");
            }
        }
    }

    #[test]
    fn what_is_too_fast_for_the_model_does_not_look_like_something_slow() {
        for ratio in [2.5, 10.0] {
            for share in [0.52, 0.7, 0.95, 1.1] {
                let samples = sine(share * 1000.0, ratio * 1000.0, 1.0);
                let found = amplitude(&resampled(1000.0, None, &samples));
                assert!(found < 0.01, "{ratio} {share}: {found}");
            }
        }
    }

    #[test]
    fn a_source_that_is_far_too_fast_is_kept_within_bounds() {
        for source_hz in [500.0, 1000.0, 10_000.0] {
            let samples = sine(0.01, source_hz, 30.0);
            let found = resampled(1.0, Some(source_hz), &samples);
            assert!(found.len() >= 5, "{source_hz}: {found:?}");
            let first = reach(source_hz, 1.0);
            for (beat, value) in found.iter().enumerate() {
                let at = first + crate::pipeline::window::count(beat);
                let wanted = (TAU * 0.01 * at).sin();
                assert!(
                    (value - wanted).abs() < 0.02,
                    "{source_hz}: {value} at {at}, not {wanted}"
                );
            }
        }
    }
}
