//! Sections 0 and 2: archive, and deletion for good.

use ems_sync_remotes::Effect;
use ems_sync_remotes::mailchimp::Act;
use serde_json::json;

use super::client::{ADA, LIST, assert_problem, codes, member, members, start, upsert};

#[tokio::test]
async fn a_member_is_archived_once_and_can_still_be_read() {
    let (sim, api) = start().await;
    api.upsert(ADA, "42").await;
    assert_eq!(api.delete(&member(ADA)).await.status, 204);
    assert_eq!(api.read(ADA).await["status"], "archived");
    let again = api.delete(&member(ADA)).await;
    assert_problem(&again, 405, "Method Not Allowed");
    let detail = "Can not archive a contact that is bounced, pending or archived";
    assert_eq!(again.json()["detail"], detail);
    let nobody = api.delete(&member("nobody@club.org")).await;
    assert_problem(&nobody, 404, "Resource Not Found");
    let writes = sim.writes_of("members", "42");
    assert_eq!(writes[1].rows[0].effect, Effect::Deleted);
    assert_eq!(writes[2].rows[0].effect, Effect::Refused);
    assert_eq!(sim.violations(), []);
}

#[tokio::test]
async fn pending_cleaned_and_protected_members_are_not_archived() {
    let (sim, api) = start().await;
    let mut pending = upsert("pending@club.org", "1");
    pending["status_if_new"] = json!("pending");
    api.put("pending@club.org", pending).await;
    api.upsert("cleaned@club.org", "2").await;
    sim.act(LIST, "cleaned@club.org", &Act::Clean).unwrap();
    for email in ["pending@club.org", "cleaned@club.org"] {
        assert_problem(&api.delete(&member(email)).await, 405, "Method Not Allowed");
    }
    api.upsert(ADA, "42").await;
    sim.act(LIST, ADA, &Act::Protect).unwrap();
    let answer = api.delete(&member(ADA)).await;
    assert_problem(&answer, 405, "Method Not Allowed");
    let detail = "This list member cannot be removed. Please contact support.";
    assert_eq!(answer.json()["detail"], detail);
}

#[tokio::test]
async fn who_is_deleted_for_good_cannot_come_back_by_api() {
    let (sim, api) = start().await;
    api.upsert(ADA, "42").await;
    let path = format!("{}/actions/delete-permanent", member(ADA));
    assert_eq!(api.post(&path, json!({})).await.status, 204);
    assert_eq!(codes(&sim), ["delete_permanent"]);
    assert_problem(&api.get(&member(ADA)).await, 404, "Resource Not Found");
    let again = api.put(ADA, upsert(ADA, "42")).await;
    assert_problem(&again, 400, "Forgotten Email Not Subscribed");
    let body = json!({ "email_address": ADA, "status": "subscribed" });
    assert_problem(&api.post(&members(), body).await, 400, "Forgotten Email Not Subscribed");
    sim.act(LIST, ADA, &Act::Subscribe).unwrap();
    assert_eq!(api.upsert(ADA, "42").await["status"], "subscribed", "a form brings them back");
}
