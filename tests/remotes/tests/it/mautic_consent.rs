//! The contract's section 5: do-not-contact and segments.

use ems_sync_remotes::mautic::Version;
use serde_json::json;

use crate::mautic_client::{assert_refused, person, start, start_with};

#[tokio::test]
async fn a_reason_is_entered_once() {
    let site = start().await;
    let id = site.person("1").await;
    let path = format!("/contacts/{id}/dnc/email/add");
    for _ in 0..2 {
        let body = json!({ "reason": 3, "comments": "EMS opt-out", "channelId": 26 });
        let answer = site.post(&path, body).await;
        assert_eq!(answer.status, 200);
        let entries = answer.json()["contact"]["doNotContact"].clone();
        assert_eq!(entries.as_array().unwrap().len(), 1);
        assert_eq!((&entries[0]["reason"], &entries[0]["channel"]), (&json!(3), &json!("email")));
        assert_eq!(
            (&entries[0]["comments"], &entries[0]["channelId"]),
            (&json!("EMS opt-out"), &json!(26))
        );
    }
    let changed: Vec<_> =
        site.sim.writes_of("contacts", "1").iter().map(|entry| entry.rows[0].changed).collect();
    assert_eq!(changed, [true, true, false]);
    assert_eq!(site.sim.violations(), []);
}

#[tokio::test]
async fn a_persons_own_unsubscription_is_not_overwritten() {
    let site = start().await;
    let id = site.person("1").await;
    let path = format!("/contacts/{id}/dnc/email/add");
    site.sim.unsubscribe(id, "email");
    for reason in [2, 3] {
        assert_eq!(site.post(&path, json!({ "reason": reason })).await.status, 200);
        assert_eq!(site.sim.contact(id).unwrap().do_not_contact_reason("email"), Some(1));
    }
    site.sim.bounce(id, "email");
    site.post(&path, json!({ "reason": 3 })).await;
    assert_eq!(site.sim.contact(id).unwrap().do_not_contact_reason("email"), Some(3));
}

#[tokio::test]
async fn zero_is_no_reason_and_none_is_manual_or_nothing() {
    let site = start().await;
    let id = site.person("1").await;
    let path = format!("/contacts/{id}/dnc/sms/add");
    assert_refused(&site.post(&path, json!({ "reason": 0 })).await, 400);
    site.sim.configure(|settings| settings.version = Version::V3);
    assert_eq!(site.post(&path, json!({})).await.status, 200);
    assert_eq!(site.sim.contact(id).unwrap().do_not_contact, [], "200, and nothing done");
    site.sim.configure(|settings| settings.version = Version::V5);
    site.post(&path, json!({})).await;
    assert_eq!(site.sim.contact(id).unwrap().do_not_contact_reason("sms"), Some(3));
    assert_eq!(site.violations("dnc_without_reason"), 2);
    assert_refused(&site.post("/contacts/1/dnc/email/add", json!({ "reason": 3 })).await, 404);
    let pigeon = format!("/contacts/{id}/dnc/pigeon/add");
    assert_refused(&site.post(&pigeon, json!({ "reason": 3 })).await, 400);
    assert_eq!(site.violations("unknown_channel"), 1);
}

#[tokio::test]
async fn a_removal_takes_any_reason_and_says_whether_it_found_one() {
    let site = start().await;
    let id = site.person("1").await;
    let (add, remove) =
        (format!("/contacts/{id}/dnc/email/add"), format!("/contacts/{id}/dnc/email/remove"));
    site.post(&add, json!({ "reason": 3 })).await;
    let answer = site.post(&remove, json!({})).await.json();
    assert_eq!((&answer["recordFound"], &answer["contact"]["id"]), (&json!(true), &json!(id)));
    let again = site.post(&remove, json!({})).await;
    assert_eq!((again.status.as_u16(), &again.json()["recordFound"]), (200, &json!(false)));
    assert_eq!(site.violations("removes_foreign_dnc"), 0, "it was the client's own");
    site.sim.unsubscribe(id, "email");
    assert_eq!(site.post(&remove, json!({})).await.json()["recordFound"], true);
    site.sim.forbid(id, "email");
    site.post(&remove, json!({})).await;
    assert_eq!(site.sim.contact(id).unwrap().do_not_contact, []);
    assert_eq!(site.violations("removes_foreign_dnc"), 2);
    assert!(site.sim.forbid(id, "email") && site.sim.permit(id, "email"));
    assert_eq!(site.sim.contact(id).unwrap().do_not_contact, []);
}

#[tokio::test]
async fn a_contacts_body_may_enter_and_remove() {
    let site = start().await;
    let mut body = person("1");
    body["doNotContact"] = json!([{ "channel": "email", "reason": 3, "comments": "x" }]);
    site.post("/contacts/new", body).await;
    let id = site.sim.contact_of("1").unwrap().id;
    assert_eq!(site.sim.contact(id).unwrap().do_not_contact_reason("email"), Some(3));
    site.patch(id, json!({ "doNotContact": [{ "channel": "email", "reason": 0 }] })).await;
    assert_eq!(site.sim.contact(id).unwrap().do_not_contact, []);
    site.patch(id, json!({ "city": "x", "doNotContact": [] })).await;
    assert_eq!(site.sim.contact(id).unwrap().do_not_contact, []);
    assert_eq!(site.violations("empty_array"), 1);
}

#[tokio::test]
async fn mautic_3_loses_do_not_contact_on_create() {
    let site = start_with(|settings| settings.version = Version::V3).await;
    let mut body = person("1");
    body["doNotContact"] = json!([{ "channel": "email", "reason": 3 }]);
    let answer = site.post("/contacts/new", body).await;
    assert_eq!(answer.header("mautic-version"), "3.1.2");
    assert_eq!(site.sim.contact_of("1").unwrap().do_not_contact, []);
}

#[tokio::test]
async fn segments_take_and_lose_contacts() {
    let site = start().await;
    let (a, b) = (site.person("1").await, site.person("2").await);
    let segment = site.sim.plant_segment("Runners").unwrap();
    let add = format!("/segments/{segment}/contact/{a}/add");
    for _ in 0..2 {
        let answer = site.post(&add, json!({})).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({ "success": 1 })));
    }
    let of_a = site.get(&format!("/contacts/{a}/segments")).await.json();
    assert_eq!(of_a["total"], "1");
    assert_eq!(of_a["lists"][segment.to_string()]["name"], "Runners");
    let many =
        site.post(&format!("/segments/{segment}/contacts/add"), json!({ "ids": [b, 39] })).await;
    assert_eq!(many.status, 200);
    assert_eq!(many.json()["details"][b.to_string()]["success"], true);
    assert_eq!(many.json()["details"]["39"]["success"], false);
    let remove = format!("/segments/{segment}/contact/{a}/remove");
    assert_eq!(site.post(&remove, json!({})).await.json()["success"], 1);
    assert!(!site.sim.filter_into_segment(a, segment), "a removal by hand sticks");
    assert!(site.sim.contact(a).unwrap().segments.is_empty());
    assert_eq!(site.get("/segments").await.json()["total"], "1");
}

#[tokio::test]
async fn unknown_segments_are_404_and_hidden_ones_403() {
    let site = start().await;
    let id = site.person("1").await;
    let path = |segment: i64, id: i64| format!("/segments/{segment}/contact/{id}/add");
    assert_refused(&site.post(&path(77, id), json!({})).await, 404);
    let segment = site.sim.plant_segment("Runners").unwrap();
    assert_refused(&site.post(&path(segment, 1), json!({})).await, 404);
    let hidden = json!({ "id": segment, "name": "Runners", "visible": false });
    site.control(reqwest::Method::POST, "rows/segments", hidden).await;
    assert_refused(&site.post(&path(segment, id), json!({})).await, 403);
}
