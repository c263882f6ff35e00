//! Who somebody was in a list, besides whoever has their address.

use jiff::Timestamp;

use super::super::calls::{Ended, Known};
use super::super::consent::{self, Former};
use super::super::member::Member;
use super::super::out::Said;
use super::OneList;
use crate::limits;
use crate::remote::{Look, PushResult};

impl OneList<'_> {
    /// Who they were there, if that is another member than the one of their address. Of several who were lost they keep one,
    /// whom `contact` names then; the others go. `since`: of their wish.
    pub(super) async fn before(
        &self,
        since: Option<Timestamp>,
        here: Option<&Member>,
        contact: &mut Option<String>,
    ) -> Result<Before, Ended> {
        let lost = self.lost(here, contact.as_deref()).await?;
        let same = here.filter(|here| contact.as_deref() == Some(here.contact_id.as_str()));
        let mut before = match (contact.as_deref(), same) {
            (None, _) => Before::Nobody,
            // The address is theirs again, and its member still another's.
            (Some(_), Some(here)) if here.person().is_some() && !self.calls.is_ours(here) => {
                Before::Former(here.out().said(self.calls.person))
            }
            (Some(_), Some(_)) => Before::Nobody,
            (Some(known), None) => self.known(known).await?,
        };
        for id in lost {
            let Known::Ours(member) = self.calls.get_ours(self.list, &id).await? else { continue };
            if before.is_kept(since) {
                self.lapse(*member).await?;
            } else {
                *contact = Some(id);
                before = Before::Member(member);
            }
        }
        Ok(before)
    }

    async fn known(&self, contact: &str) -> Result<Before, Ended> {
        Ok(match self.calls.get_ours(self.list, contact).await? {
            Known::Ours(member) => Before::Member(member),
            Known::SomebodyElses(member) => Before::Former(member.out().said(self.calls.person)),
            Known::Forgotten if self.is_former => Before::Nobody,
            Known::Forgotten => Before::Forgotten,
        })
    }

    /// Whom a write whose answer was lost may have made theirs, with an address that they have no longer; not `contact`, who is
    /// known. Nobody else is made before that is certain.
    pub(super) async fn lost(
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
}

/// Who they were in the list, besides whoever has their address.
pub(super) enum Before {
    Nobody,
    Member(Box<Member>),
    /// A member who is another person's by now, or nobody's; what they had said with it, where that is known.
    Former(Option<Said>),
    /// A member who was deleted for good.
    Forgotten,
}

impl Before {
    pub(super) fn member(self) -> Option<Member> {
        match self {
            Self::Member(member) => Some(*member),
            Self::Nobody | Self::Former(_) | Self::Forgotten => None,
        }
    }

    /// What they have said as that one.
    pub(super) fn said(&self) -> Said {
        match self {
            Self::Member(member) => member.said(),
            Self::Former(said) => said.unwrap_or(Said::Left),
            Self::Nobody | Self::Forgotten => Said::Nothing,
        }
    }

    /// It is not theirs any more, and keeps them out all the same.
    pub(super) fn is_former_out(&self, since: Option<Timestamp>) -> bool {
        matches!(self, Self::Former(said) if consent::former(*said, since) != Former::Free)
    }

    /// It is what they stay with, be it out of the list, whatever else of theirs is found.
    fn is_kept(&self, since: Option<Timestamp>) -> bool {
        match self {
            Self::Member(member) => !member.is_archived() || !member.said().allows(since),
            Self::Nobody | Self::Former(_) | Self::Forgotten => self.is_former_out(since),
        }
    }
}
