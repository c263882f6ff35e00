//! Every fault of the simulator against every kind of push: the class that the contract has (section 8), never a panic and
//! never a success that is not one (obligations 2, 3, 6, 8 and 10).

use std::collections::BTreeSet;
use std::time::Duration;

use ems_sync::entity::EntityType;
use ems_sync::remote::{FailureClass, Push, PushResult, Remote as _};
use ems_sync_remotes::mautic::{ErrorShape, Role, contact_without_id, server_error_page};
use ems_sync_remotes::{Fault, Garbage, Offline, Operation, Rule};
use serde_json::{Value, json};

use super::bench::{Bench, answers, delete, delete_by_key, email, runner, word, words};

#[tokio::test]
async fn each_status_has_the_class_that_the_contract_gives_it() {
    let refusal =
        |code: u16| json!({"errors": [{"code": code, "message": "Unklar.", "details": []}]});
    let page = json!("<html><body>nginx</body></html>");
    let table = [
        // A gateway that gave up may have passed the write on.
        (Fault::status(408), "ambiguous", "transient"),
        (Fault::status(502), "ambiguous", "transient"),
        (Fault::status(504), "ambiguous", "transient"),
        (Fault::status(503), "transient", "transient"),
        (Fault::status(500), "transient", "transient"),
        (server_error_page(), "transient", "transient"),
        (answers(500, refusal(500)), "transient", "transient"),
        (Fault::status(409), "transient", "transient"),
        (Fault::throttled(0), "throttled", "throttled"),
        (Fault::status(403), "configuration", "configuration"),
        (Fault::status(401), "authentication", "authentication"),
        (Fault::status(405), "our_fault", "our_fault"),
        (Fault::status(415), "our_fault", "our_fault"),
        (Fault::status(302), "ambiguous", "transient"),
        (answers(400, refusal(400)), "rejected", "our_fault"),
        (answers(422, refusal(422)), "rejected", "our_fault"),
        (answers(400, page.clone()), "transient", "transient"),
        (answers(404, page.clone()), "transient", "transient"),
        (answers(200, page), "ambiguous", "transient"),
    ];
    let bench = Bench::new().await;
    let id = bench.plant(7, "Nkosi");
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
                _ => bench.client.list(EntityType::Person, None).await.unwrap_err().class.name(),
            };
            assert_eq!(class, read, "{operation:?}: {fault:?}");
            bench.sim.faults().remove(rule);
        }
    }
    assert_eq!(bench.name_of(7).as_deref(), Some("Nkosi"));
    assert_eq!(bench.sim.contact_count(), 1);
    bench.assert_no_violation();
}

/// 404 means that the mapping is stale only for an id that we knew.
#[tokio::test]
async fn a_404_of_no_contact_forgets_nothing() {
    let bench = Bench::new().await;
    for (operation, push) in [
        (Operation::Create, bench.create(8, "B")),
        (Operation::Find, bench.create_again(8, "B", true)),
        (Operation::Find, delete_by_key(7)),
    ] {
        bench.sim.faults().push(Rule::new(Fault::status(404)).operation(operation));
        assert_eq!(word(&bench.one(push).await), "transient", "{operation:?}");
    }
    bench.assert_no_violation();
}

#[tokio::test]
async fn both_shapes_of_a_refusal_are_read_and_neither_shows_a_value() {
    for shape in [ErrorShape::Errors, ErrorShape::Error] {
        let bench = Bench::with(|settings| settings.error_shape = shape).await;
        let mut row = runner(7, "Canary");
        row["country"] = json!("AX");
        let result = bench.one(super::bench::create(7, bench.wire_of(7, row))).await;
        assert_eq!(word(&result), "rejected", "{shape:?}");
        assert!(!format!("{result:?}").contains("Canary"));
        bench.assert_no_violation();
    }
}

#[tokio::test]
async fn no_failure_holds_a_value_a_secret_or_an_address() {
    let bench = Bench::new().await;
    let id = bench.plant(7, "Nkosi");
    let quote = json!({"errors": [{"code": 400, "message": format!("{} Canary", email(7)),
        "type": "Canary Canary", "details": {"email": [email(7)], "lastname": ["Canary"], "Canary": []}}]});
    let faults = [
        answers(400, quote.clone()),
        answers(403, quote.clone()),
        answers(500, quote),
        Fault::Drop,
        Fault::garbage(Garbage::Html),
        Fault::garbage(Garbage::TruncatedJson),
    ];
    for fault in faults {
        for push in [bench.create(8, "Canary"), bench.update(7, id, "Canary"), delete(7, id)] {
            let rule = bench.sim.faults().push(Rule::new(fault.clone()).writes().unlimited());
            let result = bench.one(push.clone()).await;
            bench.sim.faults().remove(rule);
            let text = format!("{result:?} {push:?}");
            for secret in ["Canary", "@", "ems-sync-secret", "127.0.0.1"] {
                assert!(!text.contains(secret), "{text}");
            }
        }
    }
}

/// Lost and unreadable answers, of every kind of write.
#[tokio::test]
async fn an_answer_that_proves_nothing_is_no_success() {
    let bench = Bench::impatient().await;
    let id = bench.plant(7, "Nkosi");
    let faults = [
        Fault::Drop,
        Fault::Hang { ms: None },
        Fault::garbage(Garbage::Html),
        Fault::garbage(Garbage::CutOff),
        Fault::garbage(Garbage::TruncatedJson),
        Fault::garbage(Garbage::EmptyBody),
        Fault::garbage(Garbage::EmptyList),
        Fault::SlowBody { chunk_bytes: 1, pause_ms: 100 },
        contact_without_id(),
    ];
    for (new, fault) in (10..).zip(faults) {
        for push in [bench.create(new, "New"), bench.update(7, id, "New")] {
            bench.sim.faults().push(Rule::new(fault.clone()).writes());
            assert_eq!(word(&bench.one(push).await), "ambiguous", "{fault:?}");
        }
        let rule = bench
            .sim
            .faults()
            .push(Rule::new(fault.clone()).operation(Operation::Find).unlimited());
        assert_eq!(
            word(&bench.one(bench.create_again(9, "New", true)).await),
            "transient",
            "{fault:?}"
        );
        bench.sim.faults().remove(rule);
    }
    assert_eq!(bench.sim.contacts_of("9"), []);
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_mautic_that_is_away_was_sent_nothing() {
    let bench = Bench::new().await;
    let id = bench.made(7, "Nkosi").await;
    bench.sim.go_offline(Offline::Refuse).await.unwrap();
    for push in [bench.create(8, "B"), bench.update(7, id, "N"), delete(7, id)] {
        let PushResult::Failed(failure) = bench.one(push).await else { panic!("no failure") };
        assert_eq!((failure.class, failure.unsent), (FailureClass::Transient, true));
    }
    bench.sim.go_online().await.unwrap();
    assert_eq!(word(&bench.one(bench.update(7, id, "New")).await), "held");
    bench.assert_no_violation();
}

/// The limit counts for an hour: what is left of it is told at once, and nothing more is sent meanwhile.
#[tokio::test]
async fn an_hourly_limit_pauses_the_whole_target_until_its_window_ends() {
    let bench = Bench::with(|settings| settings.rate_limit_per_hour = 4).await;
    let mut alarms = bench.client.alarms().listen();
    assert_eq!(word(&bench.one(bench.create(1, "A")).await), "held");
    assert_eq!(word(&bench.one(bench.create(2, "B")).await), "held");
    let before = bench.requests().len();
    let results = bench.many((3..=40).map(|id| bench.create(id, "C")).collect()).await;
    let words: BTreeSet<_> = words(&results).into_keys().collect();
    assert!(words.is_subset(&["throttled", "not_sent"].into()), "{words:?}");
    assert!(bench.requests().len() - before <= 16, "the others were not sent");
    let heard = ems_sync::remote::Alarms::heard(&mut alarms);
    let failure = tokio::time::timeout(super::bench::PATIENCE, heard).await.expect("is raised");
    assert_eq!(failure.class, FailureClass::Throttled);
    let pause = failure.retry_after.unwrap();
    assert!(pause > Duration::from_secs(3_500) && pause <= Duration::from_secs(3_600), "{pause:?}");
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_role_that_may_not_write_is_a_matter_of_the_configuration() {
    let bench = Bench::with(|settings| settings.role = Role::ViewOnly).await;
    let id = bench.plant(7, "Nkosi");
    let mut alarms = bench.client.alarms().listen();
    let results =
        bench.many(vec![bench.create(8, "B"), bench.update(7, id, "N"), delete(9, id)]).await;
    assert_eq!(results.values().filter(|r| word(r) == "configuration").count(), 2, "{results:?}");
    let heard = ems_sync::remote::Alarms::heard(&mut alarms);
    let failure = tokio::time::timeout(super::bench::PATIENCE, heard).await.expect("is raised");
    assert_eq!(failure.class, FailureClass::Configuration);
    bench.assert_no_violation();
}

/// Anything that is JSON, as the answer to anything: a class, never a panic, and never a success.
#[tokio::test]
async fn any_json_is_an_answer_that_proves_nothing() {
    let bench = Bench::new().await;
    let id = bench.plant(7, "Nkosi");
    let odd: [Value; 12] = [
        json!(null),
        json!(true),
        json!("contact"),
        json!([[], {}]),
        json!({"contact": null, "contacts": null, "total": null}),
        json!({"contact": {"id": {}}, "contacts": [[]], "total": "1"}),
        json!({"contact": {"id": id, "fields": {"all": {"ems_person_id": {}}}}, "contacts": {"a": 1}, "total": 1}),
        json!({"contact": {"id": 1e300}, "contacts": "x", "total": "0"}),
        json!({"contact": [], "contacts": [], "total": "-1"}),
        json!({"statusCodes": "200", "contacts": {"0": {}}, "total": "1"}),
        json!({"statusCodes": [200, 200], "contacts": [{"id": id}, null], "total": "2"}),
        json!({"errors": "none", "error": [], "contacts": {}, "total": []}),
    ];
    for answer in odd {
        for code in [200, 201, 400, 404, 422, 500] {
            let fault = answers(code, answer.clone());
            let rule = bench.sim.faults().push(Rule::new(fault).unlimited());
            // The token is asked for too.
            let pushes: Vec<Push> =
                vec![bench.update(7, id, "New"), bench.create(8, "B"), delete(9, id)];
            for result in bench.many(pushes).await.values() {
                assert!(matches!(result, PushResult::Failed(_)), "{code} {answer}: {result:?}");
            }
            bench.client.list(EntityType::Person, None).await.unwrap_err();
            bench.client.account().await.unwrap_err();
            bench.sim.faults().remove(rule);
        }
    }
    assert_eq!(bench.name_of(7).as_deref(), Some("Nkosi"));
}
