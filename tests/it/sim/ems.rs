//! A model of the EMS: rows under transactions that may commit late or never, triggers that write an outbox, and the
//! projections that a target sees.

use std::collections::{BTreeMap, BTreeSet};

use ems_sync::capture::change::{Change, Op};
use ems_sync::entity::{EntityRef, EntityType};
use ems_sync::limits;

use super::world::{at, micros};
use crate::support::random::Random;

/// What a target sees of an entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// `modified_on`: stamped when the row is written, not when that commits.
    pub(super) version: i64,
    pub(super) content: u8,
    pub(super) parents: Vec<EntityRef>,
}

/// The remote refuses this content.
pub(super) const REFUSED: u8 = 6;
/// The target has no words for this content.
pub(super) const UNMAPPABLE: u8 = 7;

/// An open transaction.
#[derive(Debug, Clone)]
pub(super) struct Transaction {
    xid: i64,
    begun_on: i64,
    /// Rows that it wrote, which nobody else can write until it ends.
    writes: BTreeMap<EntityRef, Option<Row>>,
    /// Rows that its rows name, which nobody else can delete until it ends.
    named: BTreeSet<EntityRef>,
    outbox: Vec<Change>,
    pub(super) ends_on: i64,
    commits: bool,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Ems {
    pub(super) universe: Vec<EntityRef>,
    pub(super) rows: BTreeMap<EntityRef, Row>,
    pub(super) outbox: Vec<Change>,
    pub(super) open: Vec<Transaction>,
    /// When an entity was last not there.
    pub(super) absent_on: BTreeMap<EntityRef, i64>,
    /// Whose newest change no trigger told of: only the sweep can find it.
    pub(super) untold: BTreeSet<EntityRef>,
    /// The watermark's samples: when, and the next transaction's id then.
    samples: Vec<(i64, i64)>,
    next_xid: i64,
    next_position: i64,
    /// No two writes bear the same time.
    stamped_on: i64,
}

/// What an entity of this type names.
pub(super) const fn parent_types(entity_type: EntityType) -> &'static [EntityType] {
    match entity_type {
        EntityType::Event => &[EntityType::Organisation],
        EntityType::Race => &[EntityType::Event],
        EntityType::Tag => &[EntityType::Person],
        EntityType::EventParticipant => &[EntityType::Event, EntityType::Person],
        EntityType::Organisation
        | EntityType::Person
        | EntityType::StartGroup
        | EntityType::StartGroupParticipant
        | EntityType::Conversation => &[],
    }
}

/// How often the EMS does what makes capture hard.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent habits")]
pub(super) struct Habits {
    pub(super) commits_late: bool,
    pub(super) disables_triggers: bool,
    pub(super) writes_refused: bool,
    pub(super) writes_unmappable: bool,
}

impl Ems {
    /// Up to a dozen entities of two to four types, with their parents.
    pub(super) fn new(random: &mut Random) -> Self {
        use EntityType::{Event, EventParticipant, Organisation, Person, Race, Tag};
        let shapes: [&[(EntityType, usize)]; 5] = [
            &[(Organisation, 2), (Event, 3)],
            &[(Organisation, 1), (Event, 3), (Race, 4)],
            &[(Person, 2), (Tag, 5)],
            &[(Organisation, 2), (Person, 2), (Event, 2), (EventParticipant, 3)],
            &[(Person, 3)],
        ];
        let mut universe = Vec::new();
        for (entity_type, at_most) in *random.pick(&shapes) {
            let n = 1 + random.below(*at_most);
            universe.extend((1..=n as i64).map(|id| EntityRef::new(*entity_type, id)));
        }
        Self { universe, next_xid: 1, next_position: 1, ..Self::default() }
    }

    /// A transaction of one to three statements; what it did, in words. It ends now or later.
    pub(super) fn transact(&mut self, now: i64, habits: Habits, random: &mut Random) -> String {
        let mut transaction = Transaction {
            xid: self.next_xid,
            begun_on: now,
            writes: BTreeMap::new(),
            named: BTreeSet::new(),
            outbox: Vec::new(),
            ends_on: now,
            commits: random.percent(92),
        };
        self.next_xid += 1;
        for _ in 0..1 + random.below(3) {
            let entity = *random.pick(&self.universe);
            self.write(&mut transaction, entity, now, habits, random);
        }
        let is_late = habits.commits_late && random.percent(30);
        if is_late {
            transaction.ends_on += micros(1) * (1 + random.below(600) as i64);
        }
        if habits.disables_triggers && random.percent(if is_late { 60 } else { 25 }) {
            transaction.outbox.clear();
        }
        let told = transaction.outbox.len();
        let text = format!(
            "EMS writes {:?}, {told} told, ends in {} s, commits: {}",
            transaction.writes,
            (transaction.ends_on - now) / micros(1),
            transaction.commits
        );
        self.open.push(transaction);
        text
    }

    fn write(
        &mut self,
        transaction: &mut Transaction,
        entity: EntityRef,
        now: i64,
        habits: Habits,
        random: &mut Random,
    ) {
        if self.open.iter().any(|other| other.writes.contains_key(&entity)) {
            return;
        }
        let now = now.max(self.stamped_on + 1);
        self.stamped_on = now;
        let Some(mut row) = self.sees(transaction, entity).cloned() else {
            if let Some(parents) = self.parents_for(transaction, entity, random) {
                let content = content(habits, random);
                self.put(transaction, entity, Some(Row { version: now, content, parents }));
            }
            return;
        };
        row.version = now;
        match random.below(10) {
            0..5 => row.content = content(habits, random),
            5 => {}
            6 | 7 => match self.parents_for(transaction, entity, random) {
                Some(parents) => row.parents = parents,
                None => return,
            },
            _ => return self.delete(transaction, entity),
        }
        self.put(transaction, entity, Some(row));
    }

    /// With everything below it, unless somebody holds on to a part of that.
    fn delete(&mut self, transaction: &mut Transaction, entity: EntityRef) {
        let mut family = vec![entity];
        let mut next = 0;
        while let Some(parent) = family.get(next).copied() {
            next += 1;
            for child in &self.universe {
                let is_child =
                    self.sees(transaction, *child).is_some_and(|r| r.parents.contains(&parent));
                if is_child && !family.contains(child) {
                    family.push(*child);
                }
            }
        }
        let is_held = |entity: &EntityRef| {
            self.open.iter().any(|t| t.writes.contains_key(entity) || t.named.contains(entity))
        };
        if family.iter().any(is_held) {
            return;
        }
        for entity in family {
            self.put(transaction, entity, None);
        }
    }

    fn put(&mut self, transaction: &mut Transaction, entity: EntityRef, row: Option<Row>) {
        let op = if row.is_some() { Op::Written } else { Op::Deleted };
        if let Some(row) = &row {
            transaction.named.extend(&row.parents);
        }
        transaction.writes.insert(entity, row);
        transaction.outbox.push(Change {
            position: self.next_position,
            entity: Some(entity),
            op,
            changed_on: at(transaction.begun_on),
            traceparent: None,
        });
        self.next_position += 1;
    }

    fn sees<'a>(&'a self, transaction: &'a Transaction, entity: EntityRef) -> Option<&'a Row> {
        match transaction.writes.get(&entity) {
            Some(written) => written.as_ref(),
            None => self.rows.get(&entity),
        }
    }

    /// Parents that are there and that nobody else is writing.
    fn parents_for(
        &self,
        transaction: &Transaction,
        entity: EntityRef,
        random: &mut Random,
    ) -> Option<Vec<EntityRef>> {
        let mut parents = Vec::new();
        for parent_type in parent_types(entity.entity_type) {
            let candidates: Vec<EntityRef> = self
                .universe
                .iter()
                .copied()
                .filter(|e| e.entity_type == *parent_type && self.sees(transaction, *e).is_some())
                .filter(|e| !self.open.iter().any(|other| other.writes.contains_key(e)))
                .collect();
            if candidates.is_empty() {
                return None;
            }
            parents.push(*random.pick(&candidates));
        }
        Some(parents)
    }

    /// Ends the transactions whose time has come; what became different.
    pub(super) fn end_transactions(&mut self, now: i64) -> Vec<EntityRef> {
        let mut changed = Vec::new();
        while let Some(i) = self.open.iter().position(|transaction| transaction.ends_on <= now) {
            let transaction = self.open.remove(i);
            if !transaction.commits {
                continue;
            }
            for (entity, row) in transaction.writes {
                if transaction.outbox.is_empty() {
                    self.untold.insert(entity);
                } else {
                    self.untold.remove(&entity);
                }
                if !self.rows.contains_key(&entity) || row.is_none() {
                    self.absent_on.insert(entity, now);
                }
                match row {
                    Some(row) => self.rows.insert(entity, row),
                    None => self.rows.remove(&entity),
                };
                changed.push(entity);
            }
            self.outbox.extend(transaction.outbox);
        }
        changed
    }

    /// Takes at most so many outbox rows from above a floor, in the order of their positions.
    pub(super) fn take_outbox(&mut self, floor: i64, at_most: usize) -> Vec<Change> {
        self.outbox.sort_by_key(|change| change.position);
        let from = self.outbox.iter().position(|change| change.position > floor);
        let from = from.unwrap_or(self.outbox.len());
        let to = (from + at_most).min(self.outbox.len());
        self.outbox.drain(from..to).collect()
    }

    /// `watermark_safe.sql`, then `watermark_sample.sql`.
    pub(super) fn safe_watermark(&mut self, now: i64) -> Option<i64> {
        let xmin = self.open.iter().map(|transaction| transaction.xid).min();
        let xmin = xmin.unwrap_or(self.next_xid);
        let safe = self.samples.iter().filter(|(_, horizon)| *horizon <= xmin).map(|(on, _)| *on);
        let safe = safe.max().map(|on| on - limits::WATERMARK_MARGIN.as_micros() as i64);
        self.samples.push((now, self.next_xid));
        safe
    }
}

fn content(habits: Habits, random: &mut Random) -> u8 {
    let content = random.below(8) as u8;
    let is_allowed = match content {
        REFUSED => habits.writes_refused,
        UNMAPPABLE => habits.writes_unmappable,
        _ => true,
    };
    if is_allowed { content } else { content % 3 }
}
