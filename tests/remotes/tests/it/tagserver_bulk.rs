//! The contract's bulk endpoint.

use ems_sync_remotes::Effect;
use ems_sync_remotes::tagserver::{Bulk, Resource};
use serde_json::{Value, json};

use crate::client::{organisation, start, whole_body};

const PATH: &str = "/api/organisations/bulk";

#[tokio::test]
async fn each_row_is_answered_in_the_order_of_the_request() {
    let (sim, api) = start().await;
    let known = api.organisation("1").await;
    let replaced = json!({ "id": known, "externalId": "1", "name": "Renamed" });
    let unknown = json!({ "id": 17, "externalId": "9", "name": "Club" });
    let rows = json!([organisation("2"), replaced, { "externalId": "3" }, unknown]);
    let answer = api.post(PATH, rows).await;
    assert_eq!(answer.status, 200);
    let answer = answer.json();
    let statuses: Vec<_> = answer.as_array().unwrap().iter().map(|row| &row["status"]).collect();
    assert_eq!(statuses, [201, 200, 400, 400]);
    assert_eq!(answer[0]["body"]["externalId"], "2");
    assert!(answer[0]["body"]["id"].as_i64().unwrap() > known);
    assert_eq!(answer[1]["body"], json!({ "id": known, "externalId": "1", "name": "Renamed" }));
    assert_eq!(answer[2]["problem"]["message"], "error.validation");
    assert_eq!(answer[2]["problem"]["fieldErrors"][0]["field"], "name");
    assert_eq!(answer[3]["problem"]["message"], "error.idnotfound");
    assert_eq!(sim.row_count(Resource::Organisation), 2, "a failure concerns only its row");
    let writes = sim.counters().writes_to("organisations");
    assert_eq!((writes.created, writes.bulk_created), (1, 1), "single and bulk rows apart");
    assert_eq!((writes.bulk_replaced, writes.bulk_refused, writes.bulk_requests), (1, 2, 1));
}

#[tokio::test]
async fn the_journal_has_every_row_of_a_bulk_request() {
    let (sim, api) = start().await;
    api.post(PATH, json!([organisation("1"), organisation("2")])).await;
    let entry = &sim.writes_of(Resource::Organisation, "2")[0];
    assert_eq!(entry.external_ids, ["1", "2"]);
    assert!(entry.applied);
    let effects: Vec<_> = entry.rows.iter().map(|row| row.effect).collect();
    assert_eq!(effects, [Effect::Created, Effect::Created]);
}

#[tokio::test]
async fn a_violated_constraint_fails_its_row_with_4xx() {
    let (sim, api) = start().await;
    api.organisation("1").await;
    let answer = api.post(PATH, json!([organisation("1"), organisation("2")])).await.json();
    assert_eq!(answer[0]["status"], 409);
    assert_eq!(answer[0]["problem"]["status"], 409);
    assert_eq!(answer[0]["problem"]["detail"], "Failure during data access");
    assert_eq!(answer[1]["status"], 201);
    let orphan = whole_body(Resource::Race, &[0, 0, 17]);
    let answer = api.post("/api/races/bulk", json!([orphan])).await.json();
    assert_eq!(answer[0]["status"], 400);
    assert_eq!(answer[0]["problem"]["message"], "error.relationnotfound");
    assert_eq!(sim.counters().violations_of("absent_parent").len(), 1);
}

#[tokio::test]
async fn two_bodies_of_one_entity_in_one_bulk_are_a_violation() {
    let (sim, api) = start().await;
    let answer = api.post(PATH, json!([organisation("1"), organisation("1")])).await.json();
    assert_eq!((&answer[0]["status"], &answer[1]["status"]), (&json!(201), &json!(409)));
    assert_eq!(sim.counters().violations_of("duplicate_in_bulk").len(), 1);
    assert_eq!(sim.overlaps(), [], "one request does not overlap with itself");
}

#[tokio::test]
async fn five_hundred_rows_are_taken_and_one_more_is_a_413() {
    let (sim, api) = start().await;
    let rows = |count: usize| {
        Value::Array((0..count).map(|number| organisation(&number.to_string())).collect())
    };
    api.post(PATH, rows(501)).await.assert_problem(413, "error.http.413");
    assert_eq!(sim.row_count(Resource::Organisation), 0);
    assert_eq!(sim.counters().violations_of("bulk_too_large").len(), 1);
    let answer = api.post(PATH, rows(500)).await;
    assert_eq!(answer.json().as_array().unwrap().len(), 500);
    assert_eq!(sim.row_count(Resource::Organisation), 500);
    assert_eq!(sim.row(Resource::Organisation, "499").unwrap().body["name"], "Club 499");
}

#[tokio::test]
async fn a_server_may_have_no_bulk_endpoint() {
    let (sim, api) = start().await;
    sim.configure(|settings| settings.bulk = Bulk::NotFound);
    api.post(PATH, json!([organisation("1")])).await.assert_problem(404, "error.http.404");
    sim.configure(|settings| settings.bulk = Bulk::MethodNotAllowed);
    api.post(PATH, json!([organisation("1")])).await.assert_problem(405, "error.http.405");
    assert_eq!(sim.row_count(Resource::Organisation), 0);
    assert_eq!(sim.violations(), [], "trying is no breach");
}

#[tokio::test]
async fn a_bulk_is_an_array() {
    let (_sim, api) = start().await;
    api.post(PATH, organisation("1")).await.assert_problem(400, "error.http.400");
    assert_eq!(api.post(PATH, json!([])).await.json(), json!([]));
    let answer = api.post(PATH, json!(["1"])).await.json();
    assert_eq!(answer[0]["status"], 400);
}
