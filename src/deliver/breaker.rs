//! The breaker of one target: shared by all processes through Postgres, and what it is judged by.
//!
//! It opens after consecutive failures to reach the target, of different entities; while it is open nobody takes
//! deliveries and no attempt is burnt. When its pause is over, one process asks the target whether it is there
//! (no entity is risked): it closes, or opens again for twice as long. A refusal (credentials, configuration)
//! disables the target until a person enables it; a throttled target pauses in every process.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::deliver::settle::Verdict;
use crate::entity::EntityRef;
use crate::error_chain::chain;
use crate::limits;
use crate::remote::{Failure, FailureClass, Remote};
use crate::store::{BreakerState, Store, StoreError};
use crate::target::Target;
use crate::target_watch::TargetWatch;

/// What the results of this process say about one target.
pub struct Breaker {
    store: Store,
    target: Target,
    /// Entities that failed in a row, with no success of any in between.
    failing: Mutex<HashSet<EntityRef>>,
}

impl Breaker {
    /// The breaker of `target`, as this process sees it.
    #[must_use]
    pub fn new(store: Store, target: Target) -> Self {
        Self { store, target, failing: Mutex::default() }
    }

    /// Takes the verdicts of a batch, and tells the other processes what follows.
    pub async fn judge(&self, verdicts: Vec<(EntityRef, Verdict)>) {
        for (entity, verdict) in verdicts {
            if let Err(error) = self.judge_one(entity, verdict).await {
                tracing::warn!(target.name = %self.target, error = %chain(&error), "The target's state can't be written");
                return;
            }
        }
    }

    async fn judge_one(&self, entity: EntityRef, verdict: Verdict) -> Result<(), StoreError> {
        match verdict {
            Verdict::Served => self.forget_failures(),
            Verdict::Neutral => {}
            Verdict::Unreachable => {
                if self.count_failure(entity) >= limits::BREAKER_FAILURES {
                    self.forget_failures();
                    self.open(BreakerState::Closed, 0).await?;
                }
            }
            Verdict::Pause(pause) => self.store.throttle(self.target, pause).await?,
            Verdict::Refused(failure) => self.disable(&failure).await?,
        }
        Ok(())
    }

    /// How many different entities have failed in a row; one that fails again and again counts once.
    fn count_failure(&self, entity: EntityRef) -> usize {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        failing.insert(entity);
        failing.len()
    }

    fn forget_failures(&self) {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Every entity that was under way says the same: it is logged once, by whoever disables it.
    async fn disable(&self, failure: &Failure) -> Result<(), StoreError> {
        let reason = failure.to_string();
        let was_enabled =
            self.store.set_target(self.target, "disable", Some(&reason), "ems-sync").await?;
        if was_enabled {
            tracing::error!(
                target.name = %self.target,
                failure.class = failure.class.name(),
                failure.text = failure.text,
                advice = failure.class.advice(),
                "The target refuses us and is disabled"
            );
        }
        Ok(())
    }

    async fn open(&self, from: BreakerState, opened_before: i32) -> Result<(), StoreError> {
        let pause = pause(opened_before);
        let opened =
            self.store.set_breaker(self.target, from, BreakerState::Open, pause, None).await?;
        if opened {
            tracing::warn!(target.name = %self.target, pause = ?pause, "The target can't be reached: its breaker is open");
        }
        Ok(())
    }

    /// Probes the target whenever an open breaker's pause is over, one process at a time, until `stop`.
    pub async fn probe<R: Remote>(
        &self,
        remote: &R,
        mut watch: TargetWatch,
        stop: CancellationToken,
    ) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = watch.until_probe_is_due(self.target) => {}
            }
            if let Err(error) = self.probe_once(remote, &watch).await {
                tracing::warn!(target.name = %self.target, error = %chain(&error), "The breaker can't be moved");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(limits::TARGET_STATE_EVERY * 2) => {}
            }
        }
    }

    async fn probe_once<R: Remote>(
        &self,
        remote: &R,
        watch: &TargetWatch,
    ) -> Result<(), StoreError> {
        let Some(state) = watch.state(self.target) else { return Ok(()) };
        let half_open = BreakerState::HalfOpen;
        let at_most = remote.request_timeout() * 2;
        if !self.store.set_breaker(self.target, state.breaker, half_open, at_most, None).await? {
            return Ok(());
        }
        match remote.probe().await {
            Ok(()) => {
                self.forget_failures();
                let closed = BreakerState::Closed;
                self.store
                    .set_breaker(self.target, half_open, closed, Duration::ZERO, None)
                    .await?;
                tracing::info!(target.name = %self.target, "The target answers again: its breaker is closed");
            }
            Err(failure) if is_refusal(failure.class) => {
                self.store
                    .set_breaker(self.target, half_open, BreakerState::Closed, Duration::ZERO, None)
                    .await?;
                self.disable(&failure).await?;
            }
            Err(failure) => {
                self.forget_failures();
                tracing::info!(target.name = %self.target, failure = %failure, "The target does not answer yet");
                self.open(half_open, state.breaker_failures).await?;
            }
        }
        Ok(())
    }
}

const fn is_refusal(class: FailureClass) -> bool {
    matches!(class, FailureClass::Authentication | FailureClass::Configuration)
}

/// How long an opened breaker pauses, doubling with each time that it opened in a row.
fn pause(opened_before: i32) -> Duration {
    let doublings = u32::try_from(opened_before).unwrap_or(0).min(10);
    (limits::BREAKER_PAUSE_MIN * 2_u32.pow(doublings)).min(limits::BREAKER_PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_its_bound() {
        let seconds: Vec<_> = (0..6).map(|n| pause(n).as_secs()).collect();
        assert_eq!(seconds, [2, 4, 8, 16, 30, 30]);
        assert_eq!(pause(-1), limits::BREAKER_PAUSE_MIN);
        assert_eq!(pause(i32::MAX), limits::BREAKER_PAUSE_MAX);
    }
}
