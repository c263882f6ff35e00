//! The shared state of the targets as this process sees it, read from Postgres twice a second.
//!
//! Whoever consumes, publishes or probes asks here; what a person or the breaker of another process decides is
//! seen within a second. While Postgres can't be read, the last state stands.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::error_chain::chain;
use crate::limits;
use crate::store::{BreakerState, Store, StoreError, TargetState};
use crate::target::Target;

type States = HashMap<Target, TargetState>;

/// A handle on the state of all targets.
#[derive(Debug, Clone)]
pub struct TargetWatch {
    states: watch::Receiver<Arc<States>>,
}

/// The side that reads Postgres.
pub struct TargetWatcher {
    store: Store,
    sender: watch::Sender<Arc<States>>,
}

/// Reads the state once, and returns the handle and the side that keeps it fresh. While Postgres is away no target
/// is open for business.
///
/// # Errors
/// [`StoreError`] when Postgres answers, but not as it must: schema `sync` is missing, the login is refused.
pub async fn start(store: Store) -> Result<(TargetWatch, TargetWatcher), StoreError> {
    let states = match read(&store).await {
        Err(error) if error.is_outage() => {
            tracing::warn!(error = %chain(&error), "Postgres is away; beginning without it");
            States::new()
        }
        states => states?,
    };
    let (sender, receiver) = watch::channel(Arc::new(states));
    Ok((TargetWatch { states: receiver }, TargetWatcher { store, sender }))
}

async fn read(store: &Store) -> Result<States, StoreError> {
    Ok(store.target_states().await?.into_iter().map(|state| (state.target, state)).collect())
}

impl TargetWatcher {
    /// Keeps the state fresh until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(limits::TARGET_STATE_EVERY) => {}
            }
            match read(&self.store).await {
                Ok(states) => {
                    self.sender.send_if_modified(|current| {
                        let differs = **current != states;
                        if differs {
                            *current = Arc::new(states);
                        }
                        differs
                    });
                }
                Err(error) => {
                    tracing::warn!(error = %error, "The state of the targets can't be read; the last one stands");
                }
            }
        }
    }
}

impl TargetWatch {
    /// Whether deliveries may be consumed and published now.
    #[must_use]
    pub fn is_open(&self, target: Target) -> bool {
        self.states.borrow().get(&target).is_some_and(TargetState::is_open_for_business)
    }

    /// The state, as read last.
    #[must_use]
    pub fn state(&self, target: Target) -> Option<TargetState> {
        self.states.borrow().get(&target).cloned()
    }

    /// Waits until the target is open, or not open, for business.
    pub async fn until(&mut self, target: Target, open: bool) {
        let is = |states: &Arc<States>| {
            states.get(&target).is_some_and(TargetState::is_open_for_business) == open
        };
        if self.states.wait_for(is).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until the breaker of the target is open (or was left half open) and its pause is over.
    pub async fn until_probe_is_due(&mut self, target: Target) {
        let is = |states: &Arc<States>| {
            states.get(&target).is_some_and(|state| {
                state.breaker != BreakerState::Closed
                    && state.breaker_is_due
                    && !state.disabled
                    && !state.paused
            })
        };
        if self.states.wait_for(is).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
