//! The contract's section "Login": one at a time, renewed before its end, once after a 401, and never an entity's fault.

use std::time::Duration;

use ems_sync::remote::{FailureClass, PushResult, Remote as _};
use ems_sync_remotes::tagserver::{TagServerOptions, TagServerSettings, TokenExpiry};
use ems_sync_remotes::{Fault, Garbage, Offline, Operation, Rule};
use serde_json::json;

use super::bench::{Bench, answers, delete, word, words};

fn options(change: impl FnOnce(&mut TagServerSettings)) -> TagServerOptions {
    let mut options = TagServerOptions::default();
    change(&mut options.settings);
    options
}

/// Fifty single calls at once.
async fn wide() -> Bench {
    Bench::with(TagServerOptions::default(), |http| http.concurrency = 50).await.without_bulk()
}

#[tokio::test]
async fn fifty_pushes_at_once_share_one_login() {
    let bench = wide().await;
    let slow = Fault::delay(Duration::from_millis(100));
    bench.sim.faults().push(Rule::new(slow).operation(Operation::Login));
    let pushes = (1..=50).map(|id| bench.one(bench.create(id, "Club")));
    for result in futures_util::future::join_all(pushes).await {
        assert_eq!(word(&result), "held");
    }
    assert_eq!(bench.sim.counters().logins, 1);
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_refused_login_is_not_tried_again_by_each_who_waited_for_it() {
    let bench = wide().await.with_password("wrong").without_bulk();
    let slow = Fault::delay(Duration::from_millis(100));
    bench.sim.faults().push(Rule::new(slow).operation(Operation::Login).unlimited());
    // More of them than there are slots: those who wait for a slot wait for the login too.
    let results = bench.many((1..=80).map(|id| bench.create(id, "Club")).collect()).await;
    assert_eq!(words(&results), [("authentication", 80)].into());
    assert_eq!(bench.sim.counters().logins, 1, "an account must not be locked by us");
    // Nor by the next batches, until the target is disabled; then it is tried anew.
    assert_eq!(word(&bench.one(bench.create(1, "Club")).await), "authentication");
    assert_eq!(bench.sim.counters().logins, 1);
    let again = async {
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        while bench.sim.counters().logins == 1 {
            pace.tick().await;
            assert_eq!(word(&bench.one(bench.create(1, "Club")).await), "authentication");
        }
    };
    tokio::time::timeout(Duration::from_secs(5), again).await.expect("is tried again");
    assert_eq!(bench.requests(), []);
}

/// The deadline of a lease covers one login, not one for each who waits.
#[tokio::test]
async fn a_login_without_an_answer_holds_up_everyone_for_one_time_out_only() {
    let bench = Bench::impatient().await.without_bulk();
    bench.sim.faults().push(Rule::new(Fault::Hang { ms: None }).unlimited());
    let began = tokio::time::Instant::now();
    let results = bench.many((1..=50).map(|id| bench.create(id, "Club")).collect()).await;
    assert_eq!(words(&results), [("transient", 50)].into());
    assert!(began.elapsed() < Duration::from_millis(900), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_token_is_renewed_before_its_end() {
    let bench = Bench::with(options(|s| s.token_life_seconds = 2), |_| {}).await;
    let id = bench.plant(1, "Club");
    let mut pace = tokio::time::interval(Duration::from_millis(5));
    while bench.sim.counters().logins < 4 {
        pace.tick().await;
        assert_eq!(word(&bench.one(bench.update(1, id, "Club")).await), "held");
    }
    assert_eq!(bench.sim.counters().by_status.get(&401), None, "no request met a dead token");
    bench.assert_no_violation();
}

#[tokio::test]
async fn the_life_of_a_token_is_measured_by_the_servers_clock() {
    let behind = options(|s| s.clock_offset_seconds = -86_400);
    let bench = Bench::with(behind, |_| {}).await;
    for id in 1..=20 {
        assert_eq!(word(&bench.one(bench.create(id, "Club")).await), "held");
    }
    assert_eq!(bench.sim.counters().logins, 1, "it is not over for the server");

    let ahead = options(|s| {
        s.clock_offset_seconds = 86_400;
        s.token_life_seconds = 2;
    });
    let bench = Bench::with(ahead, |_| {}).await;
    let id = bench.plant(1, "Club");
    let mut pace = tokio::time::interval(Duration::from_millis(5));
    while bench.sim.counters().logins < 3 {
        pace.tick().await;
        assert_eq!(word(&bench.one(bench.update(1, id, "Club")).await), "held");
    }
    assert_eq!(bench.sim.counters().by_status.get(&401), None, "it is over for the server");
}

#[tokio::test]
async fn a_token_that_does_not_say_when_it_ends_is_used_until_it_is_refused() {
    let unstated = options(|s| {
        s.token_expiry = TokenExpiry::Unstated;
        s.token_life_seconds = 1;
    });
    let bench = Bench::with(unstated, |_| {}).await;
    let id = bench.plant(1, "Club");
    let mut pace = tokio::time::interval(Duration::from_millis(5));
    while bench.sim.counters().logins < 2 {
        pace.tick().await;
        assert_eq!(word(&bench.one(bench.update(1, id, "Club")).await), "held");
    }
    assert_eq!(bench.sim.counters().by_status.get(&401), Some(&1), "one request found out");
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_token_that_is_revoked_in_the_middle_costs_one_login_and_no_push() {
    for fault in [Fault::RevokeToken, Fault::NewSecret] {
        for bulk in [false, true] {
            let bench = if bulk { Bench::new().await } else { wide().await };
            assert_eq!(word(&bench.one(bench.create(1_000, "First")).await), "held");
            let nth = if bulk { 1 } else { 20 };
            bench.sim.faults().push(Rule::new(fault.clone()).writes().nth(nth));
            let results = bench.many((1..=50).map(|id| bench.create(id, "Club")).collect()).await;
            assert_eq!(words(&results), [("held", 50)].into(), "{fault:?}");
            let counters = bench.sim.counters();
            assert_eq!(counters.logins, 2, "{fault:?}, bulk {bulk}");
            assert!(counters.by_status[&401] >= 1);
            bench.assert_no_violation();
        }
    }
}

#[tokio::test]
async fn a_second_401_ends_the_push_as_a_refusal_of_us_after_one_login() {
    let bench = Bench::new().await;
    let id = bench.plant(1, "Club");
    bench.sim.faults().push(Rule::new(Fault::status(401)).writes().unlimited());
    let result = bench.one(bench.update(1, id, "New")).await;
    assert_eq!(word(&result), "authentication");
    assert_eq!(bench.sim.counters().logins, 2);
    assert_eq!(bench.operations(), [Operation::Replace, Operation::Replace]);
    let results = bench.many(vec![bench.create(2, "A"), bench.create(3, "B")]).await;
    assert_eq!(words(&results), [("authentication", 2)].into(), "in bulk too");
    bench.assert_no_violation();
}

/// A login that fails says something about the target, never about the entity that happened to need it: nothing may be
/// rejected, forgotten or dead-lettered at once because of a proxy, a captive portal or a wrong base URL.
#[tokio::test]
async fn a_login_that_fails_is_never_an_entitys_fault() {
    let bench = Bench::impatient().await;
    let id = bench.plant(1, "Club");
    let portal = Fault::Status {
        code: 302,
        headers: vec![("Location".to_owned(), "http://127.0.0.1:1/portal".to_owned())],
        body: None,
        applied: false,
    };
    let mut faults: Vec<Fault> =
        [400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 429, 500, 502, 503, 504]
            .map(Fault::status)
            .into();
    faults.extend([portal, Fault::Drop, Fault::CommitThenDrop, Fault::Hang { ms: None }]);
    faults.extend(
        [Garbage::Html, Garbage::TruncatedJson, Garbage::CutOff, Garbage::EmptyList]
            .map(Fault::garbage),
    );
    faults.push(Fault::garbage(Garbage::EmptyBody));
    for token in [json!({}), json!({"id_token": null}), json!({"id_token": ""}), json!([1])] {
        faults.push(answers(token));
    }
    for fault in faults {
        let rule = Rule::new(fault.clone()).operation(Operation::Login).unlimited();
        let rule = bench.sim.faults().push(rule);
        // A client of its own: it has no token yet.
        let alone = bench.fresh();
        for push in [alone.update(1, id, "New"), alone.create(2, "B"), delete(1, id)] {
            let PushResult::Failed(failure) = alone.one(push).await else { panic!("{fault:?}") };
            let of_the_target = matches!(
                failure.class,
                FailureClass::Transient
                    | FailureClass::Throttled
                    | FailureClass::Authentication
                    | FailureClass::Configuration
            );
            assert!(of_the_target, "{fault:?}: {failure}");
            assert!(failure.unsent, "nothing was sent for the entity: {fault:?}");
        }
        assert!(alone.client.probe().await.is_err(), "{fault:?}");
        bench.sim.faults().remove(rule);
    }
    assert_eq!(bench.requests(), []);
}

#[tokio::test]
async fn a_probe_says_whether_we_are_let_in_and_changes_nothing() {
    let bench = Bench::impatient().await;
    bench.client.probe().await.unwrap();
    bench.sim.new_signing_secret();
    bench.client.probe().await.unwrap();
    assert_eq!(bench.sim.counters().logins, 2);
    let class = async |bench: &Bench| bench.client.probe().await.unwrap_err().class;
    assert_eq!(class(&bench.with_password("wrong")).await, FailureClass::Authentication);
    for (fault, expected) in [
        (Fault::status(403), FailureClass::Configuration),
        (Fault::status(503), FailureClass::Transient),
        (Fault::throttled(0), FailureClass::Throttled),
        (Fault::Drop, FailureClass::Transient),
        (Fault::Hang { ms: None }, FailureClass::Transient),
    ] {
        bench.sim.faults().push(Rule::new(fault).operation(Operation::Probe));
        assert_eq!(class(&bench).await, expected);
    }
    // A captive portal answers 200 to everything.
    bench.sim.faults().push(Rule::new(Fault::garbage(Garbage::Html)).operation(Operation::Probe));
    assert!(bench.client.probe().await.is_err());
    bench.sim.go_offline(Offline::Refuse).await.unwrap();
    assert_eq!(class(&bench).await, FailureClass::Transient);
    assert_eq!(bench.sim.counters().writes_applied(), 0);
    bench.assert_no_violation();
}
