//! Replaces: the whole body to the id that we know, which may mean another record by now.

use ems_sync_remotes::tagserver::{Resource, data_access_failure};
use ems_sync_remotes::{Operation, Reimage, Rule};

use super::bench::{Bench, remote_id, word};

#[tokio::test]
async fn an_update_replaces_the_record_by_one_put() {
    let bench = Bench::new().await;
    let id = bench.plant(7, "Old");
    let result = bench.one(bench.update(7, id, "New")).await;
    assert_eq!((word(&result), remote_id(&result)), ("held", id));
    assert_eq!(bench.name_of(7).as_deref(), Some("New"));
    let requests = bench.requests();
    // PATCH could not clear a field: null and absent mean unchanged there.
    assert_eq!(requests.len(), 1);
    assert_eq!(
        (requests[0].method.as_str(), requests[0].path.as_str()),
        ("PUT", format!("/api/organisations/{id}").as_str())
    );
    bench.assert_no_violation();
}

#[tokio::test]
async fn an_id_that_the_server_does_not_know_is_a_stale_mapping() {
    let bench = Bench::new().await;
    assert_eq!(word(&bench.one(bench.update(7, 123, "New")).await), "stale_mapping");
    assert_eq!(bench.operations(), [Operation::Replace], "400 error.idnotfound, not 404");
    let results = bench.many(vec![bench.update(7, 123, "A"), bench.update(8, 124, "B")]).await;
    assert!(results.values().all(|result| word(result) == "stale_mapping"), "{results:?}");
}

/// After a re-imaging our id belongs to another row, and our row stands elsewhere: the server refuses the write because
/// our key is taken, and the mapping is stale.
#[tokio::test]
async fn an_id_that_belongs_to_another_row_by_now_is_a_stale_mapping() {
    let bench = Bench::new().await;
    let id = bench.plant(7, "Ours");
    bench.plant(8, "Other");
    bench.sim.reimage(Reimage::Shuffled);
    assert_eq!(word(&bench.one(bench.update(7, id, "New")).await), "stale_mapping");
    assert_eq!(bench.name_of(8).as_deref(), Some("Other"));
    let results = bench.many(vec![bench.update(7, id, "New"), bench.create(9, "Third")]).await;
    assert_eq!(word(&results[&7]), "stale_mapping", "in bulk too");
    let result = bench.one(bench.create_again(7, "New", true)).await;
    assert_eq!(word(&result), "held");
    assert_ne!(remote_id(&result), id);
    assert_eq!(bench.name_of(7).as_deref(), Some("New"));
    assert_eq!(bench.sim.row_count(Resource::Organisation), 3);
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_constraint_that_is_not_ours_leaves_the_mapping_alone() {
    let bench = Bench::new().await;
    let id = bench.plant(7, "Old");
    bench.sim.faults().push(Rule::new(data_access_failure()).operation(Operation::Replace));
    assert_eq!(word(&bench.one(bench.update(7, id, "New")).await), "transient");
    assert_eq!(word(&bench.one(bench.update(7, id, "New")).await), "held");
}

#[tokio::test]
async fn what_somebody_else_changed_meanwhile_is_tried_again() {
    let bench = Bench::new().await;
    let id = bench.plant(7, "Old");
    let fault = ems_sync_remotes::tagserver::concurrency_failure();
    bench.sim.faults().push(Rule::new(fault).operation(Operation::Replace));
    assert_eq!(word(&bench.one(bench.update(7, id, "New")).await), "transient");
}
