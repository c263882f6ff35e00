//! The consumer of one target: takes what has arrived, works on it in batches, acks what is committed.
//!
//! It consumes only while the target is open for business. When a person pauses it, it is throttled or its breaker
//! opens, the consumer stops taking, hands back what it has not begun, and what it has begun is finished. A
//! delivery is acked when its record is committed, or when there is nothing to do: whatever was missed is owed.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::broker::{Broker, Message, Queue, Subscription, ack_all, hand_back_all};
use crate::deliver::batch::Worker;
use crate::deliver::breaker::Breaker;
use crate::delivery::Delivery;
use crate::error_chain::chain;
use crate::limits;
use crate::ops::progress::Beat;
use crate::remote::Remote;
use crate::target_watch::TargetWatch;

/// The consumer of one target.
pub struct Consumer<R> {
    /// Does the work.
    pub worker: Arc<Worker<R>>,
    /// Where the deliveries come from.
    pub broker: Broker,
    /// The shared state of the targets.
    pub watch: TargetWatch,
    /// What the results say about the target.
    pub breaker: Arc<Breaker>,
    /// Where it shows that it makes progress.
    pub beat: Beat,
}

/// Why consuming ended.
enum Ended {
    /// Stop, or the target is closed for business.
    Told,
    /// The subscription was lost.
    Lost,
}

impl<R: Remote> Consumer<R> {
    /// Runs until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let target = self.worker.remote.target();
        let mut delay = limits::RECONNECT_MIN;
        while !stop.is_cancelled() {
            let mut watch = self.watch.clone();
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.beat.while_waiting(watch.until(target, true)) => {}
            }
            match self.consume(&stop).await {
                Ok(Ended::Told) => delay = limits::RECONNECT_MIN,
                Ok(Ended::Lost) => {
                    tracing::warn!(target.name = %target, "The consumer begins anew")
                }
                Err(error) => {
                    tracing::warn!(target.name = %target, error = %chain(&error), "No consumer; trying again");
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(delay) => delay = (delay * 2).min(limits::RECONNECT_MAX),
            }
        }
    }

    /// Consumes over one subscription.
    async fn consume(
        &mut self,
        stop: &CancellationToken,
    ) -> Result<Ended, crate::broker::BrokerError> {
        let target = self.worker.remote.target();
        let name = format!("consumer {target}");
        let mut subscription = self.broker.subscribe(Queue::outbound(target), &name).await?;
        let batches = TaskTracker::new();
        let slots = Arc::new(Semaphore::new(limits::BATCHES_IN_FLIGHT));
        let ended = self.take_batches(&mut subscription, &batches, &slots, stop).await;
        if matches!(ended, Ended::Told) {
            subscription.stop_taking().await;
        }
        batches.close();
        let drained = tokio::time::timeout(limits::SHUTDOWN_DEADLINE, batches.wait()).await;
        if drained.is_err() {
            tracing::warn!(target.name = %target, "Batches did not end in time; their leases run out");
        }
        subscription.close().await;
        Ok(ended)
    }

    async fn take_batches(
        &mut self,
        subscription: &mut Subscription,
        batches: &TaskTracker,
        slots: &Arc<Semaphore>,
        stop: &CancellationToken,
    ) -> Ended {
        let target = self.worker.remote.target();
        loop {
            self.beat.beat();
            let slot = tokio::select! {
                biased;
                () = stop.cancelled() => return Ended::Told,
                () = self.watch.until(target, false) => return Ended::Told,
                slot = self.beat.while_waiting(Arc::clone(slots).acquire_owned()) => slot,
            };
            let Ok(slot) = slot else { return Ended::Told };
            let first = tokio::select! {
                biased;
                () = stop.cancelled() => return Ended::Told,
                () = self.watch.until(target, false) => return Ended::Told,
                first = subscription.next() => first,
                () = tokio::time::sleep(limits::RELAY_FALLBACK_POLL) => {
                    if subscription.is_connected() { continue } else { return Ended::Lost }
                }
            };
            let Some(first) = first else { return Ended::Lost };
            let mut messages = vec![first];
            while messages.len() < limits::BATCH_DELIVERIES {
                match subscription.arrived() {
                    Some(message) => messages.push(message),
                    None => break,
                }
            }
            let (worker, breaker) = (Arc::clone(&self.worker), Arc::clone(&self.breaker));
            batches.spawn(async move {
                work(&worker, &breaker, messages).await;
                drop(slot);
            });
        }
    }
}

/// Works on a batch and acks it. When the database fails, the deliveries go back: what was claimed is leased, so
/// they come again until the leases are over.
async fn work<R: Remote>(worker: &Worker<R>, breaker: &Breaker, messages: Vec<Message>) {
    let deliveries: Vec<Delivery> = messages
        .iter()
        .filter_map(|message| match &message.delivery {
            Ok(delivery) if delivery.target == worker.remote.target() => Some(delivery.clone()),
            Ok(_) => None,
            Err(error) => {
                tracing::error!(error = %error, "A message that is no delivery is dropped; nothing is lost with it");
                None
            }
        })
        .collect();
    let began = Instant::now();
    let worked = AssertUnwindSafe(worker.work(deliveries)).catch_unwind().await;
    let Ok(worked) = worked else {
        tracing::error!(
            "A batch panicked, which is a bug; what it held comes back when its leases run out"
        );
        return ack_all(messages).await;
    };
    match worked {
        Ok(verdicts) => {
            breaker.judge(verdicts).await;
            ack_all(messages).await;
        }
        Err(error) => {
            tracing::warn!(error = %chain(&error), "The database failed; deliveries are handed back");
            let at_least = Duration::from_secs(1);
            tokio::time::sleep(at_least.saturating_sub(began.elapsed())).await;
            hand_back_all(messages).await;
        }
    }
}
