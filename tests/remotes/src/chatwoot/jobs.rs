//! Background jobs: events on their way to webhooks, conversations being destroyed. What an event
//! says is read when its job runs, not when the change happened (contract, section 6).

use serde_json::{Map, Value, json};

use super::contact::Contact;
use super::conversation::Conversation;
use super::options::ChatwootSettings;
use super::store::Store;

/// Work that is done later.
#[derive(Clone, Debug)]
pub(super) enum Job {
    /// Tell the webhooks.
    Event { name: &'static str, about: About, changes: Vec<Value> },
    /// Destroy conversations whose contact was deleted.
    DestroyConversations(Vec<i64>),
}

/// The row that an event is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum About {
    Contact(i64),
    Conversation(i64),
    Message { conversation: i64, message: i64 },
}

/// An event whose job has run.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) name: &'static str,
    pub(super) payload: Value,
}

impl Store {
    /// A contact was made.
    pub(super) fn contact_created(&mut self, id: i64) {
        self.enqueue("contact_created", About::Contact(id), Vec::new());
    }

    /// A contact was saved with changes.
    pub(super) fn contact_changed(&mut self, before: &Contact, after: &Contact) {
        let mut changes = changes(&before.columns(), &after.columns());
        if changes.is_empty() {
            return;
        }
        changes.push(change("updated_at", &json!(before.updated_at), &json!(after.updated_at)));
        self.enqueue("contact_updated", About::Contact(after.id), changes);
    }

    /// A contact goes; its conversations follow later. No event tells of it.
    pub(super) fn remove_contact(&mut self, id: i64) -> bool {
        let of_it = self.conversations.values().filter(|one| one.contact_id == id);
        let conversations: Vec<i64> = of_it.map(|one| one.id).collect();
        if !conversations.is_empty() {
            self.jobs.push(Job::DestroyConversations(conversations));
        }
        self.contacts.remove(id).is_some()
    }

    /// A conversation was begun.
    pub(super) fn conversation_created(&mut self, id: i64) {
        self.enqueue("conversation_created", About::Conversation(id), Vec::new());
    }

    /// A conversation was saved with changes.
    pub(super) fn conversation_changed(&mut self, before: &Conversation, after: &Conversation) {
        let changes = changes(&before.columns(), &after.columns());
        if changes.is_empty() {
            return;
        }
        let about = About::Conversation(after.id);
        if before.status != after.status {
            self.enqueue("conversation_status_changed", about, changes.clone());
        }
        self.enqueue("conversation_updated", about, changes);
    }

    /// A message was written.
    pub(super) fn message_created(&mut self, conversation: i64, message: i64) {
        let about = About::Message { conversation, message };
        self.enqueue("message_created", about, Vec::new());
    }

    /// Without webhooks nobody waits for events.
    fn enqueue(&mut self, name: &'static str, about: About, changes: Vec<Value>) {
        if !self.webhooks.is_empty() {
            self.jobs.push(Job::Event { name, about, changes });
        }
    }

    /// Runs all jobs; an event whose row is gone is lost.
    pub(super) fn run_jobs(&mut self, account_id: i64, settings: &ChatwootSettings) -> Vec<Event> {
        let mut events = Vec::new();
        for job in std::mem::take(&mut self.jobs) {
            match job {
                Job::DestroyConversations(ids) => {
                    ids.iter().for_each(|id| drop(self.conversations.remove(id)));
                }
                Job::Event { name, about, changes } => {
                    let Some(mut payload) = self.payload(about) else { continue };
                    let is_contact = matches!(about, About::Contact(_));
                    if !is_contact || settings.account_in_webhooks {
                        let account = json!({ "id": account_id, "name": "Acme" });
                        payload.insert("account".to_owned(), account);
                    }
                    payload.insert("event".to_owned(), json!(name));
                    if !changes.is_empty() {
                        payload.insert("changed_attributes".to_owned(), json!(changes));
                    }
                    events.push(Event { name, payload: Value::Object(payload) });
                }
            }
        }
        events
    }

    /// The row as it is now.
    fn payload(&self, about: About) -> Option<Map<String, Value>> {
        match about {
            About::Contact(id) => Some(self.contacts.get(id)?.push_data()),
            About::Conversation(id) => {
                let conversation = self.conversations.get(&id)?;
                Some(conversation.push_data(self.contacts.get(conversation.contact_id)))
            }
            About::Message { conversation, message } => {
                let conversation = self.conversations.get(&conversation)?;
                let message = conversation.messages.iter().find(|one| one.id == message)?;
                let contact = self.contacts.get(conversation.contact_id);
                let mut payload = message.body(conversation).as_object().cloned()?;
                let kind = if message.incoming { "incoming" } else { "outgoing" };
                payload.insert("message_type".to_owned(), json!(kind));
                let inside = Value::Object(conversation.push_data(contact));
                payload.insert("conversation".to_owned(), inside);
                Some(payload)
            }
        }
    }
}

/// What differs, as Rails' `previous_changes`.
fn changes(before: &[(&'static str, Value)], after: &[(&'static str, Value)]) -> Vec<Value> {
    let pairs = before.iter().zip(after);
    let differing = pairs.filter(|((_, old), (_, new))| old != new);
    differing.map(|((name, old), (_, new))| change(name, old, new)).collect()
}

fn change(name: &str, old: &Value, new: &Value) -> Value {
    json!({ name: { "previous_value": old, "current_value": new } })
}
