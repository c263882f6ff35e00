//! The whole target's trouble: a login that ends, a refusal of us, a pause, another host (obligations 6 and 10).

use ems_sync::remote::{Alarms, Failure, FailureClass, PushResult, Remote as _, Results};
use ems_sync_remotes::{Fault, Rule, Simulator};

use super::bench::{Bench, failure};
use super::kit::{Content, Kit};
use crate::support::results::{PATIENCE, word, words};

/// For remotes with a login; [`a_refusal_in_mid_batch_ends_the_rest_as_refused`] is for all.
pub(super) async fn a_login_that_ends_in_mid_batch_is_renewed_once<K: Kit>(bench: &Bench<K>) {
    if !K::LOGS_IN {
        return;
    }
    for (round, fault) in (0..).zip([Fault::RevokeToken, Fault::NewSecret]) {
        let logins = bench.sim().counters().logins;
        let rule = bench.strike_write(&fault, 5);
        let ids = round * 20 + 1..=round * 20 + 20;
        let batch = ids.clone().map(|id| bench.create(id, Content::A)).collect();
        assert_eq!(words(&bench.many(batch).await), [("held", 20)].into(), "{fault:?}");
        assert!(bench.has_struck(rule));
        assert_eq!(bench.sim().counters().logins, logins + 1, "{fault:?}");
        for id in ids {
            bench.assert_holds(id, Content::A);
        }
    }
}

pub(super) async fn a_refusal_in_mid_batch_ends_the_rest_as_refused<K: Kit>(bench: &Bench<K>) {
    bench.sim().faults().push(Rule::new(K::refusal()).writes().nth(5).unlimited());
    let mut alarms = bench.client.alarms().listen();
    let batch = (1..=20).map(|id| bench.create(id, Content::A)).collect();
    let results = bench.many(batch).await;
    for (id, result) in &results {
        bench.assert_true(*id, result, Content::A);
        assert!(["held", "authentication"].contains(&word(result)), "{id}: {result:?}");
    }
    assert!(results.values().any(|result| word(result) == "authentication"), "{results:?}");
    let alarm = tokio::time::timeout(PATIENCE, Alarms::heard(&mut alarms)).await.expect("heard");
    assert_eq!(alarm.class, FailureClass::Authentication);
}

/// Pushes of every kind by clients of their own, each answered so from the first request on, and once more from the first
/// write on; how each ended, and the alarm that it raised.
async fn struck<K: Kit>(bench: &Bench<K>, fault: &Fault) -> Vec<(String, Failure, Failure)> {
    let record = bench.made(7, Content::A).await;
    let mut ends = Vec::new();
    for writes_only in [false, true] {
        for push in bench.of_every_kind(7, &record) {
            let kind = format!("{:?}, {}", push.action, if writes_only { "writes" } else { "all" });
            let alone = bench.fresh().await;
            let mut alarms = alone.client.alarms().listen();
            let rule = Rule::new(fault.clone()).unlimited();
            let rule = bench.sim().faults().push(if writes_only { rule.writes() } else { rule });
            let requests = bench.requests().len();
            let result = alone.one(push).await;
            // Once more after a new login, and what was read before.
            let sent = bench.requests().len() - requests;
            assert!(sent <= if writes_only { 8 } else { 2 }, "{kind}: {sent} requests");
            bench.sim().faults().remove(rule);
            let alarm = tokio::time::timeout(PATIENCE, Alarms::heard(&mut alarms)).await;
            ends.push((kind, failure(result), alarm.expect("an alarm is heard")));
        }
    }
    bench.assert_holds(7, Content::A);
    ends
}

/// A login that is refused may be a wrong configuration in the remote's own words.
pub(super) fn is_refusal(failure: &Failure) -> bool {
    matches!(failure.class, FailureClass::Authentication | FailureClass::Configuration)
}

pub(super) async fn a_refusal_for_ever_is_of_us_and_raises_an_alarm<K: Kit>(bench: &Bench<K>) {
    for (kind, failure, alarm) in struck(bench, &K::refusal()).await {
        assert!(is_refusal(&failure), "{kind}: {failure}");
        assert!(is_refusal(&alarm), "{kind}: {alarm}");
    }
    bench.strike_all(&K::refusal());
    let failure = bench.client.list(K::ENTITY, None).await.unwrap_err();
    assert!(is_refusal(&failure), "{failure}");
}

pub(super) async fn a_pause_that_the_remote_asks_for_is_passed_on<K: Kit>(bench: &Bench<K>) {
    let (fault, pause) = K::throttle();
    for (kind, failure, alarm) in struck(bench, &fault).await {
        assert_eq!(failure.class, FailureClass::Throttled, "{kind}: {failure}");
        assert_eq!(alarm.class, FailureClass::Throttled, "{kind}");
        assert_eq!(alarm.retry_after, failure.retry_after, "{kind}");
        if let Some(expected) = &pause {
            let asked = failure.retry_after.expect("the remote said how long");
            assert!(expected.contains(&asked), "{kind}: {asked:?}");
        }
    }
}

/// The engine stops all processes by it, so that it can't wait for a request that hangs.
pub(super) async fn an_alarm_does_not_wait_for_the_rest_of_the_batch<K: Kit>(bench: &Bench<K>) {
    for (round, (fault, class)) in (0..).zip([
        (K::throttle().0, FailureClass::Throttled),
        (K::refusal(), FailureClass::Authentication),
    ]) {
        let bench = bench.fresh().await;
        let hangs = bench.strike_write(&Fault::Hang { ms: None }, 1);
        let strikes = bench.sim().faults().push(Rule::new(fault).writes().unlimited());
        let mut alarms = bench.client.alarms().listen();
        let batch = (1..=4).map(|id| bench.create(round * 10 + id, Content::A)).collect();
        let (sender, _receiver) = Results::channel();
        let push = bench.client.push(batch, sender);
        let alarm = tokio::select! {
            () = push => panic!("{class}: one of them hangs"),
            alarm = tokio::time::timeout(PATIENCE, Alarms::heard(&mut alarms)) => alarm,
        };
        assert_eq!(alarm.expect("heard").class, class);
        assert!(bench.has_struck(hangs));
        bench.sim().faults().remove(strikes);
    }
}

/// It would take the credentials and people's names to another host.
pub(super) async fn no_redirect_is_followed<K: Kit>(bench: &Bench<K>) {
    let record = bench.made(7, Content::A).await;
    let trap = K::start_elsewhere().await;
    let trap: &Simulator<K::Sim> = trap.sim();
    for code in [301, 302, 303, 307, 308] {
        let headers = vec![("Location".to_owned(), trap.base_url())];
        let rule = bench.strike_all(&Fault::Status { code, headers, body: None, applied: false });
        for push in bench.of_every_kind(7, &record) {
            let result = bench.one(push).await;
            assert!(matches!(result, PushResult::Failed(_)), "{code}: {result:?}");
        }
        assert!(bench.client.list(K::ENTITY, None).await.is_err(), "{code}");
        assert!(bench.client.probe().await.is_err(), "{code}");
        bench.sim().faults().remove(rule);
    }
    assert_eq!((trap.counters().requests, trap.counters().connections), (0, 0));
    bench.assert_holds(7, Content::A);
}
