//! What RunSignup holds of an EMS event (there: a race and its day) and of an EMS race (there: an event), in normal form
//! (contract, sections 4b and 5). Pure.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::normal;
use super::rows::{EventRow, RaceRow};
use super::wire::unmappable;
use crate::entity::{EntityRef, EntityType};
use crate::remote::{Fields, RemoteIds, Unmappable, Wire};
use crate::target::Target;

/// Raised when the mapping below changes what is wanted for the same projection.
const MAPPING_VERSION: u32 = 1;

/// The remote id of an EMS event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EditionId {
    pub(super) race_event_days_id: i64,
    pub(super) race_id: i64,
}

impl EditionId {
    pub(super) fn read(remote_id: &str) -> Option<Self> {
        serde_json::from_str(remote_id).ok()
    }

    /// Canonical JSON.
    pub(super) fn text(self) -> String {
        serde_json::to_string(&self).unwrap_or_default()
    }
}

/// An EMS event there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Edition {
    pub(super) name: String,
    pub(super) timezone: String,
    pub(super) draft: bool,
    pub(super) street: Option<String>,
    pub(super) city: Option<String>,
    pub(super) state: Option<String>,
    pub(super) zipcode: Option<String>,
    pub(super) country_code: Option<String>,
}

/// An EMS race there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Distance {
    /// Its edition; ids are text, as in every hash.
    pub(super) race_id: String,
    pub(super) race_event_days_id: String,
    pub(super) name: String,
    /// `YYYY-MM-DDThh:mm` in the race's zone: RunSignup shows minutes.
    pub(super) start_time: String,
}

/// An event that a new race begins with (contract, section 7d).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct First {
    pub(super) name: String,
    pub(super) start_time: String,
}

impl Edition {
    /// What a push wants, and the distances that a new race begins with.
    pub(super) fn of(wire: &Wire) -> Option<(Self, Vec<First>)> {
        let races = wire.body.get(Wire::ASIDE)?.get("races")?;
        Some((Self::deserialize(&wire.body).ok()?, Vec::deserialize(races).ok()?))
    }

    pub(super) fn wire(&self) -> Wire {
        let body = serde_json::to_value(self).unwrap_or_default();
        Wire::new(Target::RunSignup, MAPPING_VERSION, body)
    }

    /// Of a state RunSignup takes two letters.
    pub(super) fn sendable(&self) -> Self {
        let is_code = |code: &String| normal::is_code(code);
        Self {
            state: self.state.clone().filter(is_code),
            country_code: self.country_code.clone().filter(is_code),
            ..self.clone()
        }
    }

    /// What must be said so that `held` becomes this.
    pub(super) fn changes(&self, held: &Self) -> Map<String, Value> {
        let mut changes = Map::new();
        let mut say = |name: &str, value: Value, is_same: bool| {
            if !is_same {
                changes.insert(name.to_owned(), value);
            }
        };
        say("name", json!(self.name), self.name == held.name);
        say("timezone", json!(self.timezone), self.timezone == held.timezone);
        say("draft_race", json!(if self.draft { "T" } else { "F" }), self.draft == held.draft);
        let address = |of: &Self| {
            json!({ "street": of.street, "city": of.city, "state": of.state, "zipcode": of.zipcode,
                    "country_code": of.country_code })
        };
        say("address", address(self), address(self) == address(held));
        changes
    }
}

impl Distance {
    pub(super) fn of(wire: &Wire) -> Option<Self> {
        Self::deserialize(&wire.body).ok()
    }

    pub(super) fn wire(&self) -> Wire {
        let body = serde_json::to_value(self).unwrap_or_default();
        Wire::new(Target::RunSignup, MAPPING_VERSION, body)
    }
}

/// What is written of a start: `YYYY-MM-DD hh:mm:ss` (contract, section 5, "Input types").
pub(super) fn written_start(start_time: &str) -> String {
    format!("{}:00", start_time.replace('T', " "))
}

/// An EMS event's content.
pub(super) fn edition(entity: EntityRef, fields: &Fields) -> Result<Wire, Unmappable> {
    let text = |column: &'static str| text(fields, column);
    let edition = Edition {
        name: needed(fields, "name")?,
        timezone: needed(fields, "timezone")?,
        draft: text("status")? == Some("DRAFT"),
        street: text("address")?.and_then(normal::text),
        city: text("city")?.and_then(normal::text),
        state: text("province")?.and_then(normal::code),
        zipcode: text("postal_code")?.and_then(normal::text),
        country_code: text("country")?.and_then(normal::code),
    };
    let odd = || unmappable("races", "they have not the expected form");
    let races = match fields.get("races") {
        None => &Vec::new(),
        Some(races) => races.as_array().ok_or_else(odd)?,
    };
    let race = |race: &Value| {
        let name = normal::text(race.get("name")?.as_str()?)?;
        let start_time = local(race.get("start_time")?.as_str()?, &edition.timezone)?;
        Some(First { name, start_time })
    };
    let races: Option<Vec<First>> = races.iter().map(race).collect();
    let races = races.ok_or_else(odd)?;
    Ok(edition.wire().with_aside(json!({ "event": entity.id, "races": races })))
}

/// An EMS race's content.
pub(super) fn distance(fields: &Fields, parents: &RemoteIds) -> Result<Wire, Unmappable> {
    let event = fields.get("event_id").and_then(Value::as_i64);
    let event = event.ok_or_else(|| unmappable("event_id", "it is no id"))?;
    let edition = parents
        .get(&EntityRef::new(EntityType::Event, event))
        .and_then(|remote_id| EditionId::read(remote_id))
        .ok_or_else(|| unmappable("event_id", "its remote id is not that of a RunSignup race"))?;
    let zone = needed(fields, "timezone")?;
    let start_time = text(fields, "start_time")?.and_then(|start| local(start, &zone));
    let distance = Distance {
        race_id: edition.race_id.to_string(),
        race_event_days_id: edition.race_event_days_id.to_string(),
        name: needed(fields, "name")?,
        start_time: start_time
            .ok_or_else(|| unmappable("start_time", "it is no instant, or the zone is unknown"))?,
    };
    Ok(distance.wire())
}

/// What a race shows of an edition.
pub(super) fn edition_shown(race: &RaceRow) -> Option<Edition> {
    let nothing = Map::new();
    let address = race.row.get("address").and_then(Value::as_object).unwrap_or(&nothing);
    let part = |name: &str| address.get(name).and_then(Value::as_str);
    Some(Edition {
        name: normal::text(race.row.get("name")?.as_str()?)?,
        timezone: normal::text(race.row.get("timezone")?.as_str()?)?,
        draft: race.row.get("is_draft_race").and_then(Value::as_str) == Some("T"),
        street: part("street").and_then(normal::text),
        city: part("city").and_then(normal::text),
        state: part("state").and_then(normal::code),
        zipcode: part("zipcode").and_then(normal::text),
        country_code: part("country_code").and_then(normal::code),
    })
}

/// What an event shows.
pub(super) fn distance_shown(race_id: i64, event: &EventRow) -> Option<Distance> {
    let start = clock(event.row.get("start_time")?.as_str()?)?;
    Some(Distance {
        race_id: race_id.to_string(),
        race_event_days_id: event.days_id.to_string(),
        name: normal::text(event.row.get("name")?.as_str()?)?,
        start_time: minutes(start),
    })
}

/// `M/D/YYYY HH:MM`, as RunSignup writes what a clock shows.
pub(super) fn clock(text: &str) -> Option<DateTime> {
    DateTime::strptime("%m/%d/%Y %H:%M", text.trim()).ok()
}

/// An instant as a clock in the zone shows it.
fn local(instant: &str, zone: &str) -> Option<String> {
    let instant: Timestamp = instant.parse().ok()?;
    Some(minutes(instant.to_zoned(TimeZone::get(zone).ok()?).datetime()))
}

fn minutes(time: DateTime) -> String {
    time.strftime("%Y-%m-%dT%H:%M").to_string()
}

fn text<'a>(fields: &'a Fields, column: &'static str) -> Result<Option<&'a str>, Unmappable> {
    match fields.get(column) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(unmappable(column, "it is no text")),
    }
}

fn needed(fields: &Fields, column: &'static str) -> Result<String, Unmappable> {
    text(fields, column)?.and_then(normal::text).ok_or_else(|| unmappable(column, "it is empty"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields(value: Value) -> Fields {
        let Value::Object(map) = value else { panic!("not an object") };
        Fields::new(map)
    }

    const EVENT: EntityRef = EntityRef::new(EntityType::Event, 1);

    #[test]
    fn the_remote_id_of_an_event_is_canonical_json() {
        let id = EditionId { race_event_days_id: 12, race_id: 7 };
        assert_eq!(id.text(), r#"{"race_event_days_id":12,"race_id":7}"#);
        assert_eq!(EditionId::read(&id.text()), Some(id));
        assert_eq!(EditionId::read("7"), None);
    }

    /// Contract, section 5: an event's times are those of the race's zone.
    #[test]
    fn a_start_is_what_a_clock_at_the_race_shows() {
        let event = fields(json!({"event_id": 1, "name": "10 km", "timezone": "America/Chicago",
                                  "start_time": "2026-11-29T15:30:59Z"}));
        let parents =
            RemoteIds::from([(EVENT, r#"{"race_event_days_id":12,"race_id":7}"#.to_owned())]);
        let wanted = Distance::of(&distance(&event, &parents).unwrap()).unwrap();
        assert_eq!(wanted.start_time, "2026-11-29T09:30");
        assert_eq!(written_start(&wanted.start_time), "2026-11-29 09:30:00");
        let row = json!({"name": "10 km", "start_time": "11/29/2026 9:30"});
        let row = EventRow { id: 72, days_id: 12, row: row.as_object().unwrap().clone() };
        assert_eq!(distance_shown(7, &row), Some(wanted));
    }

    #[test]
    fn an_event_brings_what_a_new_race_begins_with_outside_of_its_hash() {
        let event = |races: Value| {
            let event =
                json!({"name": "Run", "timezone": "UTC", "status": "DRAFT", "races": races});
            edition(EVENT, &fields(event)).unwrap()
        };
        let one = event(json!([{"name": "10 km", "start_time": "2026-11-29T05:00:00Z"}]));
        assert_eq!(one.hash, event(json!([])).hash);
        let (edition, first) = Edition::of(&one).unwrap();
        assert!(edition.draft);
        assert_eq!(first[0].start_time, "2026-11-29T05:00");
    }

    proptest! {
        #[test]
        fn the_mapping_is_total(name in "\\PC{0,9}", zone in "\\PC{0,9}|UTC", start in "\\PC{0,9}", n in any::<i64>()) {
            let value = json!({"event_id": n, "name": name, "timezone": zone, "start_time": start, "races": [start]});
            edition(EVENT, &fields(value.clone())).ok();
            distance(&fields(value), &RemoteIds::from([(EVENT, zone)])).ok();
        }
    }
}
