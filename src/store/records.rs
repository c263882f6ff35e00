//! Sync records: owe, claim, finish, and the look-ups that a decision needs.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::inbox::InboxRef;
use super::session::Transaction;
use super::{Store, StoreError};
use crate::deliver::record::{Claim, Due, Finish, Holds};
use crate::delivery::{Cause, Delivery};
use crate::entity::{EntityRef, EntityType};
use crate::hash::ContentHash;
use crate::inbound::merge::Agreed;
use crate::remote::RemoteIds;
use crate::route::Owing;
use crate::target::Target;

/// What a finish brought about, besides ending leases.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FinishReport {
    /// Still owed and due: a newer change came while it was pushed.
    pub again: Vec<EntityRef>,
    /// The lease was another's by then: nothing was written.
    pub fenced: Vec<EntityRef>,
    /// Others that are due now: woken, or owed because of these.
    pub due: Vec<EntityRef>,
    /// Those with an open dead letter whose token is not published.
    pub dead: Vec<EntityRef>,
    /// Rows of the inbox that waited for these.
    pub inbox: Vec<InboxRef>,
}

/// Owes within a transaction; what comes back is what is owed now, parents' types first. Records are locked in key
/// order, names compared as bytes, like everywhere.
pub(super) async fn owe_all(
    transaction: &mut Transaction<'_>,
    mut owings: Vec<Owing>,
) -> Result<Vec<Owing>, StoreError> {
    owings.sort_by_key(|owing| (owing.target.name(), owing.entity_type.name()));
    let mut owed = Vec::with_capacity(owings.len());
    for owing in owings {
        let (target, entity_type) = (owing.target, owing.entity_type);
        let savepoint = transaction.savepoint("owe").await?;
        match owe(&savepoint, owing).await {
            Ok(now_owed) => {
                savepoint.commit().await?;
                owed.push(now_owed);
            }
            Err(error) if error.lost_a_race() || error.is_outage() => return Err(error),
            // A view that fails must not hold up what has nothing to do with it.
            Err(error) => {
                savepoint.rollback().await?;
                tracing::error!(
                    target.name = %target, entity.type = %entity_type, error = %error,
                    "The projection failed: these changes are left to the sweep"
                );
            }
        }
    }
    owed.sort_by_key(|owing| (owing.target, owing.entity_type));
    Ok(owed)
}

async fn owe(transaction: &Transaction<'_>, mut owing: Owing) -> Result<Owing, StoreError> {
    let owe = transaction.prepare_cached(include_str!("../../sql/queries/owe.sql")).await?;
    let ids: Vec<i64> = owing.entities.iter().map(|e| e.0).collect();
    let changed: Vec<Timestamp> = owing.entities.iter().map(|e| e.1).collect();
    let traces: Vec<Option<&str>> = owing.entities.iter().map(|e| e.2.as_deref()).collect();
    let lane = if owing.bulk { "bulk" } else { "live" };
    let rows = transaction
        .query(
            &owe,
            &[
                &owing.target.name(),
                &owing.entity_type.name(),
                &ids,
                &changed,
                &traces,
                &owing.cause.name(),
                &lane,
                &owing.in_doubt,
            ],
        )
        .await?;
    let owed: std::collections::HashSet<i64> =
        rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    owing.entities.retain(|entity| owed.contains(&entity.0));
    owing.entities.sort_by_key(|entity| entity.0);
    owing.entities.dedup_by_key(|entity| entity.0);
    Ok(owing)
}

impl Store {
    /// Owes in a transaction of its own. Returns what is owed now.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing is owed.
    pub async fn owe(&self, owings: Vec<Owing>) -> Result<Vec<Owing>, StoreError> {
        super::retrying(|| async {
            let mut client = self.client().await?;
            let mut transaction = client.transaction().await?;
            let owed = owe_all(&mut transaction, owings.clone()).await?;
            transaction.commit().await?;
            Ok(owed)
        })
        .await
    }

    /// Claims what is owed and due among `entities`, for `lease`. Committed when it returns.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn claim(
        &self,
        target: Target,
        owner: Uuid,
        lease: Duration,
        entities: &[EntityRef],
    ) -> Result<Vec<Claim>, StoreError> {
        let types: Vec<&str> = entities.iter().map(|e| e.entity_type.name()).collect();
        let ids: Vec<i64> = entities.iter().map(|e| e.id).collect();
        let lease_seconds = lease.as_secs_f64();
        super::retrying(|| async {
            let client = self.client().await?;
            let claim = client.prepare_cached(include_str!("../../sql/queries/claim.sql")).await?;
            let rows = client
                .query(&claim, &[&target.name(), &owner, &lease_seconds, &types, &ids])
                .await?;
            let mut claims = rows.iter().map(claimed).collect::<Result<Vec<_>, _>>()?;
            // Older entities first, where the remote takes them in the order in which they are sent.
            claims.sort_by_key(|claim| claim.entity);
            Ok(claims)
        })
        .await
    }

    /// Ends leases: writes what each finish says where its fence is still ours, wakes and owes what depends on
    /// it. Committed when it returns. Losers get a read-back after `read_back`.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing was written and the leases run on.
    pub async fn finish(
        &self,
        target: Target,
        owner: Uuid,
        read_back: Duration,
        finishes: &[Finish],
    ) -> Result<FinishReport, StoreError> {
        let rows: Vec<FinishRow<'_>> = finishes.iter().map(FinishRow::of).collect();
        let rows = serde_json::to_value(&rows)
            .map_err(|_| StoreError::Unexpected("a finish can't be written as JSON"))?;
        let read_back_seconds = read_back.as_secs_f64();
        super::retrying(|| async {
            let client = self.client().await?;
            let finish =
                client.prepare_cached(include_str!("../../sql/queries/finish.sql")).await?;
            let report =
                client.query(&finish, &[&target.name(), &owner, &read_back_seconds, &rows]).await?;
            report_of(&report)
        })
        .await
    }

    /// Those of these entities whose next try is not due yet.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn retrying(
        &self,
        target: Target,
        entities: &[EntityRef],
    ) -> Result<Vec<EntityRef>, StoreError> {
        if entities.is_empty() {
            return Ok(Vec::new());
        }
        let types: Vec<&str> = entities.iter().map(|e| e.entity_type.name()).collect();
        let ids: Vec<i64> = entities.iter().map(|e| e.id).collect();
        let client = self.client().await?;
        let query = client.prepare_cached(include_str!("../../sql/queries/retrying.sql")).await?;
        client.query(&query, &[&target.name(), &types, &ids]).await?.iter().map(entity).collect()
    }

    /// The remote ids of these entities at `target`, of those that have one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remote_ids(
        &self,
        target: Target,
        entities: &[EntityRef],
    ) -> Result<RemoteIds, StoreError> {
        if entities.is_empty() {
            return Ok(RemoteIds::new());
        }
        let types: Vec<&str> = entities.iter().map(|e| e.entity_type.name()).collect();
        let ids: Vec<i64> = entities.iter().map(|e| e.id).collect();
        let client = self.client().await?;
        let query = client.prepare_cached(include_str!("../../sql/queries/remote_ids.sql")).await?;
        let rows = client.query(&query, &[&target.name(), &types, &ids]).await?;
        rows.iter().map(|row| Ok((entity(row)?, row.try_get("remote_id")?))).collect()
    }

    /// One child with a remote id for each of these entities that has one, by parent.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn children_at_remote(
        &self,
        target: Target,
        parents: &[EntityRef],
    ) -> Result<std::collections::HashMap<EntityRef, EntityRef>, StoreError> {
        if parents.is_empty() {
            return Ok(std::collections::HashMap::new());
        }
        let keys: Vec<String> = parents.iter().map(EntityRef::to_string).collect();
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/children_at_remote.sql")).await?;
        let rows = client.query(&query, &[&target.name(), &keys]).await?;
        rows.iter()
            .map(|row| {
                let parent: &str = row.try_get("parent")?;
                let parent = parent
                    .parse()
                    .map_err(|_| StoreError::Unexpected("a record names an odd parent"))?;
                Ok((parent, entity(row)?))
            })
            .collect()
    }

    /// For each of these entities (with one of its parents) an older one of its type and that parent that is at the
    /// remote and owed, unless only a person can move it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn owed_siblings(
        &self,
        target: Target,
        with_parents: Vec<(EntityRef, EntityRef)>,
    ) -> Result<std::collections::HashMap<EntityRef, EntityRef>, StoreError> {
        if with_parents.is_empty() {
            return Ok(std::collections::HashMap::new());
        }
        let types: Vec<&str> = with_parents.iter().map(|(e, _)| e.entity_type.name()).collect();
        let ids: Vec<i64> = with_parents.iter().map(|(e, _)| e.id).collect();
        let parents: Vec<String> = with_parents.iter().map(|(_, p)| p.to_string()).collect();
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/owed_siblings.sql")).await?;
        let rows = client.query(&query, &[&target.name(), &types, &ids, &parents]).await?;
        rows.iter()
            .map(|row| {
                let of = entity(row)?;
                Ok((of, EntityRef::new(of.entity_type, row.try_get("older_id")?)))
            })
            .collect()
    }

    /// Records that are owed and due, oldest first, to be published again. `bulk` includes the bulk lane.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn due(
        &self,
        target: Target,
        rows: i64,
        bulk: bool,
    ) -> Result<Vec<Delivery>, StoreError> {
        let client = self.client().await?;
        let query = client.prepare_cached(include_str!("../../sql/queries/due.sql")).await?;
        let rows = client.query(&query, &[&target.name(), &rows, &bulk]).await?;
        rows.iter()
            .map(|row| {
                let cause: &str = row.try_get("cause")?;
                let owed_on: Timestamp = row.try_get("owed_on")?;
                let mut delivery =
                    Delivery::new(target, entity(row)?, Cause::from_name(cause), owed_on);
                delivery.traceparent = row.try_get("traceparent")?;
                Ok(delivery)
            })
            .collect()
    }

    /// How long until the next record is due by itself; `None` when none will be.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn next_due(&self, target: Target) -> Result<Option<Duration>, StoreError> {
        let client = self.client().await?;
        let query = client.prepare_cached(include_str!("../../sql/queries/next_due.sql")).await?;
        let seconds: Option<f64> = client.query_one(&query, &[&target.name()]).await?.try_get(0)?;
        Ok(seconds.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default()))
    }

    /// Owes the records whose read-back is due, in doubt, and moves each to its next read-back.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn read_back(&self, target: Target, rows: i64) -> Result<u64, StoreError> {
        let client = self.client().await?;
        let query = client.prepare_cached(include_str!("../../sql/queries/read_back.sql")).await?;
        let [first, second] = crate::limits::READ_BACK_AGAIN_AFTER.map(|d| d.as_secs_f64());
        client.execute(&query, &[&target.name(), &rows, &first, &second]).await
    }

    /// The database's clock, which leases and due times are measured by.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn now(&self) -> Result<Timestamp, StoreError> {
        let client = self.client().await?;
        let query = client.prepare_cached(include_str!("../../sql/queries/now.sql")).await?;
        Ok(client.query_one(&query, &[]).await?.try_get(0)?)
    }

    /// Writes the audit trail of a batch's attempts.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn record_attempts(
        &self,
        target: Target,
        attempts: &[AttemptRecord],
    ) -> Result<(), StoreError> {
        if attempts.is_empty() {
            return Ok(());
        }
        let rows = serde_json::to_value(attempts)
            .map_err(|_| StoreError::Unexpected("an attempt can't be written as JSON"))?;
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/attempts_insert.sql")).await?;
        client.execute(&query, &[&target.name(), &rows]).await?;
        Ok(())
    }
}

/// One line of the audit trail.
#[derive(Debug, Clone, Serialize)]
pub struct AttemptRecord {
    /// Type of the entity.
    pub entity_type: EntityType,
    /// Its EMS id.
    pub entity_id: i64,
    /// The decision's name.
    pub decision: &'static str,
    /// How it ended.
    pub outcome: &'static str,
    /// The failure's class.
    pub class: Option<&'static str>,
    /// The failure's text, without anything personal.
    pub error: Option<String>,
    /// Number of the attempt in its cycle.
    pub attempt: u32,
    /// How long the push took.
    pub duration_ms: u32,
    /// The lease's fence.
    pub fence: i64,
}

pub(super) fn entity(row: &tokio_postgres::Row) -> Result<EntityRef, StoreError> {
    let entity_type: &str = row.try_get("entity_type")?;
    let entity_type = entity_type
        .parse()
        .map_err(|_| StoreError::Unexpected("a record has an entity type that is not known"))?;
    Ok(EntityRef::new(entity_type, row.try_get("entity_id")?))
}

fn claimed(row: &tokio_postgres::Row) -> Result<Claim, StoreError> {
    let hash = |column| -> Result<Option<ContentHash>, StoreError> {
        let bytes: Option<&[u8]> = row.try_get(column)?;
        Ok(bytes.and_then(ContentHash::from_bytes))
    };
    let count = |column| -> Result<u32, StoreError> {
        let count: i32 = row.try_get(column)?;
        Ok(count.try_into().unwrap_or(0))
    };
    let cause: &str = row.try_get("cause")?;
    Ok(Claim {
        entity: entity(row)?,
        fence: row.try_get("fence")?,
        owed_gen: row.try_get("owed_gen")?,
        owed_on: row.try_get("owed_on")?,
        cause: Cause::from_name(cause),
        traceparent: row.try_get("traceparent")?,
        remote_id: row.try_get("remote_id")?,
        former_remote_id: row.try_get("former_remote_id")?,
        gave_up: row.try_get("gave_up")?,
        data_hash: hash("data_hash")?,
        remote_hash: hash("remote_hash")?,
        rejected_hash: hash("rejected_hash")?,
        in_doubt: row.try_get("in_doubt")?,
        intent_on: row.try_get("intent_on")?,
        taken_over: row.try_get("taken_over")?,
        lost_until: row.try_get("lost_until")?,
        doubts: row.try_get("doubts")?,
        attempts: count("attempts")?,
        failures: count("failures")?,
        tombstoned: row.try_get("tombstoned")?,
        holds: Holds {
            columns: row.try_get::<_, Vec<String>>("holds")?.into_iter().collect(),
            consents: row.try_get::<_, Vec<String>>("consents")?.into_iter().collect(),
        },
    })
}

fn report_of(rows: &[tokio_postgres::Row]) -> Result<FinishReport, StoreError> {
    let mut report = FinishReport::default();
    for row in rows {
        let kind: &str = row.try_get("kind")?;
        match kind {
            "again" => report.again.push(entity(row)?),
            "fenced" => report.fenced.push(entity(row)?),
            "woken" | "owed" => report.due.push(entity(row)?),
            "dead" => report.dead.push(entity(row)?),
            "inbox" => {
                let EntityRef { entity_type, id } = entity(row)?;
                report.inbox.push(InboxRef { entity_type, inbox_id: id });
            }
            _ => {}
        }
    }
    Ok(report)
}

/// The object that `sync.finish` takes; its field names are that function's.
#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "the fields of a row that SQL reads")]
struct FinishRow<'a> {
    entity_type: &'static str,
    entity_id: i64,
    fence: i64,
    r#gen: i64,
    doubts: i64,
    settled: bool,
    sent: bool,
    pushed: bool,
    confirmed: bool,
    remote_id: Option<&'a str>,
    remote_changed: bool,
    data_hash: Option<String>,
    remote_hash: Option<String>,
    left_to: Option<&'a str>,
    looked_on: Option<Timestamp>,
    rejected_hash: Option<String>,
    modified_on: Option<Timestamp>,
    match_key: Option<String>,
    in_doubt: bool,
    intent_on: Option<Timestamp>,
    state: &'static str,
    reason: Option<&'a str>,
    error: Option<&'a str>,
    attempts: u32,
    failures: u32,
    due_ms: Option<u64>,
    waiting_on: Option<String>,
    waits_for: Option<&'static str>,
    parents: Option<Vec<String>>,
    tombstone: bool,
    dead: bool,
    cycle_attempts: u32,
    r#drop: bool,
    read_back_ms: Option<u64>,
    holds: &'a BTreeSet<String>,
    consents: &'a BTreeSet<String>,
    agreed: Option<&'a Agreed>,
}

impl<'a> FinishRow<'a> {
    fn of(finish: &'a Finish) -> Self {
        let hex = |hash: Option<ContentHash>| hash.map(ContentHash::to_hex);
        Self {
            entity_type: finish.entity.entity_type.name(),
            entity_id: finish.entity.id,
            fence: finish.fence,
            r#gen: finish.owed_gen,
            doubts: finish.doubts,
            settled: finish.settled,
            sent: finish.sent,
            pushed: finish.pushed,
            confirmed: finish.confirmed,
            remote_id: finish.remote_id.as_deref(),
            remote_changed: finish.remote_changed,
            data_hash: hex(finish.data_hash),
            remote_hash: hex(finish.remote_hash),
            left_to: finish.left_to.as_deref(),
            looked_on: finish.looked_on,
            rejected_hash: hex(finish.rejected_hash),
            modified_on: finish.modified_on,
            match_key: hex(finish.match_key),
            in_doubt: finish.in_doubt,
            intent_on: finish.intent_on,
            state: finish.state.name(),
            reason: finish.reason.as_deref(),
            error: finish.error.as_deref(),
            attempts: finish.attempts,
            failures: finish.failures,
            due_ms: match finish.due {
                Due::Now => Some(0),
                Due::InMillis(millis) => Some(millis),
                Due::Never => None,
            },
            waiting_on: finish.waiting_on.map(|wait| wait.entity().to_string()),
            waits_for: finish.waiting_on.map(crate::deliver::record::WaitFor::relation),
            parents: finish.parents.as_ref().map(|p| p.iter().map(EntityRef::to_string).collect()),
            tombstone: finish.tombstone,
            dead: finish.dead_letter,
            cycle_attempts: finish.cycle_attempts,
            r#drop: finish.drop,
            read_back_ms: finish.read_back_millis,
            holds: &finish.holds.columns,
            consents: &finish.holds.consents,
            agreed: finish.agreed.as_ref(),
        }
    }
}
