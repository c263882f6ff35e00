//! Remote records that are to be read by themselves: what a webhook named, what a walk has not shown, and what another record of the same
//! entity seems to stand for now.

use jiff::Timestamp;

use super::{RemovalsWeighed, Store, StoreError, inbox, removals};
use crate::deliver::guard::Limits;
use crate::entity::EntityType;
use crate::hash::ContentHash;
use crate::limits;
use crate::remote::inbound::{Snapshot, Stream};
use crate::target::Target;

/// A record that is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToRead {
    /// What it is in the EMS.
    pub entity_type: EntityType,
    /// Its id there.
    pub remote_id: String,
    /// How often it was asked for.
    pub asked_gen: i64,
    /// Which try this is.
    pub attempts: i32,
}

impl Store {
    /// Takes some of what is to be read at a target. What is not settled can be taken again after
    /// [`limits::INBOUND_READ_LEASE`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn take_to_read(&self, target: Target) -> Result<Vec<ToRead>, StoreError> {
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/to_read_take.sql")).await?;
        let lease = limits::INBOUND_READ_LEASE.as_secs_f64();
        let rows =
            client.query(&query, &[&target.name(), &limits::INBOUND_READS_MAX, &lease]).await?;
        rows.iter()
            .map(|row| {
                let entity_type: &str = row.try_get("entity_type")?;
                let entity_type = entity_type.parse().map_err(|_| {
                    StoreError::Unexpected("what is to be read has an unknown entity type")
                })?;
                Ok(ToRead {
                    entity_type,
                    remote_id: row.try_get("remote_id")?,
                    asked_gen: row.try_get("asked_gen")?,
                    attempts: row.try_get("attempts")?,
                })
            })
            .collect()
    }

    /// Takes in what was read, by requests that began at `requested_on` or later, and settles it: in one transaction.
    ///
    /// # Errors
    /// [`StoreError`]; then it is read again.
    #[expect(clippy::too_many_arguments, reason = "what was read, and all that it settles")]
    pub async fn settle_read(
        &self,
        target: Target,
        requested_on: Timestamp,
        nothing: Option<ContentHash>,
        snapshots: &[Snapshot],
        settled: &[ToRead],
        guard: Limits,
    ) -> Result<RemovalsWeighed, StoreError> {
        let (types, ids) = keys(settled);
        let gens: Vec<_> = settled.iter().map(|read| read.asked_gen).collect();
        super::retrying(|| async {
            let mut client = self.client().await?;
            let transaction = client.transaction().await?;
            let taken =
                inbox::take_in(&transaction, target, requested_on, nothing, snapshots).await?;
            let weighed = removals::weigh(&transaction, target, taken, guard).await?;
            let query = transaction
                .prepare_cached(include_str!("../../sql/queries/to_read_settle.sql"))
                .await?;
            transaction.execute(&query, &[&target.name(), &types, &ids, &gens]).await?;
            transaction.commit().await?;
            Ok(weighed)
        })
        .await
    }

    /// Has the other records read by themselves for whose removal these rows of the inbox wait; `streams`: those of the target. With
    /// too many that wait to be read already the stream is walked.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ask_for_removals(
        &self,
        target: Target,
        rows: &[i64],
        streams: &[Stream],
    ) -> Result<(), StoreError> {
        let shown = streams.iter().flat_map(|stream| {
            stream.entity_types().iter().map(|kind| (kind.name(), stream.name()))
        });
        let (types, names): (Vec<_>, Vec<_>) = shown.unzip();
        super::retrying(|| async {
            let client = self.client().await?;
            let query = client
                .prepare_cached(include_str!("../../sql/queries/to_read_removals.sql"))
                .await?;
            let waiting = limits::HINTS_WAITING_MAX;
            client.execute(&query, &[&target.name(), &rows, &types, &names, &waiting]).await?;
            Ok(())
        })
        .await
    }

    /// Says that these could not be read now.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn read_later(&self, target: Target, unread: &[ToRead]) -> Result<(), StoreError> {
        let (types, ids) = keys(unread);
        let [min, max] = [limits::INBOUND_READ_AGAIN_MIN, limits::INBOUND_READ_AGAIN_MAX]
            .map(|pause| pause.as_secs_f64());
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/to_read_later.sql")).await?;
        client.execute(&query, &[&target.name(), &types, &ids, &min, &max]).await?;
        Ok(())
    }
}

fn keys(reads: &[ToRead]) -> (Vec<&'static str>, Vec<&str>) {
    reads.iter().map(|read| (read.entity_type.name(), read.remote_id.as_str())).unzip()
}
