//! Every fault against every kind of push: the class that the contract has, never a panic and never a success that is not one
//! (obligations 2, 3, 4, 6, 8 and 10).

use std::time::Duration;

use ems_sync::remote::{Alarms, FailureClass, Push, PushResult, Remote as _, SendBefore};
use ems_sync_remotes::chatwoot::{ChatwootOptions, ServerErrorBody};
use ems_sync_remotes::{Fault, Garbage, Operation, Rule};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::bench::{
    Bench, answers, but, delete, delete_by_key, in_time, push, remote_id, runner, thandi, word,
};

/// The contract's table "Errors", as it holds for a write, and for a read where that is another class.
#[tokio::test]
async fn each_status_has_the_class_that_the_contract_gives_it() {
    let error = |error: &str| json!({ "error": error });
    let sign_in = json!({"errors": ["You need to sign in or sign up before continuing."]});
    let page = json!("<html><body>nginx</body></html>");
    let table = [
        (Fault::status(408), "ambiguous", "transient"),
        (Fault::status(502), "ambiguous", "transient"),
        (Fault::status(504), "ambiguous", "transient"),
        (Fault::status(500), "ambiguous", "transient"),
        (Fault::status(503), "transient", "transient"),
        (Fault::status(403), "configuration", "configuration"),
        (Fault::status(401), "authentication", "authentication"),
        (answers(401, sign_in), "configuration", "configuration"),
        (answers(401, error("Account is suspended")), "configuration", "configuration"),
        (
            answers(401, error("You are not authorized to do this action")),
            "configuration",
            "configuration",
        ),
        (Fault::status(405), "our_fault", "our_fault"),
        (Fault::status(422), "rejected", "rejected"),
        (answers(422, error("Invalid filter")), "our_fault", "our_fault"),
        (answers(422, page.clone()), "transient", "transient"),
        (answers(404, page.clone()), "transient", "transient"),
        (answers(500, page), "ambiguous", "transient"),
    ];
    let bench = Bench::new().await;
    let id = remote_id(&bench.one(bench.create(42, thandi())).await);
    let changed = but(thandi(), json!({"city": "Pretoria"}));
    for (fault, write, read) in table {
        let rule = bench.sim.faults().push(Rule::new(fault.clone()).writes().unlimited());
        assert_eq!(word(&bench.one(bench.create(8, runner(8))).await), write, "create: {fault:?}");
        let update = bench.update(42, id, changed.clone());
        assert_eq!(word(&bench.one(update).await), write, "update: {fault:?}");
        assert_eq!(word(&bench.one(delete(42, id)).await), write, "unlink: {fault:?}");
        bench.sim.faults().remove(rule);
        for operation in [Operation::Find, Operation::Read, Operation::List] {
            let rule = Rule::new(fault.clone()).operation(operation).unlimited();
            let rule = bench.sim.faults().push(rule);
            let class = match operation {
                Operation::Find => word(&bench.one(delete_by_key(7)).await),
                Operation::Read => word(&bench.one(delete(42, id)).await),
                _ => {
                    let person = ems_sync::entity::EntityType::Person;
                    bench.client.list(person, None).await.unwrap_err().class.name()
                }
            };
            assert_eq!(class, read, "{operation:?}: {fault:?}");
            bench.sim.faults().remove(rule);
        }
    }
    // The unknown account: nobody's contact is to blame.
    let gone = answers(404, error("Resource could not be found"));
    bench.sim.faults().push(Rule::new(gone).operation(Operation::Create));
    assert_eq!(word(&bench.one(bench.create(8, runner(8))).await), "configuration");
}

#[tokio::test]
async fn both_forms_of_a_500_are_one() {
    for form in [ServerErrorBody::Html, ServerErrorBody::Json] {
        let bench = Bench::new().await;
        bench.sim.configure(|settings| settings.server_error = form);
        bench.sim.faults().push(Rule::new(Fault::status(500)).operation(Operation::Create));
        assert_eq!(word(&bench.one(bench.create(8, runner(8))).await), "ambiguous", "{form:?}");
    }
}

/// Text, no `Retry-After`: the limits hold per minute of the server's clock (contract, sections 8 and 9).
#[tokio::test]
async fn a_limit_pauses_everything_until_the_next_minute_of_the_servers_clock() {
    let bench = Bench::new().await;
    bench.sim.configure(|settings| {
        settings.requests_per_minute = 4;
        settings.clock_offset_seconds = 3_600;
    });
    let mut alarm = bench.client.alarms().listen();
    let results = bench.many((1..=20).map(|id| bench.create(id, runner(id))).collect()).await;
    let pauses = results.values().filter_map(|result| match result {
        PushResult::Failed(failure) if failure.class == FailureClass::Throttled => {
            failure.retry_after
        }
        _ => None,
    });
    let pauses: Vec<Duration> = pauses.collect();
    assert!(
        !pauses.is_empty() && pauses.iter().all(|p| *p <= Duration::from_secs(66)),
        "{pauses:?}"
    );
    let heard =
        tokio::time::timeout(Duration::from_secs(5), Alarms::heard(&mut alarm)).await.unwrap();
    assert_eq!(heard.class, FailureClass::Throttled);
    // It keeps quiet at once, also for what waited for a slot.
    assert!(bench.sim.journal().len() <= 12, "{}", bench.sim.journal().len());
    assert_eq!(word(&bench.one(bench.create(99, runner(99))).await), "not_sent");
    bench.assert_no_violation();
}

/// There is no login that could help (contract, section 8).
#[tokio::test]
async fn a_token_that_is_revoked_in_mid_batch_is_told_at_once_and_tried_no_second_time() {
    let bench = Bench::new().await;
    let mut alarm = bench.client.alarms().listen();
    bench.sim.faults().push(Rule::new(Fault::RevokeToken).operation(Operation::Create).nth(3));
    let results = bench.many((1..=8).map(|id| bench.create(id, runner(id))).collect()).await;
    let words: Vec<_> = results.values().map(word).collect();
    assert!(words.contains(&"held") && words.contains(&"authentication"), "{words:?}");
    assert!(words.iter().all(|word| ["held", "authentication"].contains(word)), "{words:?}");
    let heard =
        tokio::time::timeout(Duration::from_secs(5), Alarms::heard(&mut alarm)).await.unwrap();
    assert_eq!(heard.class, FailureClass::Authentication);
    let requests = bench.sim.journal().len();
    assert_eq!(word(&bench.one(bench.create(9, runner(9))).await), "authentication");
    assert_eq!(bench.sim.journal().len(), requests + 1);
    bench.assert_no_violation();
}

/// Some versions refuse whoever accepts an encoding; proxies drop headers with underscores (contract, section 1).
#[tokio::test]
async fn the_token_goes_with_hyphens_and_no_encoding_is_accepted() {
    let bench = Bench::new().await;
    bench.sim.configure(|settings| {
        settings.refuse_accept_encoding = true;
        settings.drop_underscore_headers = true;
    });
    assert_eq!(word(&bench.one(bench.create(1, runner(1))).await), "held");
    bench.assert_no_violation();
}

#[tokio::test]
async fn one_that_hangs_holds_up_no_other_and_is_ambiguous() {
    let bench = Bench::impatient().await;
    bench.sim.faults().push(Rule::new(Fault::Hang { ms: None }).operation(Operation::Create));
    let results = bench.many((1..=8).map(|id| bench.create(id, runner(id))).collect()).await;
    let ambiguous = results.values().filter(|result| word(result) == "ambiguous").count();
    let held = results.values().filter(|result| word(result) == "held").count();
    assert_eq!((ambiguous, held), (1, 7), "{results:?}");
    bench.sim.faults().push(Rule::new(Fault::Hang { ms: None }).operation(Operation::Find));
    assert_eq!(word(&bench.one(bench.create(9, runner(9))).await), "transient");
}

#[tokio::test]
async fn nothing_is_sent_late() {
    let bench = Bench::new().await;
    let late = |mut push: Push| {
        push.send_before = SendBefore::from(Instant::now());
        push
    };
    let pushes =
        [bench.create(1, runner(1)), bench.update(1, 5, runner(1)), delete(1, 5), delete_by_key(1)];
    for push in pushes {
        assert_eq!(word(&bench.one(late(push)).await), "not_sent");
    }
    assert_eq!(bench.operations(), []);
    // The time is over after the look-up: still nothing was written.
    let in_between = Fault::Delay { ms: 400 };
    bench.sim.faults().push(Rule::new(in_between).operation(Operation::Find));
    let mut push = bench.create(1, runner(1));
    push.send_before = SendBefore::from(Instant::now() + Duration::from_millis(200));
    assert_eq!(word(&bench.one(push).await), "not_sent");
    // After a write it is no longer known what became of it.
    bench.sim.faults().push(Rule::new(Fault::status(500)).operation(Operation::Create));
    bench.sim.faults().push(Rule::new(Fault::Delay { ms: 400 }).operation(Operation::Create));
    let mut push = bench.create(1, runner(1));
    push.send_before = SendBefore::from(Instant::now() + Duration::from_millis(200));
    let result = bench.one(push).await;
    assert!(["ambiguous", "not_sent"].contains(&word(&result)), "{result:?}");
    assert_eq!(bench.sim.contact_count(), 0);
}

#[tokio::test]
async fn nothing_is_written_to_another_account_than_the_one_to_stay_with() {
    let bench = Bench::new().await;
    let account = bench.client.account().await.unwrap();
    let mut other = account;
    other.login = bench.wire(1, runner(1)).hash;
    bench.client.stay_with(other);
    assert_eq!(bench.client.account().await.unwrap(), account);
    tokio::time::timeout(Duration::from_secs(5), bench.client.changed()).await.unwrap();
    assert_eq!(word(&bench.one(bench.create(1, runner(1))).await), "not_sent");
    bench.client.stay_with(account);
    assert_eq!(word(&bench.one(bench.create(1, runner(1))).await), "held");
}

#[tokio::test]
async fn failures_hold_nothing_personal_and_no_address() {
    let bench = Bench::new().await;
    let id = remote_id(&bench.one(bench.create(42, thandi())).await);
    let personal = "Thandi Nkosi <thandi@example.org>";
    for (code, body) in [
        (422, json!({"message": personal, "attributes": ["email", personal]})),
        (422, json!({ "error": personal })),
        (401, json!({ "error": personal })),
        (404, json!({ "error": personal })),
        (500, json!(personal)),
        (200, json!({"payload": {"id": personal, "name": personal}})),
    ] {
        let rule = bench.sim.faults().push(Rule::new(answers(code, body)).writes().unlimited());
        for push in [bench.create(8, thandi()), bench.update(42, id, runner(42)), delete(42, id)] {
            let shown = format!("{:?}", bench.one(push).await);
            assert!(shown.contains("Failed") || code == 404, "{code}: {shown}");
            for word in ["Thandi", "example.org", "/api/v1", "ems-sync-token"] {
                assert!(!shown.contains(word), "{code}: {shown}");
            }
        }
        bench.sim.faults().remove(rule);
    }
    let shown = format!("{:?}", bench.wire(42, thandi()));
    assert!(!shown.contains("Thandi"), "{shown}");
}

#[tokio::test]
async fn what_is_no_person_is_our_fault() {
    let bench = Bench::new().await;
    let mut push = push(1, ems_sync::remote::Action::DeleteByKey);
    push.entity.entity_type = ems_sync::entity::EntityType::Event;
    push.send_before = in_time();
    let (sender, mut receiver) = ems_sync::remote::Results::channel();
    bench.client.push(vec![push], sender).await;
    let (_, result) = receiver.recv().await.unwrap();
    assert_eq!(word(&result), "our_fault");
}

/// A flood of nonsense by dice, at every request: every push is answered, nothing is held that is not, and in the end there
/// is one contact per person.
#[tokio::test]
async fn whatever_is_held_under_dice_is_really_there() {
    for seed in 1..=4 {
        let mut options = ChatwootOptions::default();
        options.server.seed = seed;
        options.settings.safelisted = true;
        let bench = Bench::with(options, |http| http.timeout = Duration::from_millis(200)).await;
        for fault in [
            Fault::Drop,
            Fault::CommitThenDrop,
            Fault::Hang { ms: None },
            Fault::status(500),
            Fault::status(503),
            Fault::Garbage { what: Garbage::Html, applied: true },
            Fault::Garbage { what: Garbage::TruncatedJson, applied: true },
            Fault::Garbage { what: Garbage::StrangersRecord, applied: true },
            Fault::Garbage { what: Garbage::EmptyBody, applied: false },
            Fault::Garbage { what: Garbage::EmptyList, applied: false },
            Fault::Garbage { what: Garbage::CutOff, applied: true },
        ] {
            bench.sim.faults().push(Rule::new(fault).probability(0.03).unlimited());
        }
        let in_round =
            |id: i64, round: i64| but(runner(id), json!({"city": format!("City {round}")}));
        for round in 0..8 {
            let batch = (1..=20).map(|id| match round {
                0 => bench.create(id, in_round(id, round)),
                _ => bench.create_again(id, in_round(id, round), true),
            });
            for (id, result) in bench.many(batch.collect()).await {
                if let PushResult::Held { remote_id, remote_hash, .. } = result {
                    let row = bench.sim.contact(&id.to_string()).unwrap();
                    assert_eq!(remote_id, row.id.to_string());
                    assert_eq!(row.body["additional_attributes"]["city"], format!("City {round}"));
                    assert_eq!(
                        remote_hash,
                        bench.wire(id, in_round(id, round)).hash,
                        "seed {seed}"
                    );
                }
            }
        }
        bench.sim.faults().clear();
        let bench = bench.patient();
        let batch = (1..=20).map(|id| bench.create_again(id, in_round(id, 9), true)).collect();
        for (id, result) in bench.many(batch).await {
            assert!(["held", "adopted"].contains(&word(&result)), "seed {seed}: {id} {result:?}");
        }
        assert_eq!(bench.sim.contact_count(), 20, "seed {seed}");
        bench.assert_no_violation();
    }
}

#[tokio::test]
async fn a_probe_asks_and_changes_nothing() {
    let bench = Bench::new().await;
    bench.client.probe().await.unwrap();
    let refused = bench.with_client("another-token", 1).client.probe().await.unwrap_err();
    assert_eq!(refused.class, FailureClass::Authentication);
    bench.sim.faults().push(Rule::new(answers(200, Value::Null)));
    assert_eq!(bench.client.probe().await.unwrap_err().class, FailureClass::Transient);
    assert!(bench.operations().iter().all(|operation| !operation.is_write()));
}
