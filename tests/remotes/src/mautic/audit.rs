//! Breaches of the contract by the client, noted whatever the answer is. Details name fields, ids
//! and parameters, never what a person's field holds.

use serde_json::{Map, Value};

use super::collation::sanitised_email;
use super::contact::{BOUNCED, Contact, DoNotContact, Source, UNSUBSCRIBED};
use super::draft::PROPERTIES;
use super::field::{EMAIL, Field, FieldKind, has_offset, is_numeric_zero};
use crate::Record;

/// What no body of a contact may have.
pub(super) fn body(body: &Map<String, Value>, whole: bool, fields: &[Field], record: &mut Record) {
    for (name, value) in body {
        if value.as_array().is_some_and(Vec::is_empty) {
            record.violation("empty_array", name.as_str());
        }
        let field = fields.iter().find(|field| field.alias == *name);
        match field {
            Some(field) => self::field(field, value, whole, record),
            None if name == "frequencyRules" => record.violation("frequency_rules", name.as_str()),
            None if name == "lastActive" && has_offset(value) => {
                record.violation("datetime_with_offset", name.as_str());
            }
            None if PROPERTIES.contains(&name.as_str()) => {}
            None => record.violation("unknown_field", name.as_str()),
        }
    }
}

fn field(field: &Field, value: &Value, whole: bool, record: &mut Record) {
    let zero = value.is_number() && is_numeric_zero(value) || *value == Value::Bool(false);
    if zero && !whole {
        record.violation("zero_value", field.alias.as_str());
    }
    if field.kind == FieldKind::Datetime && has_offset(value) {
        record.violation("datetime_with_offset", field.alias.as_str());
    }
    if let (EMAIL, Some(text)) = (field.alias.as_str(), value.as_str())
        && sanitised_email(text).to_lowercase() != text
    {
        record.violation("email_not_normalised", EMAIL);
    }
}

/// A write that turns one person's contact into another's.
pub(super) fn overwrite(before: &Contact, sent: Option<&str>, record: &mut Record) {
    if let (Some(before_id), Some(sent)) = (before.ems_person_id(), sent)
        && before_id != sent
    {
        let detail = format!("contacts/{} was {before_id}, became {sent}", before.id);
        record.violation("overwrites_another_record", detail);
    }
}

/// A merge that makes two persons one contact.
pub(super) fn merge(winner: &Contact, loser: &Contact, record: &mut Record) {
    if let (Some(one), Some(other)) = (winner.ems_person_id(), loser.ems_person_id())
        && one != other
    {
        let detail = format!("contacts/{} of {other} into that of {one}", loser.id);
        record.violation("merges_another_person", detail);
    }
}

/// An entry that the client did not make and now takes away.
pub(super) fn removal(id: i64, entry: &DoNotContact, record: &mut Record) {
    if entry.source != Source::Api || matches!(entry.reason, UNSUBSCRIBED | BOUNCED) {
        let detail = format!("contacts/{id} {} reason {}", entry.channel, entry.reason);
        record.violation("removes_foreign_dnc", detail);
    }
}

/// A contact that should stay.
pub(super) fn deletion(contact: &Contact, record: &mut Record) {
    let unsubscribed =
        |entry: &DoNotContact| entry.reason == UNSUBSCRIBED && entry.source == Source::Person;
    if contact.do_not_contact.iter().any(unsubscribed) {
        record.violation("deletes_unsubscribed", format!("contacts/{}", contact.id));
    }
    if contact.made_by == Source::Person && contact.ems_person_id().is_none() {
        record.violation("deletes_foreign_contact", format!("contacts/{}", contact.id));
    }
}
