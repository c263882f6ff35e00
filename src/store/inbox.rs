//! The inbox: what was pulled and is not applied yet.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::session::Transaction;
use super::{Store, StoreError};
use crate::entity::EntityType;
use crate::hash::ContentHash;
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
}

fn inbox_ref(row: &tokio_postgres::Row) -> Result<InboxRef, StoreError> {
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
