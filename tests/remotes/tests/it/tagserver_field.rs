//! The contract's chapter "How it behaves in the field".

use ems_sync_remotes::tagserver::Resource;
use ems_sync_remotes::{Fault, Reimage, Rule, State};
use serde_json::json;

use crate::client::{Api, organisation, plant_all, start};

#[tokio::test]
async fn a_wiped_server_gives_old_ids_to_new_rows() {
    let (sim, api) = start().await;
    let before = sim.instance();
    let old = api.organisation("1").await;
    sim.reimage(Reimage::Empty);
    assert_ne!(sim.instance(), before);
    assert_eq!(api.get("/api/organisations").await.status, 401, "the old token is void");
    let api = Api::new(&sim);
    assert_eq!(api.get(&format!("/api/organisations/{old}")).await.status, 404);
    assert_eq!(api.organisation("2").await, old, "the id belongs to another row");
}

#[tokio::test]
async fn a_re_imaged_server_may_have_every_row_under_anothers_id() {
    let (sim, api) = start().await;
    let old: Vec<i64> =
        [api.organisation("1").await, api.organisation("2").await, api.organisation("3").await]
            .into();
    let event = json!({
        "externalId": "9", "name": "Run", "startDateTime": "2026-05-01T08:00:00Z",
        "timezone": "UTC", "organiser": { "id": old[0] },
    });
    sim.plant(Resource::Event, event).unwrap();
    sim.reimage(Reimage::Shuffled);
    let new: Vec<i64> = ["1", "2", "3"]
        .map(|external_id| sim.row(Resource::Organisation, external_id).unwrap().id)
        .into();
    assert_eq!(new, [old[1], old[2], old[0]]);
    let event = sim.row(Resource::Event, "9").unwrap();
    assert_eq!(event.body["organiser"]["id"], new[0], "relations follow");
    let api = Api::new(&sim);
    let answer = api.delete(&format!("/api/organisations/{}", new[0])).await;
    assert_eq!(answer.status, 500, "foreign keys follow");
    assert_eq!(api.delete(&format!("/api/organisations/{}", new[1])).await.status, 204);
}

#[tokio::test]
async fn a_re_imaging_can_be_scripted_for_a_request() {
    let (sim, api) = start().await;
    api.organisation("1").await;
    let instance = sim.instance();
    sim.faults().push(Rule::new(Fault::Reimage { how: Reimage::Empty }).method("POST"));
    assert_eq!(api.post("/api/organisations", organisation("2")).await.status, 401);
    assert_ne!(sim.instance(), instance);
    assert_eq!(sim.rows(Resource::Organisation), []);
}

#[tokio::test]
async fn a_wipe_leaves_instance_and_tokens_alone() {
    let (sim, api) = start().await;
    let (instance, old) = (sim.instance(), api.organisation("1").await);
    sim.wipe();
    assert_eq!(sim.instance(), instance);
    assert_eq!(api.organisation("2").await, old);
}

#[tokio::test]
async fn rows_can_be_planted_changed_and_removed_behind_the_workers_back() {
    let (sim, api) = start().await;
    let foreign = sim.plant(Resource::Organisation, json!({ "name": "By hand" })).unwrap();
    assert_eq!(foreign.external_id, None);
    let list = api.get("/api/organisations").await.json();
    assert_eq!(list[0], json!({ "id": foreign.id, "externalId": null, "name": "By hand" }));
    let changed = json!({ "id": foreign.id, "externalId": "7", "name": null });
    let changed = sim.plant(Resource::Organisation, changed).unwrap();
    assert_eq!(changed.body, json!({ "id": foreign.id, "externalId": "7", "name": null }));
    let chosen = sim.plant(Resource::Organisation, json!({ "id": 17, "externalId": "8" }));
    assert_eq!(chosen.unwrap().id, 17);
    assert!(sim.plant(Resource::Organisation, json!({ "externalId": "8" })).is_err());
    assert!(sim.plant(Resource::Organisation, json!({ "nmae": "typo" })).is_err());
    assert!(sim.remove(Resource::Organisation, 17) && !sim.remove(Resource::Organisation, 17));
    assert_eq!(sim.counters().requests, 1, "none of that is in the journal");
}

#[tokio::test]
async fn a_tag_can_be_replaced_on_race_day() {
    let (sim, api) = start().await;
    let [_, person, .., tag] = plant_all(&sim);
    let mut old = sim.row_by_id(Resource::Tag, tag).unwrap().body;
    old["validTo"] = json!("2026-05-01T09:00:00Z");
    assert_eq!(api.put(&format!("/api/tags/{tag}"), old).await.status, 200);
    let new = json!({ "externalId": "9", "number": "000124", "person": { "id": person } });
    assert_eq!(api.post("/api/tags", new).await.status, 201);
    let order: Vec<_> = sim.journal().into_iter().map(|entry| entry.method).collect();
    assert_eq!(order, ["PUT", "POST"]);
}

#[tokio::test]
async fn a_restart_keeps_or_wipes_the_rows_on_the_same_ports() {
    let (sim, api) = start().await;
    let id = api.organisation("1").await;
    let (base, control) = (sim.base_url(), sim.control_url());
    sim.restart(State::Kept).await.unwrap();
    assert_eq!((sim.base_url(), sim.control_url()), (base, control));
    assert_eq!(api.get(&format!("/api/organisations/{id}")).await.status, 200);
    sim.shutdown().await;
    assert!(api.try_get("/api/races").await.unwrap_err().is_connect());
    sim.restart(State::Wiped).await.unwrap();
    assert_eq!(api.get(&format!("/api/organisations/{id}")).await.status, 404);
}
