//! Everything that RunSignup holds, page by page: races, events, and the registrations of each event by keyset (contract,
//! sections 4 and 6). Persons have no list: they are seen in their registrations.

use std::sync::Arc;

use super::directory::Race;
use super::lookup::Search;
use super::talk::{Stop, Talk};
use super::venue::{self, EditionId};
use crate::entity::EntityType;
use crate::remote::{FailureClass, Page, RemoteRecord};

/// Where a page begins: after a registration of an event of a race.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Cursor {
    race: i64,
    event: i64,
    registration: i64,
}

impl Cursor {
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(':').map(|part| part.parse().ok());
        let (race, event, registration) = (parts.next()??, parts.next()??, parts.next()??);
        parts.next().is_none().then_some(Self { race, event, registration })
    }

    fn text(self) -> String {
        format!("{}:{}:{}", self.race, self.event, self.registration)
    }
}

impl Talk<'_> {
    pub(super) async fn list_of(
        &self,
        entity_type: EntityType,
        from: Option<&str>,
    ) -> Result<Page, Stop> {
        let nothing = Page { records: Vec::new(), next: None };
        let cursor = from.map_or(Some(Cursor::default()), Cursor::read);
        let cursor = cursor
            .ok_or_else(|| Stop::new(FailureClass::OurFault, "The page's beginning is odd"))?;
        match entity_type {
            EntityType::EventParticipant => self.registrations(cursor).await,
            EntityType::Event | EntityType::Race => {
                let Some(race) = self.race_after(cursor.race).await? else { return Ok(nothing) };
                let records = if entity_type == EntityType::Event {
                    editions(&race)
                } else {
                    distances(&race)
                };
                let next = Cursor { race: race.id, ..Cursor::default() };
                Ok(Page { records, next: Some(next.text()) })
            }
            EntityType::Organisation
            | EntityType::Person
            | EntityType::StartGroup
            | EntityType::StartGroupParticipant
            | EntityType::Tag
            | EntityType::Conversation => Ok(nothing),
        }
    }

    /// A page of an event's registrations; after its last one the next event begins, and after the last one of a race the
    /// next race. The races are read anew where their turn comes, so that a walk has what it says.
    async fn registrations(&self, from: Cursor) -> Result<Page, Stop> {
        let (race, event) = match self.event_after(from).await? {
            Some(found) => found,
            None => return Ok(Page { records: Vec::new(), next: None }),
        };
        let is_begun = (race.id, event) == (from.race, from.event);
        let after = if is_begun { from.registration } else { 0 };
        let (found, is_last) = self.page(&race, event, after, Search::All).await?;
        let last = found.last().map_or(after, |row| row.id);
        let registration = if is_last { i64::MAX } else { last };
        let next = Cursor { race: race.id, event, registration };
        let records = found
            .into_iter()
            .map(|row| RemoteRecord {
                remote_id: row.id.to_string(),
                entity: row.entity(),
                wire: row.content.wire(),
            })
            .collect();
        Ok(Page { records, next: Some(next.text()) })
    }

    /// The event that a cursor stands in, or the first one after it.
    async fn event_after(&self, cursor: Cursor) -> Result<Option<(Arc<Race>, i64)>, Stop> {
        let mut race = match cursor.race {
            0 => self.race_after(0).await?,
            known => Some(self.race(known).await?),
        };
        let is_over = cursor.registration == i64::MAX;
        while let Some(here) = race {
            let is_next = |event: &&i64| {
                here.id != cursor.race
                    || **event > cursor.event
                    || (**event == cursor.event && !is_over)
            };
            if let Some(event) = here.events.iter().find(is_next).copied() {
                return Ok(Some((here, event)));
            }
            race = self.race_after(here.id).await?;
        }
        Ok(None)
    }

    async fn race_after(&self, id: i64) -> Result<Option<Arc<Race>>, Stop> {
        let races = self.all_races().await?;
        match races.into_iter().find(|race| *race > id) {
            Some(next) => self.read_race(next).await.map(Some),
            None => Ok(None),
        }
    }
}

/// A race is one record for each of its days (years).
fn editions(race: &Race) -> Vec<RemoteRecord> {
    let days: std::collections::BTreeSet<i64> =
        race.shown.events.iter().map(|event| event.days_id).collect();
    let shown = venue::edition_shown(&race.shown);
    let record = |days: i64| {
        let id = EditionId { race_event_days_id: days, race_id: race.id };
        Some(RemoteRecord { remote_id: id.text(), entity: None, wire: shown.as_ref()?.wire() })
    };
    days.into_iter().filter_map(record).collect()
}

fn distances(race: &Race) -> Vec<RemoteRecord> {
    let record = |event: &super::rows::EventRow| {
        let wire = venue::distance_shown(race.id, event)?.wire();
        Some(RemoteRecord { remote_id: event.id.to_string(), entity: None, wire })
    };
    race.shown.events.iter().filter_map(record).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_its_own_text_back() {
        let cursor = Cursor { race: 7, event: 72, registration: 9 };
        assert_eq!(Cursor::read(&cursor.text()), Some(cursor));
        for odd in ["", "7", "7:72", "7:72:x", "7:72:9:1"] {
            assert_eq!(Cursor::read(odd), None, "{odd}");
        }
    }
}
