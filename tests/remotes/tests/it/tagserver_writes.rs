//! The contract's create, replace, patch and delete.

use ems_sync_remotes::Effect;
use ems_sync_remotes::tagserver::{DeleteUnknown, MissingRelation, Resource};
use serde_json::{Value, json};

use crate::client::{organisation, plant_all, start, start_with, whole_body};

#[tokio::test]
async fn every_resource_is_created_and_read_back_as_it_was_sent() {
    let (sim, api) = start().await;
    let mut ids: Vec<i64> = Vec::new();
    for resource in Resource::ALL {
        let mut sent = whole_body(resource, &ids);
        let path = format!("/api/{resource}");
        let created = api.post(&path, sent.clone()).await;
        assert_eq!(created.status, 201, "{resource}: {}", created.text);
        let id = created.id();
        assert_eq!(created.header("location"), format!("{path}/{id}"));
        sent["id"] = json!(id);
        assert_eq!(sim.row_by_id(resource, id).unwrap().body, sent);
        let external_id = sent["externalId"].as_str().unwrap();
        assert_eq!(sim.row(resource, external_id).unwrap().id, id);
        ids.push(id);
    }
    assert!(ids.is_sorted() && ids[0] > 900_000, "one sequence for the server: {ids:?}");
    assert_eq!(sim.violations(), []);
    assert_eq!(sim.counters().writes_applied(), 8);
}

#[tokio::test]
async fn a_create_must_not_bring_an_id() {
    let (sim, api) = start().await;
    let body = json!({ "id": 17, "externalId": "1", "name": "Club" });
    api.post("/api/organisations", body).await.assert_problem(400, "error.idexists");
    assert_eq!(sim.row_count(Resource::Organisation), 0);
    assert_eq!(sim.counters().violations_of("id_in_create").len(), 1);
}

#[tokio::test]
async fn a_second_row_with_the_same_external_id_is_a_500() {
    let (sim, api) = start().await;
    api.organisation("1").await;
    let second = api.post("/api/organisations", organisation("1")).await;
    second.assert_problem(500, "error.http.500");
    assert_eq!(second.json()["detail"], "Failure during data access");
    assert_eq!(sim.row_count(Resource::Organisation), 1);
    let other = api.organisation("2").await;
    let body = json!({ "id": other, "externalId": "1", "name": "Club" });
    let path = format!("/api/organisations/{other}");
    api.put(&path, body).await.assert_problem(500, "error.http.500");
}

#[tokio::test]
async fn the_same_external_id_is_free_in_another_resource() {
    let (_sim, api) = start().await;
    api.organisation("1").await;
    let person = json!({ "externalId": "1", "firstName": "Ada", "lastName": "Byron" });
    assert_eq!(api.post("/api/people", person).await.status, 201);
}

#[tokio::test]
async fn a_replace_sets_every_field_and_clears_what_is_absent() {
    let (sim, api) = start().await;
    let [_, person, ..] = plant_all(&sim);
    let body = json!({
        "id": person, "externalId": "first-people", "firstName": "Eve", "lastName": "Byron",
    });
    let answer = api.put(&format!("/api/people/{person}"), body).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json(),
        json!({
            "id": person, "externalId": "first-people", "firstName": "Eve",
            "lastName": "Byron", "dateOfBirth": null, "gender": null,
        })
    );
    assert_eq!(sim.counters().writes_to("people").replaced, 1);
}

#[tokio::test]
async fn a_replace_minds_its_ids() {
    let (sim, api) = start().await;
    let id = api.organisation("1").await;
    let path = format!("/api/organisations/{id}");
    api.put(&path, organisation("1")).await.assert_problem(400, "error.idnull");
    let mut body = organisation("1");
    body["id"] = json!(id + 1);
    api.put(&path, body.clone()).await.assert_problem(400, "error.idinvalid");
    let unknown = format!("/api/organisations/{}", id + 1);
    api.put(&unknown, body).await.assert_problem(400, "error.idnotfound");
    assert_eq!(sim.counters().violations_of("id_missing").len(), 1);
    assert_eq!(sim.counters().violations_of("id_mismatch").len(), 1);
    assert_eq!(sim.counters().writes_to("organisations").refused, 3);
}

#[tokio::test]
async fn a_replace_that_makes_one_entitys_row_anothers_is_a_violation() {
    let (sim, api) = start().await;
    let id = api.organisation("1").await;
    let body = json!({ "id": id, "externalId": "2", "name": "Club" });
    assert_eq!(api.put(&format!("/api/organisations/{id}"), body).await.status, 200);
    assert_eq!(sim.counters().violations_of("overwrites_another_record").len(), 1);
    assert_eq!(api.get("/api/organisations?externalId.equals=1").await.json(), json!([]));
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_cannot_clear() {
    let (sim, api) = start().await;
    let [_, person, ..] = plant_all(&sim);
    let path = format!("/api/people/{person}");
    let patch = json!({
        "id": person, "externalId": "first-people", "firstName": "Eve", "gender": null,
    });
    let answer = api.patch(&path, patch).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json(),
        json!({
            "id": person, "externalId": "first-people", "firstName": "Eve",
            "lastName": "Byron", "dateOfBirth": "1990-02-28", "gender": "FEMALE",
        })
    );
    let nulls = sim.counters();
    let nulls = nulls.violations_of("null_in_patch");
    assert_eq!((nulls.len(), nulls[0].detail.as_str()), (1, "people.gender"));
}

#[tokio::test]
async fn a_patch_minds_its_ids_and_its_media_type() {
    let (sim, api) = start().await;
    let id = api.organisation("1").await;
    let path = format!("/api/organisations/{id}");
    api.patch(&path, organisation("1")).await.assert_problem(400, "error.idnull");
    let mut body = organisation("1");
    body["id"] = json!(id + 1);
    api.patch(&path, body.clone()).await.assert_problem(400, "error.idinvalid");
    let unknown = format!("/api/organisations/{}", id + 1);
    api.patch(&unknown, body.clone()).await.assert_problem(400, "error.idnotfound");
    let plain = Some(body.to_string());
    let answer = api.send(reqwest::Method::PATCH, &path, "application/json", plain).await.unwrap();
    answer.assert_problem(415, "error.http.415");
    assert_eq!(sim.counters().violations_of("wrong_media_type").len(), 1);
}

#[tokio::test]
async fn a_delete_is_a_204_and_so_is_the_next_one() {
    let (sim, api) = start().await;
    let id = api.organisation("1").await;
    let path = format!("/api/organisations/{id}");
    assert_eq!(api.delete(&path).await.status, 204);
    assert_eq!(api.get(&path).await.status, 404);
    assert_eq!(api.delete(&path).await.status, 204);
    let writes = sim.counters().writes_to("organisations");
    assert_eq!((writes.deleted, writes.refused), (1, 1));
    api.organisation("1").await;
}

#[tokio::test]
async fn on_older_servers_deleting_an_unknown_id_is_a_500() {
    let (_sim, api) =
        start_with(|settings| settings.delete_unknown = DeleteUnknown::ServerError).await;
    api.delete("/api/races/17").await.assert_problem(500, "error.http.500");
}

#[tokio::test]
async fn a_row_that_others_name_is_not_deleted() {
    let (sim, api) = start().await;
    let ids = plant_all(&sim);
    let path = |index: usize| format!("/api/{}/{}", Resource::ALL[index], ids[index]);
    for parent in [0, 1, 2, 3, 4, 5] {
        let answer = api.delete(&path(parent)).await;
        answer.assert_problem(500, "error.http.500");
        assert_eq!(answer.json()["detail"], "Failure during data access");
    }
    assert_eq!(sim.counters().violations_of("deletes_parent_first").len(), 6);
    for index in (0..8).rev() {
        assert_eq!(api.delete(&path(index)).await.status, 204, "children first");
    }
}

#[tokio::test]
async fn a_write_that_names_an_absent_relation_is_refused_by_name() {
    let (sim, api) = start().await;
    let mut body = whole_body(Resource::Race, &[0, 0, 17]);
    let refused = api.post("/api/races", body.clone()).await;
    refused.assert_problem(400, "error.relationnotfound");
    assert!(refused.json()["detail"].as_str().unwrap().contains("event 17"), "{}", refused.text);
    assert_eq!(refused.json()["params"], "event");
    let [_, _, event, race, ..] = plant_all(&sim);
    body["id"] = json!(race);
    let path = format!("/api/races/{race}");
    api.put(&path, body.clone()).await.assert_problem(400, "error.relationnotfound");
    body["event"] = json!({ "id": event });
    assert_eq!(api.put(&path, body).await.status, 200);
    assert_eq!(sim.counters().violations_of("absent_parent").len(), 2);
}

#[tokio::test]
async fn an_absent_relation_may_also_be_a_500_that_names_it() {
    let (_sim, api) =
        start_with(|settings| settings.missing_relation = MissingRelation::ServerError).await;
    let refused = api.post("/api/races", whole_body(Resource::Race, &[0, 0, 17])).await;
    refused.assert_problem(500, "error.http.500");
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("event") && detail.contains("17"), "{detail}");
}

#[tokio::test]
async fn the_journal_tells_what_a_write_changed() {
    let (sim, api) = start().await;
    let id = api.organisation("1").await;
    let mut body = organisation("1");
    body["id"] = json!(id);
    let path = format!("/api/organisations/{id}");
    api.put(&path, body.clone()).await;
    body["name"] = json!("Other");
    api.put(&path, body).await;
    let writes = sim.writes_of(Resource::Organisation, "1");
    let effects: Vec<_> =
        writes.iter().map(|entry| (entry.rows[0].effect, entry.rows[0].changed)).collect();
    let expected = [(Effect::Created, true), (Effect::Replaced, false), (Effect::Replaced, true)];
    assert_eq!(effects, expected);
    assert_eq!(writes[0].remote_id.as_deref(), Some(id.to_string().as_str()));
    assert_eq!(sim.counters().writes_to("organisations").unchanged, 1);
}

#[tokio::test]
async fn fields_that_the_contract_does_not_know_are_ignored_and_noted() {
    let (sim, api) = start().await;
    let body = json!({
        "externalId": "1", "firstName": "Ada", "lastName": "Byron", "medicalConditions": "none",
    });
    let created = api.post("/api/people", body).await;
    assert_eq!(created.status, 201);
    assert_eq!(created.json().get("medicalConditions"), None::<&Value>);
    let violations = sim.violations();
    assert_eq!(violations[0].code, "unknown_field");
    assert_eq!(violations[0].detail, "people.medicalConditions");
}
