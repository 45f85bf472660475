//! The inner loops for x86-64 with AVX2: 16 pixels at once.
//!
//! Bounds come from [`Taps`] (every window lies inside a row of `row_bytes` bytes) and from the lengths
//! asserted at the top of each function, once a row.

#![expect(unsafe_code, reason = "vector loads and stores; bounds as the module header says")]
#![expect(clippy::as_conversions, reason = "u32 to usize, lossless on this target")]

use std::arch::x86_64::{
    __m256, __m256i, _MM_HINT_T0, _mm_loadu_si128, _mm_prefetch, _mm256_add_epi16, _mm256_add_ps,
    _mm256_blend_ps, _mm256_castsi256_si128, _mm256_cvtepi16_epi32, _mm256_cvtepi32_ps,
    _mm256_extracti128_si256, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_maddubs_epi16,
    _mm256_max_epi16, _mm256_min_epi16, _mm256_mul_ps, _mm256_mulhrs_epi16, _mm256_or_si256,
    _mm256_permutevar8x32_ps, _mm256_set_m128i, _mm256_set1_epi8, _mm256_set1_epi16,
    _mm256_set1_ps, _mm256_setr_epi32, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_storeu_ps,
    _mm256_storeu_si256, _mm256_sub_epi16, _mm256_xor_si256,
};

use super::{Blend, Line, Mix, scalar};
use crate::pipeline::preprocess::colour::{COLOUR_MAX, GREY};
use crate::pipeline::preprocess::taps::{GROUP, Taps, WINDOW, Window};

/// Bytes of a cache line.
const CACHE_LINE: usize = 64;

/// Proof that the processor has AVX2.
#[derive(Debug, Clone, Copy)]
pub(in crate::pipeline::preprocess) struct Avx2(());

impl Avx2 {
    pub(super) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }

    pub(super) fn samples(self, taps: &Taps, row: &[u8], out: &mut [i16]) {
        // SAFETY: `self` exists only where AVX2 was detected.
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
        if out.first().is_none_or(|row| row.len() < GROUP) {
            return scalar::elements(blend, lines, out);
        }
        // SAFETY: `self` exists only where AVX2 was detected.
        unsafe {
            if lines.iter().all(|line| line.weight == 0) {
                elements::<false>(blend, lines, out);
            } else {
                elements::<true>(blend, lines, out);
            }
        }
    }

    pub(super) fn weave(self, channels: [&[f32]; 3], out: &mut [f32]) {
        // SAFETY: `self` exists only where AVX2 was detected.
        unsafe { weave(channels, out) }
    }

    pub(super) fn prefetch(self, row: &[u8]) {
        for line in row.chunks(CACHE_LINE) {
            // SAFETY: a prefetch reads nothing; the address is inside the row anyway.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
        }
    }
}

#[target_feature(enable = "avx2")]
fn samples<const WINDOWS: usize>(taps: &Taps, row: &[u8], out: &mut [i16]) {
    assert!(row.len() >= taps.row_bytes() && taps.windows_per_group() == WINDOWS);
    let middle = _mm256_set1_epi8(-128);
    let groups = taps.windows().chunks_exact(WINDOWS).zip(taps.weights());
    for ((windows, weights), out) in groups.zip(out.chunks_exact_mut(GROUP)) {
        let mut bytes = _mm256_setzero_si256();
        for window in windows {
            // SAFETY: `row` has at least `row_bytes` bytes.
            bytes = _mm256_or_si256(bytes, unsafe { pick(row, window) });
        }
        // SAFETY: both arrays have 32 bytes, `out` has 16 samples.
        unsafe {
            let weights = _mm256_loadu_si256(weights.as_ptr().cast());
            let sums = _mm256_maddubs_epi16(weights, _mm256_xor_si256(bytes, middle));
            _mm256_storeu_si256(out.as_mut_ptr().cast(), sums);
        }
    }
}

/// The bytes that `window` picks, each at its pixel's place; 0 elsewhere.
///
/// # Safety
/// `row` has at least the bytes that the window's table was made for.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn pick(row: &[u8], window: &Window) -> __m256i {
    let [low, high] = window.starts.map(|start| {
        debug_assert!(
            row.len() >= WINDOW && usize::try_from(start).is_ok_and(|s| s <= row.len() - WINDOW)
        );
        // SAFETY: the table's windows end inside the row.
        unsafe { _mm_loadu_si128(row.as_ptr().add(start as usize).cast()) }
    });
    // SAFETY: `picks` has 32 bytes.
    let picks = unsafe { _mm256_loadu_si256(window.picks.as_ptr().cast()) };
    _mm256_shuffle_epi8(_mm256_set_m128i(high, low), picks)
}

#[target_feature(enable = "avx2")]
fn elements<const TWO_ROWS: bool>(blend: &Blend, lines: &[Line<'_>], out: &mut [&mut [f32]]) {
    let count = out.first().map_or(0, |row| row.len());
    assert!(out.len() <= 3 && out.iter().all(|row| row.len() == count));
    assert!(count >= GROUP && (TWO_ROWS || lines.iter().all(|line| line.weight == 0)));
    assert!(lines.iter().all(|line| line.near.len() >= count && line.far.len() >= count));
    let mut pixel = 0;
    loop {
        // SAFETY: the group ends at `count` or before, and no line is shorter.
        let at = |line: &Line<'_>| unsafe { sample::<TWO_ROWS>(line, pixel) };
        let colours = match (blend.mix, lines) {
            (Mix::One { least, most }, [one, ..]) => [clamp(at(one), least, most); 3],
            (Mix::Three, [a, b, c]) => [at(a), at(b), at(c)],
            (Mix::Weighted, [r, g, b]) => {
                let grey = |line, weight| _mm256_mulhrs_epi16(at(line), _mm256_set1_epi16(weight));
                let sum = _mm256_add_epi16(grey(r, GREY[0]), grey(g, GREY[1]));
                [_mm256_add_epi16(sum, grey(b, GREY[2])); 3]
            }
            (Mix::Yuv(yuv), [y, u, v]) => {
                let (y, u, v) = (at(y), at(u), at(v));
                let times = |a, factor| _mm256_mulhrs_epi16(a, _mm256_set1_epi16(factor));
                let luma = _mm256_add_epi16(times(y, yuv.luma), _mm256_set1_epi16(yuv.bias));
                let green = _mm256_add_epi16(luma, times(u, yuv.green_u));
                [
                    _mm256_add_epi16(luma, times(v, yuv.red_v)),
                    _mm256_add_epi16(green, times(v, yuv.green_v)),
                    _mm256_add_epi16(luma, times(u, yuv.blue_u)),
                ]
                .map(|colour| clamp(colour, 0, COLOUR_MAX))
            }
            _ => [_mm256_setzero_si256(); 3],
        };
        for (index, row) in out.iter_mut().enumerate() {
            let (gain, bias) = (blend.gains[index], blend.biases[index]);
            // SAFETY: the group ends at `count` or before, and no row is shorter.
            unsafe { put(colours[index], gain, bias, row.as_mut_ptr().add(pixel)) };
        }
        if pixel + GROUP == count {
            return;
        }
        // The last group overlaps the one before it, and writes the same there.
        pixel = (pixel + GROUP).min(count - GROUP);
    }
}

/// 16 samples between the line's rows.
///
/// # Safety
/// Both rows have 16 samples from `pixel` on.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn sample<const TWO_ROWS: bool>(line: &Line<'_>, pixel: usize) -> __m256i {
    // SAFETY: as the caller promises.
    unsafe {
        let near = _mm256_loadu_si256(line.near.as_ptr().add(pixel).cast());
        if !TWO_ROWS {
            return near;
        }
        let far = _mm256_loadu_si256(line.far.as_ptr().add(pixel).cast());
        let way = _mm256_mulhrs_epi16(_mm256_sub_epi16(far, near), _mm256_set1_epi16(line.weight));
        _mm256_add_epi16(near, way)
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn clamp(value: __m256i, least: i16, most: i16) -> __m256i {
    let value = _mm256_max_epi16(value, _mm256_set1_epi16(least));
    _mm256_min_epi16(value, _mm256_set1_epi16(most))
}

/// Writes 16 elements.
///
/// # Safety
/// `out` has room for them.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn put(values: __m256i, gain: f32, bias: f32, out: *mut f32) {
    let (gain, bias) = (_mm256_set1_ps(gain), _mm256_set1_ps(bias));
    let halves = [_mm256_castsi256_si128(values), _mm256_extracti128_si256::<1>(values)];
    for (half, at) in halves.into_iter().zip([0, 8]) {
        let floats = _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(half));
        let elements = _mm256_add_ps(_mm256_mul_ps(floats, gain), bias);
        // SAFETY: as the caller promises.
        unsafe { _mm256_storeu_ps(out.add(at), elements) };
    }
}

/// Three rows of channels as one row of pixels, 8 pixels at once.
#[target_feature(enable = "avx2")]
fn weave(channels: [&[f32]; 3], out: &mut [f32]) {
    let [a, b, c] = channels;
    // Place `p` of vector `v` is pixel `(8 * v + p) / 3`, channel `(8 * v + p) % 3`.
    let pixels = [
        _mm256_setr_epi32(0, 0, 0, 1, 1, 1, 2, 2),
        _mm256_setr_epi32(2, 3, 3, 3, 4, 4, 4, 5),
        _mm256_setr_epi32(5, 5, 6, 6, 6, 7, 7, 7),
    ];
    let inputs = a.chunks_exact(8).zip(b.chunks_exact(8)).zip(c.chunks_exact(8));
    for (out, ((a, b), c)) in out.chunks_exact_mut(24).zip(inputs) {
        // SAFETY: the inputs have 8 elements, `out` has 24.
        unsafe {
            let a = _mm256_loadu_ps(a.as_ptr());
            let b = _mm256_loadu_ps(b.as_ptr());
            let c = _mm256_loadu_ps(c.as_ptr());
            let out = out.as_mut_ptr();
            _mm256_storeu_ps(out, third::<0b1001_0010, 0b0010_0100>(a, b, c, pixels[0]));
            _mm256_storeu_ps(out.add(8), third::<0b0010_0100, 0b0100_1001>(a, b, c, pixels[1]));
            _mm256_storeu_ps(out.add(16), third::<0b0100_1001, 0b1001_0010>(a, b, c, pixels[2]));
        }
    }
    let done = a.len() / 8 * 8;
    scalar::weave([&a[done..], &b[done..], &c[done..]], &mut out[3 * done..]);
}

/// One vector of [`weave`]: of each channel the elements at `pixels`, from `b` where `B` has a bit, from `c`
/// where `C` has one.
#[inline]
#[target_feature(enable = "avx2")]
fn third<const B: i32, const C: i32>(a: __m256, b: __m256, c: __m256, pixels: __m256i) -> __m256 {
    let ab = _mm256_blend_ps::<B>(
        _mm256_permutevar8x32_ps(a, pixels),
        _mm256_permutevar8x32_ps(b, pixels),
    );
    _mm256_blend_ps::<C>(ab, _mm256_permutevar8x32_ps(c, pixels))
}
