//! The end of a seed: faults stop, time runs on, and everything must be where it belongs.

use std::collections::BTreeMap;

use ems_sync::delivery::Cause;
use ems_sync::entity::EntityRef;

use super::ems::{REFUSED, Row, UNMAPPABLE};
use super::remote::Body;
use super::scheduler::{self, Simulation};
use super::world::{NEVER, World, micros};
use crate::model::rules::Record;

/// A world that has not come to rest after so many steps never will.
const STEPS_MAX: u64 = 60_000;
/// A round of the sweep's rolling legs.
const SWEEPS: u32 = 5;
/// Longer than the last read-back of an ambiguous write.
const QUIET: i64 = micros(20 * 60);

/// What stands at the remote, how the records stand, and what was violated.
type End = (Vec<(i64, EntityRef, Body)>, Vec<String>, Option<String>);

impl Simulation {
    /// Without a sweep first, then with sweeps, then in silence.
    pub(super) fn calm_down(&mut self) {
        self.world.is_calm = true;
        self.world.note(|| "faults stop".to_owned());
        let now = self.world.now;
        self.world.door.is_disabled = false;
        (self.world.door.closed_until, self.world.db_down_until) = (now, now);
        for meddled in std::mem::take(&mut self.world.meddled) {
            scheduler::insist(&mut self.world, meddled, Cause::Resync, true);
        }
        for process in &mut self.processes {
            process.sweeps_on = NEVER;
            process.paused_until = process.paused_until.min(now + micros(100));
        }
        self.run_until(|world, began| world.now - began > micros(180) && world.is_at_rest());
        self.world.check_told();
        self.world.tidy();
        let sweeps = self.world.audit.sweeps + SWEEPS;
        self.processes[0].sweeps_on = self.world.now;
        self.run_until(|world, began| {
            let is_over = world.audit.sweeps >= sweeps && world.now - began > QUIET;
            is_over && world.is_at_rest() && world.is_tried_again()
        });
        self.world.check_everything();
        let writes = (self.world.audit.requests, self.world.remote.applied);
        let is_over = |world: &World, began| world.now - began > micros(15 * 60);
        self.run_until(is_over);
        // A dead letter is tried for as long as it is open.
        let is_silent = self.world.db.records.values().all(|record| record.state != "dead_letter");
        if is_silent && writes != (self.world.audit.requests, self.world.remote.applied) {
            self.world.audit.fail("something was written after everything was done".to_owned());
        }
        self.world.check_everything();
    }

    /// Steps, and lets time pass where nobody can, until `is_over` says so.
    fn run_until(&mut self, is_over: impl Fn(&World, i64) -> bool) {
        let began = self.world.now;
        let last = self.figures.steps + STEPS_MAX;
        while !self.is_violated() && !is_over(&self.world, began) {
            self.figures.steps += 1;
            if self.figures.steps > last {
                let records = &self.world.db.records;
                self.world.audit.fail(format!("no rest: {records:?}"));
                return;
            }
            if !self.step_any() {
                let next = self.next_event();
                let latest = self.world.now + micros(60);
                self.world.pass_time(next.min(latest));
            }
        }
    }

    /// What a seed ends with, as far as it is not a matter of time.
    pub(super) fn end(&self) -> End {
        let held = self.world.remote.records.iter();
        let held = held.map(|(id, held)| (*id, held.entity, held.body.clone())).collect();
        let records = self.world.db.records.iter();
        let records = records.map(|(e, r)| format!("{e} {} {:?}", r.state, r.remote_id)).collect();
        (held, records, self.world.audit.violation.clone())
    }
}

impl World {
    /// Nothing is under way: what is owed waits for a person, a sweep or another entity.
    fn is_at_rest(&self) -> bool {
        let is_moving = ["pending", "leased", "retrying"];
        self.ems.open.is_empty()
            && self.ems.outbox.is_empty()
            && self.remote.flights.iter().all(|flight| flight.lands_on.is_none())
            && self.db.records.values().all(|record| !is_moving.contains(&record.state))
    }

    /// Whoever moved a record at the remote sees to it when its entity is gone: we can't know the id.
    fn tidy(&mut self) {
        for entity in std::mem::take(&mut self.moved) {
            if !self.ems.rows.contains_key(&entity) {
                self.remote.records.retain(|_, held| held.entity != entity);
            }
        }
    }

    /// Ambiguous writes were read back, and dead letters had the attempt that a sweep gives them.
    fn is_tried_again(&self) -> bool {
        let waits = |entity: &EntityRef, record: &Record| {
            record.read_back_on.is_some()
                || record.state == "dead_letter" && !self.has_reason(*entity, 0)
        };
        !self.db.records.iter().any(|(entity, record)| waits(entity, record))
    }

    /// G1 without the sweep: what a trigger told of was looked at, or stands in a state that says why not.
    fn check_told(&mut self) {
        let lost = self.ems.universe.iter().find(|entity| {
            if self.ems.untold.contains(entity) {
                return false;
            }
            match (self.ems.rows.get(entity), self.db.records.get(entity)) {
                (Some(_), None) => true,
                (None, None) => false,
                (Some(row), Some(record)) => {
                    !record.is_owed()
                        && record.seen_modified_on.map(|on| on.low) != Some(row.version)
                }
                (None, Some(record)) => !record.is_owed() && record.remote_id.is_some(),
            }
        });
        if let Some(lost) = lost {
            let text = format!("a change of {lost} was lost: {:?}", self.db.records.get(lost));
            self.audit.fail(text);
        }
    }

    /// G2, G3, G8: the remote holds what the EMS has, and whoever is behind has a reason.
    fn check_everything(&mut self) {
        let odd = self.ems.universe.iter().find_map(|entity| {
            let complaint = self.complaint(*entity)?;
            let record = self.db.records.get(entity);
            let held: BTreeMap<i64, _> = self.remote.of(*entity).collect();
            let row = self.ems.rows.get(entity);
            Some(format!("{entity} {complaint}: EMS {row:?}, remote {held:?}, record {record:?}"))
        });
        if let Some(odd) = odd {
            self.audit.fail(odd);
        }
    }

    fn complaint(&self, entity: EntityRef) -> Option<&'static str> {
        let held: Vec<_> = self.remote.of(entity).collect();
        let record = self.db.records.get(&entity);
        if held.len() > 1 {
            return Some("stands at the remote twice");
        }
        if self.has_reason(entity, 0) {
            return None;
        }
        let Some(row) = self.ems.rows.get(&entity) else {
            return if held.is_empty() {
                record.filter(|r| r.state != "synced").map(|_| "is gone, and not settled")
            } else {
                Some("is an orphan")
            };
        };
        let Some(record) = record else { return Some("has no record") };
        match held.first() {
            _ if record.state != "synced" || record.in_doubt => Some("is not settled"),
            None => Some("is missing"),
            Some((id, _)) if record.remote_id.as_deref() != Some(&id.to_string()) => {
                Some("stands under another id")
            }
            Some((_, held)) if Some(&held.body) != self.wanted(row).as_ref() => Some("is stale"),
            Some(_) => None,
        }
    }

    /// The id that we know.
    fn remote_id(&self, entity: EntityRef) -> Option<i64> {
        self.db.records.get(&entity)?.remote_id.as_ref()?.parse().ok()
    }

    /// What the remote should hold.
    fn wanted(&self, row: &Row) -> Option<Body> {
        let parents = row.parents.iter().map(|p| self.remote_id(*p)).collect::<Option<_>>()?;
        Some(Body { content: row.content, parents })
    }

    /// Refused by the remote, not to be expressed in its words, or waiting for such a one.
    fn has_reason(&self, entity: EntityRef, depth: u32) -> bool {
        let Some(record) = self.db.records.get(&entity) else { return false };
        let content = self.ems.rows.get(&entity).map(|row| row.content);
        match record.state {
            "rejected" => content == Some(REFUSED) || content == Some(UNMAPPABLE),
            "waiting" if depth < 12 => {
                record.waiting_on.is_some_and(|on| self.has_reason(on, depth + 1))
            }
            // Its parent was taken away at the remote, and can't be written down now.
            "dead_letter" if depth < 12 => self.ems.rows.get(&entity).is_some_and(|row| {
                let is_known = |parent: &EntityRef| {
                    self.remote_id(*parent).is_some_and(|id| self.remote.records.contains_key(&id))
                };
                let is_out = |p: &&EntityRef| !is_known(p) && self.has_reason(**p, depth + 1);
                row.parents.iter().any(|parent| is_out(&parent))
            }),
            _ => false,
        }
    }
}
