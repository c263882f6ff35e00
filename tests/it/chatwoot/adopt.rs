//! Contacts that agents or other integrations made: adopted beyond doubt, else a person decides (contract, section 7).

use ems_sync::remote::{Action, Look, PushResult, Wire};
use serde_json::{Value, json};

use super::bench::{Bench, but, holds, person, push, remote_id, runner, text, thandi, word};

fn is_ambiguous(result: &PushResult) -> bool {
    word(result) == "rejected"
        && text(result).starts_with("ambiguous")
        && text(result).contains("replay")
}

#[tokio::test]
async fn our_identifier_is_adopted_without_a_write_if_it_holds_the_right_content() {
    let bench = Bench::new().await;
    let created = bench.one(bench.create(42, thandi())).await;
    let result = bench.one(bench.create(42, thandi())).await;
    assert_eq!((word(&result), remote_id(&result)), ("adopted", remote_id(&created)));
    let result = bench.one(bench.create(42, but(thandi(), json!({"city": "Pretoria"})))).await;
    assert_eq!((word(&result), remote_id(&result)), ("held", remote_id(&created)));
    assert_eq!(bench.sim.contact_count(), 1);
    bench.assert_no_violation();
}

#[tokio::test]
async fn an_agents_contact_with_the_address_is_adopted_and_keeps_what_is_not_ours() {
    let bench = Bench::new().await;
    let id = bench.plant(json!({"name": "T. N.", "email": "THANDI@example.org", "blocked": true, "labels": ["vip"],
        "custom_attributes": {"club": "X"}, "additional_attributes": {"company_name": "Y", "country": "South Africa"}}));
    let result = bench.one(bench.create(42, thandi())).await;
    assert_eq!((word(&result), remote_id(&result)), ("held", id));
    assert!(holds(&result, &bench.wire(42, thandi())));
    let contact = bench.contact(id);
    assert_eq!(contact["identifier"], "ems-person-42");
    assert_eq!(contact["blocked"], true, "blocked is the agents'");
    assert_eq!(contact["labels"], json!(["vip"]));
    assert_eq!(contact["custom_attributes"], json!({"club": "X", "ems_person_id": "42"}));
    assert_eq!(contact["additional_attributes"]["company_name"], "Y");
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_number_alone_is_adopted_if_the_names_agree_else_the_person_goes_without() {
    let bench = Bench::new().await;
    let id = bench.plant(json!({"name": "thandi NKOSI", "phone_number": "+27821234567"}));
    let result = bench.one(bench.create(42, thandi())).await;
    assert_eq!((word(&result), remote_id(&result)), ("held", id));
    let son = but(runner(43), json!({"phone": "+27821234567"}));
    let result = bench.one(bench.create(43, son.clone())).await;
    assert_eq!(word(&result), "held");
    assert!(!holds(&result, &bench.wire(43, son)));
    assert_eq!(bench.contact(remote_id(&result))["phone_number"], Value::Null);
    assert_eq!(bench.contact(id)["phone_number"], "+27821234567");
    bench.assert_no_violation();
}

#[tokio::test]
async fn what_another_integration_owns_is_left_alone() {
    let bench = Bench::new().await;
    let foreign = "27821234567@s.whatsapp.net";
    let id = bench.plant(
        json!({"name": "Thandi Nkosi", "phone_number": "+27821234567", "identifier": foreign}),
    );
    let before = bench.contact(id);
    assert!(is_ambiguous(&bench.one(bench.create(42, thandi())).await));
    let by_email = bench.plant(json!({"email": "runner1@example.org", "identifier": "megaapp-1"}));
    assert!(is_ambiguous(&bench.one(bench.create(1, runner(1))).await));
    assert_eq!(bench.contact(id), before);
    assert_eq!(bench.contact(by_email)["identifier"], "megaapp-1");
    assert_eq!(bench.writes(), (0, 0));
    bench.assert_no_violation();
}

#[tokio::test]
async fn two_contacts_that_fit_are_for_a_person_to_decide() {
    let bench = Bench::new().await;
    bench.plant(json!({"name": "Thandi", "email": "thandi@example.org"}));
    bench.plant(json!({"name": "Thandi", "phone_number": "+27821234567"}));
    let result = bench.one(bench.create(42, thandi())).await;
    assert!(is_ambiguous(&result), "{result:?}");
    assert_eq!(bench.writes(), (0, 0));
    bench.assert_no_violation();
}

/// Another person's contact got the address by an agent's edit or a merge: it is not taken away. What a person left who gave
/// the address up to this one is.
#[tokio::test]
async fn another_persons_contact_is_taken_over_only_where_that_one_gave_it_up() {
    let bench = Bench::new().await;
    let id = remote_id(&bench.one(bench.create(9, thandi())).await);
    let result = bench.one(bench.create(7, thandi())).await;
    assert!(is_ambiguous(&result), "{result:?}");
    assert_eq!(bench.contact(id)["identifier"], "ems-person-9");
    let wire = Wire { given_up_by: vec![person(9)], ..bench.wire(7, thandi()) };
    let result = bench.one(push(7, Action::Create { wire, look: Look::IfRefused })).await;
    assert_eq!((word(&result), remote_id(&result)), ("held", id));
    let contact = bench.contact(id);
    assert_eq!(contact["identifier"], "ems-person-7");
    assert_eq!(contact["custom_attributes"]["ems_person_id"], "7");
    assert_eq!(bench.sim.contact_count(), 1);
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_contact_that_was_unlinked_is_adopted_again_by_its_address() {
    let bench = Bench::new().await;
    let id = remote_id(&bench.one(bench.create(42, thandi())).await);
    assert_eq!(word(&bench.one(super::bench::delete(42, id)).await), "gone");
    let result = bench.one(bench.create(43, thandi())).await;
    assert_eq!((word(&result), remote_id(&result)), ("held", id));
    let attributes = &bench.contact(id)["custom_attributes"];
    assert_eq!(attributes["ems_person_id"], "43");
    assert!(attributes["ems_origin"].as_str().unwrap().starts_with("made "), "{attributes}");
    assert_eq!(bench.sim.contact_count(), 1);
    bench.assert_no_violation();
}
