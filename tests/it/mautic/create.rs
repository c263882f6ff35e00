//! One contact per person (obligation 5), and success only when it is proven (obligation 2). Contract, sections 2 and 3.

use ems_sync::remote::PushResult;
use ems_sync_remotes::mautic::{DedupeCheck, UniqueOperator, contact_without_id};
use ems_sync_remotes::{Fault, Garbage, Operation, Rule};
use serde_json::json;

use super::bench::{
    Bench, answers, create, email, found, push, remote_hash, remote_id, runner, word,
};

#[tokio::test]
async fn a_create_looks_for_the_address_and_names_the_contact_that_it_made() {
    let bench = Bench::new().await;
    let result = bench.one(bench.create(7, "Nkosi")).await;
    let contact = bench.sim.contact_of("7").unwrap();
    let expected = PushResult::Held {
        remote_id: contact.id.to_string(),
        remote_hash: bench.wire(7, "Nkosi").hash,
        written: true,
        carried: Vec::new(),
        left_to: None,
    };
    assert_eq!(result, expected);
    assert_eq!(bench.operations(), [Operation::Find, Operation::Create]);
    assert_eq!(contact.email(), Some("runner7+club@example.org"));
    bench.assert_no_violation();
}

/// Every field of the mapping goes and comes back with the hash that was sent, also where a validation, a default or PHP's
/// types could change it (obligation 7).
#[tokio::test]
async fn every_field_comes_back_with_the_hash_that_was_sent() {
    let bench = Bench::new().await;
    let fields = json!({
        "title": "Dr", "first_name": " Ngũgĩ ", "last_name": "O'Brien", "email": " Ngugi@Example.ORG ",
        "phone": "+27 82 123 4567", "city": "Pietermaritzburg", "postal_code": "0001", "country": "ZA",
        "language": "en-ZA", "email_opted_in": true, "email_preference_on": "2026-01-02T03:04:05Z",
        "sms_opted_in": false, "sms_preference_on": "2026-01-02T03:04:05Z",
    });
    let wire = bench.wire_of(7, fields);
    let made = bench.one(create(7, wire.clone())).await;
    assert_eq!(remote_hash(&made), wire.hash);
    let contact = bench.sim.contact_of("7").unwrap();
    for (alias, value) in [
        ("title", "Dr"),
        ("firstname", "Ngũgĩ"),
        ("lastname", "O'Brien"),
        ("email", "ngugi@example.org"),
        ("mobile", "+27821234567"),
        ("city", "Pietermaritzburg"),
        ("zipcode", "0001"),
        ("country", "South Africa"),
        ("preferred_locale", "en_ZA"),
    ] {
        assert_eq!(contact.text(alias), Some(value), "{alias}");
    }
    assert_eq!(contact.do_not_contact_reason("sms"), Some(3));
    assert_eq!(contact.do_not_contact_reason("email"), None);
    // Fewer fields: each of the others is cleared.
    let fewer = bench.wire_of(7, runner(7, "Only"));
    let edited = bench.one(super::bench::update(7, contact.id, fewer.clone())).await;
    let after = bench.contact(contact.id);
    for alias in ["title", "mobile", "city", "zipcode", "country", "preferred_locale"] {
        assert_eq!(after.text(alias), None, "{alias}");
    }
    // Nothing is said of SMS any more: what we entered stays, and is no difference.
    assert_eq!(after.do_not_contact_reason("sms"), Some(3));
    assert_ne!(remote_hash(&edited), fewer.hash, "it shows");
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_contact_of_our_address_without_an_ems_id_is_adopted_and_written_exactly() {
    let bench = Bench::new().await;
    let lead = bench.plant_row(json!({ "email": email(7), "city": "Old", "points": 5 }));
    bench.sim.unsubscribe(lead, "sms");
    let result = bench.one(bench.create(7, "Nkosi")).await;
    assert_eq!((word(&result), remote_id(&result)), ("held", lead));
    let contact = bench.contact(lead);
    assert_eq!((contact.ems_person_id(), contact.text("city")), (Some("7"), None));
    assert_eq!((contact.points, contact.do_not_contact_reason("sms")), (5, Some(1)));
    assert_eq!(bench.operations(), [Operation::Find, Operation::Patch]);
    assert_eq!(bench.sim.contact_count(), 1);
    bench.assert_no_violation();
}

/// The look-up saw nothing, and yet there is a contact when the POST arrives: it is met by Mautic, and written exactly.
#[tokio::test]
async fn a_create_that_meets_a_contact_after_all_clears_what_is_blank() {
    let bench = Bench::new().await;
    let lead = bench.plant_row(json!({ "email": email(7), "city": "Old" }));
    let nothing = answers(200, json!({ "total": "0", "contacts": {} }));
    bench.sim.faults().push(Rule::new(nothing).operation(Operation::Find));
    let result = bench.one(bench.create(7, "Nkosi")).await;
    assert_eq!((word(&result), remote_id(&result)), ("held", lead));
    assert_eq!(bench.contact(lead).text("city"), None);
    assert_eq!(bench.sim.contact_count(), 1);
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_default_that_mautic_has_for_a_blank_field_is_cleared() {
    let bench = Bench::new().await;
    bench
        .sim
        .plant_field(json!({ "alias": "city", "type": "text", "default": "Somewhere" }))
        .unwrap();
    let result = bench.one(bench.create(7, "Nkosi")).await;
    assert_eq!(remote_hash(&result), bench.wire(7, "Nkosi").hash);
    assert_eq!(bench.sim.contact_of("7").unwrap().text("city"), None);
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_contact_that_holds_the_right_content_is_adopted_without_a_write() {
    let bench = Bench::new().await;
    let id = bench.plant(7, "Nkosi");
    let result = bench.one(bench.create_again(7, "Nkosi", false)).await;
    assert_eq!((word(&result), remote_id(&result)), ("adopted", id));
    assert_eq!(bench.operations(), [Operation::Find, Operation::Find]);
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_create_whose_answer_was_lost_is_looked_up_before_anything_is_sent_again() {
    let bench = Bench::new().await;
    for (id, fault) in [
        (7, Fault::CommitThenDrop),
        (8, Fault::Garbage { what: Garbage::EmptyBody, applied: true }),
        (9, contact_without_id()),
    ] {
        bench.sim.faults().push(Rule::new(fault).operation(Operation::Create));
        assert_eq!(word(&bench.one(bench.create(id, "Nkosi")).await), "ambiguous");
        let result = bench.one(bench.create_again(id, "Nkosi", false)).await;
        assert_eq!(word(&result), "adopted");
        assert_eq!(bench.sim.contacts_of(&id.to_string()).len(), 1);
    }
    bench.assert_no_violation();
}

#[tokio::test]
async fn an_empty_look_up_without_proof_of_absence_writes_nothing() {
    let bench = Bench::new().await;
    assert_eq!(word(&bench.one(bench.create_again(7, "Nkosi", false)).await), "unsettled");
    assert_eq!(bench.writes(), 0);
    assert_eq!(word(&bench.one(bench.create_again(7, "Nkosi", true)).await), "held");
    assert_eq!(bench.writes(), 1);
    bench.assert_no_violation();
}

/// Two creates of one person under way at once have made two contacts (section 3): the next push leaves one.
#[tokio::test]
async fn two_contacts_of_one_person_become_one() {
    let bench = Bench::new().await;
    for operator in [UniqueOperator::Or, UniqueOperator::And] {
        bench.sim.configure(|settings| settings.unique_operator = operator);
        bench.sim.wipe();
        let first = bench.plant(7, "Nkosi");
        let second = bench.plant(7, "Nkosi");
        bench.sim.unsubscribe(second, "email");
        let result = bench.one(bench.create_again(7, "Nkosi", true)).await;
        assert_eq!((word(&result), remote_id(&result)), ("held", first));
        assert_eq!(bench.sim.contacts_of("7").len(), 1);
        assert_eq!(bench.contact(first).do_not_contact_reason("email"), Some(1), "it is kept");
        // Also by an update, as the read-backs after a lost answer make them.
        bench.plant(7, "Nkosi");
        assert_eq!(word(&bench.one(bench.update(7, first, "Nkosi")).await), "held");
        assert_eq!(bench.sim.contacts_of("7").len(), 1);
    }
    bench.assert_no_violation();
}

/// The first create lands after the second: nothing at Mautic keeps the two from making two contacts.
#[tokio::test]
async fn a_late_create_makes_a_twin_that_the_read_back_takes_in() {
    let bench = Bench::impatient().await;
    bench.sim.configure(|settings| settings.dedupe_check = DedupeCheck::OnArrival);
    let late = Fault::delay(std::time::Duration::from_millis(900));
    bench.sim.faults().push(Rule::new(late).operation(Operation::Create));
    assert_eq!(word(&bench.one(bench.create(7, "Nkosi")).await), "ambiguous");
    let result = bench.one(bench.create_again(7, "Nkosi", true)).await;
    let id = remote_id(&result);
    let both = bench.sim.wait_for(|| bench.sim.contacts_of("7").len() == 2);
    tokio::time::timeout(super::bench::PATIENCE, both).await.expect("the late one lands");
    assert_eq!(word(&bench.one(bench.update(7, id, "Nkosi")).await), "held");
    assert_eq!(bench.sim.contacts_of("7").len(), 1);
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_look_up_that_is_no_list_or_ignores_its_filter_is_never_absence() {
    let bench = Bench::new().await;
    let stranger = bench.plant(55, "Other");
    let others = bench.sim.contact(stranger).unwrap();
    let filtered = Fault::garbage(Garbage::StrangersRecord);
    for (fault, class) in [
        (filtered, "our_fault"),
        (Fault::garbage(Garbage::EmptyList), "transient"),
        (Fault::garbage(Garbage::Html), "transient"),
        (Fault::garbage(Garbage::TruncatedJson), "transient"),
        (answers(200, json!({ "contacts": {} })), "transient"),
        (answers(200, json!({ "total": "1", "contacts": { "3": [] } })), "transient"),
        (answers(200, json!({ "total": "2", "contacts": {} })), "transient"),
    ] {
        for key in [true, false] {
            let rule = Rule::new(fault.clone()).operation(Operation::Find).unlimited();
            let rule = bench.sim.faults().push(rule);
            let push = if key { bench.create_again(7, "N", true) } else { bench.create(7, "N") };
            assert_eq!(word(&bench.one(push).await), class, "{fault:?}");
            bench.sim.faults().remove(rule);
        }
    }
    assert_eq!(bench.writes(), 0);
    assert_eq!(bench.sim.contact(stranger).unwrap(), others);
}

#[tokio::test]
async fn an_answer_that_names_another_contact_is_never_success() {
    let bench = Bench::new().await;
    let id = bench.plant(7, "Nkosi");
    let stranger = bench.plant(55, "Other");
    let strange = || Rule::new(Fault::garbage(Garbage::StrangersRecord)).writes();
    bench.sim.faults().push(strange());
    assert_eq!(word(&bench.one(bench.create(8, "New")).await), "stale_mapping");
    bench.sim.faults().push(strange());
    assert_eq!(word(&bench.one(bench.update(7, id, "New")).await), "stale_mapping");
    for answer in
        [json!({}), json!([]), json!(null), json!({"contact": []}), json!({"contact": {"id": id}})]
    {
        bench.sim.faults().push(Rule::new(answers(200, answer.clone())).writes());
        assert_eq!(word(&bench.one(bench.create(8, "New")).await), "ambiguous", "{answer}");
        bench.sim.faults().push(Rule::new(answers(200, answer.clone())).writes());
        let result = bench.one(bench.update(7, id, "New")).await;
        assert_eq!(word(&result), "ambiguous", "{answer}");
    }
    assert_eq!(bench.contact(stranger).text("lastname"), Some("Other"));
}

/// What was found out is kept, though the write after it fails (obligation 9).
#[tokio::test]
async fn an_adoption_that_fails_names_what_it_found() {
    let bench = Bench::new().await;
    let id = bench.plant(7, "Old");
    bench.sim.faults().push(Rule::new(Fault::status(500)).operation(Operation::Patch));
    let result = bench.one(bench.create_again(7, "New", true)).await;
    assert_eq!((word(&result), found(&result)), ("transient", Some(id)));
    // The contact is made, and what follows fails: it is not made again.
    let out = bench.wire_of(8, super::bench::says(8, Some(false), jiff::Timestamp::now()));
    bench.sim.faults().push(Rule::new(Fault::status(503)).operation(Operation::Patch));
    let result = bench.one(create(8, out.clone())).await;
    let made = bench.sim.contact_of("8").unwrap().id;
    assert_eq!((word(&result), found(&result)), ("transient", Some(made)));
    let again = ems_sync::remote::Look::First { absence_is_proof: false };
    let push = push(8, ems_sync::remote::Action::Create { wire: out, look: again });
    assert_eq!(word(&bench.one(push).await), "held");
    assert_eq!(bench.contact(made).do_not_contact_reason("email"), Some(3));
    bench.assert_no_violation();
}
