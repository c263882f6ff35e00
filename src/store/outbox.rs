//! The outbox: claimed by deleting, in batches, and never by a cursor.

use jiff::Timestamp;

use super::records::Owing;
use super::{Store, StoreError};
use crate::entity::EntityRef;

/// What was done to an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// It, or a row that belongs to it, was written.
    Written,
    /// It was deleted.
    Deleted,
    /// Its whole table was emptied: which entities, nobody can tell.
    Truncated,
}

/// A row of the outbox.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Position, for the floor of one pass only.
    pub position: i64,
    /// The entity, as named in the outbox; `None` when this version does not know its type.
    pub entity: Option<EntityRef>,
    /// What was done.
    pub op: Op,
    /// When.
    pub changed_on: Timestamp,
    /// Trace context of the EMS transaction.
    pub traceparent: Option<String>,
}

impl Store {
    /// Takes up to `rows` rows after `floor` out of the outbox and owes what `route` makes of them, in one
    /// transaction that is flushed to disk. Returns what was taken and what is owed now; then it may be published.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing was taken.
    pub async fn relay_batch(
        &self,
        floor: i64,
        rows: i64,
        route: impl Fn(&[Change]) -> Vec<Owing> + Send + Sync,
    ) -> Result<(Vec<Change>, Vec<Owing>), StoreError> {
        super::retrying(|| async {
            let mut client = self.client().await?;
            let transaction = client.transaction().await?;
            // An EMS commit with synchronous_commit = off that we push must not be lost after it: this flushes it.
            transaction.batch_execute("set local synchronous_commit = on").await?;
            let take = transaction
                .prepare_cached(include_str!("../../sql/queries/outbox_take.sql"))
                .await?;
            let taken = transaction.query(&take, &[&floor, &rows]).await?;
            let changes = taken.iter().map(change).collect::<Result<Vec<_>, _>>()?;
            let owed = super::records::owe_all(&transaction, route(&changes)).await?;
            transaction.commit().await?;
            Ok((changes, owed))
        })
        .await
    }

    /// How many rows wait in the outbox, and the age of the oldest in seconds.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn outbox_backlog(&self) -> Result<(i64, f64), StoreError> {
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/outbox_backlog.sql")).await?;
        let row = client.query_one(&query, &[]).await?;
        Ok((row.try_get(0)?, row.try_get(1)?))
    }
}

fn change(row: &tokio_postgres::Row) -> Result<Change, StoreError> {
    let entity_type: &str = row.try_get("entity_type")?;
    let op: &str = row.try_get("op")?;
    let id: i64 = row.try_get("entity_id")?;
    Ok(Change {
        position: row.try_get("id")?,
        entity: entity_type.parse().ok().map(|entity_type| EntityRef::new(entity_type, id)),
        op: match op {
            "delete" => Op::Deleted,
            "truncate" => Op::Truncated,
            _ => Op::Written,
        },
        changed_on: row.try_get("changed_on")?,
        traceparent: row.try_get("traceparent")?,
    })
}
