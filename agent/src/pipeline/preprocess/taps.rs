//! For one row of samples: which bytes each pixel of a tensor row lies between, and with which weights.
//!
//! The SIMD kernels read windows of 16 bytes and pick pixels out of them by a byte shuffle. **Invariant:**
//! every window lies inside a row of [`Taps::row_bytes`] bytes, and a shuffle picks only bytes of its window.
//! It holds because [`Taps::new`] is the only place that makes them; a test below checks it for odd sizes.

use super::geometry::Tap;

/// Weights of a pixel's two bytes add up to this.
pub(super) const WEIGHT_ONE: u8 = 128;
/// Pixels that a kernel makes at once. Tables and row buffers are padded to a multiple of it.
pub(super) const GROUP: usize = 16;
/// Bytes that a window covers.
pub(super) const WINDOW: usize = 16;

/// A pixel lies between two bytes; `weight` is the second's share of [`WEIGHT_ONE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Pair {
    pub(super) near: usize,
    pub(super) far: usize,
    pub(super) weight: u8,
}

/// Two windows, one for each half of a group, and which of their bytes go where: byte `2 * i` is pixel `i`'s
/// near one, byte `2 * i + 1` its far one; 0x80 where another window has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) starts: [u32; 2],
    pub(super) picks: [u8; 32],
}

/// The table of one component.
#[derive(Debug)]
pub(super) struct Taps {
    pairs: Vec<Pair>,
    row_bytes: usize,
    windows_per_group: usize,
    windows: Vec<Window>,
    weights: Vec<[u8; 32]>,
}

impl Taps {
    /// For pixels at `taps` in rows of `row_bytes` bytes: sample 0 is byte `first`, the next one `step` later.
    pub(super) fn new(taps: &[Tap], first: usize, step: usize, row_bytes: usize) -> Self {
        let pairs: Vec<Pair> = taps.iter().map(|tap| pair(tap, first, step)).collect();
        let mut padded = pairs.clone();
        let last = pairs.last().copied().unwrap_or_default();
        padded.resize(pairs.len().next_multiple_of(GROUP), last);
        let weights = padded.chunks_exact(GROUP).map(weights).collect();
        let (mut windows_per_group, mut windows) = (0, Vec::new());
        if row_bytes >= WINDOW {
            for per_group in [1, 2, 4, 8] {
                let made: Option<Vec<Window>> = padded
                    .chunks_exact(GROUP)
                    .flat_map(|group| {
                        (0..per_group).map(|k| window(group, k, per_group, row_bytes))
                    })
                    .collect();
                if let Some(made) = made {
                    (windows_per_group, windows) = (per_group, made);
                    break;
                }
            }
        }
        Self { pairs, row_bytes, windows_per_group, windows, weights }
    }

    /// Bytes of a row; both pairs and windows stay below.
    pub(super) fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    /// The bytes of each pixel.
    pub(super) fn pairs(&self) -> &[Pair] {
        &self.pairs
    }

    /// Pixels of a row, padded to whole groups.
    pub(super) fn padded(&self) -> usize {
        self.weights.len() * GROUP
    }

    /// 1, 2, 4 or 8; 0 where rows are shorter than a window.
    pub(super) fn windows_per_group(&self) -> usize {
        self.windows_per_group
    }

    /// [`Self::windows_per_group`] for each group, in order.
    pub(super) fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// For each group, the weights of its pixels' bytes, near and far in turn.
    pub(super) fn weights(&self) -> &[[u8; 32]] {
        &self.weights
    }
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a sample index fits usize, a weight from 0 to 1 makes 0 to 128"
)]
fn pair(tap: &Tap, first: usize, step: usize) -> Pair {
    let byte = |sample: u32| sample as usize * step + first;
    let (near, far) = (byte(tap.near), byte(tap.far));
    match (tap.weight * f64::from(WEIGHT_ONE)).round() as u8 {
        0 => Pair { near, far: near, weight: 0 },
        WEIGHT_ONE => Pair { near: far, far, weight: 0 },
        _ if near == far => Pair { near, far, weight: 0 },
        weight => Pair { near, far, weight },
    }
}

fn weights(group: &[Pair]) -> [u8; 32] {
    let mut weights = [0; 32];
    for (two, pair) in weights.chunks_exact_mut(2).zip(group) {
        two.copy_from_slice(&[WEIGHT_ONE - pair.weight, pair.weight]);
    }
    weights
}

/// Window `k` of `per_group` of each half group; `None` where the bytes are too far apart for one.
fn window(group: &[Pair], k: usize, per_group: usize, row_bytes: usize) -> Option<Window> {
    let each = GROUP / 2 / per_group;
    let mut window = Window { starts: [0; 2], picks: [0x80; 32] };
    let halves = group.chunks_exact(GROUP / 2).zip(window.picks.chunks_exact_mut(WINDOW));
    for ((half, picks), start) in halves.zip(&mut window.starts) {
        let pixels = half.chunks_exact(each).zip(picks.chunks_exact_mut(2 * each)).nth(k);
        let (pixels, picks) = pixels?;
        let lowest = pixels.iter().map(|pair| pair.near.min(pair.far)).min()?;
        let begin = lowest.min(row_bytes - WINDOW);
        for (pair, two) in pixels.iter().zip(picks.chunks_exact_mut(2)) {
            for (byte, pick) in [pair.near, pair.far].into_iter().zip(two) {
                *pick = u8::try_from(byte - begin).ok().filter(|&at| usize::from(at) < WINDOW)?;
            }
        }
        *start = u32::try_from(begin).ok()?;
    }
    Some(window)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::preprocess::geometry::Axis;

    #[test]
    fn every_window_lies_inside_its_row_and_holds_the_bytes_that_are_wanted() {
        for width in [1_u32, 2, 5, 6, 16, 17, 33, 224, 1919, 16_384] {
            for count in [1_u32, 7, 16, 31, 224, 417] {
                for (first, step) in [(0, 1), (0, 2), (1, 2), (2, 3), (1, 4), (3, 4)] {
                    let bytes = usize::try_from(width).unwrap() * step;
                    let visible = usize::try_from(count).unwrap();
                    let axis = Axis { scaled: count, skip: 0, first: 0, count: visible };
                    let taps: Vec<_> = axis.taps(width, 1, width).collect();
                    check(&Taps::new(&taps, first, step, bytes));
                }
            }
        }
    }

    fn check(taps: &Taps) {
        assert!(taps.pairs().iter().all(|pair| pair.near.max(pair.far) < taps.row_bytes()));
        let per_group = taps.windows_per_group();
        assert_eq!(per_group == 0, taps.row_bytes() < WINDOW);
        if per_group == 0 {
            return;
        }
        assert_eq!(taps.windows().len(), taps.padded() / GROUP * per_group);
        let mut found = vec![usize::MAX; 2 * taps.padded()];
        for (index, window) in taps.windows().iter().enumerate() {
            for (place, &pick) in window.picks.iter().enumerate() {
                let start = usize::try_from(window.starts[place / WINDOW]).unwrap();
                assert!(start + WINDOW <= taps.row_bytes());
                if pick != 0x80 {
                    let slot = &mut found[index / per_group * 2 * GROUP + place];
                    assert_eq!(*slot, usize::MAX, "two windows claim one place");
                    *slot = start + usize::from(pick);
                }
            }
        }
        for (two, pair) in found.chunks_exact(2).zip(taps.pairs()) {
            assert_eq!(two, [pair.near, pair.far]);
        }
    }
}
