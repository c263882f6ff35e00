//! A batch of deliveries, carried through the stages: claim, read, decide, push, finish, publish what follows, ack.
//!
//! Each stage is one statement for the whole batch (one per entity type for the projections), and no database
//! connection is held while the remote is waited for. Whatever happens to one entity concerns only its record: results
//! are written down as they arrive, so an entity that hangs holds up no other, and after a second it does not even
//! hold up the next batch.
//! **If the process dies** at any point, the leases of the batch run out, in doubt, and whoever claims next looks
//! at the remote before it trusts a hash.

mod deciding;
mod ending;
mod guarded;
mod pushing;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::broker::{Outgoing, Publisher, Queue};
use crate::deliver::breaker::Breaker;
use crate::deliver::decision::Decision;
use crate::deliver::guard;
use crate::deliver::record::{Claim, Finish};
use crate::deliver::retry::RetryPolicy;
use crate::deliver::settle::{self, Seen};
use crate::deliver::tokens::Tokens;
use crate::deliver::unacked::Unacked;
use crate::delivery::{Cause, Delivery};
use crate::entity::EntityRef;
use crate::error_chain::chain;
use crate::failpoint;
use crate::limits;
use crate::ops::metrics::Metrics;
use crate::remote::{PushResult, Remote, SendBefore, Wire};
use crate::store::{FinishReport, Store, StoreError};
use crate::target_watch::Gate;
use crate::trace::{self, Span};

/// What a batch is worked with. One per target and process.
pub struct Worker<R> {
    /// The database.
    pub store: Store,
    /// For what follows from a batch.
    pub publisher: Arc<Publisher>,
    /// The target's client.
    pub remote: R,
    /// Who holds our leases.
    pub owner: Uuid,
    /// How failed attempts are tried again.
    pub policy: RetryPolicy,
    /// How many deletes may be sent without a person.
    pub guard: guard::Limits,
    /// An applied write is visible at the target after this.
    pub settle: Duration,
    /// What the results say about the target.
    pub breaker: Arc<Breaker>,
    /// What needs a person.
    pub tokens: Tokens,
    /// Where it counts.
    pub metrics: Arc<Metrics>,
    /// Stops sending while the target is closed, and when we are told to stop; what was not sent is handed back.
    pub gate: Gate,
    /// We are told to stop.
    pub stop: CancellationToken,
}

/// A claimed entity with what was read of it and what is to be done.
struct Turn {
    claim: Claim,
    seen: Seen,
    decision: Decision,
    wire: Option<Wire>,
    /// Ends with the ack.
    span: Span,
    /// How long its push took.
    took: Duration,
}

/// How far our leases reach.
struct Leases {
    /// Measured from before the claim, so that our clock can't believe in them longer than the database does.
    until: Instant,
    /// No request may be sent after this.
    send_before: SendBefore,
    /// When it was decided, by the database's clock: what the remote says was said after it.
    decided_on: Timestamp,
}

/// What one round of a batch leaves.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Round {
    /// Owed again at once.
    again: BTreeSet<EntityRef>,
    /// Nothing more may be sent to the target for now.
    closes_target: bool,
    /// What could not be written down; its leases run out.
    failed: Option<StoreError>,
    /// There was something to do, and it was decided what.
    worked: bool,
    /// The target was on trial: what was not sent is not sent by this batch, which may be larger than what may follow at once.
    on_trial: bool,
    /// There was something to push, and nothing could be sent: it is not tried again at once.
    stalled: bool,
}

/// A place among the batches that are under way. One that waits for a slow entity gives it up, but not while the target is on
/// trial: nothing else goes out before that has ended, however long it takes.
pub struct Slot(Option<OwnedSemaphorePermit>);

impl From<OwnedSemaphorePermit> for Slot {
    fn from(permit: OwnedSemaphorePermit) -> Self {
        Self(Some(permit))
    }
}

impl<R: Remote> Worker<R> {
    /// Brings the target up to date on these deliveries' entities, as far as they are owed and due. Each delivery is acked
    /// when its record is committed, or when there is nothing to do. Whether there was anything to do.
    ///
    /// # Errors
    /// [`StoreError`] when the database failed; what was claimed is then left to its leases, and its deliveries are not
    /// acked.
    pub async fn work(
        &self,
        deliveries: Vec<Delivery>,
        unacked: &Unacked,
        mut slot: Slot,
    ) -> Result<bool, StoreError> {
        let mut wanted: BTreeSet<EntityRef> = deliveries.iter().map(Delivery::entity_ref).collect();
        let traced: HashMap<EntityRef, &str> = deliveries
            .iter()
            .filter_map(|delivery| Some((delivery.entity_ref(), delivery.traceparent.as_deref()?)))
            .collect();
        self.send_round_again(&deliveries).await?;
        let mut worked = false;
        for _ in 0..limits::GO_AGAIN_MAX {
            if wanted.is_empty() {
                return Ok(worked);
            }
            if self.stop.is_cancelled() {
                break;
            }
            if self.gate.is_closed() {
                // It is told nothing: it is caught up when it opens.
                return Ok(worked);
            }
            let entities: Vec<_> = wanted.into_iter().collect();
            let round = self.work_once(&entities, &traced, unacked, &mut slot).await?;
            worked |= round.worked;
            if round.closes_target {
                return round.failed.map_or(Ok(worked), Err);
            }
            wanted = round.again;
            if let Some(error) = round.failed {
                self.publish_due(wanted.into_iter().collect()).await;
                return Err(error);
            }
            if round.stalled {
                self.wait_a_second().await;
            }
            // Whoever has given up its place must not go on beside those that have one.
            if slot.0.is_none() || round.on_trial {
                break;
            }
        }
        // An entity that never comes to rest makes way for others, and so does all of it when we stop: it is due,
        // and told so again.
        self.publish_due(wanted.into_iter().collect()).await;
        Ok(worked)
    }

    /// A retry that comes before its record is due (the delay queues know few delays) goes round once more: an ack
    /// would leave it to the republish scan.
    async fn send_round_again(&self, deliveries: &[Delivery]) -> Result<(), StoreError> {
        let retries: HashMap<EntityRef, &Delivery> = deliveries
            .iter()
            .filter(|delivery| delivery.attempt > 0)
            .map(|delivery| (delivery.entity_ref(), delivery))
            .collect();
        let entities: Vec<EntityRef> = retries.keys().copied().collect();
        let target = self.remote.target();
        let early = self.store.retrying(target, &entities).await?;
        let again = early.into_iter().filter_map(|entity| {
            let delivery = Delivery::clone(retries.get(&entity)?);
            Some(Outgoing { queue: Queue::delay(target, Duration::ZERO), delivery })
        });
        self.publish(again.collect()).await;
        Ok(())
    }

    /// One round: claims, decides, pushes, and writes down what came of it.
    async fn work_once(
        &self,
        entities: &[EntityRef],
        traced: &HashMap<EntityRef, &str>,
        unacked: &Unacked,
        slot: &mut Slot,
    ) -> Result<Round, StoreError> {
        let target = self.remote.target();
        let claimed_at = Instant::now();
        let lease = limits::lease(self.remote.request_timeout());
        let mut claims = self.store.claim(target, self.owner, lease, entities).await?;
        failpoint!("claim.committed", !claims.is_empty());
        let claimed: BTreeSet<EntityRef> = claims.iter().map(|claim| claim.entity).collect();
        unacked.ack(entities.iter().filter(|entity| !claimed.contains(entity))).await;
        if claims.is_empty() {
            return Ok(Round::default());
        }
        for claim in &mut claims {
            let message = traced.get(&claim.entity).copied();
            claim.traceparent = trace::nearest(message, claim.traceparent.as_deref());
        }
        let decided = match self.decide(claims.clone()).await {
            Ok(decided) => decided,
            Err(error) => {
                self.hand_back(claims).await;
                return Err(error);
            }
        };
        failpoint!("decided");
        let until = claimed_at + lease;
        let send_before = SendBefore::new(until - self.remote.request_timeout(), self.gate.token());
        let leases = Leases { until, send_before, decided_on: decided.now };
        let round = self.push(decided, &leases, unacked, slot).await;
        Ok(Round { worked: true, ..round })
    }

    /// What could not be decided was not sent: its leases end now, not when they run out.
    async fn hand_back(&self, claims: Vec<Claim>) {
        let not_sent = |claim: Claim| {
            let now = Timestamp::now();
            let times = self.times(now, now);
            let claim = settle::taken_over(claim, times);
            settle::after_push(&claim, &Seen::default(), PushResult::NotSent, times, self.policy)
                .finish
        };
        let finishes: Vec<Finish> = claims.into_iter().map(not_sent).collect();
        let (target, read_back) = (self.remote.target(), self.remote.request_timeout());
        if let Err(error) = self.store.finish(target, self.owner, read_back, &finishes).await {
            tracing::warn!(error = %chain(&error), "Leases could not be ended; they run out");
        }
    }

    /// Ends the leases, also over a short outage of the database: it is fenced, so repeating it does no harm.
    async fn finish(
        &self,
        finishes: &[Finish],
        read_back: Duration,
        until: Instant,
    ) -> Result<FinishReport, StoreError> {
        let target = self.remote.target();
        loop {
            match self.store.finish(target, self.owner, read_back, finishes).await {
                Err(error)
                    if error.is_outage() && Instant::now() < until && !self.stop.is_cancelled() =>
                {
                    tracing::warn!(error = %chain(&error), "What was pushed can't be written down yet");
                    tokio::time::sleep(limits::RECONNECT_MAX / 10).await;
                }
                result => return result,
            }
        }
    }

    /// Until the target is closed, or we are told to stop.
    async fn wait_a_second(&self) {
        let closed = self.gate.token();
        tokio::select! {
            () = closed.cancelled() => {}
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }

    /// A target that is closed, or a queue at its bound, is not published to: what is due is found when it opens, or by the republish
    /// scan.
    async fn publish_due(&self, entities: Vec<EntityRef>) {
        let target = self.remote.target();
        let queue = Queue::outbound(target);
        if entities.is_empty()
            || (self.gate.is_closed() && !self.stop.is_cancelled())
            || self.publisher.queue_length(queue).await.is_ok_and(|n| n >= limits::QUEUE_FULL)
        {
            return;
        }
        let messages = entities.into_iter().map(|entity| {
            let delivery = Delivery::new(target, entity, Cause::Change, Timestamp::now());
            Outgoing { queue, delivery }
        });
        self.publish(messages.collect()).await;
    }

    /// A failure is no loss: everything is owed in Postgres, and the republish scan finds it.
    async fn publish(&self, messages: Vec<Outgoing>) {
        if let Err(error) = self.publisher.publish(&messages).await {
            tracing::warn!(error = %chain(&error), "Due, but not published now");
        }
    }
}
