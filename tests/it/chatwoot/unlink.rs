//! A person who is gone: the contact stays with its history, without our marks (contract, section 3).

use ems_sync::remote::FailureClass;
use ems_sync_remotes::{Fault, Operation, Rule};
use serde_json::{Value, json};

use super::bench::{Bench, delete, delete_by_key, remote_id, runner, thandi, word};

fn assert_unlinked(contact: &Value) {
    assert_eq!(contact["identifier"], Value::Null);
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
    assert_eq!(contact["custom_attributes"], json!({"shoe": "42"}));
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
    assert_eq!(contact["custom_attributes"], json!({}));
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
