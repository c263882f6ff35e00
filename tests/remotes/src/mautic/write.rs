//! Create, edit and delete: one contact each, also inside a batch (section 2c).

use std::ops::Range;

use hyper::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::audit;
use super::contact::{Contact, Source};
use super::draft::Draft;
use super::field::{Accepted, EMS_PERSON_ID};
use super::options::{DedupeCheck, MauticSettings, Version};
use super::problem::Problem;
use super::route::sent_person;
use super::store::Store;
use crate::{Effect, Record, RowEffect};

/// What a write works with.
pub(super) struct Desk<'a> {
    pub(super) store: &'a mut Store,
    pub(super) settings: &'a MauticSettings,
    pub(super) now: Timestamp,
    /// The commits between the request's arrival and its turn: what they made, a create that
    /// looked before has not seen.
    pub(super) unseen: Range<u64>,
    pub(super) record: &'a mut Record,
}

/// A committed write.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    pub(super) id: i64,
    pub(super) status: StatusCode,
}

/// Which verb brought a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    /// A new contact.
    Create,
    /// A POST that met an existing one.
    Adopt,
    Patch,
    Put,
}

impl Desk<'_> {
    /// `POST /contacts/new`: edits the contact that has the unique identifiers, or makes one.
    pub(super) fn create(&mut self, body: &Value) -> Result<Written, Problem> {
        let draft = self.draft(body, false).map_err(|problem| self.noted(body, problem))?;
        let identifiers = self.identifiers(&draft);
        if identifiers.is_empty() {
            self.record.violation("post_without_unique_field", "contacts");
        }
        let unseen = match self.settings.dedupe_check {
            DedupeCheck::OnArrival => self.unseen.clone(),
            DedupeCheck::OnCommit => 0..0,
        };
        let operator = self.settings.unique_operator;
        let existing = self.store.duplicate(&identifiers, operator, &unseen, None);
        if let Some(before) = existing.and_then(|id| self.store.get(id)).cloned() {
            audit::overwrite(&before, draft.text(EMS_PERSON_ID), self.record);
            let after = self.drafted(before, draft, Verb::Adopt);
            return Ok(self.commit(after, Effect::Patched, StatusCode::OK));
        }
        Ok(self.insert(draft, Verb::Create))
    }

    /// `PATCH /contacts/{id}/edit`
    pub(super) fn patch(&mut self, id: i64, body: &Value) -> Result<Written, Problem> {
        let before = self.known(id).map_err(|problem| self.noted(body, problem))?;
        self.edit(before, body, Verb::Patch)
    }

    /// `PUT /contacts/{id}/edit`: an unknown id makes a contact under a new one.
    pub(super) fn put(&mut self, id: i64, body: &Value) -> Result<Written, Problem> {
        match self.known(id) {
            Ok(before) => self.edit(before, body, Verb::Put),
            Err(_) => self.put_new(body),
        }
    }

    /// A PUT without an existing contact: always a new one, nobody looks for duplicates.
    pub(super) fn put_new(&mut self, body: &Value) -> Result<Written, Problem> {
        let draft = self.draft(body, true).map_err(|problem| self.noted(body, problem))?;
        Ok(self.insert(draft, Verb::Put))
    }

    /// `DELETE /contacts/{id}/delete`
    pub(super) fn delete(&mut self, id: i64) -> Result<(), Problem> {
        let contact = self.store.take(id).ok_or_else(|| {
            self.note(None, Some(id), Effect::Refused, false, StatusCode::NOT_FOUND);
            Problem::not_found()
        })?;
        audit::deletion(&contact, self.record);
        let person = contact.ems_person_id().map(str::to_owned);
        self.note(person, Some(id), Effect::Deleted, true, StatusCode::OK);
        Ok(())
    }

    /// The contact that an id means; one that was merged away may be somebody else now.
    pub(super) fn known(&self, id: i64) -> Result<Contact, Problem> {
        self.store.known(id, self.settings.merged_id).cloned().ok_or_else(Problem::not_found)
    }

    /// Puts a changed contact in its place, and notes it.
    pub(super) fn commit(&mut self, after: Contact, effect: Effect, status: StatusCode) -> Written {
        let id = after.id;
        let person = after.ems_person_id().map(str::to_owned);
        let changed = self.store.replace(after, self.now);
        self.note(person, Some(id), effect, changed, status);
        Written { id, status }
    }

    /// Notes a refusal about a contact that is there.
    pub(super) fn refused(&mut self, contact: &Contact, problem: Problem) -> Problem {
        let person = contact.ems_person_id().map(str::to_owned);
        self.note(person, Some(contact.id), Effect::Refused, false, problem.status);
        problem
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

    /// Notes that a body was refused.
    fn noted(&mut self, body: &Value, problem: Problem) -> Problem {
        self.note(sent_person(body), None, Effect::Refused, false, problem.status);
        problem
    }

    fn edit(&mut self, mut before: Contact, body: &Value, verb: Verb) -> Result<Written, Problem> {
        let draft = match self.draft(body, verb == Verb::Put) {
            Ok(draft) => draft,
            Err(problem) => return Err(self.refused(&before, problem)),
        };
        audit::overwrite(&before, draft.text(EMS_PERSON_ID), self.record);
        let identifiers = self.identifiers(&draft);
        let operator = self.settings.unique_operator;
        let twin = self.store.duplicate(&identifiers, operator, &(0..0), Some(before.id));
        if let Some(twin) = twin {
            before = self.merge(before, twin);
        }
        let after = self.drafted(before, draft, verb);
        let effect = if verb == Verb::Put { Effect::Replaced } else { Effect::Patched };
        Ok(self.commit(after, effect, StatusCode::OK))
    }

    fn insert(&mut self, draft: Draft, verb: Verb) -> Written {
        let contact = self.drafted(Contact::new(Source::Api, self.now), draft, verb);
        let person = contact.ems_person_id().map(str::to_owned);
        let id = self.store.insert(contact);
        self.note(person, Some(id), Effect::Created, true, StatusCode::CREATED);
        Written { id, status: StatusCode::CREATED }
    }

    fn draft(&mut self, body: &Value, whole: bool) -> Result<Draft, Problem> {
        let none = Map::new();
        let body = body.as_object().unwrap_or(&none);
        Draft::read(body, whole, &self.store.fields, self.settings, self.record)
    }

    fn identifiers(&self, draft: &Draft) -> Vec<(String, String)> {
        draft.identifiers(|alias| {
            self.store.field(alias).is_some_and(|field| field.unique)
                || alias == EMS_PERSON_ID && self.settings.ems_person_id_unique
        })
    }

    /// The contact as the body makes it.
    fn drafted(&mut self, mut contact: Contact, draft: Draft, verb: Verb) -> Contact {
        if verb == Verb::Put {
            contact.values.clear();
            contact.points = 0;
            contact.stage = None;
        }
        let clears = draft.overwrite_with_blank || verb == Verb::Put;
        for (alias, accepted) in draft.values {
            match accepted {
                Accepted::Set(value) => drop(contact.values.insert(alias, value)),
                Accepted::Blank if clears => drop(contact.values.remove(&alias)),
                Accepted::Blank | Accepted::Dropped => {}
            }
        }
        if matches!(verb, Verb::Create | Verb::Adopt) {
            for field in &self.store.fields {
                if let (Some(default), false) =
                    (&field.default, contact.values.contains_key(&field.alias))
                {
                    contact.values.insert(field.alias.clone(), default.clone());
                }
            }
        }
        for tag in draft.tags {
            match tag.strip_prefix('-') {
                Some(tag) => drop(contact.tags.remove(tag)),
                None => drop(contact.tags.insert(tag)),
            }
        }
        contact.owner = draft.owner.unwrap_or(contact.owner);
        contact.stage = draft.stage.unwrap_or(contact.stage);
        contact.points = draft.points.unwrap_or(contact.points);
        contact.last_active = draft.last_active.or(contact.last_active);
        let lost = self.settings.version == Version::V3 && verb == Verb::Create;
        for change in draft.do_not_contact.iter().filter(|_| !lost) {
            change.apply(&mut contact, self.now, self.record);
        }
        if let Some(rules) = draft.frequency_rules {
            contact.frequency_rules.extend(rules);
            if verb != Verb::Patch {
                // The form's list of segments is empty, so the contact is in none any more.
                contact.segments.clear();
            }
        }
        contact
    }
}
