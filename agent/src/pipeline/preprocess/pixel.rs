//! Element types of a tensor, and rows of them.

#![expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rounded and limited to the type's range before"
)]

use half::f16;
use half::slice::HalfFloatSliceExt as _;

/// An element type that a picture can become.
pub(super) trait Pixel: Copy + Send {
    /// One element, rounded to nearest even and limited to the type's range.
    fn of(value: f32) -> Self;

    /// A row of them.
    fn convert(values: &[f32], out: &mut [Self]);

    /// The row itself, where it needs no conversion.
    fn floats(_row: &mut [Self]) -> Option<&mut [f32]> {
        None
    }
}

impl Pixel for f32 {
    fn of(value: f32) -> Self {
        value
    }

    fn convert(values: &[f32], out: &mut [Self]) {
        out.copy_from_slice(values);
    }

    fn floats(row: &mut [Self]) -> Option<&mut [f32]> {
        Some(row)
    }
}

impl Pixel for f16 {
    fn of(value: f32) -> Self {
        Self::from_f32(value)
    }

    fn convert(values: &[f32], out: &mut [Self]) {
        out.convert_from_f32_slice(values);
    }
}

impl Pixel for u8 {
    fn of(value: f32) -> Self {
        nearest(value, 0.0, 255.0) as Self
    }

    fn convert(values: &[f32], out: &mut [Self]) {
        for (value, out) in values.iter().zip(out) {
            *out = Self::of(*value);
        }
    }
}

impl Pixel for i8 {
    fn of(value: f32) -> Self {
        nearest(value, -128.0, 127.0) as Self
    }

    fn convert(values: &[f32], out: &mut [Self]) {
        for (value, out) in values.iter().zip(out) {
            *out = Self::of(*value);
        }
    }
}

/// Nearest integer, halves to even, from `least` to `most` (which are small). Unlike `round_ties_even` it
/// needs no instruction that the oldest processors lack, so that loops of it become vectors everywhere.
#[inline]
fn nearest(value: f32, least: f32, most: f32) -> i32 {
    // Beside 1.5 * 2^23 an f32 has no bits left behind the point: adding it rounds.
    const SHIFT: f32 = 12_582_912.0;
    let shifted = value.max(least).min(most) + SHIFT;
    shifted.to_bits() as i32 - SHIFT.to_bits() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_rounded_to_nearest_even_and_saturate() {
        for (value, unsigned, signed) in [
            (0.5, 0, 0),
            (1.5, 2, 2),
            (2.5, 2, 2),
            (-0.5, 0, 0),
            (-1.5, 0, -2),
            (126.49, 126, 126),
            (127.5, 128, 127),
            (254.5, 254, 127),
            (255.5, 255, 127),
            (1e30, 255, 127),
            (-1e30, 0, -128),
            (f32::INFINITY, 255, 127),
        ] {
            assert_eq!((u8::of(value), i8::of(value)), (unsigned, signed), "{value}");
        }
    }
}
