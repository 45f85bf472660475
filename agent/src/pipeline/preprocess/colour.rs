//! From luma and chroma to red, green and blue, in fixed point.
//!
//! Samples are kept about the middle of a byte with 7 bits behind the point (`(sample - 128) * 128`); colours
//! come out from 0 to 255 with 5. Every kernel computes these integers exactly alike, so that a picture gives
//! the same tensor on every machine. A product is off by at most 1/64 of a level, a colour by 3/64.

use crate::pipeline::frame::{Colour, Range};

/// Behind-the-point bits of a sample.
pub(super) const SAMPLE_BITS: u32 = 7;
/// Behind-the-point bits of a colour made from luma and chroma.
pub(super) const COLOUR_BITS: u32 = 5;
/// 255 in that form.
pub(super) const COLOUR_MAX: i16 = 255 << COLOUR_BITS;

/// Luma weights of red, green and blue in a grey picture (BT.601, as everywhere), in 1/32768.
pub(super) const GREY: [i16; 3] = [9798, 19235, 3735];

/// Factors on centred samples, in 1/8192 (a quarter, as a fraction of 32768).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Yuv {
    pub(super) luma: i16,
    pub(super) bias: i16,
    pub(super) red_v: i16,
    pub(super) green_u: i16,
    pub(super) green_v: i16,
    pub(super) blue_u: i16,
}

/// Luma's share of the byte: what black is, what white is.
pub(super) fn luma_range(range: Range) -> (i16, i16) {
    match range {
        Range::Limited => (16, 235),
        Range::Full => (0, 255),
    }
}

/// The factors for pictures made this way.
pub(super) fn yuv(colour: Colour) -> Yuv {
    let (red, blue) = colour.matrix.shares();
    let green = 1.0 - red - blue;
    let chroma = match colour.range {
        Range::Limited => 255.0 / 224.0,
        Range::Full => 1.0,
    };
    let (black, white) = luma_range(colour.range);
    let luma = 255.0 / f64::from(white - black);
    let quarter = |factor: f64| fixed(factor * 8192.0);
    Yuv {
        luma: quarter(luma),
        bias: fixed(luma * f64::from(128 - black) * f64::from(1 << COLOUR_BITS)),
        red_v: quarter(chroma * 2.0 * (1.0 - red)),
        green_u: quarter(-chroma * 2.0 * (1.0 - blue) * blue / green),
        green_v: quarter(-chroma * 2.0 * (1.0 - red) * red / green),
        blue_u: quarter(chroma * 2.0 * (1.0 - blue)),
    }
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "the largest factor is 2.12, the largest bias 131"
)]
fn fixed(value: f64) -> i16 {
    value.round() as i16
}
