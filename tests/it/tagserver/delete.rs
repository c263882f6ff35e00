//! Deletes: gone is proven, and nothing is removed that is not ours.

use ems_sync_remotes::tagserver::{DeleteUnknown, Resource};
use ems_sync_remotes::{Fault, Operation, Reimage, Rule};
use serde_json::json;

use super::bench::{Bench, answers, delete, delete_by_key, word};

#[tokio::test]
async fn a_record_that_is_gone_already_is_gone() {
    for delete_unknown in [DeleteUnknown::NoContent, DeleteUnknown::ServerError] {
        let bench = Bench::new().await;
        bench.sim.configure(|settings| settings.delete_unknown = delete_unknown);
        assert_eq!(word(&bench.one(delete(7, 123)).await), "gone");
    }
}

/// Older servers answer 500 for an id that they don't know: here it went between our look and our delete.
#[tokio::test]
async fn a_500_is_confirmed_by_a_read() {
    let bench = Bench::new().await;
    let failed = |applied| {
        let body = Some(json!({"title": "Internal Server Error", "status": 500}));
        let fault = Fault::Status { code: 500, headers: Vec::new(), body, applied };
        Rule::new(fault).operation(Operation::Delete)
    };
    let id = bench.plant(7, "Club");
    bench.sim.faults().push(failed(false));
    assert_eq!(word(&bench.one(delete(7, id)).await), "transient", "it is still there");
    bench.sim.faults().push(failed(true));
    assert_eq!(word(&bench.one(delete(7, id)).await), "gone");
    let read = Operation::Read;
    assert_eq!(bench.operations(), [read, Operation::Delete, read, read, Operation::Delete, read]);
}

#[tokio::test]
async fn an_id_that_belongs_to_another_row_after_a_re_imaging_is_not_deleted() {
    let bench = Bench::new().await;
    let id = bench.plant(7, "Ours");
    bench.plant(8, "Other");
    bench.sim.reimage(Reimage::Shuffled);
    assert_eq!(word(&bench.one(delete(7, id)).await), "stale_mapping");
    assert_eq!(bench.sim.row_count(Resource::Organisation), 2);
    bench.sim.reimage(Reimage::Empty);
    // A row that staff made under an id of ours carries no key at all.
    bench.sim.plant(Resource::Organisation, json!({"id": id, "name": "Made by staff"})).unwrap();
    let result = bench.one(delete(7, id)).await;
    assert_ne!(word(&result), "gone");
    assert_eq!(bench.sim.row_count(Resource::Organisation), 1);
    assert_eq!(bench.requests_of(Operation::Delete), 0);
}

#[tokio::test]
async fn a_filter_that_the_server_ignores_deletes_nothing() {
    let bench = Bench::new().await;
    let id = bench.plant(8, "Other");
    let strangers = json!([{"id": id, "externalId": "8", "name": "Other"}]);
    bench.sim.faults().push(Rule::new(answers(strangers)).operation(Operation::Find));
    assert_eq!(word(&bench.one(delete_by_key(7)).await), "our_fault");
    assert_eq!(bench.operations(), [Operation::Find]);
    assert_eq!(bench.name_of(8).as_deref(), Some("Other"));
}
