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
    /// At which target; `None` where it concerned several, or nobody knows.
    pub target: Option<Target>,
    /// What, in `snake_case`.
    pub event: String,
    /// More about it: why, how many, of which entity.
    pub detail: Option<String>,
    /// Who.
    pub by: String,
}

/// What can be ordered of a whole target, besides what stands in `sync.target_event`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WholeTarget {
    /// `verify --repair`.
    Repair,
    /// `resync`.
    Resync,
    /// `sweep inbound --accept-missing`.
    AcceptMissing,
}

impl WholeTarget {
    /// The word in the audit trail.
    const fn event(self) -> &'static str {
        match self {
            Self::Repair => "repair_ordered",
            Self::Resync => "resync_ordered",
            Self::AcceptMissing => "missing_accepted",
        }
    }
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
                let target: Option<&str> = row.try_get("target")?;
                let target = target.map(str::parse).transpose();
                Ok(AuditEvent {
                    happened_on: row.try_get("happened_on")?,
                    target: target.map_err(|_| {
                        StoreError::Unexpected("the audit trail has an unknown target")
                    })?,
                    event: row.try_get("event")?,
                    detail: row.try_get("detail")?,
                    by: row.try_get("by")?,
                })
            })
            .collect()
    }

    /// Notes that what somebody began was not done: refused, or `failed`. `detail` says what it was and why, and nothing personal.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn note_not_done(
        &self,
        target: Option<Target>,
        number: Option<i64>,
        detail: &str,
        failed: bool,
        by: &str,
    ) -> Result<(), StoreError> {
        let event = if failed { "action_failed" } else { "action_refused" };
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/action_not_done.sql")).await?;
        let target = target.map(Target::name);
        client.execute(&query, &[&target, &event, &number, &detail, &by]).await?;
        Ok(())
    }

    /// Notes what somebody has ordered of a whole target, before it is done. `detail` says what of, and nothing personal.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn note_order(
        &self,
        target: Target,
        order: WholeTarget,
        detail: Option<&str>,
        by: &str,
    ) -> Result<(), StoreError> {
        let client = self.client().await?;
        let query = client.prepare_cached(include_str!("../../sql/queries/order_note.sql")).await?;
        client.execute(&query, &[&target.name(), &order.event(), &detail, &by]).await?;
        Ok(())
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
