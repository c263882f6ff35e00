//! The optional bulk endpoint: a result per row, whatever becomes of the call (obligation 1).

use ems_sync::entity::{EntityRef, EntityType};
use ems_sync::remote::{Action, Look, Push, RemoteIds};
use ems_sync_remotes::tagserver::{Bulk, Resource};
use ems_sync_remotes::{Fault, Garbage, Operation, Rule};
use serde_json::{Value, json};

use super::bench::{Bench, answers, delete, in_time, remote_id, word, words};

#[tokio::test]
async fn rows_go_in_calls_of_at_most_500() {
    let bench = Bench::new().await;
    let pushes = (1..=1_201).map(|id| bench.create(id, "Club")).collect();
    assert_eq!(words(&bench.many(pushes).await), [("held", 1_201)].into());
    let mut sizes: Vec<_> = bench.requests().iter().map(|entry| entry.external_ids.len()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [201, 500, 500]);
    assert_eq!(bench.sim.row_count(Resource::Organisation), 1_201);
    bench.assert_no_violation();
}

#[tokio::test]
async fn creates_and_replaces_go_together_and_each_gets_its_own_id() {
    let bench = Bench::new().await;
    let old = bench.plant(1, "Old");
    let batch = vec![bench.create(3, "C"), bench.update(1, old, "A"), bench.create(2, "B")];
    let results = bench.many(batch).await;
    assert_eq!(words(&results), [("held", 3)].into());
    for (id, name) in [(1, "A"), (2, "B"), (3, "C")] {
        let row = bench.sim.row(Resource::Organisation, &id.to_string()).unwrap();
        assert_eq!((row.id, row.body["name"].as_str()), (remote_id(&results[&id]), Some(name)));
    }
    assert_eq!(bench.operations(), [Operation::Bulk]);
    bench.assert_no_violation();
}

#[tokio::test]
async fn deletes_and_creates_that_may_have_been_sent_before_do_not_go_in_bulk() {
    let bench = Bench::new().await;
    let ids = [1, 2].map(|id| bench.plant(id, "Old"));
    let batch = vec![
        delete(1, ids[0]),
        delete(2, ids[1]),
        bench.create_again(3, "C", true),
        bench.create_again(4, "D", false),
    ];
    let results = bench.many(batch).await;
    let results: Vec<_> = results.values().map(word).collect();
    assert_eq!(results, ["gone", "gone", "held", "unsettled"]);
    assert_eq!(bench.requests_of(Operation::Bulk), 0);
}

#[tokio::test]
async fn a_row_that_fails_concerns_only_itself() {
    let bench = Bench::new().await;
    let taken = bench.plant(3, "Already there");
    let batch = vec![
        bench.create(1, "Good"),
        bench.create(2, " "),
        bench.create(3, "Its own record"),
        bench.update(4, 999, "Unknown id"),
        bench.create(5, "Good too"),
    ];
    let results = bench.many(batch).await;
    let results: Vec<_> = results.iter().map(|(id, result)| (*id, word(result))).collect();
    assert_eq!(
        results,
        [(1, "held"), (2, "rejected"), (3, "held"), (4, "stale_mapping"), (5, "held")]
    );
    assert_eq!(bench.sim.row(Resource::Organisation, "3").unwrap().id, taken);
    assert_eq!(bench.name_of(3).as_deref(), Some("Its own record"));
    assert_eq!(bench.requests_of(Operation::Bulk), 1);
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_server_without_the_endpoint_gets_single_calls_from_then_on() {
    for missing in [Bulk::NotFound, Bulk::MethodNotAllowed] {
        let bench = Bench::new().await;
        bench.sim.configure(|settings| settings.bulk = missing);
        for round in 0..3 {
            let pushes = (1..=5).map(|id| bench.create(round * 10 + id, "Club")).collect();
            assert_eq!(words(&bench.many(pushes).await), [("held", 5)].into(), "{missing:?}");
        }
        assert_eq!(bench.requests_of(Operation::Bulk), 1, "{missing:?}: it is remembered");
        assert_eq!(bench.requests_of(Operation::Create), 15);
        bench.assert_no_violation();
    }
}

#[tokio::test]
async fn a_lost_answer_makes_every_row_ambiguous() {
    for fault in [
        Fault::CommitThenDrop,
        Fault::Drop,
        Fault::Hang { ms: None },
        Fault::CommitThenHang { ms: None },
        Fault::status(502),
        Fault::status(504),
        Fault::garbage(Garbage::Html),
        Fault::garbage(Garbage::EmptyBody),
        Fault::Garbage { what: Garbage::TruncatedJson, applied: true },
        Fault::Garbage { what: Garbage::CutOff, applied: true },
        Fault::SlowBody { chunk_bytes: 1, pause_ms: 50 },
    ] {
        let bench = Bench::impatient().await;
        bench.sim.faults().push(Rule::new(fault.clone()).operation(Operation::Bulk));
        let pushes = (1..=5).map(|id| bench.create(id, "Club")).collect();
        assert_eq!(words(&bench.many(pushes).await), [("ambiguous", 5)].into(), "{fault:?}");
        assert_eq!(bench.operations(), [Operation::Bulk], "{fault:?}: nothing more is sent");
    }
}

#[tokio::test]
async fn an_answer_that_has_not_a_result_per_row_proves_nothing() {
    let good = |id: i64| json!({"status": 201, "body": {"id": 900 + id, "externalId": id.to_string(), "name": "Club"}});
    for answer in [
        json!([good(1), good(2)]),
        json!([good(1), good(2), good(3), good(4)]),
        json!([]),
        json!({"rows": [good(1), good(2), good(3)]}),
        json!(null),
    ] {
        let bench = Bench::new().await;
        bench.sim.faults().push(Rule::new(answers(answer.clone())).operation(Operation::Bulk));
        let pushes = (1..=3).map(|id| bench.create(id, "Club")).collect();
        assert_eq!(words(&bench.many(pushes).await), [("ambiguous", 3)].into(), "{answer}");
    }
}

/// Results in another order than the request's would give every row another one's id.
#[tokio::test]
async fn a_row_of_the_answer_counts_only_for_the_record_that_it_names() {
    let named = |id: i64| json!({"id": 900 + id, "externalId": id.to_string(), "name": "Club"});
    let row = |status: Value, body: Value| json!({"status": status, "body": body});
    let answer = json!([
        row(json!(201), named(2)),
        row(json!(201), named(1)),
        row(json!(201), named(3)),
        row(json!("201"), named(4)),
        row(json!(201), json!(null)),
        {"body": named(6)},
        [201, named(7)],
        {"status": 400},
        {"status": 302, "body": named(9)},
    ]);
    let bench = Bench::new().await;
    bench.sim.faults().push(Rule::new(answers(answer)).operation(Operation::Bulk));
    let results = bench.many((1..=9).map(|id| bench.create(id, "Club")).collect()).await;
    let results: Vec<_> = results.values().map(word).collect();
    assert_eq!(results[..3], ["stale_mapping", "stale_mapping", "held"]);
    assert_eq!(results[3..7], ["ambiguous"; 4]);
    assert_eq!(results[7], "rejected");
    assert!(!["held", "gone", "adopted"].contains(&results[8]));
}

#[tokio::test]
async fn a_strangers_record_in_every_row_is_no_success() {
    let bench = Bench::new().await;
    bench
        .sim
        .faults()
        .push(Rule::new(Fault::garbage(Garbage::StrangersRecord)).operation(Operation::Bulk));
    let results = bench.many((1..=3).map(|id| bench.create(id, "Club")).collect()).await;
    assert_eq!(words(&results), [("stale_mapping", 3)].into());
}

/// One row that makes the whole call fail must not take the others along (G7): each is tried by itself.
#[tokio::test]
async fn a_refusal_of_the_whole_call_blames_no_row() {
    let relation = Fault::Status {
        code: 400,
        headers: Vec::new(),
        body: Some(json!({"message": "error.relationnotfound", "params": "organiser"})),
        applied: false,
    };
    for fault in [
        Fault::status(400),
        Fault::status(413),
        Fault::status(415),
        Fault::status(422),
        Fault::status(500),
        ems_sync_remotes::tagserver::data_access_failure(),
        relation,
    ] {
        let bench = Bench::new().await;
        let id = bench.plant(3, "Old");
        let poison = Rule::new(fault.clone()).external_id(2).writes().unlimited();
        bench.sim.faults().push(poison);
        let batch = vec![bench.create(1, "A"), bench.create(2, "B"), bench.update(3, id, "C")];
        let results = bench.many(batch).await;
        assert_eq!((word(&results[&1]), word(&results[&3])), ("held", "held"), "{fault:?}");
        assert!(matches!(&results[&2], ems_sync::remote::PushResult::Failed(_)), "{fault:?}");
    }
}

/// What concerns the whole target is not asked once per row.
#[tokio::test]
async fn a_target_that_is_busy_or_away_is_not_bothered_with_single_calls() {
    for (fault, expected) in [
        (Fault::status(503), "transient"),
        (Fault::throttled(9), "throttled"),
        (Fault::status(403), "configuration"),
    ] {
        let bench = Bench::new().await;
        bench.sim.faults().push(Rule::new(fault).operation(Operation::Bulk));
        let results = bench.many((1..=3).map(|id| bench.create(id, "Club")).collect()).await;
        assert_eq!(words(&results), [(expected, 3)].into());
        assert_eq!(bench.operations(), [Operation::Bulk]);
    }
}

#[tokio::test]
async fn types_are_not_mixed_in_a_call() {
    let bench = Bench::new().await;
    let person = |id: i64| {
        let entity = EntityRef::new(EntityType::Person, id);
        let fields = json!({"first_name": "Thandi", "last_name": "Nkosi"});
        let wire = bench.wire_of(entity, fields, &RemoteIds::new());
        let action = Action::Create { wire, look: Look::IfRefused };
        Push {
            entity,
            action,
            besides: Look::IfRefused,
            former: None,
            by_itself: false,
            send_before: in_time(),
            expected: None,
        }
    };
    let mut batch: Vec<_> = (1..=3).map(|id| bench.create(id, "Club")).collect();
    batch.extend((11..=13).map(person));
    assert_eq!(words(&bench.many(batch).await), [("held", 6)].into());
    assert_eq!(bench.operations(), [Operation::Bulk, Operation::Bulk]);
    assert_eq!(bench.sim.row_count(Resource::Person), 3);
    bench.assert_no_violation();
}
