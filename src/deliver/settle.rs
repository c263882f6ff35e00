//! What a push's result means for the record: pure, from the claim, the decision and the result to a
//! [`Finish`] and what else must happen.

use std::time::Duration;

use jiff::Timestamp;

use crate::deliver::decision::{Decision, HoldReason, SkipReason};
use crate::deliver::record::{Claim, Due, Finish, Holds, State, WaitFor};
use crate::deliver::retry::{self, Action, RetryPolicy};
use crate::entity::EntityRef;
use crate::hash::ContentHash;
use crate::limits;
use crate::remote::inbound::Snapshot;
use crate::remote::{Failure, FailureClass, PushResult, Wire};

/// What was read of the entity for the decision.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Seen {
    /// The version that the projection showed; `None` when it showed none.
    pub modified_on: Option<Timestamp>,
    /// What the target should hold, where it could be written down.
    pub hash: Option<ContentHash>,
    /// The entities that it names.
    pub parents: Vec<EntityRef>,
    /// Why it could not be written down, in words that hold nothing personal.
    pub unmappable: Option<String>,
    /// The key that its record would hold at the target.
    pub match_key: Option<ContentHash>,
    /// What its record would hold there, by name.
    pub holds: Holds,
}

/// The times that matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// The database's clock.
    pub now: Timestamp,
    /// The same when it was decided; what was looked for and not found was looked for after it.
    pub decided: Timestamp,
    /// The longest that a request may be under way.
    pub request_timeout: Duration,
    /// The target's settle time: an applied write is visible after it.
    pub settle: Duration,
}

/// What the result says about the target as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The target answered and served us.
    Served,
    /// The target could not be reached, or could serve nobody.
    Unreachable,
    /// It says nothing about the target.
    Neutral,
    /// The target asked for a pause, and perhaps said for how long.
    Pause(Option<Duration>),
    /// The target refuses us: a person must look.
    Refused(Failure),
}

impl Verdict {
    /// Nothing more may be sent to the target for now.
    #[must_use]
    pub const fn closes_target(&self) -> bool {
        match self {
            Self::Pause(_) | Self::Refused(_) => true,
            Self::Served | Self::Unreachable | Self::Neutral => false,
        }
    }
}

/// The end of one entity's turn.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    /// What is written to the record.
    pub finish: Finish,
    /// What it says about the target.
    pub verdict: Verdict,
    /// The class, if it failed.
    pub failure: Option<FailureClass>,
    /// The delay queue's message is due after this, if it is to be tried again.
    pub retry_after: Option<Duration>,
    /// Parents that the remote says are not there: their records are in doubt now.
    pub doubted_parents: Vec<EntityRef>,
    /// Entities that exist at the remote only within this one, with their ids there.
    pub carried: Vec<(EntityRef, String)>,
    /// What people have made of it at the remote meanwhile: goes to the inbox, to be decided there.
    pub changed_there: Option<Box<Snapshot>>,
    /// What the remote answered that it holds, where it says more than its hash.
    pub held: Option<Box<Wire>>,
    /// How it ended, for metrics and the audit trail.
    pub outcome: &'static str,
}

/// Settles a decision that needs no request.
#[must_use]
pub fn without_request(
    claim: &Claim,
    decision: Decision,
    seen: &Seen,
    times: Times,
) -> Option<Settled> {
    match decision {
        Decision::Create { .. } | Decision::Update | Decision::Delete { .. } => None,
        Decision::Skip(SkipReason::SharedEmail) => Some(shared(claim, seen, times)),
        Decision::Skip(reason) => Some(skipped(claim, reason, seen)),
        Decision::Wait(wait) => Some(waiting(claim, wait, seen)),
        Decision::Hold(reason @ (HoldReason::Guard | HoldReason::DeleteRejected)) => {
            let finish = Finish {
                state: State::Held,
                reason: Some(reason.name().to_owned()),
                // It is gone, or something is taken away from its record.
                tombstone: seen.modified_on.is_none(),
                ..untouched(claim, seen)
            };
            Some(settled(finish, Verdict::Neutral, "held"))
        }
        Decision::Hold(reason @ HoldReason::Unmappable) => {
            // As a rejection, which it is, only found before anything was sent: a change of the entity makes it due.
            let finish = Finish {
                state: State::Rejected,
                reason: Some(reason.name().to_owned()),
                error: seen.unmappable.clone(),
                dead_letter: true,
                ..untouched(claim, seen)
            };
            Some(settled(finish, Verdict::Neutral, "rejected"))
        }
    }
}

/// Settles the result of a push.
#[must_use]
pub fn after_push(
    claim: &Claim,
    seen: &Seen,
    result: PushResult,
    times: Times,
    policy: RetryPolicy,
) -> Settled {
    match result {
        PushResult::Held { remote_id, remote_hash, written, carried, left_to, held } => {
            let finish = Finish {
                settled: true,
                sent: true,
                pushed: written,
                confirmed: true,
                parents: Some(seen.parents.clone()),
                remote_changed: claim.remote_id.as_ref() != Some(&remote_id),
                remote_id: Some(remote_id),
                data_hash: seen.hash,
                remote_hash: Some(remote_hash),
                looked_on: left_to.is_some().then_some(times.decided),
                left_to,
                ..clean(claim, seen)
            };
            let outcome = if written { "pushed" } else { "adopted" };
            Settled { carried, held, ..settled(finish, Verdict::Served, outcome) }
        }
        PushResult::Differs(snapshot) => {
            // The inbound decision makes it due at once; should that fail, it is read again.
            let finish = Finish {
                sent: true,
                state: State::Retrying,
                reason: Some("changed_there".to_owned()),
                due: Due::InMillis(millis(limits::CHANGED_THERE_LOOKS_AGAIN_AFTER)),
                ..untouched(claim, seen)
            };
            let settled = settled(finish, Verdict::Served, "changed_there");
            Settled { changed_there: Some(snapshot), ..settled }
        }
        PushResult::Gone => gone(claim, seen, times),
        PushResult::Unsettled => {
            let base = Finish { sent: true, ..in_doubt(claim, seen, times) };
            // It was read, not written: that says little about whether it serves.
            settling(claim, times, base, Verdict::Neutral)
        }
        PushResult::NotSent => {
            let finish = Finish { due: Due::Now, ..untouched(claim, seen) };
            settled(finish, Verdict::Neutral, "not_sent")
        }
        PushResult::Failed(failure) => failed(claim, seen, failure, times, policy, false),
    }
}

/// Settles the result of a push to a target that is on trial: when the target fails it, the entity has lost no attempt.
#[must_use]
pub fn after_trial(
    claim: &Claim,
    seen: &Seen,
    result: PushResult,
    times: Times,
    policy: RetryPolicy,
) -> Settled {
    match result {
        PushResult::Failed(failure) => failed(claim, seen, failure, times, policy, true),
        PushResult::Held { .. }
        | PushResult::Differs(_)
        | PushResult::Gone
        | PushResult::Unsettled
        | PushResult::NotSent => after_push(claim, seen, result, times, policy),
    }
}

/// Whether it has failed for a whole cycle: the only attempt that a sweep makes for an open dead letter.
#[must_use]
pub const fn is_extra(claim: &Claim, policy: RetryPolicy) -> bool {
    claim.attempts > policy.max_retries
}

/// Whether a result says something about the target as a whole, or that nothing more can be sent: on trial, what was to follow it
/// waits for what comes of it. What concerns one entity says nothing, nor does the failure of one that [`is_extra`].
#[must_use]
pub const fn is_evidence(result: &PushResult, is_extra: bool) -> bool {
    match result {
        PushResult::Failed(failure) => {
            let counts = retry::counts_for_breaker(failure.class) && !is_extra;
            counts || failure.class.closes_target()
        }
        PushResult::Unsettled => false,
        PushResult::Held { .. }
        | PushResult::Differs(_)
        | PushResult::Gone
        | PushResult::NotSent => true,
    }
}

/// A delete found nothing (any more). By key, that proves absence only once the create has settled.
fn gone(claim: &Claim, seen: &Seen, times: Times) -> Settled {
    let looked = Times { now: times.decided, ..times };
    // Else it is there and has no record of its own: another one owns its address.
    let is_gone = seen.modified_on.is_none();
    if claim.remote_id.is_none() && !intent_is_settled(claim.intent_on, looked) {
        let base = Finish { sent: true, tombstone: is_gone, ..in_doubt(claim, seen, times) };
        return settling(claim, times, base, Verdict::Served);
    }
    let finish = Finish {
        settled: true,
        sent: true,
        pushed: true,
        remote_id: None,
        remote_changed: true,
        state: if is_gone { State::Synced } else { State::Skipped },
        reason: Some(if is_gone { "deleted" } else { SkipReason::SharedEmail.name() }.to_owned()),
        tombstone: is_gone,
        ..clean(claim, seen)
    };
    settled(finish, Verdict::Served, "deleted")
}

/// What was sent may still land: it is looked at again once it has settled, which burns no attempt.
fn settling(claim: &Claim, times: Times, base: Finish, verdict: Verdict) -> Settled {
    let wait = settles_in(claim, times);
    let finish = Finish {
        state: State::Retrying,
        reason: Some("settling".to_owned()),
        due: Due::InMillis(millis(wait)),
        ..base
    };
    Settled { retry_after: Some(wait), ..settled(finish, verdict, "unsettled") }
}

fn skipped(claim: &Claim, reason: SkipReason, seen: &Seen) -> Settled {
    let finish = match reason {
        SkipReason::Nothing => Finish {
            settled: true,
            drop: !claim.tombstoned,
            tombstone: true,
            reason: Some("deleted".to_owned()),
            ..clean(claim, seen)
        },
        SkipReason::Unchanged => Finish {
            settled: true,
            confirmed: true,
            parents: Some(seen.parents.clone()),
            ..clean(claim, seen)
        },
        SkipReason::Rejected => Finish {
            state: State::Rejected,
            reason: Some(FailureClass::Rejected.name().to_owned()),
            ..untouched(claim, seen)
        },
        SkipReason::Carried | SkipReason::OutOfScope | SkipReason::SharedEmail => Finish {
            settled: true,
            state: State::Skipped,
            reason: Some(reason.name().to_owned()),
            in_doubt: claim.in_doubt,
            intent_on: claim.intent_on,
            parents: Some(seen.parents.clone()),
            ..clean(claim, seen)
        },
    };
    settled(finish, Verdict::Neutral, reason.name())
}

/// Another entity owns the one record that there may be. Its id is given up to the owner, who adopts the record; but not while
/// a write of ours may still land there.
fn shared(claim: &Claim, seen: &Seen, times: Times) -> Settled {
    let reason = SkipReason::SharedEmail;
    // A write that no answer confirmed settles from now on: when it was sent is not known any more.
    let intent_on = claim
        .intent_on
        .or_else(|| (claim.in_doubt && claim.remote_id.is_some()).then_some(times.now));
    if !intent_is_settled(intent_on, times) {
        let base = Finish { intent_on, ..untouched(claim, seen) };
        let claim = Claim { intent_on, ..claim.clone() };
        return settling(&claim, times, base, Verdict::Neutral);
    }
    let finish = Finish {
        settled: true,
        remote_changed: claim.remote_id.is_some() || claim.intent_on.is_some(),
        remote_id: None,
        state: State::Skipped,
        reason: Some(reason.name().to_owned()),
        parents: Some(seen.parents.clone()),
        ..clean(claim, seen)
    };
    settled(finish, Verdict::Neutral, reason.name())
}

fn waiting(claim: &Claim, wait: WaitFor, seen: &Seen) -> Settled {
    let finish = Finish {
        state: State::Waiting,
        reason: Some(format!("waiting_for_{}", wait.relation())),
        waiting_on: Some(wait),
        due: Due::InMillis(millis(limits::WAITING_LOOKS_AGAIN_AFTER)),
        tombstone: matches!(wait, WaitFor::Child(_)),
        ..untouched(claim, seen)
    };
    settled(finish, Verdict::Neutral, "waiting")
}

/// What a failure says about the remote: what was there before, or what may be there now.
fn after_failure(claim: &Claim, seen: &Seen, failure: &Failure, times: Times) -> Finish {
    let base = match failure.class {
        // Refusals: the remote says that it applied nothing.
        FailureClass::Throttled
        | FailureClass::Postponed
        | FailureClass::Authentication
        | FailureClass::Configuration
        | FailureClass::Rejected
        | FailureClass::MissingParent => untouched(claim, seen),
        FailureClass::Transient | FailureClass::OurFault | FailureClass::StaleMapping
            if failure.unsent =>
        {
            untouched(claim, seen)
        }
        // An answer: no request is under way any more. It says that nothing was applied, and is not trusted so far
        // as to create again without a look; but what that look does not find is not there.
        FailureClass::Transient | FailureClass::OurFault | FailureClass::StaleMapping => Finish {
            read_back_millis: heir_reads_back(claim),
            intent_on: answered_intent(claim, times),
            ..in_doubt(claim, seen, times)
        },
        // This request may still land: its settling begins now, whatever was tried before.
        FailureClass::Ambiguous => Finish {
            intent_on: if claim.remote_id.is_none() { Some(times.now) } else { claim.intent_on },
            ..in_doubt(claim, seen, times)
        },
    };
    let base = Finish { error: Some(failure.to_string()), sent: !failure.unsent, ..base };
    // What was found out about the record is kept, though the write after it failed (obligation 9). Where an entity has
    // several, some may hold the new content already: no hash proves anything.
    match &failure.found {
        Some(found) => Finish {
            remote_changed: claim.remote_id.as_ref() != Some(found),
            remote_id: Some(found.clone()),
            intent_on: if failure.more { open_intent(claim, failure.class, times) } else { None },
            in_doubt: true,
            // It may still stand there under the parents that it had.
            parents: None,
            ..base
        },
        None => base,
    }
}

#[expect(clippy::too_many_lines, reason = "one arm per action, and all that it writes")]
fn failed(
    claim: &Claim,
    seen: &Seen,
    failure: Failure,
    times: Times,
    policy: RetryPolicy,
    on_trial: bool,
) -> Settled {
    let attempts = claim.attempts.saturating_add(1);
    let is_extra = is_extra(claim, policy);
    let action = retry::after_failure(failure.class, attempts, failure.retry_after, policy);
    // Each time longer; the remote may say by itself how long.
    let action = if matches!(action, Action::Postpone(_)) && failure.retry_after.is_none() {
        retry::postponed(claim.failures)
    } else {
        action
    };
    let action =
        if on_trial { retry::after_failure_on_trial(failure.class, action) } else { action };
    let base = after_failure(claim, seen, &failure, times);
    // Also where the cycle is over: whoever tries again must look, or it would meet the same stale id for ever.
    let base = if failure.class == FailureClass::StaleMapping {
        Finish {
            remote_changed: claim.remote_id.is_some(),
            remote_id: None,
            intent_on: Some(claim.intent_on.unwrap_or_else(|| settled_long_ago(times))),
            ..base
        }
    } else {
        base
    };
    let counted = Finish {
        attempts,
        cycle_attempts: if is_extra { 1 } else { attempts },
        failures: claim.failures.saturating_add(1),
        ..base.clone()
    };
    let reason = Some(failure.class.name().to_owned());
    let finish = match action {
        Action::Retry(delay) => {
            Finish { state: State::Retrying, reason, due: Due::InMillis(millis(delay)), ..counted }
        }
        Action::DeadLetter => {
            Finish { state: State::DeadLetter, reason, dead_letter: true, ..counted }
        }
        Action::Reject => Finish {
            state: State::Rejected,
            reason,
            rejected_hash: seen.hash,
            dead_letter: true,
            ..counted
        },
        Action::Forget => Finish { due: Due::Now, reason, ..counted },
        Action::PauseTarget(_) | Action::DisableTarget => Finish { due: Due::Now, reason, ..base },
        Action::Postpone(delay) => Finish {
            state: State::Parked,
            reason,
            due: Due::InMillis(millis(delay)),
            failures: claim.failures.saturating_add(1),
            ..base
        },
        Action::Spare(delay) => {
            Finish { state: State::Parked, reason, due: Due::InMillis(millis(delay)), ..base }
        }
    };
    // Not with every try; but a parent that is missed later than with the first one must be looked at too.
    let begins_or_ends = claim.attempts == 0 || claim.attempts >= policy.max_retries;
    Settled {
        finish,
        retry_after: if let Action::Retry(delay) = action { Some(delay) } else { None },
        doubted_parents: if failure.class == FailureClass::MissingParent && begins_or_ends {
            seen.parents.clone()
        } else {
            Vec::new()
        },
        failure: Some(failure.class),
        carried: Vec::new(),
        changed_there: None,
        held: None,
        outcome: "failed",
        verdict: verdict(action, failure, is_extra),
    }
}

/// What has failed for a whole cycle is tried seldom and says nothing new (`is_extra`): it must not close the others' way.
fn verdict(action: Action, failure: Failure, is_extra: bool) -> Verdict {
    match action {
        Action::PauseTarget(pause) => Verdict::Pause(pause),
        Action::DisableTarget => Verdict::Refused(failure),
        Action::Retry(_)
        | Action::DeadLetter
        | Action::Reject
        | Action::Forget
        | Action::Postpone(_)
        | Action::Spare(_) => {
            if retry::counts_for_breaker(failure.class) && !is_extra {
                Verdict::Unreachable
            } else {
                Verdict::Neutral
            }
        }
    }
}

/// Whether a create that may have been sent would be visible by now.
#[must_use]
pub fn intent_is_settled(intent_on: Option<Timestamp>, times: Times) -> bool {
    settles_at(intent_on, times).is_none_or(|at| at <= times.now)
}

/// The claim as it is to be judged when its last holder fell silent: a create that it sent late, with the lease almost
/// over, settles from then on. Where a remote id is known, too: an entity may have several records.
#[must_use]
pub fn taken_over(claim: Claim, times: Times) -> Claim {
    let sent_until =
        claim.lost_until.and_then(|until| until.checked_sub(times.request_timeout).ok());
    Claim { intent_on: claim.intent_on.max(sent_until), ..claim }
}

/// The intent that a create leaves which was answered, but not with a success.
fn answered_intent(claim: &Claim, times: Times) -> Option<Timestamp> {
    match claim.remote_id {
        Some(_) => claim.intent_on,
        None => Some(claim.intent_on.unwrap_or_else(|| settled_long_ago(times))),
    }
}

/// The intent that stays with an id that was found, where the entity may have another record besides.
fn open_intent(claim: &Claim, class: FailureClass, times: Times) -> Option<Timestamp> {
    match class {
        // It may still land.
        FailureClass::Ambiguous => Some(times.now),
        FailureClass::Transient
        | FailureClass::Throttled
        | FailureClass::Postponed
        | FailureClass::Authentication
        | FailureClass::Configuration
        | FailureClass::Rejected
        | FailureClass::StaleMapping
        | FailureClass::MissingParent
        | FailureClass::OurFault => {
            Some(claim.intent_on.unwrap_or_else(|| settled_long_ago(times)))
        }
    }
}

/// The moment of an intent that has just settled.
fn settled_long_ago(times: Times) -> Timestamp {
    times.now.checked_sub(times.request_timeout + times.settle).unwrap_or(times.now)
}

fn settles_at(intent_on: Option<Timestamp>, times: Times) -> Option<Timestamp> {
    intent_on?.checked_add(times.request_timeout + times.settle).ok()
}

fn settles_in(claim: &Claim, times: Times) -> Duration {
    // The claim wrote the intent, if there was none before.
    let at = settles_at(Some(claim.intent_on.unwrap_or(times.now)), times);
    let wait = at.map(|at| at.duration_since(times.now));
    wait.and_then(|wait| wait.try_into().ok()).unwrap_or(times.settle)
}

/// Nothing is different at the remote: what the claim marked is put back, and it stays owed.
fn untouched(claim: &Claim, seen: &Seen) -> Finish {
    Finish {
        in_doubt: claim.in_doubt,
        intent_on: claim.intent_on,
        attempts: claim.attempts,
        failures: claim.failures,
        state: State::Pending,
        ..base(claim, seen)
    }
}

/// A write may have happened: what the claim marked stays, and the remote is read back.
fn in_doubt(claim: &Claim, seen: &Seen, times: Times) -> Finish {
    let intent_on = match claim.remote_id {
        Some(_) => claim.intent_on,
        None => Some(claim.intent_on.unwrap_or(times.now)),
    };
    Finish {
        in_doubt: true,
        intent_on,
        attempts: claim.attempts,
        failures: claim.failures,
        state: State::Pending,
        read_back_millis: Some(millis(times.request_timeout + times.settle)),
        ..base(claim, seen)
    }
}

/// Everything is proven.
fn clean(claim: &Claim, seen: &Seen) -> Finish {
    Finish { state: State::Synced, ..base(claim, seen) }
}

fn base(claim: &Claim, seen: &Seen) -> Finish {
    Finish {
        entity: claim.entity,
        fence: claim.fence,
        owed_gen: claim.owed_gen,
        doubts: claim.doubts,
        settled: false,
        sent: false,
        pushed: false,
        confirmed: false,
        remote_id: claim.remote_id.clone(),
        remote_changed: false,
        data_hash: None,
        remote_hash: None,
        left_to: None,
        looked_on: None,
        rejected_hash: None,
        modified_on: seen.modified_on,
        match_key: seen.match_key,
        holds: seen.holds.clone(),
        in_doubt: false,
        intent_on: None,
        state: State::Pending,
        reason: None,
        error: None,
        attempts: 0,
        failures: 0,
        due: Due::Never,
        waiting_on: None,
        // Until the remote is known to hold the new parents, the old ones must not believe that the child has left.
        parents: (seen.modified_on.is_some() && claim.remote_id.is_none())
            .then(|| seen.parents.clone()),
        tombstone: false,
        drop: false,
        dead_letter: false,
        cycle_attempts: 0,
        read_back_millis: heir_reads_back(claim),
        agreed: None,
    }
}

/// A zombie's request may still be on its way, whatever became of its successor's.
fn heir_reads_back(claim: &Claim) -> Option<u64> {
    claim.taken_over.then_some(millis(limits::LEASE_MIN))
}

const fn settled(finish: Finish, verdict: Verdict, outcome: &'static str) -> Settled {
    Settled {
        finish,
        verdict,
        failure: None,
        retry_after: None,
        doubted_parents: Vec::new(),
        carried: Vec::new(),
        changed_there: None,
        held: None,
        outcome,
    }
}

/// Rounded up: what is due in half a millisecond would be due now, and would be looked at in vain until it is over.
fn millis(duration: Duration) -> u64 {
    duration.as_micros().div_ceil(1_000).try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::delivery::Cause;
    use crate::entity::EntityType;
    use crate::target::Target;

    const POLICY: RetryPolicy = RetryPolicy { max_retries: 3, base_delay: Duration::from_secs(1) };

    fn now() -> Timestamp {
        "2026-11-25T07:00:00Z".parse().unwrap()
    }

    fn times() -> Times {
        Times {
            now: now(),
            decided: now(),
            request_timeout: Duration::from_secs(20),
            settle: Duration::from_secs(10),
        }
    }

    fn claim() -> Claim {
        Claim {
            entity: EntityRef::new(EntityType::Tag, 1),
            fence: 5,
            owed_gen: 3,
            owed_on: None,
            cause: Cause::Change,
            traceparent: None,
            remote_id: None,
            former_remote_id: None,
            gave_up: false,
            data_hash: None,
            remote_hash: None,
            rejected_hash: None,
            in_doubt: false,
            intent_on: None,
            taken_over: false,
            lost_until: None,
            doubts: 0,
            attempts: 0,
            failures: 0,
            tombstoned: false,
            holds: Holds::default(),
        }
    }

    fn seen() -> Seen {
        Seen {
            modified_on: Some(now()),
            hash: Some(ContentHash::of(Target::TagServer, 1, &json!(1))),
            parents: vec![EntityRef::new(EntityType::Person, 2)],
            unmappable: None,
            match_key: None,
            holds: Holds::default(),
        }
    }

    fn push(claim: &Claim, result: PushResult) -> Settled {
        after_push(claim, &seen(), result, times(), POLICY)
    }

    fn fail(claim: &Claim, class: FailureClass) -> Settled {
        push(claim, PushResult::Failed(Failure::new(class, "test")))
    }

    #[test]
    fn only_a_confirmed_success_clears_the_doubt() {
        let doubtful = Claim { in_doubt: true, remote_id: Some("7".into()), ..claim() };
        let held = PushResult::Held {
            remote_id: "7".into(),
            remote_hash: seen().hash.unwrap(),
            written: true,
            carried: Vec::new(),
            left_to: None,
            held: None,
        };
        assert!(!push(&doubtful, held).finish.in_doubt);
        assert!(push(&doubtful, PushResult::NotSent).finish.in_doubt);
        for class in FailureClass::ALL {
            assert!(fail(&doubtful, class).finish.in_doubt, "{class}");
        }
    }

    #[test]
    fn what_sent_nothing_leaves_no_doubt_and_no_intent_behind() {
        let finish = push(&claim(), PushResult::NotSent).finish;
        assert!(!finish.in_doubt && finish.intent_on.is_none() && !finish.sent && !finish.settled);
        let unsent = Failure::new(FailureClass::Transient, "no connection").unsent();
        let finish = push(&claim(), PushResult::Failed(unsent)).finish;
        assert!(!finish.in_doubt && finish.intent_on.is_none() && !finish.sent);
        assert_eq!(finish.attempts, 1);
    }

    #[test]
    fn a_lost_answer_to_a_create_leaves_the_intent_and_asks_for_a_read_back() {
        let finish = fail(&claim(), FailureClass::Ambiguous).finish;
        assert!(finish.in_doubt && finish.sent && !finish.settled);
        assert_eq!(finish.intent_on, Some(now()));
        assert_eq!(finish.read_back_millis, Some(30_000));
    }

    #[test]
    fn absence_is_believed_only_after_the_settle_time() {
        let young = Claim { intent_on: Some(now()), in_doubt: true, ..claim() };
        let gone =
            |claim: &Claim| after_push(claim, &Seen::default(), PushResult::Gone, times(), POLICY);
        let settled = gone(&young);
        assert!(!settled.finish.settled && settled.finish.intent_on == Some(now()));
        assert_eq!(settled.finish.due, Due::InMillis(30_000));
        let old =
            Claim { intent_on: Some(now().checked_sub(Duration::from_secs(31)).unwrap()), ..young };
        let finish = gone(&old).finish;
        assert!(finish.settled && finish.tombstone && finish.intent_on.is_none());
        // Who is there, and has no record because another one owns the address, is no tombstone.
        let shared = push(&old, PushResult::Gone).finish;
        assert_eq!((shared.settled, shared.tombstone, shared.state), (true, false, State::Skipped));
    }

    /// Found by the simulation: an intent that settles within the millisecond was due at once, again and again.
    #[test]
    fn a_look_that_is_too_early_is_not_repeated_before_its_time() {
        let almost = now().checked_sub(Duration::from_micros(29_999_500)).unwrap();
        let young = Claim { intent_on: Some(almost), in_doubt: true, ..claim() };
        for result in [PushResult::Unsettled, PushResult::Gone] {
            assert_eq!(push(&young, result).finish.due, Due::InMillis(1));
        }
    }

    /// Else the republish scan alone would find it, up to half a minute later.
    #[test]
    fn what_settles_is_told_of_by_a_delay_queue_when_it_has() {
        let at = now().checked_sub(Duration::from_secs(26)).unwrap();
        let young = Claim { intent_on: Some(at), in_doubt: true, ..claim() };
        for result in [PushResult::Unsettled, PushResult::Gone] {
            let settled = push(&young, result);
            assert_eq!(settled.retry_after, Some(Duration::from_secs(4)));
            assert_eq!(settled.finish.due, Due::InMillis(4_000));
            assert_eq!(settled.finish.attempts, young.attempts, "no attempt is burnt");
        }
    }

    /// The create may have landed after the look, while its answer was on its way.
    #[test]
    fn absence_is_measured_at_the_look_not_at_its_answer() {
        let intent_on = now().checked_sub(Duration::from_secs(31)).unwrap();
        let young = Claim { intent_on: Some(intent_on), in_doubt: true, ..claim() };
        let decided = now().checked_sub(Duration::from_secs(2)).unwrap();
        let late = Times { decided, ..times() };
        let finish = after_push(&young, &seen(), PushResult::Gone, late, POLICY).finish;
        assert!(!finish.settled && finish.intent_on == Some(intent_on));
    }

    /// A 503 is answered: the retry after a second looks first, and what it does not find it creates.
    #[test]
    fn an_answered_failure_of_a_create_is_looked_up_and_needs_no_settling() {
        let settled = fail(&claim(), FailureClass::Transient);
        assert_eq!(settled.retry_after, Some(Duration::from_secs(1)));
        assert!(settled.finish.intent_on.is_some() && settled.finish.read_back_millis.is_none());
        assert!(intent_is_settled(settled.finish.intent_on, times()));
        // An older create whose answer was lost is not forgotten for it.
        let lost = Claim { intent_on: Some(now()), in_doubt: true, ..claim() };
        let finish = fail(&lost, FailureClass::Transient).finish;
        assert!(!intent_is_settled(finish.intent_on, times()));
    }

    /// A merge of persons: the child waits for its new parent, and the old parent must go on waiting for the child.
    #[test]
    fn a_move_is_told_to_the_old_parent_only_when_the_remote_holds_it() {
        let moving = Claim { remote_id: Some("7".into()), ..claim() };
        let wait = Decision::Wait(WaitFor::Parent(EntityRef::new(EntityType::Person, 2)));
        assert_eq!(without_request(&moving, wait, &seen(), times()).unwrap().finish.parents, None);
        assert_eq!(fail(&moving, FailureClass::Transient).finish.parents, None);
        assert_eq!(push(&moving, PushResult::NotSent).finish.parents, None);
        let held = PushResult::Held {
            remote_id: "7".into(),
            remote_hash: seen().hash.unwrap(),
            written: true,
            carried: Vec::new(),
            left_to: None,
            held: None,
        };
        assert_eq!(push(&moving, held).finish.parents, Some(seen().parents));
        // Who is not at the remote yet holds nobody up there.
        assert_eq!(push(&claim(), PushResult::NotSent).finish.parents, Some(seen().parents));
    }

    /// The second of two creates is lost: what the first one's time proves says nothing about it.
    #[test]
    fn a_create_that_is_lost_settles_anew() {
        let long_ago = now().checked_sub(Duration::from_secs(3_600)).unwrap();
        let again = Claim { intent_on: Some(long_ago), in_doubt: true, ..claim() };
        assert_eq!(fail(&again, FailureClass::Ambiguous).finish.intent_on, Some(now()));
    }

    #[test]
    fn a_stale_id_is_forgotten_and_looked_up_at_once() {
        let stale = Claim { remote_id: Some("7".into()), ..claim() };
        let finish = fail(&stale, FailureClass::StaleMapping).finish;
        assert_eq!((finish.remote_id, finish.due), (None, Due::Now));
        assert!(finish.remote_changed && finish.in_doubt);
        // The id was known: no create is under way, so what is not found is created at once.
        assert!(finish.intent_on.is_some() && intent_is_settled(finish.intent_on, times()));
    }

    /// Found by the simulation: with the last attempt of a cycle, and with every single one after it, a stale id was kept,
    /// so that nothing but a person could free it.
    #[test]
    fn a_stale_id_is_forgotten_also_when_the_cycle_is_over() {
        for attempts in [POLICY.max_retries, POLICY.attempts(), 9] {
            let stale = Claim { remote_id: Some("7".into()), attempts, ..claim() };
            let finish = fail(&stale, FailureClass::StaleMapping).finish;
            assert_eq!((finish.state, finish.remote_id), (State::DeadLetter, None));
            assert!(finish.dead_letter && finish.remote_changed && finish.in_doubt);
            assert!(finish.intent_on.is_some() && intent_is_settled(finish.intent_on, times()));
        }
    }

    #[test]
    fn waiting_burns_no_attempt_and_throttling_neither() {
        let wait = WaitFor::Parent(EntityRef::new(EntityType::Person, 2));
        let finish =
            without_request(&claim(), Decision::Wait(wait), &seen(), times()).unwrap().finish;
        assert_eq!((finish.attempts, finish.state), (0, State::Waiting));
        let throttled = fail(&claim(), FailureClass::Throttled);
        assert_eq!(throttled.finish.attempts, 0);
        assert!(matches!(throttled.verdict, Verdict::Pause(_)));
    }

    #[test]
    fn a_delete_that_is_held_leaves_everything_as_it_was_and_waits_for_a_person() {
        let claim = Claim { remote_id: Some("7".into()), in_doubt: true, ..claim() };
        for reason in [HoldReason::Guard, HoldReason::DeleteRejected] {
            let settled =
                without_request(&claim, Decision::Hold(reason), &Seen::default(), times()).unwrap();
            let finish = settled.finish;
            assert_eq!((finish.state, finish.due), (State::Held, Due::Never));
            assert_eq!(finish.reason.as_deref(), Some(reason.name()));
            assert!(!finish.settled && !finish.sent && finish.tombstone && finish.in_doubt);
            assert_eq!((finish.remote_id, finish.attempts), (claim.remote_id.clone(), 0));
        }
    }

    #[test]
    fn a_failed_trial_burns_no_attempt_and_still_says_that_the_target_fails() {
        let tired = Claim { attempts: 3, failures: 3, ..claim() };
        for class in [FailureClass::Transient, FailureClass::Ambiguous] {
            let failed = || PushResult::Failed(Failure::new(class, "503"));
            let settled = after_trial(&tired, &seen(), failed(), times(), POLICY);
            assert_eq!((settled.finish.attempts, settled.finish.failures), (3, 3));
            assert_eq!((settled.finish.state, settled.retry_after), (State::Parked, None));
            assert!(!settled.finish.dead_letter);
            assert_eq!(settled.verdict, Verdict::Unreachable);
            // What may have been applied is in doubt as ever.
            let usual = after_push(&tired, &seen(), failed(), times(), POLICY).finish;
            assert_eq!(usual.state, State::DeadLetter);
            assert_eq!(
                (settled.finish.in_doubt, settled.finish.intent_on, settled.finish.sent),
                (usual.in_doubt, usual.intent_on, usual.sent)
            );
        }
    }

    #[test]
    fn a_missing_parent_is_doubted_at_the_beginning_of_a_cycle_and_at_its_end() {
        assert_eq!(fail(&claim(), FailureClass::MissingParent).doubted_parents, seen().parents);
        let second = Claim { attempts: 1, ..claim() };
        assert!(fail(&second, FailureClass::MissingParent).doubted_parents.is_empty());
        // Found by the simulation: after a first failure of another kind nobody looked at the parent, and the dead letter
        // stayed for ever.
        for attempts in [POLICY.max_retries, POLICY.attempts(), 9] {
            let last = Claim { attempts, ..claim() };
            assert_eq!(fail(&last, FailureClass::MissingParent).doubted_parents, seen().parents);
        }
    }

    #[test]
    fn the_successor_of_a_zombie_asks_for_a_read_back_even_when_it_succeeds() {
        let heir = Claim { taken_over: true, in_doubt: true, ..claim() };
        let held = PushResult::Held {
            remote_id: "7".into(),
            remote_hash: seen().hash.unwrap(),
            written: true,
            carried: Vec::new(),
            left_to: None,
            held: None,
        };
        assert!(push(&heir, held).finish.read_back_millis.is_some());
    }

    /// It may have been sent with the lease almost over, so it settles from then on, not from the claim.
    #[test]
    fn the_create_of_a_lost_lease_settles_from_the_end_of_that_lease() {
        let claimed = now().checked_sub(Duration::from_secs(80)).unwrap();
        let lost = Claim {
            intent_on: Some(claimed),
            taken_over: true,
            lost_until: Some(now()),
            ..claim()
        };
        assert!(intent_is_settled(lost.intent_on, times()));
        let lost = taken_over(lost, times());
        assert!(!intent_is_settled(lost.intent_on, times()));
        assert_eq!(fail(&lost, FailureClass::Throttled).finish.intent_on, lost.intent_on);
        assert_eq!(taken_over(claim(), times()), claim());
    }

    #[test]
    fn an_id_that_was_found_is_kept_though_the_write_after_it_failed() {
        let failure = Failure::new(FailureClass::Rejected, "test").with_found("7");
        let finish = push(&claim(), PushResult::Failed(failure)).finish;
        assert_eq!(finish.remote_id.as_deref(), Some("7"));
        assert!(finish.remote_changed && finish.in_doubt && finish.intent_on.is_none());
        assert!(finish.data_hash.is_none() && !finish.settled);
        // Found by the simulation: the old parent's delete was sent, and refused for as long as the child stood there.
        assert_eq!(finish.parents, None);
    }

    /// An entity with several records: one is known, the answer to another one's create was lost.
    #[test]
    fn what_was_lost_besides_what_was_found_stays_an_intent() {
        let lost = |class| Failure { more: true, ..Failure::new(class, "test").with_found("a") };
        let intent =
            |claim: &Claim, class| push(claim, PushResult::Failed(lost(class))).finish.intent_on;
        assert_eq!(intent(&claim(), FailureClass::Ambiguous), Some(now()), "it may still land");
        let known = Claim { remote_id: Some("a".into()), ..claim() };
        assert_eq!(intent(&known, FailureClass::Ambiguous), Some(now()));
        let answered = intent(&claim(), FailureClass::Transient);
        assert!(answered.is_some() && intent_is_settled(answered, times()));
        let before = Claim { intent_on: Some(now()), ..known };
        assert_eq!(intent(&before, FailureClass::Rejected), Some(now()), "it is not forgotten");
    }

    /// An entity with several records: one list holds the new content, another one has refused it.
    #[test]
    fn what_a_failed_update_has_found_out_replaces_what_was_known_and_proves_no_hash() {
        let known = Claim { remote_id: Some("a".into()), data_hash: seen().hash, ..claim() };
        for (found, is_another) in [("a", false), ("b", true)] {
            let failure = Failure::new(FailureClass::Rejected, "test").with_found(found);
            let finish = push(&known, PushResult::Failed(failure)).finish;
            assert_eq!(finish.remote_id.as_deref(), Some(found));
            assert!(finish.in_doubt && finish.remote_changed == is_another);
        }
    }

    #[test]
    fn what_is_postponed_waits_ever_longer_and_is_then_rejected() {
        let postponed =
            |failures| fail(&Claim { failures, ..claim() }, FailureClass::Postponed).finish;
        for (failures, hours_of_12th) in [(0, 1), (1, 24 * 12), (2, 48 * 12), (3, 7 * 24 * 12)] {
            let finish = postponed(failures);
            assert_eq!(finish.due, Due::InMillis(hours_of_12th * 5 * 60 * 1_000));
            assert_eq!((finish.state, finish.failures), (State::Parked, failures + 1));
            assert_eq!(finish.attempts, 0, "it burns no attempt");
        }
        assert_eq!(postponed(4).state, State::Rejected);
        let asked = Failure::new(FailureClass::Postponed, "test")
            .with_retry_after(Some(Duration::from_secs(60)));
        let finish = push(&claim(), PushResult::Failed(asked)).finish;
        assert_eq!(finish.due, Due::InMillis(60_000));
    }

    /// What a sweep tries for an open dead letter is tried once, whatever the class, and says nothing about the target.
    #[test]
    fn an_attempt_beyond_a_cycle_is_a_single_one_and_the_breaker_does_not_count_it() {
        let dead = Claim { attempts: POLICY.attempts(), ..claim() };
        for class in [FailureClass::Transient, FailureClass::Ambiguous, FailureClass::MissingParent]
        {
            let settled = fail(&dead, class);
            assert!(settled.finish.dead_letter && settled.retry_after.is_none(), "{class}");
            assert_eq!(
                (settled.finish.state, settled.verdict),
                (State::DeadLetter, Verdict::Neutral)
            );
        }
        assert_eq!(fail(&claim(), FailureClass::Transient).verdict, Verdict::Unreachable);
        assert!(matches!(fail(&dead, FailureClass::Authentication).verdict, Verdict::Refused(_)));
    }

    /// A finish is settled, or it says when it is due, or a person or a sweep must come.
    #[test]
    fn nothing_is_left_without_a_next_step() {
        for class in FailureClass::ALL {
            for attempts in 0..6 {
                let finish = fail(&Claim { attempts, ..claim() }, class).finish;
                let needs_person_or_sweep =
                    matches!(finish.state, State::Rejected | State::DeadLetter | State::Held);
                assert!(!finish.settled);
                assert_eq!(finish.due == Due::Never, needs_person_or_sweep, "{class} {attempts}");
                assert!(finish.error.is_some() && finish.reason.is_some());
                assert_eq!(finish.dead_letter, needs_person_or_sweep, "{class} {attempts}");
            }
        }
    }

    /// The owner adopts the record only when nothing of ours can land on it any more.
    #[test]
    fn a_record_is_given_up_to_the_owner_of_its_address_when_nothing_of_ours_is_under_way() {
        let skip = Decision::Skip(SkipReason::SharedEmail);
        let shared = |claim: &Claim| without_request(claim, skip, &seen(), times()).unwrap().finish;
        let calm = shared(&Claim { remote_id: Some("7".into()), ..claim() });
        assert_eq!((calm.settled, calm.remote_id, calm.remote_changed), (true, None, true));
        assert_eq!((calm.state, calm.reason.as_deref()), (State::Skipped, Some("shared_email")));
        for doubtful in [
            Claim { remote_id: Some("7".into()), in_doubt: true, ..claim() },
            Claim { intent_on: Some(now()), ..claim() },
        ] {
            let waits = shared(&doubtful);
            assert_eq!((waits.settled, waits.state), (false, State::Retrying));
            assert_eq!(waits.remote_id, doubtful.remote_id);
            assert_eq!(waits.due, Due::InMillis(30_000));
            assert_eq!(waits.intent_on, Some(now()));
        }
        let long_ago = now().checked_sub(Duration::from_secs(31)).unwrap();
        let over = Claim {
            remote_id: Some("7".into()),
            in_doubt: true,
            intent_on: Some(long_ago),
            ..claim()
        };
        assert_eq!((shared(&over).settled, shared(&over).remote_id), (true, None));
    }

    #[test]
    fn on_trial_nothing_follows_what_says_something_about_the_target() {
        for attempts in [0, 1, POLICY.max_retries, POLICY.max_retries + 1] {
            let claim = Claim { attempts, ..claim() };
            for class in FailureClass::ALL {
                let result = PushResult::Failed(Failure::new(class, "no"));
                let is_evidence = is_evidence(&result, is_extra(&claim, POLICY));
                let settled = after_trial(&claim, &seen(), result, times(), POLICY);
                assert_eq!(is_evidence, settled.verdict != Verdict::Neutral, "{class} {attempts}");
            }
        }
        for is_extra in [false, true] {
            assert!(is_evidence(&PushResult::NotSent, is_extra), "nothing more can be sent");
            assert!(!is_evidence(&PushResult::Unsettled, is_extra), "it was only looked for");
            assert!(is_evidence(&PushResult::Gone, is_extra), "it was served");
        }
    }
}
