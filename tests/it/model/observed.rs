//! Sync records as they stand in Postgres, and how they differ from what the model says.

use std::collections::BTreeMap;

use ems_sync::delivery::Cause;
use ems_sync::entity::EntityRef;
use ems_sync::hash::ContentHash;
use tokio_postgres::{Client, Row, Statement};

use super::Bench;
use super::rules::{Between, Letter, Record};

/// Every column that a rule reads or writes. The two that none of them may touch must stay empty.
const RECORDS: &str = "
    select r.*, coalesce(r.match_key is not null or r.remote_synced_on is not null, false) as touched,
           micros(entity_synced_on) as entity_synced_us, micros(entity_modified_on) as entity_modified_us,
           micros(seen_modified_on) as seen_modified_us, micros(owed_on) as owed_us, micros(last_owed_on) as last_owed_us,
           micros(dead_lettered_on) as dead_lettered_us, micros(due_on) as due_us, micros(read_back_on) as read_back_us,
           micros(lease_until) as lease_until_us, micros(intent_on) as intent_us, micros(tombstoned_on) as tombstoned_us
    from sync.record r where target = 'tagserver'";

/// Microseconds since 1970; the largest number for infinity.
const MICROS: &str = "
    create function micros(at timestamptz) returns bigint language sql immutable as $$
        select case when at = 'infinity' then 9223372036854775807
                    else (extract(epoch from at) * 1000000)::bigint end
    $$";

/// The open dead letters.
const LETTERS: &str = "
    select entity_type, entity_id, attempts, cycles, micros(next_try_on) as next_try_us
    from sync.dead_letter where target = 'tagserver' and closed_on is null";

/// The statements by which a database is looked at.
pub(super) struct Looks {
    clock: Statement,
    letters: Statement,
    records: Statement,
}

impl Looks {
    pub(super) async fn prepare(ems: &Client) -> Self {
        ems.batch_execute(MICROS).await.unwrap();
        Self {
            clock: ems.prepare("select micros(clock_timestamp())").await.unwrap(),
            letters: ems.prepare(LETTERS).await.unwrap(),
            records: ems.prepare(RECORDS).await.unwrap(),
        }
    }
}

/// The database's clock, exactly.
pub(super) async fn clock(bench: &Bench) -> i64 {
    bench.ems.query_one(&bench.looks.clock, &[]).await.unwrap().get(0)
}

/// Every record at TagServer.
pub(super) async fn records(bench: &Bench) -> BTreeMap<EntityRef, Record> {
    let rows = bench.ems.query(&bench.looks.records, &[]).await.unwrap();
    rows.iter().map(|row| (entity(row), record(row))).collect()
}

/// Every open dead letter of TagServer.
pub(super) async fn letters(bench: &Bench) -> BTreeMap<EntityRef, Letter> {
    let rows = bench.ems.query(&bench.looks.letters, &[]).await.unwrap();
    let letter = |row: &Row| Letter {
        attempts: row.get("attempts"),
        cycles: row.get("cycles"),
        next_try_on: row.get::<_, Option<i64>>("next_try_us").map(Between::exactly),
    };
    rows.iter().map(|row| (entity(row), letter(row))).collect()
}

fn entity(row: &Row) -> EntityRef {
    let (entity_type, id): (&str, i64) = (row.get("entity_type"), row.get("entity_id"));
    EntityRef::new(entity_type.parse().unwrap(), id)
}

fn record(row: &Row) -> Record {
    let time = |column| row.get::<_, Option<i64>>(column).map(Between::exactly);
    let hash = |column| {
        let bytes: Option<&[u8]> = row.get(column);
        bytes.map(|bytes| ContentHash::from_bytes(bytes).unwrap())
    };
    let parents: Vec<&str> = row.get("parents");
    let mut parents: Vec<EntityRef> = parents.into_iter().map(|p| p.parse().unwrap()).collect();
    parents.sort_unstable();
    let waiting_on: Option<&str> = row.get("waiting_on");
    assert!(!row.get::<_, bool>("touched"), "a rule wrote a column that is not its own");
    Record {
        remote_id: row.get("remote_id"),
        former_remote_id: row.get("former_remote_id"),
        data_hash: hash("data_hash"),
        remote_hash: hash("remote_hash"),
        rejected_hash: hash("rejected_hash"),
        entity_synced_on: time("entity_synced_us"),
        entity_modified_on: time("entity_modified_us"),
        seen_modified_on: time("seen_modified_us"),
        owed_gen: row.get("owed_gen"),
        done_gen: row.get("done_gen"),
        owed_on: time("owed_us"),
        last_owed_on: time("last_owed_us"),
        cause: known(row.get("cause"), &Cause::ALL.map(Cause::name)),
        lane: known(row.get("lane"), &["live", "bulk"]),
        traceparent: row.get("traceparent"),
        state: known(row.get("state"), &STATES),
        state_reason: row.get("state_reason"),
        last_error: row.get("last_error"),
        attempts: row.get("attempts"),
        failures: row.get("failures"),
        dead_lettered_on: time("dead_lettered_us"),
        due_on: time("due_us").unwrap(),
        read_back_on: time("read_back_us"),
        read_back_step: row.get("read_back_step"),
        lease_owner: row.get("lease_owner"),
        lease_until: time("lease_until_us"),
        fence: row.get::<_, Option<i64>>("fence").map(Between::exactly),
        in_doubt: row.get("in_doubt"),
        doubts: row.get("doubts"),
        intent_on: time("intent_us"),
        parents,
        waiting_on: waiting_on.map(|on| on.parse().unwrap()),
        tombstoned_on: time("tombstoned_us"),
        gone: row.get("gone"),
        delete_verdict: row
            .get::<_, Option<&str>>("delete_verdict")
            .map(|verdict| known(verdict, &["let_through", "approved", "rejected"])),
    }
}

const STATES: [&str; 10] = [
    "synced",
    "pending",
    "waiting",
    "leased",
    "retrying",
    "parked",
    "held",
    "rejected",
    "skipped",
    "dead_letter",
];

fn known(name: &str, of: &[&'static str]) -> &'static str {
    of.iter().copied().find(|known| *known == name).unwrap_or_else(|| panic!("{name} is not known"))
}

/// Every difference between what the model says and what is there.
pub(super) fn differences(
    model: &BTreeMap<EntityRef, Record>,
    there: &BTreeMap<EntityRef, Record>,
) -> Vec<String> {
    let mut differences = Vec::new();
    for (entity, expected) in model {
        match there.get(entity) {
            None => differences.push(format!("{entity} should be there")),
            Some(found) => differences
                .extend(fields(expected, found).map(|difference| format!("{entity}.{difference}"))),
        }
    }
    let unexpected = there.keys().filter(|entity| !model.contains_key(entity));
    differences.extend(unexpected.map(|entity| format!("{entity} should not be there")));
    differences
}

/// The fields that differ; a time, or a fence, may be anywhere in its range.
fn fields(expected: &Record, found: &Record) -> impl Iterator<Item = String> {
    let fits = |expected: Option<Between>, found: Option<Between>| match (expected, found) {
        (Some(expected), Some(found)) => expected.holds(found.low),
        (expected, found) => expected == found,
    };
    macro_rules! ranges {
        ($($field:ident)*) => {
            [$((stringify!($field), fits(expected.$field, found.$field), format!("{:?}, not {:?}", found.$field, expected.$field))),*]
        };
    }
    macro_rules! values {
        ($($field:ident)*) => {
            [$((stringify!($field), expected.$field == found.$field, format!("{:?}, not {:?}", found.$field, expected.$field))),*]
        };
    }
    let due = fits(Some(expected.due_on), Some(found.due_on));
    let due = ("due_on", due, format!("{:?}, not {:?}", found.due_on, expected.due_on));
    ranges! {
        entity_synced_on entity_modified_on seen_modified_on owed_on last_owed_on dead_lettered_on read_back_on
        lease_until fence intent_on tombstoned_on
    }
    .into_iter()
    .chain(values! {
        remote_id former_remote_id data_hash remote_hash rejected_hash owed_gen done_gen cause lane traceparent state state_reason
        last_error attempts failures read_back_step lease_owner in_doubt doubts parents waiting_on
        gone delete_verdict
    })
    .chain([due])
    .filter(|(_, fits, _)| !fits)
    .map(|(field, _, difference)| format!("{field} is {difference}"))
}
