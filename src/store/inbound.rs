//! The transaction in which one row of the inbox is decided and applied: one snapshot of the database from the first test to the
//! last write. Locks are taken in the order inbox row, EMS rows, sync record.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::inbox::{InboxRef, inbox_ref};
use super::projections::{Projection, projection, with_projection};
use super::records::entity;
use super::session::{Session, Transaction};
use super::{Store, StoreError};
use crate::entity::{EntityRef, EntityType};
use crate::hash::ContentHash;
use crate::inbound::merge::{Agreed, Digests, LosingField};
use crate::remote::RemoteIds;
use crate::target::Target;

/// A row of the inbox that was locked, with whose it is.
#[derive(Debug, Clone, PartialEq)]
pub struct InboxRow {
    /// Its number.
    pub inbox_id: i64,
    /// What it is in the EMS.
    pub entity_type: EntityType,
    /// Its id at the remote.
    pub remote_id: String,
    /// `stands`, `removed` or `gone`.
    pub shape: Standing,
    /// When it was changed there, by our clock.
    pub modified_on: Option<Timestamp>,
    /// When the request began that showed it.
    pub requested_on: Timestamp,
    /// The EMS entity that it says it is, or that a person chose.
    pub carried: Option<i64>,
    /// A person chose whose it is: EMS ids by the names of their types.
    pub chosen: Map<String, Value>,
    /// Whose record it is.
    pub known: Option<i64>,
    /// Whose record it was, of an entity that the EMS has deleted.
    pub forgotten: Option<i64>,
    /// Its parents that are known, by type.
    pub parents: Vec<EntityRef>,
    /// A parent without which nothing is applied is not known.
    pub lacks_parent: bool,
    /// For how many seconds the row has been there.
    pub age: f64,
}

/// How the remote record stood.
#[derive(Clone, PartialEq)]
pub enum Standing {
    /// It stood there with this content.
    Stands {
        /// The content, in the normal form of what we push.
        body: Value,
        /// What else the EMS may take.
        extra: Map<String, Value>,
        /// The hash of the content.
        hash: ContentHash,
    },
    /// People took it out there.
    Removed {
        /// In the remote's word.
        reason: String,
        /// A record in its place that is nobody's yet.
        successor: Option<String>,
    },
    /// There is none.
    Gone,
}

impl std::fmt::Debug for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Stands { .. } => "Stands",
            Self::Removed { .. } => "Removed",
            Self::Gone => "Gone",
        })
    }
}

/// A locked sync record, as an inbound decision sees it.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about a record")]
pub struct InboundRecord {
    /// Its id at the remote.
    pub remote_id: Option<String>,
    /// What was pushed last.
    pub data_hash: Option<ContentHash>,
    /// What the remote said last that it holds.
    pub remote_hash: Option<ContentHash>,
    /// What was sent and not confirmed.
    pub sent: Vec<ContentHash>,
    /// A write may have happened that no answer confirmed.
    pub in_doubt: bool,
    /// An EMS change is not pushed yet.
    pub owed: bool,
    /// A push is under way.
    pub pushed_now: bool,
    /// A push has ended since the snapshot's request began.
    pub pushed_since: bool,
    /// The entity is deleted in the EMS, and the target knows.
    pub tombstoned: bool,
    /// The EMS shows nothing of it to the target.
    pub gone: bool,
    /// The remote's change that was taken last.
    pub remote_synced_on: Option<Timestamp>,
    /// The version that the EMS had after it took something.
    pub taken_modified_on: Option<Timestamp>,
    /// What both sides held when they agreed last.
    pub agreed: Option<Agreed>,
}

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

/// What becomes of the inbox row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RowOutcome {
    /// `deleted`, `done`, `held`, `rejected`, `waiting` or `pending`.
    pub state: &'static str,
    /// Why, in `snake_case`.
    pub reason: Option<&'static str>,
    /// What went wrong, without anything personal.
    pub error: Option<String>,
    /// When it is looked at again.
    pub due_ms: u64,
    /// It counts as an attempt.
    pub is_attempt: bool,
    /// The entity, as `type:id`, that makes it due.
    pub waits_for: Option<String>,
}

impl RowOutcome {
    /// It is decided.
    #[must_use]
    pub const fn of(state: &'static str, reason: Option<&'static str>) -> Self {
        Self { state, reason, error: None, due_ms: 0, is_attempt: false, waits_for: None }
    }
}

/// What is known of the record from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct RecordOutcome {
    /// Its id at the remote.
    pub remote_id: Option<String>,
    /// What the remote holds.
    pub remote_hash: Option<String>,
    /// The remote's change that this was.
    pub synced_on: Option<Timestamp>,
    /// `removed` or `gone`: there is no record there any more.
    pub ending: Option<&'static str>,
    /// What the EMS shows now, where that is what the remote holds or is to hold.
    pub projection: Option<Shown>,
    /// The version of the EMS after it took something.
    pub taken_on: Option<Timestamp>,
}

/// What a projection shows, as the record keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// The hash of its content.
    pub data_hash: Option<String>,
    /// Its version.
    pub modified_on: Timestamp,
    /// The entities that it names.
    pub parents: Vec<String>,
    /// Columns that are not blank.
    pub holds: BTreeSet<String>,
    /// Consents.
    pub consents: BTreeSet<String>,
    /// What at most one record may hold.
    pub match_key: Option<String>,
}

/// Digests of both sides; without those of the EMS the old ones stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AgreedOutcome {
    /// The EMS.
    pub ems: Option<Digests>,
    /// The remote.
    pub remote: Digests,
}

/// What lost, or waits for a person.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConflictOutcome {
    /// [`crate::inbound::decision::Reason`].
    pub reason: &'static str,
    /// The remote's values that lost.
    pub fields: Vec<LosingField>,
    /// Whose it may be.
    pub candidates: Vec<i64>,
    /// What the candidates are.
    pub candidate_type: Option<EntityType>,
    /// What the remote held.
    pub remote_hash: Option<String>,
    /// The version of the EMS.
    pub ems_modified_on: Option<Timestamp>,
    /// When the remote changed it.
    pub remote_modified_on: Option<Timestamp>,
}

/// What was decided about a row of the inbox, as `sync.took_in` writes it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// Whose it is.
    pub entity_id: Option<i64>,
    /// The inbox row.
    pub row: RowOutcome,
    /// The sync record; `None` leaves it.
    pub record: Option<RecordOutcome>,
    /// What both sides agree on; `None` leaves it.
    pub agreed: Option<AgreedOutcome>,
    /// What lost.
    pub conflict: Option<ConflictOutcome>,
    /// The EMS is pushed again.
    pub reassert: bool,
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

    /// Locks the EMS rows of an entity.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn lock(&self, entity: EntityRef) -> Result<(), StoreError> {
        let sql = include_str!("../../sql/queries/inbound_lock.sql");
        let query = self.transaction.prepare_cached(sql).await?;
        let (target, entity_type) = (self.target.name(), entity.entity_type.name());
        self.transaction.query(&query, &[&target, &entity_type, &entity.id]).await?;
        Ok(())
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

fn hash(row: &tokio_postgres::Row, column: &str) -> Result<Option<ContentHash>, StoreError> {
    let bytes: Option<&[u8]> = row.try_get(column)?;
    Ok(bytes.and_then(ContentHash::from_bytes))
}

fn object(row: &tokio_postgres::Row, column: &str) -> Result<Map<String, Value>, StoreError> {
    match row.try_get(column)? {
        Some(Value::Object(fields)) => Ok(fields),
        Some(_) => Err(StoreError::Unexpected("an inbox row holds no object")),
        None => Ok(Map::new()),
    }
}

fn digests(row: &tokio_postgres::Row, column: &str) -> Result<Option<Digests>, StoreError> {
    let value: Option<Value> = row.try_get(column)?;
    Ok(value.and_then(|value| serde_json::from_value(value).ok()))
}

fn inbox_row(row: &tokio_postgres::Row) -> Result<InboxRow, StoreError> {
    let InboxRef { entity_type, inbox_id } = inbox_ref(row)?;
    let shape: &str = row.try_get("shape")?;
    let has_successor: bool = row.try_get("has_successor")?;
    let shape = match shape {
        "stands" => Standing::Stands {
            body: row.try_get::<_, Option<Value>>("body")?.unwrap_or_default(),
            extra: object(row, "extra")?,
            hash: hash(row, "hash")?.ok_or(StoreError::Unexpected("a snapshot has no hash"))?,
        },
        "removed" => Standing::Removed {
            reason: row.try_get::<_, Option<String>>("reason")?.unwrap_or_default(),
            successor: row.try_get::<_, Option<String>>("successor")?.filter(|_| has_successor),
        },
        _ => Standing::Gone,
    };
    let chosen = object(row, "chosen")?;
    let chosen_itself = chosen.get(entity_type.name()).and_then(Value::as_i64);
    let parents: Value = row.try_get("known_parents")?;
    let (mut known_parents, mut lacks_parent) = (Vec::new(), false);
    for parent in parents.as_array().into_iter().flatten() {
        let kind = parent["entity_type"].as_str().and_then(|name| name.parse().ok());
        match (kind, parent["id"].as_i64()) {
            (Some(kind), Some(id)) => known_parents.push(EntityRef::new(kind, id)),
            _ => lacks_parent |= parent["required"] == Value::Bool(true),
        }
    }
    Ok(InboxRow {
        inbox_id,
        entity_type,
        remote_id: row.try_get("remote_id")?,
        shape,
        modified_on: row.try_get("modified_on")?,
        requested_on: row.try_get("requested_on")?,
        carried: chosen_itself.or(row.try_get("entity_id")?),
        chosen,
        known: row.try_get("known_id")?,
        forgotten: row.try_get("forgotten_id")?,
        parents: known_parents,
        lacks_parent,
        age: row.try_get("age")?,
    })
}

fn inbound_record(row: &tokio_postgres::Row) -> Result<InboundRecord, StoreError> {
    let sent: Vec<&[u8]> = row.try_get("sent_hashes")?;
    let agreed = match (digests(row, "agreed_ems")?, digests(row, "agreed_remote")?) {
        (Some(ems), Some(remote)) => Some(Agreed { ems, remote }),
        _ => None,
    };
    Ok(InboundRecord {
        remote_id: row.try_get("remote_id")?,
        data_hash: hash(row, "data_hash")?,
        remote_hash: hash(row, "remote_hash")?,
        sent: sent.into_iter().filter_map(ContentHash::from_bytes).collect(),
        in_doubt: row.try_get("in_doubt")?,
        owed: row.try_get("owed")?,
        pushed_now: row.try_get("pushed_now")?,
        pushed_since: row.try_get("pushed_since")?,
        tombstoned: row.try_get("tombstoned")?,
        gone: row.try_get("gone")?,
        remote_synced_on: row.try_get("remote_synced_on")?,
        taken_modified_on: row.try_get("taken_modified_on")?,
        agreed,
    })
}
