//! A batch of deliveries as a step machine: what `src/deliver/batch.rs` does, with the shipped rules in the middle
//! (`decide`, `without_request`, `after_push`), and a scheduling point before every statement, request and publish.

use std::collections::{BTreeMap, BTreeSet};

use ems_sync::deliver::decision::{self, Decision, Ems, Known};
use ems_sync::deliver::record::{Claim, Holds};
use ems_sync::deliver::settle::{self, Seen, Settled};
use ems_sync::delivery::Cause;
use ems_sync::entity::{EntityRef, EntityType};
use ems_sync::limits;
use ems_sync::remote::PushResult;
use ems_sync::route::Owing;
use ems_sync::target::Target;
use uuid::Uuid;

use super::bug::Bug;
use super::client::{Call, Work};
use super::ems::{Row, UNMAPPABLE};
use super::remote::Body;
use super::world::{Message, NEVER, POLICY, REQUEST_TIMEOUT, World, at, lease, micros};

/// A claimed entity with what was read of it and what is to be done.
struct Turn {
    claim: Claim,
    seen: Seen,
    decision: Decision,
    body: Option<Body>,
}

/// What is left to do after a finish.
struct FollowUp {
    stage: u8,
    retries: Vec<(i64, Message)>,
    due: Vec<EntityRef>,
    acked: Vec<EntityRef>,
}

/// What was read for the decisions.
#[derive(Default)]
struct Read {
    rows: BTreeMap<EntityRef, Row>,
    remote_ids: BTreeMap<EntityRef, i64>,
    children: BTreeMap<EntityRef, EntityRef>,
    older: BTreeMap<EntityRef, EntityRef>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Taken,
    Claim,
    Now,
    Rows,
    RemoteIds,
    Related,
    Decide,
    Push,
}

/// Who works: its lease owner, and how wrong its clock is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Who {
    pub(super) owner: Uuid,
    pub(super) offset: i64,
    pub(super) is_stopping: bool,
}

pub(super) struct Batch {
    /// Not acked yet.
    pub(super) unacked: Vec<Message>,
    wanted: BTreeSet<EntityRef>,
    stage: Stage,
    round: u32,
    lease_until: i64,
    /// The database's clock, read before anything else.
    read_on: i64,
    claims: Vec<Claim>,
    read: Read,
    calls: Vec<(Turn, Call)>,
    ready: Vec<(Turn, Settled)>,
    following: Vec<FollowUp>,
    again: BTreeSet<EntityRef>,
    closes_target: bool,
}

/// How a step left its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    GoesOn,
    Ended,
    /// The database failed: what is not acked goes back to the queue.
    Failed,
}

impl Batch {
    pub(super) fn new(messages: Vec<Message>) -> Self {
        Self {
            wanted: messages.iter().map(|message| message.entity).collect(),
            unacked: messages,
            stage: Stage::Taken,
            round: 0,
            lease_until: 0,
            read_on: 0,
            claims: Vec::new(),
            read: Read::default(),
            calls: Vec::new(),
            ready: Vec::new(),
            following: Vec::new(),
            again: BTreeSet::new(),
            closes_target: false,
        }
    }

    /// When there is something to do.
    pub(super) fn ready_on(&self, world: &World) -> i64 {
        let waits = !self.calls.is_empty() || !self.ready.is_empty();
        if self.stage != Stage::Push || !waits || !self.following.is_empty() {
            return world.now;
        }
        let calls = self.calls.iter().map(|(_, call)| call.ready_on(world));
        let finish = if self.ready.is_empty() { NEVER } else { world.db_down_until };
        calls.min().unwrap_or(NEVER).min(finish).max(world.now)
    }

    pub(super) fn step(&mut self, world: &mut World, who: Who) -> After {
        match self.stage {
            Stage::Taken => self.send_round_again(world),
            Stage::Claim => self.claim(world, who),
            Stage::Now => {
                self.read_on = world.now;
                self.reading(world, Stage::Rows)
            }
            Stage::Rows => {
                if world.bug != Some(Bug::ReadsBeforeTheClaim) {
                    self.read_rows(world);
                }
                self.reading(world, Stage::RemoteIds)
            }
            Stage::RemoteIds => {
                self.read_remote_ids(world);
                self.reading(world, Stage::Related)
            }
            Stage::Related => {
                self.read_related(world);
                self.reading(world, Stage::Decide)
            }
            Stage::Decide => {
                self.decide(world, who);
                After::GoesOn
            }
            Stage::Push => self.push(world, who),
        }
    }

    fn send_round_again(&mut self, world: &mut World) -> After {
        if !world.database_is_there() {
            return After::Failed;
        }
        for message in self.unacked.iter().filter(|message| message.attempt > 0) {
            let is_early = world.db.records.get(&message.entity).is_some_and(|record| {
                record.state == "retrying" && record.is_owed() && record.due_on.low > world.now
            });
            if is_early {
                world.broker.delayed.push((world.now + micros(1), *message));
            }
        }
        if world.bug == Some(Bug::ReadsBeforeTheClaim) {
            self.read_rows(world);
        }
        self.stage = Stage::Claim;
        After::GoesOn
    }

    fn claim(&mut self, world: &mut World, who: Who) -> After {
        if who.is_stopping {
            let wanted = std::mem::take(&mut self.wanted);
            world.publish(wanted);
            return After::Ended;
        }
        if !world.database_is_there() {
            return After::Failed;
        }
        let entities: Vec<_> = std::mem::take(&mut self.wanted).into_iter().collect();
        self.lease_until = world.now + lease().as_micros() as i64;
        self.claims = world.claim(who.owner, &entities);
        let claims = &self.claims;
        self.unacked.retain(|m| claims.iter().any(|claim| claim.entity == m.entity));
        if self.claims.is_empty() {
            return After::Ended;
        }
        if world.bug == Some(Bug::AcksBeforeTheFinish) {
            let claimed: Vec<_> = self.claims.iter().map(|claim| claim.entity).collect();
            self.ack(world, &claimed);
        }
        self.stage = Stage::Now;
        After::GoesOn
    }

    /// What could not be read can't be decided: it is handed back, or its leases run out.
    fn reading(&mut self, world: &World, next: Stage) -> After {
        if world.database_is_there() {
            self.stage = next;
            return After::GoesOn;
        }
        After::Failed
    }

    fn read_rows(&mut self, world: &World) {
        let rows = &world.ems.rows;
        let entities = self.claims.iter().map(|claim| claim.entity).chain(self.wanted.clone());
        self.read.rows = entities.filter_map(|e| Some((e, rows.get(&e)?.clone()))).collect();
    }

    /// `remote_ids.sql`.
    fn read_remote_ids(&mut self, world: &World) {
        let parents = self.read.rows.values().flat_map(|row| row.parents.iter().copied());
        let remote_id = |parent: EntityRef| {
            let remote_id = world.db.records.get(&parent)?.remote_id.as_ref()?;
            Some((parent, remote_id.parse().unwrap()))
        };
        self.read.remote_ids = parents.filter_map(remote_id).collect();
    }

    fn read_related(&mut self, world: &World) {
        let gone = self.claims.iter().map(|claim| claim.entity);
        let gone = gone.filter(|entity| !self.read.rows.contains_key(entity));
        let child = |parent| Some((parent, world.child_at_remote(parent)?));
        self.read.children = gone.filter_map(child).collect();
        let new = self.claims.iter().filter(|claim| claim.remote_id.is_none());
        let new = new.filter(|claim| claim.entity.entity_type == EntityType::Tag);
        let older = |claim: &Claim| {
            let row = self.read.rows.get(&claim.entity)?;
            Some((claim.entity, world.owed_sibling(claim.entity, &row.parents)?))
        };
        self.read.older = new.filter_map(older).collect();
    }

    fn decide(&mut self, world: &mut World, who: Who) {
        for claim in std::mem::take(&mut self.claims) {
            let turn = self.turn(claim, world, who);
            world.note(|| {
                format!("{} decides {}: {:?}", turn.claim.fence, turn.claim.entity, turn.decision)
            });
            let (claim, seen) = (&turn.claim, &turn.seen);
            let times = world.times(self.read_on, self.read_on, who.offset);
            if let Some(done) = settle::without_request(claim, turn.decision, seen, times) {
                self.ready.push((turn, done));
                continue;
            }
            let send_before = self.lease_until - REQUEST_TIMEOUT;
            let body = turn.body.clone().unwrap_or(Body { content: 0, parents: Vec::new() });
            let call = Call::new(claim.entity, &work(&turn), body, claim.fence, send_before);
            self.calls.push((turn, call));
        }
        self.read = Read::default();
        self.stage = Stage::Push;
    }

    /// As `Worker::turn` and `Worker::present` have it.
    fn turn(&self, claim: Claim, world: &World, who: Who) -> Turn {
        let row = self.read.rows.get(&claim.entity);
        let (ems, body) = match row {
            None => (Ems::Gone { child: self.read.children.get(&claim.entity).copied() }, None),
            Some(row) => self.present(claim.entity, row),
        };
        let seen = Seen {
            modified_on: row.map(|row| at(row.version)),
            hash: body.as_ref().map(Body::hash),
            parents: row.map(|row| row.parents.clone()).unwrap_or_default(),
            unmappable: None,
            match_key: None,
            holds: Holds::default(),
        };
        let times = world.times(self.read_on, self.read_on, who.offset);
        let claim = settle::taken_over(claim, times);
        let known = Known {
            has_remote_id: claim.remote_id.is_some(),
            has_intent: claim.intent_on.is_some()
                && !(row.is_none() && world.bug == Some(Bug::ForgetsTheOpenCreate)),
            intent_is_settled: settle::intent_is_settled(claim.intent_on, times)
                || world.bug == Some(Bug::AbsenceIsProofAtOnce),
            gave_up: false,
            left_behind: false,
            in_doubt: claim.in_doubt && world.bug != Some(Bug::TrustsHashInDoubt),
            data_hash: claim.data_hash,
            rejected_hash: claim.rejected_hash,
            insisted: matches!(claim.cause, Cause::Replay | Cause::Resync),
        };
        Turn { decision: decision::decide(ems, known), claim, seen, body }
    }

    fn present(&self, entity: EntityRef, row: &Row) -> (Ems, Option<Body>) {
        let remote_ids = &self.read.remote_ids;
        if let Some(parent) = row.parents.iter().find(|p| !remote_ids.contains_key(p)) {
            return (Ems::Orphan { parent: *parent }, None);
        }
        if row.content == UNMAPPABLE {
            return (Ems::Unmappable, None);
        }
        let parents = row.parents.iter().map(|parent| remote_ids[parent]).collect();
        let body = Body { content: row.content, parents };
        let older = self.read.older.get(&entity).copied();
        (Ems::Present { hash: body.hash(), older }, Some(body))
    }

    /// One step of some call, finish or follow-up.
    fn push(&mut self, world: &mut World, who: Who) -> After {
        if !self.following.is_empty() && (self.calls.is_empty() || world.random.percent(50)) {
            return self.follow_up(world);
        }
        let some: Vec<usize> =
            (0..self.calls.len()).filter(|i| self.calls[*i].1.is_ready(world)).collect();
        let goes_on = !some.is_empty() && (self.ready.is_empty() || world.random.percent(70));
        if goes_on {
            let i = *world.random.pick(&some);
            if let Some(result) = self.calls[i].1.step(world, who.is_stopping) {
                let (turn, _) = self.calls.swap_remove(i);
                self.settle(turn, result, world);
            }
            return After::GoesOn;
        }
        if !self.ready.is_empty() {
            return self.finish(world, who);
        }
        if !self.calls.is_empty() || !self.following.is_empty() {
            return After::GoesOn;
        }
        self.go_again(world)
    }

    fn settle(&mut self, turn: Turn, result: PushResult, world: &mut World) {
        let mut times = world.times(world.now, self.read_on, 0);
        if world.bug == Some(Bug::AbsenceIsProofAtOnce) {
            (times.request_timeout, times.settle) = Default::default();
        }
        world.note(|| format!("{} gets {}: {result:?}", turn.claim.fence, turn.claim.entity));
        world.audit.answered(turn.claim.entity, &result);
        let mut settled = settle::after_push(&turn.claim, &turn.seen, result, times, POLICY);
        if world.bug == Some(Bug::ThrottlingBurnsAttempts) && settled.outcome == "failed" {
            settled.finish.attempts = turn.claim.attempts + 1;
        }
        self.ready.push((turn, settled));
    }

    /// Ends the leases of some of the batch; over a short outage it is tried again.
    fn finish(&mut self, world: &mut World, who: Who) -> After {
        if !world.database_is_there() {
            if world.now < self.lease_until && !who.is_stopping {
                return After::GoesOn;
            }
            return After::Failed;
        }
        let n = 1 + world.random.below(self.ready.len());
        let some: Vec<_> = self.ready.drain(..n).collect();
        for (turn, settled) in &some {
            self.closes_target |= settled.verdict.closes_target();
            world.judge(turn.claim.entity, &settled.verdict);
        }
        let mut due = Vec::new();
        let doubted = some.iter().flat_map(|(_, s)| s.doubted_parents.iter().copied());
        for entity in doubted.collect::<BTreeSet<_>>() {
            world.note(|| format!("{entity} is doubted"));
            world.audit.licence(entity, 2);
            due.extend(world.owe(&owing(entity, at(world.now), Cause::Change, true)));
        }
        let finishes = some.iter().map(|(_, settled)| settled.finish.clone()).collect();
        let report = world.finish(who.owner, finishes);
        due.extend(report.due);
        if self.calls.is_empty() && self.ready.is_empty() {
            self.again.extend(report.again);
        } else {
            due.extend(report.again);
        }
        let retries = some.iter().filter_map(|(turn, settled)| {
            let delay = settled.retry_after?.as_micros() as i64;
            world.audit.retries(turn.claim.entity, settled.finish.fence, world.now + delay);
            let (entity, attempt) = (turn.claim.entity, settled.finish.attempts.max(1));
            Some((world.now + delay, Message { entity, attempt }))
        });
        self.following.push(FollowUp {
            stage: 0,
            retries: retries.collect(),
            due,
            acked: some.iter().map(|(turn, _)| turn.claim.entity).collect(),
        });
        After::GoesOn
    }

    fn follow_up(&mut self, world: &mut World) -> After {
        let Some(follow_up) = self.following.first_mut() else { return After::GoesOn };
        follow_up.stage += 1;
        match follow_up.stage {
            // A closed target is told nothing: it is caught up when it opens.
            1 if !world.target_is_open() => {}
            1 => {
                world.broker.delayed.append(&mut follow_up.retries);
                world.publish(std::mem::take(&mut follow_up.due));
            }
            _ => {
                let acked = self.following.remove(0).acked;
                self.ack(world, &acked);
            }
        }
        After::GoesOn
    }

    fn ack(&mut self, world: &mut World, entities: &[EntityRef]) {
        let is_open = |e: &&EntityRef| {
            self.calls.iter().any(|(turn, _)| turn.claim.entity == **e)
                || self.ready.iter().any(|(turn, _)| turn.claim.entity == **e)
                || self.claims.iter().any(|claim| claim.entity == **e)
        };
        if let Some(entity) = entities.iter().find(is_open) {
            world.audit.fail(format!("{entity} is acked before its record is committed"));
        }
        self.unacked.retain(|message| !entities.contains(&message.entity));
    }

    fn go_again(&mut self, world: &mut World) -> After {
        if self.closes_target || self.again.is_empty() {
            return After::Ended;
        }
        self.round += 1;
        self.wanted = std::mem::take(&mut self.again);
        if self.round >= limits::GO_AGAIN_MAX {
            let wanted = std::mem::take(&mut self.wanted);
            world.publish(wanted);
            return After::Ended;
        }
        self.stage = Stage::Claim;
        After::GoesOn
    }

    /// What could not be decided was not sent: its leases end now, where the database is back.
    pub(super) fn hand_back(&mut self, world: &mut World, who: Who) {
        if self.claims.is_empty() || !world.database_is_there() {
            return;
        }
        let times = world.times(world.now, world.now, 0);
        let finishes = std::mem::take(&mut self.claims).into_iter().map(|claim| {
            let seen = Seen::default();
            let claim = settle::taken_over(claim, times);
            settle::after_push(&claim, &seen, PushResult::NotSent, times, POLICY).finish
        });
        let finishes = finishes.collect();
        world.finish(who.owner, finishes);
    }
}

fn work(turn: &Turn) -> Work {
    let known = || turn.claim.remote_id.as_ref().unwrap().parse().unwrap();
    match turn.decision {
        Decision::Create { look_first, absence_is_proof } => {
            Work::Create(look_first.then_some(absence_is_proof))
        }
        Decision::Update => Work::Update(known()),
        Decision::Delete { id_is_known: true } => Work::Delete(known()),
        Decision::Delete { id_is_known: false } => Work::DeleteByKey,
        Decision::Skip(_) | Decision::Wait(_) | Decision::Hold(_) => unreachable!("needs no push"),
    }
}

/// One entity, owed.
pub(super) fn owing(
    entity: EntityRef,
    changed_on: jiff::Timestamp,
    cause: Cause,
    in_doubt: bool,
) -> Owing {
    Owing {
        target: Target::TagServer,
        entity_type: entity.entity_type,
        entities: vec![(entity.id, changed_on, None)],
        cause,
        bulk: false,
        in_doubt,
    }
}
