//! Probabilities from logits, without overflow: the largest logit is taken off all of them first.

/// What all probabilities of one set of logits share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Softmax {
    largest: f32,
    sum: f32,
}

impl Softmax {
    /// For `logits`; `None` where one is NaN or +∞, or none is finite.
    pub(super) fn of(logits: &[f32]) -> Option<Self> {
        let largest = largest(logits);
        let sum: f64 = logits.iter().map(|logit| f64::from((logit - largest).exp())).sum();
        (largest.is_finite() && sum.is_finite())
            .then_some(Self { largest, sum: super::numbers::round(sum) })
    }

    /// The probability of one of the logits.
    pub(super) fn probability(self, logit: f32) -> f32 {
        (logit - self.largest).exp() / self.sum
    }
}

/// The largest of `logits`, NaN not counted; -∞ where there is none.
pub(super) fn largest(logits: &[f32]) -> f32 {
    logits.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

/// The probability of `logit` by itself.
pub(super) fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

/// The logit whose [`sigmoid`] is `probability`; -∞ for 0, ∞ for 1.
pub(super) fn logit(probability: f32) -> f32 {
    (probability / (1.0 - probability)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_of_any_size_of_logits_add_up_to_one() {
        for logits in
            [&[0.0][..], &[1.0, 2.0, 3.0], &[-1e30, 3e38, 3e38], &[f32::NEG_INFINITY, 7.0]]
        {
            let softmax = Softmax::of(logits).unwrap();
            let sum: f32 = logits.iter().map(|&logit| softmax.probability(logit)).sum();
            assert!((sum - 1.0).abs() < 1e-6, "{logits:?} add up to {sum}");
        }
    }

    #[test]
    fn logits_without_a_largest_have_no_probabilities() {
        for logits in [&[][..], &[1.0, f32::NAN], &[f32::INFINITY, 0.0], &[f32::NEG_INFINITY]] {
            assert!(Softmax::of(logits).is_none(), "{logits:?}");
        }
    }

    #[test]
    fn logit_undoes_sigmoid_from_end_to_end() {
        for probability in [0.0, 0.001, 0.25, 0.5, 0.999, 1.0] {
            assert!((sigmoid(logit(probability)) - probability).abs() < 1e-6, "{probability}");
        }
    }
}
