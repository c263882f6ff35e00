//! What is wrong with a [`Snapshot`]: pure.

use std::collections::{BTreeMap, BTreeSet};

use ems_sync::entity::EntityRef;
use ems_sync_remotes::{Effect, Entry};
use jiff::Timestamp;

use super::snapshot::{Record, Snapshot, entity_of, type_of};
use super::{Kind, Report};
use crate::support::parity::{self, Difference, What};

/// Judges a run by what it left behind.
pub(crate) fn judge(snapshot: &Snapshot) -> Report {
    let mut report = Report::default();
    contents(snapshot, &mut report);
    records(snapshot, &mut report);
    requests(snapshot, &mut report);
    writes(snapshot, &mut report);
    report.owed =
        snapshot.records.values().filter(|record| record.is_owed).count() + snapshot.outbox.len();
    report.entities = snapshot.history.len();
    report.versions = snapshot.history.values().map(|history| history.versions).sum();
    report.taken_over = snapshot.history.values().map(|history| history.taken_over).sum();
    report
}

/// What the remote holds against what the EMS wants.
fn contents(snapshot: &Snapshot, report: &mut Report) {
    let mut told = BTreeSet::new();
    for difference in snapshot.differences() {
        let text = difference.to_string();
        match difference.what {
            What::Twice => report.add(Kind::Doubled, text),
            What::Missing | What::Field(..) | What::Orphaned if is_owed(snapshot, &difference) => {}
            What::Orphaned => report.add(Kind::Unexpected, text),
            What::Missing => report.add(Kind::Lost, text),
            What::Field(..) => {
                // Once per entity, however many of its fields are old.
                if told.insert((difference.resource, difference.id.clone())) {
                    let is_stale = holds_older(snapshot, &difference);
                    report.add(if is_stale { Kind::Stale } else { Kind::Lost }, text);
                }
            }
        }
    }
}

/// Something accounts for the difference: it is on its way, or a person must look.
fn is_owed(snapshot: &Snapshot, difference: &Difference) -> bool {
    let Ok(id) = difference.id.parse() else { return false };
    let entity = EntityRef::new(type_of(difference.resource), id);
    let record = snapshot.records.get(&entity);
    let is_put_aside = |record: &Record| {
        record.is_dead_lettered || matches!(record.state.as_str(), "held" | "rejected")
    };
    snapshot.outbox.contains(&entity)
        || record.is_some_and(|record| record.is_owed || is_put_aside(record))
}

fn holds_older(snapshot: &Snapshot, difference: &Difference) -> bool {
    let external = parity::external_ids(&snapshot.held);
    let rows = snapshot.held.iter().filter(|(resource, _)| *resource == difference.resource);
    let mut rows = rows.flat_map(|(_, rows)| rows);
    let Some(row) = rows.find(|row| row.external_id.as_ref() == Some(&difference.id)) else {
        return false;
    };
    let entity = EntityRef::new(type_of(difference.resource), difference.id.parse().unwrap());
    let mut older = snapshot.older.get(&entity).into_iter().flatten();
    older.any(|version| parity::fields_that_differ(version, row, &external).is_empty())
}

/// Each record is in a nameable state and says what is so.
fn records(snapshot: &Snapshot, report: &mut Report) {
    let mut rows: BTreeMap<_, EntityRef> = BTreeMap::new();
    let remote: BTreeMap<EntityRef, String> = snapshot
        .held
        .iter()
        .flat_map(|(resource, rows)| rows.iter().map(|row| (resource.segment(), row)))
        .filter_map(|(segment, row)| {
            Some((entity_of(segment, row.external_id.as_deref()?)?, row.id.to_string()))
        })
        .collect();
    for (entity, record) in &snapshot.records {
        if let Some(remote_id) = &record.remote_id {
            let row = (entity.entity_type, remote_id.clone());
            if let Some(other) = rows.insert(row, *entity) {
                let text = format!("{other} and {entity} have one remote row, {remote_id}");
                report.add(Kind::Doubled, text);
            }
        }
        if let Some(what) = nameless(record, &snapshot.alive) {
            report.add(Kind::Unaccounted, format!("{entity}: {what}: {record:?}"));
        }
        if let Some(what) = untrue(snapshot, *entity, record, remote.get(entity)) {
            report.add(Kind::Unaccounted, format!("{entity}: {what}: {record:?}"));
        }
    }
    let wanted = snapshot.wanted.iter().flat_map(|(resource, rows)| {
        rows.iter().map(|(id, _)| EntityRef::new(type_of(*resource), *id))
    });
    for entity in wanted {
        if !snapshot.records.contains_key(&entity) && !snapshot.outbox.contains(&entity) {
            report.add(Kind::Unaccounted, format!("{entity} has no record, and nobody is told"));
        }
    }
}

/// Why nobody would ever look at a record again although somebody must.
fn nameless(record: &Record, alive: &BTreeSet<String>) -> Option<&'static str> {
    match &record.lease_owner {
        Some(_) if record.lease_is_over => return Some("leased, though the lease is over"),
        Some(owner) if !alive.contains(owner) => return Some("leased by nobody alive"),
        Some(_) => return None,
        None if record.state == "leased" => return Some("leased by nobody"),
        None => {}
    }
    if !record.is_owed {
        let is_at_rest = matches!(record.state.as_str(), "synced" | "skipped");
        return (!is_at_rest).then_some("nothing is owed, and it is not at rest");
    }
    match record.state.as_str() {
        "pending" | "retrying" | "parked" => (!record.is_due).then_some("owed, and never due"),
        "waiting" => (!record.is_waiting).then_some("it waits for nothing"),
        "dead_letter" => (!record.is_dead_lettered).then_some("a dead letter without a date"),
        "held" | "rejected" => None,
        _ => Some("owed, and in no state that says so"),
    }
}

/// What a record at rest says and is not so.
fn untrue(
    snapshot: &Snapshot,
    entity: EntityRef,
    record: &Record,
    remote: Option<&String>,
) -> Option<&'static str> {
    if record.is_owed {
        return None;
    }
    if record.in_doubt && !record.is_read_back {
        return Some("in doubt, and nobody looks");
    }
    let Some(remote_id) = &record.remote_id else {
        let is_known_gone = record.is_tombstone || record.state == "skipped";
        if remote.is_some() && !record.has_intent {
            return Some("it knows of no remote row, and there is one");
        }
        return (!is_known_gone).then_some("at rest without a remote row");
    };
    if remote != Some(remote_id) {
        return Some("its remote row is another's, or not there");
    }
    let held = snapshot.hashes.get(&(entity.entity_type, remote_id.clone()));
    if record.remote_hash.as_ref() != held {
        return Some("the remote holds something else than it says");
    }
    (record.data_hash != record.remote_hash).then_some("the remote does not hold what was pushed")
}

/// What the simulator noted of the requests.
fn requests(snapshot: &Snapshot, report: &mut Report) {
    for overlap in snapshot.overlaps.iter().filter(|overlap| !overlap.abandoned) {
        report.add(Kind::Doubled, format!("two writes at once: {overlap:?}"));
    }
    for violation in &snapshot.violations {
        report.add(Kind::Unexpected, format!("{violation:?}"));
    }
}

/// The writes of every entity: none that nothing explains, no delete that nobody asked for.
fn writes(snapshot: &Snapshot, report: &mut Report) {
    #[derive(Default)]
    struct Writes {
        applied: usize,
        ambiguous: usize,
        deleted: Vec<Timestamp>,
    }
    let mut writes: BTreeMap<EntityRef, Writes> = BTreeMap::new();
    for entry in snapshot.journal.iter().filter(|entry| entry.operation.is_write()) {
        let Some(segment) = &entry.resource else { continue };
        for entity in entry.external_ids.iter().filter_map(|id| entity_of(segment, id)) {
            let of = writes.entry(entity).or_default();
            of.ambiguous += usize::from(is_ambiguous(entry));
        }
        for row in &entry.rows {
            let id = row.external_id.as_deref().unwrap_or_default();
            let Some(entity) = entity_of(segment, id) else { continue };
            let of = writes.entry(entity).or_default();
            of.applied += usize::from(row.effect != Effect::Refused);
            of.ambiguous += usize::from(row.effect == Effect::Refused);
            if row.effect == Effect::Deleted {
                of.deleted.push(entry.ended_at.unwrap_or(entry.started_at));
            }
        }
    }
    for (entity, of) in &writes {
        let none = super::snapshot::History::default();
        let history = snapshot.history.get(entity).unwrap_or(&none);
        report.writes += of.applied;
        report.ambiguous += of.ambiguous;
        for (n, at) in of.deleted.iter().enumerate() {
            if history.deleted.get(n).is_none_or(|asked| asked > at) {
                let text = format!("{entity} was deleted at {at}, and the EMS did not ask for it");
                report.add(Kind::Unexpected, text);
            }
        }
        let explained = history.versions + history.accidents + of.ambiguous + 1;
        if of.applied > explained {
            let text = format!("{entity} was written {} times for {history:?}", of.applied);
            report.add(Kind::Excessive, text);
        }
    }
}

/// Nobody may have heard what became of it.
fn is_ambiguous(entry: &Entry) -> bool {
    entry.abandoned || entry.status.is_none() || !entry.faults.is_empty()
}
