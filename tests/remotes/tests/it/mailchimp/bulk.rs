//! Section 7: many members in one request.

use ems_sync_remotes::mailchimp::Act;
use serde_json::{Value, json};

use super::client::{ADA, LIST, assert_problem, codes, start};

fn path() -> String {
    format!("/lists/{LIST}?skip_merge_validation=true&skip_duplicate_check=true")
}

fn one(email: &str, ems_id: &str) -> Value {
    json!({ "email_address": email, "status": "subscribed", "merge_fields": { "EMSID": ems_id } })
}

#[tokio::test]
async fn it_is_200_even_if_all_failed() {
    let (sim, api) = start().await;
    api.upsert(ADA, "42").await;
    let members = json!({ "members": [one(ADA, "42"), one("no address", "43")] });
    let answer = api.post(&path(), members).await;
    assert_eq!(answer.status, 200);
    let body = answer.json();
    assert_eq!(
        (&body["total_created"], &body["total_updated"], &body["error_count"]),
        (&json!(0), &json!(0), &json!(2))
    );
    assert_eq!(body["errors"][0]["error_code"], "ERROR_CONTACT_EXISTS");
    assert_eq!(body["errors"][0]["email_address"], ADA);
    assert_eq!(body["errors"][1]["error_code"], "ERROR_GENERIC");
    let writes = sim.counters().writes_to("members");
    assert_eq!((writes.bulk_requests, writes.bulk_refused), (1, 2));
    assert_eq!(sim.writes_of("members", "43").len(), 1);
}

#[tokio::test]
async fn update_existing_changes_the_subscription() {
    let (sim, api) = start().await;
    api.upsert(ADA, "42").await;
    api.patch(ADA, json!({ "status": "unsubscribed" })).await;
    let members = |email: &str| json!({ "members": [one(email, "42"), one("b@club.org", "43")], "update_existing": true });
    let body = api.post(&path(), members(ADA)).await.json();
    assert_eq!(body["updated_members"][0]["status"], "subscribed");
    assert_eq!(body["new_members"][0]["merge_fields"]["EMSID"], "43");
    assert_eq!(sim.violations(), []);
    sim.act(LIST, ADA, &Act::Unsubscribe).unwrap();
    let body = api.post(&path(), members(ADA)).await.json();
    assert_eq!(body["error_count"], 1, "{body}");
    assert_eq!(codes(&sim), ["flips_back_opt_out"]);
}

#[tokio::test]
async fn sync_tags_replaces_all_tags() {
    let (sim, api) = start().await;
    let mut member = one(ADA, "42");
    member["tags"] = json!(["a"]);
    let body = json!({ "members": [member.clone()], "update_existing": true });
    api.post(&path(), body.clone()).await;
    member["tags"] = json!(["b"]);
    let body = json!({ "members": [member.clone()], "update_existing": true });
    api.post(&path(), body).await;
    assert_eq!(sim.row(LIST, "42").unwrap().tags, ["a", "b"]);
    assert_eq!(sim.violations(), []);
    let body = json!({ "members": [member], "update_existing": true, "sync_tags": true });
    api.post(&path(), body).await;
    assert_eq!(sim.row(LIST, "42").unwrap().tags, ["b"]);
    assert_eq!(codes(&sim), ["replaces_all_tags"]);
}

#[tokio::test]
async fn duplicates_are_errors_unless_they_are_to_be_skipped() {
    let (sim, api) = start().await;
    let body = json!({ "members": [one(ADA, "42"), one(ADA, "43")] });
    let answer = api.post(&path(), body.clone()).await.json();
    assert_eq!((&answer["total_created"], &answer["error_count"]), (&json!(1), &json!(0)));
    assert!(sim.remove(ADA));
    let answer = api.post(&format!("/lists/{LIST}"), body).await.json();
    assert_eq!((&answer["total_created"], &answer["error_count"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn five_hundred_members_are_taken_and_one_more_is_refused() {
    let (sim, api) = start().await;
    let members = |count: usize| -> Value {
        let members = (0..count).map(|n| one(&format!("m{n}@club.org"), &n.to_string()));
        json!({ "members": members.collect::<Vec<_>>() })
    };
    assert_problem(&api.post(&path(), members(501)).await, 400, "Invalid Resource");
    assert_eq!(codes(&sim), ["bulk_too_large"]);
    assert_eq!(api.post(&path(), members(500)).await.json()["total_created"], 500);
    assert_eq!(sim.rows(LIST).len(), 500);
}
