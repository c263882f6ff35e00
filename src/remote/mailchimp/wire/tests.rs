//! The mapping of a person to the lists, and what counts as a difference.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::entity::EntityType;

const PERSON: EntityRef = EntityRef::new(EntityType::Person, 42);

fn fields(value: Value) -> Fields {
    let Value::Object(map) = value else { panic!("not an object") };
    Fields::new(map)
}

fn lists() -> BTreeMap<String, String> {
    BTreeMap::from([("news".to_owned(), "a1".to_owned()), ("club".to_owned(), "b2".to_owned())])
}

fn row(memberships: Value) -> Value {
    json!({"first_name": " Thandi ", "last_name": "Nkosi", "email": " Thandi@Club.ORG ",
           "language": "en-ZA", "memberships": memberships})
}

fn wire(row: Value) -> Wire {
    to_wire(PERSON, &fields(row), &lists()).unwrap()
}

fn member(status: &str) -> Value {
    json!({"status": status, "labels": ["VIP", " vip", "Trail"],
           "modified_on": "2026-11-25T06:30:00+00:00"})
}

#[test]
fn a_person_is_brought_to_each_configured_list_and_to_no_other() {
    let wire = wire(row(json!({"news": member("SUBSCRIBED"), "other": member("SUBSCRIBED")})));
    assert_eq!(
        wire.body,
        json!({"news": {"email": "thandi@club.org", "FNAME": "Thandi", "LNAME": "Nkosi", "EMSID": "42",
            "language": "en", "tags": ["Trail", "vip"], "wanted": "subscribed",
            "since": "2026-11-25T06:30:00Z"}})
    );
    assert!(wire.match_key.is_some());
}

#[test]
fn who_is_in_no_configured_list_has_no_content_and_holds_no_address() {
    let wire = wire(row(json!({"other": member("SUBSCRIBED")})));
    assert_eq!((wire.body, wire.match_key), (json!({}), None));
}

/// The restrictive one of list and channel wins.
#[test]
fn an_opt_out_of_e_mail_overrides_every_list() {
    for (status, opted_in, wanted) in [
        ("SUBSCRIBED", Value::Null, "subscribed"),
        ("SUBSCRIBED", json!(true), "subscribed"),
        ("SUBSCRIBED", json!(false), "out"),
        ("PENDING", json!(true), "pending"),
        ("PENDING", json!(false), "out"),
        ("UNSUBSCRIBED", json!(true), "out"),
        ("UNSUBSCRIBED", json!(false), "out"),
    ] {
        let mut row = row(json!({"news": member(status)}));
        row["email_opted_in"] = opted_in.clone();
        assert_eq!(wire(row).body["news"]["wanted"], wanted, "{status} {opted_in}");
    }
}

#[test]
fn the_moment_of_a_wish_is_the_latest_of_what_makes_it() {
    let since = |status: &str, opted_in: Value| {
        let mut row = row(json!({"news": member(status)}));
        row["email_opted_in"] = opted_in;
        row["email_opted_in_on"] = json!("2026-11-26T00:00:00Z");
        wire(row).body["news"]["since"].clone()
    };
    assert_eq!(since("SUBSCRIBED", json!(true)), "2026-11-26T00:00:00Z");
    assert_eq!(since("SUBSCRIBED", json!(false)), "2026-11-26T00:00:00Z");
    assert_eq!(since("SUBSCRIBED", Value::Null), "2026-11-25T06:30:00Z");
    assert_eq!(since("UNSUBSCRIBED", json!(true)), "2026-11-25T06:30:00Z");
}

#[test]
fn nothing_but_address_and_id_is_said_of_who_is_out() {
    let body = wire(row(json!({"news": member("UNSUBSCRIBED")}))).body;
    let keys: Vec<_> = body["news"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["EMSID", "email", "since", "wanted"]);
}

#[test]
fn the_case_of_tags_and_the_moment_change_no_hash() {
    let hash = |labels: Value, on: &str| {
        let membership = json!({"status": "SUBSCRIBED", "labels": labels, "modified_on": on});
        wire(row(json!({ "news": membership }))).hash
    };
    let first = hash(json!(["Zoë", "trail"]), "2026-11-25T06:30:00Z");
    assert_eq!(first, hash(json!(["TRAIL", "Zoe\u{308}"]), "2026-11-26T06:30:00Z"));
    assert_ne!(first, hash(json!(["trail"]), "2026-11-25T06:30:00Z"));
}

/// Codes that come from variables of the environment are lower-case.
#[test]
fn a_list_code_is_found_in_lower_case_unless_the_ems_has_both() {
    let body = wire(row(json!({"NEWS": member("SUBSCRIBED")}))).body;
    assert_eq!(body["news"]["wanted"], "subscribed");
    let both = json!({"NEWS": member("SUBSCRIBED"), "news": member("UNSUBSCRIBED")});
    assert_eq!(wire(row(both)).body["news"]["wanted"], "out");
}

#[test]
fn what_can_not_be_expressed_is_named_by_column_never_by_value() {
    let odd = |change: fn(&mut Value)| {
        let mut row = row(json!({"news": member("SUBSCRIBED")}));
        change(&mut row);
        let error = to_wire(PERSON, &fields(row), &lists()).unwrap_err();
        assert!(!error.to_string().contains("canary"), "{error}");
        error.column
    };
    assert_eq!(odd(|row| row["email"] = json!("  ")), "email");
    assert_eq!(odd(|row| row["first_name"] = json!(["canary"])), "first_name");
    assert_eq!(odd(|row| row["memberships"] = json!("canary")), "memberships");
    assert_eq!(odd(|row| row["memberships"]["news"]["status"] = json!("canary")), "memberships");
    assert_eq!(odd(|row| row["email_opted_in"] = json!("canary")), "email_opted_in");
    let many: fn(&mut Value) = |row| {
        row["memberships"]["news"]["labels"] = (0..41).map(|n| json!(format!("l{n}"))).collect();
    };
    assert_eq!(odd(many), "memberships");
}

#[test]
fn one_address_in_two_spellings_is_one_key() {
    let key = |email: &str| {
        let mut row = row(json!({"news": member("SUBSCRIBED")}));
        row["email"] = json!(email);
        wire(row).match_key
    };
    assert_eq!(key("A@club.org"), key(" a@CLUB.org"));
    assert_ne!(key("a@club.org"), key("b@club.org"));
}

#[test]
fn what_the_remote_restricts_is_no_difference_and_everything_else_is() {
    let wanted = wire(row(json!({"news": member("SUBSCRIBED")})));
    let content = contents(&wanted).remove("news").unwrap();
    let held = |code: &str, content: Content| wire_of([(code, &content)]);
    assert!(is_as_wanted(&wanted, &held("news", content.clone())));
    for wanted_there in [Wanted::Pending, Wanted::Out] {
        let there = Content { wanted: wanted_there, ..content.clone() };
        assert!(is_as_wanted(&wanted, &held("news", there)));
    }
    let renamed = Content { last_name: None, ..content.clone() };
    assert!(!is_as_wanted(&wanted, &held("news", renamed.clone())));
    let both = wire(row(json!({"news": member("SUBSCRIBED"), "club": member("SUBSCRIBED")})));
    let there = wire_of([("news", &renamed), ("club", &content)]);
    assert_eq!(differing_fields(&both, &there), ["news"], "the other list is as it should be");
    assert!(
        !is_as_wanted(&wanted, &held("club", content.clone())),
        "a list that it should not be in"
    );
    let out = wire(row(json!({"news": member("UNSUBSCRIBED")})));
    assert!(!is_as_wanted(&out, &held("news", content)), "mailed although opted out");
}

proptest! {
    /// Obligation 7: the normal form of a normal form is itself, and reading a body back loses nothing.
    #[test]
    fn normalising_twice_changes_nothing(words in proptest::collection::vec(any::<String>(), 0..5), name in any::<String>()) {
        let once = tags(words.iter().map(String::as_str));
        prop_assert_eq!(&tags(once.iter().map(String::as_str)), &once);
        prop_assert_eq!(email(&email(&name)), email(&name));
        prop_assert_eq!(text(&text(&name)), text(&name));
        let row = json!({"first_name": name, "last_name": name, "email": "a@club.org", "language": name,
                         "memberships": {"news": {"status": "SUBSCRIBED", "labels": words}}});
        let wire = wire(row);
        let read = contents(&wire);
        let again = wire_of(read.iter().map(|(code, content)| (code.as_str(), content)));
        prop_assert_eq!((again.body, again.hash), (wire.body, wire.hash));
    }

    /// Nothing that a projection may hold makes the mapping panic.
    #[test]
    fn mapping_is_total(name in any::<String>(), n in any::<i64>()) {
        for value in [json!(name), json!(n), json!([name]), json!({"news": name}), json!({"news": {"status": name}}),
                      json!({"news": {"status": "PENDING", "labels": [n, name], "modified_on": name}}), json!(true)] {
            let row = json!({"first_name": value, "last_name": value, "email": value, "language": value,
                             "memberships": value, "email_opted_in": value, "email_opted_in_on": value});
            to_wire(PERSON, &fields(row), &lists()).ok();
            let row = json!({"email": "a@club.org", "memberships": value});
            to_wire(PERSON, &fields(row), &lists()).ok();
        }
    }
}
