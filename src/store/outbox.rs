//! The outbox: claimed by deleting, in batches, and never by a cursor.

use super::{Store, StoreError};
use crate::capture::change::{Change, Op};
use crate::entity::EntityRef;
use crate::route::Owing;

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
            let mut transaction = client.transaction().await?;
            // An EMS commit with synchronous_commit = off that we push must not be lost after it: this flushes it.
            transaction.batch_execute("set local synchronous_commit = on").await?;
            let take = transaction
                .prepare_cached(include_str!("../../sql/queries/outbox_take.sql"))
                .await?;
            let taken = transaction.query(&take, &[&floor, &rows]).await?;
            let changes = taken.iter().map(change).collect::<Result<Vec<_>, _>>()?;
            let owed = super::records::owe_all(&mut transaction, route(&changes)).await?;
            crate::failpoint!("relay.claimed", !changes.is_empty());
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
