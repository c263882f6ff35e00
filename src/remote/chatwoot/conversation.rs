//! A conversation as Chatwoot shows it: what the EMS may have of it (contract, section 5). Pure.
//!
//! Metadata only: no message, no subject (that of an e-mail is the person's own words), no attributes, and nobody's name. The
//! agent in charge is named by number, as is the inbox: both are looked up in Chatwoot, and the names of its staff stay there.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::contact::Contact;
use crate::entity::EntityType;
use crate::limits;
use crate::remote::Wire;
use crate::remote::inbound::{self, RemoteParent, Shape, Snapshot};
use crate::target::Target;

/// Raised when what is taken of a conversation changes: all of them are then taken in again.
const MAPPING_VERSION: u32 = 1;

/// A conversation.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Conversation {
    /// Unique everywhere; its number is unique in the account only.
    uuid: String,
    /// Whom it is with.
    contact: Option<i64>,
    updated_at: Option<Timestamp>,
    wire: Wire,
}

impl Conversation {
    /// `None` when it has not the contract's form.
    pub(super) fn read(value: &Value) -> Option<Self> {
        let fields = value.as_object()?;
        let uuid = Self::key(value)?;
        let meta = fields.get("meta").unwrap_or(&Value::Null);
        let sender = meta.get("sender").unwrap_or(&Value::Null);
        let contact = sender.get("id").and_then(Value::as_i64);
        let person = Contact::read(sender).and_then(|contact| contact.person());
        let body = json!({
            "source": Target::Chatwoot.name(),
            "external_id": uuid,
            "status": text(fields.get("status")?)?,
            "inbox": fields.get("inbox_id")?.as_i64()?.to_string(),
            "labels": labels(fields),
            "assignee": assignee(meta),
            "last_activity_at": instant(fields, "last_activity_at").map(|at| at.to_string()),
            // That a merge gave it to another contact, or that it is known by now whose the contact is, must be seen as a change.
            "contact": contact.map(|id| id.to_string()),
            "ems_person_id": person.map(|id| id.to_string()),
        });
        let wire = Wire::new(Target::Chatwoot, MAPPING_VERSION, body);
        Some(Self { uuid, contact, updated_at: instant(fields, "updated_at"), wire })
    }

    /// The key of a conversation, whatever else of it can be read.
    pub(super) fn key(value: &Value) -> Option<String> {
        text(value.get("uuid")?)
    }

    /// As a walk shows it.
    pub(super) fn into_snapshot(self) -> Snapshot {
        let parent = |id: i64| RemoteParent {
            entity_type: EntityType::Person,
            remote_id: id.to_string(),
            required: false,
        };
        Snapshot {
            entity_type: EntityType::Conversation,
            remote_id: self.uuid,
            entity: None,
            shape: Shape::Stands { wire: self.wire, extra: Map::new() },
            modified_on: self.updated_at,
            parents: self.contact.map(parent).into_iter().collect(),
        }
    }
}

/// A text that says something, bounded.
fn text(value: &Value) -> Option<String> {
    Some(inbound::bounded(value.as_str()?)).filter(|text| !text.is_empty())
}

/// Sorted, each once.
fn labels(fields: &Map<String, Value>) -> Vec<String> {
    let labels = fields.get("labels").and_then(Value::as_array).into_iter().flatten();
    let mut labels: Vec<String> = labels.filter_map(text).collect();
    labels.sort_unstable();
    labels.dedup();
    labels.truncate(limits::CHATWOOT_LABELS_MAX);
    labels
}

/// Agents and bots are numbered apart.
fn assignee(meta: &Value) -> Option<String> {
    let id = meta.get("assignee")?.get("id")?.as_i64()?;
    let kind = match meta.get("assignee_type").and_then(Value::as_str) {
        Some("AgentBot") => "bot",
        Some(_) | None => "agent",
    };
    Some(format!("{kind} {id}"))
}

/// Seconds since 1970, whole or with a fraction; 0 means null.
fn instant(fields: &Map<String, Value>, name: &str) -> Option<Timestamp> {
    let value = fields.get(name)?;
    match value.as_i64() {
        Some(0) => None,
        Some(seconds) => Timestamp::from_second(seconds).ok(),
        None => micros(value.as_f64()?),
    }
}

/// To the microsecond, as the server keeps it: its seconds as a double are exact to less than half of one.
fn micros(seconds: f64) -> Option<Timestamp> {
    let nanos = jiff::SignedDuration::try_from_secs_f64(seconds).ok()?.as_nanos();
    let micros = i64::try_from(nanos.checked_add(500)?.div_euclid(1_000)).ok()?;
    Timestamp::from_microsecond(micros).ok().filter(|at| *at != Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::wire::tests::any_json;
    use super::*;

    fn shown() -> Value {
        json!({"id": 7, "uuid": "5b6ed9ad-6a3f-4a0b-9e61-7b1c0b2f5d11", "inbox_id": 3, "status": "open",
            "labels": ["vip", "bib", "vip"], "last_activity_at": 1_700_000_000, "updated_at": 1_700_000_001.234_567,
            "custom_attributes": {"shoe": "42"}, "additional_attributes": {"mail_subject": "My knee"},
            "meta": {"sender": {"id": 42, "name": "Thandi", "identifier": "ems-person-7"}, "assignee": {"id": 5, "name": "Agnes"},
                     "assignee_type": "User", "channel": "Channel::Email"},
            "messages": [{"content": "My knee hurts"}], "last_non_activity_message": {"content": "My knee hurts"}})
    }

    #[test]
    fn of_a_conversation_its_metadata_is_taken_and_nothing_else() {
        let snapshot = Conversation::read(&shown()).unwrap().into_snapshot();
        let Shape::Stands { wire, extra } = snapshot.shape else { panic!("it stands") };
        assert_eq!(
            wire.body,
            json!({"source": "chatwoot", "external_id": "5b6ed9ad-6a3f-4a0b-9e61-7b1c0b2f5d11", "status": "open",
                   "inbox": "3", "labels": ["bib", "vip"], "assignee": "agent 5",
                   "last_activity_at": "2023-11-14T22:13:20Z", "contact": "42", "ems_person_id": "7"})
        );
        assert!(extra.is_empty());
        assert_eq!(snapshot.modified_on, Some("2023-11-14T22:13:21.234567Z".parse().unwrap()));
        let parent = RemoteParent {
            entity_type: EntityType::Person,
            remote_id: "42".to_owned(),
            required: false,
        };
        assert_eq!((snapshot.parents, snapshot.entity), (vec![parent], None));
    }

    #[test]
    fn nought_means_null_and_a_sender_may_be_missing() {
        let mut odd = shown();
        odd["last_activity_at"] = json!(0);
        odd["updated_at"] = json!(0.0);
        odd["meta"] = json!({"sender": null, "assignee": {"id": 5}, "assignee_type": "AgentBot"});
        let snapshot = Conversation::read(&odd).unwrap().into_snapshot();
        assert_eq!((snapshot.modified_on, snapshot.parents), (None, vec![]));
        let Shape::Stands { wire, .. } = snapshot.shape else { panic!("it stands") };
        assert_eq!(wire.body["last_activity_at"], Value::Null);
        assert_eq!(
            (&wire.body["contact"], &wire.body["assignee"]),
            (&Value::Null, &json!("bot 5"))
        );
    }

    #[test]
    fn without_its_key_its_status_or_its_inbox_it_is_none() {
        for name in ["uuid", "status", "inbox_id"] {
            let mut odd = shown();
            odd[name] = Value::Null;
            assert_eq!(Conversation::read(&odd), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_fails_otherwise_and_shows_no_control_characters(
            fields in prop::collection::btree_map("uuid|status|inbox_id|labels|meta|updated_at|last_activity_at", any_json(), 0..7)
        ) {
            let mut value = shown();
            value.as_object_mut().unwrap().extend(fields);
            if let Some(read) = Conversation::read(&value) {
                let fields = read.wire.body.as_object().unwrap().values();
                let texts = fields.flat_map(|value| match value.as_array() {
                    Some(labels) => labels.iter().filter_map(Value::as_str).collect(),
                    None => Vec::from_iter(value.as_str()),
                });
                prop_assert!(!texts.collect::<String>().contains(char::is_control));
            }
        }
    }
}
