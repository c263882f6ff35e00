//! Rows as the control API sees, plants and removes them: members, lists, merge fields, webhooks.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::address::{legacy_hash, subscriber_hash};
use super::list::{InterestCategory, List, ListOptions};
use super::member::{Member, Row, Status};
use super::merge_field::MergeField;
use super::options::MailChimpSettings;
use super::store::Store;
use super::webhook::{Event, Source};
use crate::ControlError;

fn unfit(why: impl Into<String>) -> ControlError {
    ControlError::Unfit(why.into())
}

fn parsed<T: serde::de::DeserializeOwned>(value: &Value) -> Result<T, ControlError> {
    serde_json::from_value(value.clone()).map_err(|error| unfit(error.to_string()))
}

/// All rows of a resource.
pub(super) fn rows_of(store: &Store, resource: &str) -> Result<Vec<Value>, ControlError> {
    let rows = store.lists().iter().flat_map(|list| -> Vec<Value> {
        let id = &list.options.id;
        let fields = list.options.merge_fields.iter().enumerate();
        match resource {
            "members" => list.members().map(|member| member.to_value(list)).collect(),
            "lists" => vec![list.to_value()],
            "merge-fields" => fields
                .map(|(index, field)| {
                    let mut value = field.to_value(index + 1, id);
                    if let Some(value) = value.as_object_mut() {
                        value.insert("id".to_owned(), json!(field.tag));
                    }
                    value
                })
                .collect(),
            _ => list.webhooks.iter().map(|hook| hook.to_value(id, true)).collect(),
        }
    });
    Ok(rows.collect())
}

/// Makes or changes a row.
pub(super) fn plant(
    store: &mut Store,
    resource: &str,
    row: &Value,
    settings: &MailChimpSettings,
    now: Timestamp,
) -> Result<Value, ControlError> {
    match resource {
        "members" => {
            let list_id = row.get("list_id").and_then(Value::as_str).map(str::to_owned);
            let row = plant_member(store, list_id.as_deref(), row, settings, now)?;
            Ok(row.body)
        }
        "lists" => {
            let id = row.get("id").and_then(Value::as_str).ok_or_else(|| unfit("it has no id"))?;
            store.add_list(ListOptions::named(id));
            let list = store.list_mut(id).ok_or_else(|| unfit("it is gone"))?;
            change_list(&mut list.options, row)?;
            Ok(list.to_value())
        }
        "merge-fields" => {
            let field: MergeField = parsed(row)?;
            let list_id = row.get("list_id").and_then(Value::as_str).map(str::to_owned);
            let (list, _) = member_list(store, list_id.as_deref())?;
            list.options.merge_fields.retain(|other| other.tag != field.tag);
            list.options.merge_fields.push(field.clone());
            Ok(field.to_value(list.options.merge_fields.len(), &list.options.id))
        }
        _ => Err(unfit(format!("{resource} cannot be planted"))),
    }
}

fn change_list(options: &mut ListOptions, row: &Value) -> Result<(), ControlError> {
    if let Some(double_optin) = row.get("double_optin") {
        options.double_optin = parsed(double_optin)?;
    }
    if let Some(name) = row.get("name") {
        options.name = parsed(name)?;
    }
    if let Some(fields) = row.get("merge_fields") {
        options.merge_fields = parsed(fields)?;
    }
    if let Some(categories) = row.get("interest_categories") {
        options.interest_categories = parsed::<Vec<InterestCategory>>(categories)?;
    }
    Ok(())
}

/// Removes a row without a trace; `false` if it was not there.
pub(super) fn remove(store: &mut Store, resource: &str, id: &str) -> Result<bool, ControlError> {
    if resource == "lists" {
        return Ok(store.remove_list(id));
    }
    let ids: Vec<String> = store.lists().iter().map(|list| list.options.id.clone()).collect();
    let mut removed = false;
    for list_id in ids {
        let Some(list) = store.list_mut(&list_id) else { continue };
        removed |= match resource {
            "members" => {
                let web_id = list.find(id).map(|member| member.web_id);
                web_id.and_then(|web_id| list.take(web_id)).is_some()
            }
            "merge-fields" => {
                let before = list.options.merge_fields.len();
                list.options.merge_fields.retain(|field| field.tag != id);
                list.options.merge_fields.len() < before
            }
            _ => {
                let before = list.webhooks.len();
                list.webhooks.retain(|hook| hook.id != id);
                list.webhooks.len() < before
            }
        };
    }
    Ok(removed)
}

fn member_list<'s>(
    store: &'s mut Store,
    list_id: Option<&str>,
) -> Result<(&'s mut List, &'s mut u64), ControlError> {
    let first = store.lists().first().map(|list| list.options.id.clone()).unwrap_or_default();
    store.split(list_id.unwrap_or(&first)).ok_or_else(|| unfit("there is no such list"))
}

/// Makes a member, or changes the one with the `id` or the address: what is given is set, null
/// clears. `merge_fields` and `tags` may be any; `legacy_hash` keeps the hash of an address as it
/// was typed, as very old lists do.
pub(super) fn plant_member(
    store: &mut Store,
    list_id: Option<&str>,
    row: &Value,
    settings: &MailChimpSettings,
    now: Timestamp,
) -> Result<Row, ControlError> {
    let (list, next_web_id) = member_list(store, list_id)?;
    let row = row.as_object().ok_or_else(|| unfit("a row is an object"))?;
    let text = |name: &str| row.get(name).and_then(Value::as_str);
    let key = text("id").or_else(|| text("email_address")).unwrap_or_default();
    let found = list.find(key).cloned();
    let is_new = found.is_none();
    let mut member = match found {
        Some(member) => member,
        None => {
            let email = text("email_address").ok_or_else(|| unfit("it has no email_address"))?;
            let member =
                Member::new(*next_web_id, subscriber_hash(email), email, Status::Subscribed, now);
            *next_web_id += 1;
            member
        }
    };
    member.last_changed = now;
    for (name, value) in row {
        set(list, &mut member, name, value, settings)?;
    }
    let taken = list.find_email(&member.email_address);
    if taken.is_some_and(|other| other.web_id != member.web_id) {
        return Err(unfit("the address is a member already"));
    }
    let planted = member.row(list);
    list.put(member.clone());
    if !is_new {
        list.tell(Event::Profile, Source::Admin, &member, None, now);
    }
    Ok(planted)
}

fn set(
    list: &mut List,
    member: &mut Member,
    name: &str,
    value: &Value,
    settings: &MailChimpSettings,
) -> Result<(), ControlError> {
    match name {
        "id" | "list_id" => {}
        "email_address" => {
            member.email_address = parsed(value)?;
            member.id = subscriber_hash(&member.email_address);
        }
        "legacy_hash" => {
            if parsed(value)? {
                member.id = legacy_hash(&member.email_address);
            }
        }
        "status" => member.status = parsed(value)?,
        "opt_out" => member.opt_out = parsed(value)?,
        "last_changed" => member.last_changed = parsed(value)?,
        "interests" => member.interests = parsed(value)?,
        "vip" => member.vip = parsed(value)?,
        "language" => member.language = parsed(value)?,
        "tags" => {
            let names: Vec<String> = parsed(value)?;
            let keys = names.iter().map(|name| list.tag_key(name, settings.tag_case));
            member.tags = keys.collect();
        }
        "merge_fields" => {
            for (tag, value) in parsed::<Map<String, Value>>(value)? {
                let field = list.field(&tag).ok_or_else(|| unfit(format!("no field {tag}")))?;
                let tag = field.tag.clone();
                let cleared = value.is_null() || value == json!("");
                if cleared {
                    member.merge_fields.remove(&tag);
                } else {
                    member.merge_fields.insert(tag, value);
                }
            }
        }
        _ => return Err(unfit(format!("a member has no {name}"))),
    }
    Ok(())
}
