//! `GET /rest/race/{id}/participants` (contract, section 4c).

use std::cmp::Ordering;

use serde_json::{Map, Value, json};

use super::auth::Caller;
use super::clock::{eastern_minute, instant};
use super::error::ApiError;
use super::query::{Filter, Key};
use super::rows::{Address, Race, Reason, Registration, User};
use super::serve::reachable;
use super::server::RunSignup;
use super::store::Store;
use crate::sync::lock;
use crate::{Record, Remote as _, Request};

impl RunSignup {
    /// `GET /rest/race/{id}/participants`
    pub(super) fn list_participants(
        &self,
        race: &str,
        request: &Request,
        caller: Caller,
        record: &mut Record,
    ) -> Result<Value, ApiError> {
        let filter = Filter::read(request, false, record)?;
        caller.known()?;
        let lag = i64::try_from(self.current_settings().add_lag_seconds).unwrap_or(i64::MAX);
        let shown_until = self.now().as_second().saturating_sub(lag);
        let store = lock(&self.store);
        let race = reachable(&store, race)?;
        let elements = filter.events.iter().map(|event| {
            check_event(&store, race, *event)?;
            let rows = store.of_event(*event, filter.after, filter.before);
            let mut rows: Vec<_> = rows
                .filter(|row| stands(row, &filter) && row.registered_at <= shown_until)
                .filter(|row| matches(&store, row, &filter))
                .collect();
            rows.sort_by(|one, other| order(&store, one, other, &filter));
            let mut rows: Vec<Value> =
                filter.page_of(rows).map(|row| participant(&store, row, &filter)).collect();
            if filter.with_template {
                let template = Registration { id: -1, event_id: *event, ..Registration::default() };
                rows.insert(0, participant(&store, &template, &filter));
            }
            Ok(if rows.is_empty() {
                json!({ "event": { "event_id": event, "participants": [] } })
            } else {
                json!({ "event": { "event_id": event }, "participants": rows })
            })
        });
        elements.collect::<Result<Vec<Value>, ApiError>>().map(Value::Array)
    }
}

/// Refuses an event of another race.
pub(super) fn check_event(store: &Store, race: &Race, event: i64) -> Result<(), ApiError> {
    let is_there = store.events.get(&event).is_some_and(|event| event.race_id == race.id);
    if is_there { Ok(()) } else { Err(ApiError::new(15)) }
}

/// A registration in the words of the list.
pub(super) fn participant(store: &Store, row: &Registration, filter: &Filter) -> Value {
    let nobody = User::default();
    let person = store.users.get(&row.user_id).unwrap_or(&nobody);
    // Numbers come as text now and then.
    let as_text = row.id % 2 != 0;
    let bib = row.bib_num.map(|bib| if as_text { json!(bib.to_string()) } else { json!(bib) });
    let transaction = row.id.saturating_mul(31);
    let transaction =
        if as_text { json!(format!("ay_{transaction}_0")) } else { json!(transaction) };
    let mut body = json!({
        "user": user(person, filter.supports_nb),
        "registration_id": row.id,
        "event_id": row.event_id,
        "rsu_transaction_id": (!row.imported).then_some(row.id / 10),
        "transaction_id": transaction,
        "bib_num": bib,
        "chip_num": row.chip_num,
        "age": row.age,
        "registration_date": eastern_minute(instant(row.registered_at)),
        "last_modified": row.last_modified,
        "imported": yes(row.imported),
        "race_fee": money(row.race_fee_cents),
        "amount_paid": money(row.amount_paid_cents),
        "giveaway": row.giveaway,
        "giveaway_option_id": null,
    });
    if let Some(body) = body.as_object_mut() {
        body.extend(team(row));
        if filter.with_questions {
            body.insert("question_responses".to_owned(), responses(store, row));
        }
    }
    body
}

/// A user in the words of the lists.
pub(super) fn user(user: &User, supports_nb: bool) -> Value {
    let is_masked = !supports_nb && user.gender.as_deref() == Some("X");
    let gender = if is_masked { Some("F") } else { user.gender.as_deref() };
    let Address { street, city, state, zipcode, country_code } = &user.address;
    json!({
        "user_id": user.id,
        "first_name": user.first_name,
        "middle_name": user.middle_name,
        "last_name": user.last_name,
        "email": user.email,
        "address": {
            "street": street, "city": city, "state": state, "zipcode": zipcode,
            "country_code": country_code,
        },
        "dob": user.dob.map(|dob| dob.to_string()),
        "gender": gender,
        "phone": user.phone,
        "profile_image_url": null,
    })
}

/// `T` or `F`.
pub(super) fn yes(flag: bool) -> &'static str {
    if flag { "T" } else { "F" }
}

/// `$57.75`
pub(super) fn money(cents: i64) -> String {
    format!("${}.{:02}", cents / 100, cents.rem_euclid(100))
}

/// Which of two rows comes first.
pub(super) fn order(
    store: &Store,
    one: &Registration,
    other: &Registration,
    filter: &Filter,
) -> Ordering {
    let name = |row: &Registration| {
        let user = store.users.get(&row.user_id);
        user.map(|user| (user.last_name.to_lowercase(), user.first_name.to_lowercase()))
    };
    let first_name = |row: &Registration| name(row).map(|(_, first)| first);
    let gender = |row: &Registration| store.users.get(&row.user_id).map(|user| &user.gender);
    let removed_at = |row: &Registration| row.removal.as_ref().map(|removal| removal.at);
    let ordering = match filter.key {
        Key::Id => one.id.cmp(&other.id),
        Key::RegistrationDate => one.registered_at.cmp(&other.registered_at),
        Key::LastModified => removed_at(one).cmp(&removed_at(other)),
        Key::Age => one.age.cmp(&other.age),
        Key::Name | Key::LastName => name(one).cmp(&name(other)),
        Key::FirstName => first_name(one).cmp(&first_name(other)),
        Key::Bib => one.bib_num.cmp(&other.bib_num),
        Key::Chip => one.chip_num.cmp(&other.chip_num),
        Key::Gender => gender(one).cmp(&gender(other)),
    };
    let ordering = if filter.descending { ordering.reverse() } else { ordering };
    // The newest first among equals: nobody may rely on an order that was not asked for.
    ordering.then(other.id.cmp(&one.id))
}

/// Whether the searches and times fit, and the times are inclusive.
pub(super) fn matches(store: &Store, row: &Registration, filter: &Filter) -> bool {
    let after = |limit: Option<i64>, time: i64| limit.is_none_or(|limit| time >= limit);
    let searches =
        filter.first_name.is_some() || filter.last_name.is_some() || filter.email.is_some();
    let found = || {
        let Some(user) = store.users.get(&row.user_id) else { return false };
        let holds = |wanted: &Option<String>, text: &str| {
            wanted.as_ref().is_none_or(|wanted| text.to_lowercase().contains(wanted))
        };
        holds(&filter.last_name, &user.last_name)
            && holds(&filter.first_name, &user.first_name)
            && holds(&filter.email, user.email.as_deref().unwrap_or_default())
    };
    after(filter.modified_after, row.last_modified)
        && after(filter.registered_after, row.registered_at)
        && filter.registered_before.is_none_or(|limit| row.registered_at <= limit)
        && filter.bib.is_none_or(|bib| row.bib_num == Some(bib))
        && (!searches || found())
}

fn stands(row: &Registration, filter: &Filter) -> bool {
    let is_transferred =
        row.removal.as_ref().is_some_and(|removal| removal.reason == Reason::Transferred);
    row.active || (filter.with_transferred && is_transferred)
}

fn team(row: &Registration) -> Map<String, Value> {
    let mut team = Map::new();
    team.insert("team_id".to_owned(), json!(row.team_id));
    for name in ["team_name", "team_type_id", "team_type", "team_gender", "team_bib_num"] {
        team.insert(name.to_owned(), Value::Null);
    }
    team
}

/// Ids are text here, though numbers everywhere else.
fn responses(store: &Store, row: &Registration) -> Value {
    let race = store.race_of(row.event_id);
    let text = |question: &i64| Some(race?.questions.get(question)?.clone());
    let one = |(question, response): (&i64, &String)| {
        json!({
            "question_id": question.to_string(),
            "question_text": text(question),
            "response": response,
        })
    };
    Value::Array(row.responses.iter().map(one).collect())
}
