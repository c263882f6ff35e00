//! Every kind of contact that a look-up may find.

use serde_json::json;

use super::*;
use crate::remote::Fields;

const ME: i64 = 7;
const OTHER: i64 = 9;

fn wanted(email: Option<&str>, phone: Option<&str>) -> Wire {
    let row = json!({"first_name": "Thandi", "last_name": "Nkosi", "email": email, "phone": phone});
    let Value::Object(row) = row else { panic!() };
    wire::to_wire(EntityRef::new(EntityType::Person, ME), &Fields::new(row)).unwrap()
}

fn both() -> Wire {
    wanted(Some("t@example.org"), Some("+27821234567"))
}

fn contact(id: i64, fields: Value) -> Contact {
    let mut contact = json!({"id": id, "name": "Thandi Nkosi", "created_at": 1});
    contact.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    Contact::read(&contact).unwrap()
}

#[derive(Debug, PartialEq)]
enum Is {
    Adopt(i64),
    Create,
    WithoutPhone,
    Ambiguous,
}

fn choice(wire: &Wire, found: &[Contact]) -> Is {
    match choose(ME, wire, found) {
        Choice::Adopt(contact) => Is::Adopt(contact.id),
        Choice::Create => Is::Create,
        Choice::CreateWithoutPhone => Is::WithoutPhone,
        Choice::Ambiguous(why) => {
            assert!(why.starts_with("ambiguous") && why.ends_with("then replay"), "{why}");
            Is::Ambiguous
        }
    }
}

#[test]
fn our_identifier_comes_before_everything_and_to_the_letter() {
    let ours = contact(1, json!({"identifier": "ems-person-7"}));
    let email = contact(2, json!({"email": "t@example.org"}));
    assert_eq!(choice(&both(), &[email.clone(), ours]), Is::Adopt(1));
    let case = contact(3, json!({"identifier": "EMS-PERSON-7"}));
    assert_eq!(choice(&both(), &[case]), Is::Create);
    assert_eq!(choice(&both(), &[email]), Is::Adopt(2));
    assert_eq!(choice(&both(), &[]), Is::Create);
}

#[test]
fn a_contact_with_the_address_is_ours_unless_it_is_somebody_elses() {
    let with = |fields: Value| {
        let mut contact = json!({"email": "t@example.org", "name": "Whoever"});
        contact.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        vec![self::contact(2, contact)]
    };
    assert_eq!(choice(&both(), &with(json!({}))), Is::Adopt(2));
    assert_eq!(
        choice(&both(), &with(json!({"identifier": "27821234567@s.whatsapp.net"}))),
        Is::Ambiguous
    );
    // Another integration took the identifier of ours.
    let taken = json!({"identifier": "jid", "custom_attributes": {"ems_person_id": "7"}});
    assert_eq!(choice(&both(), &with(taken)), Is::Adopt(2));
    for others in [
        json!({"identifier": "ems-person-9"}),
        json!({"custom_attributes": {"ems_person_id": "9"}}),
    ] {
        assert_eq!(
            choice(&both(), &with(others.clone())),
            Is::Ambiguous,
            "an edit or a merge brought it"
        );
        let given = Wire { given_up_by: vec![EntityRef::new(EntityType::Person, OTHER)], ..both() };
        assert_eq!(choice(&given, &with(others)), Is::Adopt(2), "its owner gave it up");
    }
    let taken = json!({"identifier": "jid", "custom_attributes": {"ems_person_id": "9"}});
    let given = Wire { given_up_by: vec![EntityRef::new(EntityType::Person, OTHER)], ..both() };
    assert_eq!(choice(&given, &with(taken)), Is::Ambiguous);
}

#[test]
fn a_number_alone_is_enough_only_if_the_names_agree() {
    let phone = |fields: Value| {
        let mut contact = json!({"phone_number": "+27821234567"});
        contact.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        vec![self::contact(3, contact)]
    };
    assert_eq!(choice(&both(), &phone(json!({"name": "thandi nkosi"}))), Is::Adopt(3));
    assert_eq!(choice(&both(), &phone(json!({"name": "Sipho Nkosi"}))), Is::WithoutPhone);
    assert_eq!(choice(&both(), &phone(json!({"name": ""}))), Is::WithoutPhone);
    // Father and son.
    assert_eq!(choice(&both(), &phone(json!({"email": "senior@example.org"}))), Is::WithoutPhone);
    assert_eq!(choice(&both(), &phone(json!({"identifier": "ems-person-9"}))), Is::WithoutPhone);
    assert_eq!(choice(&both(), &phone(json!({"identifier": "jid"}))), Is::Ambiguous);
    assert_eq!(
        choice(&both(), &phone(json!({"identifier": "jid", "name": "Sipho"}))),
        Is::WithoutPhone
    );
    let taken =
        json!({"identifier": "jid", "name": "Sipho", "custom_attributes": {"ems_person_id": "7"}});
    assert_eq!(choice(&both(), &phone(taken)), Is::Adopt(3));
    let mut twice = phone(json!({}));
    twice.push(contact(4, json!({"phone_number": "+27821234567"})));
    assert_eq!(choice(&both(), &twice), Is::Ambiguous);
}

/// Everything that a contact with the address may be, against whether its address may be taken off.
#[test]
fn an_address_is_taken_only_off_what_somebody_left_there() {
    let email = json!("t@example.org");
    let of = |created_at: i64, origin: &str, more: Value| {
        let mut fields = json!({"email": email, "created_at": created_at, "custom_attributes": {"ems_origin": origin}});
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        contact(2, fields)
    };
    let let_go = format!("let-go 1 {}", wire::email_digest(&email));
    let elsewhere = format!("let-go 1 {}", wire::email_digest(&json!("s@example.org")));
    let nobody = json!({});
    assert!(may_take_email(&of(1, &let_go, nobody.clone()), &both()));
    for (what, contact) in [
        ("people made it", contact(2, json!({"email": email}))),
        ("it was made at another time", of(1_000, &let_go, nobody.clone())),
        ("it had another address", of(1, &elsewhere, nobody.clone())),
        ("it is somebody's still", of(1, "made 1", nobody)),
        ("another system has it", of(1, &let_go, json!({"identifier": "jid"}))),
        ("another person has it", of(1, &let_go, json!({"identifier": "ems-person-9"}))),
    ] {
        assert!(!may_take_email(&contact, &both()), "{what}");
    }
    let given = Wire { given_up_by: vec![EntityRef::new(EntityType::Person, OTHER)], ..both() };
    let others = contact(2, json!({"email": email, "identifier": "ems-person-9"}));
    assert!(may_take_email(&others, &given) && !may_take_email(&others, &both()));
}

#[test]
fn what_we_let_go_is_no_second_one_that_fits() {
    let email = contact(2, json!({"email": "t@example.org"}));
    let phone = |origin: Option<String>| {
        contact(
            3,
            json!({"phone_number": "+27821234567", "custom_attributes": {"ems_origin": origin}}),
        )
    };
    let gone = Some(format!("let-go 1 {}", wire::email_digest(&Value::Null)));
    assert_eq!(choice(&both(), &[email.clone(), phone(gone)]), Is::Adopt(2));
    for origin in [None, Some("made 1".to_owned())] {
        assert_eq!(choice(&both(), &[email.clone(), phone(origin)]), Is::Ambiguous);
    }
}

#[test]
fn two_that_fit_are_for_a_person_to_decide_but_a_relative_is_none_of_them() {
    let email = contact(2, json!({"email": "t@example.org"}));
    let phone = contact(3, json!({"phone_number": "+27821234567", "name": "Sipho Nkosi"}));
    assert_eq!(choice(&both(), &[email.clone(), phone]), Is::Ambiguous);
    let mother = contact(4, json!({"phone_number": "+27821234567", "identifier": "ems-person-9"}));
    assert_eq!(choice(&both(), &[email, mother]), Is::Adopt(2));
    let one = contact(5, json!({"email": "t@example.org", "phone_number": "+27821234567"}));
    assert_eq!(choice(&both(), &[one]), Is::Adopt(5));
}

#[test]
fn what_is_not_there_is_found_by_nothing() {
    let nobody = contact(1, json!({"email": null, "phone_number": null}));
    assert_eq!(choice(&wanted(None, None), &[nobody]), Is::Create);
}
