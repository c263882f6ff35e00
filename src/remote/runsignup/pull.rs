//! What has changed at RunSignup, page by page (contract, sections 4 and 6; [`crate::remote::inbound`]).
//!
//! Races tell no time of a change, so each walk shows all of them, and their content decides. Registrations are walked by keyset
//! from a moment of RunSignup's own clock on, event by event, first those that stand, then those that stand no more.

use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use serde_json::{Value, json};

use super::directory::Race;
use super::lookup::{self, Search};
use super::rows::{self, EventRow, Registration, Removal, Row};
use super::snapshot;
use super::talk::{Stop, Talk};
use super::walk::{Phase, Walk};
use crate::limits;
use crate::remote::FailureClass;
use crate::remote::inbound::{PullFrom, Pulled, Snapshot, Stream};

impl Talk<'_> {
    pub(super) async fn pull_from(
        &self,
        stream: Stream,
        from: &PullFrom,
        organisation: Option<i64>,
    ) -> Result<Pulled, Stop> {
        let pulled = match stream {
            Stream::Races => self.pull_race(from, organisation).await?,
            Stream::Registrations => self.pull_registrations(from).await?,
            Stream::Contacts | Stream::Conversations | Stream::Consents => {
                return Err(Stop::new(FailureClass::OurFault, "RunSignup has no such stream"));
            }
        };
        Ok(Pulled { server_time: self.server_time(), ..pulled })
    }

    /// The next race with its events, all years of it, as it is now.
    async fn pull_race(&self, from: &PullFrom, organisation: Option<i64>) -> Result<Pulled, Stop> {
        let after = match &from.position {
            None => 0,
            Some(position) => position.get("race").and_then(Value::as_i64).ok_or_else(odd)?,
        };
        let races = if after == 0 { self.all_races().await? } else { self.known_races().await? };
        let Some(race) = self.first_after(&races, after, true).await? else {
            return Ok(Pulled { shows_all: true, ..Pulled::default() });
        };
        Ok(Pulled {
            snapshots: snapshot::of_race(&race.shown, organisation),
            position: Some(json!({ "race": race.id })),
            ..Pulled::default()
        })
    }

    async fn pull_registrations(&self, from: &PullFrom) -> Result<Pulled, Stop> {
        let mut walk = match &from.position {
            None => Walk::begin(from.cursor.as_ref().filter(|_| !from.full)),
            Some(position) => Walk::read(position).ok_or_else(odd)?,
        };
        let races = match from.position {
            None => self.all_races().await?,
            Some(_) => self.known_races().await?,
        };
        let (race, event) = loop {
            match self.event_of(&walk, &races).await? {
                Some(found) => break found,
                None if walk.turn() => {}
                None => {
                    return Ok(Pulled {
                        cursor: walk.cursor().or_else(|| from.cursor.clone()),
                        shows_all: walk.is_full(),
                        ..Pulled::default()
                    });
                }
            }
        };
        walk.enter(race.id, event);
        let snapshots = match walk.phase {
            Phase::Standing => self.page_of_standing(&race, &mut walk).await?,
            Phase::Removed => self.page_of_removed(&race, &mut walk).await?,
        };
        let position = Some(walk.position());
        Ok(Pulled { snapshots, position, ..Pulled::default() })
    }

    /// The event that the walk stands in, or the next one that it is to look at.
    async fn event_of(&self, walk: &Walk, races: &[i64]) -> Result<Option<(Arc<Race>, i64)>, Stop> {
        let now = walk.began().and_then(|began| Timestamp::from_second(began).ok());
        let now = now.or_else(|| self.server_time()).unwrap_or_else(Timestamp::now);
        let mut after = walk.race - 1;
        while let Some(race) = self.first_after(races, after, false).await? {
            let zone = race.shown.row.get("timezone").and_then(Value::as_str);
            let zone = zone.and_then(|zone| TimeZone::get(zone).ok()).unwrap_or(TimeZone::UTC);
            let is_ahead = |event: i64| {
                race.id != walk.race || event > walk.event || (event == walk.event && !walk.over)
            };
            let mut events: Vec<&EventRow> = race.shown.events.iter().collect();
            events.sort_by_key(|event| event.id);
            let found = events.into_iter().find(|event| {
                is_ahead(event.id) && (walk.is_full() || !is_long_past(event, &zone, now))
            });
            if let Some(event) = found.map(|event| event.id) {
                return Ok(Some((race, event)));
            }
            after = race.id;
        }
        Ok(None)
    }

    async fn page_of_standing(&self, race: &Race, walk: &mut Walk) -> Result<Vec<Snapshot>, Stop> {
        let search = walk.since.map_or(Search::All, Search::Since);
        let (page, _) = self.page_walked(race, walk.event, walk.registration, search).await?;
        self.note(race, page.iter().map(lookup::id_of));
        let changed = |row: &Row<Registration>| row.as_ref().ok().and_then(|row| row.last_modified);
        walk.shown(self.answered_at(), page.iter().map(|row| (lookup::id_of(row), changed(row))));
        let snapshot = |row: &Row<Registration>| match row {
            Ok(row) if row.last_modified.is_none() => snapshot::unreadable(row.id, WITHOUT_TIME),
            Ok(row) => snapshot::of_registration(row),
            Err(id) => snapshot::unreadable(*id, ODD_ROW),
        };
        Ok(page.iter().map(snapshot).collect())
    }

    async fn page_of_removed(&self, race: &Race, walk: &mut Walk) -> Result<Vec<Snapshot>, Stop> {
        let (after, since) = (walk.registration.to_string(), walk.since.map(|s| s.to_string()));
        let mut query = vec![("after_registration_id", after.as_str())];
        query.extend(since.as_deref().map(|since| ("modified_after_timestamp", since)));
        let events = [walk.event];
        let body = self.list(race, "removed-participants", &events, &query).await?;
        let page = rows::removals(&body, &events)?;
        let id_of = |row: &Row<Removal>| row.as_ref().map_or_else(|id| *id, |row| row.id);
        lookup::ascend(walk.registration, page.iter().map(id_of))?;
        self.note(race, page.iter().map(id_of));
        let changed = |row: &Row<Removal>| row.as_ref().ok().map(|row| row.last_modified);
        walk.shown(self.answered_at(), page.iter().map(|row| (id_of(row), changed(row))));
        let read: Vec<Removal> = page.iter().filter_map(|row| row.clone().ok()).collect();
        let again = self.standing_again(race, walk.event, &read).await?;
        let snapshot = |row: &Row<Removal>| match row {
            Ok(removal) => {
                let again = again.iter().find(|row| row.id == removal.id);
                again.map_or_else(|| snapshot::of_removal(removal), snapshot::of_registration)
            }
            Err(id) => snapshot::unreadable(*id, ODD_ROW),
        };
        Ok(page.iter().map(snapshot).collect())
    }

    /// Those of a page of removed ones that stand by now. What came back to life stays in the list of the removed, and
    /// its change is the later one (contract, section 6).
    async fn standing_again(
        &self,
        race: &Race,
        event: i64,
        removed: &[Removal],
    ) -> Result<Vec<Registration>, Stop> {
        let mut again = Vec::new();
        let (Some(first), Some(last)) = (removed.first(), removed.last()) else { return Ok(again) };
        let since = removed.iter().map(|row| row.last_modified).min().unwrap_or_default();
        let mut after = first.id.saturating_sub(1);
        loop {
            let (page, _) = self.page_walked(race, event, after, Search::Since(since)).await?;
            let Some(end) = page.last().map(lookup::id_of) else { return Ok(again) };
            again.extend(page.into_iter().filter_map(Result::ok).filter(|row| {
                removed.iter().any(|was| {
                    was.id == row.id && row.last_modified.is_some_and(|at| at >= was.last_modified)
                })
            }));
            if end >= last.id {
                return Ok(again);
            }
            after = end;
        }
    }

    /// Where they are is known now, should one be asked for.
    fn note(&self, race: &Race, registrations: impl Iterator<Item = i64>) {
        registrations.for_each(|id| self.client.memory.is_listed(id, race.id));
    }

    fn answered_at(&self) -> Option<i64> {
        self.server_time().map(Timestamp::as_second)
    }
}

fn odd() -> Stop {
    Stop::new(FailureClass::OurFault, "The position is none of this stream")
}

const WITHOUT_TIME: &str = "It does not tell when it was changed";
const ODD_ROW: &str = "Something of it has not the contract's form: look at it at RunSignup";

/// Refunds, corrections and late entries end some weeks after a race. From then on only the daily walk over everything looks
/// there, so that an account with the events of many years does not take a call for each of them every few minutes. An event
/// whose time can't be read is never long past.
fn is_long_past(event: &EventRow, zone: &TimeZone, now: Timestamp) -> bool {
    let end =
        ["end_time", "start_time"].into_iter().filter_map(|name| snapshot::clock_of(event, name));
    let end = end.max().and_then(|end| end.to_zoned(zone.clone()).ok());
    let limit = now.checked_sub(limits::RUNSIGNUP_EVENT_IS_LIVE_FOR_HOURS.hours());
    end.zip(limit.ok()).is_some_and(|(end, limit)| end.timestamp() < limit)
}
