//! The comparison of EMS and TagServer, field by field: a second implementation of the mapping, written against the
//! base tables and the contract, so that a mistake in the first can't hide.

use std::collections::{BTreeMap, HashMap};

use ems_sync_remotes::tagserver::{Resource, Row};
use serde_json::{Value, json};
use tokio_postgres::Client;

use super::rig::Rig;

/// The expected body of each row, with relations as the externalId of their target.
const EXPECTED: [(Resource, &str); 8] = [
    (Resource::Organisation, "select id, jsonb_build_object('name', name) from ems.organisation"),
    (
        Resource::Person,
        "select id, jsonb_build_object('firstName', first_name, 'lastName', last_name, 'dateOfBirth', date_of_birth,
                'gender', gender) from ems.person",
    ),
    (
        Resource::Event,
        "select id, jsonb_build_object('name', name, 'startDateTime', start_date_time, 'endDateTime', end_date_time,
                'timezone', timezone, 'organiser', organisation_id::text) from ems.event",
    ),
    (
        Resource::Race,
        "select id, jsonb_build_object('name', name, 'startTime', start_time, 'distanceMeters', distance_meters,
                'status', status, 'event', event_id::text) from ems.race",
    ),
    (
        Resource::StartGroup,
        "select id, jsonb_build_object('name', name, 'seq', seq, 'startTime', start_time, 'race', race_id::text)
         from ems.start_group",
    ),
    (
        Resource::EventParticipant,
        "select id, jsonb_build_object('number', number, 'status', status, 'event', event_id::text,
                'person', person_id::text) from ems.event_participant",
    ),
    (
        Resource::StartGroupParticipant,
        "select id, jsonb_build_object('seq', seq, 'startGroup', start_group_id::text,
                'eventParticipant', event_participant_id::text) from ems.start_group_participant",
    ),
    (
        Resource::Tag,
        "select id, jsonb_build_object('number', number, 'barcode', barcode, 'uuid', uuid, 'bibNumber', bib_number,
                'validFrom', valid_from, 'validTo', valid_to, 'person', person_id::text) from ems.tag",
    ),
];

fn relation(field: &str) -> Option<Resource> {
    Some(match field {
        "organiser" => Resource::Organisation,
        "event" => Resource::Event,
        "race" => Resource::Race,
        "person" => Resource::Person,
        "startGroup" => Resource::StartGroup,
        "eventParticipant" => Resource::EventParticipant,
        _ => return None,
    })
}

/// An entity that one side holds otherwise than the other.
#[derive(Clone, Debug)]
pub(crate) struct Difference {
    pub(crate) resource: Resource,
    /// The EMS id, as the remote carries it.
    pub(crate) id: String,
    pub(crate) what: What,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum What {
    /// The EMS has it, the remote has not.
    Missing,
    /// The remote has another value: field, EMS, remote.
    Field(String, Value, Value),
    /// The remote has it twice.
    Twice,
    /// The remote has it, the EMS has not.
    Orphaned,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = format!("{}/{}", self.resource.segment(), self.id);
        match &self.what {
            What::Missing => write!(f, "{name} is missing"),
            What::Field(field, ems, remote) => {
                write!(f, "{name}.{field}: EMS {ems}, TagServer {remote}")
            }
            What::Twice => write!(f, "{name} is there twice"),
            What::Orphaned => write!(f, "{name} is orphaned"),
        }
    }
}

/// What the remote should hold of a resource, by EMS id, relations as the EMS id of their target.
pub(crate) type Expected = Vec<(i64, Value)>;

/// Rows of the simulator, parents first.
pub(crate) type Held = Vec<(Resource, Vec<Row>)>;

/// What the EMS wants of every resource.
pub(crate) async fn wanted(ems: &Client) -> Vec<(Resource, Expected)> {
    ems.batch_execute("set timezone = 'UTC'").await.unwrap();
    let mut wanted = Vec::new();
    for (resource, sql) in EXPECTED {
        let rows = ems.query(sql, &[]).await.unwrap();
        wanted.push((resource, rows.iter().map(|row| (row.get(0), row.get(1))).collect()));
    }
    wanted
}

/// What the EMS wanted of one resource at other times: the same mapping over the table that `source` names.
pub(crate) async fn wanted_from(ems: &Client, resource: Resource, source: &str) -> Expected {
    let (_, sql) = EXPECTED.into_iter().find(|(of, _)| *of == resource).unwrap();
    let (fields, _) = sql.split_once(" from ").unwrap();
    let rows = ems.query(&format!("{fields} from {source}"), &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// What the simulator holds.
pub(crate) fn held(rig: &Rig) -> Held {
    Resource::ALL.iter().map(|resource| (*resource, rig.sim.rows(*resource))).collect()
}

/// The EMS ids of the simulator's rows.
pub(crate) fn external_ids(held: &Held) -> ExternalIds {
    let rows = held.iter().flat_map(|(resource, rows)| rows.iter().map(move |row| (resource, row)));
    rows.map(|(resource, row)| {
        ((resource.segment(), row.id), row.external_id.clone().unwrap_or_default())
    })
    .collect()
}

pub(crate) type ExternalIds = HashMap<(&'static str, i64), String>;

/// Every difference between what is wanted and what is held.
pub(crate) fn compare(wanted: &[(Resource, Expected)], held: &Held) -> Vec<Difference> {
    let external = external_ids(held);
    let mut differences = Vec::new();
    for (resource, wanted) in wanted {
        let mut rows: BTreeMap<String, Vec<&Row>> = BTreeMap::new();
        for row in held.iter().filter(|(of, _)| of == resource).flat_map(|(_, rows)| rows) {
            rows.entry(row.external_id.clone().unwrap_or_default()).or_default().push(row);
        }
        let mut differs = |id, what| differences.push(Difference { resource: *resource, id, what });
        for (id, wanted) in wanted {
            let id = id.to_string();
            match rows.remove(&id).as_deref() {
                None => differs(id, What::Missing),
                Some([row]) => {
                    for (field, wanted, actual) in fields_that_differ(wanted, row, &external) {
                        differs(id.clone(), What::Field(field, wanted, actual));
                    }
                }
                Some(_) => differs(id, What::Twice),
            }
        }
        for (id, rows) in rows {
            differs(id.clone(), What::Orphaned);
            if rows.len() > 1 {
                differs(id, What::Twice);
            }
        }
    }
    differences
}

/// The fields in which a row is not what is wanted: name, wanted, actual.
pub(crate) fn fields_that_differ(
    wanted: &Value,
    row: &Row,
    external: &ExternalIds,
) -> Vec<(String, Value, Value)> {
    let fields = wanted.as_object().unwrap().iter();
    fields
        .map(|(field, wanted)| (field.clone(), wanted.clone(), actual(row, field, external)))
        .filter(|(_, wanted, actual)| wanted != actual && !same_instant(wanted, actual))
        .collect()
}

/// Every difference between the EMS and the simulated TagServer.
pub(crate) async fn differences(rig: &Rig) -> Vec<String> {
    let differences = compare(&wanted(&rig.ems).await, &held(rig));
    differences.iter().map(ToString::to_string).collect()
}

fn actual(row: &Row, field: &str, external: &ExternalIds) -> Value {
    let value = row.body.get(field).cloned().unwrap_or(Value::Null);
    match relation(field) {
        None => value,
        Some(of) => {
            let id = value.get("id").and_then(Value::as_i64).unwrap_or(-1);
            json!(external.get(&(of.segment(), id)))
        }
    }
}

fn same_instant(a: &Value, b: &Value) -> bool {
    let instant = |v: &Value| v.as_str().and_then(|s| s.parse::<jiff::Timestamp>().ok());
    matches!((instant(a), instant(b)), (Some(a), Some(b)) if a == b)
}

/// Fails with the first differences, if there are any.
pub(crate) async fn assert_in_sync(rig: &Rig) {
    let differences = differences(rig).await;
    let shown: Vec<_> = differences.iter().take(10).collect();
    assert!(differences.is_empty(), "{} differences: {shown:#?}", differences.len());
    let violations = rig.sim.violations();
    assert!(violations.is_empty(), "Contract violations: {violations:#?}");
}
