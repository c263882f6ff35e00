//! What tests say to a running Mautic in the same process.

use serde_json::{Value, json};

use super::contact::{BOUNCED, Contact, DoNotContact, MANUAL, Source, UNSUBSCRIBED};
use super::merge::merge;
use super::options::{MauticOptions, MauticSettings};
use super::plant;
use super::server::Mautic;
use crate::sync::lock;
use crate::{ControlError, Reimage, Remote, Simulator, StartError, Upheaval};

impl Mautic {
    /// Starts a Mautic on the current Tokio runtime.
    ///
    /// # Errors
    /// If a port is taken or a certificate cannot be made.
    pub async fn start(options: MauticOptions) -> Result<Simulator<Self>, StartError> {
        let server = Self::new(&options);
        Simulator::start(server, options.server).await
    }
}

impl Simulator<Mautic> {
    /// All contacts, by id.
    pub fn contacts(&self) -> Vec<Contact> {
        lock(&self.remote().store).contacts().cloned().collect()
    }

    /// The contacts that carry this EMS id; more than one is a mistake of somebody.
    pub fn contacts_of(&self, ems_person_id: &str) -> Vec<Contact> {
        let store = lock(&self.remote().store);
        let ids = store.with_value("ems_person_id", ems_person_id);
        ids.into_iter().filter_map(|id| store.get(id).cloned()).collect()
    }

    /// The first contact that carries this EMS id.
    pub fn contact_of(&self, ems_person_id: &str) -> Option<Contact> {
        self.contacts_of(ems_person_id).into_iter().next()
    }

    /// The contact with this id.
    pub fn contact(&self, id: i64) -> Option<Contact> {
        lock(&self.remote().store).get(id).cloned()
    }

    /// How many contacts there are.
    pub fn contact_count(&self) -> usize {
        lock(&self.remote().store).contacts().count()
    }

    /// Makes a contact behind the worker's back, or changes the one with the `id`: flat aliases,
    /// `tags`, `doNotContact`, `segments`, `points`, `stage`, `owner`; null clears.
    ///
    /// # Errors
    /// If a field is unknown or does not take its value.
    pub fn plant(&self, row: Value) -> Result<Contact, ControlError> {
        plant::contact(&row, &mut lock(&self.remote().store), self.remote().now())
    }

    /// Removes a contact behind the worker's back; `false` if it was not there.
    pub fn remove(&self, id: i64) -> bool {
        lock(&self.remote().store).take(id).is_some()
    }

    /// The person unsubscribes from a channel.
    pub fn unsubscribe(&self, id: i64, channel: &str) -> bool {
        self.enter(id, channel, UNSUBSCRIBED)
    }

    /// A message to the person bounces.
    pub fn bounce(&self, id: i64, channel: &str) -> bool {
        self.enter(id, channel, BOUNCED)
    }

    /// Somebody at the remote forbids a channel.
    pub fn forbid(&self, id: i64, channel: &str) -> bool {
        self.enter(id, channel, MANUAL)
    }

    /// The person subscribes again, or somebody lifts what was forbidden.
    pub fn permit(&self, id: i64, channel: &str) -> bool {
        self.with_contact(id, |contact| {
            contact.do_not_contact.retain(|entry| entry.channel != channel);
        })
    }

    /// Somebody merges two contacts: `loser` is gone. `false` if one was not there.
    pub fn merge(&self, winner: i64, loser: i64) -> bool {
        merge(&mut lock(&self.remote().store), winner, loser, self.remote().now()).is_some()
    }

    /// A segment; the worker's client may see it.
    ///
    /// # Errors
    /// Never; the signature is that of planting.
    pub fn plant_segment(&self, name: &str) -> Result<i64, ControlError> {
        let row = self.remote().plant_row("segments", &json!({ "name": name }))?;
        Ok(row.get("id").and_then(Value::as_i64).unwrap_or_default())
    }

    /// A segment's filter finds the contact: it is added, unless it was removed by hand.
    pub fn filter_into_segment(&self, id: i64, segment: i64) -> bool {
        let mut added = false;
        self.with_contact(id, |contact| {
            added =
                !contact.manually_removed.contains(&segment) && contact.segments.insert(segment);
        });
        added
    }

    /// Makes or changes a field: `{"alias","type","unique","choices","default"}`.
    ///
    /// # Errors
    /// If it is not a field.
    pub fn plant_field(&self, row: Value) -> Result<(), ControlError> {
        self.remote().plant_row("fields", &row).map(drop)
    }

    /// Removes a field; contacts keep what they hold.
    pub fn remove_field(&self, alias: &str) {
        lock(&self.remote().store).fields.retain(|field| field.alias != alias);
    }

    /// Changes the settings.
    pub fn configure(&self, change: impl FnOnce(&mut MauticSettings)) {
        self.remote().configure(change);
    }

    /// Revokes every token early.
    pub fn revoke_tokens(&self) {
        self.remote().upheave(Upheaval::NewSecret, None);
    }

    /// Sets the server up anew: other tokens, ids that mean other contacts.
    pub fn reimage(&self, how: Reimage) {
        self.remote().upheave(Upheaval::Reimage(how), None);
    }

    /// A valid bearer without a log-in.
    pub fn issue_token(&self) -> String {
        lock(&self.remote().tokens).issue(self.remote().now())
    }

    fn enter(&self, id: i64, channel: &str, reason: i64) -> bool {
        let date_added = self.remote().now();
        self.with_contact(id, |contact| {
            contact.do_not_contact.retain(|entry| entry.channel != channel);
            contact.do_not_contact.push(DoNotContact {
                channel: channel.to_owned(),
                reason,
                comments: String::new(),
                channel_id: None,
                source: Source::Person,
                date_added,
            });
        })
    }

    fn with_contact(&self, id: i64, change: impl FnOnce(&mut Contact)) -> bool {
        let mut store = lock(&self.remote().store);
        let Some(mut contact) = store.get(id).cloned() else { return false };
        change(&mut contact);
        store.replace(contact, self.remote().now());
        true
    }
}
