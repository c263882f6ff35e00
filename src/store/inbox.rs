//! The inbox: what was pulled and is not applied yet.

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

/// Takes snapshots in, within a transaction. `requested_on`: when the request that showed them began, by the database's clock;
/// `nothing`: [`crate::remote::Remote::nothing`].
pub(super) async fn take_in(
    transaction: &Transaction<'_>,
    target: Target,
    requested_on: Timestamp,
    nothing: Option<ContentHash>,
    snapshots: &[Snapshot],
) -> Result<Vec<InboxRef>, StoreError> {
    if snapshots.is_empty() {
        return Ok(Vec::new());
    }
    let rows = Value::Array(snapshots.iter().map(row).collect());
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

    /// Which of these rows are due, and whether it is known whose they are.
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
        rows.iter().map(|row| Ok((row.try_get("inbox_id")?, row.try_get("is_known")?))).collect()
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

    /// Rows that could not be decided are looked at again later: after a while where the remote was away, each time later where
    /// something is wrong with them (`is_attempt`), and after some attempts by a person.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn inbox_wait(
        &self,
        target: Target,
        rows: &[i64],
        error: &str,
        is_attempt: bool,
    ) -> Result<(), StoreError> {
        super::retrying(|| async {
            let client = self.client().await?;
            let query =
                client.prepare_cached(include_str!("../../sql/queries/inbox_wait.sql")).await?;
            let seconds = limits::WAITING_LOOKS_AGAIN_AFTER.as_secs_f64();
            let most = limits::INBOUND_ATTEMPTS_MAX;
            let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
                [&target.name(), &rows, &seconds, &error, &is_attempt, &most];
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
    let entity_type: &str = row.try_get("entity_type")?;
    let entity_type = entity_type
        .parse()
        .map_err(|_| StoreError::Unexpected("an inbox row has an unknown entity type"))?;
    Ok(InboxRef { entity_type, inbox_id: row.try_get("inbox_id")? })
}

fn row(snapshot: &Snapshot) -> Value {
    let Snapshot { entity_type, remote_id, entity, shape, modified_on, parents } = snapshot;
    let mut row = json!({
        "entity_type": entity_type.name(),
        "remote_id": remote_id,
        "entity_id": entity.map(|entity| entity.id),
        "modified_on": modified_on.map(|on| on.to_string()),
        "parents": parents,
    });
    match shape {
        Shape::Stands { wire, extra } => {
            row["shape"] = json!("stands");
            row["body"] = wire.body.clone();
            row["extra"] = Value::Object(extra.clone());
            row["hash"] = json!(wire.hash.to_hex());
        }
        Shape::Removed { reason, successor } => {
            row["shape"] = json!("removed");
            row["reason"] = json!(reason);
            row["successor"] = json!(successor);
        }
        Shape::Gone => row["shape"] = json!("gone"),
    }
    row
}
