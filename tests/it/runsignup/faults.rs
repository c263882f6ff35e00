//! What goes wrong on the way (contract, sections 2 and 3): each with its class, and never a second registration.

use std::time::Duration;

use ems_sync::remote::{Push, Remote as _, SendBefore};
use ems_sync_remotes::runsignup::{ThrottleAnswer, api_error, throttled};
use ems_sync_remotes::{Fault, Garbage, Operation, Rule};
use serde_json::json;
use tokio::time::Instant;

use super::bench::{Bench, OTHER, TEN, answers, failure, word};

#[tokio::test]
async fn each_error_in_a_success_has_its_class_before_anything_is_decoded() {
    for (code, expected) in [
        (6, "authentication"),
        (7, "configuration"),
        (13, "configuration"),
        (14, "throttled"),
        (102, "configuration"),
        (103, "configuration"),
        (1, "our_fault"),
        (3, "our_fault"),
        (201, "missing_parent"),
    ] {
        for operation in [Operation::Find, Operation::Create] {
            let bench = Bench::warm().await;
            bench.sim.faults().push(Rule::new(api_error(code)).operation(operation));
            let failed = failure(bench.one(bench.create(5, TEN)).await);
            assert_eq!(failed.class.name(), expected, "{code} at {operation:?}");
            assert_eq!(bench.standing(), []);
            bench.assert_no_violation();
        }
    }
    // RunSignup's own troubles do not say whether a write was applied.
    for (operation, expected) in [(Operation::Find, "transient"), (Operation::Create, "ambiguous")]
    {
        let bench = Bench::warm().await;
        bench.sim.faults().push(Rule::new(api_error(5)).operation(operation));
        let failed = failure(bench.one(bench.create(5, TEN)).await);
        assert_eq!(failed.class.name(), expected);
    }
}

#[tokio::test]
async fn too_many_calls_pause_the_whole_target_at_once() {
    for answer in [throttled(), Fault::throttled(7)] {
        let bench = Bench::warm().await;
        let mut alarms = bench.client.alarms().listen();
        bench.sim.faults().push(Rule::new(answer.clone()).operation(Operation::Find));
        let failed = failure(bench.one(bench.create(5, TEN)).await);
        assert_eq!(failed.class.name(), "throttled");
        let alarm = ems_sync::remote::Alarms::heard(&mut alarms).await;
        assert_eq!(alarm.retry_after, failed.retry_after);
        let asked = bench.requests();
        assert_eq!(word(&bench.one(bench.create(6, TEN)).await), "not_sent");
        assert_eq!(bench.requests(), asked, "nothing is sent into the pause");
        bench.assert_no_violation();
    }
    let bench = Bench::warm().await;
    bench.sim.configure(|settings| {
        settings.throttle_answer = ThrottleAnswer::TooManyRequests;
        settings.calls_per_minute = Some(0);
    });
    assert_eq!(word(&bench.one(bench.create(5, TEN)).await), "throttled");
}

/// At most two calls at once, however large the batch.
#[tokio::test]
async fn a_batch_has_two_calls_under_way() {
    let bench = Bench::warm().await;
    bench.sim.set_latency(Duration::from_millis(10));
    let results = bench.many((1..=24).map(|id| bench.create(id, TEN)).collect()).await;
    assert!(results.values().all(|result| word(result) == "held"), "{results:?}");
    assert_eq!(bench.standing().len(), 24);
    bench.assert_no_violation();
}

#[tokio::test]
async fn an_answer_that_is_no_answer_proves_nothing() {
    for what in [
        Garbage::Html,
        Garbage::TruncatedJson,
        Garbage::CutOff,
        Garbage::EmptyList,
        Garbage::EmptyBody,
    ] {
        for operation in [Operation::Find, Operation::Create, Operation::Read] {
            let bench = Bench::warm().await;
            let applied = operation == Operation::Create;
            bench
                .sim
                .faults()
                .push(Rule::new(Fault::Garbage { what, applied }).operation(operation));
            let result = bench.one(bench.create(5, OTHER)).await;
            let class = failure(result).class.name();
            let expected: &[&str] = match operation {
                Operation::Find => &["transient", "our_fault"],
                _ => &["ambiguous", "our_fault"],
            };
            assert!(expected.contains(&class), "{what:?} at {operation:?}: {class}");
            let found = bench.one(bench.again(5, OTHER, json!({}), true)).await;
            assert!(matches!(word(&found), "held" | "adopted"), "{what:?} at {operation:?}");
            assert_eq!(bench.standing().len(), 1, "{what:?} at {operation:?}");
            bench.assert_no_violation();
        }
    }
}

#[tokio::test]
async fn a_web_servers_error_may_have_been_applied_or_not() {
    for (code, read, write) in [
        (502, "transient", "ambiguous"),
        (503, "transient", "transient"),
        (404, "transient", "transient"),
    ] {
        let bench = Bench::warm().await;
        for (operation, expected) in [(Operation::Find, read), (Operation::Create, write)] {
            bench.sim.faults().push(Rule::new(Fault::status(code)).operation(operation));
            assert_eq!(word(&bench.one(bench.create(5, TEN)).await), expected, "{code}");
        }
        bench.assert_no_violation();
    }
}

#[tokio::test]
async fn a_hanging_call_is_ambiguous_for_its_own_entity_only() {
    let bench = Bench::with(|http| http.timeout = Duration::from_millis(500)).await;
    bench.registered(1, TEN).await;
    let hang = Rule::new(Fault::CommitThenHang { ms: Some(2_000) }).operation(Operation::Create);
    bench.sim.configure(|settings| settings.max_concurrent_calls = 99);
    bench.sim.faults().push(hang.external_id("5"));
    let results = bench.many((4..8).map(|id| bench.create(id, TEN)).collect()).await;
    for (id, result) in &results {
        assert_eq!(word(result), if *id == 5 { "ambiguous" } else { "held" }, "{id}");
    }
    let found = bench.one(bench.again(5, TEN, json!({}), false)).await;
    assert_eq!(word(&found), "adopted");
    assert_eq!(bench.standing().len(), 5);
}

#[tokio::test]
async fn nothing_is_sent_when_too_little_of_the_lease_is_left() {
    let bench = Bench::warm().await;
    let before = bench.requests();
    let late = Push { send_before: SendBefore::from(Instant::now()), ..bench.create(5, TEN) };
    assert_eq!(word(&bench.one(late).await), "not_sent");
    assert_eq!(bench.requests(), before);
}

/// A refused connection can't have reached it.
#[tokio::test]
async fn without_a_connection_nothing_was_sent() {
    let bench = Bench::warm().await;
    let settings = ems_sync::remote::HttpSettings {
        budget: None,
        base_url: "http://127.0.0.1:1/rest".to_owned(),
        ..bench.settings.clone()
    };
    let client = super::bench::client(&settings, super::bench::credentials(), false);
    let away = Bench { sim: bench.sim.clone(), settings, client };
    let failed = failure(away.one(away.create(5, TEN)).await);
    assert_eq!(failed.class.name(), "transient");
    assert!(failed.unsent && !failed.text.contains("rsu_api_key"), "{}", failed.text);
}

/// A success that names another registration, none or several.
#[tokio::test]
async fn a_success_that_does_not_name_the_registration_is_ambiguous() {
    let bench = Bench::warm().await;
    for body in [
        json!({}),
        json!([]),
        json!({"participants": []}),
        json!({"participants": [{}]}),
        json!({"participants": [{"registration_id": 1}, {"registration_id": 2}]}),
        json!({"participants": [{"registration_id": "x"}]}),
    ] {
        bench.sim.faults().push(Rule::new(answers(body.clone())).operation(Operation::Create));
        assert_eq!(word(&bench.one(bench.create(5, TEN)).await), "ambiguous", "{body}");
    }
    let id = bench.registered(5, TEN).await;
    let other = json!({"participants": [{"registration_id": id + 1}]});
    bench.sim.faults().push(Rule::new(answers(other)).operation(Operation::Patch));
    let renamed = json!({"last_name": "Renamed"});
    assert_eq!(word(&bench.one(bench.update(5, id, TEN, renamed)).await), "ambiguous");
    bench.assert_no_violation();
}
