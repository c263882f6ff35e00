//! The contract's section 4.

use ems_sync_remotes::mautic::SharedStage;
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::Answer;
use crate::mautic_client::{Site, assert_refused, person, start, start_with};

async fn edit(site: &Site, rows: Value) -> Answer {
    site.call(Method::PATCH, "/contacts/batch/edit", rows).await
}

#[tokio::test]
async fn a_batch_of_creates_is_201_whatever_becomes_of_its_rows() {
    let site = start().await;
    let known = site.person("1").await;
    let mut bad = person("3");
    bad["email"] = json!("nobody");
    let rows = json!([person("1"), bad, person("2")]);
    let answer = site.post("/contacts/batch/new", rows).await;
    assert_eq!(answer.status, 201);
    let body = answer.json();
    assert_eq!(body["statusCodes"], json!([200, 400, 201]));
    assert_eq!(body["errors"]["1"]["code"], 400);
    assert!(body["errors"]["1"]["details"]["email"].is_array());
    assert!(body["contacts"].is_object(), "a hole makes a map of a list");
    assert_eq!(body["contacts"]["0"]["id"], known);
    assert_eq!(body["contacts"]["2"]["fields"]["all"]["ems_person_id"], "2");
    assert_eq!(site.sim.contact_count(), 2);
    let entry = site.sim.journal().pop().unwrap();
    assert_eq!(entry.external_ids, ["1", "3", "2"]);
    assert_eq!(entry.rows.len(), 3);
    let whole = site.post("/contacts/batch/new", json!([person("4")])).await.json();
    assert!(whole["contacts"].is_array() && whole.get("errors").is_none(), "{whole}");
}

#[tokio::test]
async fn a_batch_of_creates_finds_the_duplicates_in_itself() {
    let site = start().await;
    let answer = site.post("/contacts/batch/new", json!([person("1"), person("1")])).await;
    assert_eq!(answer.json()["statusCodes"], json!([201, 200]));
    assert_eq!(site.sim.contact_count(), 1);
}

#[tokio::test]
async fn rows_keep_the_keys_they_were_sent_with() {
    let site = start().await;
    let answer =
        site.post("/contacts/batch/new", json!({ "5": person("1"), "7": person("2") })).await;
    let body = answer.json();
    assert_eq!(body["statusCodes"], json!({ "5": 201, "7": 201 }));
    assert_eq!(body["contacts"]["7"]["fields"]["all"]["ems_person_id"], "2");
}

#[tokio::test]
async fn too_many_rows_are_a_500_that_stays() {
    let site = start_with(|settings| settings.batch_limit = 2).await;
    let answer =
        site.post("/contacts/batch/new", json!([person("1"), person("2"), person("3")])).await;
    assert_refused(&answer, 500);
    assert_eq!(answer.json()["errors"][0]["details"], json!([]));
    assert_eq!(site.sim.contact_count(), 0);
    assert_eq!(site.violations("batch_too_large"), 1);
}

#[tokio::test]
async fn an_edit_with_all_ids_changes_each_contact() {
    let site = start().await;
    let (a, b) = (site.person("1").await, site.person("2").await);
    let rows =
        json!([{ "id": a, "city": "A" }, { "id": b, "city": "B" }, { "id": 1, "city": "C" }]);
    let answer = edit(&site, rows).await;
    assert_eq!(answer.status, 200);
    let body = answer.json();
    assert_eq!(body["statusCodes"], json!([200, 200, 404]));
    assert_eq!((&body["contacts"][0]["id"], &body["contacts"][1]["id"]), (&json!(a), &json!(b)));
    assert_eq!((site.value(a, "city"), site.value(b, "city")), (json!("A"), json!("B")));
    assert_eq!(site.sim.violations(), []);
    assert_eq!(site.sim.writes_of("contacts", "2").len(), 2);
}

#[tokio::test]
async fn one_row_without_an_id_shifts_all_later_ones() {
    let site = start().await;
    let id = site.person("5").await;
    let rows = json!([{ "city": "nobody's" }, { "id": id, "city": "mine" }]);
    let body = edit(&site, rows.clone()).await.json();
    assert_eq!(body["statusCodes"], json!([400, 404]));
    assert_eq!(site.value(id, "city"), "nobody's", "refused, and written to another's contact");
    assert_eq!(site.violations("batch_row_without_id"), 1);
    let body = site.call(Method::PUT, "/contacts/batch/edit", rows).await.json();
    assert_eq!(body["statusCodes"], json!([400, 201]), "a PUT makes a duplicate of it");
    assert_eq!(site.sim.contact_count(), 2);
}

#[tokio::test]
async fn the_second_row_of_one_contact_is_lost() {
    let site = start().await;
    let id = site.person("1").await;
    let rows = json!([{ "id": id, "city": "A" }, { "id": id, "city": "B" }]);
    assert_eq!(edit(&site, rows).await.json()["statusCodes"], json!([200, 200]));
    assert_eq!(site.value(id, "city"), "A");
    assert_eq!(site.violations("duplicate_id_in_batch"), 1);
}

#[tokio::test]
async fn rows_that_share_a_stage_are_a_500_page() {
    let site = start().await;
    let (a, b) = (site.person("1").await, site.person("2").await);
    let rows = json!([{ "id": a, "stage": 3 }, { "id": b, "stage": 3 }]);
    let answer = edit(&site, rows.clone()).await;
    assert_eq!(answer.status, 500);
    assert!(answer.text.contains("error #500"), "{}", answer.text);
    assert_eq!(site.sim.contact(a).unwrap().stage, None);
    site.sim.configure(|settings| settings.shared_stage = SharedStage::Accepted);
    assert_eq!(edit(&site, rows).await.status, 200);
    assert_eq!(site.sim.contact(a).unwrap().stage, Some(3));
}

#[tokio::test]
async fn a_batch_of_deletes_tells_what_was_there() {
    let site = start().await;
    let (a, b) = (site.person("1").await, site.person("2").await);
    let answer = site.delete(&format!("/contacts/batch/delete?ids={a},1,{b}")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["statusCodes"], json!([200, 404, 200]));
    assert_eq!(site.sim.contact_count(), 0);
}
