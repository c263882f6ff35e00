//! The contacts, segments and fields of one server. Uniqueness is looked up by whoever writes,
//! never enforced here (section 3).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::collation::fold;
use super::contact::Contact;
use super::field::{EMAIL, EMS_PERSON_ID, Field, plain_text};
use super::options::{MergedId, UniqueOperator};
use crate::Reimage;

/// A list of contacts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// Mautic's id; 0 in a row to plant takes the next one.
    #[serde(default)]
    pub id: i64,
    /// What people see.
    pub name: String,
    /// Whether the client may see it.
    #[serde(default = "visible")]
    pub visible: bool,
}

fn visible() -> bool {
    true
}

/// The fields that are looked up so often that they have an index.
const INDEXED: [&str; 2] = [EMAIL, EMS_PERSON_ID];

/// Everything one server keeps.
#[derive(Debug)]
pub(super) struct Store {
    first_id: i64,
    next_id: i64,
    /// How many contacts were ever made.
    commits: u64,
    contacts: BTreeMap<i64, Contact>,
    index: HashMap<(&'static str, String), BTreeSet<i64>>,
    /// Which contact each merged one became part of.
    merged: BTreeMap<i64, i64>,
    pub(super) segments: BTreeMap<i64, Segment>,
    pub(super) fields: Vec<Field>,
}

impl Store {
    /// A store without contacts, whose ids begin at `first_id`.
    pub(super) fn new(first_id: i64) -> Self {
        Self {
            first_id,
            next_id: first_id,
            commits: 0,
            contacts: BTreeMap::new(),
            index: HashMap::new(),
            merged: BTreeMap::new(),
            segments: BTreeMap::new(),
            fields: Field::standard(),
        }
    }

    /// How many contacts were ever made: what arrives now sees these and no later ones.
    pub(super) fn commits(&self) -> u64 {
        self.commits
    }

    /// The contact with this id.
    pub(super) fn get(&self, id: i64) -> Option<&Contact> {
        self.contacts.get(&id)
    }

    /// All contacts, by id.
    pub(super) fn contacts(&self) -> impl Iterator<Item = &Contact> {
        self.contacts.values()
    }

    /// The contacts with ids from `id` on, by id.
    pub(super) fn contacts_from(&self, id: i64) -> impl Iterator<Item = &Contact> {
        self.contacts.range(id..).map(|(_, contact)| contact)
    }

    /// Makes a contact under the next id, or under its own if that is free.
    pub(super) fn insert(&mut self, mut contact: Contact) -> i64 {
        if contact.id == 0 || self.contacts.contains_key(&contact.id) {
            contact.id = self.next_id;
        }
        let id = contact.id;
        self.next_id = self.next_id.max(id.saturating_add(1));
        self.commits += 1;
        contact.born = self.commits;
        self.put(contact);
        id
    }

    /// Puts a changed contact in its place; tells whether it is different now.
    pub(super) fn replace(&mut self, mut contact: Contact, now: Timestamp) -> bool {
        let changed = self.get(contact.id).is_none_or(|before| before.differs(&contact));
        if changed {
            contact.date_modified = Some(now);
            self.take(contact.id);
            self.put(contact);
        }
        changed
    }

    /// Removes a contact.
    pub(super) fn take(&mut self, id: i64) -> Option<Contact> {
        let contact = self.contacts.remove(&id)?;
        for key in keys(&contact) {
            if let Some(ids) = self.index.get_mut(&key) {
                ids.remove(&id);
            }
        }
        Some(contact)
    }

    /// Remembers that one contact became part of another.
    pub(super) fn note_merge(&mut self, loser: i64, winner: i64) {
        self.merged.insert(loser, winner);
    }

    /// All merges: the contact that is gone, and the one it became part of.
    pub(super) fn merges(&self) -> &BTreeMap<i64, i64> {
        &self.merged
    }

    /// The contact that an id in a path means.
    pub(super) fn known(&self, id: i64, merged_id: MergedId) -> Option<&Contact> {
        let redirected = || match merged_id {
            MergedId::NotFound => None,
            MergedId::Redirected => self.get(self.winner_of(id)?),
        };
        self.get(id).or_else(redirected)
    }

    /// The contact that this id was merged into, however often.
    fn winner_of(&self, id: i64) -> Option<i64> {
        let mut winner = *self.merged.get(&id)?;
        // A chain is never longer than the number of merges.
        for _ in 0..self.merged.len() {
            match self.merged.get(&winner) {
                Some(next) if !self.contacts.contains_key(&winner) => winner = *next,
                _ => break,
            }
        }
        self.contacts.contains_key(&winner).then_some(winner)
    }

    /// The contacts whose field equals the text, as the database compares.
    pub(super) fn with_value(&self, alias: &str, text: &str) -> BTreeSet<i64> {
        let wanted = fold(text);
        if let Some(indexed) = INDEXED.into_iter().find(|indexed| *indexed == alias) {
            return self.index.get(&(indexed, wanted)).cloned().unwrap_or_default();
        }
        let has_it = |contact: &&Contact| {
            let value = contact.values.get(alias).and_then(|value| plain_text(value).ok()?);
            value.is_some_and(|value| fold(&value) == wanted)
        };
        self.contacts.values().filter(has_it).map(|contact| contact.id).collect()
    }

    /// The contact that a write with these unique identifiers means: of several the newest, then
    /// the highest id. `except` does not count, nor does what these `unseen` commits made.
    pub(super) fn duplicate(
        &self,
        identifiers: &[(String, String)],
        operator: UniqueOperator,
        unseen: &Range<u64>,
        except: Option<i64>,
    ) -> Option<i64> {
        let mut sets = identifiers.iter().map(|(alias, text)| self.with_value(alias, text));
        let mut matching = sets.next()?;
        for set in sets {
            matching = match operator {
                UniqueOperator::Or => &matching | &set,
                UniqueOperator::And => &matching & &set,
            };
        }
        let candidates = matching.into_iter().filter_map(|id| self.get(id));
        candidates
            .filter(|contact| !unseen.contains(&contact.born) && Some(contact.id) != except)
            .max_by_key(|contact| (contact.date_added, contact.id))
            .map(|contact| contact.id)
    }

    /// The field with this alias.
    pub(super) fn field(&self, alias: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.alias == alias)
    }

    /// Removes all contacts; ids begin again.
    pub(super) fn wipe(&mut self) {
        self.next_id = self.first_id;
        self.contacts.clear();
        self.index.clear();
        self.merged.clear();
    }

    /// Comes back from a new installation.
    pub(super) fn reimage(&mut self, how: Reimage) {
        match how {
            Reimage::Empty => self.wipe(),
            Reimage::Shuffled => {
                let old: Vec<Contact> = std::mem::take(&mut self.contacts).into_values().collect();
                self.index.clear();
                let ids: Vec<i64> = old.iter().map(|contact| contact.id).collect();
                for (contact, id) in old.into_iter().zip(ids.into_iter().cycle().skip(1)) {
                    self.put(Contact { id, ..contact });
                }
            }
        }
    }

    fn put(&mut self, contact: Contact) {
        for key in keys(&contact) {
            self.index.entry(key).or_default().insert(contact.id);
        }
        self.contacts.insert(contact.id, contact);
    }
}

/// Where the index has a contact.
fn keys(contact: &Contact) -> Vec<(&'static str, String)> {
    let key = |alias| Some((alias, fold(contact.text(alias)?)));
    INDEXED.into_iter().filter_map(key).collect()
}
