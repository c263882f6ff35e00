//! What must hold, checked at the step that could break it, and a memory of the steps that led there.

use std::collections::{BTreeMap, VecDeque};

use ems_sync::deliver::record::{Claim, Finish};
use ems_sync::entity::EntityRef;
use ems_sync::remote::{FailureClass, PushResult};

use super::world::World;
use crate::model::rules::{Between, Record, Report};

/// Steps that a violation shows.
const REMEMBERED: usize = 3000;

/// What is kept for the checks.
pub(super) struct Audit {
    pub(super) violation: Option<String>,
    steps: Option<VecDeque<String>>,
    now: i64,
    newest_fence: BTreeMap<EntityRef, i64>,
    claimed_on: BTreeMap<EntityRef, i64>,
    /// A failed attempt of this cycle may not be followed by another before.
    not_before: BTreeMap<EntityRef, i64>,
    attempts_before: BTreeMap<EntityRef, u32>,
    /// Writes that took effect, and how many there was a reason for.
    writes: BTreeMap<EntityRef, (i64, i64)>,
    pub(super) sweeps: u32,
    pub(super) requests: u64,
    pub(super) ambiguous: u64,
}

impl Audit {
    pub(super) fn new(is_traced: bool) -> Self {
        Self {
            violation: None,
            steps: is_traced.then(VecDeque::new),
            now: 0,
            newest_fence: BTreeMap::new(),
            claimed_on: BTreeMap::new(),
            not_before: BTreeMap::new(),
            attempts_before: BTreeMap::new(),
            writes: BTreeMap::new(),
            sweeps: 0,
            requests: 0,
            ambiguous: 0,
        }
    }

    pub(super) fn note(&mut self, now: i64, text: impl FnOnce() -> String) {
        self.now = now;
        let Some(steps) = &mut self.steps else { return };
        if steps.len() == REMEMBERED {
            steps.pop_front();
        }
        steps.push_back(format!("{:>12.6} {}", now as f64 / 1e6, text()));
    }

    /// The first violation counts.
    pub(super) fn fail(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }

    pub(super) fn trace(&self) -> String {
        self.steps.iter().flatten().fold(String::new(), |all, step| all + step + "\n")
    }

    pub(super) const fn swept(&mut self) {
        self.sweeps += 1;
    }

    /// So many more writes of this entity have a reason.
    pub(super) fn licence(&mut self, entity: EntityRef, writes: i64) {
        self.writes.entry(entity).or_default().1 += writes;
    }

    pub(super) const fn sent(&mut self) {
        self.requests += 1;
    }

    pub(super) fn wrote(&mut self, entity: EntityRef) {
        let (writes, licences) = self.writes.entry(entity).or_default();
        *writes += 1;
        if *writes > *licences + 1 {
            let text = format!("{entity} was written {writes} times for {licences} reasons");
            self.fail(text);
        }
    }

    /// Fences rise, and a retry keeps its distance.
    pub(super) fn claimed(&mut self, entity: EntityRef, now: i64, claim: &Claim) {
        let newest = self.newest_fence.insert(entity, claim.fence).unwrap_or(0);
        if newest >= claim.fence {
            self.fail(format!("{entity} is claimed with fence {} after {newest}", claim.fence));
        }
        self.claimed_on.insert(entity, now);
        self.attempts_before.insert(entity, claim.attempts);
        if let Some(not_before) = self.not_before.remove(&entity)
            && claim.attempts > 0
            && now < not_before
        {
            self.fail(format!("{entity} is tried again {} µs early", not_before - now));
        }
    }

    pub(super) fn claimed_on(&self, entity: EntityRef) -> i64 {
        self.claimed_on.get(&entity).copied().unwrap_or(0)
    }

    pub(super) fn retries(&mut self, entity: EntityRef, fence: i64, not_before: i64) {
        if self.newest_fence.get(&entity) == Some(&fence) {
            self.not_before.insert(entity, not_before);
        }
    }

    /// What the client made of it is a reason for another write.
    pub(super) fn answered(&mut self, entity: EntityRef, result: &PushResult) {
        let writes = match result {
            PushResult::Failed(failure) => match failure.class {
                FailureClass::Ambiguous => {
                    self.ambiguous += 1;
                    2
                }
                FailureClass::StaleMapping
                | FailureClass::Transient
                | FailureClass::OurFault
                | FailureClass::MissingParent => 1,
                FailureClass::Throttled
                | FailureClass::Postponed
                | FailureClass::Authentication
                | FailureClass::Configuration
                | FailureClass::Rejected => 0,
            },
            PushResult::Unsettled => 1,
            PushResult::Held { .. }
            | PushResult::Differs(_)
            | PushResult::Gone
            | PushResult::NotSent => 0,
        };
        self.licence(entity, writes);
    }

    /// An attempt is burnt by a failure of the entity only.
    pub(super) fn finishes(&mut self, finish: &Finish) {
        let spared = ["waiting", "parked"].contains(&finish.state.name())
            || finish.reason.as_deref() == Some(FailureClass::Throttled.name());
        let before = self.attempts_before.get(&finish.entity).copied().unwrap_or(0);
        let is_newest = self.newest_fence.get(&finish.entity) == Some(&finish.fence);
        if spared && is_newest && finish.attempts > before {
            let (entity, state) = (finish.entity, finish.state);
            self.fail(format!("{entity} burns an attempt though it is {state:?}: {finish:?}"));
        }
    }
}

impl World {
    /// At most one holder of a live lease sends for an entity.
    pub(super) fn check_lease(&mut self, entity: EntityRef, fence: i64) {
        let holds = self.db.records.get(&entity).is_some_and(|record| {
            record.fence == Some(Between::exactly(fence))
                && record.lease_until.is_some_and(|until| until.low > self.now)
        });
        if !holds {
            let record = self.db.records.get(&entity);
            let text = format!("{fence} sends for {entity} without a lease: {record:?}");
            self.audit.fail(text);
        }
    }

    /// Nothing is deleted that the EMS has had ever since the claim.
    pub(super) fn check_delete(&mut self, entity: EntityRef) {
        let absent_on = self.ems.absent_on.get(&entity).copied().unwrap_or(0);
        let was_absent = absent_on >= self.audit.claimed_on(entity);
        if self.ems.rows.contains_key(&entity) && !was_absent {
            self.audit.fail(format!("{entity} is deleted, but the EMS has it"));
        }
    }

    /// G3.
    pub(super) fn check_one_record(&mut self, entity: EntityRef) {
        let ids: Vec<i64> = self.remote.of(entity).map(|(id, _)| id).collect();
        if ids.len() > 1 {
            self.audit.fail(format!("{entity} stands at the remote as {ids:?}"));
        }
    }

    /// A finish with an old fence changes nothing but the doubt.
    pub(super) fn check_loser(
        &mut self,
        finish: &Finish,
        before: &BTreeMap<EntityRef, Record>,
        report: &Report,
    ) {
        let is_ours = before
            .get(&finish.entity)
            .is_some_and(|record| record.fence == Some(Between::exactly(finish.fence)));
        if !is_ours && !report.fenced.contains(&finish.entity) {
            self.audit.fail(format!("{} was written by a fenced loser", finish.entity));
        }
        if !report.fenced.contains(&finish.entity) {
            return;
        }
        let (before, after) = (before.get(&finish.entity), self.db.records.get(&finish.entity));
        let core = |record: &Record| {
            (record.remote_id.clone(), record.data_hash, record.done_gen, record.lease_owner)
        };
        if before.map(core) != after.map(core) {
            self.audit.fail(format!("{} was changed by a fenced loser", finish.entity));
        }
    }

    /// G8: each record is in one state that can be named, and has a next step or a person.
    pub(super) fn check_records(&mut self) {
        if self.audit.violation.is_some() {
            return;
        }
        let attempts_max = Self::attempts_max();
        let odd = self.db.records.iter().find_map(|(entity, record)| {
            let is_leased = record.lease_owner.is_some();
            let is_terminal = ["rejected", "held", "dead_letter"].contains(&record.state);
            let complaint = if is_leased != (record.state == "leased") {
                "a lease without the state, or the state without a lease"
            } else if record.waiting_on.is_some() != (record.state == "waiting") {
                "waits for nothing, or without the state"
            } else if record.state == "synced" && record.is_owed() {
                "is synced and owed"
            } else if record.done_gen > record.owed_gen {
                "is done with more than was owed"
            } else if record.is_owed() && record.due_on == Between::NEVER && !is_terminal {
                "is owed and never due"
            } else if is_terminal && !record.is_owed() {
                "needs a person for nothing"
            } else if record.state == "retrying"
                && record.attempts >= attempts_max
                && record.state_reason.as_deref() != Some("settling")
            {
                "is tried again though its cycle is over"
            } else if is_leased && !record.in_doubt {
                "is leased and not in doubt"
            } else {
                return None;
            };
            Some(format!("{entity} {complaint}: {record:?}"))
        });
        if let Some(odd) = odd {
            self.audit.fail(odd);
        }
    }

    /// Nobody waits for what is there, or is gone, already.
    pub(super) fn check_waiters(&mut self) {
        let waits_in_vain = self.db.records.iter().find_map(|(entity, record)| {
            let on = record.waiting_on?;
            let awaited = self.db.records.get(&on);
            let is_over = match record.state_reason.as_deref() {
                Some("waiting_for_parent") => awaited.is_some_and(|r| r.remote_id.is_some()),
                // One that is owed wakes us when it has found out that it is gone.
                Some("waiting_for_child") => awaited.is_none_or(|r| {
                    let is_gone = r.remote_id.is_none() && r.intent_on.is_none();
                    !r.is_owed() && (is_gone || !r.parents.contains(entity))
                }),
                _ => awaited.is_none_or(|r| !r.is_owed()),
            };
            is_over.then(|| format!("{entity} waits for {on}, which is over: {record:?}"))
        });
        if let Some(waits_in_vain) = waits_in_vain {
            self.audit.fail(waits_in_vain);
        }
    }
}
