//! Dice with a seed: the same script fails the same way again.

/// A `SplitMix64` generator.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// Dice that always fall alike for the same `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// `true` with this probability.
    pub(crate) fn falls_within(&mut self, probability: f64) -> bool {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        let high = u32::try_from(mixed >> 32).unwrap_or(u32::MAX);
        f64::from(high) / (f64::from(u32::MAX) + 1.0) < probability
    }
}
