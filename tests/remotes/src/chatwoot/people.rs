//! What agents and contacts do at the desk, besides editing rows (which is planting).

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::conversation::Message;
use super::merge::merge;
use super::server::Chatwoot;
use crate::sync::lock;
use crate::{ControlError, Remote as _};

/// Who writes a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Author {
    /// The contact: moves its `last_activity_at`, which tells as `contact_updated`.
    Contact,
    /// An agent.
    Agent,
}

/// One act, as the control API takes it.
#[derive(Debug, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case", deny_unknown_fields)]
enum Act {
    /// Write a message.
    Message { conversation_id: i64, author: Author, content: String },
    /// Merge two contacts.
    Merge { base_contact_id: i64, mergee_contact_id: i64 },
    /// Block a contact, or unblock it.
    Block { contact_id: i64, blocked: bool },
    /// Come online, or go.
    Online { contact_id: i64, online: bool },
    /// Make another administrator's token.
    IssueToken,
    /// Take a token for good, also one that was revoked.
    AcceptToken { token: String },
    /// Run the background jobs; `send` lets the webhooks go out, too.
    RunJobs {
        #[serde(default)]
        send: bool,
    },
}

impl Chatwoot {
    /// Does one act of the control API.
    pub(super) fn perform(&self, act: &Value) -> Result<Value, ControlError> {
        let unfit = |error: serde_json::Error| ControlError::Unfit(error.to_string());
        match Act::deserialize(act).map_err(unfit)? {
            Act::Message { conversation_id, author, content } => {
                let id = self.write_message(conversation_id, author, &content)?;
                Ok(json!({ "id": id }))
            }
            Act::Merge { base_contact_id, mergee_contact_id } => {
                self.merge(base_contact_id, mergee_contact_id)
            }
            Act::Block { contact_id, blocked } => {
                self.edit_contact(contact_id, &json!({ "id": contact_id, "blocked": blocked }))
            }
            Act::Online { contact_id, online } => {
                self.edit_contact(contact_id, &json!({ "id": contact_id, "online": online }))
            }
            Act::IssueToken => Ok(json!({ "token": lock(&self.tokens).issue() })),
            Act::AcceptToken { token } => {
                lock(&self.tokens).accept(&token);
                Ok(json!({}))
            }
            Act::RunJobs { send } => {
                let deliveries = self.run_jobs();
                let told = json!({ "deliveries": deliveries });
                if send {
                    Self::send_behind(deliveries);
                }
                Ok(told)
            }
        }
    }

    /// Changes a contact that is there.
    pub(super) fn edit_contact(&self, id: i64, row: &Value) -> Result<Value, ControlError> {
        if lock(&self.store).contacts.get(id).is_none() {
            return Err(ControlError::Unfit("no such contact".to_owned()));
        }
        self.plant_row("contacts", row)
    }

    /// Merges two contacts; the answer is the base.
    pub(super) fn merge(&self, base: i64, mergee: i64) -> Result<Value, ControlError> {
        let merged = merge(&mut lock(&self.store), base, mergee, self.now());
        let merged = merged.map_err(|_| ControlError::Unfit("no such contact".to_owned()))?;
        Ok(merged.body(true))
    }

    /// Writes a message into a conversation and returns its id.
    pub(super) fn write_message(
        &self,
        conversation_id: i64,
        author: Author,
        content: &str,
    ) -> Result<i64, ControlError> {
        let now = self.now();
        let incoming = author == Author::Contact;
        let mut guard = lock(&self.store);
        let store = &mut *guard;
        let id = store.next_id();
        let Some(conversation) = store.conversations.get_mut(&conversation_id) else {
            return Err(ControlError::Unfit("no such conversation".to_owned()));
        };
        conversation.updated_at = now;
        conversation.last_activity_at = now.as_second();
        let instants = &mut conversation.instants;
        if incoming {
            instants.waiting_since = now.as_second();
        } else {
            instants.waiting_since = 0;
            if instants.first_reply_created_at == 0 {
                instants.first_reply_created_at = now.as_second();
            }
        }
        let content = content.to_owned();
        conversation.messages.push(Message { id, content, incoming, created_at: now.as_second() });
        let contact_id = conversation.contact_id;
        if let Some(before) = store.contacts.get(contact_id).cloned().filter(|_| incoming) {
            let mut after = before.clone();
            after.last_activity_at = Some(now.as_second());
            after.updated_at = now;
            store.contacts.put(after.clone());
            store.contact_changed(&before, &after);
        }
        store.message_created(conversation_id, id);
        Ok(id)
    }
}
