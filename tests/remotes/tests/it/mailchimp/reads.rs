//! Sections 2, 3 and 8: reading, and reading changes back.

use ems_sync_remotes::Operation;
use ems_sync_remotes::mailchimp::{InterestCategory, ListOptions};
use serde_json::{Value, json};

use super::client::{ADA, LIST, codes, member, members, start, start_list};

fn emails(page: &Value) -> Vec<&str> {
    let members = page["members"].as_array().unwrap().iter();
    members.map(|member| member["email_address"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_member_is_found_by_hash_contact_id_and_address() {
    let (sim, api) = start().await;
    let body = api.upsert(ADA, "42").await;
    for key in [body["id"].as_str().unwrap(), body["contact_id"].as_str().unwrap(), ADA] {
        assert_eq!(api.get(&format!("{}/{key}", members())).await.json()["id"], body["id"]);
    }
    assert_eq!(sim.counters().reads, 3);
}

#[tokio::test]
async fn old_lists_hold_hashes_of_addresses_as_they_were_typed() {
    let (sim, api) = start().await;
    sim.plant(LIST, &json!({ "email_address": ADA, "legacy_hash": true })).unwrap();
    assert_eq!(api.get(&member(ADA)).await.status, 404);
    assert_eq!(api.get(&format!("{}/{ADA}", members())).await.status, 200);
    let found = api.get("/search-members?query=ada.byron@club.org").await.json();
    assert_eq!(found["exact_matches"]["total_items"], 1);
    assert_eq!(sim.counters().lookups, 1);
}

#[tokio::test]
async fn answers_are_trimmed() {
    let (_sim, api) = start().await;
    api.upsert(ADA, "42").await;
    let path = format!("{}?fields=members.id,members.merge_fields.EMSID,total_items", members());
    let page = api.get(&path).await.json();
    let id = ems_sync_remotes::mailchimp::subscriber_hash(ADA);
    let member = json!({ "id": id, "merge_fields": { "EMSID": "42" } });
    assert_eq!(page, json!({ "members": [member], "total_items": 1 }));
    let page = api.get(&format!("{}?exclude_fields=members._links,_links", members())).await.json();
    assert!(page.get("_links").is_none() && page["members"][0].get("_links").is_none());
    assert!(page["members"][0]["stats"].is_object());
}

#[tokio::test]
async fn since_last_changed_is_strict_and_to_the_second() {
    let (sim, api) = start().await;
    for (email, at) in [
        ("a@club.org", "2026-01-02T03:04:05Z"),
        ("b@club.org", "2026-01-02T03:04:05.9Z"),
        ("c@club.org", "2026-01-02T03:04:06Z"),
    ] {
        sim.plant(LIST, &json!({ "email_address": email, "last_changed": at })).unwrap();
    }
    let list = |since: &str| {
        format!(
            "{}?since_last_changed={since}&sort_field=last_changed&sort_dir=ASC&count=1000",
            members()
        )
    };
    let page = api.get(&list("2026-01-02T03:04:05Z")).await.json();
    assert_eq!(emails(&page), ["c@club.org"]);
    let page = api.get(&list("2026-01-02T04:04:04%2B01:00")).await.json();
    assert_eq!(emails(&page), ["a@club.org", "b@club.org", "c@club.org"]);
    assert_eq!(page["members"][1]["last_changed"], "2026-01-02T03:04:05+00:00");
    assert_eq!(page["list_id"], LIST);
    assert_eq!(sim.violations(), []);
    assert_eq!(api.get(&list("2026-01-02T04:04:04+01:00")).await.status, 400);
    assert_eq!(codes(&sim), ["unencoded_plus"]);
    assert_eq!(sim.journal()[0].operation, Operation::List);
}

#[tokio::test]
async fn pages_have_ten_members_and_at_most_a_thousand() {
    let (sim, api) = start().await;
    for number in 0..1001 {
        sim.plant(LIST, &json!({ "email_address": format!("m{number}@club.org") })).unwrap();
    }
    let page = api.get(&members()).await.json();
    assert_eq!((emails(&page).len(), &page["total_items"]), (10, &json!(1001)));
    assert_eq!(sim.violations(), []);
    let page = api.get(&format!("{}?count=5000&fields=members.email_address", members())).await;
    assert_eq!(emails(&page.json()).len(), 1000, "cut in silence");
    let page = api.get(&format!("{}?count=1000&offset=1000", members())).await.json();
    assert_eq!(emails(&page).len(), 1);
    api.get(&format!("{}?email=x", members())).await;
    assert_eq!(codes(&sim), ["page_too_large", "unsorted_pages", "unknown_parameter"]);
}

#[tokio::test]
async fn offsets_skip_a_member_when_another_changes_meanwhile() {
    let (sim, api) = start().await;
    for (second, email) in ["a@club.org", "b@club.org", "c@club.org"].iter().enumerate() {
        let at = format!("2026-01-02T03:04:0{second}Z");
        sim.plant(LIST, &json!({ "email_address": email, "last_changed": at })).unwrap();
    }
    let page = |offset: usize| {
        format!("{}?sort_field=last_changed&sort_dir=ASC&count=1&offset={offset}", members())
    };
    assert_eq!(emails(&api.get(&page(0)).await.json()), ["a@club.org"]);
    sim.plant(LIST, &json!({ "email_address": "a@club.org", "vip": true })).unwrap();
    assert_eq!(emails(&api.get(&page(1)).await.json()), ["c@club.org"], "b is skipped");
}

#[tokio::test]
async fn archived_members_are_listed_when_they_are_asked_for() {
    let (sim, api) = start().await;
    api.upsert(ADA, "42").await;
    api.delete(&member(ADA)).await;
    assert_eq!(api.get(&members()).await.json()["total_items"], 0);
    let path = format!("{}?status=archived", members());
    assert_eq!(api.get(&path).await.json()["total_items"], 1);
    sim.configure(|settings| settings.lists_archived = true);
    assert_eq!(api.get(&members()).await.json()["total_items"], 1);
    assert_eq!(api.get(&format!("{}?status=odd", members())).await.status, 400);
}

#[tokio::test]
async fn interests_are_there_if_they_are_defined_and_others_stay() {
    let interests = ["aaa", "bbb"].map(|id| (id.to_owned(), id.to_uppercase()));
    let list = ListOptions {
        interest_categories: vec![InterestCategory {
            id: "ccc".to_owned(),
            title: "Clubs".to_owned(),
            interests: interests.to_vec(),
        }],
        ..ListOptions::default().with_ems_id()
    };
    let (_sim, api) = start_list(list, |_| {}).await;
    api.upsert(ADA, "42").await;
    api.put(ADA, json!({ "interests": { "aaa": true } })).await;
    let body = api.put(ADA, json!({ "interests": { "bbb": true } })).await.json();
    assert_eq!(body["interests"], json!({ "aaa": true, "bbb": true }));
    let path = format!("/lists/{LIST}/interest-categories");
    assert_eq!(api.get(&path).await.json()["categories"][0]["id"], "ccc");
    let page = api.get(&format!("{path}/ccc/interests?count=1000")).await.json();
    assert_eq!(page["interests"][1]["name"], "BBB");
    assert_eq!(api.get(&format!("{path}/ddd/interests")).await.status, 404);
}

#[tokio::test]
async fn the_clock_may_be_wrong() {
    let (sim, api) = start().await;
    sim.configure(|settings| settings.clock_offset_seconds = -86_400);
    let changed = api.upsert(ADA, "42").await["last_changed"].as_str().unwrap().to_owned();
    let changed: jiff::Timestamp = changed.parse().unwrap();
    assert!(jiff::Timestamp::now().duration_since(changed).as_hours() >= 23);
}
