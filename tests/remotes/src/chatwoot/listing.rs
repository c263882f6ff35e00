//! Lists of contacts: which, in which order, page by page (contract, sections 3 and 4).

use std::cmp::Ordering;

use hyper::StatusCode;
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, civil::Date};
use serde_json::{Map, Value, json};

use super::contact::Contact;
use super::definition::Definition;
use super::filter::{Grammar, Kind, anchors, holds, is_like};
use super::options::ChatwootSettings;
use super::refusal::Refusal;
use super::store::{KEYS, Store};
use crate::{Record, Request, Response};

/// The size of a page: fixed.
const PAGE: usize = 15;

/// The columns that contacts are sorted by; never the id.
const SORTS: [&str; 8] = [
    "name",
    "email",
    "phone_number",
    "last_activity_at",
    "created_at",
    "company_name",
    "city",
    "country",
];

/// `GET /contacts`
pub(super) fn list(
    request: &Request,
    store: &Store,
    settings: &ChatwootSettings,
    record: &mut Record,
) -> Response {
    let labels: Vec<&String> = request
        .query
        .iter()
        .filter(|(name, _)| name == "labels[]")
        .map(|(_, value)| value)
        .collect();
    let listed = store.contacts.all().filter(|contact| contact.is_listed(settings.crm_v2));
    let found = listed
        .filter(|contact| labels.is_empty() || labels.iter().any(|l| contact.labels.contains(*l)));
    page(request, found.collect(), record)
}

/// `POST /contacts/filter`
pub(super) fn filter(
    request: &Request,
    body: &Map<String, Value>,
    store: &Store,
    settings: &ChatwootSettings,
    now: Timestamp,
    record: &mut Record,
) -> Result<Response, Refusal> {
    let zone = database_zone(settings);
    let grammar =
        Grammar { kind_of: &|key| kind_of(key, store), of_contacts: true, today: day(now, &zone) };
    let conditions = grammar.read(body, record)?;
    let candidates = match anchors(&conditions, &KEYS) {
        Some(keys) => store.contacts.with_keys(&keys),
        None => store.contacts.all().collect(),
    };
    let listed = candidates.into_iter().filter(|contact| contact.is_listed(settings.crm_v2));
    let found =
        listed.filter(|contact| holds(&conditions, |key| values_of(contact, key, &zone))).collect();
    Ok(page(request, found, record))
}

/// `GET /contacts/search`: hidden contacts, too; `count` is that of the page.
pub(super) fn search(
    request: &Request,
    store: &Store,
    record: &mut Record,
) -> Result<Response, Refusal> {
    let sought = request.query_value("q").filter(|sought| !sought.is_empty());
    let Some(sought) = sought else {
        return Err(Refusal::Error("Specify search string with parameter q".to_owned()));
    };
    if sought.strip_prefix(' ').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) {
        record.violation("plus_not_encoded", "q");
    }
    let found = store.contacts.all().filter(|contact| {
        let columns = [
            Some(&contact.name),
            contact.email.as_ref(),
            contact.phone_number.as_ref(),
            contact.identifier.as_ref(),
        ];
        columns.into_iter().flatten().any(|text| is_like(text, sought))
    });
    let mut found: Vec<&Contact> = found.collect();
    sort(&mut found, request, record);
    let (number, echo) = page_number(request);
    let shown: Vec<&Contact> = found.iter().skip((number - 1) * PAGE).take(PAGE).copied().collect();
    let has_more = found.len() > (number - 1).saturating_mul(PAGE).saturating_add(PAGE);
    let meta = json!({ "count": shown.len(), "current_page": echo, "has_more": has_more });
    Ok(Response::json(StatusCode::OK, &json!({ "meta": meta, "payload": bodies(request, &shown) })))
}

fn page(request: &Request, mut found: Vec<&Contact>, record: &mut Record) -> Response {
    sort(&mut found, request, record);
    let (number, echo) = page_number(request);
    let skipped = (number - 1).saturating_mul(PAGE);
    let shown: Vec<&Contact> = found.iter().skip(skipped).take(PAGE).copied().collect();
    let meta = json!({ "count": found.len(), "current_page": echo });
    Response::json(StatusCode::OK, &json!({ "meta": meta, "payload": bodies(request, &shown) }))
}

fn bodies(request: &Request, contacts: &[&Contact]) -> Vec<Value> {
    let with_inboxes = shows_inboxes(request);
    contacts.iter().map(|contact| contact.body(with_inboxes)).collect()
}

/// Whether the contact's inboxes are wanted.
pub(super) fn shows_inboxes(request: &Request) -> bool {
    request.query_value("include_contact_inboxes").is_none_or(|wanted| wanted == "true")
}

/// The page from 1 on, and how it is repeated: as text when it was asked for.
pub(super) fn page_number(request: &Request) -> (usize, Value) {
    match request.query_value("page") {
        None => (1, json!(1)),
        Some(text) => {
            let number = text.parse::<u32>().ok().and_then(|number| usize::try_from(number).ok());
            (number.unwrap_or(1).max(1), json!(text))
        }
    }
}

/// Sorts as asked; without a known `sort`, rows come as they lie in the table, where each update
/// moves a row to the end. Rows that compare alike come so, too: there is no tie-break.
fn sort(contacts: &mut [&Contact], request: &Request, record: &mut Record) {
    contacts.sort_by_key(|contact| contact.place);
    let wanted = request.query_value("sort").unwrap_or_default();
    let (descending, column) = match wanted.strip_prefix('-') {
        Some(column) => (true, column),
        None => (false, wanted),
    };
    if !SORTS.contains(&column) {
        if !column.is_empty() {
            record.violation("unknown_sort", "sort");
        } else if page_number(request).0 > 1 {
            record.violation("unsorted_pages", "contacts");
        }
        return;
    }
    let text = |contact: &Contact| match column {
        "name" => Some(contact.name.clone()),
        "email" => contact.email.clone(),
        "phone_number" => contact.phone_number.clone(),
        other => additional(contact, other),
    };
    let number = |contact: &Contact| match column {
        "created_at" => Some(contact.created_at.as_microsecond()),
        _ => contact.last_activity_at,
    };
    let is_number = matches!(column, "created_at" | "last_activity_at");
    contacts.sort_by(|one, other| {
        if is_number {
            nulls_last(number(one), number(other), descending)
        } else {
            nulls_last(text(one), text(other), descending)
        }
    });
}

fn nulls_last<T: Ord>(one: Option<T>, other: Option<T>, descending: bool) -> Ordering {
    match (one, other) {
        (Some(one), Some(other)) if descending => other.cmp(&one),
        (Some(one), Some(other)) => one.cmp(&other),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    }
}

fn additional(contact: &Contact, key: &str) -> Option<String> {
    contact.additional.get(key)?.as_str().map(str::to_owned)
}

fn kind_of(key: &str, store: &Store) -> Option<Kind> {
    match key {
        "name" | "email" => Some(Kind::Text),
        "phone_number" => Some(Kind::PhoneNumber),
        "identifier" => Some(Kind::Identifier),
        "country_code" | "city" | "company_name" => Some(Kind::Attribute),
        "labels" | "blocked" => Some(Kind::Words),
        "created_at" | "last_activity_at" => Some(Kind::Day),
        _ => Definition::kind_of(store.definitions.values(), key),
    }
}

fn values_of(contact: &Contact, key: &str, zone: &TimeZone) -> Vec<String> {
    let one = match key {
        "name" => Some(contact.name.clone()),
        "email" => contact.email.clone(),
        "phone_number" => contact.phone_number.clone(),
        "identifier" => contact.identifier.clone(),
        "country_code" | "city" | "company_name" => additional(contact, key),
        "blocked" => Some(contact.blocked.to_string()),
        "created_at" => Some(day(contact.created_at, zone).to_string()),
        "last_activity_at" => contact
            .last_activity_at
            .and_then(|second| Timestamp::from_second(second).ok())
            .map(|instant| day(instant, zone).to_string()),
        "labels" => return contact.labels.iter().cloned().collect(),
        _ => contact.custom.get(key).and_then(custom_text),
    };
    one.into_iter().collect()
}

fn custom_text(value: &Value) -> Option<String> {
    match value.as_str() {
        Some(text) => Some(text.to_owned()),
        None => (!value.is_null()).then(|| value.to_string()),
    }
}

/// The time zone of the database, in which it tells days.
pub(super) fn database_zone(settings: &ChatwootSettings) -> TimeZone {
    let seconds = i32::from(settings.database_utc_offset_hours) * 3600;
    Offset::from_seconds(seconds).map_or(TimeZone::UTC, TimeZone::fixed)
}

/// The day of an instant.
pub(super) fn day(instant: Timestamp, zone: &TimeZone) -> Date {
    instant.to_zoned(zone.clone()).date()
}
