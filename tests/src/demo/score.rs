//! Detections against what is really there.

use wire::{Detection, Truth};

use super::share;

/// Detections against what is really there, over all frames so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Score {
    /// Detections of something that is there.
    pub hits: u64,
    /// Detections.
    pub found: u64,
    /// Things that are there.
    pub there: u64,
}

impl Score {
    /// Adds one frame: each detection, surest first, takes the thing of its label that it overlaps most and
    /// that none has taken, where they overlap by `iou` or more.
    pub fn add(&mut self, detections: &[Detection], truth: &[Truth], iou: f32) {
        let mut surest: Vec<&Detection> = detections.iter().collect();
        surest.sort_by(|a, b| b.score.total_cmp(&a.score));
        let mut left: Vec<&Truth> = truth.iter().collect();
        for detection in surest {
            let best = left
                .iter()
                .enumerate()
                .filter(|(_, thing)| thing.label == detection.label)
                .map(|(index, thing)| (index, thing.bounds.iou(&detection.bounds)))
                .filter(|(_, overlap)| *overlap >= iou)
                .max_by(|(_, a), (_, b)| a.total_cmp(b));
            if let Some((index, _)) = best {
                left.swap_remove(index);
                self.hits += 1;
            }
        }
        self.found += u64::try_from(detections.len()).unwrap_or(u64::MAX);
        self.there += u64::try_from(truth.len()).unwrap_or(u64::MAX);
    }

    /// This one and `other` together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            hits: self.hits + other.hits,
            found: self.found + other.found,
            there: self.there + other.there,
        }
    }

    /// Share of the detections that are right; `None` without one.
    #[must_use]
    pub fn precision(&self) -> Option<f64> {
        share(self.hits, self.found)
    }

    /// Share of the things that were found; `None` where there was none.
    #[must_use]
    pub fn recall(&self) -> Option<f64> {
        share(self.hits, self.there)
    }
}

#[cfg(test)]
mod tests {
    use wire::PixelBox;

    use super::*;

    fn square(x_px: f32) -> PixelBox {
        PixelBox { x_px, y_px: 0.0, width_px: 10.0, height_px: 10.0 }
    }

    fn found(label: &str, x_px: f32, score: f32) -> Detection {
        Detection { index: 0, label: label.into(), score, bounds: square(x_px), track: None }
    }

    fn there(label: &str, x_px: f32) -> Truth {
        Truth { label: label.into(), bounds: square(x_px) }
    }

    #[test]
    fn a_hit_has_the_label_the_place_and_the_thing_for_itself() {
        let (a, b) = (there("a", 0.0), there("b", 50.0));
        for (what, detections, truth, hits) in [
            ("nothing at all", vec![], vec![], 0),
            ("missed", vec![], vec![a.clone()], 0),
            ("imagined", vec![found("a", 0.0, 0.9)], vec![], 0),
            ("right", vec![found("a", 1.0, 0.9)], vec![a.clone(), b.clone()], 1),
            ("another label", vec![found("b", 0.0, 0.9)], vec![a.clone(), b.clone()], 0),
            ("another place", vec![found("a", 8.0, 0.9)], vec![a.clone()], 0),
            ("twice", vec![found("a", 0.0, 0.5), found("a", 1.0, 0.9)], vec![a.clone()], 1),
            // The surer one takes the nearer thing, and the other one what is left.
            (
                "neighbours",
                vec![found("a", 2.0, 0.5), found("a", 0.0, 0.9)],
                vec![there("a", 3.0), a.clone()],
                2,
            ),
        ] {
            let mut score = Score::default();
            score.add(&detections, &truth, 0.5);
            assert_eq!(score.hits, hits, "{what}");
            let counts = [score.found, score.there].map(|count| usize::try_from(count).unwrap());
            assert_eq!(counts, [detections.len(), truth.len()], "{what}");
        }
    }

    #[test]
    fn precision_is_of_what_was_found_and_recall_of_what_is_there() {
        let score = Score { hits: 3, found: 4, there: 6 }.plus(Score::default());
        assert_eq!((score.precision(), score.recall()), (Some(0.75), Some(0.5)));
        assert_eq!((Score::default().precision(), Score::default().recall()), (None, None));
    }
}
