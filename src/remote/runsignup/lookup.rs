//! Where a registration is, and which one is ours (contract, sections 4c, 4d and 9).

use std::sync::Arc;

use super::answer;
use super::directory::Race;
use super::rows::{self, Registration, Removed, Row};
use super::talk::{Stop, Talk};
use crate::limits;
use crate::remote::{Failure, FailureClass};

/// Names to search for; RunSignup finds parts of them, whatever their case, so every hit is compared.
#[derive(Debug, Clone, Copy)]
pub(super) enum Search<'a> {
    /// Everybody.
    All,
    Names {
        first_name: &'a str,
        last_name: &'a str,
    },
    Email(&'a str),
    /// Those that were changed then or later, in Unix seconds.
    Since(i64),
}

impl Talk<'_> {
    /// The registration of that id, in whichever event of the race it stands.
    pub(super) async fn standing(
        &self,
        race: &Race,
        id: i64,
    ) -> Result<Option<Registration>, Stop> {
        for events in chunks(race) {
            let body = self.list_of_id(race, "participants", &events, id).await?;
            let found = rows::registrations(&body, &events, race.marker_question)?;
            // Whoever was not asked for proves nothing about the one who was.
            if found.iter().any(|found| found.id != id) {
                let text = "The list of one registration shows another one: absence can't be told";
                return Err(Stop::new(FailureClass::OurFault, text));
            }
            if let Some(found) = found.into_iter().next() {
                self.client.memory.is_shown(id);
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The same among those that stand no more.
    pub(super) async fn removed(&self, race: &Race, id: i64) -> Result<Option<Removed>, Stop> {
        for events in chunks(race) {
            let body = self.list_of_id(race, "removed-participants", &events, id).await?;
            if let Some(found) = rows::removed(&body, &events, id)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    async fn list_of_id(
        &self,
        race: &Race,
        list: &str,
        events: &[i64],
        id: i64,
    ) -> Result<serde_json::Value, Stop> {
        let (after, before) = (id.saturating_sub(1).to_string(), id.saturating_add(1).to_string());
        let mut query = vec![
            ("after_registration_id", after.as_str()),
            ("before_registration_id", before.as_str()),
        ];
        if list == "participants" {
            query.push(("include_questions", "T"));
        }
        self.list(race, list, events, &query).await
    }

    /// One page of a list of the race's events.
    pub(super) async fn list(
        &self,
        race: &Race,
        list: &str,
        events: &[i64],
        query: &[(&str, &str)],
    ) -> Result<serde_json::Value, Stop> {
        let events: Vec<String> = events.iter().map(i64::to_string).collect();
        let events = events.join(",");
        let size = limits::RUNSIGNUP_PAGE_ROWS.to_string();
        let mut all = vec![
            ("event_id", events.as_str()),
            // Else gender X is shown as another.
            ("supports_nb", "T"),
            ("sort", "registration_id ASC"),
            ("results_per_page", size.as_str()),
        ];
        all.extend(query);
        let body = self.read(&format!("/race/{}/{list}", race.id), &all).await;
        body.map_err(|stop| match stop.code() {
            // An event went since the race was read: it is read anew with the next attempt.
            Some(answer::INVALID_ID) => {
                self.client.directory.forget(race.id);
                Stop::new(FailureClass::Transient, "The race has other events by now")
            }
            _ => stop,
        })
    }

    /// One page of the registrations of an event, after an id; whether it is the last one.
    pub(super) async fn page(
        &self,
        race: &Race,
        event: i64,
        after: i64,
        search: Search<'_>,
    ) -> Result<(Vec<Registration>, bool), Stop> {
        let (rows, is_last) = self.page_walked(race, event, after, search).await?;
        let found: Result<Vec<Registration>, Failure> =
            rows.into_iter().map(rows::readable).collect();
        Ok((found?, is_last))
    }

    /// The same, with the ids of those that can't be read.
    pub(super) async fn page_walked(
        &self,
        race: &Race,
        event: i64,
        after: i64,
        search: Search<'_>,
    ) -> Result<(Vec<Row<Registration>>, bool), Stop> {
        let (from, since);
        from = after.to_string();
        let mut query = vec![("after_registration_id", from.as_str()), ("include_questions", "T")];
        match search {
            Search::All => {}
            Search::Names { first_name, last_name } => {
                query.push(("search_first_name", first_name));
                query.push(("search_last_name", last_name));
            }
            Search::Email(email) => query.push(("search_email", email)),
            Search::Since(seconds) => {
                since = seconds.to_string();
                query.push(("modified_after_timestamp", since.as_str()));
            }
        }
        let body = self.list(race, "participants", &[event], &query).await?;
        let found = rows::registrations_walked(&body, &[event], race.marker_question)?;
        ascend(after, found.iter().map(id_of))?;
        let is_last = found.len() < limits::RUNSIGNUP_PAGE_ROWS;
        Ok((found, is_last))
    }

    /// The registrations of an event that are wanted, by keyset to its end.
    pub(super) async fn all(
        &self,
        race: &Race,
        event: i64,
        search: Search<'_>,
        is_wanted: impl Fn(&Registration) -> bool + Send,
    ) -> Result<Vec<Registration>, Stop> {
        let (mut after, mut wanted) = (0, Vec::new());
        loop {
            let (page, is_last) = self.page(race, event, after, search).await?;
            after = page.last().map_or(after, |row| row.id);
            wanted.extend(page.into_iter().filter(&is_wanted));
            if is_last || wanted.len() > limits::RUNSIGNUP_PAGE_ROWS {
                return Ok(wanted);
            }
        }
    }

    /// A registration of which only the id is known: in the race where we have seen it, else in every other one.
    pub(super) async fn locate(
        &self,
        id: i64,
        except: Option<i64>,
    ) -> Result<Option<(Arc<Race>, Registration)>, Stop> {
        let seat = self.client.memory.seat(id).map(|seat| seat.race_id);
        for race in seat.into_iter().filter(|race| Some(*race) != except) {
            if let Some(found) = self.at(race, id).await? {
                return Ok(Some(found));
            }
        }
        for race in self.all_races().await? {
            if Some(race) == except || Some(race) == seat {
                continue;
            }
            if let Some(found) = self.at(race, id).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The id that a registration got when it was transferred, by us or by people (contract, section 7b); `None` where it was
    /// not.
    pub(super) async fn transferred(&self, id: i64) -> Result<Option<i64>, Stop> {
        let seat = self.client.memory.seat(id).map(|seat| seat.race_id);
        let races = match seat {
            Some(race) => vec![race],
            None => self.all_races().await?,
        };
        for race in races {
            let race = match self.race(race).await {
                Ok(race) => race,
                Err(stop) if stop.code() == Some(answer::RACE_NOT_FOUND) => continue,
                Err(stop) => return Err(stop),
            };
            if let Some(removed) = self.removed(&race, id).await? {
                return Ok(removed.removal.new_id);
            }
        }
        Ok(None)
    }

    async fn at(&self, race: i64, id: i64) -> Result<Option<(Arc<Race>, Registration)>, Stop> {
        let race = match self.race(race).await {
            Ok(race) => race,
            Err(stop) if stop.code() == Some(answer::RACE_NOT_FOUND) => return Ok(None),
            Err(stop) => return Err(stop),
        };
        Ok(self.standing(&race, id).await?.map(|found| (race, found)))
    }
}

pub(super) fn id_of(row: &Row<Registration>) -> i64 {
    row.as_ref().map_or_else(|id| *id, |row| row.id)
}

/// A page of a walk by keyset: each id is greater than the one before.
pub(super) fn ascend(after: i64, mut ids: impl Iterator<Item = i64>) -> Result<(), Stop> {
    match ids.try_fold(after, |last, id| (id > last).then_some(id)) {
        Some(_) => Ok(()),
        None => Err(Stop::new(FailureClass::OurFault, "The list ignores its filter or its order")),
    }
}

/// The race's events, as many as one call is asked about.
fn chunks(race: &Race) -> Vec<Vec<i64>> {
    let events: Vec<i64> = race.events.iter().copied().collect();
    events.chunks(limits::RUNSIGNUP_EVENTS_AT_ONCE).map(<[i64]>::to_vec).collect()
}
