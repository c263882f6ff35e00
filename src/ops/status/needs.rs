//! What needs a person at a target. Pure.

use std::time::Duration;

use super::{Counts, Reading};
use crate::config::Sweep;
use crate::limits;
use crate::store::{BreakerState, Duty, TargetState};
use crate::target::Target;

/// What needs a person at a target that the configuration enables. A pause does not: a person made it.
#[must_use]
pub fn needs(state: &TargetState, counts: &Counts) -> Vec<&'static str> {
    let reasons = reasons(state, counts).into_iter();
    reasons.filter_map(|(reason, is_one)| is_one.then_some(reason)).collect()
}

/// Everything that a person may be needed for, and whether one is.
pub(in crate::ops) fn reasons(state: &TargetState, counts: &Counts) -> [(&'static str, bool); 13] {
    let inbound = &counts.inbound;
    // Those that are held because of a conflict are among the conflicts, and what a person has rejected needs nobody.
    let of_conflicts = inbound.held - inbound.held_removals - inbound.kept_removals;
    let inbound_held = inbound.held_consents > 0
        || inbound.held_removals > 0
        || of_conflicts > 0 && inbound.conflicts == 0;
    [
        ("disabled", state.disabled),
        ("binding", !state.held_parts.is_empty()),
        ("breaker_open", state.breaker != BreakerState::Closed),
        ("dead_letters", counts.dead_letters > 0 || counts.records("dead_letter") > 0),
        ("rejected", counts.records("rejected") > 0),
        ("held", counts.undecided() > 0),
        ("conflicts", inbound.conflicts > 0),
        ("inbound_rejected", inbound.rejected > 0),
        ("inbound_held", inbound_held),
        ("inbound_missing", inbound.held_reason.is_some()),
        ("inbound_failing", inbound.failures >= limits::WALK_FAILURES_TOLD || inbound.put_off > 0),
        // What has just opened again needs a moment.
        (
            "not_moving",
            state.is_open_for_business() && state.open_for.is_none() && counts.stands_still(),
        ),
        ("sweep_silent", counts.sweep_silent),
    ]
}

impl Counts {
    /// Nobody takes up what could be pushed: changes stay in the outbox, or what is due stays due, while nothing at all is settled. A
    /// long queue that grows shorter moves, also where little of it needs a write; and a change is as old as its statement, not as
    /// its commit.
    fn stands_still(&self) -> bool {
        let is_old = |seconds: f64| seconds > limits::NOT_MOVING_AFTER.as_secs_f64();
        let is_left =
            self.outbox_seconds.is_some_and(is_old) || self.due_seconds.is_some_and(is_old);
        // What sweeps and retries move hides only for a while that nobody empties the outbox.
        let is_stuck = |seconds: f64| seconds > limits::OUTBOX_STUCK_AFTER.as_secs_f64();
        is_left && self.settled_seconds.is_none_or(is_old)
            || self.outbox_seconds.is_some_and(is_stuck)
    }
}

impl Reading {
    /// Whether one of the target's sweeps has not come to its end for several intervals. One that was never begun is not judged:
    /// nothing has run yet, or nothing comes back from the target. Nor is one that is under way, unless the run
    /// before it failed: it may rightly take long.
    pub(super) fn is_sweep_silent(&self, target: Target, sweep: Sweep) -> bool {
        let silent = |duty: Duty, every: Duration| {
            let most = (every * limits::SWEEPS_MISSED_MAX).max(limits::NOT_MOVING_AFTER);
            let row =
                self.duties.iter().find(|d| d.duty == duty.name() && d.target == target.name());
            row.is_some_and(|row| !row.is_under_way && row.idle_seconds > most.as_secs_f64())
        };
        // Nothing is read from a target that is closed for business, and right after that nothing can have been.
        let is_open = |state: &TargetState| {
            state.target == target && state.is_open_for_business() && state.open_for.is_none()
        };
        silent(Duty::SweepOutbound, sweep.outbound_every)
            || self.targets.iter().any(is_open) && silent(Duty::SweepInbound, sweep.inbound_every)
    }
}
