//! Pushing, and taking the results as they arrive.

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::deciding::Decided;
use super::{Leases, Round, Slot, Turn, Worker};
use crate::deliver::decision::Decision;
use crate::deliver::record::{Claim, Finish};
use crate::deliver::settle::{self, Settled, Times};
use crate::deliver::unacked::Unacked;
use crate::entity::EntityRef;
use crate::error_chain::chain;
use crate::failpoint;
use crate::limits;
use crate::random;
use crate::remote::{
    Action, Failure, FailureClass, Look, Push, PushResult, Remote, Results, SendBefore,
};
use crate::store::StoreError;

impl<R: Remote> Worker<R> {
    /// Pushes what is to be pushed, writes the results down as they arrive, and tells what follows. The three go on beside
    /// each other: a broker that is unwell keeps no result from being written down.
    pub(super) async fn push(
        &self,
        mut decided: Decided,
        leases: &Leases,
        unacked: &Unacked,
        slot: &mut Slot,
    ) -> Round {
        let mut ready = Vec::with_capacity(decided.turns.len());
        let mut pushing: HashMap<EntityRef, Turn> = HashMap::new();
        let mut pushes = Vec::new();
        let times = self.times(decided.now(), decided.now);
        for turn in std::mem::take(&mut decided.turns) {
            let done = settle::without_request(&turn.claim, turn.decision, &turn.seen, times);
            if let Some(mut done) = done {
                self.remember(&turn.claim, &mut done.finish);
                ready.push((turn, done));
            } else {
                pushes.extend(push_of(&turn, &leases.send_before, times));
                pushing.insert(turn.claim.entity, turn);
            }
        }
        let began = Instant::now();
        let (results, arrived) = Results::channel();
        let is_extra = |turn: &Turn| settle::is_extra(&turn.claim, self.policy);
        let extras: HashSet<EntityRef> =
            pushing.values().filter(|turn| is_extra(turn)).map(|turn| turn.claim.entity).collect();
        let push = async {
            if decided.on_trial {
                self.send_on_trial(pushes, &extras, results).await;
            } else {
                self.send(pushes, results).await;
            }
        };
        let (ended, follow) = mpsc::unbounded_channel();
        let write_down = async {
            let ended = ended;
            let mut arriving = Arriving { arrived, slot, began, gives_way: !decided.on_trial };
            let (something_to_push, mut sent) = (!pushing.is_empty(), false);
            let mut round = Round { on_trial: decided.on_trial, ..Round::default() };
            loop {
                let (results, more) = arriving.next(!ready.is_empty()).await;
                for (entity, result) in results {
                    sent |= result != PushResult::NotSent;
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
                    round.stalled = something_to_push && !sent;
                    return round;
                }
            }
        };
        let follow_up = self.follow(follow, unacked);
        tokio::join!(push, write_down, follow_up).1
    }

    /// Sends pushes. The channel ends when the client is done, or has panicked.
    async fn send(&self, pushes: Vec<Push>, results: Results) {
        die_before_sending(&pushes);
        if let Err(error) = self.mark_sent(&pushes).await {
            tracing::warn!(error = %chain(&error), "What is to be pushed can't be noted; it is not sent");
            pushes.into_iter().for_each(|push| results.put(push.entity, PushResult::NotSent));
        } else if !pushes.is_empty() {
            let push = AssertUnwindSafe(self.remote.push(pushes, results)).catch_unwind();
            if push.await.is_err() {
                tracing::error!(
                    "A client panicked, which is a bug; what it was to push is in doubt"
                );
            }
        }
    }

    /// Sends pushes one after the other until one says something about the target; the rest is not sent. It begins anywhere, so that
    /// one that always fails does not fail every trial.
    async fn send_on_trial(
        &self,
        mut pushes: Vec<Push>,
        extras: &HashSet<EntityRef>,
        results: Results,
    ) {
        let first = random::below(pushes.len());
        pushes.rotate_left(first);
        let mut pushes = pushes.into_iter();
        for push in pushes.by_ref() {
            let (one, mut ended) = Results::channel();
            self.send(vec![push], one).await;
            let Some((entity, result)) = ended.recv().await else { break };
            let is_over = settle::is_evidence(&result, extras.contains(&entity));
            results.put(entity, result);
            if is_over {
                break;
            }
        }
        pushes.for_each(|push| results.put(push.entity, PushResult::NotSent));
    }

    /// The record of what had a remote id is kept, though nothing is there any more, where that id still says something. Where changes
    /// come back, people may bring back there what they took out, which had hidden it here: it is theirs again, and not another one's.
    fn remember(&self, claim: &Claim, finish: &mut Finish) {
        let target = self.remote.target();
        if finish.drop && claim.former_remote_id.is_some() {
            finish.drop = !target.heeds_former_ids() && !target.is_bidirectional();
            finish.tombstone &= !target.is_bidirectional();
        }
    }

    /// Where changes also come back, what is about to be sent is noted, so that it is known for ours even if no answer comes.
    async fn mark_sent(&self, pushes: &[Push]) -> Result<(), StoreError> {
        let target = self.remote.target();
        if !target.is_bidirectional() {
            return Ok(());
        }
        let sending: Vec<_> = pushes
            .iter()
            .filter_map(|push| match &push.action {
                Action::Create { wire, .. } | Action::Update { wire, .. } => {
                    Some((push.entity, wire.hash))
                }
                Action::Delete { .. } | Action::DeleteByKey => None,
            })
            .collect();
        self.store.mark_sent(target, self.owner, &sending).await
    }

    fn settle_push(
        &self,
        turn: Turn,
        result: PushResult,
        decided: &Decided,
        began: Instant,
    ) -> (Turn, Settled) {
        let times = self.times(decided.now(), decided.now);
        let took = began.elapsed();
        if result != PushResult::NotSent {
            die_after_answer(turn.decision);
            self.metrics.pushed(self.remote.target(), took);
        }
        let after = if decided.on_trial { settle::after_trial } else { settle::after_push };
        let settled = after(&turn.claim, &turn.seen, result, times, self.policy);
        (Turn { took, ..turn }, settled)
    }
}

/// The results of a push, as they arrive.
struct Arriving<'a> {
    arrived: mpsc::UnboundedReceiver<(EntityRef, PushResult)>,
    slot: &'a mut Slot,
    began: Instant,
    /// It gives its place to others when something in it is slow.
    gives_way: bool,
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
                () = tokio::time::sleep_until(slow_at), if self.gives_way && self.slot.0.is_some() => {
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
fn push_of(turn: &Turn, send_before: &SendBefore, times: Times) -> Option<Push> {
    let remote_id = || turn.claim.remote_id.clone();
    let intent_on = turn.claim.intent_on;
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
    // A record that a create finds is expected to hold what is wanted.
    let wanted = matches!(action, Action::Create { .. }).then_some(turn.seen.hash).flatten();
    Some(Push {
        expected: turn.claim.remote_hash.or(wanted),
        entity: turn.claim.entity,
        action,
        besides: match intent_on {
            None => Look::IfRefused,
            Some(_) => {
                Look::First { absence_is_proof: settle::intent_is_settled(intent_on, times) }
            }
        },
        former: turn.claim.former_remote_id.clone(),
        by_itself: turn.claim.attempts > 0 || turn.claim.taken_over,
        send_before: send_before.traced(turn.span.place()),
    })
}
