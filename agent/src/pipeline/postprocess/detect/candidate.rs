//! What may be an object: found by a model's head, in pixels of the model's input, not yet believed.

use std::cmp::Ordering;

use wire::PixelBox;

use crate::pipeline::preprocess::Placement;

/// The most candidates that are sorted and compared; of more, the best. All 8,400 places of a 640 × 640 head
/// fit; a frame with more is noise, and noise must not cost a second.
pub const MAX_CANDIDATES: usize = 10_000;

/// What may be an object. The box is in pixels of the model's input, and may be any numbers at all.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    pub(super) score: f32,
    pub(super) class: u32,
    /// Its place in the output, by which equals are ordered.
    pub(super) place: u32,
    pub(super) bounds: Corners,
}

impl Candidate {
    /// Of class `class` at place `place` of an output.
    pub(super) fn new(score: f32, class: usize, place: usize, bounds: Corners) -> Self {
        let number = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
        Self { score, class: number(class), place: number(place), bounds }
    }
}

/// A box by its left, top, right and bottom edge.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Corners {
    pub(super) x1: f32,
    pub(super) y1: f32,
    pub(super) x2: f32,
    pub(super) y2: f32,
}

impl Corners {
    /// From a centre, a width and a height.
    pub(super) fn centred(x: f32, y: f32, width: f32, height: f32) -> Self {
        let (half_width, half_height) = (width / 2.0, height / 2.0);
        Self { x1: x - half_width, y1: y - half_height, x2: x + half_width, y2: y + half_height }
    }

    /// With shares of a picture made pixels of it.
    pub(super) fn scaled(self, [width, height]: [f32; 2]) -> Self {
        Self {
            x1: self.x1 * width,
            y1: self.y1 * height,
            x2: self.x2 * width,
            y2: self.y2 * height,
        }
    }

    /// Whether all edges are numbers.
    pub(super) fn is_finite(self) -> bool {
        [self.x1, self.y1, self.x2, self.y2].iter().all(|edge| edge.is_finite())
    }

    /// The part that lies in the original picture, in its pixels; `None` where none does.
    pub(super) fn in_picture(self, placement: &Placement) -> Option<PixelBox> {
        let across = |edge: f32| {
            ((edge - placement.offset_x) / placement.scale_x).max(0.0).min(placement.picture_width)
        };
        let down = |edge: f32| {
            ((edge - placement.offset_y) / placement.scale_y).max(0.0).min(placement.picture_height)
        };
        let (x_px, y_px) = (across(self.x1), down(self.y1));
        let (width_px, height_px) = (across(self.x2) - x_px, down(self.y2) - y_px);
        let bounds = PixelBox { x_px, y_px, width_px, height_px };
        (width_px > 0.0 && height_px > 0.0).then_some(bounds)
    }
}

/// Sorts `candidates`, highest score first, equals by class and place, and keeps [`MAX_CANDIDATES`] of them.
pub(super) fn sort(candidates: &mut Vec<Candidate>) {
    if candidates.len() > MAX_CANDIDATES {
        candidates.select_nth_unstable_by(MAX_CANDIDATES - 1, order);
        candidates.truncate(MAX_CANDIDATES);
    }
    candidates.sort_unstable_by(order);
}

fn order(a: &Candidate, b: &Candidate) -> Ordering {
    b.score.total_cmp(&a.score).then(a.class.cmp(&b.class)).then(a.place.cmp(&b.place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_many_the_best_are_kept_and_equals_stay_in_order() {
        let candidate =
            |score, place| Candidate { score, class: 0, place, bounds: Corners::default() };
        let count = u32::try_from(MAX_CANDIDATES).unwrap();
        let mut candidates: Vec<_> = (0..count).map(|place| candidate(0.5, place)).collect();
        candidates.push(candidate(0.4, count));
        candidates.push(candidate(0.9, count + 1));
        candidates.reverse();
        sort(&mut candidates);
        let places: Vec<u32> = candidates.iter().map(|candidate| candidate.place).collect();
        let expected: Vec<u32> = [count + 1].into_iter().chain(0..count - 1).collect();
        assert_eq!(places, expected);
    }

    #[test]
    fn a_box_is_placed_back_and_clipped() {
        let placement = Placement {
            picture_width: 200.0,
            picture_height: 100.0,
            scale_x: 0.5,
            scale_y: 0.5,
            offset_x: 0.0,
            offset_y: 25.0,
        };
        let corners = |x1, y1, x2, y2| Corners { x1, y1, x2, y2 };
        let pixels =
            |x_px, y_px, width_px, height_px| Some(PixelBox { x_px, y_px, width_px, height_px });
        #[rustfmt::skip]
        let cases = [
            (corners(10.0, 30.0, 20.0, 40.0),   pixels(20.0, 10.0, 20.0, 20.0)),
            (corners(-9.0, 0.0, 999.0, 999.0),  pixels(0.0, 0.0, 200.0, 100.0)),
            (corners(10.0, 0.0, 20.0, 24.0),    None), // in the padding
            (corners(20.0, 30.0, 10.0, 40.0),   None), // the wrong way round
            (corners(10.0, 30.0, 10.0, 40.0),   None), // without a width
            (corners(f32::NAN, 30.0, f32::NAN, 40.0), None),
        ];
        for (corners, expected) in cases {
            assert_eq!(corners.in_picture(&placement), expected, "{corners:?}");
        }
        let nowhere = Placement { scale_x: 0.0, ..placement };
        assert_eq!(corners(0.0, 30.0, 0.0, 40.0).in_picture(&nowhere), None);
    }
}
