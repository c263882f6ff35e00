//! What may become of a claim: everything that the program's own settling can make of it, and a little more.

use std::time::Duration;

use ems_sync::deliver::decision::{Decision, HoldReason, SkipReason};
use ems_sync::deliver::record::{Claim, Due, Finish, Holds, WaitFor};
use ems_sync::deliver::retry::RetryPolicy;
use ems_sync::deliver::settle::{self, Seen, Times};
use ems_sync::entity::EntityRef;
use ems_sync::hash::ContentHash;
use ems_sync::remote::{Failure, FailureClass, PushResult};
use ems_sync::target::Target;
use jiff::Timestamp;

use crate::support::random::Random;

/// Long enough that nothing comes due while a test looks at it.
const MINUTE: Duration = Duration::from_secs(60);
/// One retry, so that a test sees dead letters.
pub(super) const POLICY: RetryPolicy = RetryPolicy { max_retries: 1, base_delay: MINUTE };

fn times(now: Timestamp) -> Times {
    Times { now, decided: now, request_timeout: MINUTE, settle: MINUTE }
}

/// One of three contents.
fn content(random: &mut Random) -> ContentHash {
    ContentHash::of(Target::TagServer, 1, &serde_json::json!(random.below(3)))
}

/// One of three versions.
pub(super) fn version(random: &mut Random) -> Timestamp {
    Timestamp::from_microsecond(1_800_000_000_123_456 + random.below(3) as i64).unwrap()
}

/// The remote holds it, under this id and with these parents.
pub(super) fn held(
    claim: &Claim,
    remote_id: &str,
    parents: &[EntityRef],
    now: Timestamp,
) -> Finish {
    let hash = ContentHash::of(Target::TagServer, 1, &serde_json::json!(1));
    let seen = Seen {
        modified_on: Some(now),
        hash: Some(hash),
        parents: parents.to_vec(),
        unmappable: None,
        match_key: None,
        holds: Holds::default(),
    };
    let held = PushResult::Held {
        remote_id: remote_id.to_owned(),
        remote_hash: hash,
        written: true,
        carried: Vec::new(),
        left_to: None,
    };
    settle::after_push(claim, &seen, held, times(now), POLICY).finish
}

/// It is not at the remote any more.
pub(super) fn gone(claim: &Claim, now: Timestamp) -> Finish {
    settle::after_push(claim, &Seen::default(), PushResult::Gone, times(now), POLICY).finish
}

/// It waits.
pub(super) fn waits(claim: &Claim, wait: WaitFor) -> Finish {
    let times = times(Timestamp::UNIX_EPOCH);
    settle::without_request(claim, Decision::Wait(wait), &Seen::default(), times).unwrap().finish
}

/// Nothing was sent for it.
pub(super) fn not_sent(claim: &Claim, now: Timestamp) -> Finish {
    settle::after_push(claim, &Seen::default(), PushResult::NotSent, times(now), POLICY).finish
}

/// A random outcome. `others` may be named as parents and waited for.
pub(super) fn any(
    random: &mut Random,
    claim: &Claim,
    others: &[EntityRef],
    now: Timestamp,
) -> Finish {
    let seen = Seen {
        modified_on: random.percent(80).then(|| version(random)),
        hash: random.percent(80).then(|| content(random)),
        parents: if random.percent(70) { random.some(others, 2) } else { Vec::new() },
        unmappable: None,
        match_key: None,
        holds: Holds::default(),
    };
    let other = *random.pick(others);
    let without_request =
        |decision| settle::without_request(claim, decision, &seen, times(now)).unwrap().finish;
    let after_push = |result| settle::after_push(claim, &seen, result, times(now), POLICY).finish;
    let mut finish = match random.below(25) {
        0..6 => {
            let new = || format!("r{}", random.next() % 1000);
            let remote_id = claim.remote_id.clone().unwrap_or_else(new);
            let (remote_hash, written) = (content(random), random.percent(70));
            after_push(PushResult::Held {
                remote_id,
                remote_hash,
                written,
                carried: Vec::new(),
                left_to: None,
            })
        }
        6 => without_request(Decision::Skip(SkipReason::Unchanged)),
        7 => without_request(Decision::Skip(SkipReason::Nothing)),
        8 => without_request(Decision::Skip(SkipReason::Rejected)),
        20 | 9 | 10 => without_request(Decision::Wait(WaitFor::Parent(other))),
        21 | 11 => without_request(Decision::Wait(WaitFor::Child(other))),
        22 => without_request(Decision::Wait(WaitFor::Sibling(other))),
        12 => without_request(Decision::Hold(HoldReason::Unmappable)),
        23 => without_request(Decision::Hold(HoldReason::Guard)),
        24 => without_request(Decision::Hold(HoldReason::DeleteRejected)),
        13 => after_push(PushResult::Gone),
        14 => after_push(PushResult::Unsettled),
        15 => after_push(PushResult::NotSent),
        _ => {
            let dead = FailureClass::OurFault;
            let class = if random.percent(25) { dead } else { *random.pick(&FailureClass::ALL) };
            let failure = Failure::new(class, "test");
            let failure = if random.percent(10) { failure.with_found("found") } else { failure };
            after_push(PushResult::Failed(if random.percent(30) {
                failure.unsent()
            } else {
                failure
            }))
        }
    };
    // What no settling combines today, the rules must bear all the same.
    match random.below(20) {
        0 => finish.due = Due::Now,
        1 => finish.read_back_millis = Some(90_000),
        2 => finish.tombstone = !finish.tombstone,
        3 => finish.remote_changed = true,
        4 => finish.drop = true,
        5 => finish.in_doubt = !finish.in_doubt,
        _ => {}
    }
    finish
}
