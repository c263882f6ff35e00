//! Sections 0, 3, 4 and 5: the upsert, merge fields and the change of an address.

use ems_sync_remotes::mailchimp::{ListOptions, Status, subscriber_hash};
use ems_sync_remotes::{Effect, Fault, Rule};
use reqwest::Method;
use serde_json::json;

use super::client::{
    ADA, LIST, assert_problem, codes, member, members, start, start_list, start_with, upsert,
};

#[tokio::test]
async fn put_by_hash_makes_a_member_and_is_safe_to_repeat() {
    let (sim, api) = start().await;
    let first = api.upsert(ADA, "42").await;
    let again = api.upsert(ADA, "42").await;
    assert_eq!(first["id"], subscriber_hash(ADA));
    assert_eq!(first["id"], again["id"]);
    assert_eq!(first["contact_id"], again["contact_id"]);
    assert_eq!(first["status"], "subscribed");
    assert_eq!(first["full_name"], "Ada Byron");
    let row = sim.row(LIST, "42").unwrap();
    assert_eq!((row.email_address.as_str(), row.status), (ADA, Status::Subscribed));
    let writes = sim.writes_of("members", "42");
    assert_eq!(writes.len(), 2);
    assert_eq!(writes[0].remote_id.as_deref(), Some(subscriber_hash(ADA).as_str()));
    assert_eq!(writes[0].rows[0].effect, Effect::Created);
    assert_eq!((writes[1].rows[0].effect, writes[1].rows[0].changed), (Effect::Replaced, false));
    assert_eq!(sim.violations(), []);
}

#[tokio::test]
async fn what_is_unset_is_empty_text_whatever_its_type() {
    let (_sim, api) = start().await;
    let body = api.upsert(ADA, "42").await;
    assert_eq!(body["merge_fields"]["LTV"], "");
    assert_eq!(body["merge_fields"]["ADDRESS"], "");
    assert_eq!(body["ip_opt"], "");
    assert!(body.get("interests").is_none(), "no interests are defined");
    let fields = json!({ "merge_fields": { "LTV": "12.5" } });
    assert_eq!(api.put(ADA, fields).await.json()["merge_fields"]["LTV"], 12.5);
}

#[tokio::test]
async fn merge_fields_merge_and_empty_text_clears() {
    let (sim, api) = start().await;
    api.upsert(ADA, "42").await;
    let body = json!({ "merge_fields": { "FNAME": "Augusta", "LNAME": "" } });
    let answer = api.put(ADA, body).await;
    assert_eq!(answer.status, 200, "neither address nor status is needed: {}", answer.text);
    let fields = &answer.json()["merge_fields"];
    assert_eq!(
        (&fields["FNAME"], &fields["LNAME"], &fields["EMSID"]),
        (&json!("Augusta"), &json!(""), &json!("42"))
    );
    assert_eq!(sim.violations(), []);
}

#[tokio::test]
async fn an_unknown_merge_field_is_lost_in_silence() {
    let (sim, api) = start_list(ListOptions::default(), |_| {}).await;
    let body = api.upsert(ADA, "42").await;
    assert!(body["merge_fields"].get("EMSID").is_none());
    assert_eq!(codes(&sim), ["unknown_merge_field"]);
    assert!(sim.row(LIST, "42").is_none());
    assert_eq!(sim.writes_of("members", "42").len(), 1, "the journal knows who was meant");
    let tags = json!({ "tags": [] });
    api.post(&format!("{}/tags", member(ADA)), tags).await;
    assert_eq!(sim.writes_of("members", "42").len(), 2, "also by the hash alone");
    let field = json!({
        "name": "EMS id", "type": "text", "tag": "EMSID", "required": false, "public": false,
    });
    let path = format!("/lists/{LIST}/merge-fields");
    assert_eq!(api.post(&path, field).await.status, 200);
    assert_eq!(sim.counters().writes_to("merge-fields").created, 1);
    let fields = api.get(&format!("{path}?count=1000")).await.json();
    let tags = fields["merge_fields"].as_array().unwrap().iter().map(|field| &field["tag"]);
    assert!(tags.into_iter().any(|tag| tag == "EMSID"), "{fields}");
    assert_eq!(api.upsert(ADA, "42").await["merge_fields"]["EMSID"], "42");
}

#[tokio::test]
async fn a_wrong_type_is_refused_and_nothing_is_applied() {
    let (sim, api) = start().await;
    api.upsert(ADA, "42").await;
    let answer = api.put(ADA, json!({ "merge_fields": { "LTV": "much", "FNAME": "X" } })).await;
    assert_problem(&answer, 400, "Invalid Resource");
    let problem = answer.json();
    assert_eq!(problem["detail"], "Your merge fields were invalid.");
    let error = json!({ "field": "LTV", "message": "Please enter a number" });
    assert_eq!(problem["errors"], json!([error]));
    assert_eq!(sim.row(LIST, "42").unwrap().body["merge_fields"]["FNAME"], "Ada");
    assert_eq!(sim.violations(), [], "that is the EMS's data, not the client's mistake");
}

#[tokio::test]
async fn booleans_and_nulls_are_no_merge_values() {
    let (sim, api) = start().await;
    api.upsert(ADA, "42").await;
    for value in [json!(true), json!(null)] {
        let answer = api.put(ADA, json!({ "merge_fields": { "FNAME": value } })).await;
        assert_problem(&answer, 400, "Invalid Resource");
    }
    assert_eq!(codes(&sim), ["untyped_merge_field", "untyped_merge_field"]);
}

#[tokio::test]
async fn an_incomplete_address_is_taken_and_blocks_later_updates() {
    let (sim, api) = start().await;
    api.upsert(ADA, "42").await;
    let partial = json!({ "merge_fields": { "ADDRESS": { "addr1": "1 Long Street" } } });
    assert_eq!(api.put(ADA, partial).await.status, 200);
    assert_eq!(codes(&sim), ["incomplete_address"]);
    let later = json!({ "merge_fields": { "FNAME": "Augusta" } });
    let answer = api.put(ADA, later.clone()).await;
    assert_problem(&answer, 400, "Invalid Resource");
    assert_eq!(answer.json()["errors"][0]["field"], "ADDRESS");
    let whole = json!({ "addr1": "1 Long", "city": "Cape Town", "state": "WC", "zip": "8001" });
    let whole = json!({ "merge_fields": { "ADDRESS": whole } });
    assert_eq!(api.put(ADA, whole).await.json()["merge_fields"]["ADDRESS"]["city"], "Cape Town");
    assert_eq!(api.put(ADA, later).await.status, 200);
}

#[tokio::test]
async fn required_fields_are_needed_unless_validation_is_skipped() {
    let mut list = ListOptions::default().with_ems_id();
    list.merge_fields[0].required = true;
    let (_sim, api) = start_list(list, |_| {}).await;
    let body = json!({ "email_address": ADA, "status_if_new": "subscribed" });
    let answer = api.put(ADA, body.clone()).await;
    assert_problem(&answer, 400, "Invalid Resource");
    assert_eq!(answer.json()["errors"][0]["field"], "FNAME");
    let path = format!("{}?skip_merge_validation=true", member(ADA));
    assert_eq!(api.send(Method::PUT, &path, Some(body)).await.status, 200);
}

#[tokio::test]
async fn an_address_changes_and_the_hash_with_it() {
    let (sim, api) = start().await;
    let before = api.upsert(ADA, "42").await;
    let new = "countess@club.org";
    let answer = api.put(ADA, json!({ "email_address": new })).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let after = answer.json();
    assert_eq!(after["id"], subscriber_hash(new));
    assert_eq!(after["contact_id"], before["contact_id"]);
    assert_problem(&api.get(&member(ADA)).await, 404, "Resource Not Found");
    assert_eq!(sim.rows(LIST).len(), 1);
    assert_eq!(sim.violations(), []);
}

#[tokio::test]
async fn a_blind_retry_of_a_change_of_address_meets_member_exists() {
    let (sim, api) = start().await;
    api.upsert(ADA, "42").await;
    sim.faults().push(Rule::new(Fault::CommitThenDrop).method("PUT").external_id("42"));
    let change = upsert("countess@club.org", "42");
    let lost = api.try_send(Method::PUT, &member(ADA), Some(change.to_string())).await;
    assert!(lost.is_err());
    let answer = api.put(ADA, change).await;
    assert_problem(&answer, 400, "Member Exists");
    assert!(
        answer.json()["detail"]
            .as_str()
            .unwrap()
            .ends_with("is already a list member. Use PUT to insert or update list members.")
    );
    assert_eq!(codes(&sim), ["path_hash_ignored"]);
}

#[tokio::test]
async fn put_to_an_unknown_hash_makes_whom_the_body_names() {
    let (sim, api) = start().await;
    let body = json!({ "email_address": ADA, "status": "subscribed" });
    let answer = api.put("nobody@club.org", body).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["id"], subscriber_hash(ADA));
    assert_eq!(codes(&sim), ["path_hash_ignored"]);
}

#[tokio::test]
async fn the_address_of_a_lapsed_member_may_be_refused() {
    let (sim, api) = start().await;
    api.upsert(ADA, "42").await;
    api.patch(ADA, json!({ "status": "unsubscribed" })).await;
    let change = json!({ "email_address": "countess@club.org" });
    let answer = api.put(ADA, change.clone()).await;
    assert_eq!(answer.status, 400, "{}", answer.text);
    assert!(sim.member(LIST, ADA).is_some(), "nothing is lost");
    sim.configure(|settings| settings.changes_lapsed_addresses = true);
    assert_eq!(api.put(ADA, change).await.json()["status"], "unsubscribed");
}

#[tokio::test]
async fn the_id_of_another_person_is_not_overwritten() {
    let (sim, api) = start().await;
    api.upsert(ADA, "42").await;
    api.upsert(ADA, "43").await;
    assert_eq!(codes(&sim), ["overwrites_another_person"]);
    api.delete(&member(ADA)).await;
    api.upsert(ADA, "44").await;
    assert_eq!(sim.violations().len(), 1, "whoever is archived has left the address");
}

#[tokio::test]
async fn post_adds_and_does_not_update() {
    let (sim, api) = start().await;
    let body = json!({ "email_address": ADA, "status": "subscribed", "tags": ["A"] });
    let answer = api.post(&members(), body.clone()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["tags_count"], 1);
    assert_problem(&api.post(&members(), body).await, 400, "Member Exists");
    let answer = api.post(&members(), json!({ "email_address": "b@club.org" })).await;
    assert_problem(&answer, 400, "Invalid Resource");
    assert_eq!(sim.rows(LIST).len(), 1);
    let answer = api.patch("nobody@club.org", json!({ "vip": true })).await;
    assert_problem(&answer, 404, "Resource Not Found");
}

#[tokio::test]
async fn two_writes_of_one_person_in_flight_are_an_overlap() {
    let (sim, api) = start_with(|_| {}).await;
    api.upsert(ADA, "42").await;
    let hang = Fault::Hang { ms: None };
    sim.faults().push(Rule::new(hang).method("PUT"));
    let first = {
        let api = api.clone();
        tokio::spawn(async move {
            let body = upsert(ADA, "42").to_string();
            api.try_send(Method::PUT, &member(ADA), Some(body)).await
        })
    };
    sim.wait_until(|progress, _| progress.started == 2).await;
    let tags = json!({ "tags": [{ "name": "a", "status": "active" }] });
    api.post(&format!("{}/tags", member(ADA)), tags).await;
    assert_eq!(sim.overlaps().len(), 1, "the tags name the person by the hash alone");
    first.abort();
}
