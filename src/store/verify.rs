//! What `verify` reads of the records, and the scratch table that bounds its memory.

use std::collections::HashSet;

use jiff::Timestamp;
use uuid::Uuid;

use super::projections::with_projection;
use super::{Store, StoreError};
use crate::deliver::decision::SkipReason;
use crate::deliver::record::State;
use crate::entity::{EntityRef, EntityType};
use crate::hash::ContentHash;
use crate::limits;
use crate::sweep::verify::Finding;
use crate::target::Target;

/// A record, as far as a comparison needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyRecord {
    /// The entity's EMS id.
    pub id: i64,
    /// The id at the target.
    pub remote_id: Option<String>,
    /// The target is owed something for it.
    pub is_owed: bool,
    /// Something was pushed since the given moment.
    pub was_pushed_since: bool,
    /// The state that it was left in.
    pub state: String,
    /// Why.
    pub reason: Option<String>,
    /// What was pushed last, and what the target then said that it holds.
    pub confirmed: Option<(ContentHash, ContentHash)>,
}

impl VerifyRecord {
    /// It was skipped because its record at the target, or its parent's, was not known.
    pub(crate) fn is_out_of_scope(&self) -> bool {
        self.state == State::Skipped.name()
            && self.reason.as_deref() == Some(SkipReason::OutOfScope.name())
    }
}

/// What was found of one entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The entity's EMS id.
    pub id: i64,
    /// Its id at the target, if there is one.
    pub remote_id: Option<String>,
    /// What was found.
    pub finding: Finding,
    /// The state of its record.
    pub state: String,
    /// Why, in `snake_case`.
    pub reason: String,
    /// Names of the fields that differ, in the target's words.
    pub fields: Vec<String>,
}

impl Store {
    /// Takes away what walks left behind that died a day ago or more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn verify_begin(&self) -> Result<(), StoreError> {
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/verify_forget.sql")).await?;
        client.execute(&query, &[]).await?;
        Ok(())
    }

    /// Takes away what a walk wrote.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn verify_end(&self, run: Uuid) -> Result<(), StoreError> {
        let client = self.client().await?;
        let query = client.prepare_cached(include_str!("../../sql/queries/verify_end.sql")).await?;
        client.execute(&query, &[&run]).await?;
        Ok(())
    }

    /// The records of these entities, and those that hold these remote ids.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn verify_records(
        &self,
        target: Target,
        entity_type: EntityType,
        ids: &[i64],
        remote_ids: &[String],
        since: Timestamp,
    ) -> Result<Vec<VerifyRecord>, StoreError> {
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/verify_records.sql")).await?;
        let rows = client
            .query(&query, &[&target.name(), &entity_type.name(), &ids, &remote_ids, &since])
            .await?;
        rows.iter().map(record).collect()
    }

    /// Notes what was found.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn verify_note(
        &self,
        run: Uuid,
        entity_type: EntityType,
        found: &[Found],
    ) -> Result<(), StoreError> {
        if found.is_empty() {
            return Ok(());
        }
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/verify_note.sql")).await?;
        let ids: Vec<i64> = found.iter().map(|found| found.id).collect();
        let remote_ids: Vec<&str> =
            found.iter().map(|found| found.remote_id.as_deref().unwrap_or("")).collect();
        let findings: Vec<&str> = found.iter().map(|found| found.finding.name()).collect();
        let states: Vec<&str> = found.iter().map(|found| found.state.as_str()).collect();
        let reasons: Vec<&str> = found.iter().map(|found| found.reason.as_str()).collect();
        // An array of arrays of several lengths is none to Postgres.
        let fields: Vec<String> = found.iter().map(|found| found.fields.join(",")).collect();
        client
            .execute(
                &query,
                &[
                    &run,
                    &entity_type.name(),
                    &ids,
                    &remote_ids,
                    &findings,
                    &states,
                    &reasons,
                    &fields,
                ],
            )
            .await?;
        Ok(())
    }

    /// Entities after id `after` that the EMS shows and the walk has not seen, with their records.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn verify_unseen(
        &self,
        run: Uuid,
        target: Target,
        entity_type: EntityType,
        since: Timestamp,
        after: i64,
    ) -> Result<Vec<(i64, Option<VerifyRecord>)>, StoreError> {
        let sql = include_str!("../../sql/queries/verify_unseen.sql");
        let client = self.client().await?;
        let query = client.prepare_cached(&with_projection(sql, target, entity_type)).await?;
        let rows = &limits::AUDIT_CHUNK_ROWS;
        let rows = client
            .query(&query, &[&run, &target.name(), &entity_type.name(), &since, &after, rows])
            .await?;
        rows.iter()
            .map(|row| {
                let has_record = row.try_get("has_record")?;
                let record = if has_record { Some(record(row)?) } else { None };
                Ok((row.try_get("entity_id")?, record))
            })
            .collect()
    }

    /// How many entities were found in each way; those that differ in what the target ignores ([`crate::sweep::verify::IGNORED`]) apart.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn verify_counts(&self, run: Uuid) -> Result<Vec<(Finding, bool, i64)>, StoreError> {
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/verify_counts.sql")).await?;
        let rows = client.query(&query, &[&run]).await?;
        rows.iter()
            .map(|row| Ok((finding(row)?, row.try_get("is_ignored")?, row.try_get("entities")?)))
            .collect()
    }

    /// What is not matched, at most `rows` of it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn verify_rows(
        &self,
        run: Uuid,
        rows: i64,
    ) -> Result<Vec<(EntityRef, Found)>, StoreError> {
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/verify_rows.sql")).await?;
        let rows = client.query(&query, &[&run, &rows]).await?;
        rows.iter().map(found).collect()
    }

    /// What was found of one entity; several rows where the target has several of it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn verify_finding_of(
        &self,
        run: Uuid,
        entity: EntityRef,
    ) -> Result<Vec<(EntityRef, Found)>, StoreError> {
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/verify_finding_of.sql")).await?;
        let rows = client.query(&query, &[&run, &entity.entity_type.name(), &entity.id]).await?;
        rows.iter().map(found).collect()
    }

    /// Which of these entities were found missing or different.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn verify_differs(
        &self,
        run: Uuid,
        entity_type: EntityType,
        ids: &[i64],
    ) -> Result<HashSet<i64>, StoreError> {
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/verify_differs.sql")).await?;
        let rows = client.query(&query, &[&run, &entity_type.name(), &ids]).await?;
        rows.iter().map(|row| Ok(row.try_get("entity_id")?)).collect()
    }

    /// In how many entities each field differs.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn verify_fields(&self, run: Uuid) -> Result<Vec<(String, i64)>, StoreError> {
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/verify_fields.sql")).await?;
        let rows = client.query(&query, &[&run]).await?;
        rows.iter().map(|row| Ok((row.try_get("field")?, row.try_get("entities")?))).collect()
    }

    /// Entities after id `after` that were found missing or different.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn verify_to_owe(
        &self,
        run: Uuid,
        entity_type: EntityType,
        after: i64,
    ) -> Result<Vec<i64>, StoreError> {
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/verify_to_owe.sql")).await?;
        let rows = client
            .query(&query, &[&run, &entity_type.name(), &after, &limits::VERIFY_REPAIR_ROWS])
            .await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Owes the orphans that were found: their records, made where there are none, name the row that is to go. How many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn verify_owe_orphans(
        &self,
        run: Uuid,
        target: Target,
        entity_type: EntityType,
    ) -> Result<u64, StoreError> {
        let (mut all, mut after) = (0, i64::MIN);
        loop {
            let (owed, last) = super::retrying(|| async {
                let client = self.client().await?;
                let query = client
                    .prepare_cached(include_str!("../../sql/queries/verify_owe_orphans.sql"))
                    .await?;
                let rows = &limits::VERIFY_REPAIR_ROWS;
                let row = client
                    .query_one(&query, &[&run, &target.name(), &entity_type.name(), &after, rows])
                    .await?;
                let found: (i64, Option<i64>) = (row.try_get(0)?, row.try_get(1)?);
                Ok(found)
            })
            .await?;
            all += u64::try_from(owed).unwrap_or(0);
            match last {
                Some(last) => after = last,
                None => return Ok(all),
            }
        }
    }
}

fn record(row: &tokio_postgres::Row) -> Result<VerifyRecord, StoreError> {
    Ok(VerifyRecord {
        id: row.try_get("entity_id")?,
        remote_id: row.try_get("remote_id")?,
        is_owed: row.try_get("is_owed")?,
        was_pushed_since: row.try_get("was_pushed_since")?,
        state: row.try_get("state")?,
        reason: row.try_get("state_reason")?,
        confirmed: pushed(row, "data_hash")?.zip(pushed(row, "remote_hash")?),
    })
}

fn pushed(row: &tokio_postgres::Row, column: &str) -> Result<Option<ContentHash>, StoreError> {
    let bytes: Option<&[u8]> = row.try_get(column)?;
    Ok(bytes.and_then(ContentHash::from_bytes))
}

fn found(row: &tokio_postgres::Row) -> Result<(EntityRef, Found), StoreError> {
    let of = super::records::entity(row)?;
    let found = Found {
        id: of.id,
        remote_id: row.try_get("remote_id")?,
        finding: finding(row)?,
        state: row.try_get("state")?,
        reason: row.try_get("reason")?,
        fields: row.try_get("fields")?,
    };
    Ok((of, found))
}

fn finding(row: &tokio_postgres::Row) -> Result<Finding, StoreError> {
    let name: &str = row.try_get("finding")?;
    Finding::from_name(name)
        .ok_or(StoreError::Unexpected("sync.verify_row has a finding that is not known"))
}
