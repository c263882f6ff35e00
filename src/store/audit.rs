//! What people ordered and decided, and what the breaker and the guard did by themselves.

use jiff::Timestamp;
use serde::Serialize;

use super::{Store, StoreError};
use crate::limits;
use crate::target::Target;

/// One line of the audit trail (view `sync.audit`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditEvent {
    /// When.
    pub happened_on: Timestamp,
    /// At which target.
    pub target: Target,
    /// What, in `snake_case`.
    pub event: String,
    /// More about it: why, how many, of which entity.
    pub detail: Option<String>,
    /// Who.
    pub by: String,
}

impl Store {
    /// The newest `rows` lines of the audit trail, of one target or all.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn audit(
        &self,
        target: Option<Target>,
        rows: i64,
    ) -> Result<Vec<AuditEvent>, StoreError> {
        let client = self.client().await?;
        let query = client.prepare_cached(include_str!("../../sql/queries/audit.sql")).await?;
        let rows = client.query(&query, &[&target.map(Target::name), &rows]).await?;
        rows.iter()
            .map(|row| {
                let target: &str = row.try_get("target")?;
                Ok(AuditEvent {
                    happened_on: row.try_get("happened_on")?,
                    target: target.parse().map_err(|_| {
                        StoreError::Unexpected("the audit trail has an unknown target")
                    })?,
                    event: row.try_get("event")?,
                    detail: row.try_get("detail")?,
                    by: row.try_get("by")?,
                })
            })
            .collect()
    }

    /// Forgets what people did long ago; how many lines.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn purge_operator_events(&self) -> Result<u64, StoreError> {
        let client = self.client().await?;
        let query = client
            .prepare_cached(include_str!("../../sql/queries/operator_events_purge.sql"))
            .await?;
        client.execute(&query, &[&limits::OPERATOR_EVENTS_KEPT_DAYS]).await
    }
}
