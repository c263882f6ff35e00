//! The end of turns: leases are ended, then what follows is told, then deliveries are acked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::{Leases, Round, Turn, Worker};
use crate::broker::{Outgoing, Queue};
use crate::deliver::decision::{Decision, SkipReason};
use crate::deliver::record::{Due, Finish};
use crate::deliver::settle::{self, Settled};
use crate::deliver::unacked::Unacked;
use crate::delivery::{Cause, Delivery};
use crate::entity::{EntityRef, EntityType};
use crate::error_chain::chain;
use crate::failpoint;
use crate::inbound::apply::{corrected, message};
use crate::inbound::merge;
use crate::remote::{Failure, FailureClass, PushResult, Remote};
use crate::route::Owing;
use crate::store::{AttemptRecord, InboxRef, Stand, StoreError};
use crate::target::Target;

/// Ended leases, and what follows from them.
pub(super) struct End {
    settled: Vec<(Turn, Settled)>,
    /// Those whose dead letters have no token yet.
    dead: Vec<EntityRef>,
    /// Others that are due because of them.
    due: Vec<EntityRef>,
    /// Those of them that are owed again.
    again: Vec<EntityRef>,
    /// What came back from the target and is to be decided now.
    inbox: Vec<InboxRef>,
}

impl<R: Remote> Worker<R> {
    /// Ends the leases of some of the batch.
    pub(super) async fn end(
        &self,
        mut settled: Vec<(Turn, Settled)>,
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
        due.extend(self.owe_carriers(&settled).await?);
        // It waits there for the end of our leases.
        let (mut inbox, stands) = self.take_in_changes(&settled, leases).await?;
        for (turn, s) in &mut settled {
            if is_anothers(turn, s, &stands) {
                let failure = Failure::new(FailureClass::Transient, ANOTHERS);
                let times = self.times(Timestamp::now(), leases.decided_on);
                let failed = PushResult::Failed(failure);
                *s = settle::after_push(&turn.claim, &turn.seen, failed, times, self.policy);
            }
        }
        let finishes: Vec<Finish> = settled
            .iter()
            .map(|(turn, s)| self.with_agreed(turn, s, after_changes(turn, s, &stands)))
            .collect();
        let read_back = self.remote.request_timeout() + self.settle;
        let report = self.finish(&finishes, read_back, leases.until).await?;
        failpoint!("finish.committed");
        let carried: Vec<_> = settled.iter().flat_map(|(_, s)| s.carried.iter().cloned()).collect();
        self.store.carry(self.remote.target(), &carried).await?;
        self.count(&settled);
        for (turn, settled) in &mut settled {
            let failure = settled.failure.map(FailureClass::name);
            turn.span.settled(turn.decision.name(), settled.outcome, failure);
        }
        let again = if is_last {
            round.again.extend(&report.again);
            Vec::new()
        } else {
            // Those that still push are not waited for.
            report.again
        };
        due.extend(report.due);
        inbox.extend(report.inbox);
        inbox.sort_unstable_by_key(|row| row.inbox_id);
        inbox.dedup();
        Ok(Some(End { settled, dead: report.dead, due, again, inbox }))
    }

    /// What people have made of records that were to be written: the inbound side decides about it.
    async fn take_in_changes(
        &self,
        settled: &[(Turn, Settled)],
        leases: &Leases,
    ) -> Result<(Vec<InboxRef>, Vec<Stand>), StoreError> {
        let changed: Vec<_> = settled
            .iter()
            .filter_map(|(turn, settled)| {
                let is_create = turn.claim.remote_id.is_none();
                let wanted_by = is_create.then_some(turn.claim.entity.id);
                Some((settled.changed_there.as_deref()?.clone(), wanted_by))
            })
            .collect();
        if changed.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        let target = self.remote.target();
        let ahead = self.store.clock_ahead(target).await?;
        let found: Vec<_> = changed
            .into_iter()
            .map(|(snapshot, wanted_by)| (corrected(snapshot, ahead), wanted_by))
            .collect();
        let nothing = self.remote.nothing();
        let taken = self.store.take_in_found(target, leases.decided_on, nothing, &found).await?;
        Ok((taken, self.store.inbox_standing(target, &found).await?))
    }

    /// What both sides hold once the target has confirmed what was written: we what was sent, the target what it answered.
    fn with_agreed(&self, turn: &Turn, settled: &Settled, finish: Finish) -> Finish {
        let target = self.remote.target();
        let is_both = finish.confirmed && finish.sent && target.is_bidirectional();
        let agreed = turn.wire.as_ref().filter(|_| is_both).map(|wire| {
            merge::after_push(target, wire, settled.held.as_deref(), finish.remote_hash)
        });
        Finish { agreed, ..finish }
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

    /// What exists at the target only within others changes there when they are pushed.
    async fn owe_carriers(
        &self,
        settled: &[(Turn, Settled)],
    ) -> Result<Vec<EntityRef>, StoreError> {
        let is_carried = |turn: &Turn| turn.decision == Decision::Skip(SkipReason::Carried);
        let carried = settled.iter().filter(|(turn, _)| is_carried(turn));
        let carried: Vec<EntityRef> = carried.map(|(turn, _)| turn.claim.entity).collect();
        self.store.owe_carriers(self.remote.target(), &carried).await
    }

    /// Tells what follows from ended leases, then acks.
    pub(super) async fn follow(&self, mut ended: mpsc::UnboundedReceiver<End>, unacked: &Unacked) {
        let target = self.remote.target();
        while let Some(End { settled, dead, mut due, again, inbox }) = ended.recv().await {
            if let Err(error) = self.store.record_attempts(target, &attempts(&settled)).await {
                tracing::warn!(error = %chain(&error), "The audit trail has a gap");
            }
            self.tokens.publish(&dead).await;
            due.extend(again);
            self.follow_up(&settled, due).await;
            self.publish(inbox.into_iter().map(|row| message(target, row)).collect()).await;
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
            // One that comes early goes round again by that: it is no first try, though what settles burns no attempt.
            delivery.attempt = settled.finish.attempts.max(1);
            Some(Outgoing { queue: Queue::delay(target, delay), delivery })
        });
        self.publish(retries.collect()).await;
        failpoint!("retry.published", settled.iter().any(|(_, s)| s.retry_after.is_some()));
        self.publish_due(due).await;
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
                self.metrics.failed(target, class);
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

/// Why a create is tried again, and dead-lettered in the end.
const ANOTHERS: &str =
    "What the create finds at the target is another entity's record; it may be free later";

/// A create has found the record of another entity.
fn is_anothers(turn: &Turn, settled: &Settled, stands: &[Stand]) -> bool {
    turn.claim.remote_id.is_none() && stand_of(settled, stands).is_some_and(|stand| stand.is_known)
}

/// How the people's changes stand that a push has found.
fn stand_of<'a>(settled: &Settled, stands: &'a [Stand]) -> Option<&'a Stand> {
    let found = settled.changed_there.as_ref()?;
    stands
        .iter()
        .find(|stand| stand.entity_type == found.entity_type && stand.remote_id == found.remote_id)
}

/// The end of a push that found people's changes. Where exactly these were decided before (the EMS did not take them, and they are kept
/// in a conflict), or are our own, the EMS wins: the next push writes over them. Else it is not tried before they are decided. What a
/// create has found is the entity's record by that; another's is no change ([`is_anothers`]).
fn after_changes(turn: &Turn, settled: &Settled, stands: &[Stand]) -> Finish {
    let mut finish = settled.finish.clone();
    let Some(found) = &settled.changed_there else { return finish };
    let Some(stand) = stand_of(settled, stands) else { return finish };
    if stand.is_decided && turn.claim.remote_id.is_some() {
        finish.remote_hash = found.hash();
    } else if stand.is_decided {
        finish.remote_id = Some(found.remote_id.clone());
        finish.remote_hash = found.hash();
        finish.remote_changed = true;
        finish.in_doubt = true;
    } else if let Due::InMillis(least) = finish.due {
        let due_in = stand.due_in.as_millis().try_into().unwrap_or(least);
        finish.due = Due::InMillis(least.max(due_in));
    }
    finish
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
            class: settled.failure.map(FailureClass::name),
            error: settled.finish.error.clone(),
            attempt: turn.claim.attempts.saturating_add(1),
            duration_ms: turn.took.as_millis().try_into().unwrap_or(u32::MAX),
            fence: turn.claim.fence,
        })
        .collect()
}
