//! When to sweep: every interval, by whichever process takes the duty first.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Extent, Found, SweepError, Sweeper};
use crate::error_chain::chain;
use crate::limits;
use crate::ops::progress::Beat;
use crate::remote::Remote;
use crate::store::{Duty, DutyLease, StoreError};

/// What is dropped when it is old, and how often.
const PURGES: [(Duty, Duration); 2] = [
    (Duty::PurgeTombstones, limits::TOMBSTONES_PURGED_EVERY),
    (Duty::PurgeInbound, limits::INBOUND_PURGED_EVERY),
];

impl<R: Remote> Sweeper<R> {
    /// Sweeps every `every`, until `stop`.
    pub async fn run(&self, every: Duration, stop: CancellationToken) {
        let owner = Uuid::new_v4();
        let target = self.remote.target();
        // Looks more often than it sweeps, so that a duty whose holder fell silent is taken over soon.
        let look_every = (every / 10).clamp(Duration::from_millis(200), Duration::from_secs(10));
        while !stop.is_cancelled() {
            self.beat.waits();
            let swept = self.sweep_if_due(every, owner).await;
            show(&self.beat, &swept);
            match swept {
                Ok(Some(found)) if found.total() > 0 => {
                    tracing::info!(target.name = %target, ?found, "The outbound sweep found what events had not told");
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(target.name = %target, error = %chain(&error), "The outbound sweep ended early");
                }
            }
            if let Err(error) = self.keep_attempts(owner).await {
                tracing::warn!(error = %chain(&error), "The audit trail's partitions can't be kept; tried again");
            }
            for (duty, every) in PURGES {
                if let Err(error) = self.purge(owner, duty, every).await {
                    tracing::warn!(target.name = %target, duty = duty.name(), error = %chain(&error), "What is old can't be dropped; tried again");
                }
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(look_every) => {}
            }
        }
    }

    /// Once an hour, by one process: the audit trail's partitions, dead letters that were closed and what people did long ago.
    async fn keep_attempts(&self, owner: Uuid) -> Result<(), StoreError> {
        let (duty, target) = (Duty::KeepAttempts, self.remote.target());
        let Some(duty) =
            self.store.take_duty(duty, target, owner, limits::KEEP_ATTEMPTS_EVERY).await?
        else {
            return Ok(());
        };
        let result = async {
            self.store.purge_dead_letters().await?;
            self.store.purge_operator_events().await?;
            self.store.keep_attempts().await
        };
        let result = result.await;
        self.store.end_duty(&duty, 0, result.is_ok()).await?;
        result
    }

    /// By one process: what is left of entities that went long ago, hourly, and of what came back from the target, daily.
    async fn purge(&self, owner: Uuid, duty: Duty, every: Duration) -> Result<(), StoreError> {
        let target = self.remote.target();
        let Some(lease) = self.store.take_duty(duty, target, owner, every).await? else {
            return Ok(());
        };
        let result = self.drop_old(duty, &lease).await;
        let found = result.as_ref().copied().unwrap_or(0);
        self.store
            .end_duty(&lease, i64::try_from(found).unwrap_or(i64::MAX), result.is_ok())
            .await?;
        result.map(|_| ())
    }

    async fn drop_old(&self, duty: Duty, lease: &DutyLease) -> Result<u64, StoreError> {
        let target = self.remote.target();
        let mut dropped = 0;
        for _ in 0..limits::TOMBSTONE_BATCHES_MAX {
            let batch = if duty == Duty::PurgeInbound {
                self.store.purge_inbound(target).await?
            } else {
                self.store.purge_tombstones(target).await?
            };
            dropped += batch;
            self.beat.waits();
            if batch == 0 || !self.store.keep_duty(lease).await? {
                break;
            }
        }
        Ok(dropped)
    }

    async fn sweep_if_due(
        &self,
        every: Duration,
        owner: Uuid,
    ) -> Result<Option<Found>, SweepError> {
        let target = self.remote.target();
        let Some(duty) = self.store.take_duty(Duty::SweepOutbound, target, owner, every).await?
        else {
            return Ok(None);
        };
        let result = self.outbound(Extent::Periodic { every }, Some(&duty)).await;
        let found = result.as_ref().map_or(0, |found| found.total());
        let found = i64::try_from(found).unwrap_or(i64::MAX);
        match result {
            Ok(_) => self.store.end_duty(&duty, found, true).await?,
            // Not after a whole interval: what lasts is noticed then, and what does not is made up for.
            Err(_) => self.store.give_duty_back(&duty, every).await?,
        }
        result.map(Some)
    }

    /// One full sweep now, whoever else may be sweeping.
    ///
    /// # Errors
    /// [`SweepError`].
    pub async fn sweep_now(&self) -> Result<Found, SweepError> {
        let target = self.remote.target();
        let owner = Uuid::new_v4();
        let duty = self.store.take_duty(Duty::SweepOutbound, target, owner, Duration::ZERO).await?;
        let result = self.outbound(Extent::Full, duty.as_ref()).await;
        if let Some(duty) = duty {
            let found = result.as_ref().map_or(0, |found| found.total());
            let found = i64::try_from(found).unwrap_or(i64::MAX);
            self.store.end_duty(&duty, found, result.is_ok()).await?;
        }
        result
    }
}

/// Shows what a look at the duty came to. That the database or the broker is away is told by `/readyz` itself.
fn show(beat: &Beat, swept: &Result<Option<Found>, SweepError>) {
    match swept {
        Ok(Some(_)) => beat.well(),
        Ok(None) | Err(SweepError::TakenOver) => beat.waits(),
        Err(error) if error.is_outage() => beat.waits(),
        Err(_) => beat.failed(),
    }
}

const _: () = assert!(limits::DUTY_LEASE.as_secs() >= 2 * limits::STATEMENT_TIMEOUT.as_secs());

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::BrokerError;
    use crate::ops::progress::Progress;

    /// Whether a sweep that ends so again and again makes its process unready.
    async fn turns_red(ended: impl Fn() -> Result<Option<Found>, SweepError>) -> bool {
        let progress = Progress::default();
        let beat = progress.part("sweep");
        for _ in 0..4 {
            show(&beat, &ended());
            tokio::time::advance(limits::DUTY_AGAIN_AFTER).await;
        }
        !progress.silent().is_empty()
    }

    #[tokio::test(start_paused = true)]
    async fn what_passes_with_an_outage_is_no_failure_of_the_sweep() {
        let database =
            |code: &str| StoreError::Database { code: code.to_owned(), message: String::new() };
        assert!(!turns_red(|| Err(StoreError::NoAnswer.into())).await);
        assert!(!turns_red(|| Err(database("57P01").into())).await, "the server stops");
        assert!(!turns_red(|| Err(BrokerError::Blocked.into())).await);
        assert!(!turns_red(|| Err(SweepError::TakenOver)).await);
        assert!(!turns_red(|| Ok(None)).await);
        assert!(turns_red(|| Err(database("22012").into())).await, "a projection divides by zero");
        assert!(turns_red(|| Err(BrokerError::Url.into())).await);
    }
}
