//! One contact per person (obligation 5), and success only when it is proven (obligation 2).

use ems_sync_remotes::chatwoot::{DuplicateCreate, Resource};
use ems_sync_remotes::{Fault, Garbage, Operation, Rule};
use serde_json::json;

use super::bench::{Bench, answers, but, holds, remote_id, runner, text, thandi, word};

#[tokio::test]
async fn a_create_is_a_look_up_and_one_write_of_what_the_contract_has() {
    let bench = Bench::new().await;
    let result = bench.one(bench.create(42, thandi())).await;
    assert_eq!(word(&result), "held");
    assert!(holds(&result, &bench.wire(42, thandi())));
    assert_eq!(bench.operations(), [Operation::Find, Operation::Create]);
    let contact = bench.contact(remote_id(&result));
    assert_eq!(contact["name"], "Thandi Nkosi");
    assert_eq!(contact["email"], "thandi@example.org");
    assert_eq!(contact["phone_number"], "+27821234567");
    assert_eq!(contact["identifier"], "ems-person-42");
    assert_eq!(contact["custom_attributes"]["ems_person_id"], "42");
    assert!(contact["custom_attributes"]["ems_origin"].as_str().unwrap().starts_with("made "));
    assert_eq!(
        contact["additional_attributes"],
        json!({"city": "Durban", "country": "ZA", "country_code": "ZA"})
    );
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_person_without_address_or_with_an_odd_number_has_a_contact_all_the_same() {
    let bench = Bench::new().await;
    let phone_only = json!({"first_name": "A", "last_name": "B", "phone": "+27821234567"});
    let odd = json!({"first_name": "A", "last_name": "B", "phone": "tel:+27821234567"});
    for (id, fields) in [(1, phone_only), (2, odd)] {
        let wire = bench.wire(id, fields.clone());
        assert!(holds(&bench.one(bench.create(id, fields)).await, &wire));
    }
    let contact = bench.sim.contact("2").unwrap().body;
    assert_eq!((&contact["email"], &contact["phone_number"]), (&json!(null), &json!(null)));
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_create_whose_answer_was_lost_is_looked_up_before_anything_is_sent_again() {
    let bench = Bench::new().await;
    for fault in [
        Fault::CommitThenDrop,
        Fault::Garbage { what: Garbage::Html, applied: true },
        Fault::Garbage { what: Garbage::TruncatedJson, applied: true },
        Fault::Garbage { what: Garbage::EmptyBody, applied: true },
    ] {
        let id = 100 + i64::try_from(bench.sim.contact_count()).unwrap();
        bench.sim.faults().push(Rule::new(fault.clone()).operation(Operation::Create));
        let result = bench.one(bench.create(id, runner(id))).await;
        // An answer that can't be read is looked after at once, a lost one with the next try.
        assert!(["ambiguous", "adopted"].contains(&word(&result)), "{fault:?} {result:?}");
        let result = bench.one(bench.create_again(id, runner(id), false)).await;
        assert_eq!(word(&result), "adopted", "{fault:?}");
    }
    assert_eq!(bench.sim.contact_count(), 4);
    assert_eq!(bench.writes(), (4, 0));
    bench.assert_no_violation();
}

/// An error that a unique index gives, or that comes after the commit, is a 500 (contract, section 8).
#[tokio::test]
async fn a_create_that_is_a_500_is_looked_up_at_once() {
    let bench = Bench::new().await;
    let committed = Fault::Status { code: 500, headers: Vec::new(), body: None, applied: true };
    bench.sim.faults().push(Rule::new(committed).operation(Operation::Create));
    assert_eq!(word(&bench.one(bench.create(1, runner(1))).await), "adopted");
    bench.sim.faults().push(Rule::new(Fault::status(500)).operation(Operation::Create));
    assert_eq!(word(&bench.one(bench.create(2, runner(2))).await), "ambiguous");
    assert_eq!(bench.sim.contact_count(), 1);
    bench.assert_no_violation();
}

/// The address is another contact's since the look-up: the unique index says so by a 500.
#[tokio::test]
async fn a_race_for_a_unique_index_is_resolved_by_a_look() {
    let bench = Bench::new().await;
    let id = bench.plant(json!({"name": "Runner 1", "email": "runner1@example.org"}));
    bench.sim.configure(|settings| settings.uniqueness_race = true);
    let empty = json!({"meta": {"count": 0, "current_page": 1}, "payload": []});
    bench.sim.faults().push(Rule::new(answers(200, empty)).operation(Operation::Find));
    let result = bench.one(bench.create(1, runner(1))).await;
    assert_eq!((word(&result), remote_id(&result)), ("held", id));
    assert_eq!(bench.sim.contact_count(), 1);
}

#[tokio::test]
async fn an_empty_look_up_without_proof_of_absence_sends_nothing() {
    let bench = Bench::new().await;
    assert_eq!(word(&bench.one(bench.create_again(7, runner(7), false)).await), "unsettled");
    assert_eq!(bench.operations(), [Operation::Find, Operation::Find], "a filter and a search");
    assert_eq!(word(&bench.one(bench.create_again(7, runner(7), true)).await), "held");
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_look_up_that_lies_makes_no_second_record() {
    for how in [DuplicateCreate::Unprocessable, DuplicateCreate::ExistingContact] {
        let bench = Bench::new().await;
        bench.sim.configure(|settings| settings.duplicate_create = how);
        let id = bench.plant(json!({"name": "Old", "identifier": "ems-person-7",
            "email": "runner7@example.org", "custom_attributes": {"ems_person_id": "7"}}));
        let empty = json!({"meta": {"count": 0, "current_page": 1}, "payload": []});
        bench.sim.faults().push(Rule::new(answers(200, empty)).operation(Operation::Find));
        let result = bench.one(bench.create_again(7, runner(7), true)).await;
        assert_eq!(remote_id(&result), id, "{how:?}");
        assert_eq!(bench.sim.contact_count(), 1);
    }
}

/// A vendor's build answers 200 with the contact that has a key already: that one is no success (contract, section 8).
#[tokio::test]
async fn a_success_that_shows_another_contact_is_none() {
    let bench = Bench::new().await;
    bench.sim.configure(|settings| settings.duplicate_create = DuplicateCreate::ExistingContact);
    // Her number is taken after the look-up, and before the create is applied.
    bench.sim.faults().push(Rule::new(Fault::Delay { ms: 500 }).operation(Operation::Create));
    let mother = async {
        bench.sim.wait_for(|| bench.operations().contains(&Operation::Find)).await;
        bench.plant(json!({"name": "Mother Nkosi", "phone_number": "+27821234567"}))
    };
    let (result, mother) = tokio::join!(bench.one(bench.create(42, thandi())), mother);
    assert_eq!(word(&result), "held");
    assert_ne!(remote_id(&result), mother);
    assert!(!holds(&result, &bench.wire(42, thandi())), "without the number, which is told");
    assert_eq!(bench.contact(mother)["name"], "Mother Nkosi");
    // Somebody else's contact, whatever was applied.
    for applied in [false, true] {
        let id = if applied { 8 } else { 9 };
        let garbage = Fault::Garbage { what: Garbage::StrangersRecord, applied };
        bench.sim.faults().push(Rule::new(garbage).operation(Operation::Create));
        let result = bench.one(bench.create(id, runner(id))).await;
        assert_eq!(word(&result), if applied { "adopted" } else { "ambiguous" });
    }
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_filter_that_the_server_ignores_is_never_absence() {
    let bench = Bench::new().await;
    let strangers = json!({"meta": {"count": 1, "current_page": 1},
                           "payload": [{"id": 5, "name": "Other", "email": "other@example.org"}]});
    bench.sim.faults().push(Rule::new(answers(200, strangers)).operation(Operation::Find));
    assert_eq!(word(&bench.one(bench.create_again(7, runner(7), true)).await), "our_fault");
    for garbage in [Garbage::EmptyList, Garbage::Html, Garbage::EmptyBody, Garbage::TruncatedJson] {
        let rule = Rule::new(Fault::garbage(garbage)).operation(Operation::Find);
        bench.sim.faults().push(rule);
        let result = bench.one(bench.create_again(7, runner(7), true)).await;
        assert!(["our_fault", "transient"].contains(&word(&result)), "{garbage:?} {result:?}");
    }
    assert_eq!(bench.sim.contact_count(), 0, "nothing was created on that ground");
}

/// With the feature `crm_v2` filters do not show who has an identifier only; the search does (contract, section 0.6).
#[tokio::test]
async fn a_contact_that_filters_hide_is_found_by_the_search() {
    let bench = Bench::new().await;
    bench.sim.configure(|settings| settings.crm_v2 = true);
    let hidden = json!({"first_name": "Runner", "last_name": "1", "phone": "none"});
    let created = bench.one(bench.create(1, hidden.clone())).await;
    // Others whose identifier begins like this one.
    for id in 10..40 {
        bench.plant(json!({"name": "Other", "identifier": format!("ems-person-{id}")}));
    }
    let again = bench.one(bench.create(1, hidden)).await;
    assert_eq!((word(&again), remote_id(&again)), ("adopted", remote_id(&created)));
    // A first create with an address meets it by the refusal.
    let met = bench.one(bench.create(1, runner(1))).await;
    assert_eq!((word(&met), remote_id(&met)), ("held", remote_id(&created)));
    assert_eq!(bench.sim.contact_count(), 31);
    bench.assert_no_violation();
}

#[tokio::test]
async fn what_the_server_can_not_take_is_rejected_and_names_the_field() {
    let bench = Bench::new().await;
    let result = bench.one(bench.create(7, but(runner(7), json!({"email": "no address"})))).await;
    assert_eq!((word(&result), text(&result)), ("rejected", "422 email"));
    let long = format!("{}@example.org", "a".repeat(250));
    let result = bench.one(bench.create(7, but(runner(7), json!({"email": long})))).await;
    assert_eq!((word(&result), text(&result)), ("rejected", "422 email"));
    assert_eq!(bench.sim.contact_count(), 0);
    bench.assert_no_violation();
}

/// Only a validation keeps phone numbers apart, and two creates at once would both pass it (contract, section 2).
#[tokio::test]
async fn a_family_in_one_batch_has_its_number_once() {
    let bench = Bench::new().await;
    let member = |id: i64| but(runner(id), json!({"phone": "+27821234567"}));
    let results = bench.many((1..=6).map(|id| bench.create(id, member(id))).collect()).await;
    assert!(results.values().all(|result| word(result) == "held"), "{results:?}");
    let rows = bench.sim.rows(Resource::Contact);
    let with_number = rows.iter().filter(|row| !row.body["phone_number"].is_null()).count();
    assert_eq!((rows.len(), with_number), (6, 1));
    let told = results.iter().filter(|(id, result)| holds(result, &bench.wire(**id, member(**id))));
    assert_eq!(told.count(), 1, "the others' hashes tell that the number is missing");
    bench.assert_no_violation();
}
