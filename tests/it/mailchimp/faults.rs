//! What goes wrong between us and MailChimp (contract, sections 0.5 and 9).

use std::time::Duration;

use ems_sync::remote::{Alarms, FailureClass, PushResult, Remote as _, SendBefore};
use ems_sync_remotes::mailchimp::ThrottledAnswer;
use ems_sync_remotes::{Fault, Garbage, Operation, Rule};
use serde_json::json;
use tokio::time::Instant;

use super::bench::{Bench, EMAIL, NEWS, PATIENCE, in_list, options, reader, remote_id, row, word};

/// A pause is asked for without any header that says how long, and not always in JSON.
#[tokio::test]
async fn every_form_of_throttle_pauses_the_target_and_is_told_at_once() {
    for form in [
        ThrottledAnswer::Problem,
        ThrottledAnswer::BareForbidden,
        ThrottledAnswer::BareTooManyRequests,
    ] {
        let bench = Bench::new().await;
        bench.sim.configure(|settings| {
            settings.throttled_answer = form;
            settings.foreign_connections = 10;
        });
        let mut alarms = bench.client.alarms().listen();
        let result = bench.one(bench.create(42, &reader("SUBSCRIBED", 1))).await;
        assert_eq!(word(&result), "throttled", "{form:?}");
        let heard = tokio::time::timeout(PATIENCE, Alarms::heard(&mut alarms)).await.unwrap();
        assert_eq!(heard.class, FailureClass::Throttled);
        bench.sim.configure(|settings| settings.foreign_connections = 0);
        let mark = bench.mark();
        let result = bench.one(bench.create(42, &reader("SUBSCRIBED", 1))).await;
        assert_eq!(word(&result), "not_sent", "it keeps quiet");
        assert_eq!(bench.mark(), mark);
        bench.assert_clean();
    }
}

/// What was written before the pause is kept, and nothing of it is taken for a lost answer.
#[tokio::test]
async fn a_pause_in_the_middle_of_a_person_keeps_what_is_there() {
    let bench = Bench::new().await;
    let mut labelled = reader("SUBSCRIBED", 1);
    labelled["memberships"]["news"]["labels"] = json!(["VIP"]);
    let tags = Rule::new(Fault::throttled(1)).route("/3.0/lists/{list_id}/members/{hash}/tags");
    bench.sim.faults().push(tags);
    let PushResult::Failed(failure) = bench.one(bench.create(42, &labelled)).await else {
        panic!("not failed")
    };
    assert_eq!(failure.class, FailureClass::Throttled);
    let contact = bench.member(NEWS, EMAIL).body["contact_id"].clone();
    assert!(failure.found.unwrap().contains(contact.as_str().unwrap()));
    bench.assert_clean();
}

#[tokio::test]
async fn never_more_requests_at_once_than_configured() {
    let bench = Bench::new().await;
    let row = |n: i64| row(&format!("p{n}@club.org"), json!({"news": in_list("SUBSCRIBED", 1)}));
    let batch: Vec<_> = (1..=60).map(|n| bench.create(n, &row(n))).collect();
    bench.sim.set_latency(Duration::from_millis(2));
    let results = bench.many(batch).await;
    assert!(results.values().all(|result| word(result) == "held"));
    assert_eq!(bench.sim.rows(NEWS).len(), 60);
    // With five more of other apps it is at the limit of ten.
    bench.sim.configure(|settings| settings.foreign_connections = 5);
    let batch: Vec<_> =
        results.iter().map(|(n, result)| bench.update(*n, &remote_id(result), &row(*n))).collect();
    assert!(bench.many(batch).await.values().all(|result| word(result) == "adopted"));
    bench.assert_clean();
}

#[tokio::test]
async fn a_key_that_is_revoked_in_mid_batch_disables_the_target() {
    let bench = Bench::new().await;
    bench.sim.faults().push(Rule::new(Fault::RevokeToken).operation(Operation::Replace));
    let mut alarms = bench.client.alarms().listen();
    let row = |n: i64| row(&format!("p{n}@club.org"), json!({"news": in_list("SUBSCRIBED", 1)}));
    let batch: Vec<_> = (1..=20).map(|n| bench.create(n, &row(n))).collect();
    let results = bench.many(batch).await;
    assert!(results.values().all(|result| word(result) == "authentication"), "{results:?}");
    let heard = tokio::time::timeout(PATIENCE, Alarms::heard(&mut alarms)).await.unwrap();
    assert_eq!(heard.class, FailureClass::Authentication);
    assert_eq!(bench.sim.rows(NEWS), []);
}

#[tokio::test]
async fn a_deactivated_account_and_a_list_that_is_gone_are_configuration() {
    let bench = Bench::new().await;
    bench.sim.configure(|settings| settings.deactivated = true);
    let result = bench.one(bench.create(42, &reader("SUBSCRIBED", 1))).await;
    assert_eq!(word(&result), "configuration");
    bench.sim.configure(|settings| settings.deactivated = false);
    use ems_sync_remotes::Remote as _;
    bench.sim.remote().remove_row("lists", NEWS).unwrap();
    let result = bench.one(bench.create(42, &reader("SUBSCRIBED", 1))).await;
    assert_eq!(word(&result), "configuration");
    bench.assert_clean();
}

/// Nothing that can't be read, or names somebody else, is a success; after a write it is in doubt.
#[tokio::test]
async fn garbage_is_no_success() {
    for garbage in [
        Garbage::Html,
        Garbage::TruncatedJson,
        Garbage::CutOff,
        Garbage::EmptyList,
        Garbage::EmptyBody,
        Garbage::StrangersRecord,
    ] {
        let bench = Bench::new().await;
        let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
        let mut changed = reader("SUBSCRIBED", 1);
        for (operation, expected) in
            [(Operation::Read, "transient"), (Operation::Patch, "ambiguous")]
        {
            // A list that can't be read holds up no other: each time there is something to write.
            changed["first_name"] = json!(format!("{operation:?}"));
            bench.sim.faults().push(Rule::new(Fault::garbage(garbage)).operation(operation));
            let result = bench.one(bench.update(42, &id, &changed)).await;
            assert_eq!(word(&result), expected, "{garbage:?} {operation:?}");
        }
        let other = row("other@club.org", json!({"news": in_list("SUBSCRIBED", 1)}));
        bench.sim.faults().push(Rule::new(Fault::garbage(garbage)).operation(Operation::Replace));
        let result = bench.one(bench.create(43, &other)).await;
        assert_eq!(word(&result), "ambiguous", "{garbage:?}");
        bench.updated(&id, &changed).await;
        bench.assert_clean();
    }
}

#[tokio::test]
async fn a_page_for_people_is_no_proof_that_nobody_is_there() {
    let bench = Bench::new().await;
    let fault = Fault::Status {
        code: 404,
        headers: vec![("Content-Type".to_owned(), "text/html".to_owned())],
        body: Some(json!("<html>404</html>")),
        applied: false,
    };
    bench.sim.faults().push(Rule::new(fault).operation(Operation::Read));
    assert_eq!(word(&bench.one(bench.create(42, &reader("SUBSCRIBED", 1))).await), "transient");
    assert_eq!(bench.sim.rows(NEWS), []);
}

#[tokio::test]
async fn server_errors_are_tried_again_and_gateways_leave_a_write_in_doubt() {
    for (code, expected) in
        [(500, "transient"), (503, "transient"), (502, "ambiguous"), (504, "ambiguous")]
    {
        let bench = Bench::new().await;
        bench.sim.faults().push(Rule::new(Fault::status(code)).operation(Operation::Replace));
        let result = bench.one(bench.create(42, &reader("SUBSCRIBED", 1))).await;
        assert_eq!(word(&result), expected, "{code}");
        let result = bench.one(bench.create_again(42, &reader("SUBSCRIBED", 1), true)).await;
        assert_eq!(word(&result), "held");
        bench.assert_clean();
    }
}

#[tokio::test]
async fn a_write_that_hangs_is_ambiguous_and_a_read_is_not() {
    let bench = Bench::with(options(), |http| http.timeout = Duration::from_millis(300)).await;
    for (operation, expected) in [(Operation::Read, "transient"), (Operation::Replace, "ambiguous")]
    {
        let hang = Fault::CommitThenHang { ms: Some(5_000) };
        bench.sim.faults().push(Rule::new(hang).operation(operation));
        let result = bench.one(bench.create(42, &reader("SUBSCRIBED", 1))).await;
        assert_eq!(word(&result), expected);
    }
}

#[tokio::test]
async fn nothing_is_sent_late() {
    let bench = Bench::new().await;
    let mark = bench.mark();
    let mut push = bench.create(42, &reader("SUBSCRIBED", 1));
    push.send_before = SendBefore::from(Instant::now());
    assert_eq!(word(&bench.one(push).await), "not_sent");
    assert_eq!(bench.mark(), mark);
    // After the look, before the write: nothing was written yet. After a write it would be a lie.
    for (operation, expected) in [(Operation::Read, "not_sent"), (Operation::Replace, "ambiguous")]
    {
        let bench = Bench::new().await;
        bench
            .sim
            .faults()
            .push(Rule::new(Fault::delay(Duration::from_secs(2))).operation(operation));
        let mut labelled = reader("SUBSCRIBED", 1);
        labelled["memberships"]["news"]["labels"] = json!(["VIP"]);
        let mut push = bench.create(42, &labelled);
        push.send_before = SendBefore::from(Instant::now() + Duration::from_secs(1));
        let PushResult::Failed(failure) = bench.one(push.clone()).await else {
            assert_eq!(expected, "not_sent");
            continue;
        };
        assert_eq!(failure.class.name(), expected);
        let contact = bench.member(NEWS, EMAIL).body["contact_id"].clone();
        assert!(failure.found.unwrap().contains(contact.as_str().unwrap()));
    }
}

#[tokio::test]
async fn no_connection_means_nothing_was_sent() {
    let bench = Bench::new().await;
    bench.sim.go_offline(ems_sync_remotes::Offline::Refuse).await.unwrap();
    let PushResult::Failed(failure) = bench.one(bench.create(42, &reader("SUBSCRIBED", 1))).await
    else {
        panic!("not failed")
    };
    assert!(failure.unsent && failure.class == FailureClass::Transient, "{failure}");
}
