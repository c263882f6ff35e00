//! A batch of deliveries, carried through the stages: claim, read, decide, push, finish, publish what follows.
//!
//! Each stage is one statement for the whole batch (one per entity type for the projections), and no database
//! connection is held while the remote is waited for. Whatever happens to one entity concerns only its record.
//! **If the process dies** at any point, the leases of the batch run out, in doubt, and whoever claims next looks
//! at the remote before it trusts a hash.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::broker::{Outgoing, Publisher, Queue};
use crate::deliver::decision::{self, Decision, Ems, Known};
use crate::deliver::record::{Claim, Finish};
use crate::deliver::retry::RetryPolicy;
use crate::deliver::settle::{self, Seen, Settled, Times, Verdict};
use crate::delivery::{Cause, Delivery};
use crate::entity::{EntityRef, EntityType};
use crate::error_chain::chain;
use crate::limits;
use crate::ops::metrics::Metrics;
use crate::remote::{Action, Look, Push, PushResult, Remote, RemoteIds, SendBefore, Wire};
use crate::route::Owing;
use crate::store::{AttemptRecord, FinishReport, Projection, Store, StoreError};
use crate::target::Target;

/// What a batch is worked with. One per target and process.
pub struct Worker<R> {
    /// The database.
    pub store: Store,
    /// For what follows from a batch.
    pub publisher: Publisher,
    /// The target's client.
    pub remote: R,
    /// Who holds our leases.
    pub owner: Uuid,
    /// How failed attempts are tried again.
    pub policy: RetryPolicy,
    /// An applied write is visible at the target after this.
    pub settle: Duration,
    /// Where it counts.
    pub metrics: Arc<Metrics>,
    /// Stops sending; what was not sent is handed back.
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
    /// How long its push took, with the batch that it was in.
    took: Duration,
}

impl<R: Remote> Worker<R> {
    /// Brings the target up to date on these deliveries' entities, as far as they are owed and due. What it says about the
    /// target as a whole is returned, one verdict per push.
    ///
    /// # Errors
    /// [`StoreError`] when the database failed; what was claimed is then left to its leases.
    pub async fn work(
        &self,
        deliveries: Vec<Delivery>,
    ) -> Result<Vec<(EntityRef, Verdict)>, StoreError> {
        let mut wanted: BTreeSet<EntityRef> = deliveries.iter().map(Delivery::entity_ref).collect();
        let mut verdicts = Vec::new();
        self.send_round_again(&deliveries).await?;
        for _ in 0..limits::GO_AGAIN_MAX {
            if wanted.is_empty() {
                return Ok(verdicts);
            }
            if self.stop.is_cancelled()
                || verdicts.iter().any(|(_, verdict)| verdict.closes_target())
            {
                break;
            }
            let entities: Vec<_> = wanted.into_iter().collect();
            wanted = self.work_once(&entities, &mut verdicts).await?.into_iter().collect();
        }
        // An entity that never comes to rest makes way for others, and so does all of it when we stop: it is due,
        // and told so again. A closed target is told nothing: it is caught up when it opens.
        if !verdicts.iter().any(|(_, verdict)| verdict.closes_target()) {
            self.publish_due(wanted.into_iter().collect()).await;
        }
        Ok(verdicts)
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

    /// One round; what is owed again at once.
    async fn work_once(
        &self,
        entities: &[EntityRef],
        verdicts: &mut Vec<(EntityRef, Verdict)>,
    ) -> Result<Vec<EntityRef>, StoreError> {
        let target = self.remote.target();
        // Measured from before the claim, so that our clock can't believe in the lease longer than the database.
        let claimed_at = Instant::now();
        let lease = self.lease();
        let claims = self.store.claim(target, self.owner, lease, entities).await?;
        if claims.is_empty() {
            return Ok(Vec::new());
        }
        let (turns, now) = match self.decide(claims.clone()).await {
            Ok(decided) => decided,
            Err(error) => {
                self.hand_back(claims).await;
                return Err(error);
            }
        };
        let until = claimed_at + (lease - self.remote.request_timeout());
        let send_before = SendBefore::new(until, self.stop.clone());
        let settled = self.push(turns, now, &send_before).await;

        let finishes: Vec<Finish> = settled.iter().map(|(_, s)| s.finish.clone()).collect();
        let read_back = self.remote.request_timeout() + self.settle;
        let report = self.finish(&finishes, read_back, claimed_at + lease).await?;
        self.count(&settled);
        if let Err(error) = self.store.record_attempts(target, &attempts(&settled)).await {
            tracing::warn!(error = %chain(&error), "The audit trail has a gap");
        }
        self.follow_up(&settled, report.due).await?;
        verdicts.extend(
            settled.into_iter().map(|(turn, settled)| (turn.claim.entity, settled.verdict)),
        );
        Ok(report.again)
    }

    /// What could not be decided was not sent: its leases end now, not when they run out.
    async fn hand_back(&self, claims: Vec<Claim>) {
        let not_sent = |claim: Claim| {
            let times = self.times(Timestamp::now());
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
    async fn decide(&self, claims: Vec<Claim>) -> Result<(Vec<Turn>, Timestamp), StoreError> {
        let target = self.remote.target();
        let now = self.store.now().await?;
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
        Ok((turns, now))
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
        let (ems, wire) = match projection {
            None => (Ems::Gone { child: related.child }, None),
            Some(projection) => self.present(projection, related.older, remote_ids),
        };
        let seen = Seen {
            modified_on: projection.map(|projection| projection.modified_on),
            hash: wire.as_ref().map(|wire: &Wire| wire.hash),
            parents: projection.map(|projection| projection.parents.clone()).unwrap_or_default(),
        };
        let known = Known {
            has_remote_id: claim.remote_id.is_some(),
            has_intent: claim.intent_on.is_some(),
            intent_is_settled: settle::intent_is_settled(claim.intent_on, self.times(now)),
            in_doubt: claim.in_doubt,
            data_hash: claim.data_hash,
            rejected_hash: claim.rejected_hash,
            insisted: matches!(claim.cause, Cause::Replay | Cause::Resync),
        };
        let decision = decision::decide(ems, known);
        Turn { claim, seen, decision, wire, took: Duration::ZERO }
    }

    /// The content of an entity that is there, if it can be written down.
    fn present(
        &self,
        projection: &Projection,
        older: Option<EntityRef>,
        remote_ids: &RemoteIds,
    ) -> (Ems, Option<Wire>) {
        let missing = projection.parents.iter().find(|parent| !remote_ids.contains_key(parent));
        if let Some(parent) = missing {
            return (Ems::Orphan { parent: *parent }, None);
        }
        if projection.is_odd {
            return (Ems::Unmappable, None);
        }
        match self.remote.wire(projection.entity, &projection.fields, remote_ids) {
            Ok(wire) => (Ems::Present { hash: wire.hash, older }, Some(wire)),
            Err(error) => {
                tracing::warn!(entity = %projection.entity, error = %error, "Held until it changes");
                (Ems::Unmappable, None)
            }
        }
    }

    fn times(&self, now: Timestamp) -> Times {
        Times { now, request_timeout: self.remote.request_timeout(), settle: self.settle }
    }

    /// Pushes what is to be pushed, and settles every turn.
    async fn push(
        &self,
        turns: Vec<Turn>,
        now: Timestamp,
        send_before: &SendBefore,
    ) -> Vec<(Turn, Settled)> {
        let mut settled = Vec::with_capacity(turns.len());
        let mut pushing: HashMap<EntityRef, Turn> = HashMap::new();
        let mut pushes = Vec::new();
        for turn in turns {
            if let Some(done) = settle::without_request(&turn.claim, turn.decision, &turn.seen) {
                settled.push((turn, done));
            } else {
                pushes.extend(push_of(&turn, send_before));
                pushing.insert(turn.claim.entity, turn);
            }
        }
        if pushes.is_empty() {
            return settled;
        }
        let began = Instant::now();
        let results = self.remote.push(pushes).await;
        let took = began.elapsed();
        self.metrics.pushed(self.remote.target(), took);
        for (entity, result) in results {
            if let Some(turn) = pushing.remove(&entity) {
                settled.push(self.settle_push(Turn { took, ..turn }, result, now));
            }
        }
        // Obligation 1 says that there are none; if there are, their fate is not known.
        for (_, turn) in pushing {
            settled.push(self.settle_push(turn, PushResult::NotSent, now));
        }
        settled
    }

    fn settle_push(&self, turn: Turn, result: PushResult, now: Timestamp) -> (Turn, Settled) {
        let times = self.times(now);
        let settled = settle::after_push(&turn.claim, &turn.seen, result, times, self.policy);
        (turn, settled)
    }

    /// Publishes what is due because of the batch: woken and owed records, and retries through the delay queues.
    async fn follow_up(
        &self,
        settled: &[(Turn, Settled)],
        due: Vec<EntityRef>,
    ) -> Result<(), StoreError> {
        let target = self.remote.target();
        let doubted: BTreeSet<EntityRef> =
            settled.iter().flat_map(|(_, s)| s.doubted_parents.iter().copied()).collect();
        if !doubted.is_empty() {
            let owed = self.store.owe(doubt(target, doubted)).await?;
            let deliveries =
                owed.iter().flat_map(Owing::deliveries).map(|delivery| delivery.entity_ref());
            self.publish_due(deliveries.collect()).await;
        }
        let retries = settled.iter().filter_map(|(turn, settled)| {
            let delay = settled.retry_after?;
            let mut delivery = delivery_of(target, turn);
            delivery.attempt = settled.finish.attempts;
            Some(Outgoing { queue: Queue::delay(target, delay), delivery })
        });
        self.publish(retries.collect()).await;
        self.publish_due(due).await;
        Ok(())
    }

    async fn publish_due(&self, entities: Vec<EntityRef>) {
        let target = self.remote.target();
        let queue = Queue::outbound(target);
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
    Some(Push { entity: turn.claim.entity, action, send_before: send_before.clone() })
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
