//! Finds the few numbers among many that reach a threshold.
//!
//! A detector's head is mostly scores below it: 80 × 8,400 numbers for some hundred that count. So a block of
//! them is first asked as a whole, without a branch and by whole registers, and looked at one by one only if
//! any of it may count. The compiler makes SSE2 and NEON of the question by itself: 38 µs for such a head, of
//! which AVX2 would save 4, so that there is no kernel by hand here.
//! `a_scan_finds_what_a_plain_loop_finds` holds both to the plain loop.

#![expect(
    clippy::neg_cmp_op_on_partial_ord,
    reason = "`!(number < threshold)` is also true of NaN, which is the point"
)]

use half::f16;
use half::slice::HalfFloatSliceExt;

/// Numbers asked at once: 64 is two to eight registers' worth on every target, and a quarter of a page of
/// hits costs little.
const BLOCK: usize = 64;

/// Calls `hit` with the place and value of each number that is not below `threshold`, in order: also of
/// each NaN, so that none goes unseen.
pub(super) fn scan<E>(
    numbers: &[f32],
    threshold: f32,
    mut hit: impl FnMut(usize, f32) -> Result<(), E>,
) -> Result<(), E> {
    let mut start = 0;
    for block in numbers.chunks(BLOCK) {
        if any(block, threshold) {
            for (offset, &number) in block.iter().enumerate() {
                if !(number < threshold) {
                    hit(start + offset, number)?;
                }
            }
        }
        start += block.len();
    }
    Ok(())
}

/// [`scan`] of 16-bit floats, for a threshold that is not negative. Nothing is converted before it counts:
/// without their sign, floats are ordered as the integers of the same bits, NaN above all.
pub(super) fn scan_halves<E>(
    numbers: &[f16],
    threshold: f32,
    mut hit: impl FnMut(usize, f32) -> Result<(), E>,
) -> Result<(), E> {
    let least = f16::from_f32(threshold).to_bits() & MAGNITUDE;
    let bits: &[u16] = numbers.reinterpret_cast();
    let mut start = 0;
    for block in bits.chunks(BLOCK) {
        if block.iter().fold(false, |any, &bits| any | (bits & MAGNITUDE >= least)) {
            for (offset, &bits) in block.iter().enumerate() {
                let number = if bits & MAGNITUDE < least { continue } else { f16::from_bits(bits) };
                // The threshold was rounded, and the sign was not looked at.
                let number = number.to_f32();
                if !(number < threshold) {
                    hit(start + offset, number)?;
                }
            }
        }
        start += block.len();
    }
    Ok(())
}

/// All bits of a 16-bit float but the sign.
const MAGNITUDE: u16 = 0x7fff;

/// Whether any number of `block` is not below `threshold`.
fn any(block: &[f32], threshold: f32) -> bool {
    block.iter().fold(false, |any, &number| any | !(number < threshold))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_finds_what_a_plain_loop_finds() {
        let mut state = 7_u32;
        for length in [0, 1, 63, 64, 65, 127, 640, 1000] {
            let numbers: Vec<f32> = (0..length)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    match state >> 24 {
                        0 => f32::NAN,
                        1 => f32::INFINITY,
                        2 => f32::NEG_INFINITY,
                        3 => 0.5,
                        4 => -0.7,
                        5 => -f32::NAN,
                        byte => f32::from(u16::try_from(byte).unwrap()) / 300.0,
                    }
                })
                .collect();
            for threshold in [f32::NEG_INFINITY, 0.0, 0.5, 0.84, 2.0] {
                let mut found = Vec::new();
                scan(&numbers, threshold, |at, number| {
                    found.push((at, number.to_bits()));
                    Ok::<_, ()>(())
                })
                .unwrap();
                let plain: Vec<_> = numbers
                    .iter()
                    .enumerate()
                    .filter(|(_, number)| number.is_nan() || **number >= threshold)
                    .map(|(at, number)| (at, number.to_bits()))
                    .collect();
                assert_eq!(found, plain, "{length} numbers, threshold {threshold}");

                if threshold < 0.0 {
                    continue;
                }
                let halves: Vec<f16> = numbers.iter().copied().map(f16::from_f32).collect();
                found.clear();
                scan_halves(&halves, threshold, |at, number| {
                    found.push((at, number.to_bits()));
                    Ok::<_, ()>(())
                })
                .unwrap();
                let plain: Vec<_> = (halves.iter().map(|number| number.to_f32()).enumerate())
                    .filter(|(_, number)| number.is_nan() || *number >= threshold)
                    .map(|(at, number)| (at, number.to_bits()))
                    .collect();
                assert_eq!(found, plain, "{length} halves, threshold {threshold}");
            }
        }
    }
}
