//! A contact as Chatwoot shows it, and whose it is. Pure.

use serde_json::{Map, Value};

use super::origin::{self, Origin};
use super::wire;
use crate::entity::{EntityRef, EntityType};
use crate::remote::inbound::{ConsentSeen, ConsentState, LET_GO, Shape, Snapshot, Subject};
use crate::remote::{RemoteRecord, Wire};

/// What a block shuts: Chatwoot takes nothing from a blocked contact in any of its inboxes. It sends no letters.
const BLOCKED_CHANNELS: [&str; 3] = ["EMAIL", "SMS", "PHONE"];

/// A contact.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Contact {
    pub(super) id: i64,
    /// Its content, in the normal form of the mapping.
    pub(super) wire: Wire,
    /// When it was made, in seconds; lists are sorted by it.
    pub(super) created_at: Option<i64>,
    /// An agent wants to hear nothing from it.
    blocked: bool,
    /// We made it; else it is people's.
    origin: Option<Origin>,
}

impl Contact {
    /// `None` when it has not the contract's form.
    pub(super) fn read(value: &Value) -> Option<Self> {
        let fields = value.as_object()?;
        let created_at = fields.get("created_at").and_then(Value::as_i64);
        let origin = wire::attribute(fields, origin::ATTRIBUTE);
        Some(Self {
            id: fields.get("id")?.as_i64()?,
            wire: wire::from_contact(fields)?,
            created_at,
            blocked: fields.get("blocked").and_then(Value::as_bool).unwrap_or(false),
            origin: origin.and_then(|origin| Origin::read(origin, created_at)),
        })
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.wire.body.get(name)?.as_str()
    }

    /// Its identifier, if it has one.
    pub(super) fn identifier(&self) -> Option<&str> {
        self.text(wire::IDENTIFIER)
    }

    /// Whether it holds exactly this under the name of a field.
    pub(super) fn holds(&self, name: &str, value: &Value) -> bool {
        !value.is_null() && self.wire.body.get(name) == Some(value)
    }

    /// The custom attribute holds anything.
    pub(super) fn has_attribute(&self) -> bool {
        self.wire.body.get(wire::ATTRIBUTE).is_some_and(|value| !value.is_null())
    }

    /// The person whose EMS id it carries: by its identifier if that is one of ours, else by the custom attribute.
    pub(super) fn person(&self) -> Option<i64> {
        let by_identifier = self.identifier().and_then(wire::person_of_identifier);
        by_identifier.or_else(|| match self.wire.body.get(wire::ATTRIBUTE)? {
            Value::String(text) => wire::person_of_text(text),
            Value::Number(number) => number.as_i64(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        })
    }

    /// Another integration's identifier, which is not ours to replace (contract, section 7).
    pub(super) fn foreign_identifier(&self) -> Option<&str> {
        self.identifier().filter(|text| wire::person_of_identifier(text).is_none())
    }

    /// Its e-mail address, or null.
    pub(super) fn email(&self) -> &Value {
        self.wire.body.get(wire::EMAIL).unwrap_or(&Value::Null)
    }

    /// We made it, it is nobody's now, and its address is still the one that it had when we let it go.
    pub(super) fn is_let_go(&self) -> bool {
        let is_nobodys = self.person().is_none() && self.identifier().is_none();
        is_nobodys && self.origin.as_ref().is_some_and(|origin| origin.is_let_go(self.email()))
    }

    /// Notes in a body that the contact is nobody's any more and holds this address then. Not of one that people made.
    pub(super) fn note_let_go(&self, body: &mut Map<String, Value>, email: &Value) {
        if let Some(origin) = &self.origin {
            wire::put_attribute(body, origin::ATTRIBUTE, origin.let_go(email).text());
        }
    }

    /// Notes in a body that the contact is somebody's again, if it was let go.
    pub(super) fn note_taken(&self, body: &mut Map<String, Value>) {
        if let Some(origin) = self.origin.as_ref().filter(|origin| origin.was_let_go()) {
            wire::put_attribute(body, origin::ATTRIBUTE, origin.taken().text());
        }
    }

    fn entity(&self) -> Option<EntityRef> {
        self.person().map(|id| EntityRef::new(EntityType::Person, id))
    }

    /// As a walk shows it.
    pub(super) fn into_record(self) -> RemoteRecord {
        RemoteRecord { remote_id: self.id.to_string(), entity: self.entity(), wire: self.wire }
    }

    /// As it is taken in. Nothing tells when a contact was changed (contract, section 0.1).
    pub(super) fn into_snapshot(self) -> Snapshot {
        let extra = Map::from_iter([
            ("blocked".to_owned(), Value::Bool(self.blocked)),
            (LET_GO.to_owned(), Value::Bool(self.is_let_go())),
        ]);
        Snapshot {
            entity_type: EntityType::Person,
            remote_id: self.id.to_string(),
            entity: self.entity(),
            shape: Shape::Stands { wire: wire::taken_in(&self.wire), extra },
            modified_on: None,
            parents: Vec::new(),
        }
    }

    /// What a block says of the person whose id the contact carries. It is shown as long as it stands, and nothing tells since
    /// when; that it was lifted gives no consent back.
    pub(super) fn consents(&self) -> Vec<ConsentSeen> {
        let Some(person) = self.person() else { return Vec::new() };
        let state = if self.blocked { ConsentState::Blocked } else { ConsentState::Lifted };
        let seen = |channel: &str| ConsentSeen {
            person,
            subject: Subject::Channel(channel.to_owned()),
            record: self.id.to_string(),
            state,
            said_on: None,
            at_latest: None,
        };
        BLOCKED_CHANNELS.into_iter().map(seen).collect()
    }
}
