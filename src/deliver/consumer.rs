//! The consumer of one queue of a target: takes what has arrived, works on it in batches, acks what is committed. What comes
//! back from a target is consumed in the same way ([`crate::inbound::consumer`]).
//!
//! It consumes only while the target is open for business. When a person pauses it, it is throttled or its breaker
//! opens, the consumer stops taking, hands back what it has not begun, and what it has begun is finished. A
//! delivery is acked when its record is committed, or when there is nothing to do: whatever was missed is owed.
//!
//! When the process stops, what it has not begun is published anew for the others, so that a rolling restart has nothing delivered
//! twice.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::broker::{
    Broker, Message, Outgoing, Publisher, Queue, Subscription, ack_all, ack_up_to, hand_back_all,
};
use crate::deliver::batch::{Slot, Worker};
use crate::deliver::breaker::rule;
use crate::deliver::tokens::Tokens;
use crate::deliver::unacked::Unacked;
use crate::error_chain::chain;
use crate::limits;
use crate::ops::progress::Beat;
use crate::remote::Remote;
use crate::store::{OddMessage, StoreError};
use crate::target_watch::TargetWatch;

/// What is done with the messages of one queue.
pub trait Work: Send + Sync + 'static {
    /// The queue.
    fn queue(&self) -> Queue;

    /// For what was taken and is left to others.
    fn publisher(&self) -> &Publisher;

    /// Works on a batch and acks it, or hands it back where that failed. Whether there was anything to do.
    fn work(
        &self,
        messages: Vec<Message>,
        slot: Slot,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

/// The consumer of one queue.
pub struct Consumer<W> {
    /// Does the work.
    worker: Arc<W>,
    /// Where the deliveries come from.
    broker: Broker,
    /// The shared state of the targets.
    watch: TargetWatch,
    /// Where it shows that it makes progress.
    beat: Beat,
    /// What is under way, over whatever subscription it came.
    batches: TaskTracker,
    /// Places for batches.
    slots: Arc<Semaphore>,
    /// The last subscription failed, and none has delivered or proven itself since.
    is_cut_off: bool,
}

impl<W: Work> Consumer<W> {
    /// A consumer for `worker`; `beat` is where it shows that it makes progress.
    #[must_use]
    pub fn new(worker: Arc<W>, broker: Broker, watch: TargetWatch, beat: Beat) -> Self {
        Self {
            worker,
            broker,
            watch,
            beat,
            batches: TaskTracker::new(),
            slots: Arc::new(Semaphore::new(limits::BATCHES_IN_FLIGHT)),
            is_cut_off: false,
        }
    }
}

/// Why consuming ended.
enum Ended {
    /// Stop, or the target is closed for business.
    Told,
    /// The subscription was lost.
    Lost,
}

impl<W: Work> Consumer<W> {
    /// Runs until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        self.run_until(&stop).await;
        self.drained().await;
    }

    async fn run_until(&mut self, stop: &CancellationToken) {
        let target = self.worker.queue().target;
        let mut delay = limits::RECONNECT_MIN;
        while !stop.is_cancelled() {
            let mut watch = self.watch.clone();
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.beat.while_waiting(watch.until(target, true)) => {}
            }
            let began = Instant::now();
            let ended = self.consume(stop).await;
            if began.elapsed() > limits::RECONNECT_MAX {
                delay = limits::RECONNECT_MIN;
            }
            if !matches!(ended, Ok(Ended::Told)) {
                self.is_cut_off = true;
                self.beat.failed();
            }
            match ended {
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
        let queue = self.worker.queue();
        let name = format!("consumer {}", queue.name(self.broker.prefix()));
        let mut subscription = self.broker.subscribe(queue, &name).await?;
        let ended = self.take_batches(&mut subscription, stop).await;
        // A lost subscription is made anew at once: what is under way acks in vain and ends beside the new one.
        if matches!(ended, Ended::Told) {
            if stop.is_cancelled() {
                self.leave(&mut subscription).await;
            } else {
                subscription.cancel().await;
                hand_back_all(subscription.rest()).await;
            }
            self.drained().await;
        }
        subscription.close().await;
        Ok(ended)
    }

    /// Leaves the queue to the others, so that the broker delivers nothing a second time.
    async fn leave(&self, subscription: &mut Subscription) {
        let queue = self.worker.queue();
        // Each ack makes room for more, and what is published may be sent to us.
        let is_alone = self.end_within(limits::LEAVE_AFTER).await;
        self.watch.leave(queue.target).await;
        subscription.settle().await;
        subscription.cancel().await;
        let (taken, odd): (Vec<_>, Vec<_>) =
            subscription.rest().into_iter().partition(|message| message.delivery.is_ok());
        let deliveries = taken.iter().filter_map(|message| message.delivery.as_ref().ok());
        let outgoing: Vec<_> =
            deliveries.map(|delivery| Outgoing { queue, delivery: delivery.clone() }).collect();
        let (mut passed_on, mut handed_back) = (taken.len(), odd.len());
        hand_back_all(odd).await;
        match self.worker.publisher().publish(&outgoing).await {
            Ok(()) if is_alone => ack_up_to(taken).await,
            Ok(()) => ack_all(taken).await,
            Err(error) => {
                tracing::warn!(error = %chain(&error), "What was not begun can't be published anew; it is handed back");
                handed_back += std::mem::take(&mut passed_on);
                hand_back_all(taken).await;
            }
        }
        // Many acks are not with a quorum queue at once, and those that are not when the channel closes are forgotten.
        tokio::time::sleep(limits::ON_ITS_WAY_FOR).await;
        tracing::info!(target.name = %queue.target, passed_on, handed_back, "The consumer leaves");
    }

    /// Whether the batches that are under way have ended in time.
    async fn end_within(&self, deadline: Duration) -> bool {
        self.batches.close();
        let ended = tokio::time::timeout(deadline, self.batches.wait()).await.is_ok();
        self.batches.reopen();
        ended
    }

    /// Waits until the batches that are under way have ended.
    async fn drained(&self) {
        if !self.end_within(limits::SHUTDOWN_DEADLINE).await {
            let target = self.worker.queue().target;
            tracing::warn!(target.name = %target, "Batches did not end in time; their leases run out");
        }
    }

    /// How many of the places for batches the next one takes: all of them while the target has just opened, so that few
    /// deliveries are under way, in few batches.
    fn places(&self) -> u32 {
        let batches = (self.allowance() / limits::BATCH_DELIVERIES).max(1);
        u32::try_from(limits::BATCHES_IN_FLIGHT / batches).unwrap_or(1).max(1)
    }

    /// How many deliveries a batch may take now.
    fn batch_deliveries(&self) -> usize {
        self.allowance().min(limits::BATCH_DELIVERIES)
    }

    /// How many deliveries may be under way now.
    fn allowance(&self) -> usize {
        let Some(state) = self.watch.state(self.worker.queue().target) else { return 1 };
        let full = limits::BATCH_DELIVERIES * limits::BATCHES_IN_FLIGHT;
        rule::allowance(state.on_trial, state.open_for, full)
    }

    /// The subscription is good: what went wrong with the one before it is over.
    fn delivers_again(&mut self) {
        if std::mem::take(&mut self.is_cut_off) {
            self.beat.well();
        }
    }

    async fn take_batches(
        &mut self,
        subscription: &mut Subscription,
        stop: &CancellationToken,
    ) -> Ended {
        let target = self.worker.queue().target;
        loop {
            self.beat.waits();
            let places = Arc::clone(&self.slots).acquire_many_owned(self.places());
            let slot = tokio::select! {
                biased;
                () = stop.cancelled() => return Ended::Told,
                () = self.watch.until(target, false) => return Ended::Told,
                slot = self.beat.while_waiting(places) => slot,
            };
            let Ok(slot) = slot else { return Ended::Told };
            let first = tokio::select! {
                biased;
                () = stop.cancelled() => return Ended::Told,
                () = self.watch.until(target, false) => return Ended::Told,
                first = subscription.next() => first,
                () = tokio::time::sleep(limits::RELAY_FALLBACK_POLL) => {
                    if subscription.is_alive().await {
                        self.delivers_again();
                        continue;
                    }
                    return Ended::Lost;
                }
            };
            let Some(first) = first else { return Ended::Lost };
            self.delivers_again();
            let mut messages = vec![first];
            while messages.len() < self.batch_deliveries() {
                match subscription.arrived() {
                    Some(message) => messages.push(message),
                    None => break,
                }
            }
            let (worker, beat) = (Arc::clone(&self.worker), self.beat.clone());
            self.batches.spawn(async move {
                match worker.work(messages, slot.into()).await {
                    Ok(true) => beat.well(),
                    // What was handed back and is not due yet proves nothing.
                    Ok(false) => beat.waits(),
                    // That the database is away is told by `/readyz` itself.
                    Err(error) if error.is_outage() => beat.waits(),
                    Err(_) => beat.failed(),
                }
            });
        }
    }
}

impl<R: Remote> Work for Worker<R> {
    fn queue(&self) -> Queue {
        Queue::outbound(self.remote.target())
    }

    fn publisher(&self) -> &Publisher {
        &self.publisher
    }

    async fn work(&self, messages: Vec<Message>, slot: Slot) -> Result<bool, StoreError> {
        deliver(self, messages, slot).await
    }
}

/// Works on a batch and acks it. When the database fails, the deliveries go back. What was claimed and could not be
/// handed back is leased; the republish scan finds it when its lease is over.
async fn deliver<R: Remote>(
    worker: &Worker<R>,
    messages: Vec<Message>,
    slot: Slot,
) -> Result<bool, StoreError> {
    let target = worker.remote.target();
    let (mut deliveries, mut taken, mut odd) = (Vec::new(), Vec::new(), Vec::new());
    for message in messages {
        match &message.delivery {
            Ok(delivery) if delivery.target == target => {
                deliveries.push(delivery.clone());
                taken.push((delivery.entity_ref(), message));
            }
            Ok(_) | Err(_) => odd.push(message),
        }
    }
    put_aside(&worker.tokens, odd).await;
    let unacked = Unacked::new(taken);
    let worked =
        AssertUnwindSafe(Worker::work(worker, deliveries, &unacked, slot)).catch_unwind().await;
    match worked {
        Ok(Ok(worked)) => {
            unacked.ack_rest().await;
            Ok(worked)
        }
        Ok(Err(error)) => {
            tracing::warn!(error = %chain(&error), "The database failed; deliveries are handed back");
            wait_a_second().await;
            unacked.hand_back_rest().await;
            Err(error)
        }
        Err(_panic) => {
            tracing::error!(
                "A batch panicked, which is a bug; what it held comes back when its leases run out"
            );
            unacked.ack_rest().await;
            Err(panicked())
        }
    }
}

/// What becomes of a batch that panicked.
pub(crate) const fn panicked() -> StoreError {
    StoreError::Unexpected("a batch panicked")
}

/// What is no delivery to this target gets a dead letter, and is acked when that is committed.
pub(crate) async fn put_aside(tokens: &Tokens, odd: Vec<Message>) {
    if odd.is_empty() {
        return;
    }
    let (misplaced, undecodable): (Vec<_>, Vec<_>) =
        odd.into_iter().partition(|message| message.delivery.is_ok());
    for message in &misplaced {
        if let Ok(delivery) = &message.delivery {
            tracing::error!(
                target.name = %delivery.target,
                "A delivery was in another target's queue; nothing is lost with it, what is owed stands in Postgres"
            );
        }
    }
    ack_all(misplaced).await;
    let kept: Vec<OddMessage> = undecodable
        .iter()
        .filter_map(|message| message.delivery.as_ref().err())
        .map(|odd| OddMessage { digest: odd.digest, bytes: odd.bytes })
        .collect();
    if kept.is_empty() {
        return;
    }
    match tokens.undecodable(&kept).await {
        Ok(()) => ack_all(undecodable).await,
        Err(error) => {
            tracing::warn!(error = %chain(&error), "The database failed; messages are handed back");
            wait_a_second().await;
            hand_back_all(undecodable).await;
        }
    }
}

/// At least a second between a failure and the next try with the same messages.
pub(crate) async fn wait_a_second() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}
