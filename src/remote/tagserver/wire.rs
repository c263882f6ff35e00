//! What TagServer holds of each entity, as one table: resource, field, column and kind.
//!
//! The same table maps a projection to the body that is sent, and an answer to the same normal form, so that
//! both hashes are comparable. Pure.

use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::{Map, Value};
use unicode_normalization::UnicodeNormalization as _;

use crate::entity::{EntityRef, EntityType};
use crate::remote::{Fields, RemoteIds, Unmappable, Wire};
use crate::target::Target;

/// Raised when the mapping below changes what is sent for the same projection.
const MAPPING_VERSION: u32 = 1;

/// How a field is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Text that must be there: NFC, trimmed.
    Text,
    /// Text: NFC, trimmed; blank means null. Bibs and tag numbers are text: leading zeros count.
    OptionalText,
    /// A whole number, or null.
    Integer,
    /// `YYYY-MM-DD`, or null.
    Date,
    /// RFC 3339 in UTC with microseconds where there are any, or null.
    Instant,
    /// `{"id":17}` with the remote id of that parent.
    Relation(EntityType),
}

/// One field of a resource.
#[derive(Debug)]
pub(super) struct Field {
    wire: &'static str,
    column: &'static str,
    kind: Kind,
}

/// One of TagServer's eight resources.
#[derive(Debug)]
pub(super) struct Resource {
    pub(super) entity_type: EntityType,
    pub(super) path: &'static str,
    pub(super) bulk_path: &'static str,
    fields: &'static [Field],
}

const fn field(wire: &'static str, column: &'static str, kind: Kind) -> Field {
    Field { wire, column, kind }
}

/// The contract's table "Resources", besides `id` and `externalId`.
static RESOURCES: [Resource; 8] = [
    Resource {
        entity_type: EntityType::Organisation,
        path: "/api/organisations",
        bulk_path: "/api/organisations/bulk",
        fields: &[field("name", "name", Kind::Text)],
    },
    Resource {
        entity_type: EntityType::Person,
        path: "/api/people",
        bulk_path: "/api/people/bulk",
        fields: &[
            field("firstName", "first_name", Kind::Text),
            field("lastName", "last_name", Kind::Text),
            field("dateOfBirth", "date_of_birth", Kind::Date),
            field("gender", "gender", Kind::OptionalText),
        ],
    },
    Resource {
        entity_type: EntityType::Event,
        path: "/api/events",
        bulk_path: "/api/events/bulk",
        fields: &[
            field("name", "name", Kind::Text),
            field("startDateTime", "start_date_time", Kind::Instant),
            field("endDateTime", "end_date_time", Kind::Instant),
            field("timezone", "timezone", Kind::Text),
            field("organiser", "organisation_id", Kind::Relation(EntityType::Organisation)),
        ],
    },
    Resource {
        entity_type: EntityType::Race,
        path: "/api/races",
        bulk_path: "/api/races/bulk",
        fields: &[
            field("name", "name", Kind::Text),
            field("startTime", "start_time", Kind::Instant),
            field("distanceMeters", "distance_meters", Kind::Integer),
            field("status", "status", Kind::Text),
            field("event", "event_id", Kind::Relation(EntityType::Event)),
        ],
    },
    Resource {
        entity_type: EntityType::StartGroup,
        path: "/api/start-groups",
        bulk_path: "/api/start-groups/bulk",
        fields: &[
            field("name", "name", Kind::Text),
            field("seq", "seq", Kind::Integer),
            field("startTime", "start_time", Kind::Instant),
            field("race", "race_id", Kind::Relation(EntityType::Race)),
        ],
    },
    Resource {
        entity_type: EntityType::EventParticipant,
        path: "/api/event-participants",
        bulk_path: "/api/event-participants/bulk",
        fields: &[
            field("number", "number", Kind::OptionalText),
            field("status", "status", Kind::Text),
            field("event", "event_id", Kind::Relation(EntityType::Event)),
            field("person", "person_id", Kind::Relation(EntityType::Person)),
        ],
    },
    Resource {
        entity_type: EntityType::StartGroupParticipant,
        path: "/api/start-group-participants",
        bulk_path: "/api/start-group-participants/bulk",
        fields: &[
            field("seq", "seq", Kind::Integer),
            field("startGroup", "start_group_id", Kind::Relation(EntityType::StartGroup)),
            field(
                "eventParticipant",
                "event_participant_id",
                Kind::Relation(EntityType::EventParticipant),
            ),
        ],
    },
    Resource {
        entity_type: EntityType::Tag,
        path: "/api/tags",
        bulk_path: "/api/tags/bulk",
        fields: &[
            field("number", "number", Kind::Text),
            field("barcode", "barcode", Kind::OptionalText),
            field("uuid", "uuid", Kind::OptionalText),
            field("bibNumber", "bib_number", Kind::OptionalText),
            field("validFrom", "valid_from", Kind::Instant),
            field("validTo", "valid_to", Kind::Instant),
            field("person", "person_id", Kind::Relation(EntityType::Person)),
        ],
    },
];

/// The resource of an entity type; `None` for conversations, which TagServer does not have.
pub(super) fn resource(entity_type: EntityType) -> Option<&'static Resource> {
    RESOURCES.iter().find(|resource| resource.entity_type == entity_type)
}

/// Whether a resource has a field of this name.
pub(super) fn is_field(name: &str) -> bool {
    matches!(name, "id" | "externalId")
        || RESOURCES.iter().any(|resource| resource.fields.iter().any(|field| field.wire == name))
}

/// The body for `entity`: its `externalId` and every field of its resource, null where it has none.
pub(super) fn to_wire(
    entity: EntityRef,
    fields: &Fields,
    parents: &RemoteIds,
) -> Result<Wire, Unmappable> {
    let Some(resource) = resource(entity.entity_type) else {
        return Err(unmappable("entity_type", "TagServer has no such resource"));
    };
    let mut body = Map::new();
    body.insert("externalId".to_owned(), Value::String(entity.id.to_string()));
    for field in resource.fields {
        let value = match fields.get(field.column) {
            None if field.kind == Kind::Text => return Err(unmappable(field.column, "it is null")),
            None => Value::Null,
            Some(Value::Number(id)) if matches!(field.kind, Kind::Relation(_)) => {
                relation(field, id.as_i64(), parents)?
            }
            Some(value) => normalise(field.kind, value)
                .ok_or_else(|| unmappable(field.column, "it has not the expected form"))?,
        };
        body.insert(field.wire.to_owned(), value);
    }
    Ok(wire_of(Value::Object(body)))
}

/// The normal form of a row that TagServer answered with. `None` when a field has not the contract's form.
pub(super) fn from_answer(resource: &Resource, row: &Map<String, Value>) -> Option<Wire> {
    let external_id = row.get("externalId").filter(|id| id.is_string() || id.is_null())?;
    let mut body = Map::new();
    body.insert("externalId".to_owned(), external_id.clone());
    for field in resource.fields {
        let value = match row.get(field.wire) {
            None | Some(Value::Null) => Value::Null,
            Some(value) => normalise(field.kind, value)?,
        };
        body.insert(field.wire.to_owned(), value);
    }
    Some(wire_of(Value::Object(body)))
}

fn wire_of(body: Value) -> Wire {
    Wire::new(Target::TagServer, MAPPING_VERSION, body)
}

fn relation(field: &Field, ems_id: Option<i64>, parents: &RemoteIds) -> Result<Value, Unmappable> {
    let Kind::Relation(entity_type) = field.kind else {
        return Err(unmappable(field.column, "it is no relation"));
    };
    let remote_id = ems_id
        .and_then(|id| parents.get(&EntityRef::new(entity_type, id)))
        .and_then(|remote_id| remote_id.parse::<i64>().ok())
        .ok_or_else(|| unmappable(field.column, "its remote id is not known"))?;
    Ok(serde_json::json!({ "id": remote_id }))
}

/// One field in its normal form; the same for what we send and for what is answered.
fn normalise(kind: Kind, value: &Value) -> Option<Value> {
    match kind {
        Kind::Text => Some(Value::String(text(value.as_str()?))),
        Kind::OptionalText => {
            let text = text(value.as_str()?);
            Some(if text.is_empty() { Value::Null } else { Value::String(text) })
        }
        Kind::Integer => value.as_i64().map(Value::from),
        Kind::Date => {
            value.as_str()?.parse::<Date>().ok().map(|date| Value::String(date.to_string()))
        }
        Kind::Instant => {
            let instant = value.as_str()?.parse::<Timestamp>().ok()?;
            let micros = Timestamp::from_microsecond(instant.as_microsecond()).ok()?;
            Some(Value::String(micros.to_string()))
        }
        Kind::Relation(_) => {
            let id = value.get("id")?.as_i64()?;
            Some(serde_json::json!({ "id": id }))
        }
    }
}

/// NFC, without white space around it.
fn text(text: &str) -> String {
    text.trim().nfc().collect()
}

const fn unmappable(column: &'static str, reason: &'static str) -> Unmappable {
    Unmappable { target: Target::TagServer, column, reason }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Fields {
        let Value::Object(map) = value else { panic!("not an object") };
        Fields::new(map)
    }

    fn parents() -> RemoteIds {
        RemoteIds::from([
            (EntityRef::new(EntityType::Event, 7), "107".to_owned()),
            (EntityRef::new(EntityType::Person, 42), "9007199254740993".to_owned()),
        ])
    }

    #[test]
    fn every_outbound_type_has_its_resource() {
        for entity_type in Target::TagServer.outbound_types() {
            let resource = resource(*entity_type).unwrap();
            assert_eq!(resource.bulk_path, format!("{}/bulk", resource.path));
        }
        assert!(resource(EntityType::Conversation).is_none());
    }

    #[test]
    fn a_registration_is_sent_with_the_remote_ids_of_its_parents_and_its_bib_as_text() {
        let row = fields(
            json!({"event_id": 7, "person_id": 42, "number": "0042", "status": "CONFIRMED"}),
        );
        let wire =
            to_wire(EntityRef::new(EntityType::EventParticipant, 5), &row, &parents()).unwrap();
        assert_eq!(
            wire.body,
            json!({"externalId": "5", "number": "0042", "status": "CONFIRMED",
                   "event": {"id": 107}, "person": {"id": 9_007_199_254_740_993_i64}})
        );
    }

    #[test]
    fn null_blank_and_absent_are_one_and_are_sent_as_null() {
        let tag = |number: Value| {
            let row = fields(json!({"person_id": 42, "number": "T1", "barcode": number}));
            to_wire(EntityRef::new(EntityType::Tag, 1), &row, &parents()).unwrap()
        };
        assert_eq!(tag(Value::Null).body["barcode"], Value::Null);
        assert_eq!(tag(Value::Null), tag(json!("  ")));
        assert_ne!(tag(json!("B")), tag(json!("  ")));
    }

    #[test]
    fn a_parent_without_remote_id_and_a_wrong_form_are_named_by_column_never_by_value() {
        let entity = EntityRef::new(EntityType::Tag, 1);
        let row = fields(json!({"person_id": 43, "number": "canary"}));
        let error = to_wire(entity, &row, &parents()).unwrap_err();
        assert_eq!(error.column, "person_id");
        let row = fields(json!({"person_id": 42, "number": "T", "valid_from": "canary"}));
        let error = to_wire(entity, &row, &parents()).unwrap_err();
        assert_eq!(error.column, "valid_from");
        assert!(!error.to_string().contains("canary"));
        let row = fields(json!({"person_id": 42}));
        assert_eq!(to_wire(entity, &row, &parents()).unwrap_err().column, "number");
    }

    #[test]
    fn one_instant_in_several_spellings_is_one_content() {
        let race = |start: &str| {
            let row = json!({"event_id": 7, "name": "10 km", "distance_meters": 10_000,
                             "status": "PLANNED", "start_time": start});
            to_wire(EntityRef::new(EntityType::Race, 1), &fields(row), &parents()).unwrap().hash
        };
        let hash = race("2026-11-25T06:30:00+00:00");
        assert_eq!(hash, race("2026-11-25T08:30:00.000+02:00"));
        assert_eq!(hash, race("2026-11-25T06:30:00.000000Z"));
        assert_ne!(hash, race("2026-11-25T06:30:00.000001Z"));
    }

    #[test]
    fn an_answer_that_says_the_same_has_the_same_hash() {
        let row = json!({"event_id": 7, "name": " Zoe\u{308} ", "distance_meters": 5, "status": "READY",
                         "start_time": "2026-11-25T06:30:00+00:00"});
        let entity = EntityRef::new(EntityType::Race, 12);
        let wire = to_wire(entity, &fields(row), &parents()).unwrap();
        let answer = json!({"id": 3, "externalId": "12", "name": "Zo\u{eb}", "distanceMeters": 5, "status": "READY",
                            "startTime": "2026-11-25T06:30:00.000Z", "event": {"id": 107, "name": "more"}});
        let held =
            from_answer(resource(EntityType::Race).unwrap(), answer.as_object().unwrap()).unwrap();
        assert_eq!(held, wire);
    }

    proptest! {
        /// Obligation 7: the normal form of a normal form is itself.
        #[test]
        fn normalising_twice_changes_nothing(text in any::<String>(), n in any::<i64>(), micros in -1_000_000_000_000_000_i64..4_000_000_000_000_000) {
            let instant = Timestamp::from_microsecond(micros).unwrap().to_string();
            for (kind, value) in [
                (Kind::Text, json!(text)), (Kind::OptionalText, json!(text)), (Kind::Integer, json!(n)),
                (Kind::Instant, json!(instant)), (Kind::Relation(EntityType::Race), json!({"id": n})),
            ] {
                let once = normalise(kind, &value).unwrap();
                if !once.is_null() {
                    prop_assert_eq!(normalise(kind, &once).unwrap(), once);
                }
            }
        }

        /// Nothing that a projection may hold makes the mapping panic.
        #[test]
        fn mapping_is_total(name in any::<String>(), n in any::<i64>()) {
            for value in [json!(name), json!(n), json!([name]), json!({"id": name}), json!(true)] {
                for entity_type in EntityType::ALL {
                    let row = json!({"name": value, "first_name": value, "last_name": value, "number": value,
                                     "event_id": value, "person_id": value, "start_time": value});
                    to_wire(EntityRef::new(entity_type, n), &fields(row), &parents()).ok();
                }
            }
        }
    }
}
