//! The database: contacts with their indices, conversations, definitions, webhooks, jobs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;

use jiff::Timestamp;

use super::contact::{Contact, present};
use super::conversation::Conversation;
use super::definition::Definition;
use super::jobs::Job;
use super::known::Known;
use super::refusal::{Invalid, Refusal, Why};
use super::webhook::Webhook;
use crate::Reimage;

/// Everything the server keeps.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) contacts: Contacts,
    pub(super) conversations: BTreeMap<i64, Conversation>,
    pub(super) definitions: BTreeMap<i64, Definition>,
    pub(super) webhooks: BTreeMap<i64, Webhook>,
    pub(super) jobs: Vec<Job>,
    /// The last id of conversations, messages, definitions and webhooks.
    pub(super) last_id: i64,
    pub(super) known: Known,
    first_id: i64,
}

impl Store {
    /// An empty database.
    pub(super) fn new(first_id: i64) -> Self {
        Self {
            contacts: Contacts::new(first_id),
            conversations: BTreeMap::new(),
            definitions: BTreeMap::new(),
            webhooks: BTreeMap::new(),
            jobs: Vec::new(),
            last_id: 0,
            known: Known::default(),
            first_id,
        }
    }

    /// The next id for anything but a contact.
    pub(super) fn next_id(&mut self) -> i64 {
        self.last_id += 1;
        self.last_id
    }

    /// Removes everything; ids begin again.
    pub(super) fn wipe(&mut self) {
        let known = std::mem::take(&mut self.known);
        *self = Self { known, ..Self::new(self.first_id) };
        self.known.contacts.clear();
        self.known.labels.clear();
    }

    /// Comes back from a new installation.
    pub(super) fn reimage(&mut self, how: Reimage) {
        match how {
            Reimage::Empty => self.wipe(),
            Reimage::Shuffled => self.shuffle(),
        }
    }

    /// Moves every contact to the next one's id, the last to the first; conversations follow.
    fn shuffle(&mut self) {
        self.known.contacts.clear();
        self.known.labels.clear();
        let old = std::mem::replace(&mut self.contacts, Contacts::new(self.first_id));
        let ids: Vec<i64> = old.rows.keys().copied().collect();
        let targets = ids.iter().cycle().skip(1).copied();
        let moved: HashMap<i64, i64> = ids.iter().copied().zip(targets).collect();
        self.contacts.next_id = old.next_id;
        self.contacts.next_place = old.next_place;
        for (id, mut contact) in old.rows {
            contact.id = moved.get(&id).copied().unwrap_or(id);
            self.contacts.put(contact);
        }
        for conversation in self.conversations.values_mut() {
            let id = conversation.contact_id;
            conversation.contact_id = moved.get(&id).copied().unwrap_or(id);
        }
    }
}

/// The table of contacts and its indices. E-mail and identifier are unique in the database, the
/// phone number by validation only (contract, section 2).
#[derive(Debug)]
pub(super) struct Contacts {
    rows: BTreeMap<i64, Contact>,
    by_email: HashMap<String, i64>,
    by_identifier: HashMap<String, i64>,
    by_phone_number: HashMap<String, BTreeSet<i64>>,
    by_ems_id: HashMap<String, BTreeSet<i64>>,
    /// By the columns that look-ups compare without case.
    by_key: HashMap<(&'static str, String), BTreeSet<i64>>,
    next_id: i64,
    next_place: u64,
}

impl Contacts {
    fn new(first_id: i64) -> Self {
        Self {
            rows: BTreeMap::new(),
            by_email: HashMap::new(),
            by_identifier: HashMap::new(),
            by_phone_number: HashMap::new(),
            by_ems_id: HashMap::new(),
            by_key: HashMap::new(),
            next_id: first_id,
            next_place: 0,
        }
    }

    /// The contact with this id.
    pub(super) fn get(&self, id: i64) -> Option<&Contact> {
        self.rows.get(&id)
    }

    /// All contacts, by id.
    pub(super) fn all(&self) -> impl Iterator<Item = &Contact> {
        self.rows.values()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// How often a row was written so far.
    pub(super) fn writes(&self) -> u64 {
        self.next_place
    }

    /// The first contact that carries our id.
    pub(super) fn by_ems_id(&self, ems_id: &str) -> Option<&Contact> {
        self.get(*self.by_ems_id.get(ems_id)?.first()?)
    }

    /// The contacts with one of these keys, without case; the keys are columns of [`KEYS`].
    pub(super) fn with_keys(&self, keys: &[(&'static str, &str)]) -> Vec<&Contact> {
        let sets =
            keys.iter().filter_map(|(key, text)| self.by_key.get(&(*key, text.to_lowercase())));
        let ids: BTreeSet<i64> = sets.flatten().copied().collect();
        ids.iter().filter_map(|id| self.get(*id)).collect()
    }

    /// A contact without anything, under the next id; it is not in the table yet.
    pub(super) fn blank(&self, now: Timestamp) -> Contact {
        Contact::new(self.next_id, now)
    }

    /// Another contact with the same e-mail, phone number or identifier.
    pub(super) fn clashes(&self, contact: &Contact) -> Vec<(&'static str, i64)> {
        let other = |id: &i64| *id != contact.id;
        let email = contact.email.as_ref().and_then(|email| self.by_email.get(email));
        let phone_number = contact.phone_number.as_ref().filter(|number| present(Some(number)));
        let phone_number = phone_number.and_then(|number| self.by_phone_number.get(number));
        let identifier = contact.identifier.as_ref().and_then(|text| self.by_identifier.get(text));
        let email = email.copied().filter(other).map(|id| ("email", id));
        let phone_number = phone_number.and_then(|ids| ids.iter().copied().find(other));
        let phone_number = phone_number.map(|id| ("phone_number", id));
        let identifier = identifier.copied().filter(other).map(|id| ("identifier", id));
        [email, phone_number, identifier].into_iter().flatten().collect()
    }

    /// Saves a contact as Rails does: first its validations, which a race escapes and a blank
    /// identifier too, then the database's unique indices.
    pub(super) fn save(
        &mut self,
        contact: Contact,
        mut invalid: Vec<Invalid>,
        race: bool,
    ) -> Result<(), Refusal> {
        let clashes = self.clashes(&contact);
        let blank_identifier = !present(contact.identifier.as_ref());
        let seen = clashes
            .iter()
            .filter(|(attribute, _)| !(race || *attribute == "identifier" && blank_identifier));
        invalid.extend(seen.map(|(attribute, _)| Invalid { attribute, why: Why::Taken }));
        if !invalid.is_empty() {
            return Err(Refusal::Invalid(invalid));
        }
        if clashes.iter().any(|(attribute, _)| *attribute != "phone_number") {
            return Err(Refusal::Exception);
        }
        self.put(contact);
        Ok(())
    }

    /// Puts a contact into the table, at its end, and into the indices.
    pub(super) fn put(&mut self, mut contact: Contact) {
        let id = contact.id;
        self.remove(id);
        contact.place = self.next_place;
        self.next_place += 1;
        self.next_id = self.next_id.max(id.saturating_add(1));
        if let Some(email) = &contact.email {
            self.by_email.insert(email.clone(), id);
        }
        if let Some(identifier) = &contact.identifier {
            self.by_identifier.insert(identifier.clone(), id);
        }
        if let Some(number) = &contact.phone_number {
            self.by_phone_number.entry(number.clone()).or_default().insert(id);
        }
        if let Some(ems_id) = contact.ems_id() {
            self.by_ems_id.entry(ems_id).or_default().insert(id);
        }
        for (key, text) in keys(&contact) {
            self.by_key.entry((key, text)).or_default().insert(id);
        }
        self.rows.insert(id, contact);
    }

    /// Takes a contact out of the table.
    pub(super) fn remove(&mut self, id: i64) -> Option<Contact> {
        let contact = self.rows.remove(&id)?;
        if let Some(email) = &contact.email {
            self.by_email.remove(email);
        }
        if let Some(identifier) = &contact.identifier {
            self.by_identifier.remove(identifier);
        }
        if let Some(number) = &contact.phone_number {
            forget(&mut self.by_phone_number, number, id);
        }
        for key in keys(&contact) {
            forget(&mut self.by_key, &key, id);
        }
        if let Some(ems_id) = contact.ems_id() {
            forget(&mut self.by_ems_id, &ems_id, id);
        }
        Some(contact)
    }
}

/// The columns that look-ups by equality go by.
pub(super) const KEYS: [&str; 3] = ["email", "phone_number", "identifier"];

fn keys(contact: &Contact) -> impl Iterator<Item = (&'static str, String)> {
    let texts = [&contact.email, &contact.phone_number, &contact.identifier];
    let pairs = KEYS.into_iter().zip(texts);
    pairs.filter_map(|(key, text)| Some((key, text.as_ref()?.to_lowercase())))
}

fn forget<K: Eq + Hash>(index: &mut HashMap<K, BTreeSet<i64>>, key: &K, id: i64) {
    if let Some(ids) = index.get_mut(key) {
        ids.remove(&id);
        if ids.is_empty() {
            index.remove(key);
        }
    }
}
