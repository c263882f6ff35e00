//! `POST /rest/race`: create, edit, renew (contract, section 7d). Closed to the public unless the
//! settings say otherwise.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::auth::Caller;
use super::clock::{eastern, input_time};
use super::error::ApiError;
use super::form::{Form, number, rows};
use super::options::RaceWrites;
use super::resource::Resource;
use super::rows::{Event, Race, Visibility};
use super::server::RunSignup;
use super::store::Store;
use crate::sync::lock;
use crate::{Effect, Record, Remote as _, Request, RowEffect};

/// How far the time of a signed call may be off, in seconds.
const SIGNATURE_LIFE: i64 = 5 * 60;
/// How long a nonce is remembered, in seconds.
const NONCE_LIFE: i64 = 15 * 60;

impl RunSignup {
    /// `POST /rest/race`
    pub(super) fn write_race(
        &self,
        request: &Request,
        caller: Caller,
        record: &mut Record,
    ) -> Result<Value, ApiError> {
        caller.writes()?;
        match self.current_settings().race_writes {
            RaceWrites::Closed => return Err(ApiError::new(7)),
            RaceWrites::Signed => self.check_signature(request)?,
            RaceWrites::Open => {}
        }
        let form = Form::read(request);
        let body = form.checked(request, record)?;
        let past = form.value_or_query(request, "allow_past_event_creation") == Some("T");
        let now = self.now();
        let mut store = lock(&self.store);
        let old = match number(body.get("race_id")) {
            None => None,
            Some(id) => Some(store.races.get(&id).cloned().ok_or_else(|| ApiError::new(201))?),
        };
        if old.is_some() && body.get("url_string").is_some() {
            record.violation("url_string_in_edit", "url_string");
        }
        let mut race = fields(&store, &body, old.as_ref())?;
        let events =
            events(&store, &body, &race, old.as_ref(), now.to_zoned(eastern()).datetime(), past)?;
        race.last_modified = now;
        if old.is_none() {
            race.id = store.next_id(Resource::Race);
            race.created = now;
        }
        let mut ids = Vec::new();
        for mut event in events {
            event.race_id = race.id;
            if event.id == 0 {
                event.id = store.next_id(Resource::Event);
            }
            ids.push(json!({ "event_id": event.id }));
            store.events.insert(event.id, event);
        }
        let effect = if old.is_some() { Effect::Patched } else { Effect::Created };
        record.rows.push(RowEffect {
            external_id: None,
            remote_id: Some(race.id.to_string()),
            effect,
            changed: true,
            status: 200,
        });
        let answer = json!({ "race_id": race.id, "events": ids });
        store.races.insert(race.id, race);
        Ok(answer)
    }

    /// `<ID>.<unix seconds>.<8 characters>.<HMAC-SHA1>`. What is signed is not in the contract, so
    /// the signature's form is looked at, and its time and nonce.
    fn check_signature(&self, request: &Request) -> Result<(), ApiError> {
        let signature = request.query_value("protected_api_signature").unwrap_or_default();
        let parts: Vec<&str> = signature.split('.').collect();
        let [id, time, nonce, mac] = parts.as_slice() else { return Err(ApiError::new(7)) };
        let now = self.now().as_second();
        let time: i64 = time.parse().map_err(|_| ApiError::new(7))?;
        let is_hex = mac.len() == 40 && mac.chars().all(|digit| digit.is_ascii_hexdigit());
        let is_fresh = now.abs_diff(time) <= SIGNATURE_LIFE.unsigned_abs();
        let mut nonces = lock(&self.nonces);
        nonces.retain(|(_, at)| now.saturating_sub(*at) < NONCE_LIFE);
        let is_new = nonces.iter().all(|(used, _)| used != nonce);
        if id.is_empty() || nonce.len() != 8 || !is_hex || !is_fresh || !is_new {
            return Err(ApiError::new(7));
        }
        nonces.push(((*nonce).to_owned(), now));
        Ok(())
    }
}

fn text<'a>(body: &'a Value, name: &str) -> Option<&'a str> {
    body.get(name).and_then(Value::as_str)
}

/// The race with what the body says of it.
fn fields(store: &Store, body: &Value, old: Option<&Race>) -> Result<Race, ApiError> {
    let mut race = old.cloned().unwrap_or_default();
    match text(body, "name").filter(|name| !name.trim().is_empty()) {
        Some(name) => name.clone_into(&mut race.name),
        None if old.is_none() => return Err(ApiError::new(202)),
        None => {}
    }
    if let Some(zone) = text(body, "timezone") {
        TimeZone::get(zone).map_err(|_| ApiError::new(214))?;
        zone.clone_into(&mut race.timezone);
    }
    if let Some(url) = text(body, "url_string") {
        let is_taken =
            |other: &Race| other.id != race.id && other.url_string.as_deref() == Some(url);
        if store.races.values().any(is_taken) {
            return Err(ApiError::new(216));
        }
        race.url_string = Some(url.to_owned());
    }
    match text(body, "draft_race") {
        Some("T") => race.visibility = Visibility::Draft,
        Some("F") if race.visibility == Visibility::Draft => race.visibility = Visibility::Public,
        _ => {}
    }
    if let Some(address) = body.get("address").filter(|address| address.is_object()) {
        let given: Map<String, Value> = address.as_object().cloned().unwrap_or_default();
        let address = serde_json::from_value(Value::Object(given));
        race.address = address.map_err(|_| ApiError::new(109))?;
    }
    Ok(race)
}

/// The events of the body: changed ones, and new ones, whose id is still 0. Only new events are
/// the race's renewal for another year.
fn events(
    store: &Store,
    body: &Value,
    race: &Race,
    old: Option<&Race>,
    now: DateTime,
    past: bool,
) -> Result<Vec<Event>, ApiError> {
    let failed = || ApiError::new(if old.is_some() { 213 } else { 202 });
    let sent = rows(body, "events");
    if sent.is_empty() && old.is_none() {
        return Err(ApiError::new(217));
    }
    let own = || store.events.values().filter(|event| event.race_id == race.id);
    let newest = own().map(|event| event.race_event_days_id).max().unwrap_or(0);
    let id = |event: &Value| number(event.get("event_id")).filter(|id| *id != 0);
    let renews = old.is_some() && !sent.is_empty() && sent.iter().all(|event| id(event).is_none());
    if renews && own().any(|event| event.start_time >= now) {
        return Err(ApiError::new(224));
    }
    let days = if renews || old.is_none() { newest + 1 } else { newest };
    let event = |given: &Value| {
        let mut event = match id(given) {
            None => Event { race_event_days_id: days, ..Event::default() },
            Some(id) => {
                own().find(|event| event.id == id).cloned().ok_or_else(|| ApiError::new(15))?
            }
        };
        if let Some(name) = text(given, "name") {
            name.clone_into(&mut event.name);
        }
        if let Some(kind) = text(given, "event_type") {
            kind.clone_into(&mut event.event_type);
        }
        match text(given, "start_time").map(input_time) {
            Some(Some(start)) if event.id != 0 || past || start >= now => event.start_time = start,
            None if event.id != 0 => {}
            Some(None) => return Err(ApiError::new(9)),
            Some(Some(_)) | None => return Err(failed()),
        }
        Ok(event)
    };
    sent.iter().map(event).collect()
}
