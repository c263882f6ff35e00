//! What people at the remote do, behind the worker's back: edit contacts and their
//! do-not-contact, merge them, set up segments and fields. Nothing here is a request of a client.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::contact::{Contact, DoNotContact, Source};
use super::field::{Accepted, Field};
use super::merge::merge;
use super::route::{CONTACTS, number};
use super::store::{Segment, Store};
use crate::ControlError;

/// Rows of the control API. `merges` are contacts that became part of another.
pub(super) const RESOURCES: [&str; 4] = [CONTACTS, "segments", "fields", "merges"];

/// All rows of a resource, by id.
pub(super) fn rows(resource: &str, store: &Store) -> Vec<Value> {
    match resource {
        CONTACTS => store.contacts().map(Contact::to_row).collect(),
        "segments" => store.segments.values().map(|segment| json!(segment)).collect(),
        "fields" => store.fields.iter().map(|field| json!(field)).collect(),
        _ => store
            .merges()
            .iter()
            .map(|(loser, winner)| json!({ "id": loser, "winner": winner }))
            .collect(),
    }
}

/// Makes a row or changes the one with the id. A row of `merges`, `{"id","winner"}`, merges.
pub(super) fn plant(
    resource: &str,
    row: &Value,
    store: &mut Store,
    now: Timestamp,
) -> Result<Value, ControlError> {
    match resource {
        CONTACTS => contact(row, store, now).map(|contact| contact.to_row()),
        "segments" => {
            let mut segment: Segment = read(row)?;
            if segment.id == 0 {
                segment.id = store.segments.keys().max().map_or(1, |id| id + 1);
            }
            store.segments.insert(segment.id, segment.clone());
            Ok(json!(segment))
        }
        "fields" => {
            let mut field: Field = read(row)?;
            if field.id == 0 {
                field.id = store.fields.iter().map(|field| field.id).max().map_or(1, |id| id + 1);
            }
            store.fields.retain(|other| other.alias != field.alias && other.id != field.id);
            store.fields.push(field.clone());
            Ok(json!(field))
        }
        _ => {
            let id = |name: &str| row.get(name).and_then(number).unwrap_or_default();
            let merged = merge(store, id("winner"), id("id"), now);
            merged.ok_or_else(|| unfit("one of the contacts is not there"))?;
            Ok(json!({ "id": id("id"), "winner": id("winner") }))
        }
    }
}

/// Removes a row.
pub(super) fn remove(resource: &str, id: i64, store: &mut Store) -> bool {
    match resource {
        CONTACTS => store.take(id).is_some(),
        "segments" => store.segments.remove(&id).is_some(),
        "fields" => {
            let before = store.fields.len();
            store.fields.retain(|field| field.id != id);
            store.fields.len() < before
        }
        _ => false,
    }
}

/// Makes a contact or changes the one with the id: what is given is set, null clears.
pub(super) fn contact(
    row: &Value,
    store: &mut Store,
    now: Timestamp,
) -> Result<Contact, ControlError> {
    let row = row.as_object().ok_or_else(|| unfit("a row is an object"))?;
    let id = row.get("id").map(number);
    if id == Some(None) {
        return Err(unfit("an id is a number"));
    }
    let id = id.flatten();
    let before = id.and_then(|id| store.get(id)).cloned();
    let is_new = before.is_none();
    let mut contact = before.unwrap_or_else(|| Contact {
        id: id.unwrap_or_default(),
        ..Contact::new(Source::Person, now)
    });
    for (name, value) in row {
        set(&mut contact, name, value, &store.fields)?;
    }
    let id = if is_new {
        store.insert(contact)
    } else {
        store.replace(contact, now);
        id.unwrap_or_default()
    };
    store.get(id).cloned().ok_or_else(|| unfit("it is gone"))
}

fn set(
    contact: &mut Contact,
    name: &str,
    value: &Value,
    fields: &[Field],
) -> Result<(), ControlError> {
    match name {
        "id" => {}
        "dateAdded" => contact.date_added = read(value)?,
        "dateModified" => contact.date_modified = read(value)?,
        "points" => contact.points = number(value).unwrap_or_default(),
        "stage" => contact.stage = number(value),
        "owner" => contact.owner = number(value),
        "tags" => contact.tags = read::<BTreeSet<String>>(value)?,
        "segments" => contact.segments = read(value)?,
        "manuallyRemoved" => contact.manually_removed = read(value)?,
        "madeBy" => contact.made_by = read(value)?,
        "doNotContact" => contact.do_not_contact = read::<Vec<DoNotContact>>(value)?,
        alias => {
            let field = fields.iter().find(|field| field.alias == alias);
            let field = field.ok_or_else(|| unfit(format!("there is no field {alias}")))?;
            let refused = || unfit(format!("{alias} does not take it"));
            match field.accept(value, 0).map_err(|_| refused())? {
                Accepted::Set(value) => drop(contact.values.insert(alias.to_owned(), value)),
                Accepted::Blank => drop(contact.values.remove(alias)),
                Accepted::Dropped => return Err(refused()),
            }
        }
    }
    Ok(())
}

fn read<T: DeserializeOwned>(value: &Value) -> Result<T, ControlError> {
    serde_json::from_value(value.clone()).map_err(|error| unfit(error.to_string()))
}

fn unfit(why: impl Into<String>) -> ControlError {
    ControlError::Unfit(why.into())
}
