//! The comparison of EMS and TagServer, field by field: a second implementation of the mapping, written against the
//! EMS's own tables and TagServer's contract, so that a mistake in the worker's can't hide.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use ems_sync_remotes::tagserver::Resource;
use serde_json::{Value, json};
use unicode_normalization::UnicodeNormalization as _;

use crate::ems::Ems;
use crate::remote::{number, text};
use crate::tagserver::TagServer;

/// What TagServer must hold of each row: relations are named by the EMS id of their target.
const EXPECTED: [(Resource, &str); 8] = [
    (Resource::Organisation, "select id, json_build_object('name', name) from ems.organisation"),
    (
        Resource::Person,
        "select id, json_build_object('firstName', first_name, 'lastName', last_name,
                'dateOfBirth', date_of_birth, 'gender', gender) from ems.person",
    ),
    (
        Resource::Event,
        "select id, json_build_object('name', name, 'startDateTime', start_date_time, 'endDateTime', end_date_time,
                'timezone', timezone, 'organiser', organisation_id) from ems.event",
    ),
    (
        Resource::Race,
        "select id, json_build_object('name', name, 'startTime', start_time, 'distanceMeters', distance_meters,
                'status', status, 'event', event_id) from ems.race",
    ),
    (
        Resource::StartGroup,
        "select id, json_build_object('name', name, 'seq', seq, 'startTime', start_time, 'race', race_id)
         from ems.start_group",
    ),
    (
        Resource::EventParticipant,
        "select id, json_build_object('number', number, 'status', status, 'event', event_id, 'person', person_id)
         from ems.event_participant",
    ),
    (
        Resource::StartGroupParticipant,
        "select id, json_build_object('seq', seq, 'startGroup', start_group_id, 'eventParticipant', event_participant_id)
         from ems.start_group_participant",
    ),
    (
        Resource::Tag,
        "select id, json_build_object('number', number, 'barcode', barcode, 'uuid', uuid, 'bibNumber', bib_number,
                'validFrom', valid_from, 'validTo', valid_to, 'person', person_id) from ems.tag",
    ),
];

/// One resource, or all of them.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) ems: u64,
    pub(crate) tagserver: u64,
    pub(crate) equal: u64,
    pub(crate) different: u64,
    pub(crate) missing: u64,
    pub(crate) orphaned: u64,
    pub(crate) doubled: u64,
}

pub(crate) struct Comparison {
    pub(crate) tallies: Vec<(Resource, Tally)>,
    pub(crate) fields: u64,
    /// The differences in words, without what the fields hold.
    pub(crate) differences: Vec<String>,
}

/// Rows of TagServer by the EMS id that they carry.
type ByEmsId = HashMap<String, Vec<Value>>;

impl Comparison {
    /// Compares everything.
    pub(crate) async fn of(ems: &Ems, tagserver: &TagServer) -> Result<Self> {
        // EMS ids by TagServer's, of all resources: relations name rows by TagServer's ids.
        let mut ems_ids: HashMap<(Resource, i64), String> = HashMap::new();
        let mut held: HashMap<Resource, ByEmsId> = HashMap::new();
        for resource in Resource::ALL {
            for row in tagserver.rows(resource).await? {
                let id = number(&row, "id").context("A row of TagServer has no id")?;
                let ems_id = text(&row, "externalId").unwrap_or_default().to_owned();
                ems_ids.insert((resource, id), ems_id.clone());
                held.entry(resource).or_default().entry(ems_id).or_default().push(row);
            }
        }
        let mut comparison = Self { tallies: Vec::new(), fields: 0, differences: Vec::new() };
        for (resource, sql) in EXPECTED {
            let rows = held.remove(&resource).unwrap_or_default();
            comparison.compare(resource, ems, sql, rows, &ems_ids).await?;
        }
        Ok(comparison)
    }

    async fn compare(
        &mut self,
        resource: Resource,
        ems: &Ems,
        sql: &str,
        mut held: ByEmsId,
        ems_ids: &HashMap<(Resource, i64), String>,
    ) -> Result<()> {
        let mut tally = Tally { tagserver: rows_in(&held), ..Tally::default() };
        for row in ems.query(sql).await? {
            let (id, expected): (i64, Value) = (row.try_get(0)?, row.try_get(1)?);
            let expected = expected.as_object().context("An EMS row is no object")?;
            let name = format!("{}/{id}", resource.segment());
            tally.ems += 1;
            let found = held.remove(&id.to_string()).unwrap_or_default();
            let [found] = found.as_slice() else {
                let (counter, what) = if found.is_empty() {
                    (&mut tally.missing, "is missing at TagServer")
                } else {
                    (&mut tally.doubled, "is at TagServer more than once")
                };
                *counter += 1;
                self.differences.push(format!("{name} {what}"));
                continue;
            };
            let mut is_equal = true;
            for (field, expected) in expected {
                self.fields += 1;
                let found = found.get(field).unwrap_or(&Value::Null);
                if !is_same(field, expected, found, ems_ids) {
                    is_equal = false;
                    self.differences.push(format!("{name}.{field} differs"));
                }
            }
            *(if is_equal { &mut tally.equal } else { &mut tally.different }) += 1;
        }
        tally.orphaned = rows_in(&held);
        self.differences
            .extend(held.keys().map(|id| format!("{}/{id} is orphaned", resource.segment())));
        self.tallies.push((resource, tally));
        Ok(())
    }

    pub(crate) fn total(&self) -> Tally {
        let sum =
            |field: fn(&Tally) -> u64| self.tallies.iter().map(|(_, tally)| field(tally)).sum();
        Tally {
            ems: sum(|t| t.ems),
            tagserver: sum(|t| t.tagserver),
            equal: sum(|t| t.equal),
            different: sum(|t| t.different),
            missing: sum(|t| t.missing),
            orphaned: sum(|t| t.orphaned),
            doubled: sum(|t| t.doubled),
        }
    }

    pub(crate) fn agrees(&self) -> bool {
        let total = self.total();
        total.ems > 0 && total.ems == total.tagserver && total.equal == total.ems
    }
}

fn rows_in(held: &ByEmsId) -> u64 {
    held.values().map(|rows| u64::try_from(rows.len()).unwrap_or(u64::MAX)).sum()
}

/// Whether TagServer's field says what the EMS's column says, in the contract's spelling: text in NFC without
/// spaces around it, instants in any, relations by TagServer's id.
fn is_same(
    field: &str,
    ems: &Value,
    tagserver: &Value,
    ems_ids: &HashMap<(Resource, i64), String>,
) -> bool {
    if let Some(of) = relation(field) {
        let named = number(tagserver, "id").and_then(|id| ems_ids.get(&(of, id)));
        return named.is_some_and(|named| json!(named.parse::<i64>().ok()) == *ems);
    }
    if field.ends_with("Time") || field.starts_with("valid") {
        return (ems.is_null() && tagserver.is_null())
            || instant(ems).is_some_and(|ems| instant(tagserver) == Some(ems));
    }
    match ems.as_str() {
        Some(text) => tagserver.as_str() == Some(text.trim().nfc().collect::<String>().as_str()),
        None => ems == tagserver,
    }
}

fn instant(value: &Value) -> Option<jiff::Timestamp> {
    value.as_str()?.parse().ok()
}

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
