//! The inner loops for aarch64 with NEON: 16 pixels at once, as two times 8.
//!
//! Bounds come from [`Taps`] (every window lies inside a row of `row_bytes` bytes) and from the lengths
//! asserted at the top of each function, once a row.

#![expect(unsafe_code, reason = "vector loads and stores; bounds as the module header says")]
#![expect(clippy::as_conversions, reason = "u32 to usize, lossless on this target")]

use std::arch::aarch64::{
    float32x4x3_t, int16x8_t, uint8x16_t, vaddq_f32, vaddq_s16, vcvtq_f32_s32, vdupq_n_f32,
    vdupq_n_s16, vdupq_n_u8, vdupq_n_u16, vget_low_s16, vget_low_u8, vld1q_f32, vld1q_s16,
    vld1q_u8, vmaxq_s16, vminq_s16, vmovl_high_s16, vmovl_s16, vmull_high_u8, vmull_u8, vmulq_f32,
    vorrq_u8, vpaddq_u16, vqrdmulhq_n_s16, vqtbl1q_u8, vreinterpretq_s16_u16, vst1q_f32, vst1q_s16,
    vst3q_f32, vsubq_s16, vsubq_u16,
};
use std::arch::asm;

use super::{Blend, Line, Mix, scalar};
use crate::pipeline::preprocess::colour::{COLOUR_MAX, GREY};
use crate::pipeline::preprocess::taps::{GROUP, Taps, WINDOW, Window};

/// Bytes of a cache line of every Cortex-A.
const CACHE_LINE: usize = 64;
/// Pixels of a vector.
const HALF: usize = GROUP / 2;

/// Proof that the processor has NEON.
#[derive(Debug, Clone, Copy)]
pub(in crate::pipeline::preprocess) struct Neon(());

impl Neon {
    pub(super) fn detect() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("neon").then_some(Self(()))
    }

    pub(super) fn samples(self, taps: &Taps, row: &[u8], out: &mut [i16]) {
        // SAFETY: `self` exists only where NEON was detected.
        unsafe {
            match taps.windows_per_group() {
                1 => samples::<1>(taps, row, out),
                2 => samples::<2>(taps, row, out),
                4 => samples::<4>(taps, row, out),
                _ => samples::<8>(taps, row, out),
            }
        }
    }

    pub(super) fn elements(self, blend: &Blend, lines: &[Line<'_>], out: &mut [&mut [f32]]) {
        if out.first().is_none_or(|row| row.len() < HALF) {
            return scalar::elements(blend, lines, out);
        }
        // SAFETY: `self` exists only where NEON was detected.
        unsafe {
            if lines.iter().all(|line| line.weight == 0) {
                elements::<false>(blend, lines, out);
            } else {
                elements::<true>(blend, lines, out);
            }
        }
    }

    pub(super) fn weave(self, channels: [&[f32]; 3], out: &mut [f32]) {
        // SAFETY: `self` exists only where NEON was detected.
        unsafe { weave(channels, out) }
    }

    pub(super) fn prefetch(self, row: &[u8]) {
        for line in row.chunks(CACHE_LINE) {
            // SAFETY: a prefetch reads and writes nothing that the program can see.
            unsafe {
                asm!("prfm pldl1keep, [{}]", in(reg) line.as_ptr(), options(nostack, readonly, preserves_flags));
            }
        }
    }
}

#[target_feature(enable = "neon")]
fn samples<const WINDOWS: usize>(taps: &Taps, row: &[u8], out: &mut [i16]) {
    assert!(row.len() >= taps.row_bytes() && taps.windows_per_group() == WINDOWS);
    let middle = vdupq_n_u16(128 * 128);
    let groups = taps.windows().chunks_exact(WINDOWS).zip(taps.weights());
    for ((windows, weights), out) in groups.zip(out.chunks_exact_mut(GROUP)) {
        for half in 0..2 {
            let mut bytes = vdupq_n_u8(0);
            for window in windows {
                // SAFETY: `row` has at least `row_bytes` bytes.
                bytes = vorrq_u8(bytes, unsafe { pick(row, window, half) });
            }
            // SAFETY: `weights` has 32 bytes, `out` has 16 samples, `half` is 0 or 1.
            unsafe {
                let weights = vld1q_u8(weights.as_ptr().add(half * WINDOW));
                let low = vmull_u8(vget_low_u8(bytes), vget_low_u8(weights));
                let sums = vpaddq_u16(low, vmull_high_u8(bytes, weights));
                let centred = vreinterpretq_s16_u16(vsubq_u16(sums, middle));
                vst1q_s16(out.as_mut_ptr().add(half * HALF), centred);
            }
        }
    }
}

/// The bytes that half of `window` picks, each at its pixel's place; 0 elsewhere.
///
/// # Safety
/// `row` has at least the bytes that the window's table was made for; `half` is 0 or 1.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn pick(row: &[u8], window: &Window, half: usize) -> uint8x16_t {
    let start = window.starts[half] as usize;
    debug_assert!(start + WINDOW <= row.len());
    // SAFETY: the table's windows end inside the row; `picks` has 32 bytes.
    unsafe {
        let bytes = vld1q_u8(row.as_ptr().add(start));
        vqtbl1q_u8(bytes, vld1q_u8(window.picks.as_ptr().add(half * WINDOW)))
    }
}

#[target_feature(enable = "neon")]
fn elements<const TWO_ROWS: bool>(blend: &Blend, lines: &[Line<'_>], out: &mut [&mut [f32]]) {
    let count = out.first().map_or(0, |row| row.len());
    assert!(out.len() <= 3 && out.iter().all(|row| row.len() == count));
    assert!(count >= HALF && (TWO_ROWS || lines.iter().all(|line| line.weight == 0)));
    assert!(lines.iter().all(|line| line.near.len() >= count && line.far.len() >= count));
    let mut pixel = 0;
    loop {
        // SAFETY: the vector ends at `count` or before, and no line is shorter.
        let at = |line: &Line<'_>| unsafe { sample::<TWO_ROWS>(line, pixel) };
        let colours = match (blend.mix, lines) {
            (Mix::One { least, most }, [one, ..]) => [clamp(at(one), least, most); 3],
            (Mix::Three, [a, b, c]) => [at(a), at(b), at(c)],
            (Mix::Weighted, [r, g, b]) => {
                let grey = |line, weight| vqrdmulhq_n_s16(at(line), weight);
                [vaddq_s16(vaddq_s16(grey(r, GREY[0]), grey(g, GREY[1])), grey(b, GREY[2])); 3]
            }
            (Mix::Yuv(yuv), [y, u, v]) => {
                let (y, u, v) = (at(y), at(u), at(v));
                let luma = vaddq_s16(vqrdmulhq_n_s16(y, yuv.luma), vdupq_n_s16(yuv.bias));
                let green = vaddq_s16(luma, vqrdmulhq_n_s16(u, yuv.green_u));
                [
                    vaddq_s16(luma, vqrdmulhq_n_s16(v, yuv.red_v)),
                    vaddq_s16(green, vqrdmulhq_n_s16(v, yuv.green_v)),
                    vaddq_s16(luma, vqrdmulhq_n_s16(u, yuv.blue_u)),
                ]
                .map(|colour| clamp(colour, 0, COLOUR_MAX))
            }
            _ => [vdupq_n_s16(0); 3],
        };
        for (index, row) in out.iter_mut().enumerate() {
            let (gain, bias) = (blend.gains[index], blend.biases[index]);
            // SAFETY: the vector ends at `count` or before, and no row is shorter.
            unsafe { put(colours[index], gain, bias, row.as_mut_ptr().add(pixel)) };
        }
        if pixel + HALF == count {
            return;
        }
        // The last vector overlaps the one before it, and writes the same there.
        pixel = (pixel + HALF).min(count - HALF);
    }
}

/// 8 samples between the line's rows.
///
/// # Safety
/// Both rows have 8 samples from `pixel` on.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn sample<const TWO_ROWS: bool>(line: &Line<'_>, pixel: usize) -> int16x8_t {
    // SAFETY: as the caller promises.
    unsafe {
        let near = vld1q_s16(line.near.as_ptr().add(pixel));
        if !TWO_ROWS {
            return near;
        }
        let far = vld1q_s16(line.far.as_ptr().add(pixel));
        vaddq_s16(near, vqrdmulhq_n_s16(vsubq_s16(far, near), line.weight))
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn clamp(value: int16x8_t, least: i16, most: i16) -> int16x8_t {
    vminq_s16(vmaxq_s16(value, vdupq_n_s16(least)), vdupq_n_s16(most))
}

/// Writes 8 elements.
///
/// # Safety
/// `out` has room for them.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn put(values: int16x8_t, gain: f32, bias: f32, out: *mut f32) {
    let (gain, bias) = (vdupq_n_f32(gain), vdupq_n_f32(bias));
    let halves = [vmovl_s16(vget_low_s16(values)), vmovl_high_s16(values)];
    for (half, at) in halves.into_iter().zip([0, 4]) {
        // Not fused: the same bits as everywhere.
        let elements = vaddq_f32(vmulq_f32(vcvtq_f32_s32(half), gain), bias);
        // SAFETY: as the caller promises.
        unsafe { vst1q_f32(out.add(at), elements) };
    }
}

/// Three rows of channels as one row of pixels, 4 pixels at once.
#[target_feature(enable = "neon")]
fn weave(channels: [&[f32]; 3], out: &mut [f32]) {
    let [a, b, c] = channels;
    let inputs = a.chunks_exact(4).zip(b.chunks_exact(4)).zip(c.chunks_exact(4));
    for (out, ((a, b), c)) in out.chunks_exact_mut(12).zip(inputs) {
        // SAFETY: the inputs have 4 elements, `out` has 12.
        unsafe {
            let (a, b, c) = (vld1q_f32(a.as_ptr()), vld1q_f32(b.as_ptr()), vld1q_f32(c.as_ptr()));
            vst3q_f32(out.as_mut_ptr(), float32x4x3_t(a, b, c));
        }
    }
    let done = a.len() / 4 * 4;
    scalar::weave([&a[done..], &b[done..], &c[done..]], &mut out[3 * done..]);
}
