//! A person who is gone: the contact stays with its history, without our marks (contract, section 3).

use ems_sync::remote::FailureClass;
use ems_sync_remotes::{Fault, Operation, Rule};
use serde_json::{Value, json};

use super::bench::{Bench, but, delete, delete_by_key, remote_id, runner, thandi, word};

fn assert_unlinked(contact: &Value) {
    assert_eq!(contact["identifier"], Value::Null);
    assert_unlinked_attribute(contact);
}

fn assert_unlinked_attribute(contact: &Value) {
    assert!(contact["custom_attributes"].get("ems_person_id").is_none(), "{contact}");
}

#[tokio::test]
async fn a_delete_unlinks_and_keeps_everything_else_also_of_who_is_online() {
    let bench = Bench::new().await;
    let id = remote_id(&bench.one(bench.create(42, thandi())).await);
    bench.plant(json!({"id": id, "custom_attributes": {"shoe": "42"}}));
    bench.sim.set_online(id, true).unwrap();
    assert_eq!(word(&bench.one(delete(42, id)).await), "gone");
    let contact = bench.contact(id);
    assert_unlinked(&contact);
    assert_eq!(contact["custom_attributes"]["shoe"], "42");
    assert_eq!(
        (&contact["name"], &contact["email"]),
        (&json!("Thandi Nkosi"), &json!("thandi@example.org"))
    );
    let writes = bench.writes();
    assert_eq!(word(&bench.one(delete(42, id)).await), "gone", "again");
    assert_eq!(bench.writes(), writes);
    assert_eq!(word(&bench.one(delete(42, 999_999)).await), "gone", "never was there");
    bench.assert_no_violation();
}

#[tokio::test]
async fn each_step_whose_answer_was_lost_is_done_to_the_end_by_the_next_try() {
    for nth in 1..=2 {
        let bench = Bench::new().await;
        let id = remote_id(&bench.one(bench.create(42, thandi())).await);
        let rule = Rule::new(Fault::CommitThenDrop).operation(Operation::Patch).nth(nth);
        bench.sim.faults().push(rule);
        assert_eq!(word(&bench.one(delete(42, id)).await), "ambiguous", "{nth}");
        assert_eq!(word(&bench.one(delete(42, id)).await), "gone", "{nth}");
        assert_unlinked(&bench.contact(id));
        bench.assert_no_violation();
    }
}

#[tokio::test]
async fn a_create_that_may_have_been_sent_is_looked_up_and_unlinked() {
    let bench = Bench::new().await;
    assert_eq!(word(&bench.one(delete_by_key(42)).await), "gone");
    bench.sim.faults().push(Rule::new(Fault::CommitThenDrop).operation(Operation::Create));
    assert_eq!(word(&bench.one(bench.create(42, thandi())).await), "ambiguous");
    assert_eq!(word(&bench.one(delete_by_key(42)).await), "gone");
    assert_unlinked(&bench.sim.rows(ems_sync_remotes::chatwoot::Resource::Contact)[0].body);
    bench.assert_no_violation();
}

#[tokio::test]
async fn what_was_merged_into_another_contact_is_unlinked_there_and_what_is_another_persons_stays()
{
    let bench = Bench::new().await;
    let id = remote_id(&bench.one(bench.create(42, thandi())).await);
    let agents = bench.plant(json!({"name": "Thandi"}));
    bench.sim.merge(agents, id).unwrap();
    assert_eq!(bench.contact(agents)["identifier"], "ems-person-42");
    assert_eq!(word(&bench.one(delete(42, id)).await), "gone");
    assert_unlinked(&bench.contact(agents));
    let other = remote_id(&bench.one(bench.create(43, runner(43))).await);
    assert_eq!(word(&bench.one(delete(42, other)).await), "gone");
    assert_eq!(bench.contact(other)["identifier"], "ems-person-43");
    bench.assert_no_violation();
}

#[tokio::test]
async fn another_integrations_identifier_is_not_cleared() {
    let bench = Bench::new().await;
    let id = remote_id(&bench.one(bench.create(42, thandi())).await);
    bench.plant(json!({"id": id, "identifier": "27821234567@s.whatsapp.net"}));
    assert_eq!(word(&bench.one(delete(42, id)).await), "gone");
    let contact = bench.contact(id);
    assert_eq!(contact["identifier"], "27821234567@s.whatsapp.net");
    assert_unlinked_attribute(&contact);
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_page_for_people_is_no_proof_that_a_contact_is_gone() {
    let bench = Bench::new().await;
    let id = remote_id(&bench.one(bench.create(42, thandi())).await);
    for body in [json!("<html>nginx</html>"), json!({"status": 404, "error": "Not Found"})] {
        let rule = Rule::new(super::bench::answers(404, body)).operation(Operation::Read);
        bench.sim.faults().push(rule);
        let result = bench.one(delete(42, id)).await;
        assert_eq!(word(&result), FailureClass::Transient.name());
    }
    assert_eq!(bench.contact(id)["identifier"], "ems-person-42");
}

/// Who has a contact and comes to have the address of one that we made and let go gets it; that one keeps everything else.
#[tokio::test]
async fn the_address_of_a_contact_that_we_let_go_goes_to_whoever_has_it_next() {
    let bench = Bench::new().await;
    let left = remote_id(&bench.one(bench.create(42, thandi())).await);
    let id = remote_id(&bench.one(bench.create(43, runner(43))).await);
    let next = but(runner(43), json!({"email": "thandi@example.org"}));
    let result = bench.one(bench.update(43, id, next.clone())).await;
    assert_eq!(word(&result), "rejected", "it is another person's");
    assert_eq!(word(&bench.one(delete(42, left)).await), "gone");
    let before = bench.contact(left);
    let result = bench.one(bench.update(43, id, next)).await;
    assert_eq!((word(&result), remote_id(&result)), ("held", id));
    assert_eq!(bench.contact(id)["email"], "thandi@example.org");
    let after = bench.contact(left);
    assert_eq!(after["email"], Value::Null);
    for kept in ["name", "phone_number", "additional_attributes", "identifier"] {
        assert_eq!(after[kept], before[kept], "{kept}");
    }
    assert_eq!(bench.sim.contact_count(), 2);
    bench.assert_no_violation();
}

/// What people made, or changed since we let it go, is never touched: they decide.
#[tokio::test]
async fn the_address_of_a_contact_that_people_made_or_changed_is_left() {
    let made = async |bench: &Bench| remote_id(&bench.one(bench.create(42, thandi())).await);
    for case in ["made by people", "merged into one of people's", "given the address by people"] {
        let bench = Bench::new().await;
        let mut address = "thandi@example.org";
        let left = match case {
            "made by people" => {
                let agents = bench.plant(json!({"name": "Thandi", "email": address}));
                assert_eq!(made(&bench).await, agents);
                agents
            }
            "merged into one of people's" => {
                let agents = bench.plant(json!({"name": "Thandi", "created_at": 1_700_000_000}));
                bench.sim.merge(agents, made(&bench).await).unwrap();
                agents
            }
            _ => made(&bench).await,
        };
        assert_eq!(word(&bench.one(delete(42, left)).await), "gone", "{case}");
        if case == "given the address by people" {
            address = "family@example.org";
            bench.plant(json!({"id": left, "email": address}));
        }
        let before = bench.contact(left);
        assert_eq!(before["email"], address, "{case}");
        let id = remote_id(&bench.one(bench.create(43, runner(43))).await);
        let next = but(runner(43), json!({"email": address}));
        assert_eq!(word(&bench.one(bench.update(43, id, next)).await), "rejected", "{case}");
        assert_eq!(bench.contact(left), before, "{case}");
        bench.assert_no_violation();
    }
}

/// Their own contact of before, which has their number still, is no second one that fits.
#[tokio::test]
async fn a_contact_that_we_let_go_is_no_rival_of_the_one_with_the_address() {
    let bench = Bench::new().await;
    let family = but(runner(42), json!({"email": "family@example.org"}));
    let first = remote_id(&bench.one(bench.create(42, family)).await);
    let phone = json!({"phone": "+27821112222"});
    let own = remote_id(&bench.one(bench.create(43, but(runner(43), phone.clone()))).await);
    assert_eq!(word(&bench.one(delete(43, own)).await), "gone");
    assert_eq!(word(&bench.one(delete(42, first)).await), "gone");
    let family = but(but(runner(43), phone), json!({"email": "family@example.org"}));
    let result = bench.one(bench.create(43, family)).await;
    assert_eq!((word(&result), remote_id(&result)), ("held", first));
    assert_eq!(bench.sim.contact_count(), 2);
    bench.assert_no_violation();
}
