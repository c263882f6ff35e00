//! Chance, for pauses that are not to end at the same moment everywhere.

use uuid::Uuid;

/// A number in 0 to 1.
#[must_use]
pub fn unit() -> f64 {
    let (n, _) = Uuid::new_v4().as_u64_pair();
    let n = u32::try_from(n >> 32).unwrap_or(0);
    f64::from(n) / f64::from(u32::MAX)
}
