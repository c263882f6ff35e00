//! A batch of deliveries, carried through the stages: claim, read, decide, push, finish, publish what follows, ack.
//!
//! Each stage is one statement for the whole batch (one per entity type for the projections), and no database
//! connection is held while the remote is waited for. Whatever happens to one entity concerns only its record: results
//! are written down as they arrive, so an entity that hangs holds up no other, and after a second it does not even
//! hold up the next batch.
//! **If the process dies** at any point, the leases of the batch run out, in doubt, and whoever claims next looks
//! at the remote before it trusts a hash.

mod guarded;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::broker::{Outgoing, Publisher, Queue};
use crate::deliver::breaker::Breaker;
use crate::deliver::decision::{self, Decision, Ems, Known};
use crate::deliver::guard;
use crate::deliver::record::{Claim, Finish};
use crate::deliver::retry::RetryPolicy;
use crate::deliver::settle::{self, Seen, Settled, Times};
use crate::deliver::tokens::Tokens;
use crate::deliver::unacked::Unacked;
use crate::delivery::{Cause, Delivery};
use crate::entity::{EntityRef, EntityType};
use crate::error_chain::chain;
use crate::failpoint;
use crate::limits;
use crate::ops::metrics::Metrics;
use crate::remote::{
    Action, Failure, FailureClass, Look, Push, PushResult, Remote, RemoteIds, Results, SendBefore,
    Wire,
};
use crate::route::Owing;
use crate::store::{AttemptRecord, FinishReport, Projection, Store, StoreError};
use crate::target::Target;
use crate::target_watch::Gate;

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

/// Other entities that may have to come first.
struct Related {
    /// A child whose record still has a remote id.
    child: Option<EntityRef>,
    /// An older one of its kind and parent that is owed.
    older: Option<EntityRef>,
}

/// A claimed entity with what was read of it and what is to be done.
struct Turn {
    claim: Claim,
    seen: Seen,
    decision: Decision,
    wire: Option<Wire>,
    /// How long its push took.
    took: Duration,
}

/// The turns of a batch, decided at one moment of the database's clock, which is carried on by ours.
struct Decided {
    turns: Vec<Turn>,
    /// By the database's clock, and by ours right after it was read.
    now: Timestamp,
    at: Instant,
    /// The target is on trial: what it fails burns no attempt.
    on_trial: bool,
}

impl Decided {
    /// The database's clock as it must be by now.
    fn now(&self) -> Timestamp {
        self.now.checked_add(self.at.elapsed()).unwrap_or(self.now)
    }
}

/// How far our leases reach.
struct Leases {
    /// Measured from before the claim, so that our clock can't believe in them longer than the database does.
    until: Instant,
    /// No request may be sent after this.
    send_before: SendBefore,
}

/// What one round of a batch leaves.
#[derive(Default)]
struct Round {
    /// Owed again at once.
    again: BTreeSet<EntityRef>,
    /// Nothing more may be sent to the target for now.
    closes_target: bool,
    /// What could not be written down; its leases run out.
    failed: Option<StoreError>,
}

/// Ended leases, and what follows from them.
struct End {
    settled: Vec<(Turn, Settled)>,
    /// Those whose dead letters have no token yet.
    dead: Vec<EntityRef>,
    /// Others that are due because of them.
    due: Vec<EntityRef>,
    /// Those of them that are owed again.
    again: Vec<EntityRef>,
}

/// A place among the batches that are under way. One that waits for a slow entity gives it up. The default holds none.
#[derive(Default)]
pub struct Slot(Option<OwnedSemaphorePermit>);

impl From<OwnedSemaphorePermit> for Slot {
    fn from(permit: OwnedSemaphorePermit) -> Self {
        Self(Some(permit))
    }
}

impl<R: Remote> Worker<R> {
    /// Brings the target up to date on these deliveries' entities, as far as they are owed and due. Each delivery is acked
    /// when its record is committed, or when there is nothing to do.
    ///
    /// # Errors
    /// [`StoreError`] when the database failed; what was claimed is then left to its leases, and its deliveries are not
    /// acked.
    pub async fn work(
        &self,
        deliveries: Vec<Delivery>,
        unacked: &Unacked,
        mut slot: Slot,
    ) -> Result<(), StoreError> {
        let mut wanted: BTreeSet<EntityRef> = deliveries.iter().map(Delivery::entity_ref).collect();
        self.send_round_again(&deliveries).await?;
        for _ in 0..limits::GO_AGAIN_MAX {
            if wanted.is_empty() {
                return Ok(());
            }
            if self.stop.is_cancelled() {
                break;
            }
            if self.gate.is_closed() {
                // It is told nothing: it is caught up when it opens.
                return Ok(());
            }
            let entities: Vec<_> = wanted.into_iter().collect();
            let round = self.work_once(&entities, unacked, &mut slot).await?;
            if round.closes_target {
                return round.failed.map_or(Ok(()), Err);
            }
            wanted = round.again;
            if let Some(error) = round.failed {
                self.publish_due(wanted.into_iter().collect()).await;
                return Err(error);
            }
            // Whoever has given up its place must not go on beside those that have one.
            if slot.0.is_none() {
                break;
            }
        }
        // An entity that never comes to rest makes way for others, and so does all of it when we stop: it is due,
        // and told so again.
        self.publish_due(wanted.into_iter().collect()).await;
        Ok(())
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
        unacked: &Unacked,
        slot: &mut Slot,
    ) -> Result<Round, StoreError> {
        let target = self.remote.target();
        let claimed_at = Instant::now();
        let lease = self.lease();
        let claims = self.store.claim(target, self.owner, lease, entities).await?;
        failpoint!("claim.committed");
        let claimed: BTreeSet<EntityRef> = claims.iter().map(|claim| claim.entity).collect();
        unacked.ack(entities.iter().filter(|entity| !claimed.contains(entity))).await;
        if claims.is_empty() {
            return Ok(Round::default());
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
        Ok(self.push(decided, &Leases { until, send_before }, unacked, slot).await)
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

    /// A lease outlasts a login, a look-up and a write, and one to spare.
    fn lease(&self) -> Duration {
        (self.remote.request_timeout() * limits::LEASE_REQUESTS).max(limits::LEASE_MIN)
    }

    /// Reads what the decisions need, and decides.
    async fn decide(&self, claims: Vec<Claim>) -> Result<Decided, StoreError> {
        let target = self.remote.target();
        let moment = self.store.moment(target).await?;
        let at = Instant::now();
        // What another process was told counts here before anything is sent.
        self.gate.see(moment.version, moment.is_open);
        let now = moment.now;
        let projections = self.read_projections(&claims).await?;
        let parents: BTreeSet<EntityRef> =
            projections.values().flat_map(|p| p.parents.iter().copied()).collect();
        let gone: Vec<EntityRef> = claims
            .iter()
            .map(|claim| claim.entity)
            .filter(|entity| !projections.contains_key(entity))
            .collect();
        let parents: Vec<_> = parents.into_iter().collect();
        let new: Vec<EntityRef> = claims
            .iter()
            .filter(|claim| claim.remote_id.is_none())
            .map(|claim| claim.entity)
            .filter(|entity| self.remote.wants_older_first(entity.entity_type))
            .filter(|entity| projections.contains_key(entity))
            .collect();
        let older = projections.values().filter(|p| new.contains(&p.entity));
        let older =
            older.flat_map(|p| p.parents.iter().map(|parent| (p.entity, *parent))).collect();
        let (remote_ids, children, older) = tokio::try_join!(
            self.store.remote_ids(target, &parents),
            self.store.children_at_remote(target, &gone),
            self.store.owed_siblings(target, older),
        )?;
        let turns = claims
            .into_iter()
            .map(|claim| {
                let projection = projections.get(&claim.entity);
                let related = Related {
                    child: children.get(&claim.entity).copied(),
                    older: older.get(&claim.entity).copied(),
                };
                self.turn(claim, projection, related, &remote_ids, now)
            })
            .collect();
        Ok(Decided { turns: self.guarded(turns).await?, now, at, on_trial: moment.on_trial })
    }

    async fn read_projections(
        &self,
        claims: &[Claim],
    ) -> Result<HashMap<EntityRef, Projection>, StoreError> {
        let mut by_type: BTreeMap<EntityType, Vec<i64>> = BTreeMap::new();
        for claim in claims {
            by_type.entry(claim.entity.entity_type).or_default().push(claim.entity.id);
        }
        let target = self.remote.target();
        let reads = by_type.iter().map(|(entity_type, ids)| async move {
            self.store.projections(target, *entity_type, ids).await
        });
        let projections = futures_util::future::try_join_all(reads).await?;
        Ok(projections.into_iter().flatten().map(|p| (p.entity, p)).collect())
    }

    fn turn(
        &self,
        claim: Claim,
        projection: Option<&Projection>,
        related: Related,
        remote_ids: &RemoteIds,
        now: Timestamp,
    ) -> Turn {
        let mut unmappable = None;
        let (ems, wire) = match projection {
            None => (Ems::Gone { child: related.child }, None),
            Some(p) => self.present(p, related.older, remote_ids).unwrap_or_else(|why| {
                tracing::warn!(entity = %p.entity, error = why, "Not pushed until it changes");
                unmappable = Some(why);
                (Ems::Unmappable, None)
            }),
        };
        let seen = Seen {
            modified_on: projection.map(|projection| projection.modified_on),
            hash: wire.as_ref().map(|wire: &Wire| wire.hash),
            parents: projection.map(|projection| projection.parents.clone()).unwrap_or_default(),
            unmappable,
        };
        let claim = settle::taken_over(claim, self.times(now, now));
        let known = Known {
            has_remote_id: claim.remote_id.is_some(),
            has_intent: claim.intent_on.is_some(),
            intent_is_settled: settle::intent_is_settled(claim.intent_on, self.times(now, now)),
            in_doubt: claim.in_doubt,
            data_hash: claim.data_hash,
            rejected_hash: claim.rejected_hash,
            insisted: matches!(claim.cause, Cause::Replay | Cause::Resync),
        };
        let decision = decision::decide(ems, known);
        Turn { claim, seen, decision, wire, took: Duration::ZERO }
    }

    /// The content of an entity that is there; else why it can't be written down.
    fn present(
        &self,
        projection: &Projection,
        older: Option<EntityRef>,
        remote_ids: &RemoteIds,
    ) -> Result<(Ems, Option<Wire>), String> {
        let missing = projection.parents.iter().find(|parent| !remote_ids.contains_key(parent));
        if let Some(parent) = missing {
            return Ok((Ems::Orphan { parent: *parent }, None));
        }
        if projection.is_odd {
            return Err(
                "The projection's columns are not those that every projection has".to_owned()
            );
        }
        // A mapping that panics, which is a bug, costs its own entity only.
        let map = || self.remote.wire(projection.entity, &projection.fields, remote_ids);
        match std::panic::catch_unwind(AssertUnwindSafe(map)) {
            Ok(Ok(wire)) => Ok((Ems::Present { hash: wire.hash, older }, Some(wire))),
            Ok(Err(unmappable)) => Err(unmappable.to_string()),
            Err(_panic) => Err("The mapping panicked, which is a bug: report it".to_owned()),
        }
    }

    fn times(&self, now: Timestamp, decided: Timestamp) -> Times {
        let request_timeout = self.remote.request_timeout();
        Times { now, decided, request_timeout, settle: self.settle }
    }

    /// Pushes what is to be pushed, writes the results down as they arrive, and tells what follows. The three go on beside
    /// each other: a broker that is unwell keeps no result from being written down.
    async fn push(
        &self,
        mut decided: Decided,
        leases: &Leases,
        unacked: &Unacked,
        slot: &mut Slot,
    ) -> Round {
        let mut ready = Vec::with_capacity(decided.turns.len());
        let mut pushing: HashMap<EntityRef, Turn> = HashMap::new();
        let mut pushes = Vec::new();
        for turn in std::mem::take(&mut decided.turns) {
            if let Some(done) = settle::without_request(&turn.claim, turn.decision, &turn.seen) {
                ready.push((turn, done));
            } else {
                pushes.extend(push_of(&turn, &leases.send_before));
                pushing.insert(turn.claim.entity, turn);
            }
        }
        die_before_sending(&pushes);
        let began = Instant::now();
        let (results, arrived) = Results::channel();
        let push = async move {
            // The channel ends when the client is done, or has panicked.
            if !pushes.is_empty() {
                let push = AssertUnwindSafe(self.remote.push(pushes, results)).catch_unwind();
                if push.await.is_err() {
                    tracing::error!(
                        "A client panicked, which is a bug; what it was to push is in doubt"
                    );
                }
            }
        };
        let (ended, follow) = mpsc::unbounded_channel();
        let write_down = async {
            let ended = ended;
            let mut arriving = Arriving { arrived, slot, began };
            let mut round = Round::default();
            loop {
                let (results, more) = arriving.next(!ready.is_empty()).await;
                for (entity, result) in results {
                    if let Some(turn) = pushing.remove(&entity) {
                        ready.push(self.settle_push(turn, result, &decided, began));
                    }
                }
                if !more {
                    // Obligation 1 says that there are none; if there are, their fate is not known.
                    let rest = std::mem::take(&mut pushing).into_values();
                    ready.extend(rest.map(|t| self.settle_push(t, no_result(), &decided, began)));
                }
                let settled = std::mem::take(&mut ready);
                match self.end(settled, leases, &mut round, !more).await {
                    // It listens for as long as this lives.
                    Ok(end) => drop(end.map(|end| ended.send(end))),
                    Err(error) => round.failed = Some(error),
                }
                if !more {
                    return round;
                }
            }
        };
        let follow_up = self.follow(follow, unacked);
        tokio::join!(push, write_down, follow_up).1
    }

    fn settle_push(
        &self,
        turn: Turn,
        result: PushResult,
        decided: &Decided,
        began: Instant,
    ) -> (Turn, Settled) {
        die_after_answer(turn.decision);
        let times = self.times(decided.now(), decided.now);
        let took = began.elapsed();
        self.metrics.pushed(self.remote.target(), took);
        let after = if decided.on_trial { settle::after_trial } else { settle::after_push };
        let settled = after(&turn.claim, &turn.seen, result, times, self.policy);
        (Turn { took, ..turn }, settled)
    }

    /// Ends the leases of some of the batch.
    async fn end(
        &self,
        settled: Vec<(Turn, Settled)>,
        leases: &Leases,
        round: &mut Round,
        is_last: bool,
    ) -> Result<Option<End>, StoreError> {
        if settled.is_empty() {
            return Ok(None);
        }
        let verdicts: Vec<_> =
            settled.iter().map(|(turn, s)| (turn.claim.entity, s.verdict.clone())).collect();
        round.closes_target |= verdicts.iter().any(|(_, verdict)| verdict.closes_target());
        // First of all, so that the other processes learn of a pause or a refusal.
        self.breaker.judge(verdicts).await;
        // Before the attempts are written down: what dies in between is only doubted once more.
        let mut due = self.doubt_parents(&settled).await?;
        let finishes: Vec<Finish> = settled.iter().map(|(_, s)| s.finish.clone()).collect();
        let read_back = self.remote.request_timeout() + self.settle;
        let report = self.finish(&finishes, read_back, leases.until).await?;
        failpoint!("finish.committed");
        self.count(&settled);
        let again = if is_last {
            round.again.extend(&report.again);
            Vec::new()
        } else {
            // Those that still push are not waited for.
            report.again
        };
        due.extend(report.due);
        Ok(Some(End { settled, dead: report.dead, due, again }))
    }

    /// The remote says that these parents are not there: no hash proves that they are. Returns what is owed for it.
    async fn doubt_parents(
        &self,
        settled: &[(Turn, Settled)],
    ) -> Result<Vec<EntityRef>, StoreError> {
        let doubted: BTreeSet<EntityRef> =
            settled.iter().flat_map(|(_, s)| s.doubted_parents.iter().copied()).collect();
        if doubted.is_empty() {
            return Ok(Vec::new());
        }
        let owed = self.store.owe(doubt(self.remote.target(), doubted)).await?;
        Ok(owed.iter().flat_map(Owing::deliveries).map(|d| d.entity_ref()).collect())
    }

    /// Tells what follows from ended leases, then acks.
    async fn follow(&self, mut ended: mpsc::UnboundedReceiver<End>, unacked: &Unacked) {
        let target = self.remote.target();
        while let Some(End { settled, dead, mut due, again }) = ended.recv().await {
            if let Err(error) = self.store.record_attempts(target, &attempts(&settled)).await {
                tracing::warn!(error = %chain(&error), "The audit trail has a gap");
            }
            self.tokens.publish(&dead).await;
            due.extend(again);
            self.follow_up(&settled, due).await;
            failpoint!("follow_up.published");
            unacked.ack(settled.iter().map(|(turn, _)| &turn.claim.entity)).await;
            failpoint!("acked");
        }
    }

    /// Publishes what is due because of ended leases: woken and owed records, and retries through the delay queues. A closed
    /// target is told nothing: it is caught up when it opens.
    async fn follow_up(&self, settled: &[(Turn, Settled)], due: Vec<EntityRef>) {
        let target = self.remote.target();
        if self.gate.is_closed() {
            return;
        }
        let retries = settled.iter().filter_map(|(turn, settled)| {
            let delay = settled.retry_after?;
            let mut delivery = delivery_of(target, turn);
            delivery.attempt = settled.finish.attempts;
            Some(Outgoing { queue: Queue::delay(target, delay), delivery })
        });
        self.publish(retries.collect()).await;
        self.publish_due(due).await;
    }

    /// A queue at its bound is not published to: what is due is found by the republish scan.
    async fn publish_due(&self, entities: Vec<EntityRef>) {
        let target = self.remote.target();
        let queue = Queue::outbound(target);
        if entities.is_empty()
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

    fn count(&self, settled: &[(Turn, Settled)]) {
        let target = self.remote.target();
        for (turn, settled) in settled {
            let entity_type = turn.claim.entity.entity_type;
            self.metrics.delivered(target, entity_type, turn.decision.name(), settled.outcome);
            if settled.finish.confirmed || settled.outcome == "deleted" {
                let fresh =
                    turn.claim.owed_on.map(|owed_on| Timestamp::now().duration_since(owed_on));
                if let Some(fresh) = fresh.and_then(|fresh| Duration::try_from(fresh).ok()) {
                    self.metrics.fresh(target, fresh);
                }
            }
            if let Some(class) = settled.failure {
                tracing::warn!(
                    target.name = %target,
                    entity.type = %entity_type,
                    entity.id = turn.claim.entity.id,
                    delivery.decision = turn.decision.name(),
                    delivery.attempt = settled.finish.attempts,
                    failure.class = class.name(),
                    failure.text = settled.finish.error.as_deref().unwrap_or_default(),
                    "Attempt failed"
                );
            }
        }
    }
}

/// The results of a push, as they arrive.
struct Arriving<'a> {
    arrived: mpsc::UnboundedReceiver<(EntityRef, PushResult)>,
    slot: &'a mut Slot,
    began: Instant,
}

impl Arriving<'_> {
    /// What has arrived and is worth a transaction, and whether there is more to come. It lingers for a moment, so that
    /// results that come one by one share one, but not for the slow; `has_some` when something is ready already.
    async fn next(&mut self, has_some: bool) -> (Vec<(EntityRef, PushResult)>, bool) {
        let mut results = Vec::new();
        let slow_at = self.began + limits::BATCH_SLOW_AFTER;
        let mut linger = has_some.then(|| Instant::now() + limits::FINISH_LINGER);
        loop {
            let lingers_until = linger.unwrap_or_else(|| Instant::now() + limits::LEASE_MIN);
            tokio::select! {
                biased;
                arrived = self.arrived.recv_many(&mut results, limits::BATCH_DELIVERIES) => {
                    if arrived == 0 {
                        return (results, false);
                    }
                    linger.get_or_insert_with(|| Instant::now() + limits::FINISH_LINGER);
                }
                () = tokio::time::sleep_until(slow_at), if self.slot.0.is_some() => {
                    self.slot.0 = None;
                }
                () = tokio::time::sleep_until(lingers_until) => {
                    if linger.is_some() {
                        return (results, true);
                    }
                }
            }
        }
    }
}

/// What becomes of a push that its client gave no result for.
fn no_result() -> PushResult {
    PushResult::Failed(Failure::new(FailureClass::Ambiguous, "The client gave no result"))
}

/// Where a test kills the process with a write about to be sent.
fn die_before_sending(pushes: &[Push]) {
    for push in pushes {
        match push.action {
            Action::Create { .. } => failpoint!("create.sending"),
            Action::Update { .. } => failpoint!("update.sending"),
            Action::Delete { .. } | Action::DeleteByKey => failpoint!("delete.sending"),
        }
    }
}

/// Where a test kills the process with an answer that nobody has written down.
fn die_after_answer(decision: Decision) {
    match decision {
        Decision::Create { .. } => failpoint!("create.answered"),
        Decision::Update => failpoint!("update.answered"),
        Decision::Delete { .. } => failpoint!("delete.answered"),
        Decision::Skip(_) | Decision::Wait(_) | Decision::Hold(_) => {}
    }
}

/// The push that a decision asks for, if it asks for one.
fn push_of(turn: &Turn, send_before: &SendBefore) -> Option<Push> {
    let remote_id = || turn.claim.remote_id.clone();
    let action = match turn.decision {
        Decision::Create { look_first, absence_is_proof } => Action::Create {
            wire: turn.wire.clone()?,
            look: if look_first { Look::First { absence_is_proof } } else { Look::IfRefused },
        },
        Decision::Update => Action::Update { remote_id: remote_id()?, wire: turn.wire.clone()? },
        Decision::Delete { id_is_known: true } => Action::Delete { remote_id: remote_id()? },
        Decision::Delete { id_is_known: false } => Action::DeleteByKey,
        Decision::Skip(_) | Decision::Wait(_) | Decision::Hold(_) => return None,
    };
    Some(Push {
        entity: turn.claim.entity,
        action,
        by_itself: turn.claim.attempts > 0 || turn.claim.taken_over,
        send_before: send_before.clone(),
    })
}

fn delivery_of(target: Target, turn: &Turn) -> Delivery {
    let changed_on = turn.claim.owed_on.unwrap_or_else(Timestamp::now);
    let mut delivery = Delivery::new(target, turn.claim.entity, turn.claim.cause, changed_on);
    delivery.traceparent.clone_from(&turn.claim.traceparent);
    delivery
}

/// The remote says that these are not there: no hash proves that they are.
fn doubt(target: Target, entities: BTreeSet<EntityRef>) -> Vec<Owing> {
    let mut by_type: BTreeMap<EntityType, Vec<(i64, Timestamp, Option<String>)>> = BTreeMap::new();
    for entity in entities {
        by_type.entry(entity.entity_type).or_default().push((entity.id, Timestamp::now(), None));
    }
    let owing = |(entity_type, entities)| Owing {
        target,
        entity_type,
        entities,
        cause: Cause::Change,
        bulk: false,
        in_doubt: true,
    };
    by_type.into_iter().map(owing).collect()
}

/// The audit trail of what was sent.
fn attempts(settled: &[(Turn, Settled)]) -> Vec<AttemptRecord> {
    settled
        .iter()
        .filter(|(_, settled)| settled.finish.sent || settled.failure.is_some())
        .map(|(turn, settled)| AttemptRecord {
            entity_type: turn.claim.entity.entity_type,
            entity_id: turn.claim.entity.id,
            decision: turn.decision.name(),
            outcome: settled.outcome,
            class: settled.failure.map(crate::remote::FailureClass::name),
            error: settled.finish.error.clone(),
            attempt: turn.claim.attempts.saturating_add(1),
            duration_ms: turn.took.as_millis().try_into().unwrap_or(u32::MAX),
            fence: turn.claim.fence,
        })
        .collect()
}
