//! A conversation: its columns, and how API and webhooks show it (contract, section 5).

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::contact::Contact;

/// A row of `conversations`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Conversation {
    /// The display id: unique in the account only.
    pub(super) id: i64,
    pub(super) uuid: Uuid,
    pub(super) contact_id: i64,
    pub(super) inbox_id: i64,
    pub(super) status: String,
    pub(super) priority: Option<String>,
    pub(super) labels: BTreeSet<String>,
    pub(super) custom: Map<String, Value>,
    pub(super) additional: Map<String, Value>,
    pub(super) assignee_id: Option<i64>,
    pub(super) team_id: Option<i64>,
    pub(super) snoozed_until: Option<i64>,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    pub(super) last_activity_at: i64,
    /// The instants of which 0 means null, by name.
    pub(super) instants: Instants,
    pub(super) messages: Vec<Message>,
}

/// Instants as epoch seconds; 0 means null.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Instants {
    pub(super) agent_last_seen_at: i64,
    pub(super) assignee_last_seen_at: i64,
    pub(super) contact_last_seen_at: i64,
    pub(super) waiting_since: i64,
    pub(super) first_reply_created_at: i64,
}

/// A row of `messages`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) id: i64,
    pub(super) content: String,
    pub(super) incoming: bool,
    pub(super) created_at: i64,
}

impl Conversation {
    /// An open conversation without messages.
    pub(super) fn new(id: i64, contact_id: i64, now: Timestamp) -> Self {
        Self {
            id,
            uuid: Uuid::new_v4(),
            contact_id,
            inbox_id: 1,
            status: "open".to_owned(),
            priority: None,
            labels: BTreeSet::new(),
            custom: Map::new(),
            additional: Map::new(),
            assignee_id: None,
            team_id: None,
            snoozed_until: None,
            created_at: now,
            updated_at: now,
            last_activity_at: now.as_second(),
            instants: Instants::default(),
            messages: Vec::new(),
        }
    }

    /// As the REST API shows it; `contact` is null while its contact is being destroyed.
    pub(super) fn body(&self, contact: Option<&Contact>, account_id: i64) -> Value {
        let mut body = self.push_data(contact);
        body.insert("uuid".to_owned(), json!(self.uuid.to_string()));
        body.insert("account_id".to_owned(), json!(account_id));
        Value::Object(body)
    }

    /// As webhooks show it: without `uuid`.
    pub(super) fn push_data(&self, contact: Option<&Contact>) -> Map<String, Value> {
        let last = self.messages.last().map(|message| message.body(self));
        let mut meta = json!({
            "sender": contact.map(|contact| contact.body(false)),
            "channel": "Channel::Api",
        });
        if let (Some(meta), Some(id)) = (meta.as_object_mut(), self.assignee_id) {
            meta.insert("assignee".to_owned(), json!({ "id": id, "name": format!("Agent {id}") }));
            meta.insert("assignee_type".to_owned(), json!("User"));
        }
        if let (Some(meta), Some(id)) = (meta.as_object_mut(), self.team_id) {
            meta.insert("team".to_owned(), json!({ "id": id, "name": format!("Team {id}") }));
        }
        let seen = self.instants.agent_last_seen_at;
        let unread = self.messages.iter().filter(|one| one.incoming && one.created_at > seen);
        let instants = self.instants;
        let body = json!({
            "id": self.id,
            "inbox_id": self.inbox_id,
            "status": self.status,
            "priority": self.priority,
            "labels": self.labels,
            "custom_attributes": self.custom,
            "additional_attributes": self.additional,
            "muted": contact.is_some_and(|contact| contact.blocked),
            "can_reply": true,
            "unread_count": unread.count(),
            "snoozed_until": self.snoozed_until,
            "created_at": self.created_at.as_second(),
            "timestamp": self.last_activity_at,
            "last_activity_at": self.last_activity_at,
            "agent_last_seen_at": instants.agent_last_seen_at,
            "assignee_last_seen_at": instants.assignee_last_seen_at,
            "contact_last_seen_at": instants.contact_last_seen_at,
            "waiting_since": instants.waiting_since,
            "first_reply_created_at": instants.first_reply_created_at,
            "updated_at": seconds(self.updated_at),
            "meta": meta,
            "messages": last.iter().collect::<Vec<_>>(),
            "last_non_activity_message": last,
        });
        body.as_object().cloned().unwrap_or_default()
    }

    /// What webhooks tell changes of, by name.
    pub(super) fn columns(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("status", json!(self.status)),
            ("priority", json!(self.priority)),
            ("cached_label_list", json!(self.labels)),
            ("custom_attributes", json!(self.custom)),
            ("additional_attributes", json!(self.additional)),
            ("assignee_id", json!(self.assignee_id)),
            ("team_id", json!(self.team_id)),
            ("snoozed_until", json!(self.snoozed_until)),
            ("contact_id", json!(self.contact_id)),
            ("inbox_id", json!(self.inbox_id)),
        ]
    }
}

impl Message {
    /// As the REST API shows it.
    pub(super) fn body(&self, conversation: &Conversation) -> Value {
        json!({
            "id": self.id,
            "content": self.content,
            "message_type": i32::from(!self.incoming),
            "private": false,
            "created_at": self.created_at,
            "conversation_id": conversation.id,
            "inbox_id": conversation.inbox_id,
        })
    }
}

/// Epoch seconds with a fraction.
fn seconds(instant: Timestamp) -> Value {
    // Microseconds of this century need 51 bits, of a double's 53.
    let text = format!("{}.{:06}", instant.as_second(), instant.subsec_microsecond());
    text.parse::<f64>().map_or(Value::Null, Value::from)
}
