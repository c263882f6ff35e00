//! Create, read, update and delete contacts (contract, sections 2, 3 and 10).

use hyper::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::audit;
use super::contact::{Contact, ContactInbox, inbox};
use super::draft;
use super::listing::shows_inboxes;
use super::options::{ChatwootSettings, DuplicateCreate};
use super::refusal::Refusal;
use super::store::Store;
use crate::{Effect, Record, Request, Response, RowEffect, Subject};

/// What a write works with.
pub(super) struct Desk<'a> {
    pub(super) store: &'a mut Store,
    pub(super) settings: &'a ChatwootSettings,
    pub(super) now: Timestamp,
    pub(super) record: &'a mut Record,
}

impl Desk<'_> {
    /// `POST /contacts`
    pub(super) fn create(&mut self, body: &Map<String, Value>) -> Result<Response, Refusal> {
        audit::fields(body, true, self.record);
        let mut contact = self.store.contacts.blank(self.now);
        draft::lay_over(&mut contact, body);
        let sought = contact.identifier.as_deref().unwrap_or_default();
        audit::create(&contact, self.store.known.use_look_up(sought), self.record);
        let inbox_id = body.get("inbox_id").and_then(Value::as_i64);
        if inbox_id.is_some_and(|id| !self.settings.inboxes.contains(&id)) {
            return self.refused(contact.ems_id(), None, Refusal::NotFound);
        }
        if let Some(inbox_id) = inbox_id {
            let source_id = body.get("source_id").and_then(Value::as_str);
            let source_id = source_id.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned);
            contact.inboxes.push(ContactInbox { inbox_id, source_id });
        }
        if self.settings.duplicate_create == DuplicateCreate::ExistingContact
            && let Some((_, id)) = self.store.contacts.clashes(&contact).first()
            && let Some(existing) = self.store.contacts.get(*id)
        {
            let response = created(existing);
            let ems_id = existing.ems_id();
            self.note(ems_id, Some(*id), Effect::Refused, false, StatusCode::OK);
            return Ok(response);
        }
        let (id, ems_id) = (contact.id, contact.ems_id());
        let invalid = draft::validate(&contact);
        let response = created(&contact);
        let saved = self.store.contacts.save(contact, invalid, self.settings.uniqueness_race);
        if let Err(refusal) = saved {
            return self.refused(ems_id, None, refusal);
        }
        self.store.contact_created(id);
        self.note(ems_id, Some(id), Effect::Created, true, StatusCode::OK);
        Ok(response)
    }

    /// `GET /contacts/{id}`
    pub(super) fn read(&mut self, id: &str, request: &Request) -> Result<Response, Refusal> {
        let contact = self.contact(id)?;
        let response = payload(&contact, request);
        let at = self.store.contacts.writes();
        self.store.known.contacts.insert(contact.id, (at, contact));
        Ok(response)
    }

    /// `PUT` or `PATCH /contacts/{id}`
    pub(super) fn update(
        &mut self,
        id: &str,
        body: &Map<String, Value>,
        request: &Request,
        subject: &Subject,
    ) -> Result<Response, Refusal> {
        audit::fields(body, false, self.record);
        let ems_id = subject.external_ids.first().cloned();
        let before = match self.contact(id) {
            Ok(before) => before,
            Err(refusal) => return self.refused(ems_id, id.parse().ok(), refusal),
        };
        let mut after = before.clone();
        draft::lay_over(&mut after, body);
        if let Some(known) = self.store.known.of(&before, subject.seen) {
            audit::update(known, &before, &after, body, self.record);
        }
        self.change(&before, after, request, ems_id)
    }

    /// Saves a changed contact, tells the webhooks, and answers with it.
    pub(super) fn change(
        &mut self,
        before: &Contact,
        mut after: Contact,
        request: &Request,
        ems_id: Option<String>,
    ) -> Result<Response, Refusal> {
        let id = before.id;
        let changed = !before.says_the_same(&after);
        if changed {
            after.updated_at = self.now;
            let invalid = draft::validate(&after);
            let saved =
                self.store.contacts.save(after.clone(), invalid, self.settings.uniqueness_race);
            if let Err(refusal) = saved {
                return self.refused(ems_id, Some(id), refusal);
            }
            self.store.contact_changed(before, &after);
        }
        self.note(ems_id, Some(id), Effect::Patched, changed, StatusCode::OK);
        Ok(payload(&after, request))
    }

    /// `POST /contacts/{id}/destroy_custom_attributes`
    pub(super) fn drop_attributes(
        &mut self,
        id: &str,
        body: &Map<String, Value>,
        request: &Request,
        subject: &Subject,
    ) -> Result<Response, Refusal> {
        let ems_id = subject.external_ids.first().cloned();
        let before = self.contact(id)?;
        let mut after = before.clone();
        let keys = body.get("custom_attributes").and_then(Value::as_array).into_iter().flatten();
        for key in keys.filter_map(Value::as_str) {
            after.custom.remove(key);
        }
        self.change(&before, after, request, ems_id)
    }

    /// `DELETE /contacts/{id}`: takes the support history along. No event tells of it.
    pub(super) fn delete(&mut self, id: &str, subject: &Subject) -> Result<Response, Refusal> {
        self.record.violation("deletes_contact", format!("contact {}", self.contact(id)?.id));
        let contact = self.contact(id)?;
        let ems_id = subject.external_ids.first().cloned();
        if contact.online {
            let message = format!("{} is Online, please try again later", contact.name);
            return self.refused(ems_id, Some(contact.id), Refusal::Message(message));
        }
        self.store.remove_contact(contact.id);
        self.note(ems_id, Some(contact.id), Effect::Deleted, true, StatusCode::OK);
        Ok(Response::empty(StatusCode::OK))
    }

    /// The contact with the id of a path.
    pub(super) fn contact(&self, id: &str) -> Result<Contact, Refusal> {
        let found = id.parse().ok().and_then(|id| self.store.contacts.get(id));
        found.cloned().ok_or(Refusal::NotFound)
    }

    /// Notes what became of a row.
    pub(super) fn note(
        &mut self,
        external_id: Option<String>,
        id: Option<i64>,
        effect: Effect,
        changed: bool,
        status: StatusCode,
    ) {
        self.record.rows.push(RowEffect {
            external_id,
            remote_id: id.map(|id| id.to_string()),
            effect,
            changed,
            status: status.as_u16(),
        });
    }

    /// Notes a refused row, and refuses.
    pub(super) fn refused<T>(
        &mut self,
        external_id: Option<String>,
        id: Option<i64>,
        refusal: Refusal,
    ) -> Result<T, Refusal> {
        self.note(external_id, id, Effect::Refused, false, refusal.status());
        Err(refusal)
    }
}

fn payload(contact: &Contact, request: &Request) -> Response {
    let body = contact.body(shows_inboxes(request));
    Response::json(StatusCode::OK, &json!({ "payload": body }))
}

fn created(contact: &Contact) -> Response {
    let contact_inbox = contact.inboxes.last();
    let body = json!({ "payload": {
        "contact": contact.body(true),
        "contact_inbox": {
            "inbox": contact_inbox.map(|one| inbox(one.inbox_id)),
            "source_id": contact_inbox.map(|one| &one.source_id),
        },
    }});
    Response::json(StatusCode::OK, &body)
}
