//! Rows seen and changed behind the worker's back. Agents do so in Chatwoot's own pages: webhooks
//! tell of it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::contact::Contact;
use super::conversation::Conversation;
use super::definition::Definition;
use super::draft;
use super::resource::Resource;
use super::store::Store;
use super::webhook::Webhook;
use crate::ControlError;

/// A row as people see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The remote's id; the display id of a conversation.
    pub id: i64,
    /// Our id, if the row carries one.
    pub external_id: Option<String>,
    /// As the REST API shows it; a contact with `labels` and `lead`, too.
    pub body: Value,
}

/// Why a row does not fit.
fn unfit(why: impl Into<String>) -> ControlError {
    ControlError::Unfit(why.into())
}

impl Store {
    /// All rows of a resource, by id.
    pub(super) fn rows(&self, resource: Resource, account_id: i64) -> Vec<Row> {
        let row = |id: i64, body: Value| Row { id, external_id: None, body };
        match resource {
            Resource::Contact => self.contacts.all().map(contact_row).collect(),
            Resource::Conversation => {
                let all = self.conversations.values();
                all.map(|one| self.conversation_row(one, account_id)).collect()
            }
            Resource::Webhook => {
                self.webhooks.values().map(|one| row(one.id, one.body(account_id))).collect()
            }
            Resource::AttributeDefinition => {
                self.definitions.values().map(|one| row(one.id, one.body())).collect()
            }
        }
    }

    /// The row of a resource with this id.
    pub(super) fn row(&self, resource: Resource, id: i64, account_id: i64) -> Option<Row> {
        match resource {
            Resource::Contact => self.contacts.get(id).map(contact_row),
            Resource::Conversation => {
                Some(self.conversation_row(self.conversations.get(&id)?, account_id))
            }
            Resource::Webhook | Resource::AttributeDefinition => {
                self.rows(resource, account_id).into_iter().find(|row| row.id == id)
            }
        }
    }

    /// The first contact that carries our id.
    pub(super) fn contact_of(&self, ems_id: &str) -> Option<Row> {
        self.contacts.by_ems_id(ems_id).map(contact_row)
    }

    /// Makes a row, or changes the one with the `id`: what is given is set, null clears. Keys are
    /// unique, nothing is required but a conversation's contact.
    pub(super) fn plant(
        &mut self,
        resource: Resource,
        row: &Value,
        now: Timestamp,
    ) -> Result<i64, ControlError> {
        let sent = row.as_object().ok_or_else(|| unfit("a row is an object"))?;
        let id = match sent.get("id") {
            None => None,
            Some(id) => Some(id.as_i64().ok_or_else(|| unfit("id is a number"))?),
        };
        match resource {
            Resource::Contact => self.plant_contact(id, sent, now),
            Resource::Conversation => self.plant_conversation(id, sent, now),
            Resource::AttributeDefinition => {
                let id = id.unwrap_or_else(|| self.next_id());
                let read = Definition::read(id, row).ok_or_else(|| unfit("not a definition"))?;
                self.last_id = self.last_id.max(id);
                self.definitions.insert(id, read);
                Ok(id)
            }
            Resource::Webhook => self.plant_webhook(id, sent),
        }
    }

    /// Removes a row; no event tells of it, and a contact takes its conversations along later.
    pub(super) fn tear_out(&mut self, resource: Resource, id: i64) -> bool {
        match resource {
            Resource::Contact => self.remove_contact(id),
            Resource::Conversation => self.conversations.remove(&id).is_some(),
            Resource::Webhook => self.webhooks.remove(&id).is_some(),
            Resource::AttributeDefinition => self.definitions.remove(&id).is_some(),
        }
    }

    fn plant_contact(
        &mut self,
        id: Option<i64>,
        sent: &Map<String, Value>,
        now: Timestamp,
    ) -> Result<i64, ControlError> {
        let before = id.and_then(|id| self.contacts.get(id)).cloned();
        let mut after = before.clone().unwrap_or_else(|| self.contacts.blank(now));
        after.id = id.unwrap_or(after.id);
        draft::lay_over(&mut after, sent);
        for (name, value) in sent {
            match name.as_str() {
                "custom_attributes" if value.is_null() => after.custom.clear(),
                "additional_attributes" if value.is_null() => after.additional.clear(),
                "labels" => {
                    after.labels = words(name, value)?;
                    after.peoples_labels.clone_from(&after.labels);
                }
                "online" => after.online = value.as_bool().unwrap_or(false),
                "last_activity_at" => after.last_activity_at = value.as_i64(),
                "created_at" => after.created_at = instant(name, value)?,
                "id" | "blocked" => {}
                _ if draft::TEXTS.contains(&name.as_str()) => {}
                _ if draft::OBJECTS.contains(&name.as_str()) => {}
                _ => return Err(unfit(format!("contacts have no field {name}"))),
            }
        }
        if let Some((attribute, _)) = self.contacts.clashes(&after).first() {
            return Err(unfit(format!("{attribute} is taken")));
        }
        let id = after.id;
        match before {
            None => {
                self.contacts.put(after);
                self.contact_created(id);
            }
            Some(before) if before.says_the_same(&after) => self.contacts.put(after),
            Some(before) => {
                after.updated_at = now;
                self.contacts.put(after.clone());
                self.contact_changed(&before, &after);
            }
        }
        Ok(id)
    }

    fn plant_conversation(
        &mut self,
        id: Option<i64>,
        sent: &Map<String, Value>,
        now: Timestamp,
    ) -> Result<i64, ControlError> {
        let before = id.and_then(|id| self.conversations.get(&id)).cloned();
        let contact_id = sent.get("contact_id").and_then(Value::as_i64);
        let known = contact_id.is_some_and(|id| self.contacts.get(id).is_some());
        if !known && (before.is_none() || contact_id.is_some()) {
            return Err(unfit("contact_id names no contact"));
        }
        let mut after = match &before {
            Some(before) => before.clone(),
            None => {
                let id = id.unwrap_or_else(|| self.next_id());
                Conversation::new(id, contact_id.unwrap_or_default(), now)
            }
        };
        for (name, value) in sent {
            set_conversation(&mut after, name, value)?;
        }
        // Being seen does not move `updated_at`; a stamp that was asked for stays.
        let is_seen = |name: &str| name.ends_with("_last_seen_at") || name == "id";
        if !sent.contains_key("updated_at") && !sent.keys().all(|name| is_seen(name)) {
            after.updated_at = now;
        }
        let id = after.id;
        self.last_id = self.last_id.max(id);
        self.conversations.insert(id, after.clone());
        match before {
            None => self.conversation_created(id),
            Some(before) => self.conversation_changed(&before, &after),
        }
        Ok(id)
    }

    fn plant_webhook(
        &mut self,
        id: Option<i64>,
        sent: &Map<String, Value>,
    ) -> Result<i64, ControlError> {
        let id = id.unwrap_or_else(|| self.next_id());
        self.last_id = self.last_id.max(id);
        let before = self.webhooks.get(&id).cloned();
        let mut webhook = before.unwrap_or_else(|| Webhook::new(id));
        for (name, value) in sent {
            match (name.as_str(), value) {
                ("url", Value::String(text)) => webhook.url.clone_from(text),
                ("secret", Value::String(text)) => webhook.secret.clone_from(text),
                ("name", value) => webhook.name = value.as_str().map(str::to_owned),
                ("subscriptions", value) => {
                    webhook.subscriptions = words(name, value)?.into_iter().collect();
                }
                ("id", _) => {}
                _ => return Err(unfit(format!("webhooks have no such {name}"))),
            }
        }
        self.webhooks.insert(id, webhook);
        Ok(id)
    }

    fn conversation_row(&self, one: &Conversation, account_id: i64) -> Row {
        let contact = self.contacts.get(one.contact_id);
        let external_id = contact.and_then(Contact::ems_id);
        Row { id: one.id, external_id, body: one.body(contact, account_id) }
    }
}

fn contact_row(contact: &Contact) -> Row {
    let mut body = contact.body(true);
    if let Some(body) = body.as_object_mut() {
        body.insert("labels".to_owned(), json!(contact.labels));
        body.insert("lead".to_owned(), json!(contact.lead));
    }
    Row { id: contact.id, external_id: contact.ems_id(), body }
}

fn set_conversation(
    conversation: &mut Conversation,
    name: &str,
    value: &Value,
) -> Result<(), ControlError> {
    let number = || value.as_i64().unwrap_or_default();
    let object = || value.as_object().cloned().unwrap_or_default();
    let instants = &mut conversation.instants;
    match name {
        "id" => {}
        "contact_id" => conversation.contact_id = number(),
        "inbox_id" => conversation.inbox_id = number(),
        "status" => value.as_str().unwrap_or("open").clone_into(&mut conversation.status),
        "priority" => conversation.priority = value.as_str().map(str::to_owned),
        "labels" => conversation.labels = words(name, value)?,
        "custom_attributes" => conversation.custom = object(),
        "additional_attributes" => conversation.additional = object(),
        "assignee_id" => conversation.assignee_id = value.as_i64(),
        "team_id" => conversation.team_id = value.as_i64(),
        "snoozed_until" => conversation.snoozed_until = value.as_i64(),
        "created_at" => conversation.created_at = instant(name, value)?,
        "updated_at" => conversation.updated_at = instant(name, value)?,
        "last_activity_at" => conversation.last_activity_at = number(),
        "agent_last_seen_at" => instants.agent_last_seen_at = number(),
        "assignee_last_seen_at" => instants.assignee_last_seen_at = number(),
        "contact_last_seen_at" => instants.contact_last_seen_at = number(),
        "waiting_since" => instants.waiting_since = number(),
        "first_reply_created_at" => instants.first_reply_created_at = number(),
        _ => return Err(unfit(format!("conversations have no field {name}"))),
    }
    Ok(())
}

fn words(name: &str, value: &Value) -> Result<BTreeSet<String>, ControlError> {
    let words = value.as_array().ok_or_else(|| unfit(format!("{name} is a list")))?;
    Ok(words.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

fn instant(name: &str, value: &Value) -> Result<Timestamp, ControlError> {
    let second = value.as_i64().ok_or_else(|| unfit(format!("{name} is a number of seconds")))?;
    Timestamp::from_second(second).map_err(|_| unfit(format!("{name} is out of range")))
}
