//! Sections 0, 4 and 6: status is consent.

use ems_sync_remotes::mailchimp::{Act, ArchivedUpsert, ListOptions, OptOut, Status};
use reqwest::Method;
use serde_json::json;

use super::client::{
    ADA, LIST, assert_problem, codes, member, members, start, start_list, start_with, upsert,
};

#[tokio::test]
async fn put_without_status_leaves_an_opt_out_alone() {
    let (sim, api) = start().await;
    api.upsert(ADA, "42").await;
    sim.act(LIST, ADA, &Act::Unsubscribe).unwrap();
    assert_eq!(api.upsert(ADA, "42").await["status"], "unsubscribed");
    assert_eq!(sim.violations(), []);
}

#[tokio::test]
async fn the_api_takes_back_what_the_api_did() {
    let (sim, api) = start().await;
    api.upsert(ADA, "42").await;
    let answer = api.put(ADA, json!({ "status": "unsubscribed" })).await;
    assert_eq!(answer.json()["status"], "unsubscribed");
    assert_eq!(answer.json()["unsubscribe_reason"], "N/A (Unsubscribed by the API)");
    assert_eq!(
        api.put(ADA, json!({ "status": "subscribed" })).await.json()["status"],
        "subscribed"
    );
    assert_eq!(codes(&sim), ["status_in_upsert", "status_in_upsert"]);
    assert_eq!(api.patch(ADA, json!({ "status": "unsubscribed" })).await.status, 200);
    assert_eq!(api.patch(ADA, json!({ "status": "subscribed" })).await.status, 200);
    assert_eq!(sim.violations().len(), 2, "PATCH is how consent is changed");
}

#[tokio::test]
async fn who_opted_out_bounced_or_complained_cannot_be_subscribed() {
    let (sim, api) = start().await;
    for (act, opt_out, may_be_asked) in [
        (Act::Unsubscribe, OptOut::Member, true),
        (Act::Complain, OptOut::Complaint, false),
        (Act::Clean, OptOut::Bounce, false),
    ] {
        let email = format!("{opt_out:?}@club.org");
        api.upsert(&email, "1").await;
        let row = sim.act(LIST, &email, &act).unwrap().unwrap();
        assert_eq!(row.opt_out, Some(opt_out));
        let before = sim.violations().len();
        let answer = api.patch(&email, json!({ "status": "subscribed" })).await;
        assert_problem(&answer, 400, "Member In Compliance State");
        assert_eq!(codes(&sim)[before..], ["flips_back_opt_out"]);
        let answer = api.patch(&email, json!({ "status": "pending" })).await;
        assert_eq!(answer.status == 200, may_be_asked, "{}", answer.text);
        assert_eq!(sim.violations().len(), before + 1, "to ask is allowed");
    }
}

#[tokio::test]
async fn pending_is_not_repeated_and_ends_when_it_is_confirmed() {
    let (sim, api) = start().await;
    api.upsert(ADA, "42").await;
    sim.act(LIST, ADA, &Act::Unsubscribe).unwrap();
    api.patch(ADA, json!({ "status": "pending" })).await;
    api.patch(ADA, json!({ "status": "pending" })).await;
    assert_eq!(codes(&sim), ["resends_confirmation"]);
    let answer = api.patch(ADA, json!({ "status": "subscribed" })).await;
    assert_problem(&answer, 400, "Member In Compliance State");
    sim.act(LIST, ADA, &Act::Confirm).unwrap();
    assert_eq!(sim.row(LIST, "42").unwrap().opt_out, None);
}

#[tokio::test]
async fn an_administrators_opt_out_is_not_locked_but_not_ours_either() {
    let (sim, api) = start().await;
    api.upsert(ADA, "42").await;
    sim.act(LIST, ADA, &Act::UnsubscribeByAdmin).unwrap();
    let reason = api.read(ADA).await["unsubscribe_reason"].clone();
    assert_eq!(reason, "N/A (Unsubscribed by an admin)");
    assert_eq!(api.patch(ADA, json!({ "status": "subscribed" })).await.status, 200);
    assert_eq!(codes(&sim), ["flips_back_opt_out"]);
}

#[tokio::test]
async fn archived_can_be_read_but_not_written() {
    let (sim, api) = start().await;
    api.upsert(ADA, "42").await;
    let answer = api.patch(ADA, json!({ "status": "archived" })).await;
    assert_problem(&answer, 400, "Invalid Resource");
    assert_eq!(answer.json()["errors"][0]["field"], "status");
    assert_eq!(codes(&sim), ["writes_archived"]);
}

#[tokio::test]
async fn an_archived_member_is_restored_by_post_or_by_an_explicit_status() {
    let (sim, api) = start().await;
    api.upsert(ADA, "42").await;
    let archive = async || api.delete(&member(ADA)).await;
    assert_eq!(archive().await.status, 204);
    assert_eq!(api.upsert(ADA, "42").await["status"], "archived", "status_if_new does not restore");
    let body = json!({ "email_address": ADA, "status": "subscribed" });
    let restored = api.post(&members(), body).await.json();
    assert_eq!(restored["status"], "subscribed");
    assert_eq!(restored["merge_fields"]["EMSID"], "42", "merge fields are kept");
    archive().await;
    api.put(ADA, json!({ "email_address": ADA, "status": "subscribed" })).await;
    assert_eq!(sim.row(LIST, "42").unwrap().status, Status::Subscribed);
    archive().await;
    api.patch(ADA, json!({ "status": "subscribed" })).await;
    assert_eq!(sim.row(LIST, "42").unwrap().status, Status::Subscribed);
    assert_eq!(sim.violations(), []);
    sim.configure(|settings| settings.archived_upsert = ArchivedUpsert::Restores);
    archive().await;
    assert_eq!(api.upsert(ADA, "42").await["status"], "subscribed");
}

#[tokio::test]
async fn the_archive_does_not_remember_an_opt_out_but_the_simulator_does() {
    let (sim, api) = start().await;
    api.upsert(ADA, "42").await;
    sim.act(LIST, ADA, &Act::Unsubscribe).unwrap();
    api.delete(&member(ADA)).await;
    let body = json!({ "email_address": ADA, "status": "subscribed" });
    let answer = api.send(Method::PUT, &member(ADA), Some(body)).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["status"]), (200, &json!("subscribed")));
    assert_eq!(codes(&sim), ["flips_back_opt_out"]);
    let (sim, api) = start_with(|settings| settings.archive_keeps_compliance = true).await;
    api.upsert(ADA, "42").await;
    sim.act(LIST, ADA, &Act::Unsubscribe).unwrap();
    api.delete(&member(ADA)).await;
    let answer = api.patch(ADA, json!({ "status": "subscribed" })).await;
    assert_problem(&answer, 400, "Member In Compliance State");
}

#[tokio::test]
async fn what_an_administrator_archived_is_not_ours_to_restore() {
    let (sim, api) = start().await;
    api.upsert(ADA, "42").await;
    sim.act(LIST, ADA, &Act::Archive).unwrap();
    api.upsert(ADA, "42").await;
    assert_eq!(sim.violations(), []);
    api.put(ADA, json!({ "email_address": ADA, "status": "subscribed" })).await;
    assert_eq!(codes(&sim), ["restores_foreign_archive"]);
    api.delete(&member(ADA)).await;
    api.put(ADA, json!({ "email_address": ADA, "status": "subscribed" })).await;
    assert_eq!(sim.violations().len(), 1, "what the API archived it may restore");
}

#[tokio::test]
async fn subscribed_skips_a_double_opt_in() {
    let list = ListOptions { double_optin: true, ..ListOptions::default().with_ems_id() };
    let (sim, api) = start_list(list, |_| {}).await;
    assert_eq!(api.get(&format!("/lists/{LIST}")).await.json()["double_optin"], true);
    let mut body = upsert(ADA, "42");
    body["status_if_new"] = json!("pending");
    assert_eq!(api.put(ADA, body).await.json()["status"], "pending");
    assert_eq!(sim.violations(), []);
    api.upsert("b@club.org", "43").await;
    assert_eq!(codes(&sim), ["skips_double_opt_in"]);
}

#[tokio::test]
async fn a_new_member_needs_a_status() {
    let (_sim, api) = start().await;
    let answer = api.put(ADA, json!({ "email_address": ADA })).await;
    assert_problem(&answer, 400, "Invalid Resource");
    api.upsert(ADA, "42").await;
    assert_eq!(api.put(ADA, json!({ "email_address": ADA })).await.status, 200);
}
