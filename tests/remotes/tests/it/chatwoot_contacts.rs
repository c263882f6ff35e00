//! Contacts: the contract's sections 2, 3, 7 and 10.

use ems_sync_remotes::chatwoot::{DuplicateCreate, Resource};
use ems_sync_remotes::{Effect, Fault, Garbage, Operation, Reimage, Rule};
use reqwest::Method;
use serde_json::{Value, json};

use crate::chatwoot_client::{codes, equal, start, start_with};
use crate::client::soon;

#[tokio::test]
async fn a_contact_is_created_and_shown_as_the_contract_says() {
    let (sim, desk) = start().await;
    desk.find("identifier", "ems-person-42").await;
    let sent = json!({
        "name": "Ada Byron", "email": "Ada@Example.org", "phone_number": "+27821234567",
        "identifier": "ems-person-42", "custom_attributes": { "ems_person_id": "42" },
        "additional_attributes": { "city": "London" }, "inbox_id": 1, "source_id": "s-1",
    });
    let created = desk.post("contacts", sent).await;
    assert_eq!(created.status, 200);
    let payload = &created.json()["payload"];
    assert_eq!(payload["contact_inbox"]["source_id"], "s-1");
    assert_eq!(payload["contact_inbox"]["inbox"]["id"], 1);
    let contact = &payload["contact"];
    assert_eq!(contact["email"], "ada@example.org", "lower case");
    assert!(contact.get("last_activity_at").is_none(), "absent, not null");
    assert!(contact.get("updated_at").is_none() && contact.get("contact_type").is_none());
    let id = contact["id"].as_i64().unwrap();
    let read = desk.get(&format!("contacts/{id}")).await.json();
    assert_eq!(&read["payload"], contact);
    let bare = desk.get(&format!("contacts/{id}?include_contact_inboxes=false")).await.json();
    assert!(bare["payload"].get("contact_inboxes").is_none());
    assert_eq!(sim.contact("42").unwrap().id, id);
    assert_eq!(sim.writes_of(Resource::Contact, "42").len(), 1);
    assert_eq!(sim.violations(), []);
    let none = desk.create("43", json!({ "name": "Eve" })).await;
    assert_eq!(sim.row_by_id(Resource::Contact, none).unwrap().external_id.unwrap(), "43");
}

#[tokio::test]
async fn an_update_is_partial_and_merges_attributes_one_level_deep() {
    let (sim, desk) = start().await;
    let attributes = json!({ "ems_person_id": "1", "deep": { "a": 1, "b": 2 } });
    let id = desk.create("1", json!({ "name": "Ada", "custom_attributes": attributes })).await;
    let path = format!("contacts/{id}");
    let change = json!({ "email": "a@b.org", "custom_attributes": { "deep": { "c": 3 }, "x": 1 } });
    let answer = desk.put(&path, change).await.json();
    assert_eq!(answer["payload"]["name"], "Ada");
    let expected = json!({ "ems_person_id": "1", "deep": { "c": 3 }, "x": 1 });
    assert_eq!(answer["payload"]["custom_attributes"], expected);
    let answer = desk.send(Method::PATCH, &path, Some(json!({ "email": "" }))).await;
    assert_eq!(answer.json()["payload"]["email"], Value::Null);
    let dropped = desk
        .post(&format!("{path}/destroy_custom_attributes"), json!({ "custom_attributes": ["x"] }))
        .await;
    assert!(dropped.json()["payload"]["custom_attributes"].get("x").is_none());
    assert_eq!(sim.counters().writes_to("contacts").patched, 3);
    assert_eq!(sim.violations(), []);
}

#[tokio::test]
async fn the_same_update_again_changes_nothing_and_a_mixed_one_is_a_breach() {
    let (sim, desk) = start().await;
    let id = desk.create("1", json!({ "name": "Ada" })).await;
    let path = format!("contacts/{id}");
    for _ in 0..2 {
        assert_eq!(desk.put(&path, json!({ "name": "Eve" })).await.status, 200);
    }
    assert_eq!(sim.counters().writes_to("contacts").unchanged, 1);
    assert_eq!(sim.violations(), []);
    desk.put(&path, json!({ "name": "Eve", "email": "a@b.org" })).await;
    assert_eq!(codes(&sim), ["unchanged_field"]);
}

#[tokio::test]
async fn what_has_become_so_since_the_last_read_is_no_breach() {
    let (sim, desk) = start().await;
    let id = desk.create("1", json!({ "name": "Ada" })).await;
    let path = format!("contacts/{id}");
    desk.get(&path).await;
    sim.plant(Resource::Contact, json!({ "id": id, "name": "Eve" })).unwrap();
    desk.put(&path, json!({ "name": "Eve", "email": "a@b.org" })).await;
    assert_eq!(sim.violations(), []);
    desk.get(&path).await;
    let attributes = json!({ "a": 1 });
    desk.put(&path, json!({ "name": "Eve", "custom_attributes": attributes })).await;
    assert_eq!(codes(&sim), ["unchanged_field"]);
}

#[tokio::test]
async fn a_write_that_lands_late_is_no_breach() {
    let (sim, desk) = start().await;
    let id = desk.create("1", json!({ "name": "Ada", "email": "a@b.org" })).await;
    let path = format!("contacts/{id}");
    sim.faults().push(Rule::new(Fault::Delay { ms: 300 }).method("PUT"));
    let late = desk.put(&path, json!({ "name": "Eve", "email": "e@b.org" }));
    let meanwhile = async {
        sim.wait_until(|progress, _| progress.started == 3).await;
        desk.put(&path, json!({ "name": "Eve", "email": "f@b.org" })).await;
        desk.get(&path).await
    };
    soon(async { tokio::join!(late, meanwhile) }).await;
    assert_eq!(sim.contact("1").unwrap().body["email"], "e@b.org");
    assert_eq!(sim.violations(), []);
}

#[tokio::test]
async fn keys_are_unique_and_the_other_contact_is_not_named() {
    let (sim, desk) = start().await;
    let first = json!({ "email": "a@b.org", "phone_number": "+2711" });
    let id = desk.create("1", first).await;
    for (body, attribute) in [
        (json!({ "email": "A@B.org" }), "email"),
        (json!({ "email": "c@d.org", "phone_number": "+2711" }), "phone_number"),
        (json!({ "identifier": "ems-person-1" }), "identifier"),
    ] {
        let answer = desk.post("contacts", body).await;
        assert_eq!(answer.status, 422);
        assert_eq!(answer.json()["attributes"], json!([attribute]));
        assert!(!answer.text.contains(&id.to_string()));
    }
    let other = desk.create("2", json!({})).await;
    let answer = desk.put(&format!("contacts/{other}"), json!({ "email": "a@b.org" })).await;
    assert_eq!(answer.json()["message"], "Email has already been taken");
    let upper = desk.post("contacts", json!({ "identifier": "EMS-person-1" })).await;
    assert_eq!(upper.status, 200, "identifiers mind their case");
    assert_eq!(sim.contact_count(), 3);
    assert_eq!(codes(&sim), ["create_without_lookup", "create_without_lookup"]);
}

#[tokio::test]
async fn a_blank_identifier_is_kept_and_the_second_one_is_a_500() {
    let (sim, desk) = start().await;
    let first = desk.post("contacts", json!({ "email": "a@b.org", "identifier": "" })).await;
    assert_eq!(first.json()["payload"]["contact"]["identifier"], "");
    let second = desk.post("contacts", json!({ "email": "c@d.org", "identifier": "" })).await;
    assert_eq!(second.status, 500);
    let null = desk.post("contacts", json!({ "email": "c@d.org", "identifier": null })).await;
    assert_eq!(null.status, 200);
    assert_eq!(codes(&sim), ["blank_identifier", "blank_identifier"]);
}

#[tokio::test]
async fn a_race_is_a_500_for_indexed_keys_and_a_duplicate_for_phone_numbers() {
    let (sim, desk) = start().await;
    desk.create("1", json!({ "email": "a@b.org", "phone_number": "+2711" })).await;
    sim.configure(|settings| settings.uniqueness_race = true);
    assert_eq!(desk.post("contacts", json!({ "email": "a@b.org" })).await.status, 500);
    desk.create("2", json!({ "phone_number": "+2711" })).await;
    assert_eq!(desk.find("phone_number", "+2711").await.len(), 2);
}

#[tokio::test]
async fn a_vendors_build_answers_a_duplicate_with_the_other_contact() {
    let (sim, desk) =
        start_with(|settings| settings.duplicate_create = DuplicateCreate::ExistingContact).await;
    let id = desk.create("1", json!({ "name": "Ada", "email": "a@b.org" })).await;
    let answer = desk.post("contacts", json!({ "name": "Eve", "email": "a@b.org" })).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["payload"]["contact"]["id"], id);
    assert_eq!(answer.json()["payload"]["contact"]["name"], "Ada");
    assert_eq!(sim.counters().writes_to("contacts").refused, 1);
}

#[tokio::test]
async fn values_are_checked_as_far_as_chatwoot_does() {
    let (_sim, desk) = start().await;
    let long = "x".repeat(256);
    let answer = desk.post("contacts", json!({ "name": long, "email": "a@b.org" })).await;
    assert_eq!(answer.status, 422);
    assert_eq!(answer.json()["attributes"], json!(["name"]));
    let odd = json!({ "email": "a@b.org", "phone_number": "tel: +27821234567" });
    let answer = desk.post("contacts", odd).await;
    assert_eq!(answer.status, 200, "the pattern is anchored at its end only");
}

#[tokio::test]
async fn a_repeated_create_without_a_key_makes_duplicates_and_is_a_breach() {
    let (sim, desk) = start().await;
    for _ in 0..2 {
        assert_eq!(desk.post("contacts", json!({ "name": "Ada" })).await.status, 200);
    }
    assert_eq!(sim.contact_count(), 2);
    assert_eq!(codes(&sim), ["create_without_key", "create_without_key"]);
}

#[tokio::test]
async fn a_lost_create_is_found_again_by_its_identifier() {
    let (sim, desk) = start().await;
    sim.faults().push(Rule::new(Fault::CommitThenDrop).operation(Operation::Create));
    desk.find("identifier", "ems-person-1").await;
    let body = json!({ "identifier": "ems-person-1" });
    assert!(desk.try_send(Method::POST, "contacts", Some(body)).await.is_err());
    let found = desk.find("identifier", "EMS-PERSON-1").await;
    assert_eq!(found, [sim.contact("1").unwrap().id]);
    assert_eq!(sim.violations(), []);
}

#[tokio::test]
async fn anothers_identifier_is_not_overwritten() {
    let (sim, desk) = start().await;
    let foreign = json!({ "identifier": "27821234567@s.whatsapp.net", "email": "a@b.org" });
    let id = sim.plant(Resource::Contact, foreign).unwrap().id;
    let path = format!("contacts/{id}");
    desk.put(&path, json!({ "custom_attributes": { "ems_person_id": "7" } })).await;
    assert_eq!(sim.violations(), []);
    assert_eq!(sim.contact("7").unwrap().id, id);
    assert_eq!(desk.put(&path, json!({ "identifier": "ems-person-7" })).await.status, 200);
    assert_eq!(codes(&sim), ["overwrites_identifier"]);
    desk.put(&path, json!({ "identifier": null })).await;
    assert_eq!(codes(&sim).len(), 1, "our own may be taken off");
}

#[tokio::test]
async fn fields_that_are_not_there_or_not_writable_are_ignored_and_told() {
    let (sim, desk) = start().await;
    let id = desk.create("1", json!({ "name": "Ada" })).await;
    let body = json!({ "last_name": "Byron", "id": 5, "blocked": 1 });
    assert_eq!(desk.put(&format!("contacts/{id}"), body).await.status, 200);
    let mut found = codes(&sim);
    found.sort();
    assert_eq!(found, ["read_only_field", "unknown_field", "wrong_type"]);
}

#[tokio::test]
async fn a_delete_takes_the_conversations_along_later() {
    let (sim, desk) = start().await;
    let id = desk.create("1", json!({ "name": "Ada" })).await;
    let conversation = json!({ "contact_id": id });
    let conversation = sim.plant(Resource::Conversation, conversation).unwrap().id;
    sim.set_online(id, true).unwrap();
    let path = format!("contacts/{id}");
    let online = desk.delete(&path).await;
    assert_eq!(online.status, 422);
    assert_eq!(online.json(), json!({ "message": "Ada is Online, please try again later" }));
    sim.set_online(id, false).unwrap();
    let deleted = desk.delete(&path).await;
    assert_eq!((deleted.status.as_u16(), deleted.text.as_str()), (200, ""));
    assert_eq!(desk.delete(&path).await.status, 404);
    let left = desk.get(&format!("conversations/{conversation}")).await;
    assert_eq!(left.json()["meta"]["sender"], Value::Null);
    sim.run_jobs();
    assert_eq!(desk.get(&format!("conversations/{conversation}")).await.status, 404);
    assert_eq!(codes(&sim), ["deletes_contact", "deletes_contact"]);
    assert_eq!(sim.counters().writes_to("contacts").deleted, 1);
}

#[tokio::test]
async fn a_merge_fills_the_blanks_of_the_base_and_the_mergee_is_gone() {
    let (sim, desk) = start().await;
    let base =
        desk.create("1", json!({ "name": "Ada", "custom_attributes": { "a": { "x": 1 } } })).await;
    let mergee = json!({
        "name": "Eve", "email": "e@v.org", "identifier": "other",
        "custom_attributes": { "a": { "x": 2, "y": 2 }, "b": 1 },
    });
    let mergee = sim.plant(Resource::Contact, mergee).unwrap().id;
    let conversation =
        sim.plant(Resource::Conversation, json!({ "contact_id": mergee })).unwrap().id;
    let body = json!({ "base_contact_id": base, "mergee_contact_id": mergee });
    let merged = desk.post("actions/contact_merge", body).await.json();
    assert_eq!(merged["id"], base, "flat, without payload");
    assert_eq!(merged["name"], "Ada");
    assert_eq!(merged["email"], "e@v.org");
    assert_eq!(merged["identifier"], "ems-person-1");
    let attributes = json!({ "a": { "x": 1, "y": 2 }, "b": 1 });
    assert_eq!(merged["custom_attributes"], attributes);
    assert_eq!(desk.get(&format!("contacts/{mergee}")).await.status, 404);
    let moved = desk.get(&format!("conversations/{conversation}")).await.json();
    assert_eq!(moved["meta"]["sender"]["id"], base);
    let itself = json!({ "base_contact_id": base, "mergee_contact_id": base });
    assert_eq!(desk.post("actions/contact_merge", itself).await.json()["id"], base);
    assert_eq!(codes(&sim), ["merges_contacts", "merges_contacts"]);
}

#[tokio::test]
async fn labels_are_replaced_as_a_whole() {
    let (sim, desk) = start().await;
    let id = desk.create("1", json!({ "name": "Ada" })).await;
    let path = format!("contacts/{id}/labels");
    let answer = desk.post(&path, json!({ "labels": ["member"] })).await;
    assert_eq!(answer.json(), json!({ "payload": ["member"] }));
    sim.plant(Resource::Contact, json!({ "id": id, "labels": ["member", "vip"] })).unwrap();
    assert_eq!(desk.get(&path).await.json(), json!({ "payload": ["member", "vip"] }));
    desk.post(&path, json!({ "labels": ["vip", "member", "new"] })).await;
    assert_eq!(sim.violations(), []);
    sim.plant(Resource::Contact, json!({ "id": id, "labels": ["member", "late"] })).unwrap();
    desk.post(&path, json!({ "labels": ["vip", "member"] })).await;
    assert_eq!(sim.violations(), [], "nobody could know");
    sim.plant(Resource::Contact, json!({ "id": id, "labels": ["member", "vip"] })).unwrap();
    desk.get(&path).await;
    desk.post(&path, json!({ "labels": ["member"] })).await;
    assert_eq!(codes(&sim), ["drops_foreign_label"]);
    assert_eq!(desk.get("contacts?labels[]=vip").await.json()["meta"]["count"], 0);
    assert_eq!(desk.get("contacts?labels[]=member").await.json()["meta"]["count"], 1);
}

#[tokio::test]
async fn attributes_can_be_filtered_once_they_are_defined() {
    let (sim, desk) = start().await;
    let attributes = json!({ "ems_person_id": "1" });
    let id = desk.create("1", json!({ "custom_attributes": attributes })).await;
    let undefined = desk.post("contacts/filter", equal("ems_person_id", "1")).await;
    assert_eq!(undefined.status, 422);
    assert!(undefined.json()["error"].is_string());
    let definition = json!({
        "attribute_display_name": "EMS id", "attribute_key": "ems_person_id",
        "attribute_display_type": 0, "attribute_model": 1,
    });
    let defined = desk.post("custom_attribute_definitions", definition.clone()).await;
    assert_eq!(defined.json()["attribute_key"], "ems_person_id");
    let again = desk.post("custom_attribute_definitions", definition).await;
    assert_eq!(again.json()["attributes"], json!(["attribute_key"]));
    let all = desk.get("custom_attribute_definitions?attribute_model=1").await.json();
    assert_eq!(all.as_array().unwrap().len(), 1);
    assert_eq!(desk.find("ems_person_id", "1").await, [id]);
    let mut number = equal("ems_person_id", "1");
    number["payload"][0]["values"] = json!([1]);
    assert_eq!(desk.post("contacts/filter", number).await.status, 500);
    assert_eq!(codes(&sim), ["number_in_filter"]);
}

#[tokio::test]
async fn writes_of_one_contact_in_flight_together_are_seen_whatever_names_it() {
    let (sim, desk) = start().await;
    let id = desk.create("1", json!({ "name": "Ada" })).await;
    sim.faults().push(Rule::new(Fault::Delay { ms: 300 }).writes().unlimited());
    let path = format!("contacts/{id}");
    let first = desk.put(&path, json!({ "name": "Eve" }));
    let labels = format!("contacts/{id}/labels");
    let second = desk.post(&labels, json!({ "labels": ["x"] }));
    soon(async { tokio::join!(first, second) }).await;
    assert_eq!(sim.overlaps().len(), 1);
    assert_eq!(sim.overlaps()[0].external_id, "1");
    let rows: Vec<Effect> =
        sim.journal().iter().flat_map(|e| e.rows.clone()).map(|r| r.effect).collect();
    assert_eq!(rows, [Effect::Created, Effect::Patched, Effect::Patched]);
}

#[tokio::test]
async fn a_server_set_up_anew_gives_ids_to_others() {
    let (sim, desk) = start().await;
    let ada = desk.create("1", json!({ "name": "Ada" })).await;
    let eve = desk.create("2", json!({ "name": "Eve" })).await;
    sim.reimage(Reimage::Shuffled);
    assert_eq!(sim.contact("1").unwrap().id, eve);
    sim.reimage(Reimage::Empty);
    assert_eq!(desk.create("3", json!({ "name": "Bob" })).await, ada);
}

#[tokio::test]
async fn somebody_elses_record_comes_in_the_shape_that_was_asked_for() {
    let (sim, desk) = start().await;
    let other = json!({ "identifier": "ems-person-9" });
    let other = sim.plant(Resource::Contact, other).unwrap().id;
    let stranger = Fault::garbage(Garbage::StrangersRecord);
    sim.faults().push(Rule::new(stranger).unlimited());
    assert_eq!(desk.find("identifier", "ems-person-1").await, [other]);
    let created = desk.post("contacts", json!({ "identifier": "ems-person-1" })).await.json();
    assert_eq!(created["payload"]["contact"]["id"], other);
    let read = desk.get("contacts/5").await.json();
    assert_eq!(read["payload"]["id"], other);
    let listed = desk.get("conversations?status=all").await.json();
    assert_eq!(listed["data"]["payload"][0]["meta"]["sender"]["id"], other);
    assert_eq!(sim.contact_count(), 1);
}
