//! Batches: only edits, each with an id, none twice, and every row proven by its id (contract, section 4).

use ems_sync::remote::Push;
use ems_sync_remotes::mautic::MauticSettings;
use ems_sync_remotes::{Fault, Garbage, Operation, Rule};
use jiff::Timestamp;
use serde_json::json;

use super::bench::{Bench, delete, runner, says, update, word, words};

/// A bench whose client has written a contact already: before that nothing is looked up together.
async fn warm() -> Bench {
    warm_with(|_| {}).await
}

async fn warm_with(change: impl FnOnce(&mut MauticSettings)) -> Bench {
    let bench = Bench::with(change).await;
    bench.made(WITNESS, "Witness").await;
    assert_eq!(bench.operations(), [Operation::Find, Operation::Create]);
    bench
}

const WITNESS: i64 = 1_000;

fn planted(bench: &Bench, people: i64) -> Vec<(i64, i64)> {
    (1..=people).map(|id| (id, bench.plant(id, "Old"))).collect()
}

fn edits(bench: &Bench, ids: &[(i64, i64)], name: &str) -> Vec<Push> {
    ids.iter().map(|(person, id)| bench.update(*person, *id, name)).collect()
}

fn count(bench: &Bench, operation: Operation) -> usize {
    bench.operations().into_iter().skip(2).filter(|o| *o == operation).count()
}

#[tokio::test]
async fn edits_go_together_after_one_look_up() {
    let bench = warm().await;
    let ids = planted(&bench, 120);
    let results = bench.many(edits(&bench, &ids, "New")).await;
    assert_eq!(words(&results), [("held", 120)].into());
    assert!((1..=120).all(|person| bench.name_of(person).as_deref() == Some("New")));
    for ((person, id), result) in ids.iter().zip(results.values()) {
        assert_eq!(super::bench::remote_id(result), *id);
        assert_eq!(super::bench::remote_hash(result), bench.wire(*person, "New").hash);
    }
    assert_eq!((count(&bench, Operation::Find), count(&bench, Operation::List)), (0, 3));
    assert_eq!((count(&bench, Operation::Bulk), bench.writes()), (3, 4));
    bench.assert_no_violation();
}

/// Contract, section 4: creates are single calls; the look before them is one for all.
#[tokio::test]
async fn creates_are_single_calls_after_one_look_up() {
    let bench = warm().await;
    let leads: Vec<i64> =
        (1..=3).map(|id| bench.plant_row(json!({ "email": super::bench::email(id) }))).collect();
    let results = bench.many((1..=40).map(|id| bench.create(id, "New")).collect()).await;
    assert_eq!(words(&results), [("held", 40)].into());
    assert_eq!(count(&bench, Operation::List), 1);
    assert_eq!((count(&bench, Operation::Create), count(&bench, Operation::Patch)), (37, 3));
    assert_eq!(bench.sim.contact_count(), 41);
    assert!(leads.iter().all(|lead| bench.contact(*lead).ems_person_id().is_some()));
    bench.assert_no_violation();
}

#[tokio::test]
async fn what_has_failed_before_goes_by_itself() {
    let bench = warm().await;
    let ids = planted(&bench, 4);
    let alone = edits(&bench, &ids, "New").into_iter().map(|push| Push { by_itself: true, ..push });
    let results = bench.many(alone.collect()).await;
    assert_eq!(words(&results), [("held", 4)].into());
    assert_eq!((count(&bench, Operation::Bulk), count(&bench, Operation::Patch)), (0, 4));
    bench.assert_no_violation();
}

/// One row's trouble is that row's: a refused value, a contact that is gone, one that another carries, an address that moved.
#[tokio::test]
async fn each_row_ends_by_itself() {
    let bench = warm().await;
    let ids = planted(&bench, 8);
    let mut pushes = edits(&bench, &ids, "New");
    let mut refused = says(1, Some(false), Timestamp::now());
    refused["country"] = json!("AX");
    pushes[0] = update(1, ids[0].1, bench.wire_of(1, refused));
    bench.sim.remove(ids[1].1);
    bench.sim.plant(json!({ "id": ids[2].1, "ems_person_id": "33" })).unwrap();
    let mut moved = runner(4, "Moved");
    moved["email"] = json!("moved@example.org");
    pushes[3] = update(4, ids[3].1, bench.wire_of(4, moved));
    bench.sim.unsubscribe(ids[4].1, "email");
    pushes[5] = update(6, ids[5].1, bench.wire_of(6, says(6, Some(false), Timestamp::now())));
    pushes[6] = delete(7, ids[6].1);
    let results = bench.many(pushes).await;
    let expected =
        ["rejected", "stale_mapping", "stale_mapping", "held", "held", "held", "gone", "held"];
    assert_eq!(results.values().map(word).collect::<Vec<_>>(), expected);
    assert_eq!(bench.contact(ids[4].1).do_not_contact_reason("email"), Some(1));
    assert_eq!(bench.contact(ids[5].1).do_not_contact_reason("email"), Some(3));
    assert_eq!(bench.contact(ids[0].1).do_not_contact_reason("email"), Some(3), "though refused");
    assert_eq!(bench.contact(ids[3].1).email(), Some("moved@example.org"));
    assert_eq!(bench.contact(ids[2].1).text("lastname"), Some("Old"));
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_batch_that_is_refused_as_a_whole_goes_on_row_by_row() {
    for code in [400, 413, 500] {
        let bench = warm().await;
        let ids = planted(&bench, 5);
        bench.sim.faults().push(Rule::new(Fault::status(code)).operation(Operation::Bulk));
        let results = bench.many(edits(&bench, &ids, "New")).await;
        assert_eq!(words(&results), [("held", 5)].into(), "{code}");
        assert_eq!(count(&bench, Operation::Patch), 5);
        bench.assert_no_violation();
    }
    // A limit below ours (section 4): 500 as for everything else.
    let bench = warm_with(|settings| settings.batch_limit = 3).await;
    let ids = planted(&bench, 5);
    assert_eq!(words(&bench.many(edits(&bench, &ids, "New")).await), [("held", 5)].into());
}

#[tokio::test]
async fn a_look_up_that_can_not_be_had_together_is_made_one_by_one() {
    let bench = warm().await;
    let ids = planted(&bench, 5);
    for fault in [Fault::status(500), Fault::status(414), Fault::garbage(Garbage::StrangersRecord)]
    {
        bench.sim.faults().push(Rule::new(fault.clone()).operation(Operation::List));
        let results = bench.many(edits(&bench, &ids, "New")).await;
        assert_eq!(words(&results), [("held", 5)].into(), "{fault:?}");
    }
    assert_eq!(count(&bench, Operation::Bulk), 0);
    bench.assert_no_violation();
}

#[tokio::test]
async fn the_class_of_a_batch_without_results_is_every_rows() {
    let bench = warm().await;
    let ids = planted(&bench, 5);
    for (fault, class) in [
        (Fault::CommitThenDrop, "ambiguous"),
        (Fault::Drop, "ambiguous"),
        (Fault::status(502), "ambiguous"),
        (Fault::status(503), "transient"),
        (Fault::status(403), "configuration"),
        (Fault::throttled(0), "throttled"),
        (Fault::garbage(Garbage::Html), "ambiguous"),
        (Fault::garbage(Garbage::EmptyBody), "ambiguous"),
        (Fault::garbage(Garbage::EmptyList), "ambiguous"),
        (Fault::garbage(Garbage::TruncatedJson), "ambiguous"),
    ] {
        bench.sim.faults().push(Rule::new(fault.clone()).operation(Operation::Bulk));
        let results = bench.many(edits(&bench, &ids, "New")).await;
        assert_eq!(words(&results), [(class, 5)].into(), "{fault:?}");
    }
    for fault in [Fault::status(503), Fault::Drop, Fault::garbage(Garbage::Html)] {
        bench.sim.faults().push(Rule::new(fault.clone()).operation(Operation::List));
        let results = bench.many(edits(&bench, &ids, "Newer")).await;
        assert_eq!(words(&results), [("transient", 5)].into(), "{fault:?}");
    }
    assert_eq!(words(&bench.many(edits(&bench, &ids, "New")).await), [("held", 5)].into());
    bench.assert_no_violation();
}

/// A row's success counts only under the id that was sent: one that shows another contact is made sure of by itself.
#[tokio::test]
async fn a_row_that_shows_another_contact_is_no_success() {
    let bench = warm().await;
    let ids = planted(&bench, 3);
    bench.plant(55, "Other");
    let strange = Fault::garbage(Garbage::StrangersRecord);
    bench.sim.faults().push(Rule::new(strange).operation(Operation::Bulk));
    let results = bench.many(edits(&bench, &ids, "New")).await;
    assert_eq!(words(&results), [("held", 3)].into());
    assert_eq!(count(&bench, Operation::Patch), 3);
    assert!((1..=3).all(|person| bench.name_of(person).as_deref() == Some("New")));
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_token_that_is_refused_in_the_middle_of_a_batch_is_renewed_once() {
    let bench = warm().await;
    let ids = planted(&bench, 5);
    for operation in [Operation::List, Operation::Bulk] {
        bench.sim.faults().push(Rule::new(Fault::RevokeToken).operation(operation));
        let results = bench.many(edits(&bench, &ids, "New")).await;
        assert_eq!(words(&results), [("held", 5)].into(), "{operation:?}");
    }
    assert_eq!(bench.sim.counters().logins, 3);
    bench.assert_no_violation();
}

/// A Mautic that takes our list for something else would find nothing, which is no absence: the look-up counts only if it
/// finds a contact that is known to be there.
#[tokio::test]
async fn a_look_up_that_finds_not_even_what_is_known_to_be_there_counts_for_nothing() {
    let bench = warm().await;
    let older = bench.plant(5, "Older");
    let before = bench.contact(older);
    let nothing = super::bench::answers(200, json!({ "total": "0", "contacts": {} }));
    bench.sim.faults().push(Rule::new(nothing).operation(Operation::List));
    let mut shares = runner(7, "Family");
    shares["email"] = json!(super::bench::email(5));
    let shares = super::bench::create(7, bench.wire_of(7, shares));
    let results = bench.many(vec![shares, bench.create(8, "New")]).await;
    assert_eq!(words(&results), [("held", 1), ("rejected", 1)].into());
    assert_eq!(bench.contact(older), before);
    // The witness may have gone, too: then they go one by one, and the next one is believed.
    let gone = bench.sim.contact_of("8").unwrap().id;
    bench.sim.remove(gone);
    for (ids, lists) in [([11, 12], 2), ([13, 14], 3)] {
        let results = bench.many(ids.map(|id| bench.create(id, "New")).to_vec()).await;
        assert_eq!(words(&results), [("held", 2)].into());
        assert_eq!(count(&bench, Operation::List), lists);
    }
    bench.assert_no_violation();
}

#[tokio::test]
async fn before_anything_is_known_to_be_there_each_is_looked_up_by_itself() {
    let bench = Bench::new().await;
    let results = bench.many((1..=5).map(|id| bench.create(id, "New")).collect()).await;
    assert_eq!(words(&results), [("held", 5)].into());
    let operations = bench.operations();
    let finds = operations.iter().filter(|operation| **operation == Operation::Find).count();
    assert_eq!((finds, operations.len()), (5, 10));
    bench.assert_no_violation();
}
