//! Edits: only what differs is said, null clears (contract, section 7a).

use ems_sync_remotes::runsignup::{Action, Resource};
use ems_sync_remotes::{Operation, Rule};
use serde_json::json;

use super::bench::{
    Bench, OTHER, QUESTION, RACE, TEN, failure, remote_hash, remote_id, row_error, word,
};

#[tokio::test]
async fn what_differs_is_edited_and_null_clears() {
    let bench = Bench::warm().await;
    let id = bench.registered(5, TEN).await;
    let changes = json!({"last_name": "O'Brien & Søn + 100%", "phone": null, "gender": null, "city": null,
                         "number": "00123", "date_of_birth": null});
    let before = bench.requests();
    let result = bench.one(bench.update(5, id, TEN, changes.clone())).await;
    assert_eq!((word(&result), remote_id(&result)), ("held", id));
    assert_eq!(remote_hash(&result), bench.wire(5, TEN, changes).hash);
    assert_eq!(
        bench.operations_since(before),
        [Operation::Read, Operation::Patch, Operation::Read]
    );
    let (registration, user) = bench.registration(id);
    assert_eq!(user.last_name, "O'Brien & Søn + 100%");
    assert_eq!((user.phone, user.gender, user.address.city, user.dob), (None, None, None, None));
    assert_eq!(registration.bib_num, Some(123));
    assert_eq!(user.first_name, "Zoë", "what was not said stays");
    bench.assert_no_violation();
}

#[tokio::test]
async fn what_is_there_already_is_one_read() {
    let bench = Bench::warm().await;
    let id = bench.registered(5, TEN).await;
    let before = bench.requests();
    let result = bench.one(bench.update(5, id, TEN, json!({}))).await;
    assert_eq!((word(&result), remote_id(&result)), ("adopted", id));
    assert_eq!(bench.operations_since(before), [Operation::Read]);
    bench.assert_no_violation();
}

/// Contract, section 9: removal wins.
#[tokio::test]
async fn what_was_removed_there_stays_removed_and_says_so() {
    for action in [Action::Remove, Action::Defer, Action::Clear] {
        let bench = Bench::warm().await;
        let id = bench.registered(5, TEN).await;
        bench.sim.act(id, action).unwrap();
        let written = bench.writes();
        let changes = json!({"last_name": "Renamed"});
        let result = bench.one(bench.update(5, id, TEN, changes.clone())).await;
        assert_eq!((word(&result), remote_id(&result)), ("adopted", id), "{action:?}");
        assert_ne!(remote_hash(&result), bench.wire(5, TEN, changes.clone()).hash);
        assert_ne!(remote_hash(&result), bench.wire(5, TEN, json!({})).hash, "it stands no more");
        assert_eq!(bench.writes(), written);
        // Somebody makes it stand again: then it is edited.
        if action != Action::Clear {
            bench.sim.act(id, Action::Reactivate).unwrap();
            let result = bench.one(bench.update(5, id, TEN, changes.clone())).await;
            assert_eq!(remote_hash(&result), bench.wire(5, TEN, changes).hash, "{action:?}");
        }
        bench.assert_no_violation();
    }
}

#[tokio::test]
async fn a_registration_without_a_trace_is_a_stale_mapping() {
    let bench = Bench::warm().await;
    let id = bench.registered(5, TEN).await;
    bench.sim.remove(Resource::Registration, id);
    // This process has added it a moment ago; another one takes its absence for what it is.
    let other = bench.fresh();
    assert_eq!(word(&other.one(other.update(5, id, TEN, json!({}))).await), "stale_mapping");
    let result = other.one(other.again(5, TEN, json!({}), true)).await;
    assert_eq!(word(&result), "held");
    assert_eq!(word(&other.one(other.update(6, 0, TEN, json!({}))).await), "stale_mapping");
    bench.assert_no_violation();
}

#[tokio::test]
async fn an_id_that_carries_another_ems_id_is_a_stale_mapping() {
    let bench = Bench::warm().await;
    let id = bench.registered(5, TEN).await;
    let row = json!({"id": id, "responses": {QUESTION.to_string(): "6"}});
    bench.sim.plant(Resource::Registration, row).unwrap();
    let written = bench.writes();
    assert_eq!(word(&bench.one(bench.update(5, id, TEN, json!({}))).await), "stale_mapping");
    assert_eq!(word(&bench.one(super::bench::delete(5, id)).await), "stale_mapping");
    assert_eq!(bench.writes(), written);
    bench.assert_no_violation();
}

/// Contract, section 7a, "Safe Sync mode": bib still goes, the person does not, and somebody is told.
#[tokio::test]
async fn in_safe_sync_mode_the_bib_goes_and_the_person_is_listed() {
    let bench = Bench::warm().await;
    bench.sim.plant(Resource::Race, json!({"id": RACE, "safe_sync": true})).unwrap();
    let id = bench.paid(5, TEN, json!({}));
    let bib = bench.one(bench.update(5, id, TEN, json!({"number": "17"}))).await;
    assert_eq!(word(&bib), "held", "nothing of the person is said");
    let changes = json!({"number": "18", "last_name": "Renamed"});
    let failed = failure(bench.one(bench.update(5, id, TEN, changes)).await);
    assert_eq!(failed.class.name(), "rejected");
    assert!(failed.text.contains("Safe Sync") && !failed.text.contains("Renamed"));
    let (registration, user) = bench.registration(id);
    assert_eq!((registration.bib_num, user.last_name.as_str()), (Some(18), "Runner 5"));
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_refusal_of_the_data_is_rejected_with_its_code_and_without_its_value() {
    let bench = Bench::warm().await;
    let id = bench.registered(5, OTHER).await;
    for code in
        [104, 105, 106, 107, 109, 110, 112, 113, 114, 115, 116, 117, 118, 119, 123, 514, 515]
    {
        bench.sim.faults().push(Rule::new(row_error(code)).operation(Operation::Patch));
        let changes = json!({"last_name": "Refused"});
        let failed = failure(bench.one(bench.update(5, id, OTHER, changes)).await);
        assert_eq!(failed.class.name(), "rejected", "{code}");
        assert!(failed.text.contains(&code.to_string()), "{}", failed.text);
        assert!(!failed.text.contains("Zoë") && !failed.text.contains("Refused"));
    }
    bench.assert_no_violation();
}

/// Contract, section 2, class "gone": it stood a moment ago.
#[tokio::test]
async fn an_invalid_id_in_an_edit_is_read_again() {
    let bench = Bench::warm().await;
    let id = bench.registered(5, TEN).await;
    bench.sim.faults().push(Rule::new(row_error(15)).operation(Operation::Patch));
    let renamed = json!({"last_name": "Renamed"});
    assert_eq!(word(&bench.one(bench.update(5, id, TEN, renamed.clone())).await), "transient");
    assert_eq!(word(&bench.one(bench.update(5, id, TEN, renamed)).await), "held");
    bench.assert_no_violation();
}
