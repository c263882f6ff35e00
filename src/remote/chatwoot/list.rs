//! A walk over all contacts, page by page (contract, section 4).
//!
//! Pages have numbers and no ids, so a contact that is deleted or merged while the walk is under way moves all that follow, and
//! one of them into a page that was read already. So after each page the one before it is read again: as long as that is what
//! it was, nothing before it has moved. If it is not, the walk proves nothing, and says so. New contacts come at the end and
//! do no harm.
//!
//! Contacts without identifier, e-mail address and phone number are not listed; with the feature `crm_v2` those that have an
//! identifier only are not either (section 0.6).

use serde::{Deserialize, Serialize};

use super::Chatwoot;
use super::answer::{self, Contacts};
use crate::limits::CHATWOOT_PAGE_ROWS;
use crate::remote::{Failure, FailureClass, Page};

/// Where a walk is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    /// The page to be read, from 1 on.
    page: usize,
    /// The contacts of the one before it, in its order.
    before: Vec<i64>,
    /// When the last of them was made.
    created_at: i64,
}

impl Chatwoot {
    /// The page at `from`.
    pub(super) async fn list_contacts(&self, from: Option<&str>) -> Result<Page, Failure> {
        let place = match from {
            None => Place { page: 1, before: Vec::new(), created_at: i64::MIN },
            Some(text) => serde_json::from_str(text).map_err(|_| {
                Failure::new(FailureClass::OurFault, "The place in the list is none of ours")
            })?,
        };
        let contacts = self.list_page(place.page).await?;
        if place.page > 1 {
            let again = self.list_page(place.page - 1).await?;
            if ids(&again) != place.before {
                return Err(moved());
            }
        }
        page(&place, contacts)
    }

    async fn list_page(&self, page: usize) -> Result<Contacts, Failure> {
        let answer = self.ask_for(|http| self.contacts_request(http, page)).await?;
        answer::contacts(&answer)
    }
}

/// Sorted: contacts of one second come in any order.
fn ids(contacts: &Contacts) -> Vec<i64> {
    let mut ids: Vec<i64> = contacts.rows.iter().map(|contact| contact.id).collect();
    ids.sort_unstable();
    ids
}

fn moved() -> Failure {
    let text = "Contacts were deleted or merged while the list was read: nothing is proven by it";
    Failure::new(FailureClass::Transient, text)
}

/// What a page comes to. It is the last one only if the server's own count says so too.
fn page(place: &Place, contacts: Contacts) -> Result<Page, Failure> {
    let odd = |what: &str| Failure::new(FailureClass::Transient, format!("The list {what}"));
    let listed = ids(&contacts);
    let rest = contacts.count.saturating_sub((place.page - 1).saturating_mul(CHATWOOT_PAGE_ROWS));
    if rest == 0 && place.page > 1 {
        return Err(moved());
    }
    if listed.len() != rest.min(CHATWOOT_PAGE_ROWS) {
        return Err(odd("has not as many contacts as it says"));
    }
    let mut created_at = place.created_at;
    for contact in &contacts.rows {
        match contact.created_at {
            Some(at) if at >= created_at => created_at = at,
            Some(_) | None => return Err(odd("ignores its order")),
        }
    }
    let mut all: Vec<i64> = place.before.iter().chain(&listed).copied().collect();
    all.sort_unstable();
    if all.windows(2).any(|pair| pair.first() == pair.last()) {
        return Err(odd("shows a contact twice"));
    }
    let next = Place { page: place.page + 1, before: listed, created_at };
    let next = (rest > CHATWOOT_PAGE_ROWS).then(|| serde_json::to_string(&next)).transpose();
    Ok(Page {
        records: contacts.rows.into_iter().map(super::contact::Contact::into_record).collect(),
        next: next.map_err(|_| odd("can't be gone on with"))?,
    })
}

#[cfg(test)]
mod tests;
