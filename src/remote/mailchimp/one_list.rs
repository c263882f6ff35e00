//! One list of one person: to where the EMS wants them, as far as they and `MailChimp` allow it.

mod before;
mod content;
mod leaving;

use std::sync::{Mutex, PoisonError};

use serde_json::json;

use self::before::Before;
use super::calls::{Calls, Ended, Put};
use super::consent::{self, Former, Step};
use super::member::{EMS_ID, EMS_OUT, Member, Status};
use super::out::{Did, Mark, Said};
use super::wire::{Content, Wanted};
use crate::entity::{EntityRef, EntityType};
use crate::remote::{Failure, FailureClass, Look};

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
    /// The contact id that is known is that of before they had none for a while, perhaps of another account.
    pub(super) is_former: bool,
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
        // An opt-out takes nothing back.
        let since = content.since.filter(|_| content.wanted != Wanted::Out);
        let before = self.before(since, here.as_ref(), contact).await?;
        let is_kept_out = before.is_former_out(since);
        let result = match content.wanted {
            Wanted::Out => self.out(content, here, before).await,
            Wanted::Subscribed | Wanted::Pending => self.wanted(content, here, before).await,
        };
        if result.is_err() && contact.is_none() {
            // Where another one is known, that one may still have to go.
            contact.clone_from(&self.found.lock().unwrap_or_else(PoisonError::into_inner));
        }
        let ours = result?.filter(|there| self.calls.is_ours(there));
        // Who is out of the list is kept in mind: another address of theirs must not bring them back if they leave, or have left.
        let former = contact.take().filter(|_| is_kept_out);
        *contact = ours.as_ref().map(|there| there.contact_id.clone()).or(former);
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

    /// They want no mail: whoever they are there, nobody is made.
    async fn out(
        &self,
        content: &Content,
        here: Option<Member>,
        before: Before,
    ) -> Result<Option<Member>, Ended> {
        let said_before = before.said();
        let mut there = None;
        for member in [before.member(), here].into_iter().flatten() {
            let member = match self.step(Wanted::Out, content, &member) {
                Step::Unsubscribe => {
                    let was_theirs = self.calls.is_ours(&member);
                    let end = self.unsubscribe(content, member, said_before).await;
                    self.made_theirs(was_theirs, end)?
                }
                Step::Create | Step::Fields | Step::Restore | Step::Leave => member,
            };
            if !self.calls.is_ours(&member) {
                continue;
            }
            there = Some(match there.take() {
                None => member,
                Some(before) => self.one_of(before, member).await?,
            });
        }
        Ok(there)
    }

    /// Of two they keep the one of their address, unless they had said more with the other: it is by the one that is kept that they stay
    /// out.
    async fn one_of(&self, before: Member, here: Member) -> Result<Member, Ended> {
        let said = |member: &Member| {
            let handed_on = member.out().said(self.calls.person);
            member.said().and(handed_on.unwrap_or(Said::Nothing))
        };
        let says_more = said(&before).and(said(&here)) != said(&here);
        let (kept, other) = if says_more { (before, here) } else { (here, before) };
        self.lapse(other).await?;
        Ok(kept)
    }

    /// How the writes ended that make a member theirs, who was somebody else's or nobody's.
    fn made_theirs<T>(&self, was_theirs: bool, end: Result<T, Ended>) -> Result<T, Ended> {
        if was_theirs { end } else { self.calls.note_lost(end) }
    }

    /// `said_before`: what they have said as somebody else in the list. It goes along, since that one is not kept in mind any more.
    async fn unsubscribe(
        &self,
        content: &Content,
        member: Member,
        said_before: Said,
    ) -> Result<Member, Ended> {
        let member = self.take_over(member).await?;
        let (person, written) = (self.calls.person, self.calls.server_now());
        let is_here = member.email == content.email;
        let did = if is_here { Did::Unsubscribe } else { Did::UnsubscribeMoved };
        let mut out = member.out_kept(person, Some(Mark { did, written, opt_out: content.since }));
        if said_before != Said::Nothing {
            out = out.with(person, said_before);
        }
        let fields = json!({ EMS_ID: self.calls.ems_id, EMS_OUT: out.text() });
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
            (Some(here), Before::Member(before))
                if consent::stays_out(content.since, &before, &here) =>
            {
                Ok(Some(*before))
            }
            (here, Before::Former(said)) => self.after_former(content, here, said).await,
            (Some(here), before) => self.here(content, here, before.member()).await,
            (None, Before::Member(before)) => self.moved(content, *before).await,
            (None, Before::Nobody) => self.create(content).await,
            // A person's decision; they must subscribe by themselves (contract, section 9).
            (None, Before::Forgotten) => Err(self.calls.failed(Failure::new(
                FailureClass::Rejected,
                format!("The member of list `{}` was deleted there for good", self.code),
            ))),
        }
    }

    /// Who they were is somebody else by now. Who left with it must subscribe by themselves; where their address is subscribed they
    /// have.
    async fn after_former(
        &self,
        content: &Content,
        here: Option<Member>,
        said: Option<Said>,
    ) -> Result<Option<Member>, Ended> {
        match (here, consent::former(said, content.since)) {
            (Some(here), _) if here.is_active() => self.here(content, here, None).await,
            (Some(here), Former::Free) => self.here(content, here, None).await,
            (None, Former::Free) => self.create(content).await,
            (_, Former::StaysOut) => Ok(None),
            (_, Former::Unknown) => {
                let text = format!(
                    "The member that is known of list `{}` is not this person's any more, and nothing tells whether they left \
                     with it: they must subscribe by themselves",
                    self.code
                );
                Err(self.calls.failed(Failure::new(FailureClass::Rejected, text)))
            }
        }
    }

    /// Somebody with their address is there, and whoever they were `before` goes.
    async fn here(
        &self,
        content: &Content,
        here: Member,
        before: Option<Member>,
    ) -> Result<Option<Member>, Ended> {
        let was_theirs = self.calls.is_ours(&here);
        let there = self.made_theirs(was_theirs, self.existing(content, here).await)?;
        if let Some(before) = before {
            self.lapse(before).await?;
        }
        Ok(there)
    }

    /// What is to be done with who is there.
    fn step(&self, wanted: Wanted, content: &Content, there: &Member) -> Step {
        consent::step(wanted, content.since, self.calls.person, Some(there))
    }

    /// They have another address than the member has.
    async fn moved(&self, content: &Content, before: Member) -> Result<Option<Member>, Ended> {
        let step = self.step(content.wanted, content, &before);
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
        match self.step(content.wanted, content, &here) {
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

    /// A member who carries another person's EMS id is taken over from whoever has given the address up, or gets no mail by it: their
    /// id is taken off first, and what they have said with it is written down. Anybody else may hold it rightfully, and a foreign
    /// system's id is left alone.
    async fn take_over(&self, member: Member) -> Result<Member, Ended> {
        match &member.ems_id {
            None => Ok(member),
            Some(_) if self.calls.is_ours(&member) => Ok(member),
            Some(other) if self.is_free(other, &member) => {
                let out = member.out_handed_on(self.calls.server_now()).text();
                let fields = json!({ EMS_ID: "", EMS_OUT: out });
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

    /// Nobody is mailed by a member who left, so whoever has the address now may be them. Whom we took out, and who was subscribed by
    /// somebody since, is not there by us.
    fn is_free(&self, ems_id: &str, member: &Member) -> bool {
        let is_out = !member.is_active() || member.out().mark.is_some();
        member.person().is_some() && (is_out || self.has_given_up(ems_id))
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
        // What they had opted out with is over.
        let out = member.out_kept(self.calls.person, None).without(self.calls.person).text();
        let fields = json!({ EMS_ID: self.calls.ems_id, EMS_OUT: out });
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
            // Who came, and left again, since we looked: their member is kept in mind, and they are out by it.
            refused @ (Put::Restricted | Put::ThereAlready) => {
                let here = self.calls.find_by_address(self.list, &content.email).await?;
                match here {
                    Some(here) => self.existing(content, here).await,
                    None if matches!(refused, Put::Restricted) => Ok(None),
                    None => Err(self.calls.failed(Failure::new(
                        FailureClass::Transient,
                        "The list has a member with the address, and does not show it",
                    ))),
                }
            }
        }
    }
}
