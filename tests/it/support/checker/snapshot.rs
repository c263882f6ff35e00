//! Everything that the checker looks at, as plain values.

use std::collections::{BTreeMap, BTreeSet};

use ems_sync::clients;
use ems_sync::entity::{EntityRef, EntityType};
use ems_sync::remote::Remote as _;
use ems_sync_remotes::tagserver::Resource;
use ems_sync_remotes::{Entry, Overlap, Violation};
use jiff::Timestamp;
use serde_json::Value;

use crate::support::parity::{self, Difference, Expected, Held, What};
use crate::support::rig::Rig;

/// The EMS's name of a resource.
pub(crate) const fn type_of(resource: Resource) -> EntityType {
    match resource {
        Resource::Organisation => EntityType::Organisation,
        Resource::Person => EntityType::Person,
        Resource::Event => EntityType::Event,
        Resource::Race => EntityType::Race,
        Resource::StartGroup => EntityType::StartGroup,
        Resource::EventParticipant => EntityType::EventParticipant,
        Resource::StartGroupParticipant => EntityType::StartGroupParticipant,
        Resource::Tag => EntityType::Tag,
    }
}

/// The entity of a row, if its id is one of ours.
pub(crate) fn entity_of(segment: &str, external_id: &str) -> Option<EntityRef> {
    let resource = Resource::ALL.into_iter().find(|resource| resource.segment() == segment)?;
    Some(EntityRef::new(type_of(resource), external_id.parse().ok()?))
}

/// A sync record, as far as it can be wrong.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts about a record, each a column"
)]
pub(crate) struct Record {
    pub(crate) remote_id: Option<String>,
    pub(crate) data_hash: Option<String>,
    pub(crate) remote_hash: Option<String>,
    pub(crate) is_owed: bool,
    pub(crate) state: String,
    pub(crate) in_doubt: bool,
    pub(crate) has_intent: bool,
    /// Due at some time by itself.
    pub(crate) is_due: bool,
    pub(crate) is_waiting: bool,
    pub(crate) is_dead_lettered: bool,
    pub(crate) is_tombstone: bool,
    pub(crate) is_read_back: bool,
    pub(crate) lease_owner: Option<String>,
    pub(crate) lease_is_over: bool,
}

/// What the EMS and its records went through on one entity.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) versions: usize,
    /// When it was deleted.
    pub(crate) deleted: Vec<Timestamp>,
    /// Take-overs of leases.
    pub(crate) taken_over: usize,
    /// All accidents of its record.
    pub(crate) accidents: usize,
}

/// Everything, at one moment in which nothing moves.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) wanted: Vec<(Resource, Expected)>,
    pub(crate) held: Held,
    /// Older versions of those entities in which the two differ.
    pub(crate) older: BTreeMap<EntityRef, Vec<Value>>,
    /// The hash of every remote row, as its client reads it: by type and remote id.
    pub(crate) hashes: BTreeMap<(EntityType, String), String>,
    pub(crate) records: BTreeMap<EntityRef, Record>,
    /// Changes that the relay has not seen.
    pub(crate) outbox: BTreeSet<EntityRef>,
    pub(crate) history: BTreeMap<EntityRef, History>,
    pub(crate) journal: Vec<Entry>,
    pub(crate) overlaps: Vec<Overlap>,
    pub(crate) violations: Vec<Violation>,
    pub(crate) alive: BTreeSet<String>,
}

impl Snapshot {
    pub(crate) async fn take(rig: &Rig, alive: &BTreeSet<String>) -> Self {
        // Before the hashes are read: reading them is a request too.
        let (journal, overlaps) = (rig.sim.journal(), rig.sim.overlaps());
        let violations = rig.sim.violations();
        let (wanted, held) = (parity::wanted(&rig.ems).await, parity::held(rig));
        let differences = parity::compare(&wanted, &held);
        Self {
            older: older(rig, &differences).await,
            hashes: hashes(rig).await,
            records: records(rig).await,
            outbox: outbox(rig).await,
            history: history(rig).await,
            wanted,
            held,
            journal,
            overlaps,
            violations,
            alive: alive.clone(),
        }
    }

    pub(crate) fn differences(&self) -> Vec<Difference> {
        parity::compare(&self.wanted, &self.held)
    }
}

async fn older(rig: &Rig, differences: &[Difference]) -> BTreeMap<EntityRef, Vec<Value>> {
    let differ = differences.iter().filter(|one| matches!(one.what, What::Field(..)));
    let differ: BTreeSet<(Resource, &str)> =
        differ.map(|one| (one.resource, one.id.as_str())).collect();
    let mut older = BTreeMap::new();
    for (resource, id) in differ {
        let name = type_of(resource).name();
        let source = format!(
            "checker.version v, jsonb_populate_record(null::ems.{name}, v.content) e
             where v.entity_type = '{name}' and v.entity_id = {id} and not v.gone order by v.version"
        );
        let versions = parity::wanted_from(&rig.ems, resource, &source).await;
        let entity = EntityRef::new(type_of(resource), id.parse().unwrap());
        older.insert(entity, versions.into_iter().map(|(_, content)| content).collect());
    }
    older
}

async fn hashes(rig: &Rig) -> BTreeMap<(EntityType, String), String> {
    let config = rig.config();
    let http = config.targets.tagserver.common.http_settings();
    let client = clients::tagserver(&config, &http).unwrap();
    let mut hashes = BTreeMap::new();
    for resource in Resource::ALL {
        let entity_type = type_of(resource);
        let mut from = None;
        loop {
            let page = client.list(entity_type, from.as_deref()).await.unwrap();
            for row in page.records {
                hashes.insert((entity_type, row.remote_id), row.wire.hash.to_hex());
            }
            from = page.next;
            if from.is_none() {
                break;
            }
        }
    }
    hashes
}

fn entity(row: &tokio_postgres::Row) -> EntityRef {
    EntityRef::new(row.get::<_, &str>("entity_type").parse().unwrap(), row.get("entity_id"))
}

async fn records(rig: &Rig) -> BTreeMap<EntityRef, Record> {
    let sql = "select entity_type, entity_id, remote_id, encode(data_hash, 'hex') as data_hash,
                      encode(remote_hash, 'hex') as remote_hash, owed_gen > done_gen as is_owed, state, in_doubt,
                      intent_on is not null as has_intent, due_on < 'infinity' as is_due,
                      waiting_on is not null as is_waiting, dead_lettered_on is not null as is_dead_lettered,
                      tombstoned_on is not null as is_tombstone, read_back_on is not null as is_read_back,
                      lease_owner::text as lease_owner, coalesce(lease_until < clock_timestamp(), false) as lease_is_over
               from sync.tagserver_record";
    let rows = rig.ems.query(sql, &[]).await.unwrap();
    let record = |row: &tokio_postgres::Row| Record {
        remote_id: row.get("remote_id"),
        data_hash: row.get("data_hash"),
        remote_hash: row.get("remote_hash"),
        is_owed: row.get("is_owed"),
        state: row.get("state"),
        in_doubt: row.get("in_doubt"),
        has_intent: row.get("has_intent"),
        is_due: row.get("is_due"),
        is_waiting: row.get("is_waiting"),
        is_dead_lettered: row.get("is_dead_lettered"),
        is_tombstone: row.get("is_tombstone"),
        is_read_back: row.get("is_read_back"),
        lease_owner: row.get("lease_owner"),
        lease_is_over: row.get("lease_is_over"),
    };
    rows.iter().map(|row| (entity(row), record(row))).collect()
}

async fn outbox(rig: &Rig) -> BTreeSet<EntityRef> {
    let rows = rig.ems.query("select entity_type, entity_id from sync.outbox", &[]).await.unwrap();
    rows.iter().map(entity).collect()
}

async fn history(rig: &Rig) -> BTreeMap<EntityRef, History> {
    let sql = "select entity_type, entity_id, count(*)::int as versions,
                      array_agg(kept_on order by kept_on) filter (where gone) as deleted
               from checker.version group by entity_type, entity_id";
    let mut history: BTreeMap<EntityRef, History> = BTreeMap::new();
    for row in &rig.ems.query(sql, &[]).await.unwrap() {
        let of = history.entry(entity(row)).or_default();
        of.versions = row.get::<_, i32>("versions") as usize;
        of.deleted = row.get::<_, Option<Vec<Timestamp>>>("deleted").unwrap_or_default();
    }
    let sql = "select entity_type, entity_id, count(*)::int as accidents,
                      (count(*) filter (where kind = 'taken over'))::int as taken_over
               from checker.accident group by entity_type, entity_id";
    for row in &rig.ems.query(sql, &[]).await.unwrap() {
        let of = history.entry(entity(row)).or_default();
        of.accidents = row.get::<_, i32>("accidents") as usize;
        of.taken_over = row.get::<_, i32>("taken_over") as usize;
    }
    history
}
