//! Contacts as Mautic shows them (contract, section 2b): its types vary, and a 2xx without a numeric id proves nothing.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::super::http::Answer;
use super::consent::Entry;
use super::wire::{self, EMAIL, EMS_PERSON_ID};
use crate::entity::{EntityRef, EntityType};
use crate::remote::{RemoteRecord, Wire};

/// Seconds between two clocks that are no difference: Mautic's moments and the header `Date` are cut to seconds.
const SAME_CLOCK_SECONDS: i64 = 1;

/// A contact, as far as we look at it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Contact {
    pub(super) id: i64,
    /// Our fields, in their normal form.
    content: Map<String, Value>,
    /// The field for our key is there; without it what we send to it is lost.
    pub(super) has_key_field: bool,
    /// What it must not be used for; `None` where that was not shown.
    pub(super) entries: Option<Vec<Entry>>,
}

impl Contact {
    /// Reads a contact; `ahead` is how many seconds Mautic's clock is ahead of ours.
    pub(super) fn read(contact: &Value, ahead: i64) -> Option<Self> {
        let id = contact.get("id")?.as_i64()?;
        let all = contact.get("fields")?.get("all")?.as_object()?;
        let entries = match contact.get("doNotContact") {
            None | Some(Value::Null) => None,
            Some(list) => {
                Some(values(list)?.map(|e| Entry::read(e, ahead)).collect::<Option<_>>()?)
            }
        };
        Some(Self {
            id,
            content: wire::from_answer(all)?,
            has_key_field: all.contains_key(EMS_PERSON_ID),
            entries,
        })
    }

    fn text(&self, alias: &str) -> Option<&str> {
        self.content.get(alias)?.as_str()
    }

    /// The EMS id that it carries, as it stands there.
    pub(super) fn key(&self) -> Option<&str> {
        self.text(EMS_PERSON_ID)
    }

    /// The person that it says it is.
    pub(super) fn person(&self) -> Option<i64> {
        let key = self.key()?;
        key.parse().ok().filter(|id: &i64| id.to_string() == key)
    }

    pub(super) fn email(&self) -> Option<&str> {
        self.text(EMAIL)
    }

    /// Our fields are those that are wanted.
    pub(super) fn has_content(&self, wanted: &Wire) -> bool {
        wire::has_content(&self.content, wanted)
    }

    /// Somebody must not be contacted in some way, whoever said so and whichever channel it is.
    pub(super) fn is_restricted(&self) -> bool {
        self.entries.as_ref().is_none_or(|entries| !entries.is_empty())
    }

    /// What it holds, in the words of what is `wanted`.
    pub(super) fn held(&self, wanted: Option<&Wire>) -> Wire {
        wire::held_wire(&self.content, self.entries.as_deref().unwrap_or_default(), wanted)
    }

    /// As the walk over all of them has it.
    pub(super) fn into_record(self) -> RemoteRecord {
        RemoteRecord {
            remote_id: self.id.to_string(),
            entity: self.person().map(|id| EntityRef::new(EntityType::Person, id)),
            wire: self.held(None),
        }
    }
}

/// The entries of what PHP shows as a list or as an object.
pub(super) fn values(list: &Value) -> Option<Box<dyn Iterator<Item = &Value> + Send + '_>> {
    match list {
        Value::Array(list) => Some(Box::new(list.iter())),
        Value::Object(map) => Some(Box::new(map.values())),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// How many seconds Mautic's clock is ahead of ours.
pub(super) fn ahead(answer: &Answer) -> i64 {
    let Some(theirs) = answer.date() else { return 0 };
    let ahead = theirs.as_second().saturating_sub(Timestamp::now().as_second());
    if ahead.abs() <= SAME_CLOCK_SECONDS { 0 } else { ahead }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn contact() -> Value {
        json!({"id": 47, "fields": {"core": [], "all": {"id": 47, "email": "a@example.org", "ems_person_id": "42"}},
               "doNotContact": [{"id": 2, "dateAdded": "2026-01-01T00:00:00+00:00", "reason": 1, "comments": "",
                                 "channel": "sms", "channelId": null}]})
    }

    #[test]
    fn a_contact_names_its_person_and_its_restrictions() {
        let read = Contact::read(&contact(), 0).unwrap();
        assert_eq!((read.id, read.person(), read.email()), (47, Some(42), Some("a@example.org")));
        assert!(read.is_restricted() && read.has_key_field);
    }

    #[test]
    fn what_is_not_the_contracts_form_is_no_contact() {
        for (at, value) in [
            ("id", json!(null)),
            ("id", json!("47")),
            ("fields", json!([])),
            ("fields", json!({"all": []})),
            ("fields", json!({"all": {"email": {"value": "a"}}})),
            ("doNotContact", json!("none")),
            ("doNotContact", json!([{"channel": "email"}])),
        ] {
            let mut odd = contact();
            odd[at] = value.clone();
            assert_eq!(Contact::read(&odd, 0), None, "{at} {value}");
        }
        assert_eq!(Contact::read(&json!([]), 0), None);
    }

    #[test]
    fn lists_that_are_not_shown_are_not_empty_lists() {
        let mut minimal = contact();
        minimal.as_object_mut().unwrap().remove("doNotContact");
        let read = Contact::read(&minimal, 0).unwrap();
        assert_eq!(read.entries, None);
        assert!(read.is_restricted(), "what is not known is not deleted");
    }

    #[test]
    fn only_a_plain_number_is_one_of_our_ids() {
        for (key, person) in [
            (json!("42"), Some(42)),
            (json!(42), Some(42)),
            (json!("042"), None),
            (json!("x"), None),
        ] {
            let mut other = contact();
            other["fields"]["all"]["ems_person_id"] = key.clone();
            assert_eq!(Contact::read(&other, 0).unwrap().person(), person, "{key}");
        }
    }
}
