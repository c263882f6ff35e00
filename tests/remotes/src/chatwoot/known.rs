//! What the client has been shown, and so could know: only against that is a breach a breach. A
//! write that lands late, or just after somebody else's, is nobody's fault.

use std::collections::{BTreeSet, HashMap};

use super::contact::Contact;

/// What was shown, by contact, and after how many writes.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// How often an identifier was looked up beyond the creates with it; lower case.
    look_ups: HashMap<String, u32>,
    /// The contacts as they were last read by their ids.
    pub(super) contacts: HashMap<i64, (u64, Contact)>,
    /// The labels as they were last read.
    pub(super) labels: HashMap<i64, (u64, BTreeSet<String>)>,
}

impl Known {
    /// An identifier is looked up.
    pub(super) fn looked_up(&mut self, identifier: &str) {
        let count = self.look_ups.entry(identifier.to_lowercase()).or_default();
        *count = count.saturating_add(1);
    }

    /// Uses up one look-up of an identifier; `false` if there was none.
    pub(super) fn use_look_up(&mut self, identifier: &str) -> bool {
        let count = self.look_ups.entry(identifier.to_lowercase()).or_default();
        let had_one = *count > 0;
        *count = count.saturating_sub(1);
        had_one
    }

    /// What the sender of a request that came after `seen` writes knew of a contact; `None` if it
    /// was written or read between arrival and application.
    pub(super) fn of<'a>(&'a self, contact: &'a Contact, seen: u64) -> Option<&'a Contact> {
        if contact.place >= seen {
            return None;
        }
        match self.contacts.get(&contact.id) {
            None => Some(contact),
            Some((at, shown)) => (*at <= seen).then_some(shown),
        }
    }

    /// Whether the sender could know that a contact had a label.
    pub(super) fn of_label(&self, contact: &Contact, label: &str, seen: u64) -> bool {
        match self.labels.get(&contact.id) {
            None => contact.place < seen,
            Some((at, labels)) => *at <= seen && labels.contains(label),
        }
    }
}
