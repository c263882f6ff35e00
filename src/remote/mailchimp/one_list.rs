//! One list of one person: to where the EMS wants them, as far as they and `MailChimp` allow it.

mod content;
mod leaving;

use std::sync::{Mutex, PoisonError};

use serde_json::json;

use super::calls::{Calls, Ended, Known, Put};
use super::consent::{self, Step};
use super::member::{Did, EMS_ID, EMS_OUT, Mark, Member, Status};
use super::wire::{Content, Wanted};
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
        let before = self.before(here.as_ref(), contact).await?;
        let may_have_left = matches!(before, Before::MayHaveLeft);
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
        let there = ours.as_ref().filter(|there| is_kept(there));
        let former = contact.take().filter(|_| may_have_left);
        *contact = there.map(|there| there.contact_id.clone()).or(former);
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
        here: Option<&Member>,
        contact: &mut Option<String>,
    ) -> Result<Before, Ended> {
        let lost = self.lost(here, contact.as_deref()).await?;
        let known = contact.as_deref();
        let mut before = match known.filter(|id| here.is_none_or(|here| here.contact_id != *id)) {
            Some(known) => self.known(known).await?,
            None => Before::Nobody,
        };
        for id in lost {
            let Known::Ours(member) = self.calls.get_ours(self.list, &id).await? else { continue };
            match &before {
                Before::Member(known) if !known.is_archived() => self.lapse(*member).await?,
                Before::Member(_) | Before::Nobody | Before::MayHaveLeft | Before::Forgotten => {
                    *contact = Some(id);
                    before = Before::Member(member);
                }
            }
        }
        Ok(before)
    }

    async fn known(&self, contact: &str) -> Result<Before, Ended> {
        Ok(match self.calls.get_ours(self.list, contact).await? {
            Known::Ours(member) => Before::Member(member),
            // Who left keeps the member that they left with out of the list, whoever has it now.
            Known::SomebodyElses(member) if member.is_out_by_others() => Before::MayHaveLeft,
            Known::SomebodyElses(_) => Before::Nobody,
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
            (here, Before::MayHaveLeft)
                if here.as_ref().is_none_or(|here| self.step(content, here) == Step::Restore) =>
            {
                let text = format!(
                    "The member that is known of list `{}` carries another person's EMSID, and is out of the list not by \
                     us: they may have left with it, and must subscribe by themselves",
                    self.code
                );
                Err(self.calls.failed(Failure::new(FailureClass::Rejected, text)))
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
            (None, Before::Nobody | Before::MayHaveLeft) => self.create(content).await,
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
                // With our mark as of now, so that this write does not look like somebody else's.
                let fields = match self.mark_again(&member) {
                    Some(mark) => json!({ EMS_ID: "", EMS_OUT: mark }),
                    None => json!({ EMS_ID: "" }),
                };
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
}

/// Who they were in the list, besides whoever has their address.
enum Before {
    Nobody,
    Member(Box<Member>),
    /// A member who is another person's by now, and is out of the list not by us: one of the two left with it.
    MayHaveLeft,
    /// A member who was deleted for good.
    Forgotten,
}

impl Before {
    fn member(self) -> Option<Member> {
        match self {
            Self::Member(member) => Some(*member),
            Self::Nobody | Self::MayHaveLeft | Self::Forgotten => None,
        }
    }
}
