//! The journal, the counters, and the proof that no two writes of one entity are in flight.

use std::time::Duration;

use ems_sync_remotes::tagserver::{Resource, TagServer, TagServerOptions};
use ems_sync_remotes::{Fault, Operation, Rule};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::client::{Api, organisation, soon, start};

#[tokio::test]
async fn every_request_is_an_entry() {
    let (sim, api) = start().await;
    let body = organisation("77");
    let id = api.post("/api/organisations", body.clone()).await.id();
    api.get(&format!("/api/organisations/{id}")).await;
    api.get("/api/organisations?externalId.equals=78").await;
    let journal = sim.journal();
    let sequences: Vec<_> = journal.iter().map(|entry| entry.sequence).collect();
    assert_eq!(sequences, [1, 2, 3]);
    let create = &journal[0];
    assert_eq!((create.method.as_str(), create.route.as_str()), ("POST", "/api/organisations"));
    assert_eq!(create.operation, Operation::Create);
    assert_eq!(create.resource.as_deref(), Some("organisations"));
    assert_eq!(create.remote_id, Some(id.to_string()));
    assert_eq!(create.external_ids, ["77"]);
    assert_eq!((create.status, create.applied), (Some(201), true));
    let digest: String =
        Sha256::digest(body.to_string()).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(create.body_sha256.as_ref(), Some(&digest));
    assert_eq!(create.body_bytes, body.to_string().len());
    assert!(create.ended_us.unwrap() >= create.started_us);
    assert!(create.ended_at.unwrap() >= create.started_at);
    assert!(journal[1].started_us >= create.ended_us.unwrap());
    assert_eq!(journal[1].route, "/api/organisations/{id}");
    assert_eq!(journal[1].external_ids, ["77"], "known by its row");
    assert_eq!((journal[1].body_sha256.as_ref(), journal[1].applied), (None, false));
    assert_eq!(
        (journal[2].operation, &journal[2].external_ids[0]),
        (Operation::Find, &"78".into())
    );
    assert_eq!(sim.journal_since(2).len(), 1);
}

#[tokio::test]
async fn counters_add_up() {
    let (sim, api) = start().await;
    let id = api.organisation("1").await;
    api.get(&format!("/api/organisations/{id}")).await;
    api.get("/api/organisations/1").await;
    api.get("/api/organisations").await;
    api.delete(&format!("/api/organisations/{id}")).await;
    let counters = sim.counters();
    assert_eq!(counters.requests, 5);
    assert_eq!((counters.reads, counters.lists, counters.lookups), (2, 1, 0));
    assert_eq!(counters.by_route["GET /api/organisations/{id}"], 2);
    assert_eq!(counters.by_status[&200], 2);
    assert_eq!(counters.by_status[&404], 1);
    let writes = counters.writes_to("organisations");
    assert_eq!((writes.created, writes.deleted, writes.applied()), (1, 1, 2));
    assert_eq!(counters.writes_applied(), 2);
    assert!(counters.connections >= 1);
}

#[tokio::test]
async fn two_writes_of_one_entity_at_once_are_an_overlap() {
    let (sim, api) = start().await;
    let id = api.organisation("1").await;
    sim.set_latency(Duration::from_millis(100));
    let body = json!({ "id": id, "externalId": "1", "name": "Club" });
    let path = format!("/api/organisations/{id}");
    tokio::join!(api.put(&path, body.clone()), api.put(&path, body));
    let counters = sim.counters();
    assert_eq!((counters.max_in_flight_of_one, counters.overlaps), (2, 1));
    let overlap = &sim.overlaps()[0];
    assert_eq!((overlap.resource.as_str(), overlap.external_id.as_str()), ("organisations", "1"));
    assert_eq!((overlap.first, overlap.second, overlap.abandoned), (2, 3, false));
}

#[tokio::test]
async fn a_bulk_overlaps_with_a_single_write_of_one_of_its_rows() {
    let (sim, api) = start().await;
    sim.set_latency(Duration::from_millis(100));
    tokio::join!(
        api.post("/api/organisations/bulk", json!([organisation("1"), organisation("2")])),
        api.post("/api/organisations", organisation("2")),
    );
    let overlaps = sim.overlaps();
    assert_eq!(overlaps.len(), 1);
    assert_eq!(overlaps[0].external_id, "2");
}

#[tokio::test]
async fn writes_of_different_entities_and_reads_do_not_overlap() {
    let (sim, api) = start().await;
    let id = api.organisation("1").await;
    sim.set_latency(Duration::from_millis(50));
    let person = json!({ "externalId": "1", "firstName": "Ada", "lastName": "Byron" });
    let body = json!({ "id": id, "externalId": "1", "name": "Club" });
    let path = format!("/api/organisations/{id}");
    tokio::join!(
        api.put(&path, body.clone()),
        api.post("/api/people", person),
        api.post("/api/organisations", organisation("2")),
        api.get(&path),
        api.get("/api/organisations?externalId.equals=1"),
    );
    api.put(&path, body).await;
    assert_eq!(sim.counters().max_in_flight_of_one, 1);
    assert_eq!(sim.overlaps(), []);
}

#[tokio::test]
async fn one_after_the_other_is_never_an_overlap_whatever_the_fault() {
    let (sim, api) = start().await;
    let id = api.organisation("1").await;
    let body = json!({ "id": id, "externalId": "1", "name": "Club" });
    let path = format!("/api/organisations/{id}");
    let faults = [
        Fault::SlowBody { chunk_bytes: 7, pause_ms: 1 },
        Fault::CommitThenDrop,
        Fault::Drop,
        Fault::status(503),
        Fault::CommitThenHang { ms: Some(5) },
    ];
    for fault in faults {
        for _ in 0..20 {
            sim.faults().push(Rule::new(fault.clone()));
            let sent =
                api.send(reqwest::Method::PUT, &path, "application/json", Some(body.to_string()));
            drop(sent.await);
        }
    }
    assert_eq!((sim.overlaps(), sim.counters().max_in_flight_of_one), (vec![], 1));
}

#[tokio::test]
async fn growth_of_the_journal_can_be_awaited() {
    let (sim, api) = start().await;
    let later = tokio::spawn(async move {
        for number in 0..3 {
            api.organisation(&number.to_string()).await;
        }
    });
    soon(sim.wait_for_requests(2)).await;
    let is_third = |entry: &ems_sync_remotes::Entry| entry.external_ids == ["2"];
    soon(sim.wait_until(|_, entries| entries.iter().any(is_third))).await;
    later.await.unwrap();
    soon(sim.wait_for(|| sim.counters().writes_applied() == 3)).await;
    let progress = *sim.progress().borrow();
    assert_eq!((progress.started, progress.applied, progress.finished), (3, 3, 3));
}

#[tokio::test]
async fn a_limited_journal_forgets_entries_but_no_totals() {
    let mut options = TagServerOptions::default();
    options.server.journal_limit = Some(10);
    let sim = TagServer::start(options).await.unwrap();
    let api = Api::new(&sim);
    for number in 0..30 {
        api.organisation(&number.to_string()).await;
    }
    let journal = sim.journal();
    assert_eq!((journal.len(), journal[0].sequence), (10, 21));
    assert_eq!(journal[9].status, Some(201));
    assert_eq!(sim.counters().writes_to(Resource::Organisation.segment()).created, 30);
}

#[tokio::test]
async fn a_write_without_external_id_is_noted() {
    let (sim, api) = start().await;
    let id = api.organisation("1").await;
    let path = format!("/api/organisations/{id}");
    assert_eq!(api.patch(&path, json!({ "id": id, "name": "Club" })).await.status, 200);
    let violations = sim.violations();
    assert_eq!((violations[0].code.as_str(), violations[0].sequence), ("no_external_id", 2));
}

#[test]
fn a_simulator_can_be_shared_between_threads() {
    fn is_shareable<T: Send + Sync>() {}
    is_shareable::<ems_sync_remotes::Simulator<TagServer>>();
}
