//! Reading: one contact, pages of contacts, segments, fields and owners (sections 2 and 7).

use std::collections::HashMap;

use hyper::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::contact::{Contact, iso};
use super::field::Field;
use super::filter::{Condition, cell, compare, found};
use super::options::{MauticSettings, Shape, Total};
use super::problem::Problem;
use super::query::Query;
use super::store::{Segment, Store};
use crate::{Record, Request, Response};

/// Totals by query, and when each was counted.
pub(super) type CountCache = HashMap<String, (usize, Timestamp)>;

/// `GET /contacts`
pub(super) fn list(
    request: &Request,
    store: &Store,
    settings: &MauticSettings,
    now: Timestamp,
    cache: &mut CountCache,
    record: &mut Record,
) -> Result<Response, Problem> {
    let query = Query::read(request, store, record)?;
    let mut contacts = matching(&query, store, &settings.locale);
    let total = counted(&query, contacts.len(), settings, now, cache);
    if total == 0 {
        // A cached nothing is not looked behind.
        contacts.clear();
    }
    sort(&mut contacts, &query);
    let page: Map<String, Value> = contacts
        .into_iter()
        .skip(query.start)
        .take(query.limit)
        .map(|contact| (contact.id.to_string(), contact.to_api(&store.fields, query.minimal)))
        .collect();
    let contacts = if page.is_empty() && settings.empty_list == Shape::Array {
        json!([])
    } else {
        Value::Object(page)
    };
    let body = json!({ "total": shown_total(total, settings), "contacts": contacts });
    Ok(Response::json(StatusCode::OK, &body))
}

/// They come by id already; only another order costs anything.
fn sort(contacts: &mut [&Contact], query: &Query) {
    if query.order_by != "id" {
        contacts.sort_by(|one, other| {
            let by = |contact: &Contact| cell(contact, &query.order_by).unwrap_or_default();
            compare(&by(one), &by(other))
        });
    }
    if query.descending {
        contacts.reverse();
    }
}

/// All contacts that a query finds, by id; equalities of indexed fields need no scan.
fn matching<'s>(query: &Query, store: &'s Store, locale: &str) -> Vec<&'s Contact> {
    let holds = |contact: &&Contact| {
        query.conditions.iter().all(|condition| condition.holds(contact))
            && query.search.as_ref().is_none_or(|search| found(contact, search, locale))
    };
    let equality = query.conditions.iter().find_map(|condition| {
        let (col, with) = condition.equality()?;
        store.field(col).is_some().then(|| store.with_value(col, with))
    });
    match equality {
        Some(ids) => ids.into_iter().filter_map(|id| store.get(id)).filter(holds).collect(),
        None => {
            let lowest = query.conditions.iter().filter_map(Condition::lowest_id).max();
            store.contacts_from(lowest.unwrap_or(i64::MIN)).filter(holds).collect()
        }
    }
}

fn counted(
    query: &Query,
    total: usize,
    settings: &MauticSettings,
    now: Timestamp,
    cache: &mut CountCache,
) -> usize {
    let life = i64::try_from(settings.count_cache_seconds).unwrap_or(i64::MAX);
    if life == 0 {
        return total;
    }
    cache.retain(|_, (_, at)| now.as_second().saturating_sub(at.as_second()) < life);
    cache.entry(query.cache_key.clone()).or_insert((total, now)).0
}

fn shown_total(total: usize, settings: &MauticSettings) -> Value {
    match settings.total {
        Total::Text => json!(total.to_string()),
        Total::Number => json!(total),
    }
}

/// `GET /contacts/{id}/segments` and `GET /segments`
pub(super) fn segments(
    segments: impl Iterator<Item = Segment>,
    settings: &MauticSettings,
) -> Response {
    let lists: Map<String, Value> = segments
        .filter(|segment| segment.visible)
        .map(|segment| {
            let shown = json!({ "id": segment.id, "name": segment.name, "isPublished": true });
            (segment.id.to_string(), shown)
        })
        .collect();
    let body = json!({ "total": shown_total(lists.len(), settings), "lists": lists });
    Response::json(StatusCode::OK, &body)
}

/// `GET /contacts/list/fields`
pub(super) fn fields(fields: &[Field], settings: &MauticSettings) -> Response {
    let shown = fields.iter().map(|field| {
        let shown = json!({
            "id": field.id,
            "label": field.label,
            "alias": field.alias,
            "type": field.kind,
            "group": field.group,
        });
        (field.id.to_string(), shown)
    });
    let body = match settings.field_list {
        Shape::Object => Value::Object(shown.collect()),
        Shape::Array => shown.map(|(_, shown)| shown).collect(),
    };
    Response::json(StatusCode::OK, &body)
}

/// `GET /contacts/list/owners`
pub(super) fn owners() -> Response {
    let owner = json!({ "id": 1, "firstName": "Admin", "lastName": "User" });
    Response::json(StatusCode::OK, &json!({ "1": owner }))
}

/// A contact that is none of `people`, made up if there is none.
pub(super) fn stranger(store: &Store, people: &[String], now: Timestamp) -> Value {
    let is_other = |contact: &&Contact| {
        contact.ems_person_id().is_some_and(|id| people.iter().all(|person| person != id))
    };
    match store.contacts().find(is_other) {
        Some(contact) => contact.to_api(&store.fields, false),
        None => json!({
            "id": 1,
            "isPublished": true,
            "dateAdded": iso(now),
            "tags": [],
            "doNotContact": [],
            "fields": { "all": { "id": 1, "email": "somebody@else.example" } },
        }),
    }
}
