//! The statements of the worker over the model of the records, and what must hold after each.
//!
//! `owe`, `claim`, `finish`, `read_back` and `begin_next_cycle` are the model in `model/rules.rs`, which
//! `model/driver.rs` compares with the SQL. The others mirror the query that their documentation names.

use std::collections::BTreeMap;

use ems_sync::deliver::record::{Claim, Finish};
use ems_sync::entity::EntityRef;
use uuid::Uuid;

use super::bug::Bug;
use super::world::{NEVER, POLICY, REQUEST_TIMEOUT, SETTLE, World, duration, lease};
use crate::model::rules::{Between, Record, Report, claim_of};

impl World {
    /// `sync.claim`.
    pub(super) fn claim(&mut self, owner: Uuid, entities: &[EntityRef]) -> Vec<Claim> {
        let before = self.db.claim(self.clock(), owner, lease(), entities);
        let mut claims = Vec::new();
        for (entity, before) in before {
            self.db.newest_fence += 1;
            let fence = self.db.newest_fence;
            let record = self.db.records.get_mut(&entity).unwrap();
            record.fence = Some(Between::exactly(fence));
            let mut claim = claim_of(entity, fence, before);
            if self.bug == Some(Bug::WritesNoIntent) {
                record.intent_on = claim.intent_on.map(Between::at);
                claim.lost_until = None;
            }
            if self.bug == Some(Bug::TakesOverWithoutALook) {
                claim.taken_over = false;
            }
            if claim.taken_over {
                self.audit.licence(entity, 4);
            }
            self.audit.claimed(entity, self.now, &claim);
            self.note(|| format!("{fence} claims {entity}: {claim:?}"));
            claims.push(claim);
        }
        self.check_records();
        claims
    }

    /// `sync.finish`.
    pub(super) fn finish(&mut self, owner: Uuid, mut finishes: Vec<Finish>) -> Report {
        let mut owner = owner;
        for finish in &mut finishes {
            let Some(record) = self.db.records.get(&finish.entity) else { continue };
            match self.bug {
                Some(Bug::FinishesWithoutFence) => {
                    if let (Some(fence), Some(holder)) = (record.fence, record.lease_owner) {
                        (finish.fence, owner) = (fence.low, holder);
                    }
                }
                Some(Bug::SettlesWhatIsOwedNow) => finish.owed_gen = record.owed_gen,
                Some(Bug::ForgetsReadBacks) => finish.read_back_millis = None,
                _ => {}
            }
            self.audit.finishes(finish);
        }
        let before = self.db.records.clone();
        let read_back = duration(REQUEST_TIMEOUT + SETTLE);
        let report = self.db.finish(self.clock(), owner, read_back, &finishes);
        for finish in &finishes {
            // A new remote id stands in what the children hold.
            if finish.remote_changed {
                let named =
                    self.db.records.iter().filter(|(_, r)| r.parents.contains(&finish.entity));
                let named: Vec<_> = named.map(|(entity, _)| *entity).collect();
                named.into_iter().for_each(|entity| self.audit.licence(entity, 1));
            }
            self.spoil(finish, &before, &report);
            self.check_loser(finish, &before, &report);
            self.note(|| format!("{} finishes {}: {finish:?}", finish.fence, finish.entity));
        }
        self.note(|| format!("{report:?}"));
        self.check_records();
        self.check_waiters();
        report
    }

    /// What a planted mistake makes of a finish.
    fn spoil(&mut self, finish: &Finish, before: &BTreeMap<EntityRef, Record>, report: &Report) {
        match self.bug {
            Some(Bug::DoesNotGoAgain) if !report.fenced.contains(&finish.entity) => {
                if let Some(record) = self.db.records.get_mut(&finish.entity)
                    && finish.settled
                    && record.is_owed()
                {
                    record.state = finish.state.name();
                    record.due_on = Between::NEVER;
                }
            }
            Some(Bug::WakesNoWaiter) => {
                for entity in &report.due {
                    if before.get(entity).is_some_and(|record| record.waiting_on.is_some()) {
                        self.db.records.insert(*entity, before[entity].clone());
                    }
                }
            }
            Some(Bug::ForgetsReadBacks) if report.fenced.contains(&finish.entity) => {
                if let (Some(record), Some(before)) =
                    (self.db.records.get_mut(&finish.entity), before.get(&finish.entity))
                {
                    record.read_back_on = before.read_back_on;
                }
            }
            _ => {}
        }
    }

    /// `children_at_remote.sql`.
    pub(super) fn child_at_remote(&self, parent: EntityRef) -> Option<EntityRef> {
        let is_child = |record: &Record| {
            (record.remote_id.is_some() || record.intent_on.is_some())
                && record.parents.contains(&parent)
        };
        self.db.records.iter().find(|(_, record)| is_child(record)).map(|(entity, _)| *entity)
    }

    /// `owed_siblings.sql`.
    pub(super) fn owed_sibling(
        &self,
        entity: EntityRef,
        parents: &[EntityRef],
    ) -> Option<EntityRef> {
        let is_sibling = |other: &EntityRef, record: &Record| {
            other.entity_type == entity.entity_type
                && other.id < entity.id
                && parents.iter().any(|parent| record.parents.contains(parent))
                && record.remote_id.is_some()
                && record.is_owed()
                && !["rejected", "held", "dead_letter"].contains(&record.state)
        };
        self.db.records.iter().find(|(other, r)| is_sibling(other, r)).map(|(other, _)| *other)
    }

    /// The republish scan: `read_back.sql`, then `due.sql` into a short queue.
    pub(super) fn scan(&mut self) {
        let before: Vec<_> = self.db.records.iter().map(|(e, r)| (*e, r.owed_gen)).collect();
        self.db.read_back(self.clock(), 100);
        for (entity, owed_gen) in before {
            if self.db.records[&entity].owed_gen > owed_gen {
                self.note(|| format!("{entity} is read back"));
                self.audit.licence(entity, 1);
            }
        }
        self.check_records();
        self.publish_due();
    }

    pub(super) fn publish_due(&mut self) {
        if self.broker.outbound.len() < 20 {
            let due = self.db.due(self.clock(), true);
            self.publish(due);
        }
    }

    /// Leg 2 of the sweep: dead letters that are tried again, then everything that is due.
    pub(super) fn begin_next_cycle(&mut self) {
        self.db.begin_next_cycle(self.clock(), POLICY.attempts());
        self.check_records();
        self.publish_due();
    }

    /// When the next record is due by itself, or to be read back (`next_due.sql`).
    pub(super) fn next_due(&self) -> i64 {
        let due = |record: &Record| {
            let owed = if record.is_owed() { record.due_on.low } else { NEVER };
            owed.min(record.read_back_on.map_or(NEVER, |on| on.low))
        };
        self.db.records.values().map(due).min().unwrap_or(NEVER)
    }

    /// The attempts that a cycle may have.
    pub(super) const fn attempts_max() -> i32 {
        POLICY.attempts() as i32
    }
}
