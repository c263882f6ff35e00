//! The comparison of EMS and TagServer, field by field: a second implementation of the mapping, written against the
//! base tables and the contract, so that a mistake in the first can't hide.

use std::collections::{BTreeMap, HashMap};

use ems_sync_remotes::tagserver::{Resource, Row};
use serde_json::{Value, json};

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

/// Every difference between the EMS and the simulated TagServer.
pub(crate) async fn differences(rig: &Rig) -> Vec<String> {
    rig.exec("set timezone = 'UTC'").await;
    let rows: BTreeMap<&str, Vec<Row>> =
        Resource::ALL.iter().map(|r| (r.segment(), rig.sim.rows(*r))).collect();
    let external: HashMap<(&str, i64), String> = rows
        .iter()
        .flat_map(|(segment, rows)| {
            rows.iter().map(|row| ((*segment, row.id), row.external_id.clone().unwrap_or_default()))
        })
        .collect();
    let mut differences = Vec::new();
    for (resource, sql) in EXPECTED {
        let mut held: HashMap<String, Vec<&Row>> = HashMap::new();
        for row in &rows[resource.segment()] {
            held.entry(row.external_id.clone().unwrap_or_default()).or_default().push(row);
        }
        for expected in rig.ems.query(sql, &[]).await.unwrap() {
            let (id, expected): (i64, Value) = (expected.get(0), expected.get(1));
            let name = format!("{}/{id}", resource.segment());
            match held.remove(&id.to_string()).as_deref() {
                None => differences.push(format!("{name} is missing")),
                Some([row]) => {
                    for (field, expected) in expected.as_object().unwrap() {
                        let actual = actual(row, field, &external);
                        if *expected != actual && !same_instant(expected, &actual) {
                            differences.push(format!(
                                "{name}.{field}: EMS {expected}, TagServer {actual}"
                            ));
                        }
                    }
                }
                Some(_) => differences.push(format!("{name} is there twice")),
            }
        }
        differences
            .extend(held.keys().map(|id| format!("{}/{id} is orphaned", resource.segment())));
    }
    differences
}

fn actual(row: &Row, field: &str, external: &HashMap<(&str, i64), String>) -> Value {
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
