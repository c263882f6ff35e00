//! The blast-radius guard (G10): how many deletes may be sent to a target without a person.
//!
//! What counts is not what was sent but what is *owed* as a delete, so that a burst is held before its first call.
//! Pure and total; the numbers come from `sql/functions/guard.sql`, under a lock that all processes share.

use std::time::Duration;

use crate::config::Guard;
use crate::limits;

/// The unit of [`Limits::share`]: a millionth.
const MILLION: u64 = 1_000_000;

/// What is allowed, per target and window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Deletes that are always allowed.
    pub max_deletes: u64,
    /// Share of the target's records that may be deleted, in millionths.
    pub share: u64,
    /// The time that they are counted over. It begins with the first delete after the window before it.
    pub window: Duration,
}

impl Limits {
    /// The configured limits, per interval of the outbound sweep. Sweeps that come more often than
    /// [`limits::GUARD_WINDOW_MIN`] do not make more deletes harmless.
    #[must_use]
    pub fn new(guard: Guard, sweep_every: Duration) -> Self {
        Self {
            max_deletes: guard.max_deletes.into(),
            share: millionths(guard.max_delete_share),
            window: sweep_every.max(limits::GUARD_WINDOW_MIN),
        }
    }
}

/// `as` saturates, and makes 0 of what is no number.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "in range after the clamp"
)]
fn millionths(share: f64) -> u64 {
    (share.clamp(0.0, 1.0) * 1e6).round() as u64
}

/// What is at stake when a batch wants to delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Deletes are being held already.
    pub tripped: bool,
    /// Let through in this window.
    pub let_through: u64,
    /// Owed as deletes and not decided about, the batch's included.
    pub waiting: u64,
    /// Records that the target holds. Counted only where more than [`Limits::max_deletes`] are at stake, else 0.
    pub records: u64,
}

/// How many deletes a window allows at a target with this many records: the larger of the two limits.
#[must_use]
pub fn allowance(records: u64, limits: Limits) -> u64 {
    let share = u128::from(records) * u128::from(limits.share) / u128::from(MILLION);
    limits.max_deletes.max(u64::try_from(share).unwrap_or(u64::MAX))
}

/// Whether what is at stake may be sent. All of it or nothing: the first of a burst is held with the rest, and while
/// deletes are held, whatever comes joins them.
#[must_use]
pub fn allows(counts: Counts, limits: Limits) -> bool {
    let at_stake = counts.let_through.saturating_add(counts.waiting);
    !counts.tripped && at_stake <= allowance(counts.records, limits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limits(max_deletes: u32, max_delete_share: f64) -> Limits {
        Limits::new(Guard { max_deletes, max_delete_share }, Duration::from_secs(300))
    }

    fn counts(let_through: u64, waiting: u64, records: u64) -> Counts {
        Counts { tripped: false, let_through, waiting, records }
    }

    #[test]
    fn the_larger_allowance_counts() {
        let defaults = limits(20, 0.02);
        for (records, allowed) in
            [(0, 20), (1_000, 20), (1_049, 20), (1_050, 21), (5_000, 100), (1_000_000, 20_000)]
        {
            assert_eq!(allowance(records, defaults), allowed, "{records}");
        }
        // 0.29 * 100 is 28.999… in floating point.
        assert_eq!(allowance(100, limits(0, 0.29)), 29);
        assert_eq!(allowance(u64::MAX, limits(0, 1.0)), u64::MAX);
    }

    #[test]
    fn the_one_beyond_the_allowance_holds_all_of_them() {
        let defaults = limits(20, 0.02);
        assert!(allows(counts(0, 20, 0), defaults));
        assert!(!allows(counts(0, 21, 1_000), defaults));
        assert!(!allows(counts(20, 1, 1_000), defaults));
        assert!(!allows(Counts { tripped: true, ..counts(0, 1, 1_000) }, defaults));
        assert!(!allows(counts(0, 1, 100), limits(0, 0.0)), "no delete without a person");
        assert!(allows(counts(0, 100, 100), limits(0, 1.0)));
    }

    #[test]
    fn frequent_sweeps_do_not_make_the_window_short() {
        let guard = Guard { max_deletes: 1, max_delete_share: 0.0 };
        let window = |seconds| Limits::new(guard, Duration::from_secs(seconds)).window;
        assert_eq!(window(1), limits::GUARD_WINDOW_MIN);
        assert_eq!(window(3_600), Duration::from_secs(3_600));
    }

    /// Batches as they come within one window: each weighs what waits, and goes as a whole or is held.
    fn sent(bursts: &[(u64, u64)], records: u64, limits: Limits) -> (u64, bool) {
        let (mut state, mut was_held) = (counts(0, 0, records), false);
        for (owed, batch) in bursts {
            state.waiting += owed;
            let batch = (*batch).min(state.waiting);
            if batch == 0 {
                continue;
            }
            if allows(state, limits) {
                state.let_through += batch;
                state.waiting -= batch;
            } else {
                (state.tripped, was_held) = (true, true);
            }
        }
        (state.let_through, was_held)
    }

    proptest! {
        #[test]
        fn no_more_is_sent_than_allowed_and_nothing_of_a_burst_beyond_it(
            bursts in prop::collection::vec((0_u64..40, 0_u64..15), 1..20),
            records in 0_u64..5_000,
            max_deletes in 0_u32..50,
            share in 0.0..0.1_f64,
        ) {
            let limits = limits(max_deletes, share);
            let allowed = allowance(records, limits);
            let (sent, was_held) = sent(&bursts, records, limits);
            prop_assert!(sent <= allowed);
            let owed: u64 = bursts.iter().map(|burst| burst.0).sum();
            if owed <= allowed {
                prop_assert!(!was_held);
            }
            if bursts[0].0 > allowed {
                prop_assert_eq!(sent, 0);
            }
        }

        #[test]
        fn more_at_stake_is_never_more_allowed(
            let_through: u64, waiting: u64, more: u64, records in 0..u64::MAX / 2, max_deletes: u32, share in 0.0..=1.0_f64,
        ) {
            let limits = limits(max_deletes, share);
            let at_stake = counts(let_through, waiting, records);
            if !allows(at_stake, limits) {
                let worse = Counts { waiting: waiting.saturating_add(more), ..at_stake };
                prop_assert!(!allows(worse, limits));
            } else {
                let larger = Counts { records: records.saturating_add(more), ..at_stake };
                prop_assert!(allows(larger, limits));
            }
        }
    }
}
