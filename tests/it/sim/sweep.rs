//! A sweep, leg by leg, as `src/sweep.rs` runs it; each statement is a scheduling point. The legs mirror
//! `sweep_changed_since.sql`, `sweep_changed_after.sql`, `sweep_orphans.sql` and `held_hashes.sql`.

use ems_sync::delivery::Cause;
use ems_sync::entity::{EntityRef, EntityType};

use super::batch::owing;
use super::bug::Bug;
use super::ems::UNMAPPABLE;
use super::remote::Body;
use super::world::{Mark, World, at, micros};
use crate::model::rules::Record;

/// Rows of one slice of the rolling legs: few, so that a round takes several sweeps.
const SLICE: usize = 2;

#[derive(Debug, Clone, Copy)]
enum Leg {
    Changed,
    Orphans,
    Audit,
    Mark,
}

pub(super) struct Sweep {
    /// The types that are still to be swept, the next one last.
    types: Vec<EntityType>,
    leg: Leg,
    safe: Option<i64>,
    has_begun: bool,
    mark: Mark,
}

impl Sweep {
    pub(super) fn new(types: &[EntityType]) -> Self {
        let types = types.iter().rev().copied().collect();
        let mark = Mark { modified_on: None, orphan_id: i64::MIN, audit_id: i64::MIN };
        Self { types, leg: Leg::Changed, safe: None, has_begun: false, mark }
    }

    /// One statement; whether the sweep is over.
    pub(super) fn step(&mut self, world: &mut World, offset: i64) -> bool {
        if !self.has_begun {
            self.has_begun = true;
            self.safe = world.ems.safe_watermark(world.now);
            if world.bug == Some(Bug::SweepTrustsTheClock) {
                self.safe = Some(world.now - micros(60));
            }
            let universe = &world.ems.universe;
            self.types.retain(|t| universe.iter().any(|entity| entity.entity_type == *t));
        }
        let Some(entity_type) = self.types.last().copied() else {
            world.begin_next_cycle();
            return true;
        };
        match self.leg {
            Leg::Changed => {
                self.mark = world.marks.get(&entity_type).copied().unwrap_or(self.mark);
                self.changed(world, entity_type);
                self.leg = Leg::Orphans;
            }
            Leg::Orphans => {
                self.orphans(world, entity_type, offset);
                self.leg = Leg::Audit;
            }
            Leg::Audit => {
                self.audit(world, entity_type);
                self.leg = Leg::Mark;
            }
            Leg::Mark => {
                self.mark.modified_on = self.safe.max(self.mark.modified_on);
                world.marks.insert(entity_type, self.mark);
                let (orphan_id, audit_id) = (i64::MIN, i64::MIN);
                self.mark = Mark { modified_on: None, orphan_id, audit_id };
                self.types.pop();
                self.leg = Leg::Changed;
            }
        }
        false
    }

    /// Leg 1: another version than the one that was looked at, and not owed already.
    fn changed(&self, world: &mut World, entity_type: EntityType) {
        let since = self.mark.modified_on;
        let is_found = |entity: &EntityRef, version: i64| {
            let Some(record) = world.db.records.get(entity) else { return true };
            let differs =
                |on: Option<crate::model::rules::Between>| on.is_none_or(|on| on.low != version);
            is_movable(record)
                && (differs(record.seen_modified_on)
                    || since.is_none()
                        && record.state == "synced"
                        && differs(record.entity_modified_on))
        };
        let found: Vec<_> = world
            .ems
            .rows
            .iter()
            .filter(|(entity, _)| entity.entity_type == entity_type)
            .filter(|(_, row)| since.is_none_or(|since| row.version >= since))
            .filter(|(entity, row)| is_found(entity, row.version))
            .map(|(entity, row)| (*entity, row.version))
            .collect();
        for (entity, version) in found {
            owe(world, entity, version, "changed");
        }
    }

    /// Leg 3: records that may stand at the remote, or are owed, and whose projection row is gone.
    fn orphans(&mut self, world: &mut World, entity_type: EntityType, offset: i64) {
        let after = self.mark.orphan_id;
        let chunk: Vec<_> = world
            .db
            .records
            .iter()
            .filter(|(entity, record)| {
                entity.entity_type == entity_type
                    && entity.id > after
                    && (record.remote_id.is_some()
                        || record.intent_on.is_some()
                        || record.is_owed())
            })
            .take(SLICE)
            .map(|(entity, record)| {
                (*entity, is_movable(record) && !(record.is_owed() && record.gone))
            })
            .collect();
        self.mark.orphan_id = next_of(&chunk.iter().map(|(e, _)| *e).collect::<Vec<_>>());
        for (entity, is_movable) in chunk {
            if is_movable && !world.ems.rows.contains_key(&entity) {
                owe(world, entity, world.now + offset, "orphan");
            }
        }
    }

    /// Leg 4: the hash of a projection against that of its settled record. Off in half of the seeds, so that it can't
    /// hide what the others miss.
    fn audit(&mut self, world: &mut World, entity_type: EntityType) {
        if !world.swarm.sweeps {
            return;
        }
        let after = self.mark.audit_id;
        let chunk: Vec<_> = world
            .ems
            .rows
            .iter()
            .filter(|(entity, _)| entity.entity_type == entity_type && entity.id > after)
            .take(SLICE)
            .map(|(entity, row)| (*entity, row.clone()))
            .collect();
        self.mark.audit_id = next_of(&chunk.iter().map(|(e, _)| *e).collect::<Vec<_>>());
        for (entity, row) in chunk {
            let remote_id = |parent: &EntityRef| {
                world.db.records.get(parent)?.remote_id.as_ref()?.parse::<i64>().ok()
            };
            let parents: Option<Vec<i64>> = row.parents.iter().map(remote_id).collect();
            let hash = parents
                .filter(|_| row.content != UNMAPPABLE)
                .map(|parents| Body { content: row.content, parents }.hash());
            let differs = world.db.records.get(&entity).is_none_or(|record| {
                let is_settled = !record.is_owed() && !record.in_doubt;
                is_settled && hash.is_none_or(|hash| record.data_hash != Some(hash))
            });
            if differs {
                owe(world, entity, row.version, "different");
            }
        }
    }
}

/// Where the next slice begins.
fn next_of(chunk: &[EntityRef]) -> i64 {
    chunk.get(SLICE - 1).map_or(i64::MIN, |entity| entity.id)
}

/// Not owed already, or owed without an end.
fn is_movable(record: &Record) -> bool {
    !record.is_owed() || record.due_on.low == i64::MAX
}

fn owe(world: &mut World, entity: EntityRef, changed_on: i64, leg: &str) {
    world.note(|| format!("the sweep finds {entity}: {leg}"));
    let owed = world.owe(&owing(entity, at(changed_on), Cause::Sweep, false));
    world.publish(owed);
}
