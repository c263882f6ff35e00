//! Breaches of the contract by the client, noted whatever the answer is. Details name fields,
//! ids and parameters, never what a person's field holds.

use serde_json::{Map, Value};

use super::contact::{Contact, is_ours, present};
use super::draft::{OBJECTS, TEXTS};
use crate::Record;

/// What the server says, but does not take.
const READ_ONLY: [&str; 7] = [
    "id",
    "thumbnail",
    "availability_status",
    "last_activity_at",
    "created_at",
    "contact_inboxes",
    "contact_type",
];

/// A body about a contact: unknown and read-only fields, wrong types, a blank identifier.
pub(super) fn fields(body: &Map<String, Value>, is_create: bool, record: &mut Record) {
    for (name, value) in body {
        let name = name.as_str();
        if READ_ONLY.contains(&name) {
            record.violation("read_only_field", name);
            continue;
        }
        let fits = match name {
            "blocked" => value.is_boolean(),
            "avatar" => true,
            "inbox_id" if is_create => value.is_i64() || value.is_null(),
            "source_id" if is_create => value.is_string() || value.is_null(),
            _ if TEXTS.contains(&name) => value.is_string() || value.is_null(),
            _ if OBJECTS.contains(&name) => value.is_object(),
            _ => {
                record.violation("unknown_field", name);
                continue;
            }
        };
        if !fits {
            record.violation("wrong_type", name);
        }
    }
    let identifier = body.get("identifier").and_then(Value::as_str);
    if identifier.is_some_and(|identifier| identifier.trim().is_empty()) {
        record.violation("blank_identifier", "identifier");
    }
}

/// A create that nothing would keep from being repeated.
pub(super) fn create(contact: &Contact, looked_up: bool, record: &mut Record) {
    if !present(contact.identifier.as_ref()) && !present(contact.email.as_ref()) {
        record.violation("create_without_key", "neither identifier nor email");
    }
    if present(contact.identifier.as_ref()) && !looked_up {
        record.violation("create_without_lookup", "identifier");
    }
}

/// An update that takes a contact from its owner, or that says again what is so already. One that
/// changes nothing may be a repeated request (section 10). `known` is the contact as the client
/// knew it.
pub(super) fn update(
    known: &Contact,
    before: &Contact,
    after: &Contact,
    body: &Map<String, Value>,
    record: &mut Record,
) {
    if let Some(identifier) = known.identifier.as_ref().filter(|text| present(Some(text)))
        && known.identifier == before.identifier
        && before.identifier != after.identifier
        && !(is_ours(identifier) && after.identifier.is_none())
    {
        record.violation("overwrites_identifier", format!("contact {}", before.id));
    }
    if before.says_the_same(after) {
        return;
    }
    let columns = [known.columns(), before.columns(), after.columns()];
    let same = |name: &str| {
        let mut held = columns.iter().map(|columns| {
            columns.iter().find(|(column, _)| *column == name).map(|(_, value)| value)
        });
        let first = held.next();
        held.all(|other| Some(other) == first)
    };
    for name in body.keys().filter(|name| *name == "blocked" || TEXTS.contains(&name.as_str())) {
        if name != "avatar_url" && same(name) {
            record.violation("unchanged_field", name.as_str());
        }
    }
    let held = [[&known.custom, &before.custom], [&known.additional, &before.additional]];
    for (name, held) in OBJECTS.into_iter().zip(held) {
        let sent = body.get(name).and_then(Value::as_object).into_iter().flatten();
        for (key, value) in sent {
            if held.iter().all(|held| held.get(key) == Some(value)) {
                record.violation("unchanged_field", format!("{name}.{key}"));
            }
        }
    }
}
