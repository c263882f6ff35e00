//! The mapping: contents, golden vectors, and properties over anything.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn wire(id: i64, row: Value) -> Wire {
    let Value::Object(row) = row else { panic!("not an object") };
    to_wire(EntityRef::new(EntityType::Person, id), &Fields::new(row)).unwrap()
}

fn contact(row: &Value) -> Option<Wire> {
    from_contact(row.as_object().unwrap())
}

fn thandi() -> Value {
    json!({"first_name": " Thandi ", "last_name": "Nkosi", "email": " Thandi@Example.ORG", "phone": "+27821234567",
           "city": "Durban", "country": "ZA", "language": "zu"})
}

#[test]
fn a_person_is_sent_as_the_contract_has_a_contact() {
    assert_eq!(
        wire(42, thandi()).body,
        json!({"name": "Thandi Nkosi", "email": "thandi@example.org", "phone_number": "+27821234567",
               "identifier": "ems-person-42", "ems_person_id": "42", "city": "Durban", "country": "ZA",
               "country_code": "ZA"})
    );
    assert_eq!(
        creation(&wire(42, thandi()).body),
        *json!({"name": "Thandi Nkosi", "email": "thandi@example.org", "phone_number": "+27821234567",
                "identifier": "ems-person-42", "custom_attributes": {"ems_person_id": "42"},
                "additional_attributes": {"city": "Durban", "country": "ZA", "country_code": "ZA"}})
            .as_object()
            .unwrap()
    );
}

/// Computed by another implementation over the documented bytes: a change of these re-pushes everybody, everywhere.
#[test]
fn the_hash_and_the_key_of_a_known_person_never_change() {
    let wire = wire(42, thandi());
    assert_eq!(
        wire.hash.to_hex(),
        "f8169565477b87770867cc6fad96a145e78ab8de87e1ad3a2123c49310bbe779"
    );
    assert_eq!(
        wire.match_key.unwrap().to_hex(),
        "96a9360697bd4c6f42a1b1123abaa6706a4353e397ede89f72681e40c871f4d4"
    );
}

#[test]
fn a_create_says_nothing_of_what_is_not_there() {
    let row =
        json!({"first_name": "Thandi", "last_name": " ", "phone": "+27821234567", "email": " "});
    let body = creation(&wire(7, row).body);
    assert_eq!(
        body,
        *json!({"name": "Thandi", "phone_number": "+27821234567", "identifier": "ems-person-7",
                "custom_attributes": {"ems_person_id": "7"}})
        .as_object()
        .unwrap()
    );
}

#[test]
fn a_phone_number_is_looked_at_from_both_ends() {
    let phone = |phone: &str| {
        wire(1, json!({"first_name": "A", "last_name": "B", "phone": phone})).body[PHONE].clone()
    };
    for good in ["+27821234567", " +12 ", "+123456789012345"] {
        assert_eq!(phone(good), good.trim(), "{good}");
    }
    for bad in
        ["tel:+27821234567", "+0821", "0821234567", "+1", "+1234567890123456", "+27 82", "+", ""]
    {
        assert_eq!(phone(bad), Value::Null, "{bad}");
    }
}

#[test]
fn names_and_cities_are_cut_to_what_a_column_takes() {
    let row = json!({"first_name": "é".repeat(254), "last_name": "Nkosi", "city": "x".repeat(300)});
    let body = wire(1, row).body;
    assert_eq!(body["name"], "é".repeat(254), "no blank at the end");
    assert_eq!(body["city"], "x".repeat(255));
    let body = wire(1, json!({"first_name": "e\u{301}".repeat(300), "last_name": ""})).body;
    assert_eq!(body["name"], "é".repeat(255), "characters are counted after NFC");
}

#[test]
fn one_address_is_one_key_and_none_has_none() {
    let key = |email: Value| {
        wire(1, json!({"first_name": "A", "last_name": "B", "email": email})).match_key
    };
    assert_eq!(key(json!("A@B.org")), key(json!(" a@b.ORG ")));
    assert_ne!(key(json!("a@b.org")), key(json!("b@b.org")));
    assert_eq!((key(json!(" ")), key(Value::Null)), (None, None));
}

#[test]
fn a_contact_that_says_the_same_has_the_same_hash_whatever_else_it_holds() {
    let answer = json!({"id": 700_001, "name": "Thandi Nkosi ", "email": "thandi@example.org",
        "phone_number": "+27821234567", "identifier": "ems-person-42", "blocked": true, "thumbnail": "",
        "availability_status": "online", "created_at": 1, "last_activity_at": 2,
        "custom_attributes": {"ems_person_id": "42", "vip": true},
        "additional_attributes": {"city": "Durban", "country": "ZA", "country_code": "ZA", "company_name": "Club"}});
    let held = contact(&answer).unwrap();
    assert_eq!(held.hash, wire(42, thandi()).hash);
    assert_eq!(changes(&held.body, &wire(42, thandi()).body), Map::new());
}

#[test]
fn an_update_says_what_differs_and_nothing_else() {
    let held = contact(&json!({"name": "Thandi Nkosi", "email": null, "identifier": "",
        "custom_attributes": {"ems_person_id": 42}, "additional_attributes": {"city": "Cape Town", "country": "ZA"}}))
    .unwrap();
    let row = json!({"first_name": "Thandi", "last_name": "Nkosi", "email": "t@example.org", "country": "ZA"});
    assert_eq!(
        changes(&held.body, &wire(42, row).body),
        *json!({"email": "t@example.org", "identifier": "ems-person-42",
                "custom_attributes": {"ems_person_id": "42"},
                "additional_attributes": {"city": null, "country_code": "ZA"}})
        .as_object()
        .unwrap(),
        "a number is no text, what is gone is cleared, a blank identifier is replaced and never sent"
    );
}

#[test]
fn a_column_of_another_form_is_no_contact_but_attributes_may_hold_anything() {
    for odd in [
        json!({"name": 7}),
        json!({"email": ["a"]}),
        json!({"phone_number": {}}),
        json!({"identifier": true}),
    ] {
        assert_eq!(contact(&odd), None, "{odd}");
    }
    for odd in [json!(7), json!(["a"]), json!({"name": "ZA"}), json!(true)] {
        let row = json!({"name": "A", "custom_attributes": odd, "additional_attributes": {"country": odd}});
        assert_eq!(contact(&row).unwrap().body["country"], odd);
    }
}

#[test]
fn of_what_a_contact_holds_bounded_texts_are_taken_in_and_the_hash_is_that_of_the_whole() {
    let held = contact(&json!({"name": "Thandi\r\nNkosi\u{0}", "email": null,
        "custom_attributes": {"ems_person_id": 42},
        "additional_attributes": {"city": ["Durban"], "country": "x".repeat(5_000)}}))
    .unwrap();
    let taken = taken_in(&held);
    assert_eq!(
        taken.body,
        json!({"name": "Thandi  Nkosi", "email": null, "phone_number": null, "identifier": null, "ems_person_id": false,
               "city": false, "country": "x".repeat(1_000), "country_code": null})
    );
    assert_eq!(taken.hash, held.hash);
}

#[test]
fn where_the_pages_write_a_countrys_name_the_code_stands_for_both() {
    let country = |country: Value, code: Value| {
        let held = contact(
            &json!({"name": "A", "additional_attributes": {"country": country, "country_code": code}}),
        );
        let body = taken_in(&held.unwrap()).body;
        (body["country"].clone(), body["country_code"].clone())
    };
    let table = [
        (json!("Namibia"), json!("NA"), (json!("NA"), json!("NA"))),
        (json!(null), json!("NA"), (json!("NA"), json!("NA"))),
        (json!("KE"), json!("NA"), (json!("KE"), json!("NA"))),
        (json!("Namibia"), json!("Namibia"), (json!("Namibia"), json!("Namibia"))),
        (json!("KE"), json!(null), (json!("KE"), json!(null))),
        (json!(null), json!(null), (json!(null), json!(null))),
    ];
    for (name, code, both) in table {
        assert_eq!(country(name.clone(), code.clone()), both, "{name} {code}");
    }
}

#[test]
fn identifiers_are_read_to_the_letter() {
    assert_eq!(person_of_identifier(&identifier(i64::MAX)), Some(i64::MAX));
    for foreign in [
        "ems-person-",
        "ems-person-042",
        "ems-person-+1",
        "Ems-person-1",
        "ems-person-1 ",
        "42",
        "x@s.net",
    ] {
        assert_eq!(person_of_identifier(foreign), None, "{foreign}");
    }
}

#[test]
fn names_agree_without_case_and_blanks_and_nobody_agrees_with_nobody() {
    let agree =
        |one: &str, other: &str| names_agree(&json!({"name": one}), &json!({"name": other}));
    assert!(agree("Thandi  NKOSI", " thandi nkosi"));
    assert!(!agree("Thandi Nkosi", "Sipho Nkosi"));
    assert!(!agree("", " "));
}

#[test]
fn what_can_not_be_mapped_is_named_by_column_never_by_value() {
    let row = json!({"first_name": "canary", "last_name": "canary", "email": ["canary"]});
    let Value::Object(row) = row else { panic!() };
    let entity = EntityRef::new(EntityType::Person, 1);
    let error = to_wire(entity, &Fields::new(row)).unwrap_err();
    assert_eq!(error.column, "email");
    assert!(!error.to_string().contains("canary"));
}

pub(in super::super) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("(city|country|ems_person_id|x)", inner, 0..4)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

fn any_contact() -> impl Strategy<Value = Value> {
    let names = "(name|email|phone_number|identifier|custom_attributes|additional_attributes)";
    prop::collection::btree_map(names, any_json(), 0..6)
        .prop_map(|fields| Value::Object(fields.into_iter().collect()))
}

/// The contact as the server has it after a body was sent, merged as the contract says.
fn after(contact: &Value, body: &Map<String, Value>) -> Value {
    let mut after = contact.clone();
    for (name, value) in body {
        match (after.get_mut(name), value) {
            (Some(Value::Object(held)), Value::Object(sent)) => held.extend(sent.clone()),
            (_, value) => after[name] = value.clone(),
        }
    }
    after
}

proptest! {
    /// Nothing that a projection or a contact may hold makes the mapping panic.
    #[test]
    fn mapping_is_total(id in any::<i64>(), values in prop::collection::vec(any_json(), 7), contact in any_contact()) {
        let names = ["first_name", "last_name", "email", "phone", "city", "country", "language"];
        let row: Map<String, Value> = names.iter().map(|name| (*name).to_owned()).zip(values).collect();
        for entity_type in EntityType::ALL {
            to_wire(EntityRef::new(entity_type, id), &Fields::new(row.clone())).ok();
        }
        if let Some(held) = from_contact(contact.as_object().unwrap()) {
            let taken = taken_in(&held);
            prop_assert_eq!(taken.hash, held.hash);
            prop_assert_eq!(taken.body.as_object().unwrap().len(), FIELDS.len());
            for value in taken.body.as_object().unwrap().values() {
                match value.as_str() {
                    Some(text) => prop_assert!(!text.contains(char::is_control), "{:?}", text),
                    None => prop_assert!(value.is_null() || *value == json!(false), "{}", value),
                }
            }
        }
    }

    /// Obligation 7: the normal form of a normal form is itself.
    #[test]
    fn normalising_twice_changes_nothing(text in any::<String>()) {
        for form in [Form::Name, Form::Email, Form::Text, Form::ShortText] {
            let once = normalise(form, &text).unwrap_or_default();
            prop_assert_eq!(normalise(form, &once).unwrap_or_default(), once);
        }
    }

    /// What is sent brings any contact to what is wanted, and then there is nothing left to send.
    #[test]
    fn the_changes_of_any_contact_make_it_what_is_wanted(
        id in 1_i64..1000, first in any::<String>(), last in any::<String>(), email in "[ -~]{0,12}", city in any::<String>(),
        held in any_contact(),
    ) {
        let wanted = wire(id, json!({"first_name": first, "last_name": last, "email": email, "city": city}));
        let created = Value::Object(creation(&wanted.body));
        prop_assert_eq!(&contact(&created).unwrap().hash, &wanted.hash);
        if let Some(form) = contact(&held) {
            let after = contact(&after(&held, &changes(&form.body, &wanted.body))).unwrap();
            prop_assert_eq!(&after.body, &wanted.body);
            prop_assert_eq!(changes(&after.body, &wanted.body), Map::new());
        }
    }
}
