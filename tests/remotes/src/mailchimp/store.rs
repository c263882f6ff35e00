//! All lists of the account.

use super::list::{List, ListOptions};
use super::member::Member;
use super::webhook::Delivery;

/// The first `web_id`.
const FIRST_WEB_ID: u64 = 500_001;

/// All lists, and the sequence of their members.
#[derive(Debug)]
pub(super) struct Store {
    lists: Vec<List>,
    next_web_id: u64,
}

impl Store {
    /// Lists without members.
    pub(super) fn new(lists: &[ListOptions]) -> Self {
        let lists = lists.iter().cloned().map(List::new).collect();
        Self { lists, next_web_id: FIRST_WEB_ID }
    }

    /// All lists.
    pub(super) fn lists(&self) -> &[List] {
        &self.lists
    }

    /// A list.
    pub(super) fn list(&self, id: &str) -> Option<&List> {
        self.lists.iter().find(|list| list.options.id == id)
    }

    /// A list to change.
    pub(super) fn list_mut(&mut self, id: &str) -> Option<&mut List> {
        self.lists.iter_mut().find(|list| list.options.id == id)
    }

    /// A list to change, and the number of the next member.
    pub(super) fn split(&mut self, id: &str) -> Option<(&mut List, &mut u64)> {
        let list = self.lists.iter_mut().find(|list| list.options.id == id)?;
        Some((list, &mut self.next_web_id))
    }

    /// What the webhooks of all lists owe, in order; it is owed no more.
    pub(super) fn take_deliveries(&mut self) -> Vec<Delivery> {
        self.lists.iter_mut().flat_map(|list| std::mem::take(&mut list.deliveries)).collect()
    }

    /// Adds a list, unless there is one with this id.
    pub(super) fn add_list(&mut self, options: ListOptions) {
        if self.list(&options.id).is_none() {
            self.lists.push(List::new(options));
        }
    }

    /// Removes a list with its members; `false` if it was not there.
    pub(super) fn remove_list(&mut self, id: &str) -> bool {
        let before = self.lists.len();
        self.lists.retain(|list| list.options.id != id);
        self.lists.len() < before
    }

    /// Removes all members; numbers begin again.
    pub(super) fn wipe(&mut self) {
        self.lists.iter_mut().for_each(List::clear);
        self.next_web_id = FIRST_WEB_ID;
    }

    /// Gives all members other numbers and contact ids, as an import into another account does.
    pub(super) fn renumber(&mut self) {
        for list in &mut self.lists {
            let members: Vec<Member> = list.members().cloned().collect();
            for member in members {
                let web_id = self.next_web_id;
                self.next_web_id += 1;
                list.take(member.web_id);
                let other =
                    Member::new(web_id, member.id.clone(), "", member.status, member.last_changed);
                list.put(Member { web_id, contact_id: other.contact_id, ..member });
            }
        }
    }
}
