//! The mapping of registrations and persons: what is sent, what is held, and that neither depends on spelling.

use proptest::prelude::*;

use super::*;

fn fields() -> Map<String, Value> {
    let fields = json!({
        "race_id": 3, "person_id": 5, "number": "0042", "first_name": " Zoe\u{308} ", "last_name": "O'Brien",
        "email": "Zoe@Example.org", "phone": "+18568501510", "date_of_birth": "1986-01-06", "gender": "FEMALE",
        "address_line": "1 Main St", "city": "Trenton", "province": "nj", "postal_code": "08057",
        "country": "US"});
    fields.as_object().unwrap().clone()
}

fn wire(fields: Map<String, Value>) -> Result<Wire, Unmappable> {
    let race = EntityRef::new(EntityType::Race, 3);
    let parents = RemoteIds::from([(race, "72".to_owned())]);
    to_wire(EntityRef::new(EntityType::EventParticipant, 9), &Fields::new(fields), &parents)
}

fn content(fields: Map<String, Value>) -> Content {
    Content::of(&wire(fields).unwrap()).unwrap().0
}

fn row() -> Value {
    json!({"registration_id": 7, "bib_num": 42, "user": {"user_id": 1, "first_name": "Zoë", "last_name": "O'Brien",
        "email": "zoe@example.org", "dob": "1986-01-06", "gender": "F", "phone": "856-850-1510",
        "address": {"street": "1 Main St", "city": "Trenton", "state": "NJ", "zipcode": "08057",
                    "country_code": "US"}}})
}

#[test]
fn a_row_that_holds_what_the_ems_has_is_hashed_alike() {
    let held = from_row(row().as_object().unwrap(), 72, true).unwrap();
    assert_eq!(held.hash(), wire(fields()).unwrap().hash);
    assert!(changes(&sendable(&content(fields()), Refused::default()), &held).is_empty());
}

/// A change of this re-pushes every registration everywhere.
#[test]
fn the_hash_of_known_content_never_changes() {
    let expected = "4932238cef10cb037c10e151ee32bf8220f87acf60447c29654f2f43b5701865";
    assert_eq!(wire(fields()).unwrap().hash.to_hex(), expected);
}

#[test]
fn whose_it_is_stands_in_the_body_and_not_in_the_hash() {
    let mut other = fields();
    other["person_id"] = json!(6);
    let (one, other) = (wire(fields()).unwrap(), wire(other).unwrap());
    assert_eq!(one.hash, other.hash);
    let (_, ems) = Content::of(&other).unwrap();
    assert_eq!((ems.participant.id, ems.person.id), (9, 6));
}

#[test]
fn an_edit_says_what_differs_clears_with_null_and_never_speaks_of_the_email() {
    let held = from_row(row().as_object().unwrap(), 72, true).unwrap();
    let mut other = fields();
    other["last_name"] = json!("Brien");
    other["email"] = json!("new@example.org");
    other["phone"] = json!(null);
    other["number"] = json!(null);
    other["city"] = json!(null);
    let row = Value::Object(changes(&content(other), &held));
    let expected = json!({"bib_num": null,
                          "user": {"last_name": "Brien", "phone": null, "address": {"city": null}}});
    assert_eq!(row, expected);
}

#[test]
fn a_new_row_has_the_email_and_nothing_that_is_empty() {
    let mut few = fields();
    for column in ["phone", "address_line", "city", "province", "postal_code", "country", "gender"]
    {
        few[column] = json!(null);
    }
    let expected = json!({"bib_num": 42, "user": {"first_name": "Zoë", "last_name": "O'Brien",
                          "email": "zoe@example.org", "dob": "1986-01-06"}});
    assert_eq!(Value::Object(new_row(&content(few))), expected);
}

/// Contract, section 7a: "Bibs are numbers"; section 5: states of two letters.
#[test]
fn what_runsignup_can_not_hold_is_wanted_and_not_sent() {
    let mut african = fields();
    african["number"] = json!("A12");
    african["province"] = json!("Gauteng");
    african["phone"] = json!("+27821234567");
    let wanted = content(african);
    assert_eq!(wanted.bib_num.as_deref(), Some("A12"));
    let sent = sendable(&wanted, Refused::default());
    assert_eq!((sent.bib_num.clone(), sent.state.clone()), (None, None));
    assert_eq!(new_row(&sent)["user"]["phone"], "+27821234567");
    assert_eq!(sendable(&wanted, Refused { phone: true, state: false }).phone, None);
    assert_ne!(sent.hash(), wanted.hash());
}

#[test]
fn a_column_that_can_not_be_expressed_is_named() {
    for (column, odd) in [
        ("race_id", json!(null)),
        ("race_id", json!(4)),
        ("person_id", json!("x")),
        ("first_name", json!("  ")),
        ("last_name", json!(null)),
        ("gender", json!("OTHER")),
        ("date_of_birth", json!("yesterday")),
        ("number", json!([1])),
        ("city", json!(7)),
    ] {
        let mut fields = fields();
        fields[column] = odd;
        let unmappable = wire(fields).unwrap_err();
        assert_eq!(unmappable.column, column);
        assert!(!unmappable.to_string().contains("Brien"));
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        Just(json!([1])),
        Just(json!({"street": 1})),
    ]
}

proptest! {
    /// No projection and no row makes it panic.
    #[test]
    fn the_mapping_is_total(values in prop::collection::vec(any_json(), 14)) {
        let mut fields = fields();
        for (value, slot) in values.iter().zip(fields.values_mut()) {
            *slot = value.clone();
        }
        if let Ok(wire) = wire(fields) {
            prop_assert!(Content::of(&wire).is_some());
        }
        let mut row = row();
        for (value, slot) in values.iter().zip(row["user"].as_object_mut().unwrap().values_mut()) {
            *slot = value.clone();
        }
        row["bib_num"] = values[13].clone();
        from_row(row.as_object().unwrap(), 72, true);
    }

    /// What is sent and held as it was sent is wanted no more, and its hash is the hash of what was wanted.
    #[test]
    fn what_was_sent_comes_back_with_the_same_hash(
        texts in prop::collection::vec("[a-zA-Z0-9@. éß'-]{0,12}", 7),
        bib in prop::option::of(0_u32..100_000),
        phone in prop::option::of("\\+1[0-9]{10}|\\+27[0-9]{9}"),
        state in prop::option::of("[a-zA-Z]{2}"),
    ) {
        let mut wanted = fields();
        wanted["number"] = json!(bib.map(|bib| bib.to_string()));
        wanted["first_name"] = json!(format!("A{}", texts[0]));
        wanted["last_name"] = json!(format!("B{}", texts[1]));
        wanted["email"] = json!(texts[2]);
        wanted["address_line"] = json!(texts[3]);
        wanted["city"] = json!(texts[4]);
        wanted["postal_code"] = json!(texts[5]);
        wanted["phone"] = json!(phone);
        wanted["province"] = json!(state);
        let wanted = content(wanted);
        let sent = sendable(&wanted, Refused::default());
        prop_assert_eq!(&sent, &wanted);
        let mut row = new_row(&sent);
        let user = row["user"].as_object_mut().unwrap();
        user.insert("user_id".to_owned(), json!(1));
        let held = from_row(&row, 72, true).unwrap();
        prop_assert_eq!(held.hash(), wanted.hash());
        prop_assert!(changes(&sent, &held).is_empty());
    }
}

proptest! {
    /// Whatever RunSignup shows is read or refused; what is read has a content that is bounded and free of NUL.
    #[test]
    fn every_row_is_read_or_refused(part in "user|address|bib_num|first_name|email|phone|dob|gender|state", text in "[\\PC\\x00]{0,9}",
                                    n in any::<i64>(), copies in 1_usize..900) {
        let long = text.repeat(copies);
        for value in [json!(null), json!(long), json!(n), json!([n]), json!({"street": long, "state": n})] {
            let mut odd = row();
            match part.as_str() {
                "user" | "bib_num" => odd[part.as_str()] = value,
                "state" => odd["user"]["address"]["state"] = value,
                part => odd["user"][part] = value,
            }
            if let Some(content) = from_row(odd.as_object().unwrap(), 72, true) {
                let body = content.wire().body;
                for (_, held) in body.as_object().unwrap() {
                    let held = held.as_str().unwrap_or_default();
                    prop_assert!(held.chars().count() <= crate::limits::INBOUND_TEXT_CHARS_MAX && !held.contains('\0'));
                }
            }
        }
    }
}
