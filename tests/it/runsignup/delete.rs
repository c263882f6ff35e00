//! Only what was imported is removed (contract, section 7c).

use ems_sync::entity::{EntityRef, EntityType};
use ems_sync::remote::Action as Todo;
use ems_sync_remotes::runsignup::{Action, Resource};
use ems_sync_remotes::{Operation, Rule};
use serde_json::json;

use super::bench::{
    Bench, OTHER, QUESTION, TEN, answers, delete, delete_by_key, failure, push, word,
};

#[tokio::test]
async fn an_imported_registration_is_removed_also_by_who_knows_only_its_id() {
    let bench = Bench::warm().await;
    let (one, other) = (bench.registered(5, TEN).await, bench.registered(6, OTHER).await);
    assert_eq!(word(&bench.one(delete(5, one)).await), "gone");
    let forgetful = bench.fresh();
    assert_eq!(word(&forgetful.one(delete(6, other)).await), "gone");
    assert_eq!(bench.standing(), []);
    assert_eq!(word(&forgetful.one(delete(6, other)).await), "gone", "done is done");
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_paid_registration_is_a_task_for_a_person_until_it_is_refunded() {
    let bench = Bench::warm().await;
    let id = bench.paid(5, TEN, json!({}));
    let written = bench.writes();
    let failed = failure(bench.one(delete(5, id)).await);
    assert_eq!(failed.class.name(), "rejected");
    assert!(failed.text.contains("refund"), "{}", failed.text);
    assert_eq!((bench.writes(), bench.standing().len()), (written, 1));
    bench.sim.act(id, Action::Remove).unwrap();
    assert_eq!(word(&bench.one(delete(5, id)).await), "gone");
    bench.assert_no_violation();
}

/// "reply lists those removed: diff it"
#[tokio::test]
async fn a_reply_that_leaves_it_out_is_no_success() {
    let bench = Bench::warm().await;
    let id = bench.registered(5, TEN).await;
    for (reply, expected) in [
        (json!({"participants": []}), "rejected"),
        (json!({"participants": [{"registration_id": 1}]}), "ambiguous"),
        (json!({}), "ambiguous"),
        (json!([]), "ambiguous"),
    ] {
        bench.sim.faults().push(Rule::new(answers(reply.clone())).operation(Operation::Delete));
        assert_eq!(word(&bench.one(delete(5, id)).await), expected, "{reply}");
    }
    assert_eq!(bench.standing().len(), 1);
    bench.assert_no_violation();
}

#[tokio::test]
async fn by_key_only_our_own_id_is_removed() {
    let bench = Bench::warm().await;
    let id = bench.registered(5, TEN).await;
    bench.registered(6, TEN).await;
    bench.sim.remove(Resource::Race, super::bench::OTHER_RACE);
    let bench = bench.fresh();
    assert_eq!(word(&bench.one(delete_by_key(7)).await), "gone", "every race has the question");
    assert_eq!(word(&bench.one(delete_by_key(5)).await), "gone");
    let standing = bench.standing();
    assert_eq!(standing.len(), 1);
    assert_eq!(standing[0].0.responses[&QUESTION], "6");
    assert!(!bench.sim.registration(id).is_some_and(|row| row.active));
    bench.assert_no_violation();
}

/// Persons live in registrations, and races are RunSignup's own unless `push_races` is set.
#[tokio::test]
async fn what_is_not_ours_to_remove_is_only_forgotten() {
    let bench = Bench::warm().await;
    let before = bench.requests();
    for entity_type in [EntityType::Person, EntityType::Event, EntityType::Race] {
        let remote_id = "71".to_owned();
        let result =
            bench.one(push(EntityRef::new(entity_type, 1), Todo::Delete { remote_id })).await;
        assert_eq!(word(&result), "gone", "{entity_type}");
    }
    assert_eq!(bench.requests(), before);
}
