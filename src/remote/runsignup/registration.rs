//! One registration, one call after the other: search, add or adopt, edit, transfer (contract, section 7).

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::answer;
use super::differs;
use super::directory::Race;
use super::memory::Sent;
use super::rows::{self, Registration, Removal, Removed};
use super::talk::{Stop, Talk};
use super::wire::{self, Content, Ems, Refused};
use crate::entity::EntityRef;
use crate::hash::ContentHash;
use crate::limits;
use crate::remote::{FailureClass, Look, PushResult, Wire};

/// What a registration should be, and where.
pub(super) struct Wanted {
    pub(super) content: Content,
    pub(super) ems: Ems,
    pub(super) race: Arc<Race>,
    pub(super) event: i64,
    /// Of a create: what a registration that it finds may hold ([`crate::remote::Push::expected`]).
    pub(super) expected: Option<ContentHash>,
}

/// What became of an edit.
enum Edited {
    /// It was applied.
    Done,
    /// The person's part was refused for Safe Sync mode.
    WithoutPerson(Stop),
}

impl Talk<'_> {
    async fn wanted(&self, wire: &Wire) -> Result<Wanted, Stop> {
        let made = Content::of(wire).and_then(|(content, ems)| {
            let event = content.event()?;
            Some((content, ems, event))
        });
        let (content, ems, event) = made
            .ok_or_else(|| Stop::new(FailureClass::OurFault, "The content is no registration"))?;
        Ok(Wanted { content, ems, race: self.race_with(event).await?, event, expected: None })
    }

    /// There is no key of ours, so it is searched for before it is added, the first time too (contract, sections 7a and 9).
    pub(super) async fn create(
        &self,
        wire: &Wire,
        look: Look,
        expected: Option<ContentHash>,
    ) -> Result<PushResult, Stop> {
        let wanted = Wanted { expected, ..self.wanted(wire).await? };
        if let Some(found) = self.find(&wanted, look).await? {
            return self.adopt(&wanted, found).await;
        }
        if look == (Look::First { absence_is_proof: false }) {
            return Ok(PushResult::Unsettled);
        }
        self.add(&wanted).await
    }

    async fn add(&self, wanted: &Wanted) -> Result<PushResult, Stop> {
        let Wanted { content, ems, race, event, .. } = wanted;
        let mut refused = Refused::default();
        loop {
            let sent = wire::sendable(content, refused);
            let mut row = wire::new_row(&sent);
            row.extend(marker(race, ems.participant));
            let memo = Sent { race_id: race.id, event_id: *event, who: sent.who() };
            self.client.memory.add_sent(ems.participant, memo);
            let ids = match self.post(race, *event, row).await {
                Ok(ids) => ids,
                Err(stop) if leaves_out(&stop, &sent, &mut refused) => continue,
                Err(stop) => return self.adopt_after(wanted, stop).await,
            };
            let [id] = ids[..] else {
                let text = "The answer to an add does not name one registration";
                return Err(Stop::new(FailureClass::Ambiguous, text));
            };
            self.finds(id);
            self.client.memory.was_added(id, race.id, ems.participant);
            self.client.memory.add_ended(ems.participant);
            return Ok(match self.standing(race, id).await? {
                Some(held) => self.held(&held, ems),
                // Lists may lag behind; that it is there has been answered.
                None => PushResult::Held {
                    remote_id: id.to_string(),
                    remote_hash: sent.hash(),
                    written: true,
                    carried: Vec::new(),
                    left_to: None,
                    held: Some(Box::new(sent.wire())),
                },
            });
        }
    }

    /// Makes the registration of that id hold what is wanted, unless people have changed what was expected there.
    pub(super) async fn update(
        &self,
        remote_id: &str,
        wire: &Wire,
        expected: Option<ContentHash>,
    ) -> Result<PushResult, Stop> {
        let wanted = self.wanted(wire).await?;
        let known = registration_id(remote_id)?;
        let is_changed = |found: &Content| differs::is_changed(expected, wire.hash, found.hash());
        let mut id = known;
        let mut moves = 0;
        loop {
            if let Some(found) = self.standing(&wanted.race, id).await? {
                let entity = found.entity().unwrap_or(wanted.ems.participant);
                if entity != wanted.ems.participant {
                    let text = "The registration carries another EMS id";
                    return Err(Stop::new(FailureClass::StaleMapping, text));
                }
                if is_changed(&found.content) {
                    return Ok(differs::edited(known, &found));
                }
                return self.bring(&wanted, found).await;
            }
            match self.removed(&wanted.race, id).await? {
                // A transfer gives another id; its answer may have been lost (section 7b).
                Some(Removed { removal: Removal { new_id: Some(new_id), .. }, .. })
                    if moves < limits::RUNSIGNUP_TRANSFERS_MAX =>
                {
                    moves += 1;
                    id = new_id;
                }
                Some(removed) if is_changed(&removed.content) => {
                    return Ok(differs::removed(known, &removed));
                }
                Some(removed) => return Ok(self.removed_there(id, &removed, &wanted.ems)),
                None => return self.vanished(&wanted, id).await,
            }
        }
    }

    /// Somebody has refunded, deferred or removed it: that wins (section 9), and what it still holds says so.
    fn removed_there(&self, id: i64, removed: &Removed, ems: &Ems) -> PushResult {
        let carried = removed.user_id.map(|user| (ems.person, user.to_string()));
        PushResult::Held {
            remote_id: id.to_string(),
            remote_hash: removed.content.hash(),
            written: self.has_written(),
            carried: carried.into_iter().collect(),
            left_to: None,
            held: Some(Box::new(removed.content.wire())),
        }
    }

    /// It is neither among those that stand in the race nor among the removed.
    async fn vanished(&self, wanted: &Wanted, id: i64) -> Result<PushResult, Stop> {
        if self.client.memory.may_be_hidden(id) {
            return Err(Stop::new(FailureClass::Transient, "It was added and can't be read yet"));
        }
        match self.locate(id, Some(wanted.race.id)).await? {
            None => Err(Stop::new(FailureClass::StaleMapping, "The registration is gone")),
            // No call moves it to another race, and to remove it before it stands here could lose the runner: a race that is
            // mapped to a wrong one would take all of them along.
            Some(_) => Err(Stop::new(FailureClass::Rejected, ELSEWHERE)),
        }
    }

    /// Takes a registration that a create has found, unless it would lose what people entered.
    pub(super) async fn adopt(
        &self,
        wanted: &Wanted,
        found: Registration,
    ) -> Result<PushResult, Stop> {
        if differs::would_lose(wanted.expected, &wanted.content, &found) {
            return Ok(differs::edited(found.id, &found));
        }
        self.bring(wanted, found).await
    }

    /// Edits a registration until it holds what is wanted, as far as RunSignup lets it.
    async fn bring(&self, wanted: &Wanted, found: Registration) -> Result<PushResult, Stop> {
        let Wanted { content, ems, race, event, .. } = wanted;
        self.finds(found.id);
        self.client.memory.stands(found.id, race.id, ems.participant);
        self.client.memory.add_ended(ems.participant);
        let found = if found.event_id == *event {
            found
        } else {
            self.transfer(race, &found, *event, ems).await?
        };
        let mut refused = Refused::default();
        loop {
            let sent = wire::sendable(content, refused);
            let mut row = wire::changes(&sent, &found.content);
            if found.entity() != Some(ems.participant) {
                row.extend(marker(race, ems.participant));
            }
            if row.is_empty() {
                return Ok(self.held(&found, ems));
            }
            let edited = match self.edit(race, &found, row).await {
                Ok(edited) => edited,
                Err(stop) if leaves_out(&stop, &sent, &mut refused) => continue,
                Err(stop) => return Err(stop),
            };
            if let Edited::WithoutPerson(stop) = edited {
                return Err(stop);
            }
            // Some of it may have been ignored in silence (section 7a).
            return match self.standing(race, found.id).await? {
                Some(after) => {
                    let content = found.content.confirmed(&sent, &after.content);
                    Ok(self.held(&Registration { content, ..after }, ems))
                }
                None => match self.removed(race, found.id).await? {
                    Some(removed) => Ok(self.removed_there(found.id, &removed, ems)),
                    None => {
                        Err(Stop::new(FailureClass::Ambiguous, "What was edited can't be read"))
                    }
                },
            };
        }
    }

    /// An edit. In Safe Sync mode the person of an account is not ours to edit; bib and questions are.
    async fn edit(
        &self,
        race: &Race,
        found: &Registration,
        mut row: Map<String, Value>,
    ) -> Result<Edited, Stop> {
        row.insert("registration_id".to_owned(), json!(found.id));
        let stop = match self.post(race, found.event_id, row.clone()).await {
            Ok(ids) if ids == [found.id] => return Ok(Edited::Done),
            Ok(_) => {
                let text = "The answer to an edit does not name the registration";
                return Err(Stop::new(FailureClass::Ambiguous, text));
            }
            Err(stop) => went_meanwhile(stop),
        };
        let had_person = row.remove("user").is_some();
        if stop.code() != Some(answer::USER_NOT_EDITABLE) || !had_person || row.len() == 1 {
            return Err(stop);
        }
        match self.post(race, found.event_id, row).await {
            Ok(_) => Ok(Edited::WithoutPerson(stop)),
            Err(stop) => Err(stop),
        }
    }

    /// To another event of the same race; the registration gets another id (section 7b).
    async fn transfer(
        &self,
        race: &Race,
        found: &Registration,
        event: i64,
        ems: &Ems,
    ) -> Result<Registration, Stop> {
        let id = race.id.to_string();
        let request =
            json!({ "registrations": [{ "registration_id": found.id, "new_event_id": event }] });
        let form = [("race_id", id.as_str()), ("transfer_bibs", "T")];
        let path = format!("/race/{id}/switch-participant-events");
        let body = self.write(&path, &[], &form, &request).await.map_err(went_meanwhile)?;
        let new = match rows::written_ids(&body).as_deref() {
            Some([new]) => *new,
            Some(_) | None => {
                let text = "The answer to a transfer does not name one registration";
                return Err(Stop::new(FailureClass::Ambiguous, text));
            }
        };
        self.finds(new);
        self.client.memory.is_gone(found.id);
        self.client.memory.was_added(new, race.id, ems.participant);
        let moved = self.standing(race, new).await?;
        moved.ok_or_else(|| Stop::new(FailureClass::Ambiguous, "What was moved can't be read yet"))
    }

    /// One row, added or edited: the ids that the answer names.
    async fn post(
        &self,
        race: &Race,
        event: i64,
        row: Map<String, Value>,
    ) -> Result<Vec<i64>, Stop> {
        let event = event.to_string();
        let query = [("event_id", event.as_str())];
        let form = [("event_id", event.as_str()), ("restrict_potential_dup", "T")];
        let request = json!({ "participants": [row] });
        let path = format!("/race/{}/participants", race.id);
        let body = self.write(&path, &query, &form, &request).await?;
        let ids = rows::written_ids(&body);
        ids.ok_or_else(|| Stop::new(FailureClass::Ambiguous, "The answer to a write can't be read"))
    }

    /// What RunSignup shows is what it holds.
    fn held(&self, shown: &Registration, ems: &Ems) -> PushResult {
        PushResult::Held {
            remote_id: shown.id.to_string(),
            remote_hash: shown.content.hash(),
            written: self.has_written(),
            carried: vec![(ems.person, shown.user_id.to_string())],
            left_to: None,
            held: Some(Box::new(shown.content.wire())),
        }
    }
}

const ELSEWHERE: &str = "It was registered at RunSignup in another race, where it can't be moved from: have it refunded there, \
                         then `dead-letters replay`";

/// Our id, where the race has a question for it.
fn marker(race: &Race, participant: EntityRef) -> Map<String, Value> {
    let response = |question: i64| json!([{ "question_id": question, "response": participant.id.to_string() }]);
    let marker = race.marker_question.map(|q| ("question_responses".to_owned(), response(q)));
    marker.into_iter().collect()
}

/// Whether it was refused for a field that is left empty then: foreign phones and states may not be valid (section 5).
fn leaves_out(stop: &Stop, sent: &Content, refused: &mut Refused) -> bool {
    match stop.code() {
        Some(answer::PHONE_INVALID) if sent.phone.is_some() => refused.phone = true,
        Some(answer::STATE_INVALID) if sent.state.is_some() => refused.state = true,
        _ => return false,
    }
    true
}

/// It stood a moment ago: the next attempt reads what became of it (section 2, class "gone").
fn went_meanwhile(stop: Stop) -> Stop {
    match stop.code() {
        Some(answer::INVALID_ID) => {
            Stop::new(FailureClass::Transient, "The registration has changed since it was read")
        }
        _ => stop,
    }
}

/// The id of a registration.
pub(super) fn registration_id(remote_id: &str) -> Result<i64, Stop> {
    let id = remote_id.trim().parse().ok().filter(|id| *id > 0);
    id.ok_or_else(|| Stop::new(FailureClass::StaleMapping, "The remote id is no registration's"))
}
