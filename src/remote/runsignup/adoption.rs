//! Which registration is a participant's, where no id tells (contract, sections 7a and 9): the one with our id in the race's
//! question, else the only one of the same names and day of birth. Never by e-mail alone.

use super::answer;
use super::directory::Race;
use super::lookup::Search;
use super::memory::Sent;
use super::registration::Wanted;
use super::rows::Registration;
use super::talk::{Stop, Talk};
use crate::entity::EntityRef;
use crate::remote::{FailureClass, Look, PushResult};

impl Talk<'_> {
    /// The registration that is ours: the one with our id, else the only one of the same names and day of birth.
    pub(super) async fn find(
        &self,
        wanted: &Wanted,
        look: Look,
    ) -> Result<Option<Registration>, Stop> {
        let Wanted { content, ems, race, event, .. } = wanted;
        let memory = &self.client.memory;
        let who = content.who();
        let may_be_ours = |row: &Registration| {
            !memory.is_taken(row.id, ems.participant)
                && row.entity().is_none_or(|entity| entity == ems.participant)
        };
        let is_ours =
            |row: &Registration| row.entity() == Some(ems.participant) || row.content.who() == who;
        let was_tried = look != Look::IfRefused;
        let names =
            Search::Names { first_name: &content.first_name, last_name: &content.last_name };
        let is_candidate = |row: &Registration| may_be_ours(row) && is_ours(row);
        let mut found = self.all(race, *event, names, is_candidate).await?;
        let is_marked = found.iter().any(|row| row.entity() == Some(ems.participant));
        let was_another = memory.sent(ems.participant).is_some_and(|sent| sent.who != who);
        // It may have been added under names that were corrected since: then only the id tells, and the whole event is read for it.
        if was_tried && race.marker_question.is_some() && (!is_marked || was_another) {
            found = self.all(race, *event, Search::All, is_candidate).await?;
        }
        if let Some(found) = only(found, ems.participant)? {
            let same_email = content.email.is_some() && content.email == found.content.email;
            // What an earlier try of ours may have added, and nothing speaks against it: guests share their names.
            let by_us = was_tried && found.imported && content.email == found.content.email;
            let is_certain =
                found.entity().is_some() || content.dob.is_some() || same_email || by_us;
            if !is_certain {
                return Err(Stop::new(FailureClass::Rejected, NAMESAKE));
            }
            return Ok(Some(found));
        }
        let sent = if was_tried { memory.sent(ems.participant) } else { None };
        match sent {
            Some(sent) if (sent.event_id, &sent.who) != (*event, &who) => {
                let found = self.find_sent(&sent, ems.participant).await?;
                self.here(race, &sent, found).await
            }
            Some(_) | None => Ok(None),
        }
    }

    /// What stands in another race can't be moved here: it was imported by us, and is removed.
    async fn here(
        &self,
        race: &Race,
        sent: &Sent,
        found: Option<Registration>,
    ) -> Result<Option<Registration>, Stop> {
        let Some(found) = found else { return Ok(None) };
        if sent.race_id == race.id {
            return Ok(Some(found));
        }
        let there = self.race(sent.race_id).await?;
        self.remove(&there, &found).await?;
        self.finds(0);
        Ok(None)
    }

    /// What an earlier add made, which this process has sent for other names, or to another event of the same race.
    pub(super) async fn find_sent(
        &self,
        sent: &Sent,
        participant: EntityRef,
    ) -> Result<Option<Registration>, Stop> {
        let race = self.race(sent.race_id).await?;
        let is_ours = |row: &Registration| {
            row.imported
                && row.content.who() == sent.who
                && row.entity().is_none_or(|entity| entity == participant)
                && !self.client.memory.is_taken(row.id, participant)
        };
        let found = self.all(&race, sent.event_id, Search::All, is_ours).await?;
        only(found, participant)
    }

    /// After an add that was refused because somebody is there (contract, section 2, class "adopt").
    pub(super) async fn adopt_after(
        &self,
        wanted: &Wanted,
        stop: Stop,
    ) -> Result<PushResult, Stop> {
        let Wanted { content, ems, race, event, .. } = wanted;
        let Stop::Refused(refusal) = &stop else { return Err(stop) };
        if matches!(refusal.failure.class, FailureClass::Rejected | FailureClass::OurFault) {
            self.client.memory.add_ended(ems.participant);
        }
        let is_free = |row: &Registration| {
            row.event_id == *event
                && row.content.who() == content.who()
                && row.entity().is_none_or(|entity| entity == ems.participant)
                && !self.client.memory.is_taken(row.id, ems.participant)
        };
        match (refusal.code, refusal.existing, &content.email) {
            (Some(answer::EXISTING_REGISTRATION), Some(id), _) => {
                match self.standing(race, id).await? {
                    Some(found) if is_free(&found) => self.adopt(wanted, found).await,
                    // It may be that of a participant who is gone, and is removed by then.
                    Some(_) => Err(Stop::new(FailureClass::Transient, TAKEN)),
                    // It is there and lists don't show it yet.
                    None => {
                        Err(Stop::new(FailureClass::Transient, "It exists and can't be read yet"))
                    }
                }
            }
            (Some(answer::EMAIL_OF_AN_ACCOUNT), _, Some(email)) => {
                let found = self.all(race, *event, Search::Email(email), is_free).await?;
                match only(found, ems.participant)? {
                    Some(found) => self.adopt(wanted, found).await,
                    None => Err(stop),
                }
            }
            _ => Err(stop),
        }
    }
}

const NAMESAKE: &str = "A registration of the same names is there, and no day of birth tells whether it is this person's: \
                        give the person a date of birth or the same e-mail address in the EMS";
const SEVERAL: &str = "Several registrations may be this one: remove all but one at RunSignup, then `dead-letters replay`";
const TAKEN: &str = "RunSignup has a registration of the same names and day of birth in this event that is another one's: \
                     see whether one person stands twice in the EMS";

/// The only one; with our id, it is that one.
fn only(found: Vec<Registration>, participant: EntityRef) -> Result<Option<Registration>, Stop> {
    let (marked, others): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|row| row.entity() == Some(participant));
    let mut found = if marked.is_empty() { others } else { marked };
    let one = found.pop();
    if found.is_empty() { Ok(one) } else { Err(Stop::new(FailureClass::Rejected, SEVERAL)) }
}
