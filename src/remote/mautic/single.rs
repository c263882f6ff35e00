//! One person, one call after the other: create or adopt, edit, forbid and permit channels, delete.

use serde_json::{Value, json};

use super::super::http::{Answer, Http, Intent, Method, Request, after_sending};
use super::super::sent::Sent;
use super::call::path;
use super::consent::{self, Channel, Restriction, Step};
use super::contact::Contact;
use super::wire::{self, EMAIL, EMS_PERSON_ID};
use super::{Mautic, answer};
use crate::entity::EntityRef;
use crate::remote::{Action, Failure, FailureClass, Look, Push, PushResult, SendBefore, Wire};

/// A push that ended early, and how.
type Ended = PushResult;

/// How far a push has come in the calls of a batch.
pub(super) enum Progress {
    /// Nothing was sent for it alone.
    None,
    /// These contacts have its address.
    LookedUp(Vec<Contact>),
    /// It was sent in a batch that told nothing of it.
    Sent,
    /// The batch has written this contact; its consent is to be looked at.
    Written(Contact),
}

impl Mautic {
    /// Does one push by single calls, from where a batch has left it.
    pub(super) async fn push_single(
        &self,
        push: Push,
        progress: Progress,
    ) -> (EntityRef, PushResult) {
        let (was_sent, looked_up) = match &progress {
            Progress::None => (false, None),
            Progress::LookedUp(contacts) => (false, Some(contacts.clone())),
            Progress::Sent | Progress::Written(_) => (true, None),
        };
        let call = Call {
            client: self,
            entity: push.entity,
            key: push.entity.id.to_string(),
            send_before: &push.send_before,
            sent: Sent::new(was_sent),
        };
        let result = match (push.action, progress) {
            (Action::Update { wire, .. }, Progress::Written(contact)) => {
                let id = contact.id;
                found(id, call.agree(contact, &wire, true).await)
            }
            (Action::Create { wire, look }, _) => call.create(&wire, look, looked_up).await,
            (Action::Update { remote_id, wire }, _) => {
                call.update(&remote_id, &wire, looked_up).await
            }
            (Action::Delete { remote_id }, _) => call.delete(&remote_id).await,
            (Action::DeleteByKey, _) => call.delete_by_key().await,
        };
        (push.entity, result.unwrap_or_else(|ended| ended))
    }
}

/// The calls for one person.
struct Call<'a> {
    client: &'a Mautic,
    entity: EntityRef,
    /// Its EMS id, as its contact carries it.
    key: String,
    send_before: &'a SendBefore,
    sent: Sent,
}

impl Call<'_> {
    /// What is there under our key or our address is adopted; else a contact is made. POST looks for the address by itself,
    /// but would also write over another person's contact: we look before it does (contract, section 3).
    async fn create(
        &self,
        wire: &Wire,
        look: Look,
        looked_up: Option<Vec<Contact>>,
    ) -> Result<PushResult, Ended> {
        if let Look::First { .. } = look {
            // More than one is what two creates at once have left; an edit merges them.
            let ours = self.find(EMS_PERSON_ID, &self.key).await?;
            let has_twin = ours.len() > 1;
            if let Some(contact) = ours.into_iter().next() {
                let contact = self.restrict(contact, wire).await?;
                self.give_way(wire, contact.id, None).await?;
                return self.adopt(contact, wire, has_twin).await;
            }
        }
        let free = self.give_way(wire, 0, looked_up).await?;
        // Of several Mautic itself takes the newest.
        match (free.into_iter().max_by_key(|contact| contact.id), look) {
            (Some(contact), _) => self.adopt(contact, wire, false).await,
            (None, Look::First { absence_is_proof: false }) => Ok(PushResult::Unsettled),
            (None, Look::First { absence_is_proof: true } | Look::IfRefused) => {
                self.post(wire).await
            }
        }
    }

    /// The contacts besides `mine` that have our address and that an edit of ours may take in: those without an owner.
    ///
    /// One that carries the EMS id of a person who has given the address up ([`Wire::given_up_by`]), or a higher one, is released
    /// first, so that no contact goes from one person to another in one write. One with a lower id is not ours to take.
    async fn give_way(
        &self,
        wire: &Wire,
        mine: i64,
        looked_up: Option<Vec<Contact>>,
    ) -> Result<Vec<Contact>, Ended> {
        let email = wire.body.get(EMAIL).and_then(Value::as_str).unwrap_or_default();
        let found = match looked_up {
            Some(found) => found,
            None => self.find(EMAIL, email).await?,
        };
        let others: Vec<Contact> = found.into_iter().filter(|other| other.id != mine).collect();
        let is_ours = |other: &Contact| other.key().is_none_or(|key| key == self.key);
        let gave_up = |id| wire.given_up_by.contains(&EntityRef::new(self.entity.entity_type, id));
        // Who gave it up may be gone from the EMS by now. Of those who share an address the lowest id owns it.
        let is_given_up = |other: &Contact| {
            other.person().is_some_and(|person| gave_up(person) || person > self.entity.id)
        };
        if let Some(other) = others.iter().find(|other| !is_ours(other) && !is_given_up(other)) {
            let text = format!(
                "Contact {} has this address and carries another EMS id: correct it in Mautic, then replay this",
                other.id
            );
            return Err(PushResult::Failed(Failure::new(FailureClass::Rejected, text)));
        }
        for other in others.iter().filter(|other| !is_ours(other)) {
            self.release(other.id).await?;
        }
        Ok(others)
    }

    /// Takes a contact as ours, and writes only if it holds something else, or if the write is to merge a twin.
    async fn adopt(
        &self,
        contact: Contact,
        wire: &Wire,
        has_twin: bool,
    ) -> Result<PushResult, Ended> {
        let id = contact.id;
        let result = if contact.has_content(wire) && !has_twin {
            self.agree(contact, wire, false).await
        } else {
            self.restrict(contact, wire).await?;
            self.edit(id, wire).await
        };
        found(id, result)
    }

    async fn post(&self, wire: &Wire) -> Result<PushResult, Ended> {
        let body = wire::to_create(wire);
        let request = |http: &Http| http.request(Method::Post, "/api/contacts/new").json(&body);
        let answer = self.send(Intent::Write, request).await?;
        if !answer.is_success() {
            return Ok(PushResult::Failed(answer::failure(&answer, Intent::Write)));
        }
        let contact = self.named(&answer)?;
        let id = contact.id;
        // It met a contact after all, or a field has a default: what we leave blank is cleared (section 2c).
        let result = if contact.has_content(wire) {
            self.agree(contact, wire, true).await
        } else {
            self.edit(id, wire).await
        };
        found(id, result)
    }

    /// An edit whose address another contact has takes that one in and deletes it, and ids begin anew with a Mautic that
    /// was set up anew: both are looked at before anything is written.
    async fn update(
        &self,
        remote_id: &str,
        wire: &Wire,
        looked_up: Option<Vec<Contact>>,
    ) -> Result<PushResult, Ended> {
        let email = wire.body.get(EMAIL).and_then(Value::as_str).unwrap_or_default();
        let found = match looked_up {
            Some(found) => found,
            None => self.find(EMAIL, email).await?,
        };
        let is_mine = |contact: &&Contact| contact.id.to_string() == remote_id;
        let mine = match found.iter().find(is_mine) {
            Some(mine) => mine.clone(),
            None => self.read(remote_id).await?.ok_or_else(|| stale("The contact is gone"))?,
        };
        // A key that somebody emptied comes back with the edit, if at least the address is ours.
        let is_ours = mine.key().map_or(mine.email() == Some(email), |key| key == self.key);
        if !is_ours {
            return Err(stale("The id is another contact's"));
        }
        let mine = self.restrict(mine, wire).await?;
        self.give_way(wire, mine.id, Some(found)).await?;
        // What was written before a refusal is there: no hash proves what it holds.
        self::found(mine.id, self.edit(mine.id, wire).await)
    }

    /// Adds the restrictions that are missing, and takes none away. Before anything that may be refused: that must not keep an opt-out
    /// from being said. The contact as it is then.
    async fn restrict(&self, contact: Contact, wire: &Wire) -> Result<Contact, Ended> {
        let restricts = |channel| {
            consent::step(wire::statement(wire, channel), Restriction::Nobody) == Step::Add
        };
        if !Channel::ALL.into_iter().any(restricts) {
            return Ok(contact);
        }
        let mut contact = self.with_entries(contact).await?;
        for channel in Channel::ALL {
            let entries = contact.entries.as_deref().unwrap_or_default();
            let restriction = Restriction::of(entries, channel);
            if consent::step(wire::statement(wire, channel), restriction) != Step::Add {
                continue;
            }
            let body =
                json!({ "reason": consent::MANUAL, "comments": wire::comment(wire, channel) });
            let path = path(contact.id, &format!("/dnc/{}/add", channel.name()));
            let request = |http: &Http| http.request(Method::Post, &path).json(&body);
            let answer = self.send(Intent::Write, request).await?;
            if !answer.is_success() {
                let failure = answer::failure_of_known(&answer, Intent::Write);
                return self::found(contact.id, Ok(PushResult::Failed(failure))).and_then(Err);
            }
            let id = contact.id;
            let after = answer::contact(&answer).filter(|after| after.id == id);
            let after = after
                .ok_or_else(|| unproven("The answer to a restriction does not show the contact"))?;
            contact = self.with_entries(after).await?;
        }
        Ok(contact)
    }

    /// `PATCH`: all of our fields, exactly. An answer with another id says that the contact was merged into that one.
    async fn edit(&self, id: i64, wire: &Wire) -> Result<PushResult, Ended> {
        let body = Value::Object(wire::to_edit(wire));
        let answer = self.patch(id, &body).await?;
        if !answer.is_success() {
            return Ok(PushResult::Failed(answer::failure_of_known(&answer, Intent::Write)));
        }
        let contact = self.named(&answer)?;
        self.agree(contact, wire, true).await
    }

    /// Brings what a contact may be used for to what the EMS says, a call per channel, and tells what it holds then.
    async fn agree(
        &self,
        contact: Contact,
        wire: &Wire,
        mut written: bool,
    ) -> Result<PushResult, Ended> {
        let mut contact = self.with_entries(contact).await?;
        for channel in Channel::ALL {
            let entries = contact.entries.as_deref().unwrap_or_default();
            let step =
                consent::step(wire::statement(wire, channel), Restriction::of(entries, channel));
            let (action, body) = match step {
                Step::Nothing => continue,
                Step::Add => {
                    let comment = wire::comment(wire, channel);
                    ("add", json!({ "reason": consent::MANUAL, "comments": comment }))
                }
                Step::Remove => ("remove", json!({})),
            };
            let path = path(contact.id, &format!("/dnc/{}/{action}", channel.name()));
            let request = |http: &Http| http.request(Method::Post, &path).json(&body);
            let answer = self.send(Intent::Write, request).await?;
            if !answer.is_success() {
                return Ok(PushResult::Failed(answer::failure_of_known(&answer, Intent::Write)));
            }
            contact = self.with_entries(self.named(&answer)?).await?;
            let entries = contact.entries.as_deref().unwrap_or_default();
            let is_restricted = Restriction::of(entries, channel) != Restriction::Nobody;
            if is_restricted != (step == Step::Add) {
                let text =
                    format!("Mautic did not {action} the do-not-contact of {}", channel.name());
                return Ok(PushResult::Failed(Failure::new(after_sending(Intent::Write), text)));
            }
            written = true;
        }
        if let Some(email) = contact.email() {
            *self.client.witness() = Some(email.to_owned());
        }
        Ok(PushResult::Held {
            remote_id: contact.id.to_string(),
            remote_hash: contact.held(Some(wire)).hash,
            // A restriction may have been added before.
            written: written || self.sent.is_noted(),
            carried: Vec::new(),
            left_to: None,
            held: None,
        })
    }

    /// Lists that an answer leaves out are read: they are not empty.
    async fn with_entries(&self, contact: Contact) -> Result<Contact, Ended> {
        if contact.entries.is_some() {
            return Ok(contact);
        }
        let read = self.read(&contact.id.to_string()).await?;
        read.filter(|read| read.entries.is_some() && read.id == contact.id).ok_or_else(|| {
            let text = "The contact does not show what it must not be used for";
            self.sent.failed(Failure::new(after_sending(Intent::Read), text))
        })
    }

    /// What is not there under the id that we know may stand under another one by now.
    async fn delete(&self, remote_id: &str) -> Result<PushResult, Ended> {
        match self.read(remote_id).await? {
            Some(contact) if contact.key() == Some(&self.key) => self.remove(&contact).await,
            Some(_) | None => self.delete_by_key().await,
        }
    }

    /// A contact that is somebody else's, or nobody's by now, stays.
    async fn delete_by_key(&self) -> Result<PushResult, Ended> {
        for contact in self.find(EMS_PERSON_ID, &self.key).await? {
            self.remove(&contact).await?;
        }
        Ok(PushResult::Gone)
    }

    /// A contact that must not be used for something stays, without our key: deleted, it would be made anew one day and
    /// could be contacted again (section 9).
    async fn remove(&self, contact: &Contact) -> Result<PushResult, Ended> {
        if contact.is_restricted() {
            self.release(contact.id).await?;
            return Ok(PushResult::Gone);
        }
        let path = path(contact.id, "/delete");
        let answer = self.send(Intent::Write, |http| http.request(Method::Delete, &path)).await?;
        // The id in the answer is null or this contact's (section 9); any other body proves nothing.
        let is_it = |id: &Value| id.is_null() || id.as_i64() == Some(contact.id);
        let shown = answer.json().filter(|_| answer.is_success());
        let says_so =
            shown.as_ref().and_then(|body| body.get("contact")?.get("id")).is_some_and(is_it);
        if says_so || answer::is_gone(&answer) {
            return Ok(PushResult::Gone);
        }
        Err(PushResult::Failed(answer::failure_of_known(&answer, Intent::Write)))
    }

    /// Takes our key, or that of who gave the contact up, from it.
    async fn release(&self, id: i64) -> Result<(), Ended> {
        let answer = self.patch(id, &wire::to_release()).await?;
        if answer::is_gone(&answer) {
            return Ok(());
        }
        if !answer.is_success() {
            return Err(PushResult::Failed(answer::failure_of_known(&answer, Intent::Write)));
        }
        match answer::contact(&answer) {
            Some(contact) if contact.key().is_none() => Ok(()),
            _ => Err(unproven("The answer to a release shows no contact without a key")),
        }
    }

    async fn patch(&self, id: i64, body: &Value) -> Result<Answer, Ended> {
        let path = path(id, "/edit");
        self.send(Intent::Write, |http| http.request(Method::Patch, &path).json(body)).await
    }

    /// The contact that an id means now; `None` where it is gone.
    async fn read(&self, remote_id: &str) -> Result<Option<Contact>, Ended> {
        let path = path(remote_id, "");
        let answer = self.send(Intent::Read, |http| http.request(Method::Get, &path)).await?;
        if answer::is_gone(&answer) {
            return Ok(None);
        }
        if !answer.is_success() {
            return Err(self.sent.failed(answer::failure_of_known(&answer, Intent::Read)));
        }
        let contact = answer::contact(&answer).ok_or_else(|| {
            let text = "The answer shows no contact";
            self.sent.failed(Failure::new(after_sending(Intent::Read), text))
        })?;
        Ok(Some(contact))
    }

    async fn find(&self, alias: &'static str, value: &str) -> Result<Vec<Contact>, Ended> {
        let found = self.client.find(alias, value, self.send_before).await;
        found.map_err(|failure| self.sent.failed(failure))?.ok_or_else(|| self.sent.too_late())
    }

    async fn send(
        &self,
        intent: Intent,
        build: impl Fn(&Http) -> Request + Send + Sync,
    ) -> Result<Answer, Ended> {
        let answer = self.client.call(intent, self.send_before, build).await;
        let answer = answer.map_err(|failure| self.sent.failed(failure))?;
        let answer = answer.ok_or_else(|| self.sent.too_late())?;
        self.sent.note(intent);
        Ok(answer)
    }

    /// The contact that the answer to a write names: ours, or nothing is proven. One under another id than the request's took
    /// the edited one in, which is no failure if it carries our key (section 3).
    fn named(&self, answer: &Answer) -> Result<Contact, Ended> {
        let contact = answer::contact(answer)
            .ok_or_else(|| unproven("The answer to a write shows no contact with an id"))?;
        if !contact.has_key_field {
            let text = super::missing(&[EMS_PERSON_ID]);
            let failure = Failure::new(FailureClass::Configuration, text);
            self.client.alarms.raise(&failure);
            return Err(PushResult::Failed(failure.with_found(&contact.id.to_string())));
        }
        if contact.key() != Some(&self.key) {
            return Err(stale("The answer names another contact"));
        }
        Ok(contact)
    }
}

/// What is known of the contact is kept, though something after it failed (obligation 9).
fn found(id: i64, result: Result<PushResult, Ended>) -> Result<PushResult, Ended> {
    match result {
        Ok(PushResult::Failed(failure)) | Err(PushResult::Failed(failure))
            if failure.class != FailureClass::StaleMapping =>
        {
            Ok(PushResult::Failed(failure.with_found(&id.to_string())))
        }
        result => result,
    }
}

fn stale(text: &str) -> Ended {
    PushResult::Failed(Failure::new(FailureClass::StaleMapping, text))
}

/// A success that does not say what it must: it may have been applied.
fn unproven(text: &str) -> Ended {
    PushResult::Failed(Failure::new(after_sending(Intent::Write), text))
}
