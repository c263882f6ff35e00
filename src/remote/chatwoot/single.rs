//! One person, one call after the other: create or adopt, bring up to date, unlink.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use serde_json::{Map, Value, json};

use super::super::http::{Answer, Http, Intent, Method};
use super::adopt::{self, Choice};
use super::answer::{self, Names, Refusal};
use super::contact::Contact;
use super::origin::{self, Origin};
use super::unlink::no_identifier;
use super::{Chatwoot, Request, WITHOUT_INBOXES, wire};
use crate::entity::EntityType;
use crate::hash::ContentHash;
use crate::remote::{Action, Failure, FailureClass, Look, Push, PushResult, SendBefore, Wire};

/// A push that ended early, and how.
pub(super) type Ended = PushResult;

/// How often a write is tried that a taken key refused: each time another way (contract, section 7).
const WAYS_MAX: usize = 4;

/// What became of a write.
pub(super) enum Written {
    /// The contact as it is now.
    Done(Contact),
    /// It is not there.
    Missing,
    /// It was refused.
    Refused(Refusal),
}

/// What to try after a refusal.
enum Way {
    /// The same, since what stood in the way is gone.
    Again,
    /// The number is left to the contact that has it.
    WithoutPhone { of: i64 },
}

impl Chatwoot {
    /// Does one push.
    pub(super) async fn push_single(&self, push: Push) -> PushResult {
        if push.entity.entity_type != EntityType::Person {
            let failure = Failure::new(FailureClass::OurFault, "Chatwoot has contacts only");
            return PushResult::Failed(failure);
        }
        let (wrote, server_second) = (AtomicBool::new(false), AtomicI64::new(0));
        let person = push.entity.id;
        let send_before = &push.send_before;
        let call = Call { client: self, person, send_before, wrote, server_second };
        let result = match push.action {
            Action::Create { wire, look } => call.create(&wire, look, push.expected).await,
            Action::Update { remote_id, wire } => {
                call.update(&remote_id, &wire, push.expected).await
            }
            Action::Delete { remote_id } => call.unlink_known(&remote_id).await,
            Action::DeleteByKey => call.unlink_own().await,
        };
        result.unwrap_or_else(|ended| ended)
    }
}

/// The calls for one person.
pub(super) struct Call<'a> {
    pub(super) client: &'a Chatwoot,
    pub(super) person: i64,
    send_before: &'a SendBefore,
    /// A write was sent.
    wrote: AtomicBool,
    /// The server's clock when it was last seen, in seconds.
    server_second: AtomicI64,
}

impl Call<'_> {
    /// Looks first, whatever is known: the server's uniqueness knows neither the attribute nor whose a contact is.
    async fn create(
        &self,
        wire: &Wire,
        look: Look,
        expected: Option<ContentHash>,
    ) -> Result<PushResult, Ended> {
        let absence_is_proof = match look {
            Look::IfRefused => true,
            Look::First { absence_is_proof } => absence_is_proof,
        };
        let mut thorough = look != Look::IfRefused || wire::may_be_hidden(&wire.body);
        let mut refused: Option<(Value, Failure)> = None;
        for _ in 0..WAYS_MAX {
            let found = self.look_up(&wire.body, thorough).await?;
            let mut left_to = None;
            let wanted = match adopt::choose(self.person, wire, &found) {
                Choice::Adopt(contact) if adopt::would_lose(contact, wire, expected) => {
                    return Ok(PushResult::Differs(Box::new(contact.clone().into_snapshot())));
                }
                Choice::Adopt(contact) => return self.adopt(contact.clone(), wire).await,
                Choice::Ambiguous(why) => return Ok(self.rejected(why)),
                Choice::Create | Choice::CreateWithoutPhone if !absence_is_proof => {
                    return Ok(PushResult::Unsettled);
                }
                Choice::Create => wire.body.clone(),
                Choice::CreateWithoutPhone => {
                    let phone = wire.body.get(wire::PHONE).unwrap_or(&Value::Null);
                    left_to = found.iter().find(|of| of.holds(wire::PHONE, phone)).map(|of| of.id);
                    wire::with(&wire.body, wire::PHONE, Value::Null)
                }
            };
            if let Some((_, failure)) = refused.as_ref().filter(|(body, _)| *body == wanted) {
                return Ok(self.failure(failure.clone()));
            }
            let refusal = match self.post(&wanted).await? {
                Written::Done(contact) => return Ok(held(contact, true, left_to)),
                Written::Missing => return Ok(self.failure(unreadable())),
                Written::Refused(refusal) => refusal,
            };
            if !refusal.may_be_taken {
                return Ok(self.failure(refusal.failure));
            }
            // What takes the key may be our own of a moment ago, or hidden from the filter.
            thorough = true;
            refused = Some((wanted, refusal.failure));
        }
        let failure = refused.map_or_else(unreadable, |(_, failure)| failure);
        Ok(self.failure(failure))
    }

    /// Takes a contact as this person's. What a person who gave it up has left on it is unlinked first.
    async fn adopt(&self, mut contact: Contact, wire: &Wire) -> Result<PushResult, Ended> {
        let is_anothers = contact.person().is_some_and(|of| of != self.person);
        if is_anothers && contact.identifier().is_some() {
            contact = match self.put(contact.id, &no_identifier()).await? {
                Written::Done(contact) => contact,
                Written::Missing => return Ok(self.failure(stale("The contact is gone"))),
                Written::Refused(refusal) => return Ok(self.failure(refusal.failure)),
            };
        }
        self.bring(contact, wire).await
    }

    /// Reads first: so only what differs is written, never to a contact that is somebody else's by now, and never over what
    /// people have changed since it said that it holds `expected`. A contact that carries nobody's id may hold just that: it was decided
    /// to be this person's.
    async fn update(
        &self,
        remote_id: &str,
        wire: &Wire,
        expected: Option<ContentHash>,
    ) -> Result<PushResult, Ended> {
        let Some(contact) = self.get(remote_id).await? else {
            return Ok(self.failure(stale("The contact is gone")));
        };
        if contact.person() != Some(self.person) {
            if expected == Some(contact.wire.hash) && adopt::is_free(&contact, wire) {
                return self.adopt(contact, wire).await;
            }
            return Ok(self.failure(stale("The contact does not carry this person's id")));
        }
        let is_as_expected = expected.is_none_or(|expected| contact.wire.hash == expected);
        if !is_as_expected && contact.wire.body != wanted_of(&contact, wire) {
            return Ok(PushResult::Differs(Box::new(contact.into_snapshot())));
        }
        self.bring(contact, wire).await
    }

    /// Brings a contact up to date. Another integration's identifier stays, and a phone number that another contact has is
    /// left out: what it says that it holds tells.
    async fn bring(&self, contact: Contact, wire: &Wire) -> Result<PushResult, Ended> {
        let is_ours = contact.person() == Some(self.person);
        let id = contact.id.to_string();
        match self.bring_contact(contact, wire).await {
            Ok(PushResult::Failed(failure)) | Err(PushResult::Failed(failure))
                if is_ours && failure.class != FailureClass::StaleMapping =>
            {
                Ok(PushResult::Failed(failure.with_found(&id)))
            }
            result => result,
        }
    }

    async fn bring_contact(&self, contact: Contact, wire: &Wire) -> Result<PushResult, Ended> {
        let mut wanted = wanted_of(&contact, wire);
        let (mut refused, mut left_to) = (None, None);
        for _ in 0..WAYS_MAX {
            let mut body = wire::changes(&contact.wire.body, &wanted);
            contact.note_taken(&mut body);
            if body.is_empty() {
                return Ok(held(contact, false, left_to));
            }
            let refusal = match self.put(contact.id, &body).await? {
                Written::Done(mut after) if after.person() == Some(self.person) => {
                    after.wire = wire::confirmed(&contact.wire, &wanted, &after.wire);
                    return Ok(held(after, true, left_to));
                }
                Written::Done(_) => return Ok(self.failure(unreadable())),
                Written::Missing => return Ok(self.failure(stale("The contact is gone"))),
                Written::Refused(refusal) => refusal,
            };
            match self.another_way(&contact, wire, &wanted, &refusal).await? {
                Some(Way::Again) => {}
                Some(Way::WithoutPhone { of }) => {
                    wanted = wire::with(&wanted, wire::PHONE, Value::Null);
                    left_to = Some(of);
                }
                None => return Ok(self.failure(refusal.failure)),
            }
            refused = Some(refusal.failure);
        }
        Ok(self.failure(refused.unwrap_or_else(unreadable)))
    }

    /// After an update that names a key: what to try next, if the key is another contact's.
    async fn another_way(
        &self,
        contact: &Contact,
        wire: &Wire,
        wanted: &Value,
        refusal: &Refusal,
    ) -> Result<Option<Way>, Ended> {
        let wants = |name: &str| wanted.get(name).cloned().unwrap_or(Value::Null);
        let names = |name: &str| refusal.attributes.contains(&name);
        let phone = wants(wire::PHONE);
        if names(wire::PHONE) && !phone.is_null() {
            let found = self.filter(&[(wire::PHONE, &phone)]).await?;
            // Whoever had it may have given it up since.
            let other = found.iter().find(|other| other.id != contact.id);
            return Ok(Some(other.map_or(Way::Again, |other| Way::WithoutPhone { of: other.id })));
        }
        let email = wants(wire::EMAIL);
        if names(wire::EMAIL) && !email.is_null() {
            let found = self.filter(&[(wire::EMAIL, &email)]).await?;
            if let Some(other) = found.iter().find(|other| other.id != contact.id) {
                return self.take_email(other, wire).await.map(|()| Some(Way::Again));
            }
        }
        if names(wire::IDENTIFIER) {
            return Err(self.rejected(adopt::IDENTIFIER_TAKEN));
        }
        Ok(None)
    }

    /// The contact with a known id; `None` if there is none (any more).
    pub(super) async fn get(&self, remote_id: &str) -> Result<Option<Contact>, Ended> {
        let Ok(id) = remote_id.parse::<i64>() else { return Ok(None) };
        let answer = self.send(Intent::Read, |http| self.client.contact_request(http, id)).await?;
        answer::contact_or_none(&answer, id).map_err(|failure| self.failure(failure))
    }

    /// A create is a success only if it shows a contact with our identifier: a vendor's build answers 200 with the one that has
    /// a key already (contract, section 8).
    async fn post(&self, wanted: &Value) -> Result<Written, Ended> {
        let mut body = wire::creation(wanted);
        let made = Origin::made(self.server_second.load(Ordering::Relaxed));
        wire::put_attribute(&mut body, origin::ATTRIBUTE, made.text());
        let body = Value::Object(body);
        let path = self.client.path("/contacts");
        let request = |http: &Http| http.request(Method::Post, &path).json(&body);
        let answer = self.send(Intent::Write, request).await?;
        if !answer.is_success() {
            return Ok(Written::Refused(answer::refusal(&answer, Names::Account)));
        }
        let contact = answer::contact(&answer);
        Ok(match contact.filter(|contact| contact.person() == Some(self.person)) {
            Some(contact) => Written::Done(contact),
            None => Written::Refused(Refusal {
                failure: unreadable(),
                attributes: Vec::new(),
                may_be_taken: true,
            }),
        })
    }

    pub(super) async fn put(&self, id: i64, body: &Map<String, Value>) -> Result<Written, Ended> {
        let path = self.client.contact_path(id, "");
        let body = Value::Object(body.clone());
        let request =
            |http: &Http| http.request(Method::Put, &path).query(&[WITHOUT_INBOXES]).json(&body);
        self.write(id, request).await
    }

    /// A write to a known contact; a success shows that one.
    pub(super) async fn write(
        &self,
        id: i64,
        build: impl Fn(&Http) -> Request + Send + Sync,
    ) -> Result<Written, Ended> {
        let answer = self.send(Intent::Write, build).await?;
        if answer.is_success() {
            return match answer::contact(&answer) {
                Some(contact) if contact.id == id => Ok(Written::Done(contact)),
                Some(_) | None => Err(self.failure(unreadable())),
            };
        }
        if answer::is_not_found(&answer) {
            return Ok(Written::Missing);
        }
        Ok(Written::Refused(answer::refusal(&answer, Names::Contact)))
    }

    pub(super) async fn send(
        &self,
        intent: Intent,
        build: impl Fn(&Http) -> Request + Send + Sync,
    ) -> Result<Answer, Ended> {
        let answer = self.client.call(intent, self.send_before, build).await;
        let answer = answer.map_err(|f| self.failure(f))?.ok_or_else(|| self.too_late())?;
        if intent == Intent::Write {
            self.wrote.store(true, Ordering::Relaxed);
        }
        if let Some(date) = answer.date() {
            self.server_second.store(date.as_second(), Ordering::Relaxed);
        }
        Ok(answer)
    }

    /// `NotSent` would be a lie after a write, even after one that was refused (obligation 4).
    fn too_late(&self) -> Ended {
        if self.wrote.load(Ordering::Relaxed) {
            let text = "No time was left to find out what became of a write";
            return PushResult::Failed(Failure::new(FailureClass::Ambiguous, text));
        }
        PushResult::NotSent
    }

    /// The end of a push by this failure, which is of a request that was not sent only if no write was sent before.
    pub(super) fn failure(&self, failure: Failure) -> Ended {
        let unsent = failure.unsent && !self.wrote.load(Ordering::Relaxed);
        PushResult::Failed(Failure { unsent, ..failure })
    }

    /// A person must decide: trying again would not help.
    pub(super) fn rejected(&self, why: &str) -> Ended {
        self.failure(Failure::new(FailureClass::Rejected, why))
    }
}

/// What this contact should hold: another integration's identifier stays.
fn wanted_of(contact: &Contact, wire: &Wire) -> Value {
    match contact.foreign_identifier() {
        Some(foreign) => wire::with(&wire.body, wire::IDENTIFIER, json!(foreign)),
        None => wire.body.clone(),
    }
}

/// `left_to`: the contact that has the phone number.
fn held(contact: Contact, written: bool, left_to: Option<i64>) -> PushResult {
    PushResult::Held {
        remote_id: contact.id.to_string(),
        remote_hash: contact.wire.hash,
        written,
        carried: Vec::new(),
        left_to: left_to.map(|id| id.to_string()),
        held: Some(Box::new(wire::taken_in(&contact.wire))),
    }
}

fn stale(text: &str) -> Failure {
    Failure::new(FailureClass::StaleMapping, text)
}

/// A success that does not show the contact that was meant: it may have been applied.
fn unreadable() -> Failure {
    let text = "The answer to a write does not show the contact that was meant";
    Failure::new(FailureClass::Ambiguous, text)
}
