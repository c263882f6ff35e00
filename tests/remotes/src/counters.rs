//! Totals over the journal: kept while it grows, so that no test has to scan.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::journal::{Effect, RowEffect};
use crate::{Operation, Record, Subject};

/// A breach of the contract by the client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// The request.
    pub sequence: u64,
    /// What kind of breach; a stable word.
    pub code: String,
    /// Which field, id or parameter; never a person's data.
    pub detail: String,
}

/// Row writes of one resource. Bulk rows are counted apart from single writes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteCounters {
    /// Rows created by single requests.
    pub created: u64,
    /// Rows replaced by single requests.
    pub replaced: u64,
    /// Rows patched by single requests.
    pub patched: u64,
    /// Rows deleted.
    pub deleted: u64,
    /// Single writes that committed nothing.
    pub refused: u64,
    /// Bulk requests.
    pub bulk_requests: u64,
    /// Rows created in bulk.
    pub bulk_created: u64,
    /// Rows replaced in bulk.
    pub bulk_replaced: u64,
    /// Bulk rows that committed nothing.
    pub bulk_refused: u64,
    /// Committed writes, single or bulk, that left the row as it was.
    pub unchanged: u64,
}

impl WriteCounters {
    /// All committed row writes.
    pub fn applied(&self) -> u64 {
        self.created
            + self.replaced
            + self.patched
            + self.deleted
            + self.bulk_created
            + self.bulk_replaced
    }

    fn count(&mut self, row: &RowEffect, in_bulk: bool) {
        let counter = match (row.effect, in_bulk) {
            (Effect::Created, false) => &mut self.created,
            (Effect::Replaced, false) => &mut self.replaced,
            (Effect::Patched, _) => &mut self.patched,
            (Effect::Deleted, _) => &mut self.deleted,
            (Effect::Refused, false) => &mut self.refused,
            (Effect::Created, true) => &mut self.bulk_created,
            (Effect::Replaced, true) => &mut self.bulk_replaced,
            (Effect::Refused, true) => &mut self.bulk_refused,
        };
        *counter += 1;
        if row.effect != Effect::Refused && !row.changed {
            self.unchanged += 1;
        }
    }
}

/// Totals since the simulator's start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Connections accepted.
    pub connections: u64,
    /// Requests that arrived in full.
    pub requests: u64,
    /// Requests by method and route template, for example `PUT /api/races/{id}`.
    pub by_route: BTreeMap<String, u64>,
    /// Answers by status; requests without an answer are not here.
    pub by_status: BTreeMap<u16, u64>,
    /// Injected faults by name.
    pub faults: BTreeMap<String, u64>,
    /// Log-ins asked for.
    pub logins: u64,
    /// Log-ins that gave a token.
    pub logins_granted: u64,
    /// Look-ups by our key.
    pub lookups: u64,
    /// Reads by remote id.
    pub reads: u64,
    /// List pages.
    pub lists: u64,
    /// Row writes by resource.
    pub writes: BTreeMap<String, WriteCounters>,
    /// The largest number of writes of one entity whose clients waited at the same moment.
    pub max_in_flight_of_one: u64,
    /// How often a write of an entity arrived while the client of another one still waited.
    pub overlaps: u64,
    /// How often one arrived while another was still at work though its client had given up.
    pub overlaps_with_abandoned: u64,
    /// Every breach of the contract.
    pub violations: Vec<Violation>,
}

impl Counters {
    /// All committed row writes of all resources.
    pub fn writes_applied(&self) -> u64 {
        self.writes.values().map(WriteCounters::applied).sum()
    }

    /// The row writes of one resource.
    pub fn writes_to(&self, resource: &str) -> WriteCounters {
        self.writes.get(resource).cloned().unwrap_or_default()
    }

    /// The breaches of one kind.
    pub fn violations_of(&self, code: &str) -> Vec<&Violation> {
        self.violations.iter().filter(|violation| violation.code == code).collect()
    }

    pub(crate) fn started(&mut self, method: &str, subject: &Subject, faults: &[String]) {
        self.requests += 1;
        *self.by_route.entry(format!("{method} {}", subject.route)).or_default() += 1;
        for fault in faults {
            *self.faults.entry(fault.clone()).or_default() += 1;
        }
        match subject.operation {
            Operation::Login => self.logins += 1,
            Operation::Find => self.lookups += 1,
            Operation::Read => self.reads += 1,
            Operation::List => self.lists += 1,
            Operation::Bulk => self.writes_mut(subject).bulk_requests += 1,
            Operation::Probe
            | Operation::Info
            | Operation::Create
            | Operation::Replace
            | Operation::Patch
            | Operation::Delete
            | Operation::Other => {}
        }
    }

    pub(crate) fn answered(&mut self, sequence: u64, subject: &Subject, record: &Record) {
        if !record.rows.is_empty() {
            let in_bulk = subject.operation == Operation::Bulk;
            let writes = self.writes_mut(subject);
            record.rows.iter().for_each(|row| writes.count(row, in_bulk));
        }
        self.violations.extend(record.violations.iter().map(|(code, detail)| Violation {
            sequence,
            code: (*code).to_owned(),
            detail: detail.clone(),
        }));
    }

    pub(crate) fn ended(&mut self, subject: &Subject, status: Option<u16>) {
        if let Some(status) = status {
            *self.by_status.entry(status).or_default() += 1;
        }
        if subject.operation == Operation::Login && status == Some(200) {
            self.logins_granted += 1;
        }
    }

    fn writes_mut(&mut self, subject: &Subject) -> &mut WriteCounters {
        self.writes.entry(subject.resource.unwrap_or("other").to_owned()).or_default()
    }
}
