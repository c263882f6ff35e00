//! The rule of a process.

use super::*;

mod simulation;

const BEGIN: fn() -> Instant = Instant::now;

fn share(limit: usize) -> Share {
    Share::new(Terms::new(Target::RunSignup, limit, None, Duration::from_secs(20)))
}

fn asked(plan: Plan) -> Ask {
    match plan {
        Plan::Ask(ask) => ask,
        Plan::At(_) | Plan::Rest => panic!("no question: {plan:?}"),
    }
}

fn answer(slots: usize, keep: usize) -> Answer {
    Answer { kept: true, slots, keep, wait: Duration::ZERO }
}

/// A share of `slots`, of which so many are in use, answered at `now`.
fn holding(limit: usize, slots: usize, busy: usize, now: Instant) -> Share {
    let mut share = share(limit);
    let ask = asked(share.plan(now, slots, 0));
    share.answered(&ask, now, &answer(slots, limit));
    for _ in 0..busy {
        share.take().unwrap();
    }
    share
}

#[test]
fn only_what_was_granted_is_taken_and_only_while_the_lease_outlasts_the_request() {
    let now = BEGIN();
    let mut share = share(2);
    assert_eq!(share.plan(now, 0, 0), Plan::Rest);
    assert_eq!(share.take(), None);
    let ask = asked(share.plan(now, 3, 0));
    assert_eq!((ask.has, ask.wants), (0, 2));
    assert_eq!(share.leave(0, now), Leave::NotYet);
    share.answered(&ask, now, &answer(1, 1));
    assert_eq!((share.take(), share.take()), (Some(0), None));
    let end = now + limits::BUDGET_LEASE;
    assert_eq!(share.leave(0, end - Duration::from_millis(1)), Leave::Now);
    assert_eq!(share.leave(0, end), Leave::NotYet);
}

/// Where the vendor does not count strictly a killed process holds its slots for seconds only.
#[test]
fn a_lease_lasts_longer_where_the_target_counts_strictly() {
    let lease = |target| Terms::new(target, 2, None, Duration::from_secs(20)).lease;
    for target in Target::ALL {
        let strict = matches!(target, Target::RunSignup | Target::MailChimp);
        let expected = if strict { 23 } else { 3 };
        assert_eq!(lease(target), Duration::from_secs(expected), "{target}");
    }
}

#[test]
fn a_share_is_kept_by_its_beat_and_given_back_when_idle() {
    let now = BEGIN();
    let mut share = holding(16, 4, 1, now);
    assert_eq!(share.plan(now, 0, 0), Plan::At(now + limits::BUDGET_BEAT));
    let now = now + limits::BUDGET_BEAT;
    let ask = asked(share.plan(now, 0, 0));
    assert_eq!((ask.has, ask.wants), (4, 4), "what was wanted since the last question");
    share.answered(&ask, now, &answer(4, 16));
    share.give(0, now);
    let idle_on = now + limits::BUDGET_IDLE;
    let beat = now + limits::BUDGET_BEAT;
    assert_eq!(share.plan(now, 0, 0), Plan::At(beat));
    let ask = asked(share.plan(idle_on, 0, 0));
    assert_eq!((ask.has, ask.wants), (0, 0));
    share.answered(&ask, idle_on, &answer(0, 16));
    assert_eq!(share.plan(idle_on, 0, 0), Plan::Rest);
}

#[test]
fn what_others_wait_for_is_given_back_as_it_comes_free_and_told_at_once() {
    let now = BEGIN();
    let mut share = holding(16, 4, 3, now);
    let now = now + limits::BUDGET_BEAT;
    let ask = asked(share.plan(now, 5, 0));
    share.answered(&ask, now, &answer(4, 2));
    assert_eq!(share.take(), None, "the free one is given back");
    let ask = asked(share.plan(now, 5, 0));
    assert_eq!(ask.has, 3);
    share.answered(&ask, now, &answer(3, 2));
    share.give(0, now);
    assert_eq!((share.take(), share.is_surplus()), (None, true));
    let ask = asked(share.plan(now, 5, 0));
    assert_eq!(ask.has, 2);
    share.answered(&ask, now, &answer(2, 2));
    share.give(0, now);
    assert_eq!(share.take(), Some(0), "the rest is fair");
}

#[test]
fn who_wants_more_asks_at_once_and_then_at_intervals() {
    let now = BEGIN();
    let mut share = share(16);
    let ask = asked(share.plan(now, 1, 0));
    share.answered(&ask, now, &answer(0, 0));
    assert_eq!(share.plan(now, 1, 0), Plan::At(now + limits::BUDGET_POLL));
    let ask = asked(share.plan(now, 2, 0));
    assert_eq!(ask.wants, 2);
    share.answered(&ask, now, &answer(1, 1));
    assert_eq!(share.plan(now, 1, 0), Plan::At(now + limits::BUDGET_BEAT));
    assert_eq!(asked(share.plan(now, 1, 1)).tokens, 1, "tokens are not waited for");
}

#[test]
fn without_an_answer_it_asks_again_after_a_pause() {
    let now = BEGIN();
    let mut share = share(2);
    let first = asked(share.plan(now, 1, 0));
    share.failed(now);
    assert_eq!(share.plan(now, 1, 0), Plan::At(now + limits::BUDGET_RETRY));
    let second = asked(share.plan(now + limits::BUDGET_RETRY, 1, 0));
    assert!(second.number > first.number);
}

#[test]
fn after_a_lost_lease_old_slots_send_nothing_and_count_until_they_are_given_back() {
    let now = BEGIN();
    let mut share = holding(3, 3, 2, now);
    let ask = asked(share.plan(now + limits::BUDGET_BEAT, 1, 0));
    share.answered(&ask, now, &Answer { kept: false, ..answer(3, 3) });
    assert_eq!(share.leave(0, now), Leave::Lost);
    assert_eq!((share.take(), share.take()), (Some(1), None));
    share.give(0, now);
    assert_eq!((share.take(), share.in_use()), (Some(1), 3));
}
