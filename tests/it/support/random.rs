//! Chance that can be had again: `SplitMix64`, from a seed that every test prints.

/// A stream of random numbers.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// From `EMS_SYNC_SEED`, or from a fresh seed; printed either way, so that a failure can be repeated.
    pub(crate) fn seeded(test: &str) -> Self {
        let given = std::env::var("EMS_SYNC_SEED").ok();
        let seed = given.map_or_else(
            || u64::from_le_bytes(uuid::Uuid::new_v4().as_bytes()[..8].try_into().unwrap()),
            |seed| seed.parse().expect("EMS_SYNC_SEED is a number"),
        );
        eprintln!("{test}: EMS_SYNC_SEED={seed}");
        Self(seed)
    }

    /// From this seed.
    pub(crate) const fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// Another stream, for another task.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.next())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to `n` - 1.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// Whether something happens that happens in so many of a hundred cases.
    pub(crate) fn percent(&mut self, of_hundred: usize) -> bool {
        self.below(100) < of_hundred
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// Between one and `at_most` different ones, in random order.
    pub(crate) fn some<T: Clone>(&mut self, from: &[T], at_most: usize) -> Vec<T> {
        let mut left = from.to_vec();
        let n = 1 + self.below(at_most.min(left.len()));
        (0..n).map(|_| left.swap_remove(self.below(left.len()))).collect()
    }
}
