//! Out of a list: archived, never deleted for good.

use serde_json::json;

use super::super::calls::{Ended, Known};
use super::super::member::{EMS_ID, EMS_OUT, Member, Status};
use super::super::out::Said;
use super::OneList;
use crate::remote::{Failure, FailureClass};

impl OneList<'_> {
    /// They are not to be in the list: whoever is theirs there is taken out. `address`: also who has it and is theirs, though
    /// we don't know it. `contact` stays known, unless it is nothing to them any more: who leaves with it later, or has left, must not
    /// come back by another address.
    pub(in crate::remote::mailchimp) async fn leave(
        &self,
        address: Option<&str>,
        contact: &mut Option<String>,
    ) -> Result<Option<String>, Ended> {
        let mut found = None;
        let mut kept = None;
        if let Some(id) = contact.clone() {
            match self.calls.get_ours(self.list, &id).await? {
                Known::Ours(member) => {
                    found = Some(member.email.clone());
                    // Who is pending is left as nobody's; who bounces as well, and does not come back by another address.
                    let is_nobody =
                        member.status == Status::Pending && member.said() == Said::Nothing;
                    kept = (!is_nobody).then_some(id);
                    self.lapse(*member).await?;
                }
                Known::SomebodyElses(member) => {
                    let said = member.out().said(self.calls.person);
                    kept = (said != Some(Said::Nothing)).then_some(id);
                }
                Known::Forgotten => {}
            }
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
        *contact = kept;
        Ok(found)
    }

    /// Archives a member of theirs, and writes down that it was us, and whether they had left before: only who had not may come back
    /// by us, and an archival is no word of theirs.
    pub(super) async fn lapse(&self, member: Member) -> Result<(), Ended> {
        match member.status {
            Status::Archived => return Ok(()),
            Status::Pending | Status::Cleaned => return self.unlink(&member).await,
            Status::Subscribed | Status::Transactional | Status::Unsubscribed => {}
        }
        let mark = member.lapse_mark(self.calls.server_now());
        let out = member.out_kept(self.calls.person, Some(mark));
        self.calls.patch_fields(self.list, &member, None, json!({ EMS_OUT: out.text() })).await?;
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
        let out = member.out_handed_on(self.calls.server_now()).text();
        let fields = json!({ EMS_ID: "", EMS_OUT: out });
        self.calls.patch_fields(self.list, member, None, fields).await?;
        Ok(())
    }
}
