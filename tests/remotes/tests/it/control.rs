//! The control API.

use ems_sync_remotes::Simulator;
use ems_sync_remotes::tagserver::{Bulk, Resource, TagServer};
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{builder, organisation, soon, start};

async fn call(
    sim: &Simulator<TagServer>,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> (u16, Value) {
    let http = builder().build().unwrap();
    let mut request = http.request(method, format!("{}/_sim/{path}", sim.control_url()));
    if let Some(body) = body {
        request = request.json(&body);
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

async fn get(sim: &Simulator<TagServer>, path: &str) -> Value {
    let (status, body) = call(sim, Method::GET, path, None).await;
    assert_eq!(status, 200, "{path}: {body}");
    body
}

#[tokio::test]
async fn the_journal_is_read_page_by_page() {
    let (sim, api) = start().await;
    for number in 0..3 {
        api.organisation(&number.to_string()).await;
    }
    let page = get(&sim, "journal?limit=2").await;
    assert_eq!((page["entries"].as_array().unwrap().len(), &page["next"]), (2, &json!(2)));
    let page = get(&sim, "journal?since=2").await;
    assert_eq!(page["entries"][0]["sequence"], 3);
    assert_eq!(page["entries"][0]["rows"][0]["effect"], "created");
    assert_eq!(get(&sim, "info").await["progress"]["finished"], 3);
}

#[tokio::test]
async fn the_journal_can_be_awaited() {
    let (sim, api) = start().await;
    let waiting = get(&sim, "journal?since=0&wait_ms=20000");
    let (page, _) = soon(async { tokio::join!(waiting, api.organisation("1")) }).await;
    assert_eq!(page["entries"][0]["external_ids"], json!(["1"]));
    assert_eq!(get(&sim, "journal?since=1&wait_ms=1").await["entries"], json!([]));
}

#[tokio::test]
async fn counters_violations_and_overlaps_are_there() {
    let (sim, api) = start().await;
    api.post("/api/organisations", json!({ "id": 1, "externalId": "1", "name": "Club" })).await;
    assert_eq!(get(&sim, "counters").await["writes"]["organisations"]["refused"], 1);
    assert_eq!(get(&sim, "violations").await[0]["code"], "id_in_create");
    assert_eq!(get(&sim, "overlaps").await, json!([]));
}

#[tokio::test]
async fn rows_are_listed_planted_changed_and_removed() {
    let (sim, _) = start().await;
    let row = json!({ "externalId": "1", "name": "Club" });
    let (status, row) = call(&sim, Method::POST, "rows/organisations", Some(row)).await;
    assert_eq!(status, 200);
    let id = row["id"].as_i64().unwrap();
    let changed = json!({ "id": id, "name": "Renamed" });
    call(&sim, Method::POST, "rows/organisation", Some(changed)).await;
    let expected = json!({ "id": id, "externalId": "1", "name": "Renamed" });
    assert_eq!(get(&sim, "rows/organisations").await, json!([expected]));
    assert_eq!(get(&sim, &format!("rows/organisations/{id}")).await, expected);
    let path = format!("rows/organisations/{id}");
    assert_eq!(call(&sim, Method::DELETE, &path, None).await.0, 204);
    assert_eq!(call(&sim, Method::DELETE, &path, None).await.0, 404);
    let (status, why) =
        call(&sim, Method::POST, "rows/races", Some(json!({ "event": { "id": 17 } }))).await;
    assert_eq!(status, 400);
    assert!(why["error"].as_str().unwrap().contains("event"), "{why}");
    assert_eq!(call(&sim, Method::GET, "rows/nothings", None).await.0, 404);
}

#[tokio::test]
async fn faults_are_scripted() {
    let (sim, api) = start().await;
    let rules = json!([
        { "fault": { "kind": "status", "code": 503 }, "when": { "resource": "race" } },
        { "fault": { "kind": "commit_then_drop" }, "when": { "method": "POST" }, "times": null },
    ]);
    let (status, pushed) = call(&sim, Method::POST, "faults", Some(rules)).await;
    assert_eq!((status, pushed["ids"].as_array().unwrap().len()), (201, 2));
    assert_eq!(get(&sim, "faults").await[1]["rule"]["times"], Value::Null);
    assert_eq!(get(&sim, "faults").await[0]["rule"]["times"], 1);
    assert_eq!(api.get("/api/races").await.status, 503);
    for number in 0..2 {
        assert!(
            api.try_post("/api/organisations", &organisation(&number.to_string())).await.is_err()
        );
    }
    assert_eq!(sim.row_count(Resource::Organisation), 2);
    let path = format!("faults/{}", pushed["ids"][1]);
    assert_eq!(call(&sim, Method::DELETE, &path, None).await.0, 204);
    api.organisation("3").await;
    let one = json!({ "fault": { "kind": "drop" } });
    assert_eq!(call(&sim, Method::POST, "faults", Some(one)).await.0, 201);
    assert_eq!(call(&sim, Method::DELETE, "faults", None).await.0, 204);
    assert_eq!(get(&sim, "faults").await, json!([]));
}

#[tokio::test]
async fn a_script_with_a_mistake_is_refused() {
    let (sim, _) = start().await;
    for rule in [
        json!({ "fault": { "kind": "explode" } }),
        json!({ "fault": { "kind": "drop" }, "when": { "resource": "nothings" } }),
        json!({ "fault": { "kind": "drop" }, "when": { "metod": "GET" } }),
        json!({ "fault": { "kind": "delay", "ms": 5, "s": 1 } }),
        json!({ "fault": { "kind": "drop" }, "count": 3 }),
    ] {
        let (status, why) = call(&sim, Method::POST, "faults", Some(rule.clone())).await;
        assert_eq!(status, 400, "{rule}: {why}");
    }
    assert_eq!(sim.faults().rules(), []);
}

#[tokio::test]
async fn settings_are_changed_while_it_runs() {
    let (sim, api) = start().await;
    let change = json!({ "bulk": "not_found", "latency_ms": 1 });
    let (status, settings) = call(&sim, Method::POST, "settings", Some(change)).await;
    assert_eq!((status, &settings["bulk"]), (200, &json!("not_found")));
    assert_eq!(get(&sim, "settings").await["latency_ms"], 1);
    assert_eq!(get(&sim, "settings").await["token_life_seconds"], 1800, "the rest stays");
    assert_eq!(api.post("/api/races/bulk", json!([])).await.status, 404);
    let unknown = json!({ "bulk": "enabled", "latency": 7 });
    assert_eq!(call(&sim, Method::POST, "settings", Some(unknown)).await.0, 400);
    assert_eq!(get(&sim, "settings").await["bulk"], "not_found");
    sim.configure(|settings| assert_eq!(settings.bulk, Bulk::NotFound));
}

#[tokio::test]
async fn the_server_is_wiped_re_imaged_and_given_a_new_secret() {
    let (sim, api) = start().await;
    api.organisation("1").await;
    let instance = sim.instance();
    assert_eq!(call(&sim, Method::POST, "wipe", None).await.0, 200);
    assert_eq!(sim.row_count(Resource::Organisation), 0);
    assert_eq!(sim.instance(), instance);
    api.organisation("1").await;
    assert_eq!(call(&sim, Method::POST, "secret", None).await.0, 200);
    assert_eq!(api.get("/api/races").await.status, 401);
    assert_eq!(sim.row_count(Resource::Organisation), 1);
    let how = json!({ "how": "shuffled" });
    assert_eq!(call(&sim, Method::POST, "reimage", Some(how)).await.0, 200);
    assert_ne!(sim.instance(), instance);
    assert_eq!(sim.row_count(Resource::Organisation), 1);
    assert_eq!(call(&sim, Method::POST, "reimage", None).await.0, 200);
    assert_eq!(sim.row_count(Resource::Organisation), 0);
}
