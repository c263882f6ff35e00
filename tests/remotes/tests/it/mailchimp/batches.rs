//! Section 7: many requests in one.

use std::io::Read as _;

use ems_sync_remotes::Simulator;
use ems_sync_remotes::mailchimp::MailChimp;
use serde_json::{Value, json};

use super::client::{ADA, LIST, assert_problem, codes, member, start, upsert};
use crate::client::builder;

fn operation(id: &str, email: &str, body: &Value) -> Value {
    json!({
        "method": "PUT", "path": member(email), "operation_id": id,
        "params": { "skip_merge_validation": "true" }, "body": body.to_string(),
    })
}

/// The file names and the results in the archive.
async fn results(url: &str) -> (Vec<String>, Value) {
    let bytes = builder().build().unwrap().get(url).send().await.unwrap().bytes().await.unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_ref()));
    let (mut names, mut results) = (Vec::new(), Value::Null);
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        names.push(String::from_utf8_lossy(&entry.path_bytes()).into_owned());
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        if !text.is_empty() {
            results = serde_json::from_str(&text).unwrap();
        }
    }
    (names, results)
}

async fn submit(sim: &Simulator<MailChimp>, operations: Value) -> String {
    let api = super::client::Api::new(sim);
    let answer = api.post("/batches", json!({ "operations": operations })).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let batch = answer.json();
    assert_eq!((&batch["status"], &batch["response_body_url"]), (&json!("pending"), &json!("")));
    format!("/batches/{}", batch["id"].as_str().unwrap())
}

#[tokio::test]
async fn finished_does_not_mean_that_all_went_well() {
    let (sim, api) = start().await;
    let bad = json!({ "email_address": "b@club.org", "status_if_new": "archived" });
    let operations = [operation("1", ADA, &upsert(ADA, "42")), operation("2", "b@club.org", &bad)];
    let path = submit(&sim, json!(operations)).await;
    assert_eq!(api.get(&path).await.json()["status"], "started");
    let batch = api.get(&path).await.json();
    assert_eq!(batch["status"], "finished");
    assert_eq!((&batch["total_operations"], &batch["errored_operations"]), (&json!(2), &json!(1)));
    let url = batch["response_body_url"].as_str().unwrap();
    let (names, results) = results(url).await;
    assert_eq!(names[0], "./");
    assert_eq!(
        (&results[0]["operation_id"], &results[0]["status_code"]),
        (&json!("1"), &json!(200))
    );
    let inner: Value = serde_json::from_str(results[0]["response"].as_str().unwrap()).unwrap();
    assert_eq!(inner["merge_fields"]["EMSID"], "42");
    assert_eq!(results[1]["status_code"], 400);
    assert_eq!(sim.writes_of("members", "42").len(), 1);
    assert!(sim.row(LIST, "42").is_some());
}

#[tokio::test]
async fn the_results_are_soon_gone() {
    let (sim, api) = start().await;
    let path = submit(&sim, json!([operation("1", ADA, &upsert(ADA, "42"))])).await;
    sim.configure(|settings| settings.batch_polls = 1);
    let url = api.get(&path).await.json()["response_body_url"].as_str().unwrap().to_owned();
    sim.configure(|settings| settings.clock_offset_seconds = 601);
    let answer = builder().build().unwrap().get(url).send().await.unwrap();
    assert_eq!(answer.status(), 403);
    assert_eq!(api.delete(&path).await.status, 204);
    assert_problem(&api.get(&path).await, 404, "Resource Not Found");
}

#[tokio::test]
async fn operations_need_an_id_and_a_body_of_text() {
    let (sim, api) = start().await;
    let mut nameless = operation("", ADA, &upsert(ADA, "42"));
    nameless["operation_id"].take();
    let mut typed = operation("2", ADA, &json!({}));
    typed["body"] = json!({ "vip": true });
    let nested = json!({ "method": "POST", "path": "/batches", "operation_id": "3", "body": "{}" });
    let odd = json!({ "operation_id": "4", "path": 7 });
    let path = submit(&sim, json!([nameless, typed, nested, odd, 17])).await;
    api.get(&path).await;
    assert_eq!(api.get(&path).await.json()["errored_operations"], 4);
    let mut codes = codes(&sim);
    codes.sort();
    assert_eq!(codes, ["batch_body_not_string", "operation_without_id", "operation_without_id"]);
}

#[tokio::test]
async fn more_than_five_hundred_operations_are_too_many_to_be_sure() {
    let (sim, _) = start().await;
    let ping = json!({ "method": "GET", "path": "/ping", "operation_id": "1" });
    submit(&sim, json!(vec![ping; 501])).await;
    assert_eq!(codes(&sim), ["batch_too_large"]);
}

#[tokio::test]
async fn too_many_pending_batches_are_throttled() {
    let (sim, api) = start().await;
    sim.configure(|settings| settings.max_pending_batches = 1);
    let path = submit(&sim, json!([])).await;
    let answer = api.post("/batches", json!({ "operations": [] })).await;
    assert_problem(&answer, 429, "TooManyRequests");
    api.get(&path).await;
    api.get(&path).await;
    submit(&sim, json!([])).await;
}
