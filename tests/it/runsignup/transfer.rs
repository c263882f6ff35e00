//! Another race in the EMS is another event there, and the registration gets another id (contract, section 7b).

use ems_sync_remotes::runsignup::Action;
use serde_json::json;

use super::bench::{Bench, OTHER, QUESTION, TEN, TWENTY, failure, remote_hash, remote_id, word};

#[tokio::test]
async fn a_change_of_race_moves_the_registration_and_brings_its_new_id() {
    let bench = Bench::warm().await;
    let id = bench.registered(5, TEN).await;
    let changes = json!({"last_name": "Renamed", "number": "6"});
    let result = bench.one(bench.update(5, id, TWENTY, changes.clone())).await;
    assert_eq!(word(&result), "held");
    assert_ne!(remote_id(&result), id);
    assert_eq!(remote_hash(&result), bench.wire(5, TWENTY, changes).hash);
    let (registration, user) = bench.registration(remote_id(&result));
    assert_eq!((registration.event_id, user.last_name.as_str()), (TWENTY, "Renamed"));
    assert_eq!(registration.responses[&QUESTION], "5");
    assert_eq!(bench.standing().len(), 1);
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_participant_who_moved_by_hand_is_followed_and_the_ems_decides_where() {
    let bench = Bench::warm().await;
    let id = bench.paid(5, TEN, json!({}));
    let moved = bench.sim.act(id, Action::Transfer { event_id: TWENTY }).unwrap();
    let again = bench.sim.act(moved.id, Action::Transfer { event_id: TEN }).unwrap();
    let result = bench.one(bench.update(5, id, TEN, json!({}))).await;
    assert_eq!(remote_id(&result), again.id, "followed from id to id");
    let result = bench.one(bench.update(5, id, TWENTY, json!({}))).await;
    assert_eq!(bench.registration(remote_id(&result)).0.event_id, TWENTY);
    assert_eq!(bench.standing().len(), 1);
    bench.assert_no_violation();
}

/// No call moves it to another race, and nothing is removed before it stands there: a race that is mapped to a wrong one would
/// take all of them along.
#[tokio::test]
async fn to_another_race_is_a_task_and_removes_nothing() {
    let bench = Bench::warm().await;
    let imported = bench.registered(5, TEN).await;
    let bench = bench.fresh();
    let result = bench.one(bench.update(5, imported, OTHER, json!({}))).await;
    assert_eq!(word(&result), "rejected");
    assert_eq!(bench.standing().len(), 1);
    let paid = bench.paid(6, TEN, json!({}));
    let failed = failure(bench.one(bench.update(6, paid, OTHER, json!({}))).await);
    assert_eq!(failed.class.name(), "rejected");
    assert!(failed.text.contains("refunded"), "{}", failed.text);
    assert_eq!(bench.standing().len(), 2);
    bench.assert_no_violation();
}
