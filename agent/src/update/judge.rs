//! Whether a model on trial, or just committed, does well. Pure: figures and terms in, a verdict out.

use std::time::Duration;

use wire::Terms;

use crate::pipeline::health::Watched;

/// Below this the difference between two models is noise.
const NOISE_MS: f64 = 2.0;

/// Frames before failures are counted in shares: of two frames, one that failed is not half of all.
const FRAMES_MIN: u64 = 20;

/// What is to be said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Judgement {
    /// It does well.
    Pass,
    /// It does not, for this reason.
    Fail(String),
    /// It is too early to say.
    Wait,
}

/// Judges a model on trial after `elapsed`: `tried` are its own figures, `speaks` those of the committed model
/// over the same time, which saw the same frames.
///
/// Where no frames come there is nothing to judge: a camera that is dark all night refuses no model. One that only
/// `stands_by`, for when the load of its pipelines is too much, may see none for months: it is taken on its rehearsal,
/// without frames enough from the committed model to compare it with.
#[must_use]
pub(super) fn trial(
    terms: &Terms,
    tried: &Watched,
    speaks: &Watched,
    stands_by: bool,
    elapsed: Duration,
) -> Judgement {
    if let Some(reason) = wrong(terms, tried) {
        return Judgement::Fail(reason);
    }
    let frames_came = speaks.inferred >= terms.min_inferences.max(1);
    let enough = tried.inferred >= terms.min_inferences.max(1) || (stands_by && !frames_came);
    if let (true, Some(own), Some(other)) =
        (tried.inferred >= FRAMES_MIN.min(terms.min_inferences), tried.p95_ms, speaks.p95_ms)
    {
        let most = permille(other.max(NOISE_MS), terms.slower_permille);
        if own > most {
            return Judgement::Fail(format!(
                "95 of 100 frames take {own:.1} ms, the committed model takes {other:.1} ms: \
                 more than {} thousandths of it",
                terms.slower_permille
            ));
        }
    }
    if enough && elapsed >= Duration::from_secs(terms.soak_s) {
        return Judgement::Pass;
    }
    // The committed model saw frames enough, and this one did not get through them.
    if !enough && frames_came && elapsed >= Duration::from_secs(terms.trial_s) {
        return Judgement::Fail(format!(
            "it saw {} of {} frames within {} s",
            tried.inferred, terms.min_inferences, terms.trial_s
        ));
    }
    Judgement::Wait
}

/// Judges a committed model after `elapsed` in probation.
#[must_use]
pub(super) fn probation(terms: &Terms, seen: &Watched, elapsed: Duration) -> Judgement {
    match wrong(terms, seen) {
        Some(reason) => Judgement::Fail(reason),
        None if elapsed >= Duration::from_secs(terms.probation_s) => Judgement::Pass,
        None => Judgement::Wait,
    }
}

/// What breaks the terms by itself.
fn wrong(terms: &Terms, seen: &Watched) -> Option<String> {
    let frames = seen.inferred + seen.failed;
    let allowed = u128::from(frames) * u128::from(terms.failed_ppm) / 1_000_000;
    if u128::from(seen.failed) > allowed && frames >= FRAMES_MIN {
        return Some(format!("{} of {frames} frames failed", seen.failed));
    }
    let (own, most) = (seen.p95_ms?, u32::try_from(terms.p95_ms?).ok()?);
    (seen.inferred >= FRAMES_MIN && own > f64::from(most))
        .then(|| format!("95 of 100 frames take {own:.1} ms, its terms allow {most} ms"))
}

fn permille(value: f64, permille: u64) -> f64 {
    value * f64::from(u32::try_from(permille).unwrap_or(u32::MAX)) / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(inferred: u64, failed: u64, p95_ms: f64) -> Watched {
        let p95_ms = (inferred > 0).then_some(p95_ms);
        Watched { inferred, failed, p50_ms: p95_ms, p95_ms }
    }

    #[test]
    fn a_trial_is_judged_by_its_terms_and_by_the_model_that_speaks() {
        let terms = Terms { p95_ms: Some(50), ..Terms::default() };
        for (tried, speaks, at_s, wanted) in [
            (seen(100, 0, 10.0), seen(100, 0, 10.0), 31, "pass"),
            (seen(100, 0, 10.0), seen(100, 0, 10.0), 29, "wait"),
            (seen(49, 0, 10.0), seen(900, 0, 10.0), 600, "wait"),
            (seen(49, 0, 10.0), seen(900, 0, 10.0), 900, "it saw 49 of 50"),
            (seen(0, 0, 0.0), seen(0, 0, 0.0), 90_000, "wait"),
            (seen(100, 0, 51.0), seen(100, 0, 40.0), 5, "95 of 100 frames take 51.0 ms, its terms"),
            (
                seen(100, 0, 31.0),
                seen(100, 0, 10.0),
                5,
                "95 of 100 frames take 31.0 ms, the committed",
            ),
            (seen(100, 0, 5.9), seen(100, 0, 0.1), 31, "pass"),
            (seen(99, 1, 10.0), seen(100, 0, 10.0), 31, "pass"),
            (seen(98, 2, 10.0), seen(100, 0, 10.0), 5, "2 of 100 frames failed"),
            (seen(0, 3, 0.0), seen(3, 0, 10.0), 5, "wait"),
            (seen(0, 20, 0.0), seen(20, 0, 10.0), 5, "20 of 20 frames failed"),
        ] {
            let found = match trial(&terms, &tried, &speaks, false, Duration::from_secs(at_s)) {
                Judgement::Pass => "pass".to_owned(),
                Judgement::Wait => "wait".to_owned(),
                Judgement::Fail(reason) => reason,
            };
            assert!(found.starts_with(wanted), "{tried:?} {speaks:?} after {at_s} s: {found}");
        }
    }

    #[test]
    fn a_model_that_stands_by_is_taken_without_frames_and_judged_by_those_that_come() {
        let terms = Terms { p95_ms: Some(50), ..Terms::default() };
        for (tried, speaks, at_s, wanted) in [
            (seen(0, 0, 0.0), seen(0, 0, 0.0), 29, Judgement::Wait),
            (seen(0, 0, 0.0), seen(0, 0, 0.0), 31, Judgement::Pass),
            (seen(4, 0, 10.0), seen(9, 0, 10.0), 31, Judgement::Pass),
            (seen(49, 0, 10.0), seen(900, 0, 10.0), 600, Judgement::Wait),
        ] {
            let found = trial(&terms, &tried, &speaks, true, Duration::from_secs(at_s));
            assert_eq!(found, wanted, "{tried:?} {speaks:?} after {at_s} s");
        }
        let slow = trial(&terms, &seen(30, 0, 51.0), &seen(30, 0, 9.0), true, Duration::ZERO);
        assert!(matches!(slow, Judgement::Fail(_)), "{slow:?}");
    }

    #[test]
    fn probation_ends_well_with_time_and_badly_at_once() {
        let terms = Terms::default();
        for (figures, at_s, pass, fail) in [
            (seen(10, 0, 5.0), 599, false, false),
            (seen(10, 0, 5.0), 600, true, false),
            (seen(0, 0, 0.0), 600, true, false),
            (seen(50, 50, 5.0), 1, false, true),
        ] {
            let found = probation(&terms, &figures, Duration::from_secs(at_s));
            let (passed, failed) = (found == Judgement::Pass, matches!(found, Judgement::Fail(_)));
            assert_eq!((passed, failed), (pass, fail), "{figures:?} after {at_s} s");
        }
    }
}
