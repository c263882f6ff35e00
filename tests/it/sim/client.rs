//! A push at the remote, call by call: what `src/remote/tagserver/single.rs` does, without its network.
//!
//! Every request is a scheduling point before it is sent, and another when its answer is taken.

use ems_sync::entity::EntityRef;
use ems_sync::hash::ContentHash;
use ems_sync::remote::{Failure, FailureClass, PushResult};

use super::bug::Bug;
use super::remote::{Answer, Body, Request};
use super::world::{REQUEST_TIMEOUT, World};

/// What is to be done: `ems_sync::remote::Action`, with the model's content.
#[derive(Debug, Clone)]
pub(super) enum Work {
    /// `Some` when a create may have been sent before, with whether absence is proof.
    Create(Option<bool>),
    Update(i64),
    Delete(i64),
    DeleteByKey,
}

#[derive(Debug, Clone)]
enum Stage {
    LookFirst { absence_is_proof: bool },
    Post,
    AdoptLook(Failure),
    Replace(i64),
    MovedLook(i64, Failure),
    CheckOurs(i64),
    Delete(i64),
    KeyLook,
}

/// The calls for one entity.
#[derive(Debug, Clone)]
pub(super) struct Call {
    entity: EntityRef,
    body: Body,
    hash: ContentHash,
    fence: i64,
    send_before: i64,
    stage: Stage,
    /// The request that is under way, and until when it is waited for.
    waiting: Option<(u64, i64)>,
    /// The lease was looked at; the process was paused before the request left.
    is_past_the_check: bool,
    wrote: bool,
    /// A record of ours that was found by its key.
    found: Option<i64>,
}

enum Next {
    Go(Stage),
    End(PushResult),
}

fn failed(class: FailureClass) -> PushResult {
    PushResult::Failed(Failure::new(class, "simulated"))
}

impl Call {
    pub(super) fn new(
        entity: EntityRef,
        work: &Work,
        body: Body,
        fence: i64,
        send_before: i64,
    ) -> Self {
        let stage = match work {
            Work::Create(Some(absence_is_proof)) => {
                Stage::LookFirst { absence_is_proof: *absence_is_proof }
            }
            Work::Create(None) => Stage::Post,
            Work::Update(id) => Stage::Replace(*id),
            Work::Delete(id) => Stage::CheckOurs(*id),
            Work::DeleteByKey => Stage::KeyLook,
        };
        let hash = body.hash();
        Self {
            entity,
            body,
            hash,
            fence,
            send_before,
            stage,
            waiting: None,
            is_past_the_check: false,
            wrote: false,
            found: None,
        }
    }

    /// Whether there is something to do now.
    pub(super) fn is_ready(&self, world: &World) -> bool {
        self.waiting.is_none_or(|(flight, until)| until <= world.now || world.has_arrived(flight))
    }

    /// When there will be.
    pub(super) fn ready_on(&self, world: &World) -> i64 {
        self.waiting.map_or(world.now, |(flight, until)| until.min(world.arrives_on(flight)))
    }

    /// One step; its result, if that was the last. An adopted id is kept though the write after it failed.
    pub(super) fn step(&mut self, world: &mut World, is_stopping: bool) -> Option<PushResult> {
        let result = self.step_once(world, is_stopping)?;
        Some(match (result, self.found) {
            (PushResult::Failed(failure), Some(found))
                if failure.class != FailureClass::StaleMapping =>
            {
                PushResult::Failed(failure.with_found(&found.to_string()))
            }
            (result, _) => result,
        })
    }

    fn step_once(&mut self, world: &mut World, is_stopping: bool) -> Option<PushResult> {
        let Some((flight, until)) = self.waiting else {
            return self.send(world, is_stopping);
        };
        // An answer that comes as the time runs out may or may not be seen.
        let is_over = until <= world.now;
        let answer = if is_over && world.random.percent(50) { None } else { world.answer(flight) };
        if answer.is_none() && !is_over {
            return None;
        }
        self.waiting = None;
        let next = match answer {
            Some(answer) => self.take(answer, world),
            None => Next::End(self.lost()),
        };
        match next {
            Next::Go(stage) => {
                if let (Stage::LookFirst { .. } | Stage::AdoptLook(_), Stage::Replace(id)) =
                    (&self.stage, &stage)
                {
                    self.found = Some(*id);
                }
                self.stage = stage;
                None
            }
            Next::End(result) => Some(result),
        }
    }

    fn request(&self) -> Request {
        match self.stage {
            Stage::LookFirst { .. }
            | Stage::AdoptLook(_)
            | Stage::MovedLook(..)
            | Stage::KeyLook => Request::Find(self.entity),
            Stage::Post => Request::Post(self.entity, self.body.clone()),
            Stage::Replace(id) => Request::Put(id, self.entity, self.body.clone()),
            Stage::CheckOurs(id) => Request::Get(id),
            Stage::Delete(id) => Request::Delete(id, self.entity),
        }
    }

    fn send(&mut self, world: &mut World, is_stopping: bool) -> Option<PushResult> {
        let request = self.request();
        if !self.is_past_the_check {
            let is_late = is_stopping || world.now >= self.send_before;
            if is_late && world.bug != Some(Bug::SendsWithoutALease) {
                return Some(self.too_late());
            }
            world.check_lease(self.entity, self.fence);
            if let Request::Delete(..) = request {
                world.check_delete(self.entity);
            }
            if world.swarm.sends_late && world.random.percent(3) {
                self.is_past_the_check = true;
                return None;
            }
        }
        self.is_past_the_check = false;
        let is_write = request.is_write();
        match world.send(request) {
            Err(failure) => {
                let unsent = !self.wrote;
                return Some(PushResult::Failed(Failure { unsent, ..failure }));
            }
            Ok(flight) => self.waiting = Some((flight, world.now + REQUEST_TIMEOUT)),
        }
        self.wrote |= is_write;
        None
    }

    /// `NotSent` would be a lie after a write.
    fn too_late(&self) -> PushResult {
        if self.wrote { failed(FailureClass::Ambiguous) } else { PushResult::NotSent }
    }

    /// No answer in time.
    fn lost(&self) -> PushResult {
        let is_write = self.request().is_write();
        failed(if is_write { FailureClass::Ambiguous } else { FailureClass::Transient })
    }

    fn take(&self, answer: Answer, world: &World) -> Next {
        match (self.stage.clone(), answer) {
            (Stage::Post | Stage::Replace(_), Answer::Row(id, entity, hash)) => {
                if entity != self.entity {
                    return Next::End(failed(FailureClass::StaleMapping));
                }
                let remote_id = id.to_string();
                Next::End(PushResult::Held {
                    remote_id,
                    remote_hash: hash,
                    written: true,
                    carried: Vec::new(),
                    left_to: None,
                })
            }
            (Stage::Post, Answer::Violation) => {
                Next::Go(Stage::AdoptLook(Failure::new(FailureClass::Transient, "violation")))
            }
            (Stage::Replace(id), Answer::Violation) => {
                Next::Go(Stage::MovedLook(id, Failure::new(FailureClass::Transient, "violation")))
            }
            (Stage::Replace(id), Answer::IdNotFound)
                if world.bug == Some(Bug::StaleIdIsSuccess) =>
            {
                let (remote_id, remote_hash) = (id.to_string(), self.hash);
                Next::End(PushResult::Held {
                    remote_id,
                    remote_hash,
                    written: true,
                    carried: Vec::new(),
                    left_to: None,
                })
            }
            (Stage::CheckOurs(_) | Stage::Delete(_), Answer::NotFound) => {
                Next::End(PushResult::Gone)
            }
            (Stage::CheckOurs(id), Answer::Row(_, entity, _)) => {
                if entity == self.entity {
                    Next::Go(Stage::Delete(id))
                } else {
                    Next::End(failed(FailureClass::StaleMapping))
                }
            }
            (Stage::Delete(_), Answer::Done) => Next::End(PushResult::Gone),
            (stage, Answer::Rows(rows)) => self.found(stage, &rows, world),
            (_, refusal) => Next::End(self.refused(&refusal)),
        }
    }

    fn found(&self, stage: Stage, rows: &[(i64, EntityRef, ContentHash)], world: &World) -> Next {
        let found = match rows {
            [] => None,
            [(id, _, hash)] => Some((*id, *hash)),
            _ => return Next::End(failed(FailureClass::OurFault)),
        };
        match (stage, found) {
            (Stage::LookFirst { .. } | Stage::AdoptLook(_), Some((id, hash))) => {
                if hash == self.hash || world.bug == Some(Bug::AdoptsWithoutALook) {
                    let (remote_id, remote_hash) = (id.to_string(), hash);
                    return Next::End(PushResult::Held {
                        remote_id,
                        remote_hash,
                        written: false,
                        carried: Vec::new(),
                        left_to: None,
                    });
                }
                Next::Go(Stage::Replace(id))
            }
            (Stage::LookFirst { absence_is_proof: true }, None) => Next::Go(Stage::Post),
            (Stage::LookFirst { absence_is_proof: false }, None) => {
                Next::End(PushResult::Unsettled)
            }
            (Stage::MovedLook(known, _), Some((id, _))) if id != known => {
                Next::End(failed(FailureClass::StaleMapping))
            }
            (Stage::AdoptLook(refusal), None) | (Stage::MovedLook(_, refusal), _) => {
                Next::End(PushResult::Failed(refusal))
            }
            (Stage::KeyLook, Some((id, _))) => Next::Go(Stage::CheckOurs(id)),
            (Stage::KeyLook, None) => Next::End(PushResult::Gone),
            (Stage::Post | Stage::Replace(_) | Stage::CheckOurs(_) | Stage::Delete(_), _) => {
                unreachable!("none of these asks for rows")
            }
        }
    }

    /// The contract's table "Errors", as `src/remote/tagserver/answer.rs` has it.
    fn refused(&self, refusal: &Answer) -> PushResult {
        let is_write = self.request().is_write();
        let class = match refusal {
            Answer::NotFound | Answer::IdNotFound => FailureClass::StaleMapping,
            Answer::Violation | Answer::Unavailable => FailureClass::Transient,
            Answer::MissingRelation => FailureClass::MissingParent,
            Answer::Refused => FailureClass::Rejected,
            Answer::GatewayGaveUp if is_write => FailureClass::Ambiguous,
            Answer::GatewayGaveUp => FailureClass::Transient,
            Answer::TooMany(_) => FailureClass::Throttled,
            Answer::Row(..) | Answer::Rows(_) | Answer::Done => FailureClass::OurFault,
        };
        let pause = if let Answer::TooMany(pause) = refusal { *pause } else { None };
        PushResult::Failed(Failure::new(class, "simulated").with_retry_after(pause))
    }
}
