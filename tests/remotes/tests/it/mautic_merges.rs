//! The contract's section 3: duplicates, merges and adoption.

use std::time::Duration;

use ems_sync_remotes::mautic::{DedupeCheck, MergeWinner, MergedId, UniqueOperator};
use ems_sync_remotes::{Fault, Reimage, Rule};
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Answer, soon};
use crate::mautic_client::{Site, assert_refused, id_of, person, start, start_with};

/// Two creates for one person: the first has arrived, but is at work until the second is done.
async fn create_twice_at_once(site: &Site) -> (Answer, Answer) {
    site.sim.faults().push(Rule::new(Fault::delay(Duration::from_millis(1500))));
    let second = async {
        site.sim.wait_until(|progress, _| progress.started == 1).await;
        site.post("/contacts/new", person("1")).await
    };
    soon(async { tokio::join!(site.post("/contacts/new", person("1")), second) }).await
}

#[tokio::test]
async fn two_creates_under_way_together_make_two_contacts() {
    let site = start().await;
    let (one, two) = create_twice_at_once(&site).await;
    assert_eq!((one.status.as_u16(), two.status.as_u16()), (201, 201));
    assert_eq!(site.sim.contacts_of("1").len(), 2);
    assert_eq!(site.sim.overlaps().len(), 1, "and that was the client's mistake");
}

#[tokio::test]
async fn a_server_that_looks_when_it_commits_makes_one() {
    let site = start_with(|settings| settings.dedupe_check = DedupeCheck::OnCommit).await;
    create_twice_at_once(&site).await;
    assert_eq!(site.sim.contacts_of("1").len(), 1);
}

#[tokio::test]
async fn a_create_whose_answer_was_lost_is_adopted_by_the_next() {
    let site = start().await;
    site.sim.faults().push(Rule::new(Fault::CommitThenDrop));
    let body = Some(person("1").to_string());
    let lost = site.api.send(Method::POST, "/api/contacts/new", "application/json", body).await;
    assert!(lost.is_err());
    let again = site.post("/contacts/new", person("1")).await;
    assert_eq!(again.status, 200);
    assert_eq!(site.sim.contact_count(), 1);
}

#[tokio::test]
async fn without_a_unique_field_every_create_makes_a_contact() {
    let site = start().await;
    let body = json!({ "firstname": "Ada", "ems_person_id": "1" });
    site.post("/contacts/new", body.clone()).await;
    site.post("/contacts/new", body.clone()).await;
    assert_eq!(site.sim.contacts_of("1").len(), 2);
    assert_eq!(site.violations("post_without_unique_field"), 2);
    site.sim.configure(|settings| settings.ems_person_id_unique = true);
    assert_eq!(site.post("/contacts/new", body).await.status, 200);
    assert_eq!(site.violations("post_without_unique_field"), 2);
}

#[tokio::test]
async fn of_several_matches_the_newest_is_taken_then_the_highest_id() {
    let site = start().await;
    let plant = |date: &str| {
        let row = json!({ "email": "x@example.org", "dateAdded": date });
        site.sim.plant(row).unwrap().id
    };
    let old = plant("2020-01-01T00:00:00Z");
    let newest = plant("2024-01-01T00:00:00Z");
    let last = plant("2020-01-01T00:00:00Z");
    let post = || site.post("/contacts/new", json!({ "email": "X@Example.org" }));
    assert_eq!(id_of(&post().await), newest);
    site.sim.remove(newest);
    assert_eq!(id_of(&post().await), last);
    site.sim.remove(last);
    assert_eq!(id_of(&post().await), old);
    assert_eq!(site.violations("email_not_normalised"), 3);
}

#[tokio::test]
async fn identifiers_are_combined_with_or_unless_somebody_said_and() {
    let site = start_with(|settings| settings.ems_person_id_unique = true).await;
    let id = site.person("1").await;
    let mut body = person("1");
    body["email"] = json!("other@example.org");
    assert_eq!(id_of(&site.post("/contacts/new", body.clone()).await), id, "by the EMS id");
    site.sim.configure(|settings| settings.unique_operator = UniqueOperator::And);
    body["email"] = json!("third@example.org");
    assert_eq!(site.post("/contacts/new", body).await.status, 201);
}

#[tokio::test]
async fn an_address_is_sanitised_before_it_is_compared() {
    let site = start().await;
    let first = site.post("/contacts/new", json!({ "email": "test@user.email" })).await;
    let second = site.post("/contacts/new", json!({ "email": "te,st@user.email" })).await;
    assert_eq!((second.status.as_u16(), id_of(&second)), (200, id_of(&first)));
    assert_eq!(site.violations("email_not_normalised"), 1);
    let long = format!("{}@x.org", "a".repeat(300));
    assert_refused(&site.post("/contacts/new", json!({ "email": long })).await, 400);
}

#[tokio::test]
async fn a_patch_with_anothers_address_swallows_the_other() {
    let site = start().await;
    let (a, b) = (site.person("1").await, site.person("2").await);
    let segment = site.sim.plant_segment("Runners").unwrap();
    site.sim.plant(json!({ "id": a, "points": 3 })).unwrap();
    site.sim
        .plant(json!({ "id": b, "points": 4, "city": "Paarl", "segments": [segment] }))
        .unwrap();
    site.sim.unsubscribe(b, "email");
    let answer = site.patch(a, json!({ "email": "p2@example.org" })).await;
    assert_eq!((answer.status.as_u16(), id_of(&answer)), (200, a));
    let merged = site.sim.contact(a).unwrap();
    assert_eq!((merged.points, merged.text("city")), (7, Some("Paarl")));
    assert!(merged.segments.contains(&segment));
    assert_eq!(merged.do_not_contact_reason("email"), Some(1), "the history moves");
    assert!(site.sim.contact(b).is_none());
    assert_refused(&site.patch(b, json!({ "city": "x" })).await, 404);
    assert_eq!(site.violations("merges_another_person"), 1);
}

#[tokio::test]
async fn the_id_of_a_merged_contact_may_lead_to_the_winner() {
    let site = start_with(|settings| settings.merged_id = MergedId::Redirected).await;
    let (a, b) = (site.person("1").await, site.person("2").await);
    assert!(site.sim.merge(a, b));
    let answer = site.patch(b, json!({ "city": "Paarl" })).await;
    assert_eq!((answer.status.as_u16(), id_of(&answer)), (200, a), "another id: it was merged");
    assert_eq!(id_of(&site.get(&format!("/contacts/{b}")).await), a);
}

#[tokio::test]
async fn a_merge_may_leave_the_other_contact() {
    let site = start_with(|settings| settings.merge_winner = MergeWinner::Matching).await;
    let (a, b) = (site.person("1").await, site.person("2").await);
    let answer = site.patch(a, json!({ "email": "p2@example.org" })).await;
    assert_eq!((answer.status.as_u16(), id_of(&answer)), (200, b));
    assert_refused(&site.get(&format!("/contacts/{a}")).await, 404);
}

#[tokio::test]
async fn a_shared_address_makes_two_persons_one_contact() {
    let site = start().await;
    let parent = site.person("1").await;
    let mut child = person("2");
    child["email"] = json!("p1@example.org");
    assert_eq!(id_of(&site.post("/contacts/new", child).await), parent);
    assert_eq!(site.violations("overwrites_another_record"), 1);
    assert!(site.sim.contact_of("1").is_none());
}

#[tokio::test]
async fn an_exact_look_up_finds_by_address_and_by_our_id() {
    let site = start().await;
    let id = site.person("1").await;
    let find = async |col: &str, val: &str| {
        let path = format!(
            "/contacts?where[0][col]={col}&where[0][expr]=eq&where[0][val]={val}&limit=2&minimal=1"
        );
        site.get(&path).await.json()
    };
    let found = find("email", "p1%40example.org").await;
    assert_eq!(found["total"], "1");
    let contact = &found["contacts"][id.to_string()];
    assert_eq!(contact["fields"]["all"]["email"], "p1@example.org");
    assert!(contact.get("doNotContact").is_none(), "minimal has no lists");
    assert_eq!(find("ems_person_id", "1").await["total"], "1");
    assert_eq!(find("email", "p1").await, json!({ "total": "0", "contacts": {} }));
    assert_eq!(find("email", "P1%40EXAMPLE.org").await["total"], "1", "the collation");
    assert_eq!(site.sim.counters().lookups, 4);
    assert_eq!(site.sim.violations(), []);
}

#[tokio::test]
async fn a_plus_in_the_query_is_a_space_to_php() {
    let site = start().await;
    site.sim.plant(json!({ "email": "a+b@example.org" })).unwrap();
    let find = async |val: &str| {
        let path = format!("/contacts?where[0][col]=email&where[0][expr]=eq&where[0][val]={val}");
        site.get(&path).await.json()["total"].clone()
    };
    assert_eq!(find("a+b@example.org").await, "0");
    assert_eq!(site.violations("unencoded_plus"), 1);
    assert_eq!(find("a%2Bb@example.org").await, "1");
    assert_eq!(site.violations("unencoded_plus"), 1);
}

#[tokio::test]
async fn search_commands_find_too_much_or_nothing() {
    let site = start().await;
    for email in ["a_b@x.org", "aXb@x.org", "a_b@x.org.za", "c+d@x.org"] {
        site.sim.plant(json!({ "email": email })).unwrap();
    }
    let search = async |text: &str| {
        site.get(&format!("/contacts?search={text}")).await.json()["total"].clone()
    };
    assert_eq!(search("email:a_b@x.org").await, "3", "a wildcard and a prefix");
    assert_eq!(search("%2Bemail:a_b@x.org").await, "1", "strict");
    assert_eq!(search("email:c%2Bd@x.org").await, "0", "a plus");
    site.sim.configure(|settings| settings.locale = "de_DE".to_owned());
    assert_eq!(search("email:a_b@x.org").await, "4", "not a command in German");
    assert_eq!(site.violations("search_command"), 4);
}

#[tokio::test]
async fn people_at_the_remote_edit_merge_and_remove_by_the_control_api() {
    let site = start().await;
    let (a, b) = (site.person("1").await, site.person("2").await);
    let edit = json!({
        "id": a, "firstname": "Eve", "doNotContact": [{ "channel": "email", "reason": 1 }],
    });
    let (status, row) = site.control(Method::POST, "rows/person", edit).await;
    assert_eq!((status, &row["firstname"]), (200, &json!("Eve")));
    assert_eq!(site.sim.contact(a).unwrap().do_not_contact_reason("email"), Some(1));
    let merge = json!({ "id": b, "winner": a });
    assert_eq!(site.control(Method::POST, "rows/merges", merge.clone()).await.0, 200);
    assert_eq!(site.control(Method::POST, "rows/merges", merge).await.0, 400);
    assert!(site.sim.contact(b).is_none());
    let path = format!("rows/contacts/{a}");
    assert_eq!(site.control(Method::GET, &path, Value::Null).await.1["ems_person_id"], "1");
    assert_eq!(site.control(Method::DELETE, &path, Value::Null).await.0, 204);
    assert_eq!(site.control(Method::POST, "rows/contacts", json!({ "nose": 1 })).await.0, 400);
    assert_eq!(site.control(Method::GET, "rows/noses", Value::Null).await.0, 404);
    let (status, _) = site.control(Method::POST, "settings", json!({ "basic_auth": true })).await;
    assert_eq!(status, 200);
    assert_eq!(site.control(Method::POST, "settings", json!({ "total": "odd" })).await.0, 400);
    assert_eq!(site.control(Method::GET, "settings", Value::Null).await.1["basic_auth"], true);
}

#[tokio::test]
async fn after_a_reimage_ids_mean_others() {
    let site = start().await;
    let (a, b) = (site.person("1").await, site.person("2").await);
    site.sim.reimage(Reimage::Shuffled);
    assert_eq!(site.sim.contact(a).unwrap().ems_person_id(), Some("2"));
    assert_eq!(site.sim.contact_of("1").unwrap().id, b);
    site.sim.reimage(Reimage::Empty);
    assert_eq!(site.sim.contact_count(), 0);
}
