//! When to pull: every interval, by whichever process takes the duty first; sooner where a webhook hints, or where a walk has
//! ended early. Not while the target is closed for business.

use std::time::Duration;

use tokio::time::Instant;

use super::{Extent, PullError, Puller, Swept};
use crate::error_chain::chain;
use crate::limits;
use crate::remote::{FailureClass, Remote};
use crate::store::{Duty, StoreError, WalksDue};

impl<R: Remote> Puller<R> {
    /// Sweeps every `every`, and looks for hints meanwhile, until told to stop.
    pub async fn run(&self, every: Duration) {
        while !self.stop.is_cancelled() {
            self.beat.waits();
            if self.is_open() {
                match self.look(every).await {
                    Ok(Looked::Done) => self.beat.well(),
                    Ok(Looked::NothingDue) => self.beat.waits(),
                    Err(error) if is_ours(&error) => {
                        self.beat.failed();
                        self.say(&error);
                    }
                    Err(error) => {
                        self.beat.waits();
                        self.say(&error);
                    }
                }
            }
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = tokio::time::sleep(limits::INBOUND_LOOK_EVERY.min(every)) => {}
            }
        }
    }

    async fn look(&self, every: Duration) -> Result<Looked, PullError> {
        let due = self.store.walks_due(self.remote.target(), every).await?;
        let WalksDue { streams, reads, sweep } = due;
        let (swept, result) = if sweep {
            match self.sweep_if_due(every).await? {
                Some(swept) => swept,
                None => return Ok(Looked::NothingDue),
            }
        } else if reads || !streams.is_empty() {
            self.is_at_home(None).await?;
            // A stream that this version does not pull is nobody's.
            let streams: Vec<_> =
                self.remote.streams().iter().copied().filter(|s| streams.contains(s)).collect();
            self.read_streams(&streams, Extent::USUAL, None).await
        } else {
            return Ok(Looked::NothingDue);
        };
        if swept.taken_in() > 0 {
            tracing::info!(target.name = %self.remote.target(), taken_in = swept.taken_in(), "Changes were taken in from the target");
        }
        result.map(|()| Looked::Done)
    }

    async fn sweep_if_due(
        &self,
        every: Duration,
    ) -> Result<Option<(Swept, Result<(), PullError>)>, StoreError> {
        let target = self.remote.target();
        let duty = self.store.take_duty(Duty::SweepInbound, target, self.owner, every).await?;
        let Some(duty) = duty else { return Ok(None) };
        let (swept, result) = self.sweep(Extent::USUAL, Some(&duty)).await;
        let found = i64::try_from(swept.taken_in()).unwrap_or(i64::MAX);
        self.store.end_duty(&duty, found, result.is_ok()).await?;
        Ok(Some((swept, result)))
    }

    /// One sweep over everything now, after the walks that other processes have under way. What was read, and the first
    /// [`PullError`].
    pub async fn sweep_now(&self, accept_missing: bool) -> (Swept, Result<(), PullError>) {
        let target = self.remote.target();
        let until = Instant::now() + limits::SWEEP_NOW_WAITS;
        let extent = Extent { anew: true, accept_missing };
        let duty = loop {
            match self.store.take_duty(Duty::SweepInbound, target, self.owner, Duration::ZERO).await
            {
                Ok(Some(duty)) => break duty,
                Ok(None) if Instant::now() >= until => {
                    return (Swept::default(), Err(PullError::TakenOver));
                }
                Ok(None) => tokio::time::sleep(limits::INBOUND_LOOK_EVERY / 4).await,
                Err(error) => return (Swept::default(), Err(error.into())),
            }
        };
        let (swept, result) = loop {
            // A process that follows a hint has no duty, only the stream.
            let (swept, result) = self.sweep(extent, Some(&duty)).await;
            let is_taken = matches!(result, Err(PullError::TakenOver));
            if !is_taken || Instant::now() >= until {
                break (swept, result);
            }
            tokio::time::sleep(limits::INBOUND_LOOK_EVERY / 4).await;
        };
        let found = i64::try_from(swept.taken_in()).unwrap_or(i64::MAX);
        let ended = self.store.end_duty(&duty, found, result.is_ok()).await;
        (swept, result.and(ended.map_err(PullError::from)))
    }

    fn say(&self, error: &PullError) {
        let target = self.remote.target();
        match error {
            // Whoever took it over, and whoever closed the target, has said so.
            PullError::TakenOver | PullError::Closed => {
                tracing::debug!(target.name = %target, error = %error, "The inbound sweep ended early");
            }
            PullError::Remote(failure) if is_for_a_person(failure.class) => {
                tracing::error!(target.name = %target, error = %failure, advice = failure.class.advice(), "The inbound sweep ended early");
            }
            PullError::Store(_) | PullError::Remote(_) | PullError::Elsewhere(_) => {
                tracing::warn!(target.name = %target, error = %chain(error), "The inbound sweep ended early; it is gone on with");
            }
        }
    }
}

/// What a look came to.
enum Looked {
    /// What was due was read to its end.
    Done,
    /// Nothing was due, or others do it.
    NothingDue,
}

/// Whether the failure is one of this process's own work. That the remote can't be read is told by its breaker and by `status`, that
/// the database is away by `/readyz` itself.
fn is_ours(error: &PullError) -> bool {
    matches!(error, PullError::Store(error) if !error.is_outage())
}

const fn is_for_a_person(class: FailureClass) -> bool {
    matches!(
        class,
        FailureClass::Authentication | FailureClass::Configuration | FailureClass::OurFault
    )
}
