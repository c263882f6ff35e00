//! What RunSignup shows, as the EMS may take it: the content in the form of what we push, and besides it an allow-list of what
//! only the EMS asks for. Each besides is left out where RunSignup does not say it beyond doubt; none of them is ever cleared.
//! Pure.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::distance;
use super::normal;
use super::rows::{EventRow, RaceRow, Registration, Removal};
use super::venue::{self, EditionId};
use crate::entity::EntityType;
use crate::remote::Wire;
use crate::remote::inbound::{RemoteParent, Shape, Snapshot};

/// Of everything textual that is not an event's own time (contract, section 5).
const EASTERN: &str = "America/New_York";
/// More cents are no fee.
const CENTS_MAX: i64 = 10_000_000_000;

/// A registration that stands.
pub(super) fn of_registration(row: &Registration) -> Snapshot {
    let entity = row.entity();
    let mut extra = row.besides.clone();
    extra.extend(entity.map(|entity| (entity.entity_type.name().to_owned(), json!(entity.id))));
    Snapshot {
        entity_type: EntityType::EventParticipant,
        remote_id: row.id.to_string(),
        entity,
        shape: stands(row.content.wire(), extra),
        modified_on: instant(row.last_modified),
        parents: vec![RemoteParent {
            entity_type: EntityType::Race,
            remote_id: row.event_id.to_string(),
            required: true,
        }],
    }
}

/// A registration that stands no more.
pub(super) fn of_removal(removal: &Removal) -> Snapshot {
    Snapshot {
        entity_type: EntityType::EventParticipant,
        remote_id: removal.id.to_string(),
        entity: None,
        shape: Shape::Removed {
            reason: removal.reason.clone(),
            successor: removal.new_id.map(|id| id.to_string()),
        },
        modified_on: instant(Some(removal.last_modified)),
        parents: Vec::new(),
    }
}

/// A record that is not there.
pub(super) fn gone(entity_type: EntityType, remote_id: &str) -> Snapshot {
    Snapshot {
        entity_type,
        remote_id: remote_id.to_owned(),
        entity: None,
        shape: Shape::Gone,
        modified_on: None,
        parents: Vec::new(),
    }
}

/// A registration of which nothing but the id can be read.
pub(super) fn unreadable(id: i64, why: &'static str) -> Snapshot {
    Snapshot::unreadable(EntityType::EventParticipant, id.to_string(), why)
}

/// An EMS event for each of the race's days (years), and its races. An event that has no start yet is nothing that the EMS could
/// take. Nothing tells when any of it was changed: the content decides.
pub(super) fn of_race(race: &RaceRow, organisation: Option<i64>) -> Vec<Snapshot> {
    let edition = venue::edition_shown(race);
    let zone = edition.as_ref().and_then(|edition| TimeZone::get(&edition.timezone).ok());
    let days: BTreeSet<i64> = race.events.iter().map(|event| event.days_id).collect();
    let of_days = days.into_iter().map(|days_id| {
        let remote_id = EditionId { race_event_days_id: days_id, race_id: race.id }.text();
        let Some(edition) = &edition else {
            return Snapshot::unreadable(EntityType::Event, remote_id, ODD_RACE);
        };
        let events = race.events.iter().filter(|event| event.days_id == days_id);
        let extra = edition_besides(race, events, zone.as_ref(), organisation);
        Snapshot {
            entity_type: EntityType::Event,
            remote_id,
            entity: None,
            shape: stands(edition.wire(), extra),
            modified_on: None,
            parents: Vec::new(),
        }
    });
    let mut snapshots: Vec<Snapshot> = of_days.collect();
    let country = edition.as_ref().and_then(|edition| edition.country_code.as_deref());
    for event in race.events.iter().filter(|event| has_start(event)) {
        let remote_id = event.id.to_string();
        let Some(shown) = venue::distance_shown(race.id, event) else {
            snapshots.push(Snapshot::unreadable(EntityType::Race, remote_id, ODD_RACE));
            continue;
        };
        let extra = distance_besides(event, zone.as_ref(), country);
        snapshots.push(Snapshot {
            entity_type: EntityType::Race,
            remote_id,
            entity: None,
            shape: stands(shown.wire(), extra),
            modified_on: None,
            parents: vec![RemoteParent {
                entity_type: EntityType::Event,
                remote_id: EditionId { race_event_days_id: event.days_id, race_id: race.id }.text(),
                required: true,
            }],
        });
    }
    snapshots
}

const ODD_RACE: &str = "Something of it has not the contract's form: look at it at RunSignup";

fn has_start(event: &EventRow) -> bool {
    event.row.get("start_time").is_some_and(|start| !start.is_null())
}

const fn stands(wire: Wire, extra: Map<String, Value>) -> Shape {
    Shape::Stands { wire, extra }
}

fn instant(seconds: Option<i64>) -> Option<Timestamp> {
    Timestamp::from_second(seconds?).ok()
}

/// When an event begins or ends, as a clock at the race shows it.
pub(super) fn clock_of(event: &EventRow, name: &str) -> Option<DateTime> {
    venue::clock(event.row.get(name)?.as_str()?)
}

/// An hour that the clocks show twice is taken for the first of both, one that they leave out for the one after it.
fn on(time: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    Some(time.to_zoned(zone.clone()).ok()?.timestamp())
}

fn edition_besides<'a>(
    race: &RaceRow,
    events: impl Iterator<Item = &'a EventRow> + Clone,
    zone: Option<&TimeZone>,
    organisation: Option<i64>,
) -> Map<String, Value> {
    let first = events.clone().filter_map(|event| clock_of(event, "start_time")).min();
    let last = events.filter_map(|event| clock_of(event, "end_time")).max();
    let at = |time: Option<DateTime>| Some(json!(on(time?, zone?)?.to_string()));
    let url = race.row.get("external_race_url").and_then(Value::as_str).and_then(normal::text);
    let url = url.or_else(|| race.row.get("url")?.as_str().and_then(normal::text));
    said([
        ("organisation_id", organisation.map(|id| json!(id))),
        ("day", first.map(|first| json!(first.date().to_string()))),
        ("starts_on", at(first)),
        ("ends_on", at(last)),
        ("contact_url", url.map(|url| json!(url))),
    ])
}

fn distance_besides(
    event: &EventRow,
    zone: Option<&TimeZone>,
    country: Option<&str>,
) -> Map<String, Value> {
    let text = |name: &str| event.row.get(name).and_then(Value::as_str);
    let starts_on = zone.and_then(|zone| on(clock_of(event, "start_time")?, zone));
    let metres = text("distance").or_else(|| text("name")).and_then(distance::metres);
    let fee = fee(event);
    // Prices are written with a dollar sign, whichever dollars they are.
    let currency = match country {
        Some("US") => Some("USD"),
        Some("CA") => Some("CAD"),
        Some(_) | None => None,
    };
    said([
        ("starts_on", starts_on.map(|on| json!(on.to_string()))),
        ("distance_meters", metres.map(|metres| json!(metres))),
        ("fee", fee.map(|cents| json!(format!("{}.{:02}", cents / 100, cents % 100)))),
        ("currency", currency.filter(|_| fee.is_some()).map(|currency| json!(currency))),
    ])
}

/// The fee, where it is the same in every period.
fn fee(event: &EventRow) -> Option<i64> {
    let periods = event.row.get("registration_periods")?.as_array()?;
    let fees: Option<BTreeSet<i64>> =
        periods.iter().map(|period| cents(period.get("race_fee")?)).collect();
    let fees = fees.filter(|fees| fees.len() == 1)?;
    fees.first().copied()
}

/// What else the EMS may take of a registration.
pub(super) fn besides(row: &Map<String, Value>) -> Map<String, Value> {
    let text = |name: &str| row.get(name).and_then(Value::as_str).and_then(normal::text);
    let user = normal::id(row.get("user").and_then(|user| user.get("user_id")));
    said([
        ("user_id", user.map(|id| json!(id.to_string()))),
        ("registered_on", registered_on(row).map(|on| json!(on.to_string()))),
        ("team", text("team_name").map(|name| json!(name))),
        ("shirt_size", text("giveaway").map(|giveaway| json!(giveaway))),
        ("paid", is_paid(row).map(|paid| json!(paid))),
    ])
}

/// As information only: an hour in autumn comes twice.
fn registered_on(row: &Map<String, Value>) -> Option<Timestamp> {
    let time = venue::clock(row.get("registration_date")?.as_str()?)?;
    on(time, &TimeZone::get(EASTERN).ok()?)
}

/// What came through the API was paid elsewhere, or not: RunSignup does not know.
fn is_paid(row: &Map<String, Value>) -> Option<bool> {
    let registered_there = row.get("imported")?.as_str()? == "F";
    let paid = cents(row.get("amount_paid")?)?;
    let is_free = row.get("race_fee").and_then(cents) == Some(0);
    registered_there.then_some(paid > 0 || is_free)
}

/// `$1,057.75`
fn cents(money: &Value) -> Option<i64> {
    let money = money.as_str()?.trim().strip_prefix('$')?.replace(',', "");
    let (whole, cents) = money.split_once('.').unwrap_or((money.as_str(), "00"));
    let is_number = |digits: &str| !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit());
    if !is_number(whole) || !is_number(cents) || cents.len() != 2 {
        return None;
    }
    let whole: i64 = whole.parse().ok()?;
    let all = whole.checked_mul(100)?.checked_add(cents.parse().ok()?)?;
    (all < CENTS_MAX).then_some(all)
}

/// Those that have a value.
fn said<const N: usize>(values: [(&str, Option<Value>); N]) -> Map<String, Value> {
    let said = values.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    said.collect()
}

#[cfg(test)]
mod tests;
