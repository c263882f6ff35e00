//! What the outbound sweep reads: versions against records, orphans, and its own watermark.

use jiff::Timestamp;

use super::projections::with_projection;
use super::records::entity;
use super::{Store, StoreError};
use crate::entity::{EntityRef, EntityType};
use crate::hash::ContentHash;
use crate::limits;
use crate::target::Target;

/// How far the sweep of one target and type has read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SweepWatermark {
    /// Versions before it were compared; `None` before the first sweep.
    pub modified_on: Option<Timestamp>,
    /// Where the rolling look for orphans goes on.
    pub orphan_id: i64,
    /// Where the rolling audit goes on.
    pub audit_id: i64,
}

/// What a chunk of a scan found (ids and versions), and the keyset to go on from; `None` at the end.
pub type Chunk<K> = (Vec<(i64, Timestamp)>, Option<K>);

/// The hash that a record holds, for the audit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct HeldHash {
    pub(crate) id: i64,
    pub(crate) data_hash: Option<ContentHash>,
    pub(crate) is_settled: bool,
    /// It was decided that it has no record of its own there.
    pub(crate) is_skipped: bool,
    /// The match key that it wanted then.
    pub(crate) wanted_key: Option<ContentHash>,
}

impl Store {
    /// Takes a sample for the watermark and returns the newest earlier one that is safe: every transaction that
    /// could have stamped before it has ended.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn safe_watermark(&self) -> Result<Option<Timestamp>, StoreError> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        let margin = limits::WATERMARK_MARGIN.as_secs_f64();
        let kept = limits::WATERMARK_SAMPLES_KEPT.as_secs_f64();
        let query = transaction
            .prepare_cached(include_str!("../../sql/queries/watermark_safe.sql"))
            .await?;
        let row = transaction.query_one(&query, &[&margin]).await?;
        let safe = row.try_get(0)?;
        let query = transaction
            .prepare_cached(include_str!("../../sql/queries/watermark_sample.sql"))
            .await?;
        transaction.execute(&query, &[]).await?;
        let query = transaction
            .prepare_cached(include_str!("../../sql/queries/watermark_forget.sql"))
            .await?;
        transaction.execute(&query, &[&kept]).await?;
        transaction.commit().await?;
        Ok(safe)
    }

    /// How far the sweep of this target and type has read.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn watermark(
        &self,
        target: Target,
        entity_type: EntityType,
    ) -> Result<SweepWatermark, StoreError> {
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/watermark_read.sql")).await?;
        let row = client.query_opt(&query, &[&target.name(), &entity_type.name()]).await?;
        let Some(row) = row else {
            return Ok(SweepWatermark {
                modified_on: None,
                orphan_id: i64::MIN,
                audit_id: i64::MIN,
            });
        };
        Ok(SweepWatermark {
            modified_on: row.try_get(0)?,
            orphan_id: row.try_get(1)?,
            audit_id: row.try_get(2)?,
        })
    }

    /// Moves the watermark of this target and type.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_watermark(
        &self,
        target: Target,
        entity_type: EntityType,
        watermark: SweepWatermark,
    ) -> Result<(), StoreError> {
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/watermark_write.sql")).await?;
        client
            .execute(
                &query,
                &[
                    &target.name(),
                    &entity_type.name(),
                    &watermark.modified_on,
                    &watermark.orphan_id,
                    &watermark.audit_id,
                ],
            )
            .await?;
        Ok(())
    }

    /// Leg 1: entities whose version is another than the one that was looked at, among those modified since
    /// `since`, in keyset order from after (`since`, `after`). Returns ids, versions and the keyset to go on from.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn changed_since(
        &self,
        target: Target,
        entity_type: EntityType,
        since: Timestamp,
        after: i64,
    ) -> Result<Chunk<(Timestamp, i64)>, StoreError> {
        let sql = include_str!("../../sql/queries/sweep_changed_since.sql");
        let client = self.client().await?;
        let query = client.prepare_cached(&with_projection(sql, target, entity_type)).await?;
        let rows = client
            .query(
                &query,
                &[&target.name(), &entity_type.name(), &since, &after, &limits::SWEEP_CHUNK_ROWS],
            )
            .await?;
        changed(&rows, |row| Ok((row.try_get("modified_on")?, row.try_get("id")?)))
    }

    /// Leg 1 without a watermark: the same over all entities, in keyset order from after `after`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn changed_after(
        &self,
        target: Target,
        entity_type: EntityType,
        after: i64,
    ) -> Result<Chunk<i64>, StoreError> {
        let sql = include_str!("../../sql/queries/sweep_changed_after.sql");
        let client = self.client().await?;
        let query = client.prepare_cached(&with_projection(sql, target, entity_type)).await?;
        let rows = client
            .query(
                &query,
                &[&target.name(), &entity_type.name(), &after, &limits::SWEEP_CHUNK_ROWS],
            )
            .await?;
        changed(&rows, |row| Ok(row.try_get("id")?))
    }

    /// Leg 1, too: what was out of scope and no longer is, in keyset order from after `after`; `own` are the types of which the
    /// target has records of its own.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn in_scope_after(
        &self,
        target: Target,
        entity_type: EntityType,
        own: &[EntityType],
        after: i64,
    ) -> Result<Chunk<i64>, StoreError> {
        let sql = include_str!("../../sql/queries/sweep_in_scope.sql");
        let own: Vec<&str> = own.iter().map(|of| of.name()).collect();
        let client = self.client().await?;
        let query = client.prepare_cached(&with_projection(sql, target, entity_type)).await?;
        let rows = client
            .query(
                &query,
                &[&target.name(), &entity_type.name(), &after, &limits::SWEEP_CHUNK_ROWS, &own],
            )
            .await?;
        changed(&rows, |row| Ok(row.try_get("id")?))
    }

    /// Leg 3: records with a remote id or an open intent whose projection row is gone, in keyset order from
    /// after `after`. Returns them and the id to go on from.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn orphans_after(
        &self,
        target: Target,
        entity_type: EntityType,
        after: i64,
    ) -> Result<(Vec<i64>, Option<i64>), StoreError> {
        let sql = include_str!("../../sql/queries/sweep_orphans.sql");
        let client = self.client().await?;
        let query = client.prepare_cached(&with_projection(sql, target, entity_type)).await?;
        let rows = client
            .query(
                &query,
                &[&target.name(), &entity_type.name(), &after, &limits::SWEEP_CHUNK_ROWS],
            )
            .await?;
        let mut orphans = Vec::new();
        for row in &rows {
            if row.try_get("found")? {
                orphans.push(row.try_get("id")?);
            }
        }
        Ok((orphans, last_of_full(&rows)?))
    }

    /// Leg 4: what the records of these entities hold.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn held_hashes(
        &self,
        target: Target,
        entity_type: EntityType,
        ids: &[i64],
    ) -> Result<Vec<HeldHash>, StoreError> {
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/held_hashes.sql")).await?;
        let rows = client.query(&query, &[&target.name(), &entity_type.name(), &ids]).await?;
        rows.iter()
            .map(|row| {
                let hash = |column| -> Result<Option<ContentHash>, StoreError> {
                    let bytes: Option<&[u8]> = row.try_get(column)?;
                    Ok(bytes.and_then(ContentHash::from_bytes))
                };
                Ok(HeldHash {
                    id: row.try_get("entity_id")?,
                    data_hash: hash("data_hash")?,
                    is_settled: row.try_get("is_settled")?,
                    is_skipped: row.try_get("is_skipped")?,
                    wanted_key: hash("wanted_key")?,
                })
            })
            .collect()
    }

    /// Leg 2: one more attempt for open dead letters whose time has come; `attempts` are all of a cycle. Returns what is
    /// due because of it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn begin_next_cycle(
        &self,
        target: Target,
        attempts: u32,
    ) -> Result<Vec<EntityRef>, StoreError> {
        let attempts = i32::try_from(attempts).unwrap_or(i32::MAX);
        let client = self.client().await?;
        let query = client.prepare_cached(include_str!("../../sql/queries/next_cycle.sql")).await?;
        client.query(&query, &[&target.name(), &attempts]).await?.iter().map(entity).collect()
    }
}

/// A scan's rows: all of the chunk are returned, `found` tells those that matter.
fn changed<K>(
    rows: &[tokio_postgres::Row],
    key: impl Fn(&tokio_postgres::Row) -> Result<K, StoreError>,
) -> Result<Chunk<K>, StoreError> {
    let mut found = Vec::new();
    for row in rows {
        if row.try_get("found")? {
            found.push((row.try_get("id")?, row.try_get("modified_on")?));
        }
    }
    let is_full = i64::try_from(rows.len()).is_ok_and(|n| n >= limits::SWEEP_CHUNK_ROWS);
    let next = if is_full { rows.last().map(key).transpose()? } else { None };
    Ok((found, next))
}

fn last_of_full(rows: &[tokio_postgres::Row]) -> Result<Option<i64>, StoreError> {
    let is_full = i64::try_from(rows.len()).is_ok_and(|n| n >= limits::SWEEP_CHUNK_ROWS);
    match rows.last() {
        Some(row) if is_full => Ok(Some(row.try_get("id")?)),
        Some(_) | None => Ok(None),
    }
}
