//! The shared state of the targets: what people and the breaker decided, read by every process.

use std::time::Duration;

use jiff::Timestamp;

use super::{Store, StoreError};
use crate::target::Target;

/// The breaker, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Requests go through.
    Closed,
    /// No request goes through until its pause is over.
    Open,
    /// One process probes.
    HalfOpen,
}

impl BreakerState {
    /// The name in the table and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// The shared state of one target.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetState {
    /// The target.
    pub target: Target,
    /// A person paused it.
    pub paused: bool,
    /// A person or a refusal disabled it.
    pub disabled: bool,
    /// Why, when it is disabled.
    pub disabled_reason: Option<String>,
    /// The breaker.
    pub breaker: BreakerState,
    /// The breaker's pause is over.
    pub breaker_is_due: bool,
    /// Consecutive failures, or opened pauses in a row while open.
    pub breaker_failures: i32,
    /// The target asked for a pause until then; `None` when it is over.
    pub throttled_until: Option<Timestamp>,
    /// When the breaker lets a probe through.
    pub breaker_until: Option<Timestamp>,
    /// The last error of the target as a whole.
    pub last_error: Option<String>,
}

impl TargetState {
    /// Whether deliveries may be consumed and published now.
    #[must_use]
    pub const fn is_open_for_business(&self) -> bool {
        !self.paused
            && !self.disabled
            && self.throttled_until.is_none()
            && matches!(self.breaker, BreakerState::Closed)
    }
}

impl Store {
    /// The shared state of every target.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn target_states(&self) -> Result<Vec<TargetState>, StoreError> {
        let client = self.client().await?;
        let query = client.prepare_cached(include_str!("../../sql/queries/targets.sql")).await?;
        client.query(&query, &[]).await?.iter().map(state).collect()
    }

    /// A person pauses, resumes, enables or disables a target. Enabling closes the breaker. Returns whether the
    /// target was enabled before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_target(
        &self,
        target: Target,
        order: &str,
        reason: Option<&str>,
        by: &str,
    ) -> Result<bool, StoreError> {
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/target_order.sql")).await?;
        let row = client.query_one(&query, &[&target.name(), &order, &reason, &by]).await?;
        Ok(row.try_get(0)?)
    }

    /// Every process keeps away from the target for this long.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn throttle(&self, target: Target, pause: Duration) -> Result<(), StoreError> {
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/target_throttle.sql")).await?;
        client.execute(&query, &[&target.name(), &pause.as_secs_f64()]).await?;
        Ok(())
    }

    /// Opens the breaker for this long, from `from`; says whether it was there.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_breaker(
        &self,
        target: Target,
        from: BreakerState,
        to: BreakerState,
        pause: Duration,
        error: Option<&str>,
    ) -> Result<bool, StoreError> {
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/target_breaker.sql")).await?;
        let changed = client
            .execute(
                &query,
                &[&target.name(), &from.name(), &to.name(), &pause.as_secs_f64(), &error],
            )
            .await?;
        Ok(changed == 1)
    }
}

fn state(row: &tokio_postgres::Row) -> Result<TargetState, StoreError> {
    let target: &str = row.try_get("target")?;
    let breaker: &str = row.try_get("breaker")?;
    Ok(TargetState {
        target: target
            .parse()
            .map_err(|_| StoreError::Unexpected("sync.target has a target that is not known"))?,
        paused: row.try_get("paused")?,
        disabled: row.try_get("disabled")?,
        disabled_reason: row.try_get("disabled_reason")?,
        breaker: match breaker {
            "open" => BreakerState::Open,
            "half_open" => BreakerState::HalfOpen,
            _ => BreakerState::Closed,
        },
        breaker_is_due: row.try_get("breaker_is_due")?,
        breaker_failures: row.try_get("breaker_failures")?,
        throttled_until: row.try_get("throttled_until")?,
        breaker_until: row.try_get("breaker_until")?,
        last_error: row.try_get("last_error")?,
    })
}
