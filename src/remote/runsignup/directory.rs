//! Which race an event is in, which events a race has, and which question of a race carries our id.
//!
//! Every call about registrations is made under a race (EMS: event), but a race of the EMS is known by its event's id
//! alone. `/races` lists the most current events only (contract, section 4a), so what it does not show is looked for in
//! each race.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::answer;
use super::rows::{self, RaceRow};
use super::talk::{Stop, Talk};
use crate::limits;
use crate::remote::FailureClass;

/// A race in full: all years' events.
#[derive(Debug)]
pub(super) struct Race {
    pub(super) id: i64,
    /// Their ids, calls for volunteers left out.
    pub(super) events: BTreeSet<i64>,
    /// The question that carries our id.
    pub(super) marker_question: Option<i64>,
    pub(super) shown: RaceRow,
    read: Instant,
}

#[derive(Default)]
pub(super) struct Directory {
    known: Mutex<Known>,
    /// Held during a walk, so that there is one at a time.
    walking: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Known {
    /// By event.
    race_of: BTreeMap<i64, i64>,
    /// Every race that was seen, in full where it was read.
    races: BTreeMap<i64, Option<Arc<Race>>>,
    /// The last walk over `/races` began then.
    walked: Option<Instant>,
}

impl Directory {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn see(&self, race: &RaceRow) {
        let mut known = self.known();
        known.races.entry(race.id).or_default();
        known.race_of.extend(race.events.iter().map(|event| (event.id, race.id)));
    }

    fn keep(&self, race: &Arc<Race>) {
        self.see(&race.shown);
        self.known().races.insert(race.id, Some(Arc::clone(race)));
    }

    /// What was read of the race proves nothing any more.
    pub(super) fn forget(&self, race: i64) {
        let mut known = self.known();
        known.race_of.retain(|_, of| *of != race);
        known.races.insert(race, None);
    }

    /// There is no such race any more.
    pub(super) fn lose(&self, race: i64) {
        let mut known = self.known();
        known.race_of.retain(|_, of| *of != race);
        known.races.remove(&race);
    }

    pub(super) fn race_of(&self, event: i64) -> Option<i64> {
        self.known().race_of.get(&event).copied()
    }

    fn is_walked_since(&self, moment: Instant) -> bool {
        self.known().walked.is_some_and(|walked| walked >= moment)
    }

    fn unread(&self) -> Vec<i64> {
        let known = self.known();
        known.races.iter().filter(|(_, race)| race.is_none()).map(|(id, _)| *id).collect()
    }

    fn ids(&self) -> Vec<i64> {
        self.known().races.keys().copied().collect()
    }

    fn fresh(&self, race: i64) -> Option<Arc<Race>> {
        let known = self.known();
        let race = known.races.get(&race)?.as_ref()?;
        (race.read.elapsed() < limits::RUNSIGNUP_RACE_FRESH).then(|| Arc::clone(race))
    }
}

impl Talk<'_> {
    /// The race that has this event.
    pub(super) async fn race_with(&self, event: i64) -> Result<Arc<Race>, Stop> {
        let race = self.race_id_of(event).await?.ok_or_else(|| no_such_event(event))?;
        let race = self.race(race).await?;
        if race.events.contains(&event) {
            return Ok(race);
        }
        // The race has it no more, or has it since the race was read.
        self.directory().forget(race.id);
        let race = self.race(race.id).await?;
        if race.events.contains(&event) { Ok(race) } else { Err(no_such_event(event)) }
    }

    /// A race in full.
    pub(super) async fn race(&self, id: i64) -> Result<Arc<Race>, Stop> {
        match self.directory().fresh(id) {
            Some(race) => Ok(race),
            None => self.read_race(id).await,
        }
    }

    /// The same, as it is now.
    pub(super) async fn read_race(&self, id: i64) -> Result<Arc<Race>, Stop> {
        let read = Instant::now();
        let body = self.read(&format!("/race/{id}"), &[("include_questions", "T")]).await?;
        let shown = rows::race(&body).filter(|race| race.id == id).ok_or_else(|| {
            Stop::new(FailureClass::OurFault, "The race is not what the contract has")
        })?;
        let race = Arc::new(Race {
            id,
            events: shown.events.iter().map(|event| event.id).collect(),
            marker_question: shown.marker_question,
            shown,
            read,
        });
        self.directory().keep(&race);
        Ok(race)
    }

    /// The ids of all races that the key reaches, as they are now.
    pub(super) async fn all_races(&self) -> Result<Vec<i64>, Stop> {
        let directory = self.directory();
        let trusted = Instant::now().checked_sub(limits::RUNSIGNUP_WALK_TRUSTED);
        let _one_at_a_time = directory.walking.lock().await;
        if trusted.is_none_or(|since| !directory.is_walked_since(since)) {
            self.walk().await?;
        }
        Ok(directory.ids())
    }

    /// The same, as they were seen a while ago at most.
    pub(super) async fn known_races(&self) -> Result<Vec<i64>, Stop> {
        let trusted = Instant::now().checked_sub(limits::RUNSIGNUP_RACE_FRESH);
        let is_fresh = trusted.is_some_and(|since| self.directory().is_walked_since(since));
        if is_fresh { Ok(self.directory().ids()) } else { self.all_races().await }
    }

    /// The first of these races after an id that is there. One that went since it was listed is passed over.
    pub(super) async fn first_after(
        &self,
        races: &[i64],
        id: i64,
        is_read_anew: bool,
    ) -> Result<Option<Arc<Race>>, Stop> {
        for race in races.iter().copied().filter(|race| *race > id) {
            let found =
                if is_read_anew { self.read_race(race).await } else { self.race(race).await };
            match found {
                Err(stop) if stop.code() == Some(answer::RACE_NOT_FOUND) => {
                    self.directory().lose(race);
                }
                found => return found.map(Some),
            }
        }
        Ok(None)
    }

    pub(super) async fn race_id_of(&self, event: i64) -> Result<Option<i64>, Stop> {
        let directory = self.directory();
        if let Some(race) = directory.race_of(event) {
            return Ok(Some(race));
        }
        self.all_races().await?;
        let _one_at_a_time = directory.walking.lock().await;
        for race in directory.unread() {
            if directory.race_of(event).is_some() {
                break;
            }
            match self.read_race(race).await {
                // It can have gone since it was listed.
                Err(stop) if stop.code() == Some(answer::RACE_NOT_FOUND) => {}
                Err(stop) => return Err(stop),
                Ok(_) => {}
            }
        }
        Ok(directory.race_of(event))
    }

    async fn walk(&self) -> Result<(), Stop> {
        let began = Instant::now();
        let size = limits::RUNSIGNUP_PAGE_ROWS.to_string();
        for page in 1..=limits::RUNSIGNUP_RACE_PAGES_MAX {
            let page = page.to_string();
            let query = [
                ("events", "T"),
                // Else it begins with today.
                ("start_date", "1970-01-01"),
                ("results_per_page", size.as_str()),
                ("page", page.as_str()),
            ];
            let races = rows::races(&self.read("/races", &query).await?)?;
            races.iter().for_each(|race| self.directory().see(race));
            if races.len() < limits::RUNSIGNUP_PAGE_ROWS {
                self.directory().known().walked = Some(began);
                return Ok(());
            }
        }
        Err(Stop::new(FailureClass::OurFault, "The list of races does not end"))
    }

    pub(super) const fn directory(&self) -> &Directory {
        &self.client.directory
    }
}

fn no_such_event(event: i64) -> Stop {
    let text = format!("No race that the key reaches has the event {event}");
    Stop::new(FailureClass::MissingParent, text)
}
