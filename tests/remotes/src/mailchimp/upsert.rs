//! Create and update of one member: by PUT, PATCH and POST, also inside a bulk request or a batch.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::address::{self, subscriber_hash};
use super::audit::{self, Verb};
use super::draft::Draft;
use super::list::List;
use super::member::{EMS_ID, Member, OptOut, Status, stamp};
use super::merge_field::{Accepted, Kind};
use super::options::{ArchivedUpsert, MailChimpSettings, PutTags};
use super::problem::{FieldError, Problem};
use super::webhook::{Event, Source};
use crate::{Effect, Record};

/// What a write works with.
pub(super) struct Desk<'a> {
    pub(super) list: &'a mut List,
    pub(super) next_web_id: &'a mut u64,
    pub(super) settings: &'a MailChimpSettings,
    pub(super) now: Timestamp,
    pub(super) skip_merge_validation: bool,
    pub(super) record: &'a mut Record,
}

/// A committed write.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) id: String,
    pub(super) ems_id: Option<String>,
    pub(super) effect: Effect,
    pub(super) changed: bool,
    pub(super) body: Value,
}

impl Desk<'_> {
    /// `PUT …/members/{hash}`: update of who is found, else create of whom the *body* names.
    pub(super) fn put(&mut self, key: &str, body: &Map<String, Value>) -> Result<Written, Problem> {
        audit::body(self.list, body, self.record);
        let draft = Draft::read(body)?;
        if let Some(member) = self.list.find(key).cloned() {
            return self.update(Verb::Put, member, &draft);
        }
        let email = draft.email_address.as_deref().ok_or_else(blank_address)?;
        if subscriber_hash(email) != key.to_lowercase() && !key.contains('@') {
            self.record.violation("path_hash_ignored", self.list.options.id.as_str());
        }
        if self.list.find_email(email).is_some() {
            return Err(Problem::member_exists(email));
        }
        self.create(&draft)
    }

    /// `PATCH …/members/{hash}`
    pub(super) fn patch(
        &mut self,
        key: &str,
        body: &Map<String, Value>,
    ) -> Result<Written, Problem> {
        audit::body(self.list, body, self.record);
        let member = self.list.find(key).cloned().ok_or_else(Problem::not_found)?;
        self.update(Verb::Patch, member, &Draft::read(body)?)
    }

    /// `POST …/members`: a member who is archived is restored.
    pub(super) fn post(&mut self, body: &Map<String, Value>) -> Result<Written, Problem> {
        audit::body(self.list, body, self.record);
        let draft = Draft::read(body)?;
        let email = draft.email_address.as_deref().ok_or_else(blank_address)?;
        if draft.status.is_none() {
            return Err(blank_status());
        }
        match self.list.find_email(email).cloned() {
            None => self.create(&draft),
            Some(member) if member.status == Status::Archived => {
                self.update(Verb::Post, member, &draft)
            }
            Some(_) => Err(Problem::member_exists(email)),
        }
    }

    /// Makes a member.
    pub(super) fn create(&mut self, draft: &Draft) -> Result<Written, Problem> {
        let email = draft.email_address.as_deref().ok_or_else(blank_address)?;
        self.check_address(email)?;
        let status = draft.status.or(draft.status_if_new).ok_or_else(blank_status)?;
        audit::create(self.list, status, self.record);
        let id = subscriber_hash(email);
        if let Some(times) = self.list.crowded.get_mut(&id).filter(|times| **times > 0) {
            *times -= 1;
            return Err(Problem::too_many_signups(email));
        }
        let mut member = Member::new(*self.next_web_id, id, email, status, self.now);
        member.origin.insert("timestamp_signup", stamp(self.now));
        if status == Status::Subscribed {
            member.origin.insert("timestamp_opt", stamp(self.now));
        }
        if matches!(status, Status::Unsubscribed | Status::Cleaned) {
            member.opt_out = Some(OptOut::Api);
        }
        self.fill(&mut member, draft)?;
        self.check_required(&member)?;
        self.tag(&mut member, draft);
        *self.next_web_id += 1;
        if status == Status::Subscribed {
            self.list.tell(Event::Subscribe, Source::Api, &member, None, self.now);
        }
        Ok(self.keep(member, Effect::Created, true))
    }

    /// Changes a member.
    pub(super) fn update(
        &mut self,
        verb: Verb,
        before: Member,
        draft: &Draft,
    ) -> Result<Written, Problem> {
        audit::update(self.list, verb, &before, draft, self.record);
        let mut member = before.clone();
        if let Some(email) = &draft.email_address {
            self.change_address(&mut member, email)?;
        }
        self.change_status(&mut member, self.wanted_status(verb, &before, draft))?;
        self.fill(&mut member, draft)?;
        let takes_tags = match verb {
            Verb::Put | Verb::Patch => self.settings.put_tags == PutTags::Added,
            Verb::Post | Verb::Bulk => true,
        };
        if takes_tags {
            self.tag(&mut member, draft);
        }
        let changed = Member { known_as: before.known_as.clone(), ..member.clone() } != before;
        if changed {
            member.last_changed = self.now;
            self.tell_of_change(&before, &member);
        }
        let effect = if verb == Verb::Patch { Effect::Patched } else { Effect::Replaced };
        Ok(self.keep(member, effect, changed))
    }

    fn keep(&mut self, member: Member, effect: Effect, changed: bool) -> Written {
        let written = Written {
            id: member.id.clone(),
            ems_id: member.journal_id(),
            effect,
            changed,
            body: member.to_value(self.list),
        };
        self.list.put(member);
        written
    }

    fn wanted_status(&self, verb: Verb, member: &Member, draft: &Draft) -> Option<Status> {
        let restored = member.status == Status::Archived
            && verb == Verb::Put
            && self.settings.archived_upsert == ArchivedUpsert::Restores;
        draft.status.or_else(|| draft.status_if_new.filter(|_| restored))
    }

    fn check_address(&self, email: &str) -> Result<(), Problem> {
        if !address::is_valid(email) {
            return Err(Problem::invalid_address());
        }
        if self.settings.refuses_fake_addresses && address::is_fake(email) {
            return Err(Problem::fake_address(email));
        }
        if self.list.forgotten.contains(&subscriber_hash(email)) {
            return Err(Problem::forgotten(email));
        }
        Ok(())
    }

    /// A member keeps the contact id, but gets the hash of the new address.
    fn change_address(&self, member: &mut Member, email: &str) -> Result<(), Problem> {
        if subscriber_hash(email) == subscriber_hash(&member.email_address) {
            email.trim().clone_into(&mut member.email_address);
            return Ok(());
        }
        self.check_address(email)?;
        if self.list.find_email(email).is_some() {
            return Err(Problem::member_exists(email));
        }
        let lapsed = matches!(member.status, Status::Unsubscribed | Status::Cleaned);
        if lapsed && !self.settings.changes_lapsed_addresses {
            return Err(Problem::compliance(&member.email_address));
        }
        member.id = subscriber_hash(email);
        email.trim().clone_into(&mut member.email_address);
        Ok(())
    }

    fn change_status(&self, member: &mut Member, wanted: Option<Status>) -> Result<(), Problem> {
        let Some(wanted) = wanted.filter(|wanted| *wanted != member.status) else { return Ok(()) };
        let remembered =
            member.status != Status::Archived || self.settings.archive_keeps_compliance;
        let locked = member.opt_out.filter(|opt_out| opt_out.is_compliance() && remembered);
        // Only people who unsubscribed may be asked once more.
        let may_ask = wanted == Status::Pending && locked == Some(OptOut::Member);
        if matches!(wanted, Status::Subscribed | Status::Pending) && locked.is_some() && !may_ask {
            return Err(Problem::compliance(&member.email_address));
        }
        match wanted {
            Status::Subscribed => {
                member.opt_out = None;
                member.origin.insert("timestamp_opt", stamp(self.now));
            }
            Status::Unsubscribed | Status::Cleaned => {
                member.opt_out = member.opt_out.or(Some(OptOut::Api));
            }
            Status::Pending | Status::Transactional | Status::Archived => {}
        }
        member.status = wanted;
        member.archived_by = None;
        Ok(())
    }

    /// Everything but address, status and tags.
    fn fill(&self, member: &mut Member, draft: &Draft) -> Result<(), Problem> {
        let mut errors = Vec::new();
        let mut blocked = member.blocked;
        for (tag, value) in &draft.merge_fields {
            // Unknown fields are ignored in silence.
            let Some(field) = self.list.field(tag) else { continue };
            match field.accept(value) {
                Ok(Accepted::Set(value)) => {
                    blocked &= !value.is_object();
                    member.merge_fields.insert(field.tag.clone(), value);
                }
                Ok(Accepted::Cleared) => {
                    blocked &= field.kind != Kind::Address;
                    member.merge_fields.remove(&field.tag);
                }
                Ok(Accepted::Incomplete(value)) => {
                    if !member.blocked {
                        blocked = true;
                        member.merge_fields.insert(field.tag.clone(), value);
                    }
                }
                Err(message) => errors.push(FieldError::new(&field.tag, message)),
            }
        }
        if member.blocked && blocked {
            errors.push(FieldError::new("ADDRESS", "Please enter a complete address"));
        }
        if !errors.is_empty() {
            return Err(Problem::merge_fields(errors));
        }
        member.blocked = blocked;
        if let Some(ems_id) = draft.merge_fields.get(EMS_ID).and_then(Value::as_str) {
            member.known_as = Some(ems_id.to_owned()).filter(|id| !id.is_empty());
        }
        if let Some(id) = draft.interests.keys().find(|id| !self.list.has_interest(id)) {
            return Err(Problem::invalid(format!("Invalid interest ID: '{id}'.")));
        }
        member.interests.extend(draft.interests.clone());
        member.origin.extend(draft.origin.clone());
        let set = |field: &mut String, value: &Option<String>| {
            if let Some(value) = value {
                field.clone_from(value);
            }
        };
        set(&mut member.email_type, &draft.email_type);
        set(&mut member.language, &draft.language);
        member.vip = draft.vip.unwrap_or(member.vip);
        if let Some(location) = &draft.location {
            member.location.extend(location.clone());
        }
        if let Some(permissions) = &draft.marketing_permissions {
            member.marketing_permissions.clone_from(permissions);
        }
        Ok(())
    }

    /// The tags of a body, added to those that are there or instead of them.
    fn tag(&mut self, member: &mut Member, draft: &Draft) {
        if draft.replaces_tags {
            member.tags.clear();
        }
        for name in draft.tags.iter().flatten() {
            let key = self.list.tag_key(name, self.settings.tag_case);
            if !member.tags.contains(&key) {
                member.tags.push(key);
            }
        }
    }

    fn check_required(&self, member: &Member) -> Result<(), Problem> {
        if self.skip_merge_validation {
            return Ok(());
        }
        let fields = self.list.options.merge_fields.iter();
        let missing = fields.filter(|f| f.required && !member.merge_fields.contains_key(&f.tag));
        let errors: Vec<_> =
            missing.map(|field| FieldError::new(&field.tag, "Please enter a value")).collect();
        if errors.is_empty() { Ok(()) } else { Err(Problem::merge_fields(errors)) }
    }

    fn tell_of_change(&mut self, before: &Member, after: &Member) {
        let event = match (before.status, after.status) {
            (old, new) if old == new && before.id != after.id => Event::UpEmail,
            (old, new) if old == new => Event::Profile,
            (_, Status::Subscribed) => Event::Subscribe,
            (_, Status::Unsubscribed) => Event::Unsubscribe,
            (_, Status::Cleaned) => Event::Cleaned,
            (_, Status::Pending | Status::Transactional | Status::Archived) => return,
        };
        let old_email = (before.id != after.id).then_some(before.email_address.as_str());
        self.list.tell(event, Source::Api, after, old_email, self.now);
    }
}

fn blank_address() -> Problem {
    Problem::schema(vec![FieldError::new("email_address", "This value should not be blank.")])
}

fn blank_status() -> Problem {
    Problem::schema(vec![FieldError::new("status", "This value should not be blank.")])
}
