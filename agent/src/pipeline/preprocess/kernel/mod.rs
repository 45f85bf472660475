//! The two inner loops: bytes of a row to samples, and samples of two rows to elements.
//!
//! Samples are 16-bit integers (see `colour`). The integer steps and the two floating-point operations at
//! the end are the same in [`scalar`] and in the SIMD kernels, bit by bit; `tests.rs` holds them to it.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
#[cfg(test)]
mod tests;

use super::colour::Yuv;
use super::taps::Taps;

/// How components become channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mix {
    /// One component, limited to a range, for every channel.
    One { least: i16, most: i16 },
    /// Three components, three channels.
    Three,
    /// Luma and chroma to red, green and blue.
    Yuv(Yuv),
    /// Red, green and blue to grey.
    Weighted,
}

impl Mix {
    /// How many components it takes.
    pub(super) fn components(self) -> usize {
        match self {
            Self::One { .. } => 1,
            Self::Three | Self::Yuv(_) | Self::Weighted => 3,
        }
    }
}

/// How components become elements: mixed, then `value * gain + bias` by channel, red first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Blend {
    pub(super) mix: Mix,
    pub(super) gains: [f32; 3],
    pub(super) biases: [f32; 3],
}

/// The samples of one component in two rows; `weight` is the second's share of 32768.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Line<'a> {
    pub(super) near: &'a [i16],
    pub(super) far: &'a [i16],
    pub(super) weight: i16,
}

/// Which code runs the inner loops.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kernel {
    /// Plain Rust: the reference, and what runs where nothing better does.
    Scalar,
    /// 256-bit integers of x86-64.
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Avx2),
    /// 128-bit integers of aarch64.
    #[cfg(target_arch = "aarch64")]
    Neon(neon::Neon),
}

impl Kernel {
    /// The best that this processor has.
    pub(super) fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = avx2::Avx2::detect() {
            return Self::Avx2(avx2);
        }
        #[cfg(target_arch = "aarch64")]
        if let Some(neon) = neon::Neon::detect() {
            return Self::Neon(neon);
        }
        Self::Scalar
    }

    /// Samples of one row: `row` has [`Taps::row_bytes`] bytes, `out` room for [`Taps::padded`] samples.
    pub(super) fn samples(self, taps: &Taps, row: &[u8], out: &mut [i16]) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(avx2) if taps.windows_per_group() > 0 => avx2.samples(taps, row, out),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(neon) if taps.windows_per_group() > 0 => neon.samples(taps, row, out),
            _ => scalar::samples(taps, row, out),
        }
    }

    /// Elements of one row. `lines` are as many as the mix takes, `out` one or three rows of one length, which
    /// no line is shorter than.
    pub(super) fn elements(self, blend: &Blend, lines: &[Line<'_>], out: &mut [&mut [f32]]) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(avx2) => avx2.elements(blend, lines, out),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(neon) => neon.elements(blend, lines, out),
            Self::Scalar => scalar::elements(blend, lines, out),
        }
    }

    /// Three rows of channels as one row of pixels: `out` is three times as long as each.
    pub(super) fn weave(self, channels: [&[f32]; 3], out: &mut [f32]) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(avx2) => avx2.weave(channels, out),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(neon) => neon.weave(channels, out),
            Self::Scalar => scalar::weave(channels, out),
        }
    }

    /// Asks for `row` to be brought into the cache.
    pub(super) fn prefetch(self, row: &[u8]) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(avx2) => avx2.prefetch(row),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(neon) => neon.prefetch(row),
            Self::Scalar => {}
        }
    }
}
