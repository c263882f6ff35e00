//! A contact: its columns, and how the API shows it (contract, section 2).

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::route::EMS_ATTRIBUTE;

/// Our identifiers are this and the EMS id.
const PREFIX: &str = "ems-person-";

/// A row of `contacts`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Contact {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) email: Option<String>,
    pub(super) phone_number: Option<String>,
    /// May be blank: a blank one is not turned into null.
    pub(super) identifier: Option<String>,
    pub(super) blocked: bool,
    pub(super) custom: Map<String, Value>,
    pub(super) additional: Map<String, Value>,
    pub(super) thumbnail: String,
    /// Sticky: a lead stays one.
    pub(super) lead: bool,
    pub(super) online: bool,
    pub(super) last_activity_at: Option<i64>,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    pub(super) labels: BTreeSet<String>,
    /// The labels that people put on it: nobody else may take them off.
    pub(super) peoples_labels: BTreeSet<String>,
    pub(super) inboxes: Vec<ContactInbox>,
    /// Where the row lies in the table: an update moves it to the end.
    pub(super) place: u64,
}

/// A contact in an inbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ContactInbox {
    pub(super) inbox_id: i64,
    pub(super) source_id: String,
}

impl Contact {
    /// A contact without anything.
    pub(super) fn new(id: i64, now: Timestamp) -> Self {
        Self {
            id,
            name: String::new(),
            email: None,
            phone_number: None,
            identifier: None,
            blocked: false,
            custom: Map::new(),
            additional: Map::new(),
            thumbnail: String::new(),
            lead: false,
            online: false,
            last_activity_at: None,
            created_at: now,
            updated_at: now,
            labels: BTreeSet::new(),
            peoples_labels: BTreeSet::new(),
            inboxes: Vec::new(),
            place: 0,
        }
    }

    /// What Rails does before it saves: e-mail and phone number make a lead.
    pub(super) fn settle(&mut self) {
        self.lead |= present(self.email.as_ref()) || present(self.phone_number.as_ref());
    }

    /// Whether list and filter show it (section 0.6).
    pub(super) fn is_listed(&self, crm_v2: bool) -> bool {
        if crm_v2 {
            return self.lead;
        }
        present(self.email.as_ref())
            || present(self.phone_number.as_ref())
            || present(self.identifier.as_ref())
    }

    /// Our id: from the identifier if it is ours, else from the custom attribute, else the foreign
    /// identifier as it is.
    pub(super) fn ems_id(&self) -> Option<String> {
        ems_id(self.identifier.as_deref(), self.custom.get(EMS_ATTRIBUTE))
    }

    /// Whether anything that people see differs; stamps and places do not count.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        let stamped = |contact: &Self| Self {
            updated_at: Timestamp::UNIX_EPOCH,
            place: 0,
            peoples_labels: BTreeSet::new(),
            ..contact.clone()
        };
        stamped(self) == stamped(other)
    }

    /// As the REST API shows it.
    pub(super) fn body(&self, with_inboxes: bool) -> Value {
        let mut body = json!({
            "id": self.id,
            "name": self.name,
            "email": self.email,
            "phone_number": self.phone_number,
            "identifier": self.identifier,
            "blocked": self.blocked,
            "custom_attributes": self.custom,
            "additional_attributes": self.additional,
            "thumbnail": self.thumbnail,
            "availability_status": if self.online { "online" } else { "offline" },
            "created_at": self.created_at.as_second(),
        });
        if let Some(body) = body.as_object_mut() {
            if let Some(second) = self.last_activity_at {
                body.insert("last_activity_at".to_owned(), json!(second));
            }
            if with_inboxes {
                let inboxes = self.inboxes.iter().map(ContactInbox::body).collect();
                body.insert("contact_inboxes".to_owned(), Value::Array(inboxes));
            }
        }
        body
    }

    /// As webhooks show it (section 6); no labels.
    pub(super) fn push_data(&self) -> Map<String, Value> {
        let data = json!({
            "id": self.id,
            "name": self.name,
            "email": self.email,
            "phone_number": self.phone_number,
            "identifier": self.identifier,
            "additional_attributes": self.additional,
            "custom_attributes": self.custom,
            "avatar": self.thumbnail,
            "thumbnail": self.thumbnail,
            "blocked": self.blocked,
        });
        data.as_object().cloned().unwrap_or_default()
    }

    /// The columns that Rails tracks, by name.
    pub(super) fn columns(&self) -> Vec<(&'static str, Value)> {
        let column = |name: &str| self.additional.get(name).cloned().unwrap_or(Value::Null);
        vec![
            ("name", json!(self.name)),
            ("email", json!(self.email)),
            ("phone_number", json!(self.phone_number)),
            ("identifier", json!(self.identifier)),
            ("blocked", json!(self.blocked)),
            ("custom_attributes", json!(self.custom)),
            ("additional_attributes", json!(self.additional)),
            ("location", column("city")),
            ("country_code", column("country")),
            ("contact_type", json!(if self.lead { "lead" } else { "visitor" })),
            ("last_activity_at", json!(self.last_activity_at.and_then(instant))),
        ]
    }
}

impl ContactInbox {
    /// As the REST API shows it.
    pub(super) fn body(&self) -> Value {
        json!({ "source_id": self.source_id, "inbox": inbox(self.inbox_id) })
    }
}

/// An inbox as it is shown inside others.
pub(super) fn inbox(id: i64) -> Value {
    json!({
        "id": id,
        "avatar_url": "",
        "channel_id": id,
        "name": format!("Inbox {id}"),
        "channel_type": "Channel::Api",
        "provider": null,
    })
}

fn instant(second: i64) -> Option<String> {
    Some(Timestamp::from_second(second).ok()?.to_string())
}

/// Rails' `present?`.
pub(super) fn present(text: Option<&String>) -> bool {
    text.is_some_and(|text| !text.trim().is_empty())
}

/// Our id in a body that is sent.
pub(super) fn ems_id_of(body: &Value) -> Option<String> {
    let identifier = body.get("identifier").and_then(Value::as_str);
    ems_id(identifier, body.get("custom_attributes").and_then(|sent| sent.get(EMS_ATTRIBUTE)))
}

/// Our id for an identifier; a foreign one stands for itself.
pub(super) fn ems_id_of_identifier(identifier: &str) -> Option<String> {
    ems_id(Some(identifier), None)
}

/// Whether an identifier is one of ours.
pub(super) fn is_ours(identifier: &str) -> bool {
    identifier.starts_with(PREFIX)
}

fn ems_id(identifier: Option<&str>, attribute: Option<&Value>) -> Option<String> {
    let identifier = identifier.filter(|identifier| !identifier.trim().is_empty());
    if let Some(id) = identifier.and_then(|identifier| identifier.strip_prefix(PREFIX)) {
        return Some(id.to_owned());
    }
    let attribute = attribute.and_then(|value| match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            None
        }
    });
    attribute.or_else(|| identifier.map(str::to_owned))
}
