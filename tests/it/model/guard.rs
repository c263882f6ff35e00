//! What the guard does to sync records, in plain Rust: weighing a batch's deletes, and a person's decision. The rule
//! itself is the program's.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use ems_sync::deliver::guard::{self, Counts, Limits};
use ems_sync::entity::EntityRef;
use ems_sync::store::{DeleteVerdict, Guarded};

use super::rules::{Between, Model, Record};
use crate::support::random::Random;

/// No record, no dead letter, and a guard that has seen nothing.
pub(super) const RESET: &str = "
    delete from sync.record;
    delete from sync.dead_letter;
    update sync.guard set window_started_on = null, let_through = 0, records = 0, tripped_on = null";

/// The guard's row. The window is longer than a test.
#[derive(Debug, Clone, Default)]
pub(super) struct Guard {
    let_through: u64,
    records: u64,
    is_tripped: bool,
}

pub(super) struct Weighed {
    pub(super) guarded: Guarded,
    pub(super) trip_is_over: bool,
}

pub(super) fn limits(random: &mut Random) -> Limits {
    Limits {
        max_deletes: random.below(3) as u64,
        share: random.below(3) as u64 * 500_000,
        window: Duration::from_secs(3_600),
    }
}

impl Record {
    fn is_open_delete(&self) -> bool {
        self.gone && self.is_owed() && self.delete_verdict.is_none()
    }

    /// Whatever a claim that is under way may have written.
    fn may_be_at_the_remote(&self) -> bool {
        self.remote_id.is_some() || (self.intent_on.is_some() && self.lease_owner.is_none())
    }

    fn is_held_by_the_guard(&self) -> bool {
        self.state == "held" && self.state_reason.as_deref() == Some("guard")
    }
}

impl Model {
    pub(super) fn guard_deletes(
        &mut self,
        deletes: &[(EntityRef, i64)],
        limits: Limits,
    ) -> Weighed {
        let is_mine = |entity: &EntityRef| deletes.iter().any(|(mine, _)| mine == entity);
        let is_open = |(entity, record): &(&EntityRef, &Record)| {
            is_mine(entity) && record.delete_verdict.is_none()
        };
        let (mut trip_is_over, mut tripped) = (false, None);
        if self.records.iter().any(|one| is_open(&one)) {
            for (entity, owed_gen) in deletes {
                if let Some(record) = self.records.get_mut(entity)
                    && record.owed_gen == *owed_gen
                {
                    record.gone = true;
                }
            }
            let is_held = |(entity, record): (&EntityRef, &Record)| {
                record.is_held_by_the_guard()
                    || (record.is_open_delete() && record.state == "leased" && !is_mine(entity))
            };
            trip_is_over = self.guard.is_tripped && !self.records.iter().any(is_held);
            self.guard.is_tripped &= !trip_is_over;
            let counts = self.weigh(is_mine, limits);
            if guard::allows(counts, limits) {
                for (entity, _) in deletes {
                    if let Some(record) = self.records.get_mut(entity)
                        && record.gone
                        && record.delete_verdict.is_none()
                    {
                        record.delete_verdict = Some("let_through");
                        self.guard.let_through += 1;
                    }
                }
            } else {
                tripped = (!counts.tripped).then_some(counts);
                self.guard.is_tripped = true;
            }
        }
        let verdicts: HashMap<_, _> = deletes
            .iter()
            .filter_map(|(entity, _)| Some((*entity, verdict(self.records.get(entity)?))))
            .collect();
        Weighed { guarded: Guarded { verdicts, tripped }, trip_is_over }
    }

    fn weigh(&mut self, is_mine: impl Fn(&EntityRef) -> bool, limits: Limits) -> Counts {
        let let_through = self.guard.let_through;
        if self.guard.is_tripped {
            return Counts { tripped: true, let_through, ..Counts::default() };
        }
        let waits = |(entity, record): &(&EntityRef, &Record)| {
            record.is_open_delete() && (is_mine(entity) || record.may_be_at_the_remote())
        };
        let waiting = self.records.iter().filter(waits).count() as u64;
        let mut records = 0;
        if let_through + waiting > limits.max_deletes {
            let here = self.records.values().filter(|record| record.remote_id.is_some()).count();
            self.guard.records = self.guard.records.max(here as u64);
            records = self.guard.records;
        }
        Counts { tripped: false, let_through, waiting, records }
    }

    /// Returns whom it concerned.
    pub(super) fn decide_deletes(
        &mut self,
        now: Between,
        approves: bool,
        kept: bool,
    ) -> BTreeSet<EntityRef> {
        let is_tripped = std::mem::take(&mut self.guard.is_tripped);
        let mut decided = BTreeSet::new();
        for (entity, record) in &mut self.records {
            let belongs = record.is_open_delete()
                && (record.is_held_by_the_guard() || is_tripped && record.may_be_at_the_remote());
            let is_kept =
                record.gone && record.is_owed() && record.delete_verdict == Some("rejected");
            if !(belongs || approves && kept && is_kept) {
                continue;
            }
            decided.insert(*entity);
            record.delete_verdict = Some(if approves { "approved" } else { "rejected" });
            record.owed_gen += 1;
            record.last_owed_on = Some(now);
            record.attempts = 0;
            match record.state {
                "leased" => {}
                "held" if approves => record.is_due_now(now),
                _ if approves => {}
                _ => {
                    record.state = "held";
                    record.state_reason = Some("delete_rejected".to_owned());
                    record.waiting_on = None;
                    record.due_on = Between::NEVER;
                }
            }
        }
        decided
    }
}

fn verdict(record: &Record) -> DeleteVerdict {
    match record.delete_verdict {
        Some("rejected") => DeleteVerdict::Rejected,
        Some(_) => DeleteVerdict::Send,
        None => DeleteVerdict::Held,
    }
}
