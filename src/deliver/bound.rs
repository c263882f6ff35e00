//! Keeps a target bound to its place: compares what is there with what was bound, and lets the consumer of this process
//! take deliveries only while both are the same.
//!
//! It looks before the first batch, whenever the target is open for business again (a breaker closed, a person enabled
//! it), when the database was restarted or exchanged, when the remote says that it is another one, and every minute. What
//! differs holds the target in every process, until a person rebinds it; what can't be known now changes nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::broker::{Broker, EpochLock};
use crate::deliver::batch::Worker;
use crate::deliver::binding::{self, Finding, KeptEpoch, Part, Present};
use crate::deliver::breaker::Breaker;
use crate::error_chain::chain;
use crate::limits;
use crate::remote::{Account, Failure, Remote};
use crate::store::{BindingFacts, StoreError};
use crate::target::Target;
use crate::target_watch::TargetWatch;

/// The database for which a target was found to be where it belongs; `None` while that is not known.
pub type Clearance = Option<String>;

/// Keeps one target bound.
pub struct Binding<R> {
    /// The consumer's worker, whose client and database are looked at.
    pub worker: Arc<Worker<R>>,
    /// Where the epoch is kept.
    pub broker: Broker,
    /// Is told when the remote can't say who it is.
    pub breaker: Arc<Breaker>,
    /// The shared state of the targets.
    pub watch: TargetWatch,
    /// Lets the consumer of this process take deliveries.
    pub clearance: watch::Sender<Clearance>,
}

/// What a look came to.
enum Looked {
    /// The place is the right one.
    Cleared,
    /// It is not, and the target is held.
    Held,
    /// It can't be known now.
    Unknown(Option<Failure>),
}

impl<R: Remote> Binding<R> {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let target = self.worker.remote.target();
        let mut retry = limits::BINDING_RETRY_MIN;
        let mut raise_within = Duration::ZERO;
        loop {
            let mut watch = self.watch.clone();
            tokio::select! {
                () = stop.cancelled() => return,
                () = watch.until(target, true) => {}
            }
            let Some(state) = watch.state(target) else { continue };
            let looked = self.look(raise_within).await;
            let pause = match looked {
                Ok(Looked::Cleared) => {
                    self.clear(Some(state.database.clone()));
                    (retry, raise_within) = (limits::BINDING_RETRY_MIN, limits::EPOCH_EVERY);
                    limits::BINDING_CHECK_EVERY
                }
                Ok(Looked::Held) => {
                    self.clear(None);
                    limits::TARGET_STATE_EVERY * 2
                }
                Ok(Looked::Unknown(failure)) => self.unknown(failure, &mut retry).await,
                Err(error) => {
                    tracing::warn!(target.name = %target, error = %chain(&error), "The binding can't be read");
                    self.unknown(None, &mut retry).await
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
                () = self.remote_changes() => self.clear(None),
                () = watch.until_place_is_doubtful(target, &state.database) => self.clear(None),
            }
        }
    }

    /// While nothing is cleared, the next look comes by itself.
    async fn remote_changes(&self) {
        if self.clearance.borrow().is_none() {
            std::future::pending::<()>().await;
        }
        self.worker.remote.changed().await;
    }

    fn clear(&self, clearance: Clearance) {
        self.clearance.send_replace(clearance);
    }

    /// The pause after a look that told nothing. A clearance that was given stays; without one nothing is taken, and a
    /// remote that can't say who it is shows as unreachable.
    async fn unknown(&self, failure: Option<Failure>, retry: &mut Duration) -> Duration {
        if self.clearance.borrow().is_some() {
            return limits::BINDING_CHECK_EVERY;
        }
        if let Some(failure) = failure {
            self.breaker.met(&failure).await;
        }
        let pause = *retry;
        *retry = (pause * 2).min(limits::RECONNECT_MAX);
        pause
    }

    /// One comparison, and what follows from it. The broker's epoch is read before the database's: a raise that happens
    /// in between must not look like a database that went back in time.
    async fn look(&self, raise_within: Duration) -> Result<Looked, StoreError> {
        let target = self.worker.remote.target();
        // The remote first: the epoch is one for all targets, and one that hangs must not keep it from the others.
        let (account, failure) = match self.worker.remote.account().await {
            Ok(account) => (Some(account), None),
            Err(failure) => (None, Some(failure)),
        };
        let lock = self.broker.epoch().await.inspect_err(|error| {
            tracing::warn!(target.name = %target, error = %chain(error), "The broker can't tell its epoch");
        });
        let lock = lock.ok();
        let facts = self.worker.store.binding(target).await?;
        if facts.is_held {
            return Ok(Looked::Held);
        }
        let present = present(&facts, account, lock.as_ref());
        match binding::compare(facts.bound.as_ref(), &present) {
            Finding::Unknown => {
                let is_new = self.clearance.borrow().is_none();
                if let Some(failure) = failure.as_ref().filter(|_| is_new) {
                    tracing::info!(target.name = %target, failure = %failure, "The target can't say who it is");
                }
                put_back(lock).await;
                Ok(Looked::Unknown(failure))
            }
            Finding::Differs(parts) => {
                self.hold(&parts).await?;
                put_back(lock).await;
                Ok(Looked::Held)
            }
            Finding::Bind(to) => {
                if !self.worker.store.bind(target, &to, "first contact").await? {
                    put_back(lock).await;
                    return Ok(Looked::Unknown(None));
                }
                tracing::info!(
                    target.name = %target, knows_system = facts.knows_system,
                    "The target is bound to this database and this account"
                );
                self.settle(to.account, lock, raise_within).await
            }
            Finding::Same => match account {
                Some(account) => self.settle(account, lock, raise_within).await,
                None => Ok(Looked::Unknown(failure)),
            },
        }
    }

    /// It is the right place. The epoch is raised in the database first, flushed; then the broker. A broker that can't keep it has the old one, which is no mismatch.
    async fn settle(
        &self,
        account: Account,
        lock: Option<EpochLock>,
        not_within: Duration,
    ) -> Result<Looked, StoreError> {
        self.worker.remote.stay_with(account);
        let epoch = self.worker.store.raise_epoch(not_within, 0).await?;
        if let Some(lock) = lock
            && let Err(error) = lock.keep(Some(epoch)).await
        {
            tracing::warn!(error = %chain(&error), "The broker could not keep the epoch; it keeps an older one");
        }
        Ok(Looked::Cleared)
    }

    /// Logged once, by whoever holds it.
    async fn hold(&self, parts: &[Part]) -> Result<(), StoreError> {
        let target = self.worker.remote.target();
        for held in self.worker.store.hold_binding(target, parts).await? {
            let names: Vec<_> = parts.iter().map(|part| part.name()).collect();
            tracing::error!(
                target.name = %held,
                differs = names.join(","),
                advice = advice(held),
                "The target is held: {}", binding::words(parts)
            );
        }
        Ok(())
    }
}

/// What is there now.
#[must_use]
pub fn present(
    facts: &BindingFacts,
    account: Option<Account>,
    lock: Option<&EpochLock>,
) -> Present {
    let kept_epoch = match lock.map(EpochLock::kept) {
        None => KeptEpoch::Unknown,
        Some(None) => KeptEpoch::None,
        Some(Some(epoch)) => KeptEpoch::Is(epoch),
    };
    Present { database: facts.database, account, epoch: facts.epoch, kept_epoch }
}

/// What a person can do about a held target.
#[must_use]
pub fn advice(target: Target) -> String {
    format!(
        "If this is meant to be, `ems-sync target rebind {target}`; else stop this and correct the configuration."
    )
}

async fn put_back(lock: Option<EpochLock>) {
    if let Some(lock) = lock
        && let Err(error) = lock.keep(None).await
    {
        tracing::debug!(error = %chain(&error), "The epoch goes back with its connection");
    }
}
