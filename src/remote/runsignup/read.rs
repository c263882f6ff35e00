//! One record anew, as a walk would show it. That it is gone is said only where RunSignup says it (`remote::inbound`,
//! obligation 5).

use super::answer;
use super::directory::Race;
use super::registration::registration_id;
use super::snapshot;
use super::talk::{Stop, Talk};
use super::venue::EditionId;
use crate::entity::EntityType;
use crate::remote::FailureClass;
use crate::remote::inbound::Snapshot;

impl Talk<'_> {
    pub(super) async fn read_one(
        &self,
        entity_type: EntityType,
        remote_id: &str,
        organisation: Option<i64>,
    ) -> Result<Snapshot, Stop> {
        match entity_type {
            EntityType::EventParticipant => self.read_registration(remote_id).await,
            EntityType::Event => self.read_edition(remote_id, organisation).await,
            EntityType::Race => self.read_distance(remote_id, organisation).await,
            EntityType::Organisation
            | EntityType::Person
            | EntityType::StartGroup
            | EntityType::StartGroupParticipant
            | EntityType::Tag
            | EntityType::Conversation => {
                Err(Stop::new(FailureClass::OurFault, "RunSignup has no such record of its own"))
            }
        }
    }

    /// It is gone if neither list of the race where it stood has it, both read to their ends. Where that was is known to the
    /// process that has seen it there; to any other one its absence proves nothing.
    async fn read_registration(&self, remote_id: &str) -> Result<Snapshot, Stop> {
        let id = registration_id(remote_id)?;
        let Some(place) = self.client.memory.place(id) else {
            for race in self.all_races().await? {
                let race = match self.race(race).await {
                    Err(stop) if stop.code() == Some(answer::RACE_NOT_FOUND) => continue,
                    race => race?,
                };
                if let Some(found) = self.shown_in(&race, id).await? {
                    return Ok(found);
                }
            }
            return Err(Stop::new(FailureClass::StaleMapping, NOWHERE));
        };
        let race = self.read_race(place).await?;
        match self.shown_in(&race, id).await? {
            Some(found) => Ok(found),
            None if self.client.memory.may_be_hidden(id) => {
                Err(Stop::new(FailureClass::Transient, "It was added and can't be read yet"))
            }
            None => Ok(snapshot::gone(EntityType::EventParticipant, remote_id)),
        }
    }

    /// One that came back to life stays in the list of the removed: the list of those that stand has the last word.
    async fn shown_in(&self, race: &Race, id: i64) -> Result<Option<Snapshot>, Stop> {
        if let Some(found) = self.standing(race, id).await? {
            self.client.memory.is_listed(id, race.id);
            return Ok(Some(snapshot::of_registration(&found)));
        }
        let Some(removed) = self.removed(race, id).await? else { return Ok(None) };
        self.client.memory.is_listed(id, race.id);
        let again = self.standing(race, id).await?;
        let again = again.map(|again| snapshot::of_registration(&again));
        Ok(Some(again.unwrap_or_else(|| snapshot::of_removal(&removed.removal))))
    }

    async fn read_edition(
        &self,
        remote_id: &str,
        organisation: Option<i64>,
    ) -> Result<Snapshot, Stop> {
        let id = EditionId::read(remote_id);
        let id = id.ok_or_else(|| Stop::new(FailureClass::StaleMapping, "It is no race's id"))?;
        let gone = || snapshot::gone(EntityType::Event, remote_id);
        let race = match self.read_race(id.race_id).await {
            Err(stop) if stop.code() == Some(answer::RACE_NOT_FOUND) => return Ok(gone()),
            race => race?,
        };
        // The race's own page has all its days.
        let shown = snapshot::of_race(&race.shown, organisation);
        Ok(one_of(shown, EntityType::Event, &id.text()).unwrap_or_else(gone))
    }

    async fn read_distance(
        &self,
        remote_id: &str,
        organisation: Option<i64>,
    ) -> Result<Snapshot, Stop> {
        let id = registration_id(remote_id)?;
        let Some(race) = self.race_id_of(id).await? else {
            let text = format!("No race that the key reaches has the event {id}");
            return Err(Stop::new(FailureClass::MissingParent, text));
        };
        let race = self.read_race(race).await?;
        let shown = snapshot::of_race(&race.shown, organisation);
        if let Some(found) = one_of(shown, EntityType::Race, &id.to_string()) {
            return Ok(found);
        }
        let query = [("event_id", remote_id), ("supports_nb", "T"), ("results_per_page", "1")];
        match self.read(&format!("/race/{}/participants", race.id), &query).await {
            Err(stop) if stop.code() == Some(answer::INVALID_ID) => {
                self.directory().forget(race.id);
                Ok(snapshot::gone(EntityType::Race, remote_id))
            }
            Err(stop) => Err(stop),
            Ok(_) => {
                let text = format!("The event {id} is there, and the race does not show it");
                Err(Stop::new(FailureClass::OurFault, text))
            }
        }
    }
}

const NOWHERE: &str = "The registration is in no list that the key reaches, and nothing tells where it stood: see whether it \
                       is at RunSignup";

fn one_of(shown: Vec<Snapshot>, entity_type: EntityType, remote_id: &str) -> Option<Snapshot> {
    let mut shown = shown.into_iter();
    shown.find(|one| one.entity_type == entity_type && one.remote_id == remote_id)
}
