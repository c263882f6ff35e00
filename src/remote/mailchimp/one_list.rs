//! One list of one person: to where the EMS wants them, as far as they and `MailChimp` allow it.

use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::calls::{Calls, Ended, Known, Put};
use super::consent::{self, Step};
use super::member::{
    Did, EMS_ID, EMS_OUT, EMS_TAGS, FIRST_NAME, LAST_NAME, Mark, Member, Status, tag_codes,
};
use super::wire::{Content, Wanted, tag_key};
use crate::entity::{EntityRef, EntityType};
use crate::limits;
use crate::remote::{Failure, FailureClass, Look, PushResult};

/// One list of one person.
pub(super) struct OneList<'a> {
    pub(super) calls: &'a Calls<'a>,
    /// Its code in the EMS.
    pub(super) code: &'a str,
    /// Its id.
    pub(super) list: &'a str,
    /// They may be somebody there whom we don't know: the answer to a write was lost.
    pub(super) look: Look,
    /// Who has given up the address to them ([`crate::remote::Wire::given_up_by`]).
    pub(super) given_up_by: &'a [EntityRef],
    /// The contact id of whoever is theirs there, as soon as that is known.
    pub(super) found: Mutex<Option<String>>,
}

impl OneList<'_> {
    /// Brings them to where they are wanted. The member that they are there; `None` where they are none. `contact` is the id
    /// that is known, and is kept up to date whatever happens.
    pub(super) async fn bring(
        &self,
        content: &Content,
        contact: &mut Option<String>,
    ) -> Result<Option<Member>, Ended> {
        let mut here = self.calls.find(self.list, &content.email).await?;
        if here.is_none() && content.wanted == Wanted::Out {
            here = self.calls.find_by_address(self.list, &content.email).await?;
        }
        if let Some(here) = &here {
            self.note(here);
            if contact.is_none() && self.is_found(here) {
                self.calls.note_found();
            }
        }
        let before = self.before(content.wanted, here.as_ref(), contact).await?;
        let result = match content.wanted {
            Wanted::Out => self.out(content, here, before).await,
            Wanted::Subscribed | Wanted::Pending => self.wanted(content, here, before).await,
        };
        if result.is_err() && contact.is_none() {
            // Where another one is known, that one may still have to go.
            contact.clone_from(&self.found.lock().unwrap_or_else(PoisonError::into_inner));
        }
        let ours = result?.filter(|there| self.calls.is_ours(there));
        // Who was archived by people is kept in mind: another address of theirs must not bring them back.
        let is_kept = |there: &Member| !there.is_archived() || there.our_mark().is_none();
        *contact =
            ours.as_ref().filter(|there| is_kept(there)).map(|there| there.contact_id.clone());
        Ok(ours.filter(|there| !there.is_archived()))
    }

    fn is_found(&self, here: &Member) -> bool {
        self.calls.is_ours(here) && !here.is_archived()
    }

    /// A member was seen: if it is theirs, its id is kept, whatever fails after it.
    fn note(&self, member: &Member) {
        if self.calls.is_ours(member) && !member.is_archived() {
            let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
            *found = Some(member.contact_id.clone());
        }
    }

    /// Who they were there, if that is another member than the one of their address. Of several who were lost they keep one,
    /// whom `contact` names then; the others go.
    async fn before(
        &self,
        wanted: Wanted,
        here: Option<&Member>,
        contact: &mut Option<String>,
    ) -> Result<Before, Ended> {
        let lost = self.lost(here, contact.as_deref()).await?;
        let known = contact.as_deref();
        let mut before = match known.filter(|id| here.is_none_or(|here| here.contact_id != *id)) {
            Some(known) => self.known(wanted, known).await?,
            None => Before::Nobody,
        };
        for id in lost {
            let Known::Ours(member) = self.calls.get_ours(self.list, &id).await? else { continue };
            match &before {
                Before::Member(known) if !known.is_archived() => self.lapse(*member).await?,
                Before::Member(_) | Before::Nobody | Before::Forgotten => {
                    *contact = Some(id);
                    before = Before::Member(member);
                }
            }
        }
        Ok(before)
    }

    async fn known(&self, wanted: Wanted, contact: &str) -> Result<Before, Ended> {
        Ok(match self.calls.get_ours(self.list, contact).await? {
            Known::Ours(member) => Before::Member(member),
            // Who wants no mail gets none by a member who is another's by now.
            Known::SomebodyElses if wanted == Wanted::Out => Before::Nobody,
            Known::SomebodyElses => {
                // Whoever it was before may have left there: nobody is made anew on that account.
                let text = format!(
                    "The member that is known of list `{}` carries another person's EMSID",
                    self.code
                );
                return Err(self.calls.failed(Failure::new(FailureClass::Rejected, text)));
            }
            Known::Forgotten => Before::Forgotten,
        })
    }

    /// Whom a write whose answer was lost may have made theirs, with an address that they have no longer; not `contact`, who is
    /// known. Nobody else is made before that is certain.
    async fn lost(
        &self,
        here: Option<&Member>,
        contact: Option<&str>,
    ) -> Result<Vec<String>, Ended> {
        let is_found = here.is_some_and(|here| self.is_found(here));
        match self.look {
            Look::IfRefused => Ok(Vec::new()),
            Look::First { .. } if is_found => Ok(Vec::new()),
            Look::First { absence_is_proof: false } => Err(PushResult::Unsettled),
            Look::First { absence_is_proof: true } => {
                let since = self.calls.server_now().checked_sub(limits::MAILCHIMP_LOST_WITHIN).ok();
                let mut lost = self.calls.client.contacts_of(self.list, self.calls, since).await?;
                lost.retain(|id| Some(id.as_str()) != contact);
                Ok(lost)
            }
        }
    }

    /// They want no mail: whoever they are there, nobody is made.
    async fn out(
        &self,
        content: &Content,
        here: Option<Member>,
        before: Before,
    ) -> Result<Option<Member>, Ended> {
        let mut there = None;
        for member in [before.member(), here].into_iter().flatten() {
            let member = match consent::step(Wanted::Out, content.since, Some(&member)) {
                Step::Unsubscribe => {
                    let was_theirs = self.calls.is_ours(&member);
                    self.made_theirs(was_theirs, self.unsubscribe(content, member).await)?
                }
                Step::Create | Step::Fields | Step::Restore | Step::Leave => member,
            };
            if self.calls.is_ours(&member) {
                there = Some(member);
            }
        }
        Ok(there)
    }

    /// How the writes ended that make a member theirs, who was somebody else's or nobody's.
    fn made_theirs<T>(&self, was_theirs: bool, end: Result<T, Ended>) -> Result<T, Ended> {
        if was_theirs { end } else { self.calls.note_lost(end) }
    }

    async fn unsubscribe(&self, content: &Content, member: Member) -> Result<Member, Ended> {
        let member = self.take_over(member).await?;
        let (written, opt_out) = (self.calls.server_now(), content.since);
        let is_here = member.email == content.email;
        let did = if is_here { Did::Unsubscribe } else { Did::UnsubscribeMoved };
        let mark = Mark { did, written, opt_out };
        let fields = json!({ EMS_ID: self.calls.ems_id, EMS_OUT: mark.text() });
        let status = Some(Status::Unsubscribed);
        let after = self.calls.patch_fields(self.list, &member, status, fields).await?;
        Ok(after.unwrap_or(member))
    }

    /// They want mail. The order is that of the contract's section 5: the new address first, then the old one.
    async fn wanted(
        &self,
        content: &Content,
        here: Option<Member>,
        before: Before,
    ) -> Result<Option<Member>, Ended> {
        match (here, before) {
            (Some(here), Before::Member(before)) if self.stays_out(content, &here, &before) => {
                Ok(Some(*before))
            }
            (Some(here), before) => {
                let was_theirs = self.calls.is_ours(&here);
                let there = self.made_theirs(was_theirs, self.existing(content, here).await)?;
                if let Some(before) = before.member() {
                    self.lapse(before).await?;
                }
                Ok(there)
            }
            (None, Before::Member(before)) => self.moved(content, *before).await,
            (None, Before::Nobody) => self.create(content).await,
            // A person's decision; they must subscribe by themselves (contract, section 9).
            (None, Before::Forgotten) => Err(self.calls.failed(Failure::new(
                FailureClass::Rejected,
                format!("The member of list `{}` was deleted there for good", self.code),
            ))),
        }
    }

    /// What is to be done with who is there. Who was unsubscribed by us with an address that they had left by then says nothing
    /// of who has it now.
    fn step(&self, content: &Content, there: &Member) -> Step {
        let is_anothers = there.ems_id.is_some() && !self.calls.is_ours(there);
        match there.our_mark() {
            Some(mark) if is_anothers && mark.did == Did::UnsubscribeMoved => Step::Restore,
            Some(_) | None => consent::step(content.wanted, content.since, Some(there)),
        }
    }

    /// Who left does not come back by a member of their new address whom we had taken out.
    fn stays_out(&self, content: &Content, here: &Member, before: &Member) -> bool {
        let step = |of| self.step(content, of);
        let has_left = match before.status {
            Status::Unsubscribed | Status::Archived => step(before) != Step::Restore,
            Status::Subscribed | Status::Pending | Status::Transactional | Status::Cleaned => false,
        };
        step(here) == Step::Restore && has_left
    }

    /// They have another address than the member has.
    async fn moved(&self, content: &Content, before: Member) -> Result<Option<Member>, Ended> {
        let step = consent::step(content.wanted, content.since, Some(&before));
        let member = match (step, before.status) {
            // The archived address stays where it is.
            (Step::Restore, Status::Archived) => return self.create(content).await,
            (Step::Restore, _) => self.restore(content, before).await?,
            (Step::Fields, Status::Subscribed | Status::Pending | Status::Transactional) => before,
            // Who left, or bounced, does not come back by another address.
            (Step::Create | Step::Fields | Step::Unsubscribe | Step::Leave, _) => {
                return Ok(Some(before));
            }
        };
        if member.status == Status::Unsubscribed {
            return Ok(Some(member));
        }
        match self.calls.change_address(self.list, &member, &content.email).await? {
            Some(moved) => self.fields(content, moved).await.map(Some),
            None => Ok(Some(member)),
        }
    }

    /// Somebody with their address is there.
    async fn existing(&self, content: &Content, here: Member) -> Result<Option<Member>, Ended> {
        match self.step(content, &here) {
            Step::Fields => {
                let here = self.take_over(here).await?;
                self.fields(content, here).await.map(Some)
            }
            Step::Restore => {
                let here = self.take_over(here).await?;
                let restored = self.restore(content, here).await?;
                if restored.is_archived() {
                    return Ok(None);
                }
                self.fields(content, restored).await.map(Some)
            }
            // They stay as people left them.
            Step::Create | Step::Unsubscribe | Step::Leave => Ok(Some(here)),
        }
    }

    /// A member who carries another person's EMS id is taken over from whoever has given the address up, or was archived: their
    /// id is taken off first. Anybody else may hold it rightfully, and a foreign system's id is left alone.
    async fn take_over(&self, member: Member) -> Result<Member, Ended> {
        match &member.ems_id {
            None => Ok(member),
            Some(_) if self.calls.is_ours(&member) => Ok(member),
            Some(other) if self.is_free(other, &member) => {
                let fields = json!({ EMS_ID: "" });
                let after = self.calls.patch_fields(self.list, &member, None, fields).await?;
                Ok(after.unwrap_or(member))
            }
            Some(_) => Err(self.calls.failed(Failure::new(
                FailureClass::Rejected,
                format!(
                    "The member of list `{}` carries the EMSID of another person, or of another system: correct one of \
                     the two, then `dead-letters replay`",
                    self.code
                ),
            ))),
        }
    }

    /// Nobody is mailed by a member who left, so whoever has the address now may be them.
    fn is_free(&self, ems_id: &str, member: &Member) -> bool {
        let has_left = matches!(member.status, Status::Archived | Status::Unsubscribed);
        ems_id.parse::<i64>().is_ok() && (has_left || self.has_given_up(ems_id))
    }

    /// Who gave it up may be gone from the EMS by now. Of those who share an address the lowest id owns it.
    fn has_given_up(&self, ems_id: &str) -> bool {
        let is_higher = |id| self.calls.ems_id.parse::<i64>().is_ok_and(|ours| ours < id);
        ems_id.parse().is_ok_and(|id| {
            is_higher(id) || self.given_up_by.contains(&EntityRef::new(EntityType::Person, id))
        })
    }

    /// What we did is taken back. A list with double opt-in asks them once more.
    async fn restore(&self, content: &Content, member: Member) -> Result<Member, Ended> {
        let status = Some(self.new_status(content).await?);
        let fields = json!({ EMS_ID: self.calls.ems_id, EMS_OUT: "" });
        let after = self.calls.patch_fields(self.list, &member, status, fields).await?;
        Ok(after.unwrap_or(member))
    }

    async fn new_status(&self, content: &Content) -> Result<Status, Ended> {
        if content.wanted == Wanted::Pending {
            return Ok(Status::Pending);
        }
        let asked = self.calls.double_optin(self.code, self.list).await?;
        Ok(if asked { Status::Pending } else { Status::Subscribed })
    }

    async fn create(&self, content: &Content) -> Result<Option<Member>, Ended> {
        let status = self.new_status(content).await?;
        let mut body = json!({
            "email_address": content.email,
            "status_if_new": status.word(),
            "merge_fields": self.merge_fields(content),
        });
        if let (Some(language), Some(body)) = (&content.language, body.as_object_mut()) {
            body.insert("language".to_owned(), json!(language));
        }
        match self.calls.put_new(self.list, &content.email, &body).await? {
            Put::Done(member) => {
                self.note(&member);
                self.tags(content, *member).await.map(Some)
            }
            Put::Restricted => Ok(None),
            Put::ThereAlready => {
                let here = self.calls.find_by_address(self.list, &content.email).await?;
                match here {
                    Some(here) => self.existing(content, here).await,
                    None => Err(self.calls.failed(Failure::new(
                        FailureClass::Transient,
                        "The list has a member with the address, and does not show it",
                    ))),
                }
            }
        }
    }

    /// Brings what is there of somebody up to date, without a word about consent.
    async fn fields(&self, content: &Content, there: Member) -> Result<Member, Ended> {
        let wanted: Vec<String> = content.tags.iter().map(|tag| tag_key(tag)).collect();
        let ours = there.our_tags();
        let (_, gone): (Vec<String>, Vec<String>) =
            ours.into_iter().partition(|tag| wanted.contains(&tag_key(tag)));
        let mut there = there;
        if !gone.is_empty() {
            // While EMSTAGS still says that they are ours.
            self.calls.post_tags(self.list, &there, &gone, "inactive").await?;
            there.tags.retain(|tag| !gone.contains(tag));
        }
        let mut fields = self.merge_fields(content);
        let is_same = there.first_name == content.first_name
            && there.last_name == content.last_name
            && there.ems_id == content.ems_id
            && there.language == content.language
            && there.tag_codes == tag_codes(&content.tags);
        let is_active = matches!(there.status, Status::Subscribed | Status::Pending);
        let is_stale = is_active && !there.out.is_empty();
        if !is_same || is_stale {
            if let Some(out) = self.out_text(&there, is_active)
                && let Some(fields) = fields.as_object_mut()
            {
                fields.insert(EMS_OUT.to_owned(), json!(out));
            }
            let language = content.language.as_deref().unwrap_or("");
            let body = json!({ "merge_fields": fields, "language": language });
            let tags = there.tags.clone();
            let Some(after) = self.calls.patch_all(self.list, &there, &body).await? else {
                return Ok(there);
            };
            there = Member { tags, ..after };
            self.note(&there);
        }
        self.tags(content, there).await
    }

    /// What `EMSOUT` is to be when the member is written anyway: nothing for who is there; for who is out by us, the same
    /// mark at the moment of this write, so that the write itself does not look like somebody else's.
    fn out_text(&self, there: &Member, is_active: bool) -> Option<String> {
        if is_active {
            return Some(String::new());
        }
        let mark = there.our_mark()?;
        Some(Mark { written: self.calls.server_now(), ..mark }.text())
    }

    /// Sets the tags that are missing.
    async fn tags(&self, content: &Content, mut there: Member) -> Result<Member, Ended> {
        let has: Vec<String> = there.tags.iter().map(|tag| tag_key(tag)).collect();
        let missing: Vec<String> =
            content.tags.iter().filter(|tag| !has.contains(&tag_key(tag))).cloned().collect();
        if !missing.is_empty() {
            self.calls.post_tags(self.list, &there, &missing, "active").await?;
            there.tags.extend(missing);
        }
        Ok(there)
    }

    /// The merge fields that every member has. Text everywhere; empty text clears (contract, section 4).
    fn merge_fields(&self, content: &Content) -> Value {
        json!({
            FIRST_NAME: content.first_name.as_deref().unwrap_or(""),
            LAST_NAME: content.last_name.as_deref().unwrap_or(""),
            EMS_ID: self.calls.ems_id,
            EMS_TAGS: tag_codes(&content.tags),
        })
    }

    /// They are not to be in the list: whoever is theirs there is taken out. `address`: also who has it and is theirs, though
    /// we don't know it.
    pub(super) async fn leave(
        &self,
        address: Option<&str>,
        contact: &mut Option<String>,
    ) -> Result<Option<String>, Ended> {
        let mut found = None;
        if let Some(id) = contact.clone()
            && let Known::Ours(member) = self.calls.get_ours(self.list, &id).await?
        {
            found = Some(member.email.clone());
            self.lapse(*member).await?;
        }
        let mut here = None;
        if let Some(address) = address.filter(|address| found.as_deref() != Some(address)) {
            here = self.calls.find(self.list, address).await?;
            let is_left = |here: &Member| {
                self.calls.is_ours(here)
                    || here.ems_id.as_deref().is_some_and(|id| self.has_given_up(id))
            };
            if let Some(here) = here.clone().filter(is_left) {
                self.lapse(here).await?;
            }
        }
        let lost = if self.calls.has_found() {
            Vec::new()
        } else {
            self.lost(here.as_ref(), contact.as_deref()).await?
        };
        for id in lost {
            if let Known::Ours(member) = self.calls.get_ours(self.list, &id).await? {
                self.lapse(*member).await?;
            }
        }
        *contact = None;
        Ok(found)
    }

    /// Archives a member of theirs. Only of somebody who was subscribed, or whom we unsubscribed, it is written down that it
    /// was us: nobody else may come back by us.
    pub(super) async fn lapse(&self, member: Member) -> Result<(), Ended> {
        match member.status {
            Status::Archived => return Ok(()),
            Status::Pending | Status::Cleaned => return self.unlink(&member).await,
            Status::Subscribed | Status::Transactional | Status::Unsubscribed => {}
        }
        let mark = member.our_mark();
        // Who opted out with another address did not with this one.
        let has_moved = mark.is_some_and(|mark| mark.did == Did::UnsubscribeMoved);
        let opt_out = mark.filter(|_| !has_moved).and_then(|mark| mark.opt_out);
        if member.status != Status::Unsubscribed || has_moved || opt_out.is_some() {
            let written = self.calls.server_now();
            let mark = Mark { did: Did::Archive, written, opt_out };
            let fields = json!({ EMS_OUT: mark.text() });
            self.calls.patch_fields(self.list, &member, None, fields).await?;
        }
        if self.calls.archive(self.list, &member).await? {
            return Ok(());
        }
        // They became archived, pending or cleaned since they were read.
        let now = self.calls.get(self.list, &member.contact_id).await?;
        match now.map(|now| (now.status, now)) {
            None | Some((Status::Archived, _)) => Ok(()),
            Some((Status::Pending | Status::Cleaned, now)) => self.unlink(&now).await,
            Some((Status::Subscribed | Status::Transactional | Status::Unsubscribed, _)) => {
                let text = "A member could not be archived, though nothing forbids it";
                Err(self.calls.failed(Failure::new(FailureClass::Transient, text)))
            }
        }
    }

    /// Whoever is pending or bounces can't be archived (contract, section 9): they are left, and are nobody's.
    async fn unlink(&self, member: &Member) -> Result<(), Ended> {
        self.calls.patch_fields(self.list, member, None, json!({ EMS_ID: "" })).await?;
        Ok(())
    }
}

/// Who they were in the list, besides whoever has their address.
enum Before {
    Nobody,
    Member(Box<Member>),
    /// A member who was deleted for good.
    Forgotten,
}

impl Before {
    fn member(self) -> Option<Member> {
        match self {
            Self::Member(member) => Some(*member),
            Self::Nobody | Self::Forgotten => None,
        }
    }
}
