//! The inbox: what was pulled and is not applied yet.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::session::Transaction;
use super::{Store, StoreError};
use crate::entity::EntityType;
use crate::hash::ContentHash;
use crate::limits;
use crate::remote::inbound::{Shape, Snapshot};
use crate::target::Target;

/// A row of the inbox that is to be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InboxRef {
    /// What it is in the EMS.
    pub entity_type: EntityType,
    /// Its number.
    pub inbox_id: i64,
}

/// Why a row of the inbox is put off, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutOff {
    /// The remote was away, or is busy with it: for a short while.
    Soon,
    /// Something is wrong with us, the database or the EMS's functions: ever longer, for ever.
    Later,
    /// It was an attempt, with values that can't be taken: ever longer, and after some attempts it is left to a person.
    Attempt,
}

/// How a content stands that a push has found.
#[derive(Debug, Clone, PartialEq)]
pub struct Stand {
    /// What it is in the EMS.
    pub entity_type: EntityType,
    /// Its id at the remote.
    pub remote_id: String,
    /// Exactly this was decided, with what lost of it kept, or it is our own: it may be written over.
    pub is_decided: bool,
    /// It is the record of an entity.
    pub is_known: bool,
    /// It is not decided before this.
    pub due_in: Duration,
}

/// Takes snapshots in, within a transaction. `requested_on`: when the request that showed them began, by the database's clock;
/// `nothing`: [`crate::remote::Remote::nothing`].
pub(super) async fn take_in(
    transaction: &Transaction<'_>,
    target: Target,
    requested_on: Timestamp,
    nothing: Option<ContentHash>,
    snapshots: &[Snapshot],
) -> Result<Vec<InboxRef>, StoreError> {
    take_in_rows(
        transaction,
        target,
        requested_on,
        nothing,
        snapshots.iter().map(|snapshot| row(snapshot, None)).collect(),
    )
    .await
}

async fn take_in_rows(
    transaction: &Transaction<'_>,
    target: Target,
    requested_on: Timestamp,
    nothing: Option<ContentHash>,
    rows: Vec<Value>,
) -> Result<Vec<InboxRef>, StoreError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let rows = Value::Array(rows);
    let nothing = nothing.map(|hash| hash.to_bytes());
    let query =
        transaction.prepare_cached(include_str!("../../sql/queries/inbox_take_in.sql")).await?;
    let taken =
        transaction.query(&query, &[&target.name(), &requested_on, &nothing, &rows]).await?;
    taken.iter().map(inbox_ref).collect()
}

impl Store {
    /// Takes snapshots in, in a transaction of its own. Returns what is to be decided now.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing is taken in.
    pub async fn take_in(
        &self,
        target: Target,
        requested_on: Timestamp,
        nothing: Option<ContentHash>,
        snapshots: &[Snapshot],
    ) -> Result<Vec<InboxRef>, StoreError> {
        super::retrying(|| async {
            let mut client = self.client().await?;
            let transaction = client.transaction().await?;
            let taken = take_in(&transaction, target, requested_on, nothing, snapshots).await?;
            transaction.commit().await?;
            Ok(taken)
        })
        .await
    }

    /// Takes in what pushes have found, each with the entity whose create it was, if it was one.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing is taken in.
    pub async fn take_in_found(
        &self,
        target: Target,
        requested_on: Timestamp,
        nothing: Option<ContentHash>,
        found: &[(Snapshot, Option<i64>)],
    ) -> Result<Vec<InboxRef>, StoreError> {
        let rows: Vec<Value> =
            found.iter().map(|(snapshot, wanted_by)| row(snapshot, *wanted_by)).collect();
        super::retrying(|| async {
            let mut client = self.client().await?;
            let transaction = client.transaction().await?;
            let taken =
                take_in_rows(&transaction, target, requested_on, nothing, rows.clone()).await?;
            transaction.commit().await?;
            Ok(taken)
        })
        .await
    }

    /// How contents stand that a push has found, once they are taken in.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn inbox_standing(
        &self,
        target: Target,
        found: &[(Snapshot, Option<i64>)],
    ) -> Result<Vec<Stand>, StoreError> {
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/inbox_standing.sql")).await?;
        let content = |(snapshot, wanted_by): &(Snapshot, Option<i64>)| {
            let hash = snapshot.hash().map(ContentHash::to_hex);
            json!({"entity_type": snapshot.entity_type.name(), "remote_id": snapshot.remote_id, "wanted_by": wanted_by, "hash": hash})
        };
        let contents = Value::Array(found.iter().map(content).collect());
        let rows = client.query(&query, &[&target.name(), &contents]).await?;
        let stand = |row: &tokio_postgres::Row| {
            let due_ms: Option<f64> = row.try_get("due_ms")?;
            let due_in = Duration::try_from_secs_f64(due_ms.unwrap_or_default() / 1_000.0);
            Ok(Stand {
                entity_type: entity_type(row)?,
                remote_id: row.try_get("remote_id")?,
                is_decided: row.try_get("is_decided")?,
                is_known: row.try_get("is_known")?,
                due_in: due_in.unwrap_or_default(),
            })
        };
        rows.iter().map(stand).collect()
    }

    /// Which of these rows are due, and whether they may become something new in the EMS.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn inbox_due_of(
        &self,
        target: Target,
        rows: &[i64],
    ) -> Result<Vec<(i64, bool)>, StoreError> {
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/inbox_due_of.sql")).await?;
        let rows = client.query(&query, &[&target.name(), &rows]).await?;
        rows.iter().map(|row| Ok((row.try_get("inbox_id")?, row.try_get("may_be_new")?))).collect()
    }

    /// Makes those of these rows due that wait for what has come by now, and returns them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn inbox_wait_is_over(
        &self,
        target: Target,
        rows: &[i64],
    ) -> Result<Vec<InboxRef>, StoreError> {
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/inbox_wait_is_over.sql")).await?;
        client.query(&query, &[&target.name(), &rows]).await?.iter().map(inbox_ref).collect()
    }

    /// Rows that are due, oldest first, to be published again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn inbox_due(&self, target: Target, rows: i64) -> Result<Vec<InboxRef>, StoreError> {
        let client = self.client().await?;
        let query = client.prepare_cached(include_str!("../../sql/queries/inbox_due.sql")).await?;
        client.query(&query, &[&target.name(), &rows]).await?.iter().map(inbox_ref).collect()
    }

    /// Rows that could not be decided are looked at again later: see [`PutOff`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn inbox_wait(
        &self,
        target: Target,
        rows: &[i64],
        error: &str,
        putting: PutOff,
    ) -> Result<(), StoreError> {
        super::retrying(|| async {
            let client = self.client().await?;
            let query =
                client.prepare_cached(include_str!("../../sql/queries/inbox_wait.sql")).await?;
            let least = limits::WAITING_LOOKS_AGAIN_AFTER;
            let longest = if putting == PutOff::Soon { least } else { limits::INBOUND_WAITS_MAX };
            let (least, longest) = (least.as_secs_f64(), longest.as_secs_f64());
            let is_attempt = putting == PutOff::Attempt;
            let most = limits::INBOUND_ATTEMPTS_MAX;
            let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
                [&target.name(), &rows, &least, &error, &is_attempt, &most, &longest];
            client.execute(&query, &parameters).await?;
            Ok(())
        })
        .await
    }

    /// A row of which the remote knows nothing any more is given up, unless the EMS has its entity. Whether it was.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn inbox_let_go(&self, target: Target, row: i64) -> Result<bool, StoreError> {
        super::retrying(|| async {
            let client = self.client().await?;
            let query =
                client.prepare_cached(include_str!("../../sql/queries/inbox_let_go.sql")).await?;
            Ok(client.execute(&query, &[&target.name(), &row]).await? > 0)
        })
        .await
    }

    /// By how much the target's clock is ahead of the database's, as far as it was measured.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn clock_ahead(&self, target: Target) -> Result<jiff::SignedDuration, StoreError> {
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/clock_ahead.sql")).await?;
        let ahead: i64 = client.query_one(&query, &[&target.name()]).await?.try_get(0)?;
        Ok(jiff::SignedDuration::from_millis(ahead))
    }
}

pub(super) fn inbox_ref(row: &tokio_postgres::Row) -> Result<InboxRef, StoreError> {
    Ok(InboxRef { entity_type: entity_type(row)?, inbox_id: row.try_get("inbox_id")? })
}

fn entity_type(row: &tokio_postgres::Row) -> Result<EntityType, StoreError> {
    let name: &str = row.try_get("entity_type")?;
    name.parse().map_err(|_| StoreError::Unexpected("an inbox row has an unknown entity type"))
}

fn row(snapshot: &Snapshot, wanted_by: Option<i64>) -> Value {
    let Snapshot { entity_type, remote_id, entity, shape, modified_on, parents } = snapshot;
    let shown = match shape {
        Shape::Stands { wire, extra } => {
            json!({ "shape": "stands", "body": wire.body, "extra": extra, "hash": wire.hash.to_hex() })
        }
        Shape::Removed { reason, successor } => {
            json!({ "shape": "removed", "reason": reason, "successor": successor })
        }
        Shape::Gone => json!({ "shape": "gone" }),
        Shape::Unreadable { why } => json!({ "shape": "unreadable", "reason": why }),
    };
    let mut row = json!({
        "entity_type": entity_type.name(),
        "remote_id": remote_id,
        "entity_id": entity.map(|entity| entity.id),
        "wanted_by": wanted_by,
        "modified_on": modified_on.map(|on| on.to_string()),
        "parents": parents,
    });
    if let (Value::Object(row), Value::Object(shown)) = (&mut row, shown) {
        row.extend(shown);
    }
    row
}
