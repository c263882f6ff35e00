//! Periodic duties: each is done by one process at a time, and by another when that one falls silent.

use std::time::Duration;

use uuid::Uuid;

use super::{Store, StoreError};
use crate::limits;
use crate::target::Target;

/// A periodic duty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// The outbound sweep of a target.
    SweepOutbound,
    /// The inbound sweep of a target.
    SweepInbound,
    /// Bringing dead letters and their tokens into agreement.
    TidyTokens,
    /// Making and dropping the partitions of the audit trail.
    KeepAttempts,
    /// Dropping what is left of entities that went long ago.
    PurgeTombstones,
    /// Dropping what came back from a target and is of no more use.
    PurgeInbound,
}

impl Duty {
    /// The name in `sync.duty`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SweepOutbound => "sweep_outbound",
            Self::SweepInbound => "sweep_inbound",
            Self::TidyTokens => "tidy_tokens",
            Self::KeepAttempts => "keep_attempts",
            Self::PurgeTombstones => "purge_tombstones",
            Self::PurgeInbound => "purge_inbound",
        }
    }
}

impl Duty {
    /// After how much silence of its holder another may take it.
    const fn lease(self) -> std::time::Duration {
        match self {
            Self::TidyTokens => limits::TIDY_LEASE,
            Self::SweepOutbound
            | Self::SweepInbound
            | Self::KeepAttempts
            | Self::PurgeTombstones
            | Self::PurgeInbound => limits::DUTY_LEASE,
        }
    }
}

/// A duty that is ours until its lease ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DutyLease {
    duty: Duty,
    target: Target,
    owner: Uuid,
}

impl Store {
    /// Takes a duty if nobody has it and it was not begun within `every`; `None` otherwise.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn take_duty(
        &self,
        duty: Duty,
        target: Target,
        owner: Uuid,
        every: Duration,
    ) -> Result<Option<DutyLease>, StoreError> {
        let client = self.client().await?;
        let query = client.prepare_cached(include_str!("../../sql/queries/duty_take.sql")).await?;
        let lease = duty.lease().as_secs_f64();
        let taken = client
            .execute(&query, &[&duty.name(), &target.name(), &owner, &every.as_secs_f64(), &lease])
            .await?;
        Ok((taken == 1).then_some(DutyLease { duty, target, owner }))
    }

    /// Says that the duty is still being done; `false` when another has taken it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn keep_duty(&self, lease: &DutyLease) -> Result<bool, StoreError> {
        let client = self.client().await?;
        let query = client.prepare_cached(include_str!("../../sql/queries/duty_keep.sql")).await?;
        let seconds = lease.duty.lease().as_secs_f64();
        let kept = client
            .execute(&query, &[&lease.duty.name(), &lease.target.name(), &lease.owner, &seconds])
            .await?;
        Ok(kept == 1)
    }

    /// Makes the next daily partitions of the audit trail and drops the old ones.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn keep_attempts(&self) -> Result<(), StoreError> {
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/attempts_keep.sql")).await?;
        client.query(&query, &[&limits::ATTEMPTS_KEPT_DAYS]).await?;
        Ok(())
    }

    /// Ends a run that failed: whoever looks after [`limits::DUTY_AGAIN_AFTER`], or after `every` where that is shorter, may take
    /// the duty.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn give_duty_back(
        &self,
        lease: &DutyLease,
        every: Duration,
    ) -> Result<(), StoreError> {
        let client = self.client().await?;
        let query =
            client.prepare_cached(include_str!("../../sql/queries/duty_give_back.sql")).await?;
        let (every, again) = (every.as_secs_f64(), limits::DUTY_AGAIN_AFTER.as_secs_f64());
        client
            .execute(
                &query,
                &[&lease.duty.name(), &lease.target.name(), &lease.owner, &every, &again],
            )
            .await?;
        Ok(())
    }

    /// Ends the duty's run, with how much it found.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn end_duty(
        &self,
        lease: &DutyLease,
        found: i64,
        finished: bool,
    ) -> Result<(), StoreError> {
        let client = self.client().await?;
        let query = client.prepare_cached(include_str!("../../sql/queries/duty_end.sql")).await?;
        client
            .execute(
                &query,
                &[&lease.duty.name(), &lease.target.name(), &lease.owner, &found, &finished],
            )
            .await?;
        Ok(())
    }
}
