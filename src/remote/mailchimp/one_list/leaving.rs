//! Out of a list: archived, never deleted for good.

use serde_json::json;

use super::super::calls::{Ended, Known};
use super::super::member::{Did, EMS_ID, EMS_OUT, Mark, Member, Status};
use super::OneList;
use crate::remote::{Failure, FailureClass};

impl OneList<'_> {
    /// They are not to be in the list: whoever is theirs there is taken out. `address`: also who has it and is theirs, though
    /// we don't know it.
    pub(in crate::remote::mailchimp) async fn leave(
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
