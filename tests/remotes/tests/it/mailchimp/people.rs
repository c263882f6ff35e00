//! What people do at MailChimp, and the account's rows, typed and by the control API.

use ems_sync_remotes::mailchimp::{Act, OptOut, Status};
use ems_sync_remotes::{Reimage, Simulator};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{ADA, LIST, start};
use crate::client::builder;

async fn control<R: ems_sync_remotes::Remote>(
    sim: &Simulator<R>,
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

#[tokio::test]
async fn people_act_by_the_control_api() {
    let (sim, api) = start().await;
    api.upsert(ADA, "42").await;
    let act = json!({ "act": "unsubscribe", "list_id": LIST, "member": ADA });
    let (status, body) = control(&sim, Method::POST, "acts", Some(act)).await;
    assert_eq!((status, &body["status"]), (200, &json!("unsubscribed")));
    let row = sim.row(LIST, "42").unwrap();
    assert_eq!((row.status, row.opt_out), (Status::Unsubscribed, Some(OptOut::Member)));
    let act = json!({ "act": "change_address", "member": ADA, "email_address": "b@club.org" });
    let (_, body) = control(&sim, Method::POST, "acts", Some(act)).await;
    assert_eq!(body["email_address"], "b@club.org");
    for wrong in [
        json!(7),
        json!({ "act": "explode", "member": ADA }),
        json!({ "act": "clean", "member": "nobody@club.org" }),
        json!({ "act": "clean", "member": ADA, "list_id": "0" }),
        json!({ "act": "clean", "member": "b@club.org", "why": 1 }),
    ] {
        let (status, why) = control(&sim, Method::POST, "acts", Some(wrong.clone())).await;
        assert_eq!(status, 400, "{wrong}: {why}");
    }
}

#[tokio::test]
async fn administrators_tag_archive_and_forget() {
    let (sim, api) = start().await;
    api.upsert(ADA, "42").await;
    let act = |act: Act| sim.act(LIST, ADA, &act).unwrap();
    assert_eq!(act(Act::Tag { name: "Vip".to_owned() }).unwrap().tags, ["vip"]);
    assert_eq!(act(Act::Untag { name: "VIP".to_owned() }).unwrap().tags, [""; 0]);
    assert_eq!(act(Act::Archive).unwrap().status, Status::Archived);
    assert_eq!(act(Act::Forget), None);
    assert!(sim.rows(LIST).is_empty());
}

#[tokio::test]
async fn an_act_at_a_remote_without_people_is_refused() {
    let (sim, _) = crate::client::start().await;
    let (status, _) = control(&sim, Method::POST, "acts", Some(json!({ "act": "clean" }))).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn rows_are_planted_changed_and_removed() {
    let (sim, _) = start().await;
    let row = json!({
        "email_address": ADA, "merge_fields": { "EMSID": "42" }, "tags": ["A"],
        "status": "unsubscribed", "opt_out": "member",
    });
    let (status, row) = control(&sim, Method::POST, "rows/person", Some(row)).await;
    assert_eq!((status, &row["status"]), (200, &json!("unsubscribed")), "{row}");
    let id = row["id"].as_str().unwrap();
    let change = json!({ "id": id, "merge_fields": { "FNAME": "Ada", "EMSID": null } });
    control(&sim, Method::POST, "rows/members", Some(change)).await;
    let (_, read) = control(&sim, Method::GET, &format!("rows/members/{id}"), None).await;
    assert_eq!(read["merge_fields"]["FNAME"], "Ada");
    assert!(sim.row(LIST, "42").is_none());
    for wrong in [json!({}), json!({ "email_address": "x@y.org", "nickname": 1 })] {
        let (status, _) = control(&sim, Method::POST, "rows/members", Some(wrong)).await;
        assert_eq!(status, 400);
    }
    let path = format!("rows/members/{id}");
    assert_eq!(control(&sim, Method::DELETE, &path, None).await.0, 204);
    assert_eq!(control(&sim, Method::DELETE, &path, None).await.0, 404);
}

#[tokio::test]
async fn lists_and_fields_come_and_go() {
    let (sim, api) = start().await;
    let list = json!({ "id": "second", "double_optin": true });
    assert_eq!(control(&sim, Method::POST, "rows/lists", Some(list)).await.0, 200);
    assert_eq!(api.get("/lists/second").await.json()["double_optin"], true);
    let field = json!({ "list_id": "second", "tag": "EMSID", "name": "EMS id", "type": "text" });
    assert_eq!(control(&sim, Method::POST, "rows/merge-fields", Some(field)).await.0, 200);
    let (_, fields) = control(&sim, Method::GET, "rows/merge-fields", None).await;
    assert!(fields.as_array().unwrap().iter().any(|field| field["list_id"] == "second"));
    assert_eq!(control(&sim, Method::DELETE, "rows/lists/second", None).await.0, 204);
    assert_eq!(api.get("/lists/second").await.status, 404);
}

#[tokio::test]
async fn settings_are_changed_and_the_account_replaced() {
    let (sim, api) = start().await;
    let change = json!({ "deactivated": true });
    assert_eq!(control(&sim, Method::POST, "settings", Some(change)).await.0, 200);
    assert_eq!(api.get("/ping").await.status, 403);
    sim.configure(|settings| settings.deactivated = false);
    let before = api.upsert(ADA, "42").await;
    let account = sim.account_id();
    sim.reimage(Reimage::Shuffled);
    assert_ne!(sim.account_id(), account);
    let after = api.read(ADA).await;
    assert_eq!(after["id"], before["id"]);
    assert_ne!(after["contact_id"], before["contact_id"]);
    sim.wipe();
    assert!(sim.rows(LIST).is_empty());
}
