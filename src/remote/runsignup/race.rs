//! Events and races of the EMS at RunSignup, where `push_races` is set (contract, section 7d). RunSignup has no call that
//! deletes either.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::answer;
use super::differs;
use super::directory::Race;
use super::normal;
use super::rows::{self, RaceRow};
use super::talk::{Stop, Talk};
use super::venue::{self, Distance, Edition, EditionId, First};
use crate::entity::EntityRef;
use crate::hash::ContentHash;
use crate::limits;
use crate::remote::{Action, FailureClass, Look, PushResult, Wire};

/// RunSignup's word for what the EMS has.
const EVENT_TYPE: &str = "running_race";

impl Talk<'_> {
    /// An EMS event: a race with its day.
    pub(super) async fn push_edition(
        &self,
        entity: EntityRef,
        action: &Action,
        expected: Option<ContentHash>,
    ) -> Result<PushResult, Stop> {
        match action {
            Action::Create { wire, look } => self.create_edition(entity, wire, *look).await,
            Action::Update { remote_id, wire } => {
                let id = edition_id(remote_id)?;
                let race = self.read_race(id.race_id).await.map_err(gone)?;
                let held = venue::edition_shown(&race.shown).ok_or_else(odd_race)?.wire();
                if differs::is_changed(expected, wire.hash, held.hash) {
                    return self.changed_there(&race, &id.text());
                }
                self.bring_edition(race.shown.clone(), Some(id), wire).await
            }
            Action::Delete { remote_id } => {
                let id = edition_id(remote_id)?;
                match self.read_race(id.race_id).await {
                    Err(stop) if stop.code() == Some(answer::RACE_NOT_FOUND) => {
                        Ok(PushResult::Gone)
                    }
                    Err(stop) => Err(stop),
                    Ok(_) => Err(Stop::new(FailureClass::Rejected, NOT_DELETED)),
                }
            }
            Action::DeleteByKey => match self.race_of_key(&self.key_of(entity)).await? {
                None => Ok(PushResult::Gone),
                Some(_) => Err(Stop::new(FailureClass::Rejected, NOT_DELETED)),
            },
        }
    }

    /// An EMS race: an event of its race.
    pub(super) async fn push_distance(
        &self,
        action: &Action,
        expected: Option<ContentHash>,
    ) -> Result<PushResult, Stop> {
        match action {
            Action::Create { wire, look } => self.create_distance(wire, *look).await,
            Action::Update { remote_id, wire } => {
                self.update_distance(remote_id, wire, expected).await
            }
            Action::Delete { remote_id } => match self.race_with(event_id(remote_id)?).await {
                Err(Stop::Refused(refusal))
                    if refusal.failure.class == FailureClass::MissingParent =>
                {
                    Ok(PushResult::Gone)
                }
                Err(stop) => Err(stop),
                Ok(_) => Err(Stop::new(FailureClass::Rejected, NOT_DELETED)),
            },
            // Without its content nothing tells which event it would be.
            Action::DeleteByKey => Err(Stop::new(FailureClass::Rejected, NOT_DELETED)),
        }
    }

    /// People have changed it; nothing is written.
    fn changed_there(&self, race: &Race, remote_id: &str) -> Result<PushResult, Stop> {
        let shown = self.snapshots_of(race, self.client.organisation)?;
        let text = "The race does not show what was looked for";
        differs::shown(shown, remote_id).ok_or_else(|| Stop::new(FailureClass::StaleMapping, text))
    }

    /// The end of the public address is our key: it is unique (216), and shown in lists.
    fn key_of(&self, entity: EntityRef) -> String {
        let account = self.client.login_digest().to_hex();
        format!("Ems{}{}", account.get(..8).unwrap_or_default(), entity.id)
    }

    async fn race_of_key(&self, key: &str) -> Result<Option<RaceRow>, Stop> {
        let size = limits::RUNSIGNUP_PAGE_ROWS.to_string();
        for page in 1..=limits::RUNSIGNUP_RACE_PAGES_MAX {
            let page = page.to_string();
            let query = [
                ("start_date", "1970-01-01"),
                ("results_per_page", size.as_str()),
                ("page", page.as_str()),
            ];
            let races = rows::races(&self.read("/races", &query).await?)?;
            let is_last = races.len() < limits::RUNSIGNUP_PAGE_ROWS;
            let has_key = |race: &RaceRow| {
                let url = race.row.get("url").and_then(Value::as_str);
                url.and_then(|url| url.rsplit('/').next()) == Some(key)
            };
            if let Some(found) = races.into_iter().find(has_key) {
                return Ok(Some(found));
            }
            if is_last {
                return Ok(None);
            }
        }
        Err(Stop::new(FailureClass::OurFault, "The list of races does not end"))
    }

    async fn create_edition(
        &self,
        entity: EntityRef,
        wire: &Wire,
        look: Look,
    ) -> Result<PushResult, Stop> {
        let (wanted, first) = edition_of(wire)?;
        let key = self.key_of(entity);
        if let Look::First { absence_is_proof } = look {
            match self.race_of_key(&key).await? {
                Some(found) => return self.adopt_edition(found.id, wire).await,
                None if !absence_is_proof => return Ok(PushResult::Unsettled),
                None => {}
            }
        }
        let mut request = wanted.sendable().changes(&Edition::default());
        request.insert("draft_race".to_owned(), json!(if wanted.draft { "T" } else { "F" }));
        request.insert("url_string".to_owned(), json!(key));
        let events: Vec<Value> = first.iter().map(new_event).collect();
        request.insert("events".to_owned(), Value::Array(events));
        let starts = first.iter().map(|first| first.start_time.as_str());
        let body = match self.post_race(request, starts, &wanted.timezone).await {
            Err(stop) if stop.code() == Some(answer::URL_IN_USE) => {
                return match self.race_of_key(&key).await? {
                    Some(found) => self.adopt_edition(found.id, wire).await,
                    None => Err(stop),
                };
            }
            body => body?,
        };
        let unreadable =
            || Stop::new(FailureClass::Ambiguous, "The answer to a new race does not name it");
        let race_id = normal::id(body.get("race_id")).ok_or_else(unreadable)?;
        let race = self.read_race(race_id).await?;
        held_edition(&race.shown, None, true)
    }

    async fn adopt_edition(&self, race_id: i64, wire: &Wire) -> Result<PushResult, Stop> {
        let race = self.read_race(race_id).await?;
        self.bring_edition(race.shown.clone(), None, wire).await
    }

    async fn bring_edition(
        &self,
        race: RaceRow,
        id: Option<EditionId>,
        wire: &Wire,
    ) -> Result<PushResult, Stop> {
        let (wanted, _) = edition_of(wire)?;
        let held = venue::edition_shown(&race).ok_or_else(odd_race)?;
        let mut request = wanted.sendable().changes(&held);
        if request.is_empty() {
            return held_edition(&race, id, false);
        }
        request.insert("race_id".to_owned(), json!(race.id));
        self.post_race(request, std::iter::empty(), &wanted.timezone).await.map_err(gone)?;
        let race = self.read_race(race.id).await?;
        held_edition(&race.shown, id, true)
    }

    async fn create_distance(&self, wire: &Wire, look: Look) -> Result<PushResult, Stop> {
        let wanted = distance_of(wire)?;
        let race_id = race_id(&wanted)?;
        let race = self.read_race(race_id).await?;
        if let Some(found) = the_same(&race, &wanted)? {
            return held_distance(&race, found, false);
        }
        if look == (Look::First { absence_is_proof: false }) {
            return Ok(PushResult::Unsettled);
        }
        // Only new events would be a renewal for another year: one that is there goes with it (224).
        let of_edition = race
            .shown
            .events
            .iter()
            .find(|event| event.days_id.to_string() == wanted.race_event_days_id);
        let mut events: Vec<Value> =
            of_edition.map(|event| json!({ "event_id": event.id })).into_iter().collect();
        let first = First { name: wanted.name.clone(), start_time: wanted.start_time.clone() };
        events.push(new_event(&first));
        let request = Map::from_iter([
            ("race_id".to_owned(), json!(race_id)),
            ("events".to_owned(), Value::Array(events)),
        ]);
        let start = std::iter::once(wanted.start_time.as_str());
        self.post_race(request, start, zone_of(&race)).await?;
        let race = self.read_race(race_id).await?;
        match the_same(&race, &wanted)? {
            Some(found) => held_distance(&race, found, true),
            None => Err(Stop::new(FailureClass::Ambiguous, "The new event can't be read yet")),
        }
    }

    async fn update_distance(
        &self,
        remote_id: &str,
        wire: &Wire,
        expected: Option<ContentHash>,
    ) -> Result<PushResult, Stop> {
        let (wanted, id) = (distance_of(wire)?, event_id(remote_id)?);
        let race_id = race_id(&wanted)?;
        let race = self.read_race(race_id).await.map_err(gone)?;
        let held = shown_distance(&race, id)?;
        if differs::is_changed(expected, wire.hash, held.wire().hash) {
            return self.changed_there(&race, &id.to_string());
        }
        if held == wanted {
            return held_distance(&race, id, false);
        }
        let mut event = Map::from_iter([("event_id".to_owned(), json!(id))]);
        if held.name != wanted.name {
            event.insert("name".to_owned(), json!(wanted.name));
        }
        if held.start_time != wanted.start_time {
            let start = venue::written_start(&wanted.start_time);
            event.insert("start_time".to_owned(), json!(start));
        }
        if event.len() > 1 {
            let request = Map::from_iter([
                ("race_id".to_owned(), json!(race_id)),
                ("events".to_owned(), json!([event])),
            ]);
            let start = std::iter::once(wanted.start_time.as_str());
            self.post_race(request, start, zone_of(&race)).await?;
        }
        let race = self.read_race(race_id).await?;
        held_distance(&race, id, self.has_written())
    }

    async fn post_race<'s>(
        &self,
        request: Map<String, Value>,
        starts: impl Iterator<Item = &'s str> + Send,
        zone: &str,
    ) -> Result<Value, Stop> {
        let mut form = Vec::new();
        if starts.into_iter().any(|start| is_past(start, zone)) {
            form.push(("allow_past_event_creation", "T"));
        }
        self.write("/race", &[], &form, &Value::Object(request)).await
    }
}

const NOT_DELETED: &str = "RunSignup has no call that deletes a race or an event: close or delete it there, then \
                           `dead-letters replay`";

fn new_event(first: &First) -> Value {
    json!({ "name": first.name, "start_time": venue::written_start(&first.start_time), "event_type": EVENT_TYPE })
}

/// Whether a start is over; one that can't be told is not.
fn is_past(start: &str, zone: &str) -> bool {
    let start: Option<jiff::civil::DateTime> = start.parse().ok();
    let start = start.and_then(|start| start.in_tz(zone).ok());
    start.is_some_and(|start| start.timestamp() < Timestamp::now())
}

fn zone_of(race: &Race) -> &str {
    race.shown.row.get("timezone").and_then(Value::as_str).unwrap_or("America/New_York")
}

/// The event of the edition with this name and start, if there is one.
fn the_same(race: &Race, wanted: &Distance) -> Result<Option<i64>, Stop> {
    let is_same = |event: &&rows::EventRow| {
        venue::distance_shown(race.id, event).is_some_and(|shown| shown == *wanted)
    };
    let mut found = race.shown.events.iter().filter(is_same);
    match (found.next(), found.next()) {
        (found, None) => Ok(found.map(|event| event.id)),
        (_, Some(_)) => {
            let text =
                "Several events of the race have this name and start: give them different names";
            Err(Stop::new(FailureClass::Rejected, text))
        }
    }
}

fn shown_distance(race: &Race, id: i64) -> Result<Distance, Stop> {
    let event = race.shown.events.iter().find(|event| event.id == id);
    let event =
        event.ok_or_else(|| Stop::new(FailureClass::StaleMapping, "The race has no such event"))?;
    venue::distance_shown(race.id, event).ok_or_else(odd_race)
}

fn held_distance(race: &Race, id: i64, written: bool) -> Result<PushResult, Stop> {
    let hash = shown_distance(race, id)?.wire().hash;
    Ok(held(id.to_string(), hash, written))
}

/// The edition that we know, or the newest one: that is the one that was made.
fn held_edition(race: &RaceRow, id: Option<EditionId>, written: bool) -> Result<PushResult, Stop> {
    let newest = race.events.iter().map(|event| event.days_id).max();
    let newest = newest.map(|days| EditionId { race_event_days_id: days, race_id: race.id });
    let id = id.or(newest).ok_or_else(|| {
        Stop::new(FailureClass::Ambiguous, "The race has no event that shows its day")
    })?;
    let hash = venue::edition_shown(race).ok_or_else(odd_race)?.wire().hash;
    Ok(held(id.text(), hash, written))
}

const fn held(remote_id: String, remote_hash: ContentHash, written: bool) -> PushResult {
    PushResult::Held { remote_id, remote_hash, written, carried: Vec::new(), left_to: None }
}

fn odd_race() -> Stop {
    Stop::new(FailureClass::OurFault, "The race is not what the contract has")
}

/// A race that we know and that is not there (contract, section 2, class "gone").
fn gone(stop: Stop) -> Stop {
    match stop.code() {
        Some(answer::RACE_NOT_FOUND) => Stop::new(FailureClass::StaleMapping, "The race is gone"),
        _ => stop,
    }
}

fn edition_of(wire: &Wire) -> Result<(Edition, Vec<First>), Stop> {
    Edition::of(wire).ok_or_else(|| Stop::new(FailureClass::OurFault, "The content is no event"))
}

fn distance_of(wire: &Wire) -> Result<Distance, Stop> {
    Distance::of(wire).ok_or_else(|| Stop::new(FailureClass::OurFault, "The content is no race"))
}

fn race_id(wanted: &Distance) -> Result<i64, Stop> {
    let id = wanted.race_id.parse().ok();
    id.ok_or_else(|| Stop::new(FailureClass::OurFault, "The content names no race"))
}

fn edition_id(remote_id: &str) -> Result<EditionId, Stop> {
    let id = EditionId::read(remote_id);
    id.ok_or_else(|| Stop::new(FailureClass::StaleMapping, "The remote id is no race's"))
}

fn event_id(remote_id: &str) -> Result<i64, Stop> {
    let id = remote_id.trim().parse().ok();
    id.ok_or_else(|| Stop::new(FailureClass::StaleMapping, "The remote id is no event's"))
}
