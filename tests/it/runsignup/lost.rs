//! Answers that are lost after the write was applied: there is no idempotency key, so everything is looked for (contract,
//! section 7a, "Idempotency").

use ems_sync_remotes::{Fault, Operation, Rule};
use serde_json::json;

use super::bench::{Bench, OTHER, TEN, TWENTY, delete, delete_by_key, failure, remote_id, word};

fn lose(bench: &Bench, operation: Operation) {
    bench.sim.faults().push(Rule::new(Fault::CommitThenDrop).operation(operation));
}

#[tokio::test]
async fn an_add_is_found_again_with_a_question_and_without() {
    for event in [TEN, OTHER] {
        let bench = Bench::warm().await;
        lose(&bench, Operation::Create);
        assert_eq!(word(&bench.one(bench.create(5, event)).await), "ambiguous");
        let forgetful = bench.fresh();
        let result = forgetful.one(forgetful.again(5, event, json!({}), false)).await;
        assert_eq!(word(&result), "adopted", "{event}");
        assert_eq!(bench.standing().len(), 1);
        bench.assert_no_violation();
    }
}

#[tokio::test]
async fn an_empty_look_up_without_proof_of_absence_sends_nothing() {
    let bench = Bench::warm().await;
    let written = bench.writes();
    assert_eq!(word(&bench.one(bench.again(5, TEN, json!({}), false)).await), "unsettled");
    assert_eq!(bench.writes(), written);
    assert_eq!(word(&bench.one(bench.again(5, TEN, json!({}), true)).await), "held");
    bench.assert_no_violation();
}

/// It was added under a name that was corrected before we knew of it.
#[tokio::test]
async fn an_add_of_another_name_is_found_by_our_id_or_by_what_was_sent() {
    let renamed = json!({"last_name": "Corrected"});
    for (event, forgets) in [(TEN, true), (TEN, false), (OTHER, false)] {
        let bench = Bench::warm().await;
        lose(&bench, Operation::Create);
        assert_eq!(word(&bench.one(bench.create(5, event)).await), "ambiguous");
        let bench = if forgets { bench.fresh() } else { bench };
        let result = bench.one(bench.again(5, event, renamed.clone(), false)).await;
        assert_eq!(word(&result), "held", "{event} {forgets}");
        assert_eq!(bench.standing().len(), 1);
        assert_eq!(bench.standing()[0].1.last_name, "Corrected");
        bench.assert_no_violation();
    }
}

/// It was added to an event that was changed before we knew of it.
#[tokio::test]
async fn an_add_to_another_event_is_moved() {
    for (event, other) in [(TEN, TWENTY), (OTHER, TEN)] {
        let bench = Bench::warm().await;
        lose(&bench, Operation::Create);
        assert_eq!(word(&bench.one(bench.create(5, event)).await), "ambiguous");
        let result = bench.one(bench.again(5, other, json!({}), true)).await;
        assert_eq!(word(&result), "held", "{event}");
        assert_eq!(bench.standing().len(), 1);
        assert_eq!(bench.standing()[0].0.event_id, other);
        bench.assert_no_violation();
    }
}

#[tokio::test]
async fn an_add_whose_participant_is_gone_is_removed() {
    for (event, forgets, expected) in
        [(TEN, true, "rejected"), (TEN, false, "gone"), (OTHER, false, "gone")]
    {
        let bench = Bench::warm().await;
        lose(&bench, Operation::Create);
        assert_eq!(word(&bench.one(bench.create(5, event)).await), "ambiguous");
        let bench = if forgets { bench.fresh() } else { bench };
        let result = bench.one(delete_by_key(5)).await;
        if forgets {
            // With the question it is found in its race.
            assert_eq!(word(&result), "gone");
        } else {
            assert_eq!(word(&result), expected);
        }
        assert_eq!(bench.standing(), [], "{event} {forgets}");
        bench.assert_no_violation();
    }
}

#[tokio::test]
async fn what_nothing_can_find_is_listed_for_a_person() {
    let bench = Bench::warm().await;
    lose(&bench, Operation::Create);
    assert_eq!(word(&bench.one(bench.create(5, OTHER)).await), "ambiguous");
    let forgetful = bench.fresh();
    let failed = failure(forgetful.one(delete_by_key(5)).await);
    assert_eq!(failed.class.name(), "rejected");
    assert!(failed.text.contains("EMS ID"), "{}", failed.text);
    bench.assert_no_violation();
}

#[tokio::test]
async fn an_edit_is_read_and_not_sent_again() {
    let bench = Bench::warm().await;
    let id = bench.registered(5, TEN).await;
    lose(&bench, Operation::Patch);
    let renamed = json!({"last_name": "Renamed"});
    assert_eq!(word(&bench.one(bench.update(5, id, TEN, renamed.clone())).await), "ambiguous");
    let written = bench.writes();
    assert_eq!(word(&bench.one(bench.update(5, id, TEN, renamed)).await), "adopted");
    assert_eq!(bench.writes(), written);
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_transfer_is_found_among_the_removed() {
    let bench = Bench::warm().await;
    let id = bench.registered(5, TEN).await;
    lose(&bench, Operation::Replace);
    assert_eq!(word(&bench.one(bench.update(5, id, TWENTY, json!({}))).await), "ambiguous");
    let written = bench.writes();
    let forgetful = bench.fresh();
    let result = forgetful.one(forgetful.update(5, id, TWENTY, json!({}))).await;
    assert_eq!(word(&result), "adopted");
    assert_ne!(remote_id(&result), id);
    assert_eq!(bench.writes(), written);
    assert_eq!(bench.standing().len(), 1);
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_delete_is_seen_to_be_done() {
    let bench = Bench::warm().await;
    let id = bench.registered(5, TEN).await;
    lose(&bench, Operation::Delete);
    assert_eq!(word(&bench.one(delete(5, id)).await), "ambiguous");
    let written = bench.writes();
    assert_eq!(word(&bench.one(delete(5, id)).await), "gone");
    assert_eq!(bench.writes(), written);
    bench.assert_no_violation();
}

/// The write was applied and answered, only its read-back is lost: nobody may take that for "nothing was applied".
#[tokio::test]
async fn a_lost_read_back_leaves_the_write_ambiguous_and_keeps_the_id() {
    let bench = Bench::warm().await;
    bench.sim.faults().push(Rule::new(Fault::Drop).operation(Operation::Read));
    let failed = failure(bench.one(bench.create(5, TEN)).await);
    assert_eq!(failed.class.name(), "ambiguous");
    let id = bench.standing()[0].0.id;
    assert_eq!(failed.found, Some(id.to_string()));
    assert_eq!(word(&bench.one(bench.update(5, id, TEN, json!({}))).await), "adopted");
    bench.assert_no_violation();
}
