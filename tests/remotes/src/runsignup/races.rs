//! `GET /rest/races` and `GET /rest/race/{id}` (contract, sections 4a and 4b).

use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::{Value, json};

use super::auth::Caller;
use super::clock::{day, eastern, eastern_minute, input_day, minute};
use super::error::ApiError;
use super::participants::{money, yes};
use super::query::{size, unknown};
use super::rows::{Event, Race, Visibility};
use super::server::RunSignup;
use super::store::Store;
use crate::sync::lock;
use crate::{Record, Remote as _, Request};

const RACES: &[&str] = &[
    "events",
    "include_event_days",
    "include_extra_date_info",
    "page",
    "results_per_page",
    "sort",
    "start_date",
    "end_date",
    "only_partner_races",
    "search_start_date_only",
    "modified_since",
];
const RACE: &[&str] = &[
    "future_events_only",
    "most_recent_events_only",
    "race_event_days_id",
    "include_event_days",
    "include_questions",
    "include_corral_settings",
    "include_participant_caps",
    "include_extra_date_info",
    "include_giveaway_details",
];
const MAX_PAGE: usize = 1000;
const DEFAULT_PAGE: usize = 50;

/// Which events of a race are shown.
#[derive(Clone, Copy, Debug, Default)]
struct Shown {
    future: bool,
    most_recent: bool,
    days: Option<i64>,
}

impl RunSignup {
    /// `GET /rest/races`: those that the caller can reach, from today on unless it says otherwise,
    /// with the most current events only.
    pub(super) fn list_races(
        &self,
        request: &Request,
        caller: Caller,
        record: &mut Record,
    ) -> Result<Value, ApiError> {
        unknown(request, &[RACES], record);
        let now = self.now();
        let wanted = |name| match request.query_value(name) {
            None => Ok(None),
            Some(text) => input_day(text, now).map(Some).ok_or_else(|| ApiError::new(9)),
        };
        let from = wanted("start_date")?.or_else(|| Some(now.to_zoned(eastern()).date()));
        let (until, modified_since) = (wanted("end_date")?, wanted("modified_since")?);
        let number = |name| request.query_value(name).and_then(|text| text.parse::<i64>().ok());
        if number("results_per_page").is_some_and(|size| size > 1000) {
            record.violation("page_too_large", "results_per_page");
        }
        let store = lock(&self.store);
        let mut races: Vec<(&Race, Option<Date>)> = store
            .races
            .values()
            .filter(|race| is_listed(race, caller))
            .filter(|race| {
                let modified = race.last_modified.to_zoned(eastern()).date();
                modified_since.is_none_or(|since| modified >= since)
            })
            .map(|race| (race, days(&store, race, now).1))
            .filter(|(_, next)| {
                next.is_some_and(|next| {
                    from.is_none_or(|from| next >= from) && until.is_none_or(|until| next <= until)
                })
            })
            .collect();
        match request.query_value("sort") {
            None | Some("name ASC") => {
                races.sort_by(|(one, _), (other, _)| one.name.cmp(&other.name))
            }
            Some("date ASC") => races.sort_by_key(|(_, next)| *next),
            Some(_) => {
                record.violation("unknown_sort", "races");
                return Err(ApiError::new(3));
            }
        }
        let page = usize::try_from(number("page").unwrap_or(1).max(1)).unwrap_or(usize::MAX);
        let size = size(number("results_per_page").unwrap_or(0), DEFAULT_PAGE, MAX_PAGE);
        let start = page.saturating_sub(1).saturating_mul(size);
        let with_events = request.query_value("events") == Some("T");
        let shown = Shown { most_recent: true, ..Shown::default() };
        let shown = with_events.then_some(shown);
        let races = races.into_iter().skip(start).take(size);
        let races = races.map(|(race, _)| json!({ "race": body(&store, race, shown, now) }));
        Ok(json!({ "races": races.collect::<Vec<_>>() }))
    }

    /// `GET /rest/race/{id}`: with all years' events unless it says otherwise.
    pub(super) fn read_race(
        &self,
        id: &str,
        request: &Request,
        caller: Caller,
        record: &mut Record,
    ) -> Result<Value, ApiError> {
        unknown(request, &[RACE], record);
        let flag = |name| request.query_value(name) == Some("T");
        let days = match request.query_value("race_event_days_id") {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| ApiError::new(3))?),
        };
        let shown = Shown {
            future: flag("future_events_only"),
            most_recent: flag("most_recent_events_only"),
            days,
        };
        let store = lock(&self.store);
        let race = id.parse().ok().and_then(|id: i64| store.races.get(&id));
        let race = race.ok_or_else(|| ApiError::new(201))?;
        if !is_listed(race, caller) {
            return Err(ApiError::new(7));
        }
        let mut race_body = body(&store, race, Some(shown), self.now());
        if flag("include_questions")
            && let Some(body) = race_body.as_object_mut()
        {
            let one =
                |(id, text): (&i64, &String)| json!({ "question_id": id, "question_text": text });
            let questions: Vec<Value> = race.questions.iter().map(one).collect();
            body.insert("questions".to_owned(), Value::Array(questions));
        }
        Ok(json!({ "race": race_body }))
    }
}

/// Without credentials all public races, with them those that the key reaches.
fn is_listed(race: &Race, caller: Caller) -> bool {
    match caller {
        Caller::Nobody => race.visibility == Visibility::Public,
        Caller::Key | Caller::User { .. } => race.reachable,
    }
}

/// The last day of a race that is over, and the next one.
fn days(store: &Store, race: &Race, now: Timestamp) -> (Option<Date>, Option<Date>) {
    let today = now.to_zoned(eastern()).date();
    let all = || events(store, race).map(|event| event.start_time.date());
    let last = all().filter(|day| *day < today).max();
    let next = race.next_date.or_else(|| all().filter(|day| *day >= today).min());
    // A race that is over is listed under its last day.
    (last, next.or(last))
}

fn events<'s>(store: &'s Store, race: &Race) -> impl Iterator<Item = &'s Event> {
    let id = race.id;
    store.events.values().filter(move |event| event.race_id == id)
}

fn body(store: &Store, race: &Race, shown: Option<Shown>, now: Timestamp) -> Value {
    let (last, next) = days(store, race, now);
    let address = &race.address;
    let mut body = json!({
        "race_id": race.id,
        "name": race.name,
        "last_date": last.map(day),
        "next_date": next.map(day),
        "next_end_date": next.map(day),
        "is_draft_race": yes(race.visibility == Visibility::Draft),
        "is_private_race": yes(race.visibility == Visibility::Private),
        "is_registration_open": yes(race.registration_open),
        "created": eastern_minute(race.created),
        "last_modified": eastern_minute(race.last_modified),
        "description": race.description,
        "url": race.url_string.as_ref().map(|url| format!("https://runsignup.com/Race/{url}")),
        "external_race_url": null,
        "address": {
            "street": address.street, "city": address.city, "state": address.state,
            "zipcode": address.zipcode, "country_code": address.country_code,
        },
        "timezone": race.timezone,
        "real_time_notifications_enabled": "F",
    });
    if let (Some(shown), Some(body)) = (shown, body.as_object_mut()) {
        let newest = events(store, race).map(|event| event.race_event_days_id).max();
        let today = now.to_zoned(eastern()).date();
        let events: Vec<Value> = events(store, race)
            .filter(|event| !shown.future || event.start_time.date() >= today)
            .filter(|event| !shown.most_recent || Some(event.race_event_days_id) == newest)
            .filter(|event| shown.days.is_none_or(|days| days == event.race_event_days_id))
            .map(event_body)
            .collect();
        body.insert("events".to_owned(), Value::Array(events));
    }
    body
}

fn event_body(event: &Event) -> Value {
    let opens = event.registration_opens.map(eastern_minute);
    let options = &event.giveaway_options;
    let giveaway = (!options.is_empty()).then(|| options.join(", "));
    json!({
        "event_id": event.id,
        "race_event_days_id": event.race_event_days_id,
        "name": event.name,
        "details": event.details,
        "start_time": minute(event.start_time),
        "end_time": event.end_time.map(minute),
        "age_calc_base_date": null,
        "registration_opens": opens,
        "event_type": event.event_type,
        "distance": event.distance,
        "volunteer": yes(event.volunteer),
        "require_dob": "T",
        "require_phone": "F",
        "registration_periods": [{
            "registration_opens": opens, "registration_closes": minute(event.start_time),
            "race_fee": money(event.race_fee_cents), "processing_fee": "$2.00",
        }],
        "sub_event_ids": [],
        "giveaway": giveaway,
    })
}
