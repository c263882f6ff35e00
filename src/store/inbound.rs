//! The transaction in which one row of the inbox is decided and applied: one snapshot of the database from the first test to the
//! last write. Locks are taken in the order inbox row, EMS rows, sync record.

mod outcome;
mod rows;

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

pub use self::outcome::{
    AgreedOutcome, ConflictOutcome, Contents, Outcome, RecordOutcome, RowOutcome, Shown,
};
pub use self::rows::{FOR_REMOVAL, InboundRecord, InboxRow, Standing};
use self::rows::{inbound_record, inbox_row};
use super::inbox::InboxRef;
use super::projections::{Projection, projection, with_projection};
use super::records::entity;
use super::session::{Session, Transaction};
use super::{Store, StoreError};
use crate::entity::{EntityRef, EntityType};
use crate::hash::ContentHash;
use crate::remote::RemoteIds;
use crate::target::Target;

/// What the EMS did with a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// It took it: the entity.
    As(i64),
    /// Its policy makes nothing of it.
    Nothing,
    /// It does not take it, for this reason, which names no value.
    Refused(String),
}

/// What follows from a decision.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Followed {
    /// To be pushed now.
    pub owed: Vec<EntityRef>,
    /// Rows of the inbox that are due now.
    pub inbox: Vec<InboxRef>,
}

/// A connection for inbound transactions, one after another.
pub struct InboundSession(Session);

/// A transaction that decides about one row of the inbox; rolled back unless it is committed.
pub struct Inbound<'a> {
    transaction: Transaction<'a>,
    target: Target,
}

impl Store {
    /// A connection for inbound transactions.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn inbound(&self) -> Result<InboundSession, StoreError> {
        Ok(InboundSession(self.client().await?))
    }

    /// Notes what is about to be sent by the holder of the leases, so that it is known for our own write when it comes back.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn mark_sent(
        &self,
        target: Target,
        owner: Uuid,
        sending: &[(EntityRef, ContentHash)],
    ) -> Result<(), StoreError> {
        if sending.is_empty() {
            return Ok(());
        }
        let types: Vec<&str> = sending.iter().map(|(e, _)| e.entity_type.name()).collect();
        let ids: Vec<i64> = sending.iter().map(|(e, _)| e.id).collect();
        let hashes: Vec<String> = sending.iter().map(|(_, hash)| hash.to_hex()).collect();
        super::retrying(|| async {
            let client = self.client().await?;
            let mark =
                client.prepare_cached(include_str!("../../sql/queries/mark_sent.sql")).await?;
            client.execute(&mark, &[&target.name(), &owner, &types, &ids, &hashes]).await?;
            Ok(())
        })
        .await
    }
}

impl InboundSession {
    /// Begins. `alone`: nobody else makes something of a remote record that nobody knows until this ends.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn begin(&mut self, target: Target, alone: bool) -> Result<Inbound<'_>, StoreError> {
        let transaction = self.0.transaction().await?;
        transaction.batch_execute("set transaction isolation level repeatable read").await?;
        if alone {
            // Before the first query: the snapshot of the database is taken after the lock.
            transaction
                .batch_execute("lock table sync.newcomer in share row exclusive mode")
                .await?;
        }
        Ok(Inbound { transaction, target })
    }
}

impl Inbound<'_> {
    /// Locks a row of the inbox; `None` when it is not due, or somebody else has it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn row(&self, inbox_id: i64) -> Result<Option<InboxRow>, StoreError> {
        let sql = include_str!("../../sql/queries/inbox_lock.sql");
        let query = self.transaction.prepare_cached(sql).await?;
        let rows = self.transaction.query(&query, &[&self.target.name(), &inbox_id]).await?;
        rows.first().map(inbox_row).transpose()
    }

    /// Locks the EMS rows of an entity. Whether the EMS has it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn lock(&self, entity: EntityRef) -> Result<bool, StoreError> {
        let sql = include_str!("../../sql/queries/inbound_lock.sql");
        let query = self.transaction.prepare_cached(sql).await?;
        let (target, entity_type) = (self.target.name(), entity.entity_type.name());
        let row = self.transaction.query_one(&query, &[&target, &entity_type, &entity.id]).await?;
        Ok(row.try_get(0)?)
    }

    /// Locks the record of an entity.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn record(
        &self,
        entity: EntityRef,
        requested_on: Timestamp,
    ) -> Result<Option<InboundRecord>, StoreError> {
        let sql = include_str!("../../sql/queries/inbox_record.sql");
        let query = self.transaction.prepare_cached(sql).await?;
        let (target, entity_type) = (self.target.name(), entity.entity_type.name());
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&target, &entity_type, &entity.id, &requested_on];
        let rows = self.transaction.query(&query, &parameters).await?;
        rows.first().map(inbound_record).transpose()
    }

    /// What the target may see of an entity.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn projection(&self, entity: EntityRef) -> Result<Option<Projection>, StoreError> {
        let sql = include_str!("../../sql/queries/projections.sql");
        let sql = with_projection(sql, self.target, entity.entity_type);
        let query = self.transaction.prepare_cached(&sql).await?;
        let rows = self.transaction.query(&query, &[&vec![entity.id]]).await?;
        rows.first().map(|row| projection(entity.entity_type, row)).transpose()
    }

    /// The remote ids of these entities.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remote_ids(&self, entities: &[EntityRef]) -> Result<RemoteIds, StoreError> {
        if entities.is_empty() {
            return Ok(RemoteIds::new());
        }
        let types: Vec<&str> = entities.iter().map(|e| e.entity_type.name()).collect();
        let ids: Vec<i64> = entities.iter().map(|e| e.id).collect();
        let sql = include_str!("../../sql/queries/remote_ids.sql");
        let query = self.transaction.prepare_cached(sql).await?;
        let rows = self.transaction.query(&query, &[&self.target.name(), &types, &ids]).await?;
        rows.iter().map(|row| Ok((entity(row)?, row.try_get("remote_id")?))).collect()
    }

    /// Whose a record may be that nobody knows, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn matches(
        &self,
        entity_type: EntityType,
        fields: &Value,
        limit: i64,
    ) -> Result<Vec<EntityRef>, StoreError> {
        let sql = include_str!("../../sql/queries/inbound_match.sql");
        let query = self.transaction.prepare_cached(sql).await?;
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&self.target.name(), &entity_type.name(), fields, &limit];
        self.transaction.query(&query, &parameters).await?.iter().map(entity).collect()
    }

    /// Has the EMS take fields, into `id` or as something new; or that people took the record out (`removed`: their reason).
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn apply(
        &self,
        entity_type: EntityType,
        id: Option<i64>,
        fields: &Value,
        removed: Option<&str>,
    ) -> Result<Taken, StoreError> {
        let sql = include_str!("../../sql/queries/inbound_apply.sql");
        let query = self.transaction.prepare_cached(sql).await?;
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
            [&self.target.name(), &entity_type.name(), &id, fields, &removed];
        let row = self.transaction.query_one(&query, &parameters).await?;
        let refused: Option<String> = row.try_get("refused")?;
        let taken: Option<i64> = row.try_get("taken")?;
        Ok(match (refused, taken) {
            (Some(why), _) => Taken::Refused(why),
            (None, Some(id)) => Taken::As(id),
            (None, None) => Taken::Nothing,
        })
    }

    /// Writes down what was decided.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn write(&self, inbox_id: i64, outcome: &Outcome) -> Result<Followed, StoreError> {
        let outcome = serde_json::to_value(outcome)
            .map_err(|_| StoreError::Unexpected("a decision can't be written as JSON"))?;
        let sql = include_str!("../../sql/queries/took_in.sql");
        let query = self.transaction.prepare_cached(sql).await?;
        let rows =
            self.transaction.query(&query, &[&self.target.name(), &inbox_id, &outcome]).await?;
        followed(&rows)
    }

    /// Ends it without a trace. A transaction that is merely dropped goes on holding its locks for a moment, and whoever tries the
    /// row again at once takes it for somebody else's.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn roll_back(self) -> Result<(), StoreError> {
        self.transaction.rollback().await
    }

    /// Commits.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn commit(self) -> Result<(), StoreError> {
        self.transaction.commit().await
    }

    pub(super) const fn transaction(&self) -> &Transaction<'_> {
        &self.transaction
    }
}

fn followed(rows: &[tokio_postgres::Row]) -> Result<Followed, StoreError> {
    let mut followed = Followed::default();
    for row in rows {
        let kind: &str = row.try_get("kind")?;
        let EntityRef { entity_type, id } = entity(row)?;
        match kind {
            "owed" => followed.owed.push(EntityRef::new(entity_type, id)),
            "inbox" => followed.inbox.push(InboxRef { entity_type, inbox_id: id }),
            _ => {}
        }
    }
    Ok(followed)
}
