//! Scores of every class at every place, each of which may be an object of its own.

use super::super::scan::scan;
use super::super::softmax::{Softmax, largest, logit, sigmoid};
use super::settings::Activation;

/// A score that is NaN or infinite.
pub(super) struct NotFinite;

/// The sigmoid of this is 1 in `f32`, nearly: no threshold asks for a larger logit.
const LARGEST_LOGIT: f32 = 15.0;
/// Logits by this much below the threshold are looked at too: rounding must not hide one that reaches it.
const LOGIT_SLACK: f32 = 0.001;

/// What a row of scores is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Columns {
    /// How many there are.
    pub(super) count: usize,
    /// The one that stands for nothing at all.
    pub(super) background: Option<usize>,
    /// What makes probabilities of them.
    pub(super) activation: Activation,
}

/// Calls `found` with the place, the column and the probability of each of `scores` that reaches `threshold`.
pub(super) fn each(
    scores: &[f32],
    columns: Columns,
    threshold: f32,
    mut found: impl FnMut(usize, usize, f32),
) -> Result<(), NotFinite> {
    let mut hit = |at: usize, score: f32| {
        let (place, column) = (at / columns.count, at % columns.count);
        if score >= threshold && Some(column) != columns.background {
            found(place, column, score);
        }
    };
    let finite = |score: f32| if score.is_finite() { Ok(score) } else { Err(NotFinite) };
    match columns.activation {
        _ if columns.count == 0 => Ok(()),
        Activation::None => scan(scores, threshold, |at, score| {
            hit(at, finite(score)?);
            Ok(())
        }),
        Activation::Sigmoid => {
            let least = logit(threshold).min(LARGEST_LOGIT) - LOGIT_SLACK;
            scan(scores, least, |at, score| {
                hit(at, sigmoid(finite(score)?));
                Ok(())
            })
        }
        Activation::Softmax => {
            for (row, place) in scores.chunks_exact(columns.count).zip(0..) {
                softmax(row, columns, threshold, |column, score| {
                    hit(place * columns.count + column, score);
                })?;
            }
            Ok(())
        }
    }
}

/// One row. A probability is at most `exp(logit - largest)`, so most rows need no more than a comparison.
fn softmax(
    row: &[f32],
    columns: Columns,
    threshold: f32,
    mut hit: impl FnMut(usize, f32),
) -> Result<(), NotFinite> {
    let largest = largest(row);
    if !largest.is_finite() {
        return Err(NotFinite);
    }
    let least = largest + threshold.ln() - LOGIT_SLACK;
    let mut all = None;
    for (column, &logit) in row.iter().enumerate() {
        // NaN goes on, wherever it is.
        if logit < least || (Some(column) == columns.background && !logit.is_nan()) {
            continue;
        }
        let softmax = match all {
            Some(softmax) => softmax,
            None => *all.insert(Softmax::of(row).ok_or(NotFinite)?),
        };
        hit(column, softmax.probability(logit));
    }
    Ok(())
}
