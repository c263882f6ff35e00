//! Chance: for pauses that are not to end at the same moment everywhere, and to begin anywhere.

use uuid::Uuid;

/// A number in 0 to 1.
#[must_use]
pub fn unit() -> f64 {
    let (n, _) = Uuid::new_v4().as_u64_pair();
    let n = u32::try_from(n >> 32).unwrap_or(0);
    f64::from(n) / f64::from(u32::MAX)
}

/// A number below `n`; 0 where there is none.
#[must_use]
pub fn below(n: usize) -> usize {
    let (random, _) = Uuid::new_v4().as_u64_pair();
    let n = u64::try_from(n).unwrap_or(u64::MAX);
    // The upper half, as above: all of its bits are random.
    (random >> 32).checked_rem(n).and_then(|below| usize::try_from(below).ok()).unwrap_or(0)
}
