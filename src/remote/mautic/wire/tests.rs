//! The mapping by example and by property: golden hashes, normal forms, and what is no difference.

use proptest::prelude::*;
use serde_json::json;

use super::super::consent::{MANUAL, comment};
use super::*;

fn fields(value: Value) -> Fields {
    let Value::Object(map) = value else { panic!("not an object") };
    Fields::new(map)
}

const PERSON: EntityRef = EntityRef::new(EntityType::Person, 42);

fn wire(value: Value) -> Wire {
    to_wire(PERSON, &fields(value)).unwrap()
}

fn person() -> Value {
    json!({
        "title": "Dr", "first_name": " Zoe\u{308} ", "last_name": "O'Brien", "email": " Zoe@Example.ORG ",
        "phone": "+27 82 123 4567", "city": "Durban", "postal_code": "0001", "country": "ZA",
        "language": "en-ZA", "email_opted_in": false, "email_preference_on": "2026-01-02T03:04:05.6Z",
        "sms_opted_in": true, "sms_preference_on": "2026-01-02T05:04:05.600+02:00",
    })
}

#[test]
fn a_person_is_a_contact_and_what_the_ems_says_of_each_channel() {
    assert_eq!(
        wire(person()).body,
        json!({
            "ems_person_id": "42", "title": "Dr", "firstname": "Zo\u{eb}", "lastname": "O'Brien",
            "email": "zoe@example.org", "mobile": "+27821234567", "city": "Durban", "zipcode": "0001",
            "country": "South Africa", "preferred_locale": "en_ZA",
            "dnc_email": "opted_out", "dnc_email_opted_in_on": null,
            "dnc_sms": "opted_in", "dnc_sms_opted_in_on": "2026-01-02T03:04:05.6Z",
            "ems": { "email": "2026-01-02T03:04:05.6Z" },
        })
    );
}

/// Golden: a change of it re-pushes every contact.
#[test]
fn the_hashes_of_a_known_person_never_change() {
    let wire = wire(person());
    let key = wire.match_key.unwrap().to_hex();
    assert_eq!(
        (wire.hash.to_hex().as_str(), key.as_str()),
        (GOLDEN.0, GOLDEN.1),
        "raise the mapping's version with it"
    );
}

/// Computed by another implementation over the documented bytes.
const GOLDEN: (&str, &str) = (
    "0ebaca23ed803c761c79289d1f5b1ae48fcac53bb1a2c233267e15a252098515",
    "8ef9909e8ac21fbb5ba72769ef3c2b933e416f8987bee49ab1a98985e7ee5a46",
);

#[test]
fn the_bodies_hold_what_is_sent_and_nothing_that_mautic_drops() {
    let wire = wire(json!({"first_name": "A", "email": "a@example.org", "city": "0"}));
    assert_eq!(
        to_create(&wire),
        json!({"ems_person_id": "42", "firstname": "A", "email": "a@example.org"})
    );
    let edit = Value::Object(to_edit(&wire));
    assert_eq!(
        edit,
        json!({"ems_person_id": "42", "title": "", "firstname": "A", "lastname": "",
               "email": "a@example.org", "mobile": "", "city": "", "zipcode": "", "country": "",
               "preferred_locale": "", "overwriteWithBlank": true})
    );
}

#[test]
fn what_mautic_has_no_word_for_is_left_out_and_an_address_is_not() {
    let odd = wire(json!({"email": "a@example.org", "country": "XX", "language": "x-klingon",
                          "phone": "082 123 4567", "title": " "}));
    for alias in ["country", "preferred_locale", "mobile", "title"] {
        assert_eq!(odd.body[alias], Value::Null, "{alias}");
    }
    for email in ["canary", "", "zo\u{eb}@example.org"] {
        let error = to_wire(PERSON, &fields(json!({ "email": email }))).unwrap_err();
        assert_eq!(error.column, "email");
        assert!(!error.to_string().contains("canary"));
    }
    let organisation = EntityRef::new(EntityType::Organisation, 1);
    assert!(to_wire(organisation, &fields(person())).is_err());
}

#[test]
fn persons_of_one_address_have_one_key() {
    let key = |email: &str| wire(json!({ "email": email })).match_key.unwrap();
    assert_eq!(key("A@example.org "), key("a@example.org"));
    assert_ne!(key("a@example.org"), key("b@example.org"));
}

#[test]
fn an_answer_that_says_the_same_has_the_same_hash() {
    let wanted = wire(person());
    let answer = json!({"id": 7, "points": 0, "ems_person_id": 42, "title": "Dr", "firstname": "Zoe\u{308}",
        "lastname": "O'Brien", "email": "Zoe@example.org", "mobile": "+27821234567", "city": "Durban",
        "zipcode": "0001", "country": "South Africa", "preferred_locale": "en_ZA", "fax": null});
    let content = from_answer(answer.as_object().unwrap()).unwrap();
    let entries = [ours("email")];
    assert_eq!(held_wire(&content, &entries, Some(&wanted)).hash, wanted.hash);
    assert!(has_content(&content, &wanted));
    let blank = from_answer(json!({"title": [], "city": "", "zipcode": null}).as_object().unwrap());
    assert!(blank.unwrap().values().all(Value::is_null));
}

fn ours(channel: &str) -> Entry {
    entry(channel, MANUAL, &comment(None))
}

fn theirs(channel: &str) -> Entry {
    entry(channel, 1, "")
}

fn entry(channel: &str, reason: i64, comments: &str) -> Entry {
    let entry = json!({"channel": channel, "reason": reason, "comments": comments,
                       "dateAdded": "2026-01-01T00:00:00+00:00"});
    Entry::read(&entry, 0).unwrap()
}

/// A restriction of Mautic's own is no eternal difference, one that is missing is one, and an opt-in that was not heeded
/// is seen.
#[test]
fn what_mautic_forbids_besides_is_no_difference() {
    let said = |opted_in: Value| {
        wire(json!({"email": "a@example.org", "email_opted_in": opted_in,
                    "email_preference_on": "2026-01-02T00:00:00Z"}))
    };
    let table = [
        (json!(null), vec![], true),
        (json!(null), vec![ours("email")], true),
        (json!(null), vec![theirs("email")], true),
        (json!(true), vec![], true),
        (json!(true), vec![theirs("email")], true),
        (json!(true), vec![ours("email")], false),
        (json!(false), vec![], false),
        (json!(false), vec![ours("email")], true),
        (json!(false), vec![theirs("email")], true),
        (json!(false), vec![ours("sms")], false),
    ];
    for (opted_in, entries, expected) in table {
        let wanted = said(opted_in.clone());
        let all = json!({"ems_person_id": "42", "email": "a@example.org"});
        let content = from_answer(all.as_object().unwrap()).unwrap();
        let held = held_wire(&content, &entries, None);
        assert_eq!(is_as_wanted(&wanted, &held), expected, "{opted_in} {entries:?}");
        let named: &[&str] = if expected { &[] } else { &["dnc_email"] };
        assert_eq!(differing_fields(&wanted, &held), named, "{opted_in} {entries:?}");
        let other = from_answer(
            json!({"ems_person_id": "42", "email": "b@example.org"}).as_object().unwrap(),
        );
        assert!(!is_as_wanted(&wanted, &held_wire(&other.unwrap(), &entries, None)));
        // What the push writes down agrees with the data hash exactly where nothing more is forbidden than is wanted.
        let agrees = held_wire(&content, &entries, Some(&wanted)).hash == wanted.hash;
        assert_eq!(agrees, expected && (opted_in == json!(false) || entries.is_empty()));
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
        Just(json!("a@example.org")),
        Just(json!("2026-01-01T00:00:00Z")),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| prop::collection::vec(inner, 0..3).prop_map(Value::from))
}

proptest! {
    /// Nothing that a projection or an answer may hold makes the mapping panic, and what comes out is a normal form.
    #[test]
    fn mapping_is_total_and_idempotent(values in prop::collection::vec(any_json(), 14)) {
        let columns = FIELDS.iter().map(|field| field.column)
            .chain(Channel::ALL.into_iter().flat_map(|c| <[&str; 2]>::from(consent_columns(c))));
        let row: Map<String, Value> =
            columns.map(str::to_owned).zip(values.iter().cloned()).collect();
        if let Ok(wire) = to_wire(PERSON, &Fields::new(row)) {
            let content = from_answer(wire.body.as_object().unwrap()).unwrap();
            prop_assert!(has_content(&content, &wire));
            for value in to_edit(&wire).values() {
                prop_assert!(value.is_string() || *value == json!(true));
            }
        }
        let all: Map<String, Value> =
            aliases().map(str::to_owned).zip(values.iter().cloned()).collect();
        if let Some(content) = from_answer(&all) {
            prop_assert_eq!(from_answer(&content), Some(content.clone()));
            let held = held_wire(&content, &[], None);
            prop_assert!(held.hash == held_wire(&content, &[], None).hash);
        }
    }
}
