//! An account webhook (contract, section 6).

use serde_json::{Value, json};
use uuid::Uuid;

/// What can be subscribed to; `contact_deleted` cannot.
pub(super) const EVENTS: [&str; 12] = [
    "conversation_created",
    "conversation_status_changed",
    "conversation_updated",
    "contact_created",
    "contact_updated",
    "message_created",
    "message_updated",
    "webwidget_triggered",
    "inbox_created",
    "inbox_updated",
    "conversation_typing_on",
    "conversation_typing_off",
];

/// A row of `webhooks`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Webhook {
    pub(super) id: i64,
    pub(super) url: String,
    pub(super) name: Option<String>,
    pub(super) subscriptions: Vec<String>,
    pub(super) secret: String,
}

impl Webhook {
    /// A webhook without subscriptions and with a secret of its own.
    pub(super) fn new(id: i64) -> Self {
        Self {
            id,
            url: String::new(),
            name: None,
            subscriptions: Vec::new(),
            secret: Uuid::new_v4().simple().to_string(),
        }
    }

    /// As the REST API shows it.
    pub(super) fn body(&self, account_id: i64) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "url": self.url,
            "account_id": account_id,
            "subscriptions": self.subscriptions,
            "secret": self.secret,
        })
    }
}
