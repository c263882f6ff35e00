//! What owing, claiming and finishing do to sync records, in plain Rust: written from `docs/design.md` sections 4
//! and 6, without a database, one record at a time.
//!
//! The database's clock is known between two readings only, so a time is a range, and what Postgres wrote must lie
//! in it. Every step begins with the exact times of the step before.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ems_sync::deliver::record::{Claim, Due, Finish, Holds, State, WaitFor};
use ems_sync::delivery::Cause;
use ems_sync::entity::EntityRef;
use ems_sync::hash::ContentHash;
use ems_sync::limits;
use ems_sync::route::Owing;
use jiff::Timestamp;
use uuid::Uuid;

/// A number that lies between these: microseconds of the database's clock, or a fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Between {
    pub(crate) low: i64,
    pub(crate) high: i64,
}

impl Between {
    pub(crate) const NEVER: Self = Self::exactly(i64::MAX);

    pub(crate) const fn exactly(n: i64) -> Self {
        Self { low: n, high: n }
    }

    pub(crate) fn at(timestamp: Timestamp) -> Self {
        Self::exactly(timestamp.as_microsecond())
    }

    fn after(self, duration: Duration) -> Self {
        let micros = duration.as_micros() as i64;
        Self { low: self.low + micros, high: self.high + micros }
    }

    fn before(self, duration: Duration) -> Self {
        let micros = duration.as_micros() as i64;
        Self { low: self.low - micros, high: self.high - micros }
    }

    fn earlier(self, other: Option<Self>) -> Self {
        other.map_or(self, |o| Self { low: self.low.min(o.low), high: self.high.min(o.high) })
    }

    fn later(self, other: Option<Self>) -> Self {
        other.map_or(self, |o| Self { low: self.low.max(o.low), high: self.high.max(o.high) })
    }

    pub(crate) const fn holds(self, n: i64) -> bool {
        self.low <= n && n <= self.high
    }

    /// Whether the time has come. The driver leaves a minute between what is due and what isn't.
    fn has_come(self, now: Self) -> bool {
        let has_come = self.high <= now.low;
        assert!(has_come || now.high < self.low, "{self:?} is neither due nor undue at {now:?}");
        has_come
    }
}

/// A sync record.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    pub(crate) remote_id: Option<String>,
    pub(crate) former_remote_id: Option<String>,
    pub(crate) data_hash: Option<ContentHash>,
    pub(crate) remote_hash: Option<ContentHash>,
    pub(crate) rejected_hash: Option<ContentHash>,
    pub(crate) entity_synced_on: Option<Between>,
    pub(crate) entity_modified_on: Option<Between>,
    pub(crate) seen_modified_on: Option<Between>,
    pub(crate) owed_gen: i64,
    pub(crate) done_gen: i64,
    pub(crate) owed_on: Option<Between>,
    pub(crate) last_owed_on: Option<Between>,
    pub(crate) cause: &'static str,
    pub(crate) lane: &'static str,
    pub(crate) traceparent: Option<String>,
    pub(crate) state: &'static str,
    pub(crate) state_reason: Option<String>,
    pub(crate) last_error: Option<String>,
    pub(crate) attempts: i32,
    pub(crate) failures: i32,
    pub(crate) dead_lettered_on: Option<Between>,
    pub(crate) due_on: Between,
    pub(crate) read_back_on: Option<Between>,
    pub(crate) read_back_step: i16,
    pub(crate) lease_owner: Option<Uuid>,
    pub(crate) lease_until: Option<Between>,
    pub(crate) fence: Option<Between>,
    pub(crate) in_doubt: bool,
    pub(crate) doubts: i64,
    pub(crate) intent_on: Option<Between>,
    pub(crate) parents: Vec<EntityRef>,
    pub(crate) waiting_on: Option<EntityRef>,
    pub(crate) tombstoned_on: Option<Between>,
    pub(crate) gone: bool,
    pub(crate) delete_verdict: Option<&'static str>,
}

impl Record {
    /// A record that owes its first generation.
    fn new(now: Between, changed_on: Between, cause: Cause) -> Self {
        Self {
            remote_id: None,
            former_remote_id: None,
            data_hash: None,
            remote_hash: None,
            rejected_hash: None,
            entity_synced_on: None,
            entity_modified_on: None,
            seen_modified_on: None,
            owed_gen: 1,
            done_gen: 0,
            owed_on: Some(changed_on),
            last_owed_on: Some(changed_on),
            cause: cause.name(),
            lane: "live",
            traceparent: None,
            state: "pending",
            state_reason: None,
            last_error: None,
            attempts: 0,
            failures: 0,
            dead_lettered_on: None,
            due_on: now,
            read_back_on: None,
            read_back_step: 0,
            lease_owner: None,
            lease_until: None,
            fence: None,
            in_doubt: false,
            doubts: 0,
            intent_on: None,
            parents: Vec::new(),
            waiting_on: None,
            tombstoned_on: None,
            gone: false,
            delete_verdict: None,
        }
    }

    pub(crate) const fn is_owed(&self) -> bool {
        self.owed_gen > self.done_gen
    }

    /// Whose turn it is stands: its holder sees what is new, its delay is short, or a person decides.
    fn has_its_turn(&self) -> bool {
        ["leased", "retrying", "held"].contains(&self.state)
    }

    pub(crate) fn is_due_now(&mut self, now: Between) {
        self.state = "pending";
        self.state_reason = None;
        self.waiting_on = None;
        self.due_on = now;
    }
}

/// An open dead letter.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Letter {
    pub(crate) attempts: i32,
    pub(crate) cycles: i32,
    pub(crate) next_try_on: Option<Between>,
}

impl Letter {
    pub(crate) fn fits(&self, found: &Self) -> bool {
        self.attempts == found.attempts
            && self.cycles == found.cycles
            && match (self.next_try_on, found.next_try_on) {
                (Some(expected), Some(found)) => expected.holds(found.low),
                (expected, found) => expected == found,
            }
    }
}

/// What a finish brought about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Report {
    pub(crate) again: BTreeSet<EntityRef>,
    pub(crate) fenced: BTreeSet<EntityRef>,
    /// Woken, or owed because of these.
    pub(crate) due: BTreeSet<EntityRef>,
}

/// All records of one target, and which entities its projections show.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    pub(crate) records: BTreeMap<EntityRef, Record>,
    /// With their parents.
    pub(crate) in_scope: BTreeMap<EntityRef, Vec<EntityRef>>,
    pub(crate) letters: BTreeMap<EntityRef, Letter>,
    pub(crate) newest_fence: i64,
    pub(super) guard: super::guard::Guard,
}

impl Model {
    /// Returns the ids that are owed now.
    pub(crate) fn owe(&mut self, now: Between, owing: &Owing) -> Vec<i64> {
        let mut wanted: BTreeMap<i64, (Between, Option<String>)> = BTreeMap::new();
        for (id, changed_on, trace) in &owing.entities {
            let changed_on = Between::at(*changed_on);
            let one = wanted.entry(*id).or_insert((changed_on, None));
            one.0 = one.0.earlier(Some(changed_on));
            one.1 = one.1.take().max(trace.clone());
        }
        let mut owed = Vec::new();
        for (id, (changed_on, trace)) in wanted {
            let entity = EntityRef::new(owing.entity_type, id);
            let gone = !self.in_scope.contains_key(&entity);
            match self.records.get_mut(&entity) {
                Some(record) => {
                    if !record.is_owed() {
                        record.traceparent = None;
                    }
                    owe_again(record, now, changed_on, owing, gone);
                    let none = Vec::new();
                    let parents = self.in_scope.get(&entity).unwrap_or(&none);
                    if record.remote_id.is_some() {
                        // What the remote holds counts.
                    } else if record.intent_on.is_none() && !parents.is_empty() {
                        record.parents.clone_from(parents);
                    } else {
                        record.parents = union(&record.parents, parents);
                    }
                }
                None if self.in_scope.contains_key(&entity) => {
                    let mut record = Record::new(now, changed_on, owing.cause);
                    record.parents.clone_from(&self.in_scope[&entity]);
                    record.lane = lane(owing);
                    record.in_doubt = owing.in_doubt;
                    self.records.insert(entity, record);
                }
                None => continue,
            }
            let record = self.records.get_mut(&entity).unwrap();
            record.traceparent = trace.or(record.traceparent.take());
            owed.push(id);
        }
        owed
    }

    /// Returns the records as they were before the claim.
    pub(crate) fn claim(
        &mut self,
        now: Between,
        owner: Uuid,
        lease: Duration,
        entities: &[EntityRef],
    ) -> BTreeMap<EntityRef, Record> {
        let mut claimed = BTreeMap::new();
        for entity in entities {
            let Some(record) = self.records.get_mut(entity) else { continue };
            if !record.is_owed() || claimed.contains_key(entity) || !record.due_on.has_come(now) {
                continue;
            }
            claimed.insert(*entity, record.clone());
            record.state = "leased";
            record.state_reason = None;
            record.waiting_on = None;
            record.lease_owner = Some(owner);
            record.lease_until = Some(now.after(lease));
            record.due_on = now.after(lease);
            record.fence = Some(Between { low: self.newest_fence + 1, high: i64::MAX });
            record.in_doubt = true;
            if record.remote_id.is_none() {
                record.intent_on = Some(now);
            }
        }
        claimed
    }

    pub(crate) fn finish(
        &mut self,
        now: Between,
        owner: Uuid,
        read_back: Duration,
        finishes: &[Finish],
    ) -> Report {
        let mut report = Report::default();
        let over: BTreeSet<EntityRef> = finishes
            .iter()
            .filter(|f| f.waiting_on.is_some_and(|wait| self.is_over(f.entity, wait)))
            .map(|finish| finish.entity)
            .collect();
        let (mut changed, mut moved) = (BTreeSet::new(), BTreeSet::new());
        for finish in finishes {
            let is_ours = self.records.get(&finish.entity).is_some_and(|record| {
                record.lease_owner == Some(owner)
                    && record.fence == Some(Between::exactly(finish.fence))
            });
            if is_ours {
                if self.moves(finish) {
                    moved.insert(finish.entity);
                }
                self.write(now, finish, over.contains(&finish.entity), &mut report);
                if finish.remote_changed {
                    changed.insert(finish.entity);
                }
            } else {
                report.fenced.insert(finish.entity);
                if finish.sent
                    && let Some(record) = self.records.get_mut(&finish.entity)
                {
                    record.in_doubt = true;
                    record.doubts += 1;
                    record.read_back_on = Some(now.after(read_back).earlier(record.read_back_on));
                    record.read_back_step = 0;
                }
            }
        }
        for finish in finishes.iter().filter(|f| f.drop && !report.fenced.contains(&f.entity)) {
            let record = &self.records[&finish.entity];
            if record.owed_gen == finish.owed_gen
                && record.remote_id.is_none()
                && record.intent_on.is_none()
            {
                self.records.remove(&finish.entity);
                self.letters.remove(&finish.entity);
            }
        }
        let awaited: BTreeSet<EntityRef> = finishes
            .iter()
            .filter(|finish| !over.contains(&finish.entity))
            .filter_map(|finish| finish.waiting_on.map(WaitFor::entity))
            .collect();
        for entity in awaited {
            self.owe_awaited(now, entity, &mut report);
        }
        // What is surely not at the remote is waited for by nobody that is to go after it.
        let is_absent = |record: &Record, on: EntityRef| {
            record.state_reason.as_deref() == Some("waiting_for_child")
                && finishes.iter().any(|finish| {
                    finish.entity == on && finish.remote_id.is_none() && finish.intent_on.is_none()
                })
                && !report.fenced.contains(&on)
        };
        // Whatever became of an older sibling, the younger looks again.
        let is_older = |record: &Record, on: EntityRef| {
            record.state_reason.as_deref() == Some("waiting_for_sibling")
                && finishes.iter().any(|finish| finish.entity == on)
                && !report.fenced.contains(&on)
        };
        let woken: BTreeSet<EntityRef> = self
            .records
            .iter()
            .filter(|(_, record)| {
                record.waiting_on.is_some_and(|on| {
                    changed.contains(&on)
                        || moved.contains(&on)
                        || is_older(record, on)
                        || is_absent(record, on)
                })
            })
            .map(|(entity, _)| *entity)
            .collect();
        self.wake(now, &woken, &changed, &mut report);
        report
    }

    /// A parent that is there, a child that is not or has other parents: whoever finished it before could not wake us.
    fn is_over(&self, waiter: EntityRef, wait: WaitFor) -> bool {
        let record = self.records.get(&wait.entity());
        record.is_some_and(|record| match wait {
            WaitFor::Parent(_) => record.remote_id.is_some(),
            WaitFor::Holder(_) => record.remote_id.is_none() && record.intent_on.is_none(),
            WaitFor::Sibling(_) => !record.is_owed(),
            WaitFor::Child(_) => {
                record.remote_id.is_none() && record.intent_on.is_none()
                    || !record.parents.contains(&waiter)
            }
        })
    }

    /// Whether it leaves a parent that it had.
    fn moves(&self, finish: &Finish) -> bool {
        let before = &self.records[&finish.entity].parents;
        let after = finish.parents.as_ref();
        (finish.confirmed || finish.remote_id.is_none() && finish.intent_on.is_none())
            && after.is_some_and(|after| before.iter().any(|parent| !after.contains(parent)))
    }

    /// Writes the outcome of a lease that is still ours.
    fn write(&mut self, now: Between, finish: &Finish, is_over: bool, report: &mut Report) {
        let record = self.records.get_mut(&finish.entity).unwrap();
        let moved = record.owed_gen > finish.owed_gen;
        let begins_anew = matches!(finish.state, State::DeadLetter | State::Rejected);
        let is_dead = finish.dead_letter;
        let keeps_its_turn = finish.state == State::Retrying;
        record.lease_owner = None;
        record.lease_until = None;
        if finish.remote_id.is_none() && (finish.state != State::Skipped || finish.remote_changed) {
            record.former_remote_id = record.remote_id.take().or(record.former_remote_id.take());
        }
        record.remote_id.clone_from(&finish.remote_id);
        // Without a remote record nothing is held there.
        let hash = |new: Option<ContentHash>, old| finish.remote_id.as_ref().and(new.or(old));
        record.data_hash = hash(finish.data_hash, record.data_hash);
        record.remote_hash = hash(finish.remote_hash, record.remote_hash);
        record.rejected_hash = if finish.settled && finish.confirmed {
            None
        } else {
            finish.rejected_hash.or(record.rejected_hash)
        };
        if finish.settled {
            record.done_gen = finish.owed_gen;
            record.owed_on = if moved { record.last_owed_on } else { None };
        }
        let version = finish.modified_on.map(Between::at);
        record.seen_modified_on =
            if finish.tombstone { None } else { version.or(record.seen_modified_on) };
        if finish.pushed {
            record.entity_synced_on = Some(now);
        }
        if finish.confirmed {
            record.entity_modified_on = version;
        }
        record.in_doubt = finish.in_doubt || record.doubts > finish.doubts;
        record.intent_on = finish.intent_on.map(Between::at);
        record.last_error.clone_from(&finish.error);
        record.attempts = if moved && begins_anew { 0 } else { finish.attempts as i32 };
        record.failures = finish.failures as i32;
        record.dead_lettered_on = match (is_dead, finish.settled) {
            (true, _) => record.dead_lettered_on.or(Some(now)),
            (false, true) => None,
            (false, false) => record.dead_lettered_on,
        };
        record.tombstoned_on =
            if finish.tombstone { record.tombstoned_on.or(Some(now)) } else { None };
        // What the decision saw of the EMS, unless an owing has looked since.
        if !moved && finish.tombstone {
            record.gone = true;
        } else if !moved && finish.modified_on.is_some() {
            record.gone = false;
            record.delete_verdict = None;
        }
        if let Some(parents) = &finish.parents {
            let may_be_there = finish.remote_id.is_some() || finish.intent_on.is_some();
            let may_be_under_both = !finish.confirmed && may_be_there;
            let before: &[EntityRef] = if may_be_under_both { &record.parents } else { &[] };
            record.parents = union(before, parents);
        }
        if finish.dead_letter {
            let next = (finish.state == State::DeadLetter).then_some(now);
            let failed = |letter: &Letter| Letter {
                attempts: letter.attempts + finish.cycle_attempts as i32,
                cycles: letter.cycles + 1,
                next_try_on: next.map(|now| {
                    let minutes = 5 * 2_u64.pow((letter.cycles - 1).min(20) as u32);
                    now.after(Duration::from_secs(60 * minutes.min(24 * 60)))
                }),
            };
            let first =
                Letter { attempts: finish.cycle_attempts as i32, cycles: 1, next_try_on: next };
            let letter = self.letters.get(&finish.entity).map_or(first, failed);
            self.letters.insert(finish.entity, letter);
        }
        if finish.settled {
            self.letters.remove(&finish.entity);
        }
        if let Some(millis) = finish.read_back_millis {
            let first = now.after(Duration::from_millis(millis));
            record.read_back_on = Some(first.earlier(record.read_back_on));
            record.read_back_step = 0;
        }
        if (moved || is_over) && !keeps_its_turn {
            record.is_due_now(now);
        } else {
            record.state = finish.state.name();
            record.state_reason.clone_from(&finish.reason);
            record.waiting_on = finish.waiting_on.map(WaitFor::entity);
            record.due_on = match finish.due {
                Due::Now => now,
                Due::InMillis(millis) => now.after(Duration::from_millis(millis)),
                Due::Never => Between::NEVER,
            };
        }
        if record.is_owed() && (record.due_on == now || record.due_on.has_come(now)) {
            report.again.insert(finish.entity);
        }
    }

    /// Owed unless it is owed already, or can't come by being owed.
    fn owe_awaited(&mut self, now: Between, entity: EntityRef, report: &mut Report) {
        if let Some(record) = self.records.get_mut(&entity) {
            if record.is_owed() || !["synced", "skipped"].contains(&record.state) {
                return;
            }
            record.owed_gen += 1;
            record.owed_on = Some(now);
            record.last_owed_on = Some(now);
            record.is_due_now(now);
        } else {
            self.records.insert(entity, Record::new(now, now, Cause::Change));
        }
        report.due.insert(entity);
    }

    /// Wakes these, and owes the children of those whose remote id changed.
    fn wake(
        &mut self,
        now: Between,
        woken: &BTreeSet<EntityRef>,
        changed: &BTreeSet<EntityRef>,
        report: &mut Report,
    ) {
        for (entity, record) in &mut self.records {
            if woken.contains(entity) {
                record.is_due_now(now);
                report.due.insert(*entity);
            } else if record.parents.iter().any(|parent| changed.contains(parent))
                && (record.remote_id.is_some() || record.intent_on.is_some())
            {
                record.owed_on = if record.is_owed() { record.owed_on } else { Some(now) };
                record.last_owed_on = Some(now);
                record.owed_gen += 1;
                if !record.has_its_turn() {
                    record.is_due_now(now);
                }
                report.due.insert(*entity);
            }
        }
    }

    /// Ambiguous writes whose next look is due; how many.
    pub(crate) fn read_back(&mut self, now: Between, at_most: usize) -> u64 {
        let mut looked_at: Vec<_> = self
            .records
            .iter()
            .filter(|(_, r)| {
                r.lease_owner.is_none() && r.read_back_on.is_some_and(|on| on.has_come(now))
            })
            .map(|(entity, _)| *entity)
            .collect();
        looked_at.sort_by_key(|entity| (entity.entity_type.name(), entity.id));
        looked_at.truncate(at_most);
        for entity in &looked_at {
            let record = self.records.get_mut(entity).unwrap();
            record.in_doubt = true;
            if record.remote_id.is_none() {
                let long_ago = now.before(Duration::from_secs(24 * 60 * 60));
                record.intent_on = record.intent_on.or(Some(long_ago));
            }
            let is_dead = ["rejected", "dead_letter"].contains(&record.state);
            record.owed_gen += i64::from(!is_dead);
            record.owed_on = record.owed_on.or(Some(now));
            record.last_owed_on = Some(now);
            record.cause = Cause::Sweep.name();
            record.waiting_on = None;
            if !record.has_its_turn() && !is_dead {
                record.state = "pending";
                record.due_on = now;
            }
            let next = limits::READ_BACK_AGAIN_AFTER.get(record.read_back_step as usize);
            record.read_back_on = next.map(|next| now.after(*next));
            record.read_back_step += 1;
        }
        looked_at.len() as u64
    }

    /// Dead letters that get a new cycle.
    pub(crate) fn begin_next_cycle(&mut self, now: Between, attempts: u32) -> BTreeSet<EntityRef> {
        let mut begun = BTreeSet::new();
        for (entity, record) in &mut self.records {
            let letter = self.letters.get(entity);
            let has_come = letter.is_some_and(|l| l.next_try_on.is_some_and(|on| on.has_come(now)));
            if record.state == "dead_letter" && record.is_owed() && has_come {
                record.state = "pending";
                record.state_reason = None;
                record.attempts = record.attempts.max(attempts as i32);
                record.due_on = now;
                begun.insert(*entity);
            }
        }
        begun
    }

    /// What is owed and due.
    pub(crate) fn due(&self, now: Between, bulk_too: bool) -> BTreeSet<EntityRef> {
        let is_due = |record: &Record| {
            record.is_owed() && record.due_on.has_come(now) && (bulk_too || record.lane == "live")
        };
        self.records.iter().filter(|(_, r)| is_due(r)).map(|(entity, _)| *entity).collect()
    }

    /// An hour passes for these.
    pub(crate) fn pass_time(&mut self, now: Between, entities: &[EntityRef]) {
        let past = now.before(Duration::from_secs(60 * 60));
        for entity in entities {
            let Some(record) = self.records.get_mut(entity) else { continue };
            if record.due_on != Between::NEVER {
                record.due_on = past;
            }
            record.lease_until = record.lease_until.map(|_| past);
            record.read_back_on = record.read_back_on.map(|_| past);
            if let Some(letter) = self.letters.get_mut(entity) {
                letter.next_try_on = letter.next_try_on.map(|_| past);
            }
        }
    }
}

fn owe_again(record: &mut Record, now: Between, changed_on: Between, owing: &Owing, gone: bool) {
    if record.is_owed() {
        record.owed_on = Some(changed_on.earlier(record.owed_on));
    } else {
        record.owed_on = Some(changed_on);
    }
    // What somebody waits for live is not put behind bulk work.
    if !(record.is_owed() && record.lane == "live") {
        record.lane = lane(owing);
    }
    record.owed_gen += 1;
    record.last_owed_on = Some(changed_on.later(record.last_owed_on));
    record.cause = owing.cause.name();
    record.in_doubt |= owing.in_doubt;
    record.doubts += i64::from(owing.in_doubt);
    let is_tried_for_a_dead_letter = record.dead_lettered_on.is_some()
        && ["pending", "waiting", "parked"].contains(&record.state)
        && owing.cause != Cause::Sweep;
    if ["rejected", "dead_letter"].contains(&record.state) || is_tried_for_a_dead_letter {
        record.attempts = 0;
    }
    // What was held because it is gone is decided anew when it is there again, and the other way round.
    if !record.has_its_turn() || record.state == "held" && record.gone != gone {
        record.is_due_now(now);
    }
    record.gone = gone;
    if !gone {
        record.delete_verdict = None;
    }
}

/// All of both, each once, in order.
fn union(a: &[EntityRef], b: &[EntityRef]) -> Vec<EntityRef> {
    a.iter().chain(b).copied().collect::<BTreeSet<_>>().into_iter().collect()
}

const fn lane(owing: &Owing) -> &'static str {
    if owing.bulk { "bulk" } else { "live" }
}

/// What a claim returns of a record that stood like this before it.
pub(crate) fn claim_of(entity: EntityRef, fence: i64, before: Record) -> Claim {
    let time = |at: Option<Between>| at.map(|at| Timestamp::from_microsecond(at.low).unwrap());
    Claim {
        entity,
        fence,
        owed_gen: before.owed_gen,
        owed_on: time(before.owed_on),
        cause: Cause::from_name(before.cause),
        traceparent: before.traceparent,
        remote_id: before.remote_id,
        former_remote_id: before.former_remote_id,
        gave_up: false,
        data_hash: before.data_hash,
        remote_hash: before.remote_hash,
        rejected_hash: before.rejected_hash,
        in_doubt: before.in_doubt,
        intent_on: time(before.intent_on),
        taken_over: before.lease_owner.is_some(),
        lost_until: time(before.lease_until),
        doubts: before.doubts,
        attempts: before.attempts as u32,
        failures: before.failures as u32,
        tombstoned: before.tombstoned_on.is_some(),
        holds: Holds::default(),
    }
}
