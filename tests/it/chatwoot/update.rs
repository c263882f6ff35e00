//! Updates: what differs and nothing else, to the right contact, around keys that are taken.

use ems_sync::remote::{Action, PushResult, Wire};
use ems_sync_remotes::chatwoot::Resource;
use ems_sync_remotes::{Fault, Operation, Reimage, Rule};
use serde_json::{Value, json};

use super::bench::{Bench, but, holds, person, push, remote_id, runner, text, thandi, word};

async fn with_thandi() -> (Bench, i64) {
    let bench = Bench::new().await;
    let id = remote_id(&bench.one(bench.create(42, thandi())).await);
    (bench, id)
}

#[tokio::test]
async fn an_update_reads_and_writes_what_differs_and_causes_one_webhook() {
    let (bench, id) = with_thandi().await;
    let hook =
        json!({"url": "https://ems.example.org/hooks", "subscriptions": ["contact_updated"]});
    bench.sim.plant(Resource::Webhook, hook).unwrap();
    let before = bench.operations().len();
    let moved = but(thandi(), json!({"city": "Pretoria", "last_name": "Dlamini"}));
    let result = bench.one(bench.update(42, id, moved.clone())).await;
    assert!(holds(&result, &bench.wire(42, moved.clone())));
    assert_eq!(bench.operations()[before..], [Operation::Read, Operation::Patch]);
    let again = bench.one(bench.update(42, id, moved)).await;
    assert_eq!((word(&again), bench.operations()[before + 2..].len()), ("adopted", 1));
    assert_eq!(bench.sim.run_jobs().len(), 1, "what does not change is not written");
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_field_that_is_gone_is_cleared() {
    let (bench, id) = with_thandi().await;
    let less = json!({"first_name": "Thandi", "last_name": "Nkosi", "phone": "+27821234567"});
    let result = bench.one(bench.update(42, id, less.clone())).await;
    assert!(holds(&result, &bench.wire(42, less)));
    let contact = bench.contact(id);
    assert_eq!(contact["email"], Value::Null);
    let additional = json!({"city": null, "country": null, "country_code": null});
    assert_eq!(contact["additional_attributes"], additional);
    let result = bench.one(bench.update(42, id, runner(42))).await;
    assert!(holds(&result, &bench.wire(42, runner(42))));
    assert_eq!(bench.contact(id)["phone_number"], Value::Null);
    bench.assert_no_violation();
}

#[tokio::test]
async fn what_agents_edit_that_is_not_ours_is_kept_and_what_is_ours_is_put_back() {
    let (bench, id) = with_thandi().await;
    bench.plant(json!({"id": id, "blocked": true, "name": "Edited", "labels": ["vip"], "identifier": null,
                       "custom_attributes": {"shoe": "42"}, "additional_attributes": {"company_name": "Club"}}));
    let result = bench.one(bench.update(42, id, thandi())).await;
    assert!(holds(&result, &bench.wire(42, thandi())));
    let contact = bench.contact(id);
    assert_eq!((&contact["blocked"], &contact["name"]), (&json!(true), &json!("Thandi Nkosi")));
    assert_eq!(contact["identifier"], "ems-person-42", "the attribute still said whose it is");
    assert_eq!(contact["custom_attributes"]["ems_person_id"], "42");
    assert_eq!(contact["custom_attributes"]["shoe"], "42");
    bench.assert_no_violation();
}

/// Others own the identifier, too: the custom attribute says that it is ours all the same, and the rest goes on.
#[tokio::test]
async fn another_integrations_identifier_stays_and_shows_in_the_hash() {
    let (bench, id) = with_thandi().await;
    bench.plant(json!({"id": id, "identifier": "27821234567@s.whatsapp.net"}));
    let moved = but(thandi(), json!({"city": "Pretoria"}));
    let result = bench.one(bench.update(42, id, moved.clone())).await;
    assert_eq!(word(&result), "held");
    assert!(!holds(&result, &bench.wire(42, moved.clone())));
    let contact = bench.contact(id);
    assert_eq!(contact["identifier"], "27821234567@s.whatsapp.net");
    assert_eq!(contact["additional_attributes"]["city"], "Pretoria");
    let again = bench.one(bench.create_again(42, moved, true)).await;
    assert_eq!((word(&again), remote_id(&again)), ("adopted", id));
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_number_that_another_contact_has_is_left_out_and_the_rest_is_written() {
    let (bench, id) = with_thandi().await;
    bench.plant(json!({"name": "Sipho", "phone_number": "+27829999999"}));
    let moved = but(thandi(), json!({"phone": "+27829999999", "city": "Pretoria"}));
    let result = bench.one(bench.update(42, id, moved.clone())).await;
    assert_eq!(word(&result), "held");
    assert!(!holds(&result, &bench.wire(42, moved.clone())), "the hash tells");
    let contact = bench.contact(id);
    assert_eq!(
        contact["phone_number"],
        Value::Null,
        "the old number is not this person's any more"
    );
    assert_eq!(contact["additional_attributes"]["city"], "Pretoria");
    // Once more, nothing changes; and when the number is free, it is taken.
    assert_eq!(word(&bench.one(bench.update(42, id, moved.clone())).await), "adopted");
    let sipho = bench.sim.rows(Resource::Contact).last().unwrap().id;
    bench.plant(json!({"id": sipho, "phone_number": null}));
    let result = bench.one(bench.update(42, id, moved.clone())).await;
    assert!(holds(&result, &bench.wire(42, moved)));
    bench.assert_no_violation();
}

#[tokio::test]
async fn an_address_that_an_agents_contact_has_is_for_a_person_to_decide() {
    let (bench, id) = with_thandi().await;
    let other = bench.plant(json!({"name": "Thandi", "email": "new@example.org"}));
    let moved = but(thandi(), json!({"email": "new@example.org"}));
    let result = bench.one(bench.update(42, id, moved.clone())).await;
    assert!(text(&result).starts_with("ambiguous"), "{result:?}");
    assert_eq!(word(&result), "rejected");
    assert_eq!(bench.contact(id)["email"], "thandi@example.org");
    // Merged by an agent, into the one that the address is on: found again, and there is one.
    bench.sim.merge(other, id).unwrap();
    assert_eq!(word(&bench.one(bench.update(42, id, moved.clone())).await), "stale_mapping");
    let result = bench.one(bench.create_again(42, moved, true)).await;
    assert_eq!((remote_id(&result), bench.sim.contact_count()), (other, 1));
    bench.assert_no_violation();
}

#[tokio::test]
async fn an_address_that_was_given_up_to_this_person_is_taken_off_the_contact_that_has_it() {
    let (bench, id) = with_thandi().await;
    let other = remote_id(&bench.one(bench.create(43, runner(43))).await);
    let moved = but(thandi(), json!({"email": "runner43@example.org"}));
    let wire = bench.wire(42, moved.clone());
    let update = |wire| push(42, Action::Update { remote_id: id.to_string(), wire });
    let result = bench.one(update(wire.clone())).await;
    assert!(text(&result).starts_with("ambiguous"), "{result:?}");
    let given = Wire { given_up_by: vec![person(43)], ..wire.clone() };
    let result = bench.one(update(given)).await;
    assert!(holds(&result, &wire));
    assert_eq!(bench.contact(other)["email"], Value::Null);
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_contact_that_is_gone_or_somebody_elses_by_now_is_a_stale_mapping_and_nothing_is_written()
{
    let (bench, id) = with_thandi().await;
    let other = remote_id(&bench.one(bench.create(43, runner(43))).await);
    let writes = bench.writes();
    for wrong in [other, 1, 999_999] {
        let result = bench.one(bench.update(42, wrong, runner(42))).await;
        assert_eq!(word(&result), "stale_mapping");
    }
    let remote_id_of_another_target = Action::Update {
        remote_id: "{\"race_id\":1}".to_owned(),
        wire: bench.wire(42, runner(42)),
    };
    assert_eq!(word(&bench.one(push(42, remote_id_of_another_target)).await), "stale_mapping");
    // Set up anew: our ids are other contacts'.
    bench.sim.reimage(Reimage::Shuffled);
    assert_eq!(word(&bench.one(bench.update(42, id, thandi())).await), "stale_mapping");
    assert_eq!(bench.writes(), writes);
    let result = bench.one(bench.create_again(42, thandi(), true)).await;
    assert_eq!((word(&result), remote_id(&result)), ("adopted", other));
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_contact_that_vanishes_between_read_and_write_is_a_stale_mapping() {
    let (bench, id) = with_thandi().await;
    let gone = json!({"error": "Resource could not be found"});
    let rule = Rule::new(super::bench::answers(404, gone)).operation(Operation::Patch);
    bench.sim.faults().push(rule);
    let result = bench.one(bench.update(42, id, runner(42))).await;
    assert_eq!(word(&result), "stale_mapping");
}

#[tokio::test]
async fn an_update_whose_answer_was_lost_is_ambiguous_and_says_nothing_again() {
    let (bench, id) = with_thandi().await;
    let moved = but(thandi(), json!({"city": "Pretoria"}));
    for fault in [Fault::CommitThenDrop, Fault::Drop, Fault::status(502), Fault::status(500)] {
        bench.sim.faults().push(Rule::new(fault.clone()).operation(Operation::Patch));
        let result = bench.one(bench.update(42, id, moved.clone())).await;
        let word = word(&result);
        assert!(word == "ambiguous" || word == "adopted", "{fault:?} {word}");
    }
    assert!(matches!(
        bench.one(bench.update(42, id, moved)).await,
        PushResult::Held { written: false, .. }
    ));
    assert_eq!(bench.writes(), (2, 0), "a create and an update");
    bench.assert_no_violation();
}
