//! The relay: drains the outbox, owes in Postgres, then publishes.
//!
//! Owing is one transaction that takes outbox rows and raises `owed_gen`; publishing comes after its commit, so
//! that no transaction is open across the network. What is not published stays owed, and the republish scan
//! publishes it: the broker may be away, wiped or slow for as long as it likes.
//!
//! It sleeps by the elided wake-up (`sql/functions/capture.sql`): drain until empty, take the wake-up lock, drain
//! once more from the start, wait; never a NOTIFY while it is awake. Where the database can't notify, it polls.
//!
//! **Several instances**: one leads, by a session lock; the others stand by, and drain too when rows grow old,
//! since a leader whose process is stopped keeps its lock. Rows are taken with `SKIP LOCKED`, so two that drain
//! share the work. **If it crashes** after the commit and before publishing, the republish scan finds what is due.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::republish;
use crate::broker::{BrokerError, Publisher, Queue};
use crate::capture::change::Change;
use crate::config::WakeMode;
use crate::error_chain::chain;
use crate::limits;
use crate::ops::metrics::Metrics;
use crate::ops::progress::{Beat, Progress};
use crate::route::{self, Owing};
use crate::store::{Listener, Store, StoreError, Wake};
use crate::sweep;
use crate::target::Target;
use crate::target_watch::TargetWatch;

/// What the relay works with.
pub struct Relay {
    /// The database.
    pub store: Store,
    /// A publisher of its own.
    pub publisher: Publisher,
    /// The targets that are enabled here.
    pub targets: Vec<Target>,
    /// The shared state of the targets.
    pub watch: TargetWatch,
    /// How it is woken.
    pub wake: WakeMode,
    /// Whether it leads now; the republish scan of one that stands by is seldom.
    pub leads: AtomicBool,
    /// What is owed was not published, so the republish scan looks soon.
    pub unpublished: AtomicBool,
    /// A queue of this length is not published to: [`limits::QUEUE_FULL`].
    pub queue_full: u32,
    /// Where it counts.
    pub metrics: Arc<Metrics>,
    /// Where it shows that it makes progress.
    pub beat: Beat,
    /// The same for the republish scan, which has a part for each target.
    pub progress: Progress,
}

impl Relay {
    /// Runs until `stop`; connections that are lost are made anew.
    pub async fn run(self, stop: CancellationToken) {
        let relay = &self;
        let republish = republish::run(relay, stop.clone());
        let drain = async {
            let mut delay = limits::RECONNECT_MIN;
            while !stop.is_cancelled() {
                let began = Instant::now();
                if let Err(error) = relay.run_on_a_connection(&stop).await {
                    relay.leads.store(false, Ordering::Relaxed);
                    relay.beat.failed();
                    tracing::warn!(error = %error, "The relay begins anew");
                }
                if began.elapsed() > limits::RECONNECT_MAX {
                    delay = limits::RECONNECT_MIN;
                }
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(delay) => delay = (delay * 2).min(limits::RECONNECT_MAX),
                }
            }
        };
        tokio::join!(drain, republish);
    }

    /// Lives as long as its connection: stands by until it leads, then drains and sleeps.
    async fn run_on_a_connection(&self, stop: &CancellationToken) -> Result<(), StoreError> {
        if self.wake == WakeMode::Poll {
            return self.poll(stop).await;
        }
        let listener = self.store.listen().await?;
        if !listener.is_notified() {
            tracing::info!(
                "Transactions can be prepared on this server, so triggers don't notify: the relay polls"
            );
        }
        let mut proven = Instant::now();
        self.leads.store(false, Ordering::Relaxed);
        while !stop.is_cancelled() {
            if proven.elapsed() >= limits::LISTENER_PING_EVERY {
                listener.ping().await?;
                proven = Instant::now();
            }
            self.beat.waits();
            if !self.leads.load(Ordering::Relaxed) {
                if !listener.try_lead().await? {
                    self.stand_by(stop).await?;
                    self.beat.well();
                    continue;
                }
                self.leads.store(true, Ordering::Relaxed);
                tracing::info!("This relay leads");
            }
            self.drain(stop).await?;
            self.beat.well();
            if !listener.is_notified() {
                pause(limits::RELAY_POLL, stop).await;
            } else if self.sleep(&listener, stop).await? == Wake::Lost {
                return Err(StoreError::Unexpected("the listener's connection was lost"));
            }
        }
        Ok(())
    }

    /// Polls: needs no session of its own, so it works behind a pooler. Every relay drains; `SKIP LOCKED` shares
    /// the work.
    async fn poll(&self, stop: &CancellationToken) -> Result<(), StoreError> {
        self.leads.store(true, Ordering::Relaxed);
        while !stop.is_cancelled() {
            self.drain(stop).await?;
            self.beat.well();
            pause(limits::RELAY_POLL, stop).await;
        }
        Ok(())
    }

    /// Another relay leads. It may be a zombie: what grows old is drained all the same.
    async fn stand_by(&self, stop: &CancellationToken) -> Result<(), StoreError> {
        pause(limits::RELAY_FALLBACK_POLL, stop).await;
        let (_, oldest_seconds) = self.store.outbox_backlog().await?;
        if oldest_seconds > limits::RELAY_STANDBY_TAKES_OVER_AFTER.as_secs_f64() {
            self.drain(stop).await?;
        }
        Ok(())
    }

    /// Sleeps until there may be something to drain. The lock is held exactly while it sleeps: a writer that can
    /// share it knows that the relay is awake and can't fall asleep before that writer's commit.
    async fn sleep(
        &self,
        listener: &Listener,
        stop: &CancellationToken,
    ) -> Result<Wake, StoreError> {
        if !listener.try_sleep().await? {
            // A writer's transaction is open: it will not notify, so look again soon.
            pause(limits::RELAY_POLL, stop).await;
            return Ok(Wake::TimedOut);
        }
        // From the start, with a snapshot after the lock: what was committed before it is seen now, what commits
        // later notifies.
        let wake = if self.drain(stop).await? > 0 {
            Wake::Notified
        } else {
            tokio::select! {
                () = stop.cancelled() => Wake::TimedOut,
                wake = listener.wait(limits::RELAY_FALLBACK_POLL) => wake,
            }
        };
        if wake != Wake::Lost {
            listener.wake_up().await?;
        }
        Ok(wake)
    }

    /// Takes batches out of the outbox until it is empty; how many rows that were. The floor lives for this pass
    /// only: without one, an old snapshot elsewhere makes each batch wade through the dead rows of the earlier
    /// ones; kept longer, it would hide a late commit with a low id.
    async fn drain(&self, stop: &CancellationToken) -> Result<usize, StoreError> {
        let mut floor = 0;
        let mut drained = 0;
        while !stop.is_cancelled() {
            let targets = &self.targets;
            let (changes, owed) = self
                .store
                .relay_batch(floor, limits::RELAY_BATCH_ROWS, |changes| {
                    route::route(changes, targets)
                })
                .await?;
            floor = changes.iter().map(|change| change.position).max().unwrap_or(floor);
            drained += changes.len();
            self.metrics.relayed(changes.len());
            crate::failpoint!("relay.owed", !changes.is_empty());
            self.publish(&owed).await;
            crate::failpoint!("relay.published", !changes.is_empty());
            self.owe_truncated(&changes).await?;
            // Also of a long backlog: that it failed before is over with the first batch that does not.
            self.beat.well();
            if i64::try_from(changes.len()).is_ok_and(|n| n < limits::RELAY_BATCH_ROWS) {
                break;
            }
        }
        Ok(drained)
    }

    /// Which entities an emptied table had is only known from the records: those without projection are orphans.
    async fn owe_truncated(&self, changes: &[Change]) -> Result<(), StoreError> {
        // Published together, so that the guard weighs all that is gone before the first is deleted.
        let mut owed = Vec::new();
        for entity_type in route::truncated(changes) {
            for target in self.targets.iter().copied().filter(|t| t.covers(entity_type)) {
                owed.extend(sweep::owe_orphans(&self.store, target, entity_type).await?);
            }
        }
        self.publish(&owed).await;
        Ok(())
    }

    /// Tells consumers of what is owed, where the target takes deliveries now and its queue is not full. A failure
    /// is no loss: it stays owed.
    async fn publish(&self, owed: &[Owing]) {
        if !self.try_publish(owed).await {
            self.unpublished.store(true, Ordering::Relaxed);
        }
    }

    /// Whether everything was published that its target takes now.
    async fn try_publish(&self, owed: &[Owing]) -> bool {
        let mut all = true;
        for owing in owed.iter().filter(|owing| !owing.entities.is_empty()) {
            let queue = Queue::outbound(owing.target);
            if !self.watch.is_open(owing.target) {
                continue;
            }
            match self.publisher.queue_length(queue).await {
                Ok(length) if length >= self.queue_full => {
                    all = false;
                    continue;
                }
                // A length that nobody tells is no reason to publish nothing, and publishing tells whether the connection is good.
                Ok(_) | Err(BrokerError::Timeout(_)) => {}
                Err(error) => {
                    tracing::warn!(target.name = %owing.target, error = %chain(&error), "Owed, but not published now");
                    return false;
                }
            }
            let (messages, _spans) = super::traced(queue, owing.deliveries());
            if let Err(error) = self.publisher.publish(&messages).await {
                tracing::warn!(target.name = %owing.target, error = %chain(&error), "Owed, but not published now");
                return false;
            }
        }
        all
    }
}

async fn pause(duration: Duration, stop: &CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(duration) => {}
    }
}
