//! Whether a box shows an object that was already found.
//!
//! Candidates come highest score first; one that overlaps a kept one of its class too much is the same object
//! seen again. Only kept boxes are compared with, and these lie side by side by [`LANES`], so that one candidate
//! is compared with many by whole registers. `kept_boxes_in_lanes_are_compared_like_single_ones` holds it to
//! the plain formula.

use super::candidate::Corners;

/// Boxes compared at once: one register of AVX, two of SSE2 and NEON.
const LANES: usize = 8;

/// No class has this number: a model has fewer.
const NO_CLASS: u32 = u32::MAX;

/// Which boxes are kept, so far, of one frame.
#[derive(Debug, Default)]
pub(super) struct Kept {
    blocks: Vec<Block>,
    count: usize,
}

/// Some kept boxes, edge by edge.
#[derive(Debug, Clone, Copy)]
struct Block {
    x1: [f32; LANES],
    y1: [f32; LANES],
    x2: [f32; LANES],
    y2: [f32; LANES],
    area: [f32; LANES],
    class: [u32; LANES],
}

impl Block {
    const EMPTY: Self = Self {
        x1: [0.0; LANES],
        y1: [0.0; LANES],
        x2: [0.0; LANES],
        y2: [0.0; LANES],
        area: [0.0; LANES],
        class: [NO_CLASS; LANES],
    };
}

impl Kept {
    /// Forgets all boxes and keeps their memory.
    pub(super) fn clear(&mut self) {
        self.blocks.clear();
        self.count = 0;
    }

    /// Keeps `bounds` of `class`.
    pub(super) fn push(&mut self, bounds: Corners, class: u32) {
        let lane = self.count % LANES;
        if lane == 0 {
            self.blocks.push(Block::EMPTY);
        }
        if let Some(block) = self.blocks.last_mut() {
            block.x1[lane] = bounds.x1;
            block.y1[lane] = bounds.y1;
            block.x2[lane] = bounds.x2;
            block.y2[lane] = bounds.y2;
            block.area[lane] = area(bounds);
            block.class[lane] = class;
            self.count += 1;
        }
    }

    /// Whether a kept box of `class` and `bounds` have an intersection of more than `limit` of their union.
    pub(super) fn overlaps(&self, bounds: Corners, class: u32, limit: f32) -> bool {
        let area = area(bounds);
        self.blocks.iter().any(|kept| {
            let mut any = false;
            for lane in 0..LANES {
                let width = least(kept.x2[lane], bounds.x2) - most(kept.x1[lane], bounds.x1);
                let height = least(kept.y2[lane], bounds.y2) - most(kept.y1[lane], bounds.y1);
                let both = most(width, 0.0) * most(height, 0.0);
                // Not divided: this is the same question, and asked in a third of the time.
                let same = both > limit * (kept.area[lane] + area - both);
                any |= same & (kept.class[lane] == class);
            }
            any
        })
    }
}

fn area(bounds: Corners) -> f32 {
    (bounds.x2 - bounds.x1) * (bounds.y2 - bounds.y1)
}

/// As `f32::min` of numbers that are none of them NaN: one instruction instead of three.
fn least(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

fn most(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The plain formula.
    fn overlap(a: Corners, b: Corners) -> f64 {
        let [a, b] = [a, b].map(|c| [c.x1, c.y1, c.x2, c.y2].map(f64::from));
        let width = (a[2].min(b[2]) - a[0].max(b[0])).max(0.0);
        let height = (a[3].min(b[3]) - a[1].max(b[1])).max(0.0);
        let area = |c: [f64; 4]| (c[2] - c[0]) * (c[3] - c[1]);
        width * height / (area(a) + area(b) - width * height)
    }

    #[test]
    fn kept_boxes_in_lanes_are_compared_like_single_ones() {
        let mut state = 11_u32;
        let mut number = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from(u16::try_from((state >> 8) % below).unwrap())
        };
        let mut corners = || {
            let (x1, y1) = (number(60), number(60));
            Corners { x1, y1, x2: x1 + 1.0 + number(40), y2: y1 + 1.0 + number(40) }
        };
        for limit in [0.0, 0.3, 0.5, 0.7, 1.0] {
            let (mut kept, mut plain) = (Kept::default(), Vec::new());
            for index in 0_u32..200 {
                let (bounds, class) = (corners(), index % 3);
                let closest = plain
                    .iter()
                    .filter(|(_, other)| *other == class)
                    .map(|(other, _)| overlap(*other, bounds))
                    .fold(0.0, f64::max);
                // So close to the limit, rounding decides.
                if (closest - f64::from(limit)).abs() > 1e-6 {
                    let expected = closest > f64::from(limit);
                    assert_eq!(kept.overlaps(bounds, class, limit), expected, "{bounds:?}");
                }
                kept.push(bounds, class);
                plain.push((bounds, class));
            }
        }
    }
}
