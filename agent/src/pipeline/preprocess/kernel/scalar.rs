//! The inner loops in plain Rust: the definition of what a tensor is.

#![expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "fixed-point arithmetic whose ranges are in the comments"
)]

use super::{Blend, Line, Mix};
use crate::pipeline::preprocess::colour::{COLOUR_MAX, GREY, Yuv};
use crate::pipeline::preprocess::taps::{Taps, WEIGHT_ONE};

/// `(sample - 128) * 128` of each pixel, between its two bytes.
pub(super) fn samples(taps: &Taps, row: &[u8], out: &mut [i16]) {
    for (pair, out) in taps.pairs().iter().zip(out) {
        let near = i32::from(row[pair.near]) * i32::from(WEIGHT_ONE - pair.weight);
        let far = i32::from(row[pair.far]) * i32::from(pair.weight);
        // 0 to 255 * 128, so that it fits.
        *out = (near + far - 128 * 128) as i16;
    }
}

/// Each pixel between its two rows, mixed and normalised.
pub(super) fn elements(blend: &Blend, lines: &[Line<'_>], out: &mut [&mut [f32]]) {
    let count = out.first().map_or(0, |row| row.len());
    for pixel in 0..count {
        let sample = |line: &Line<'_>| between(line.near[pixel], line.far[pixel], line.weight);
        let colours = match (blend.mix, lines) {
            (Mix::One { least, most }, [one, ..]) => [sample(one).clamp(least, most); 3],
            (Mix::Three, [a, b, c]) => [sample(a), sample(b), sample(c)],
            (Mix::Yuv(yuv), [y, u, v]) => colours(&yuv, sample(y), sample(u), sample(v)),
            (Mix::Weighted, [r, g, b]) => {
                let parts = [r, g, b].map(sample);
                [parts.iter().zip(GREY).map(|(part, weight)| product(*part, weight)).sum::<i16>();
                    3]
            }
            _ => [0; 3],
        };
        let factors = blend.gains.iter().zip(&blend.biases);
        for ((row, colour), (gain, bias)) in out.iter_mut().zip(colours).zip(factors) {
            row[pixel] = f32::from(colour) * gain + bias;
        }
    }
}

/// Three rows of channels as one row of pixels.
pub(super) fn weave(channels: [&[f32]; 3], out: &mut [f32]) {
    let [a, b, c] = channels;
    for (pixel, ((a, b), c)) in out.chunks_exact_mut(3).zip(a.iter().zip(b).zip(c)) {
        pixel.copy_from_slice(&[*a, *b, *c]);
    }
}

/// Both are at most 255 * 128 apart, so that the difference fits.
fn between(near: i16, far: i16, weight: i16) -> i16 {
    near + product(far - near, weight)
}

/// `a * b / 32768`, rounded to nearest, halves up.
fn product(a: i16, b: i16) -> i16 {
    ((i32::from(a) * i32::from(b) + 0x4000) >> 15) as i16
}

/// Red, green and blue, 0 to 255 with 5 bits behind the point. No sum leaves ±17,000.
fn colours(yuv: &Yuv, y: i16, u: i16, v: i16) -> [i16; 3] {
    let luma = product(y, yuv.luma) + yuv.bias;
    [
        luma + product(v, yuv.red_v),
        luma + product(u, yuv.green_u) + product(v, yuv.green_v),
        luma + product(u, yuv.blue_u),
    ]
    .map(|colour| colour.clamp(0, COLOUR_MAX))
}
