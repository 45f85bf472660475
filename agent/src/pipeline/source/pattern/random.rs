//! Numbers that look random and are the same for the same seed, on every machine and in every version.

/// A sequence of them (the SplitMix64 recurrence).
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    /// The sequence of a seed and two numbers, such as a frame and a row.
    pub(super) fn new(seed: u64, a: u64, b: u64) -> Self {
        let mixed = Self(Self(seed).next() ^ a).next();
        Self(mixed ^ b)
    }

    /// Any number.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A whole number from 0 to below `count`, which is far below 2^32; 0 where `count` is 0.
    pub(super) fn below(&mut self, count: u32) -> u32 {
        let scaled = (self.next() >> 32) * u64::from(count);
        u32::try_from(scaled >> 32).unwrap_or(0)
    }

    /// A number from `low` to below `high`.
    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        let unit = f64::from(self.below(u32::MAX)) / f64::from(u32::MAX);
        low + (high - low) * unit
    }
}
