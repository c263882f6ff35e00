//! Sections 0, 2 and 4: tags have a call of their own.

use ems_sync_remotes::mailchimp::{PutTags, TagCase};
use serde_json::{Value, json};

use super::client::{ADA, LIST, assert_problem, codes, member, start, start_with, upsert};

fn path() -> String {
    format!("{}/tags", member(ADA))
}

fn change(name: &str, status: &str) -> Value {
    json!({ "tags": [{ "name": name, "status": status }], "is_syncing": true })
}

#[tokio::test]
async fn tags_come_and_go_without_an_answers_body() {
    let (sim, api) = start().await;
    api.upsert(ADA, "42").await;
    let answer = api.post(&path(), change("Club 7", "active")).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""));
    assert_eq!(api.post(&path(), json!({ "tags": [] })).await.status, 204);
    assert_eq!(sim.row(LIST, "42").unwrap().tags, ["club 7"], "another case comes back");
    assert_eq!(api.post(&path(), change("CLUB 7", "inactive")).await.status, 204);
    assert_eq!(sim.row(LIST, "42").unwrap().tags, [""; 0]);
    assert_eq!(api.post(&path(), change("club 7", "inactive")).await.status, 204);
    assert_eq!(sim.writes_of("members", "42").len(), 5);
    assert_eq!(sim.violations(), []);
}

#[tokio::test]
async fn the_first_spelling_of_a_tag_stays() {
    let (sim, api) = start_with(|settings| settings.tag_case = TagCase::Sent).await;
    api.upsert(ADA, "42").await;
    api.post(&path(), change("Club", "active")).await;
    api.post(&path(), change("CLUB", "active")).await;
    assert_eq!(sim.row(LIST, "42").unwrap().tags, ["Club"]);
}

#[tokio::test]
async fn archived_members_have_tags_and_unknown_ones_are_not_found() {
    let (sim, api) = start().await;
    assert_problem(&api.post(&path(), change("a", "active")).await, 404, "Resource Not Found");
    api.upsert(ADA, "42").await;
    api.delete(&member(ADA)).await;
    assert_eq!(api.post(&path(), change("a", "active")).await.status, 204);
    assert_eq!(sim.row(LIST, "42").unwrap().tags, ["a"]);
    let answer = api.post(&path(), change("a", "on")).await;
    assert_problem(&answer, 400, "Invalid Resource");
}

#[tokio::test]
async fn put_ignores_tags_of_members_that_are_there() {
    let (sim, api) = start().await;
    let mut body = upsert(ADA, "42");
    body["tags"] = json!(["new"]);
    assert_eq!(api.put(ADA, body.clone()).await.json()["tags"][0]["name"], "new");
    assert_eq!(sim.violations(), []);
    body["tags"] = json!(["later"]);
    assert_eq!(api.put(ADA, body.clone()).await.json()["tags_count"], 1);
    assert_eq!(codes(&sim), ["tags_in_update"]);
    sim.configure(|settings| settings.put_tags = PutTags::Added);
    assert_eq!(api.put(ADA, body).await.json()["tags_count"], 2);
}

#[tokio::test]
async fn a_members_body_shows_fifty_tags_and_their_own_call_all() {
    let (_sim, api) = start().await;
    api.upsert(ADA, "42").await;
    let tags: Vec<Value> =
        (0..60).map(|n| json!({ "name": format!("t{n}"), "status": "active" })).collect();
    api.post(&path(), json!({ "tags": tags })).await;
    let body = api.read(ADA).await;
    assert_eq!((body["tags"].as_array().unwrap().len(), &body["tags_count"]), (50, &json!(60)));
    let page = api.get(&format!("{}?count=1000", path())).await.json();
    assert_eq!((page["tags"].as_array().unwrap().len(), &page["total_items"]), (60, &json!(60)));
    let page = api.get(&path()).await.json();
    assert_eq!(page["tags"].as_array().unwrap().len(), 10);
}

#[tokio::test]
async fn a_change_of_tags_may_not_move_last_changed() {
    let (sim, api) = start().await;
    let before = api.upsert(ADA, "42").await["last_changed"].clone();
    sim.configure(|settings| settings.clock_offset_seconds = 60);
    api.post(&path(), change("a", "active")).await;
    assert_eq!(api.read(ADA).await["last_changed"], before);
    sim.configure(|settings| settings.tags_touch = true);
    api.post(&path(), change("b", "active")).await;
    assert_ne!(api.read(ADA).await["last_changed"], before);
}
