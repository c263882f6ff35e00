//! What `status` and `explain` read of the way inbound.

use jiff::Timestamp;
use serde::Serialize;

use super::{Store, StoreError};
use crate::entity::{EntityRef, EntityType};
use crate::limits;
use crate::target::Target;

/// What comes back from a target.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct InboundCounts {
    /// Changes that are to be decided about.
    pub pending: i64,
    /// Those that wait for another record.
    pub waiting: i64,
    /// Those that could not be decided, and are tried again, for a while.
    pub put_off: i64,
    /// Those that wait for a person, or that a person left as they are.
    pub held: i64,
    /// Of these: removals, too many at once, that a person is to decide about.
    pub held_removals: i64,
    /// Of these: removals that a person has rejected.
    pub kept_removals: i64,
    /// Those that the EMS does not take.
    pub rejected: i64,
    /// Open conflicts.
    pub conflicts: i64,
    /// Consents that were taken back there, too many at once, and wait for a person.
    pub held_consents: i64,
    /// Times in a row that a walk ended early.
    pub failures: i32,
    /// Why it did last.
    pub error: Option<String>,
    /// Why what a walk has not shown is not looked at.
    pub held_reason: Option<String>,
}

/// What comes back of one entity from a target.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct InboundOf {
    /// Its open conflicts, by their numbers.
    pub conflicts: Vec<i64>,
    /// How a change that was taken in stands: `pending`, `waiting`, `held` or `rejected`.
    pub state: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// When it is decided about.
    pub due_on: Option<Timestamp>,
    /// The last error.
    pub last_error: Option<String>,
}

/// What came back and is not taken in, of which there is no open conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotTaken {
    /// Where it was read.
    pub target: Target,
    /// What it is in the EMS.
    pub entity_type: EntityType,
    /// Which, where that is known.
    pub entity_id: Option<i64>,
    /// Its id at the remote.
    pub remote_id: String,
    /// `unreadable` or `refused`.
    pub reason: String,
    /// What is wrong with it.
    pub error: Option<String>,
    /// When it was read.
    pub seen_on: Timestamp,
}

impl Store {
    /// What came back and is not taken in, the newest first, of which there is no open conflict: of these, `most` at most.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn not_taken(
        &self,
        target: Option<Target>,
        entity_type: Option<EntityType>,
        id: Option<i64>,
        most: i64,
    ) -> Result<Vec<NotTaken>, StoreError> {
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/inbox_not_taken.sql")).await?;
        let (target, entity_type) = (target.map(Target::name), entity_type.map(EntityType::name));
        let rows = client.query(&query, &[&target, &entity_type, &id, &most]).await?;
        rows.iter()
            .map(|row| {
                let unknown = StoreError::Unexpected("sync.inbox has an unknown target or type");
                let names: (&str, &str) = (row.try_get("target")?, row.try_get("entity_type")?);
                let (Ok(target), Ok(entity_type)) = (names.0.parse(), names.1.parse()) else {
                    return Err(unknown);
                };
                Ok(NotTaken {
                    target,
                    entity_type,
                    entity_id: row.try_get("entity_id")?,
                    remote_id: row.try_get("remote_id")?,
                    reason: row.try_get::<_, Option<String>>("state_reason")?.unwrap_or_default(),
                    error: row.try_get("last_error")?,
                    seen_on: row.try_get("created_on")?,
                })
            })
            .collect()
    }

    /// What comes back from each target.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn inbound_counts(&self) -> Result<Vec<(Target, InboundCounts)>, StoreError> {
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/inbound_counts.sql")).await?;
        let rows = client.query(&query, &[&limits::NOT_MOVING_AFTER.as_secs_f64()]).await?;
        rows.iter()
            .map(|row| {
                let target: &str = row.try_get("target")?;
                let target = target
                    .parse()
                    .map_err(|_| StoreError::Unexpected("sync.target has an unknown target"))?;
                let counts = InboundCounts {
                    pending: row.try_get("pending")?,
                    waiting: row.try_get("waiting")?,
                    put_off: row.try_get("put_off")?,
                    held: row.try_get("held")?,
                    held_removals: row.try_get("held_removals")?,
                    kept_removals: row.try_get("kept_removals")?,
                    rejected: row.try_get("rejected")?,
                    conflicts: row.try_get("conflicts")?,
                    held_consents: row.try_get("held_consents")?,
                    failures: row.try_get("failures")?,
                    error: row.try_get("last_error")?,
                    held_reason: row.try_get("held_reason")?,
                };
                Ok((target, counts))
            })
            .collect()
    }

    /// Drops some of what came back from a target and is of no more use; how many rows there were.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn purge_inbound(&self, target: Target) -> Result<u64, StoreError> {
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/inbound_purge.sql")).await?;
        let [conflicts, gone] =
            [limits::CONFLICTS_KEPT_DAYS, limits::GONE_VALUES_KEPT_DAYS].map(f64::from);
        let hooks = limits::HOOK_REMEMBERED.as_secs_f64();
        let (target, rows) = (target.name(), limits::INBOUND_PURGED_AT_ONCE);
        let row = client.query_one(&query, &[&target, &conflicts, &gone, &hooks, &rows]).await?;
        Ok(u64::try_from(row.try_get::<_, i64>(0)?).unwrap_or(0))
    }

    /// What comes back of an entity from a target.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn inbound_of(&self, target: Target, of: EntityRef) -> Result<InboundOf, StoreError> {
        let client = self.client().await?;
        let query = client.prepare_cached(include_str!("../../sql/queries/inbound_of.sql")).await?;
        let row =
            client.query_one(&query, &[&target.name(), &of.entity_type.name(), &of.id]).await?;
        Ok(InboundOf {
            conflicts: row.try_get("conflicts")?,
            state: row.try_get("state")?,
            reason: row.try_get("state_reason")?,
            due_on: row.try_get("due_on")?,
            last_error: row.try_get("last_error")?,
        })
    }
}
