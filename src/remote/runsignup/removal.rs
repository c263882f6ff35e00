//! Removing a registration (contract, section 7c): only what came through the API. Whoever paid has to be refunded by a
//! person.

use serde_json::json;

use std::sync::Arc;

use super::directory::Race;
use super::lookup::Search;
use super::registration::registration_id;
use super::rows::{self, Registration};
use super::talk::{Stop, Talk};
use crate::entity::EntityRef;
use crate::limits;
use crate::remote::{FailureClass, PushResult};

impl Talk<'_> {
    /// What stands nowhere, and was not transferred, is gone.
    pub(super) async fn delete(
        &self,
        remote_id: &str,
        entity: EntityRef,
    ) -> Result<PushResult, Stop> {
        let mut id = registration_id(remote_id)?;
        for _ in 0..limits::RUNSIGNUP_TRANSFERS_MAX {
            let found = self.locate(id, None).await?;
            if found.is_none()
                && !self.client.memory.may_be_hidden(id)
                && let Some(new_id) = self.transferred(id).await?
            {
                id = new_id;
                continue;
            }
            return self.delete_found(id, entity, found).await;
        }
        Err(Stop::new(FailureClass::OurFault, "The registration was transferred too often"))
    }

    async fn delete_found(
        &self,
        id: i64,
        entity: EntityRef,
        found: Option<(Arc<Race>, Registration)>,
    ) -> Result<PushResult, Stop> {
        match found {
            Some((_, found)) if found.entity().is_some_and(|carried| carried != entity) => {
                let text = "The registration carries another EMS id";
                Err(Stop::new(FailureClass::StaleMapping, text))
            }
            Some((race, found)) => self.remove(&race, &found).await,
            None if self.client.memory.may_be_hidden(id) => {
                Err(Stop::new(FailureClass::Transient, "It was added and can't be read yet"))
            }
            None => {
                self.client.memory.is_gone(id);
                Ok(PushResult::Gone)
            }
        }
    }

    /// An add may have been applied, and only the id in the race's question, or our memory of what was sent, finds it.
    pub(super) async fn delete_by_key(&self, entity: EntityRef) -> Result<PushResult, Stop> {
        let sent = self.client.memory.sent(entity);
        if let Some(sent) = &sent {
            let race = self.race(sent.race_id).await?;
            if let Some(found) = self.find_sent(sent, entity).await? {
                return self.remove(&race, &found).await;
            }
        }
        let mut all_carry_ids = true;
        for race in self.all_races().await? {
            let race = self.race(race).await?;
            all_carry_ids &= race.marker_question.is_some();
            if race.marker_question.is_none() {
                continue;
            }
            for event in &race.events {
                let is_ours = |row: &Registration| row.entity() == Some(entity);
                let found = self.all(&race, *event, Search::All, is_ours).await?;
                if let Some(found) = found.first() {
                    return self.remove(&race, found).await;
                }
            }
        }
        if all_carry_ids || sent.is_some() {
            return Ok(PushResult::Gone);
        }
        Err(Stop::new(FailureClass::Rejected, NOT_TO_BE_FOUND))
    }

    /// Removes one registration, if it was imported.
    pub(super) async fn remove(
        &self,
        race: &Race,
        found: &Registration,
    ) -> Result<PushResult, Stop> {
        self.finds(found.id);
        if !found.imported {
            return Err(Stop::new(FailureClass::Rejected, PAID));
        }
        let id = race.id.to_string();
        let request = json!({ "registrations": [{ "registration_id": found.id }] });
        let form = [("race_id", id.as_str()), ("allow_non_imports", "F")];
        let path = format!("/race/{id}/delete-participants");
        let body = self.write(&path, &[], &form, &request).await?;
        let removed = rows::written_ids(&body).ok_or_else(|| {
            Stop::new(FailureClass::Ambiguous, "The answer to a delete can't be read")
        })?;
        if removed.iter().any(|id| *id != found.id) {
            let text = "The answer to a delete names another registration";
            return Err(Stop::new(FailureClass::Ambiguous, text));
        }
        // The answer lists what was removed; what it leaves out may have gone by another hand.
        if removed != [found.id] && self.standing(race, found.id).await?.is_some() {
            return Err(Stop::new(FailureClass::Rejected, NOT_REMOVED));
        }
        self.client.memory.is_gone(found.id);
        Ok(PushResult::Gone)
    }
}

const PAID: &str = "The participant has registered at RunSignup, so it is not removed by a sync: refund or remove it there, \
                    then `dead-letters replay`";
const NOT_REMOVED: &str =
    "RunSignup has not removed the registration: remove it there, then `dead-letters replay`";
const NOT_TO_BE_FOUND: &str = "A registration may have been added whose answer was lost, and a race has no question `EMS ID` to \
                               find it by: look for it at RunSignup, remove it there, then `dead-letters discard`";
