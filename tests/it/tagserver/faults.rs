//! Every fault of the simulator against every kind of push: the class that the contract has, never a panic and never a
//! success that is not one (obligations 2, 3, 6 and 8).

use std::time::Duration;

use ems_sync::remote::{Push, PushResult, Remote as _};
use ems_sync_remotes::tagserver::{Resource, TagServerOptions};
use ems_sync_remotes::{Fault, Garbage, Offline, Operation, Rule};
use serde_json::{Value, json};

use super::bench::{Bench, delete, delete_by_key, organisation, word, words};

fn with_body(code: u16, body: Value) -> Fault {
    Fault::Status { code, headers: Vec::new(), body: Some(body), applied: false }
}

/// The contract's table "Errors", as it holds for a write, and for a read where that is another class.
#[tokio::test]
async fn each_status_has_the_class_that_the_contract_gives_it() {
    let message = |message: &str| json!({"title": "Bad Request", "message": message});
    let page = json!("<html><body>nginx</body></html>");
    let table = [
        // A gateway that gave up may have passed the write on.
        (Fault::status(408), "ambiguous", "transient"),
        (Fault::status(502), "ambiguous", "transient"),
        (Fault::status(504), "ambiguous", "transient"),
        (Fault::status(503), "transient", "transient"),
        (Fault::status(500), "transient", "transient"),
        (Fault::status(501), "transient", "transient"),
        (Fault::status(409), "transient", "transient"),
        (Fault::status(429), "throttled", "throttled"),
        (Fault::throttled(0), "throttled", "throttled"),
        (Fault::status(403), "configuration", "configuration"),
        (Fault::status(401), "authentication", "authentication"),
        (Fault::status(405), "our_fault", "our_fault"),
        (Fault::status(413), "our_fault", "our_fault"),
        (Fault::status(415), "our_fault", "our_fault"),
        (Fault::status(400), "rejected", "rejected"),
        (Fault::status(422), "rejected", "rejected"),
        (with_body(400, message("error.validation")), "rejected", "rejected"),
        (with_body(400, message("error.idexists")), "rejected", "rejected"),
        (with_body(400, message("error.idnull")), "rejected", "rejected"),
        (with_body(400, message("error.idinvalid")), "rejected", "rejected"),
        (with_body(400, message("error.idnotfound")), "stale_mapping", "stale_mapping"),
        (with_body(500, page.clone()), "transient", "transient"),
        (with_body(404, page.clone()), "transient", "transient"),
        (with_body(400, page), "transient", "transient"),
        (with_body(400, json!("")), "rejected", "rejected"),
    ];
    let bench = Bench::new().await;
    let id = bench.plant(7, "Club");
    for (fault, write, read) in table {
        let rule = bench.sim.faults().push(Rule::new(fault.clone()).writes().unlimited());
        assert_eq!(word(&bench.one(bench.create(8, "B")).await), write, "create: {fault:?}");
        assert_eq!(word(&bench.one(bench.update(7, id, "N")).await), write, "update: {fault:?}");
        assert_eq!(word(&bench.one(delete(7, id)).await), write, "delete: {fault:?}");
        bench.sim.faults().remove(rule);
        for operation in [Operation::Find, Operation::Read, Operation::List] {
            let rule = Rule::new(fault.clone()).operation(operation).unlimited();
            let rule = bench.sim.faults().push(rule);
            let class = match operation {
                Operation::Find => word(&bench.one(delete_by_key(7)).await),
                Operation::Read => word(&bench.one(delete(7, id)).await),
                _ => bench
                    .client
                    .list(organisation(0).entity_type, None)
                    .await
                    .unwrap_err()
                    .class
                    .name(),
            };
            assert_eq!(class, read, "{operation:?}: {fault:?}");
            bench.sim.faults().remove(rule);
        }
    }
    assert_eq!(bench.name_of(7).as_deref(), Some("Club"));
    assert_eq!(bench.sim.row_count(Resource::Organisation), 1);
}

/// 404 means that the mapping is stale only for an id that we knew. On a collection it says that the base URL is wrong or
/// that the application behind the proxy is away; nothing is forgotten for that.
#[tokio::test]
async fn a_404_is_a_stale_mapping_for_a_known_id_only() {
    let bench = Bench::new().await;
    let id = bench.plant(7, "Club");
    bench.sim.faults().push(Rule::new(Fault::status(404)).operation(Operation::Replace));
    assert_eq!(word(&bench.one(bench.update(7, id, "N")).await), "stale_mapping");
    for (operation, push) in [
        (Operation::Create, bench.create(8, "B")),
        (Operation::Find, bench.create_again(8, "B", true)),
        (Operation::Find, delete_by_key(7)),
    ] {
        bench.sim.faults().push(Rule::new(Fault::status(404)).operation(operation));
        assert_eq!(word(&bench.one(push).await), "transient", "{operation:?}");
    }
}

/// Words that look like a missing relation do not make a parent of a validation error.
#[tokio::test]
async fn the_code_of_a_problem_counts_before_its_words() {
    let bench = Bench::new().await;
    let body = json!({"message": "error.validation", "detail": "person Unknown: event missing, race not found",
                      "fieldErrors": [{"field": "name", "message": "NotNull"}]});
    bench.sim.faults().push(Rule::new(with_body(400, body)).writes());
    assert_eq!(word(&bench.one(bench.create(8, "B")).await), "rejected");
}

#[tokio::test]
async fn the_pause_that_the_server_asks_for_is_passed_on_in_either_form() {
    let bench = Bench::new().await;
    // The server's clock counts, also where it is a day ahead.
    bench.sim.configure(|settings| settings.clock_offset_seconds = 86_400);
    let later = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(86_400 + 120);
    let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&later);
    for (text, seconds) in [
        ("7".to_owned(), 7..=7),
        (date.unwrap(), 118..=120),
        ("Thu, 01 Jan 1970 00:00:00 GMT".to_owned(), 0..=0),
    ] {
        for code in [429, 503] {
            let headers = vec![("Retry-After".to_owned(), text.clone())];
            let fault = Fault::Status { code, headers, body: None, applied: false };
            // A client of its own, which keeps no pause from before.
            let bench = bench.fresh();
            bench.sim.faults().push(Rule::new(fault).writes());
            let PushResult::Failed(failure) = bench.one(bench.create(1, "A")).await else {
                panic!("{text}")
            };
            let pause = failure.retry_after.expect("a pause").as_secs();
            assert!(seconds.contains(&pause), "{text}: {pause}");
        }
    }
    for text in ["soon", "-1", "", "1.5"] {
        let headers = vec![("Retry-After".to_owned(), text.to_owned())];
        let fault = Fault::Status { code: 429, headers, body: None, applied: false };
        bench.sim.faults().push(Rule::new(fault).writes());
        let PushResult::Failed(failure) = bench.one(bench.create(1, "A")).await else { panic!() };
        assert_eq!((failure.class.name(), failure.retry_after), ("throttled", None), "{text}");
    }
}

/// The shared state tells the other processes within a second; this one is quiet from the answer on.
#[tokio::test]
async fn nothing_is_sent_in_the_moment_after_the_server_asked_for_a_pause() {
    let bench = Bench::with(TagServerOptions::default(), |http| http.concurrency = 1).await;
    let bench = bench.without_bulk();
    let id = bench.plant(1, "A");
    assert_eq!(word(&bench.one(bench.update(1, id, "A")).await), "held");
    bench.sim.faults().push(Rule::new(Fault::throttled(1)).writes());
    let requests = bench.sim.counters().requests;
    let results = bench.many((2..=20).map(|id| bench.create(id, "B")).collect()).await;
    assert_eq!(words(&results), [("throttled", 1), ("not_sent", 18)].into());
    assert_eq!(bench.sim.counters().requests, requests + 1, "the others waited for the slot");
    assert_eq!(bench.client.probe().await.unwrap_err().class.name(), "throttled");
    let over = async {
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        while word(&bench.one(bench.create(2, "B")).await) == "not_sent" {
            pace.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), over).await.expect("the pause has an end");
    assert_eq!(bench.name_of(2).as_deref(), Some("B"));
}

/// What comes between us and the server, for every request of every kind of push.
#[tokio::test]
async fn a_lost_or_senseless_answer_is_ambiguous_for_a_write_and_transient_for_a_read() {
    let bench = Bench::impatient().await;
    let id = bench.plant(7, "Club");
    let big = json!("x".repeat(9 * 1024 * 1024));
    let redirect = |code| Fault::Status {
        code,
        headers: vec![(
            "Location".to_owned(),
            format!("{}/api/organisations", bench.sim.base_url()),
        )],
        body: None,
        applied: false,
    };
    let faults = [
        Fault::Drop,
        Fault::CommitThenDrop,
        Fault::Hang { ms: None },
        Fault::CommitThenHang { ms: None },
        Fault::Hang { ms: Some(20) },
        Fault::garbage(Garbage::Html),
        Fault::garbage(Garbage::EmptyBody),
        Fault::garbage(Garbage::TruncatedJson),
        Fault::garbage(Garbage::CutOff),
        Fault::Delay { ms: 3_000 },
        redirect(301),
        redirect(302),
        redirect(307),
        redirect(308),
        with_body(200, big),
    ];
    for fault in faults {
        let struck = |operation| {
            bench.sim.faults().push(Rule::new(fault.clone()).operation(operation).unlimited())
        };
        let pushes: [(Operation, Push, &str); 5] = [
            (Operation::Create, bench.create(8, "B"), "ambiguous"),
            (Operation::Replace, bench.update(7, id, "Club"), "ambiguous"),
            (Operation::Find, bench.create_again(8, "B", true), "transient"),
            (Operation::Find, delete_by_key(7), "transient"),
            (Operation::Read, delete(7, id), "transient"),
        ];
        for (operation, push, expected) in pushes {
            let rule = struck(operation);
            let result = bench.one(push).await;
            bench.sim.faults().remove(rule);
            assert_eq!(word(&result), expected, "{operation:?}: {fault:?} {result:?}");
            assert!(matches!(result, PushResult::Failed(failure) if !failure.unsent), "{fault:?}");
        }
    }
}

/// An answer that would be a success if it were read to its end.
#[tokio::test]
async fn an_answer_that_is_longer_than_is_read_is_no_answer() {
    let bench = Bench::new().await;
    let id = bench.plant(7, "Club");
    let padded = |bytes: usize| {
        let padding = "x".repeat(bytes);
        let row = json!({"id": id, "externalId": "7", "name": "Club", "padding": padding});
        Rule::new(with_body(200, row)).operation(Operation::Replace)
    };
    bench.sim.faults().push(padded(7 * 1024 * 1024));
    assert_eq!(word(&bench.one(bench.update(7, id, "Club")).await), "held");
    bench.sim.faults().push(padded(9 * 1024 * 1024));
    assert_eq!(word(&bench.one(bench.update(7, id, "Club")).await), "ambiguous");
}

/// A body that trickles within the deadline is an answer like any other.
#[tokio::test]
async fn a_slow_answer_is_read_to_its_end() {
    let bench = Bench::new().await;
    let slow = Fault::SlowBody { chunk_bytes: 7, pause_ms: 1 };
    bench.sim.faults().push(Rule::new(slow.clone()).operation(Operation::Create));
    assert_eq!(word(&bench.one(bench.create(1, "Club")).await), "held");
    let bench = Bench::impatient().await;
    let slow = Fault::SlowBody { chunk_bytes: 1, pause_ms: 50 };
    bench.sim.faults().push(Rule::new(slow).operation(Operation::Create));
    let began = tokio::time::Instant::now();
    assert_eq!(word(&bench.one(bench.create(1, "Club")).await), "ambiguous");
    assert!(began.elapsed() < Duration::from_secs(2), "the deadline holds for the body too");
}

#[tokio::test]
async fn a_strangers_record_or_an_empty_list_is_no_success_of_a_write() {
    let bench = Bench::new().await;
    let id = bench.plant(7, "Club");
    bench.plant(9, "Stranger");
    for (what, expected) in
        [(Garbage::StrangersRecord, "stale_mapping"), (Garbage::EmptyList, "ambiguous")]
    {
        for applied in [false, true] {
            let push =
                || bench.sim.faults().push(Rule::new(Fault::Garbage { what, applied }).writes());
            push();
            assert_eq!(word(&bench.one(bench.update(7, id, "New")).await), expected, "{what:?}");
            push();
            assert_eq!(word(&bench.one(bench.create(8, "New")).await), expected, "{what:?}");
        }
    }
}

/// A server that is away: nothing can have been applied where no connection stood, and that is said.
#[tokio::test]
async fn a_server_that_is_away_is_transient_and_unsent_or_its_answer_is_lost() {
    let bench = Bench::impatient().await;
    let id = bench.plant(7, "Club");
    assert_eq!(word(&bench.one(bench.update(7, id, "Club")).await), "held", "has its token");
    for (offline, expected, unsent) in [
        (Offline::Refuse, "transient", true),
        (Offline::Close, "ambiguous", false),
        (Offline::Hang, "ambiguous", false),
    ] {
        bench.sim.go_offline(offline).await.unwrap();
        let result = bench.one(bench.update(7, id, "New")).await;
        assert_eq!(word(&result), expected, "{offline:?} {result:?}");
        assert!(matches!(result, PushResult::Failed(f) if f.unsent == unsent), "{offline:?}");
        let alone = bench.fresh();
        let result = alone.one(alone.update(7, id, "New")).await;
        assert_eq!(word(&result), "transient", "only a login was sent: {offline:?}");
        bench.sim.go_online().await.unwrap();
        assert_eq!(word(&bench.one(bench.update(7, id, "Club")).await), "held", "and back");
    }
}

/// Errors carry codes and names of fields. What the server echoes stays out, in whatever field it comes (obligation 8).
#[tokio::test]
async fn no_echo_of_a_value_comes_into_an_error() {
    let bench = Bench::new().await;
    let id = bench.plant(7, "Club");
    let name = "Canarybird";
    for code in [400, 401, 403, 404, 409, 422, 429, 500, 503] {
        for body in [
            json!(format!("{name} is not valid")),
            json!({"title": name, "detail": name, "message": name, "path": name, "params": name}),
            json!({"message": "error.validation", "detail": format!("Failure: {name}"),
                   "fieldErrors": [{"objectName": name, "field": "firstName", "message": name},
                                   {"objectName": "person", "field": name, "message": "NotNull"}]}),
            json!([name]),
        ] {
            let fault = with_body(code, body.clone());
            let rule =
                bench.sim.faults().push(Rule::new(fault).operation(Operation::Replace).unlimited());
            let result = bench.one(bench.update(7, id, name)).await;
            bench.sim.faults().remove(rule);
            let PushResult::Failed(failure) = result else { panic!("{code} {body}") };
            let shown = format!("{failure} {failure:?}");
            assert!(!shown.contains(name), "{code} {body}: {shown}");
            assert!(!shown.contains("/api"), "no URL: {shown}");
        }
    }
    let body = json!({"message": "error.validation",
                      "fieldErrors": [{"objectName": "organisation", "field": "name", "message": "NotNull"}]});
    bench.sim.faults().push(Rule::new(with_body(400, body)).writes());
    let PushResult::Failed(failure) = bench.one(bench.update(7, id, name)).await else { panic!() };
    assert_eq!(
        failure.text, "400 error.validation name=NotNull",
        "what an operator needs is shown"
    );
}

/// A flood of nonsense by dice, at every request: every push is answered, nothing is held that is not, and in the end
/// there is one record per entity.
#[tokio::test]
async fn whatever_is_held_under_dice_is_really_there() {
    for seed in 1..=5 {
        let mut options = TagServerOptions::default();
        options.server.seed = seed;
        let bench = Bench::with(options, |http| http.timeout = Duration::from_millis(200)).await;
        for fault in [
            Fault::Drop,
            Fault::CommitThenDrop,
            Fault::Hang { ms: None },
            Fault::status(500),
            Fault::status(503),
            Fault::RevokeToken,
            Fault::Garbage { what: Garbage::Html, applied: true },
            Fault::Garbage { what: Garbage::TruncatedJson, applied: true },
            Fault::Garbage { what: Garbage::StrangersRecord, applied: true },
            Fault::Garbage { what: Garbage::EmptyBody, applied: false },
            Fault::Garbage { what: Garbage::CutOff, applied: true },
        ] {
            bench.sim.faults().push(Rule::new(fault).probability(0.05).unlimited());
        }
        for round in 0..10 {
            let batch = (1..=30)
                .map(|id| {
                    let name = format!("Club {round}");
                    match round {
                        0 => bench.create(id, &name),
                        _ => bench.create_again(id, &name, true),
                    }
                })
                .collect();
            for (id, result) in bench.many(batch).await {
                if let PushResult::Held { remote_id, remote_hash, .. } = result {
                    let row = bench.sim.row(Resource::Organisation, &id.to_string()).unwrap();
                    assert_eq!(remote_id, row.id.to_string());
                    let name = row.body["name"].as_str().unwrap();
                    assert_eq!(remote_hash, bench.wire(id, name).hash, "seed {seed}");
                    assert_eq!(name, format!("Club {round}"), "seed {seed}");
                }
            }
        }
        bench.sim.faults().clear();
        let bench = bench.patient();
        let batch = (1..=30).map(|id| bench.create_again(id, "In the end", true)).collect();
        assert_eq!(words(&bench.many(batch).await), [("held", 30)].into(), "seed {seed}");
        assert_eq!(bench.sim.row_count(Resource::Organisation), 30, "seed {seed}");
        bench.assert_no_violation();
    }
}
