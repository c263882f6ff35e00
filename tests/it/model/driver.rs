//! Does the same random operations to Postgres and to the model, and compares all that can be seen after each.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ems_sync::deliver::record::{Claim, Finish};
use ems_sync::delivery::Cause;
use ems_sync::entity::EntityRef;
use ems_sync::route::Owing;
use ems_sync::store::{DeleteVerdict, HoldDecision, Weighed};
use ems_sync::target::Target;
use uuid::Uuid;

use super::rules::{Between, Model, Record, Report, claim_of};
use super::{Bench, TYPES, guard, observed, outcome};
use crate::support::random::Random;

const LEASE: Duration = Duration::from_secs(30);
const READ_BACK: Duration = Duration::from_secs(90);

/// A claim that somebody believes in, finished or overtaken though it may be.
struct Believed {
    owner: Uuid,
    claim: Claim,
    is_finished: bool,
}

/// What must come to pass, so that the comparison has seen it.
pub(super) const EVENTS: [&str; 23] = [
    "owed for the first time",
    "owed again",
    "owed while leased",
    "owed while its turn is fixed",
    "not owed: out of scope",
    "claimed",
    "taken over",
    "not claimed: not due",
    "finished",
    "again",
    "fenced after sending",
    "dropped",
    "waits",
    "due because of others",
    "read back",
    "a next cycle",
    "deletes let through",
    "deletes held",
    "the guard tripped",
    "a trip is over",
    "deletes approved",
    "deletes rejected",
    "there again while held",
];

/// How often what came to pass.
#[derive(Debug, Default)]
pub(super) struct Seen(BTreeMap<&'static str, usize>);

impl Seen {
    fn count(&mut self, what: &'static str, times: usize) {
        *self.0.entry(what).or_default() += times;
    }

    pub(super) fn append(&mut self, other: &Self) {
        for (what, times) in &other.0 {
            self.count(what, *times);
        }
    }

    pub(super) fn times(&self, what: &str) -> usize {
        self.0.get(what).copied().unwrap_or(0)
    }
}

pub(super) struct Driver<'a> {
    pub(super) seen: Seen,
    bench: &'a Bench,
    random: Random,
    model: Model,
    owners: [Uuid; 2],
    entities: Vec<EntityRef>,
    claims: Vec<Believed>,
    /// What was done so far.
    log: Vec<String>,
}

impl<'a> Driver<'a> {
    /// Begins with no record and some entities in scope.
    pub(super) async fn new(bench: &'a Bench, mut random: Random) -> Self {
        bench.ems.batch_execute(guard::RESET).await.unwrap();
        let entities: Vec<_> = TYPES
            .into_iter()
            .flat_map(|entity_type| (1..=2).map(move |id| EntityRef::new(entity_type, id)))
            .collect();
        let owners = [Uuid::from_u128(1), Uuid::from_u128(2)];
        let fence: i64 =
            bench.ems.query_one("select last_value from sync.fence", &[]).await.unwrap().get(0);
        let mut model = Model { newest_fence: fence - 1, ..Model::default() };
        for entity in &entities {
            bench.scope(*entity, false).await;
        }
        let some = [random.some(&entities, 6), random.some(&entities, 6)].concat();
        model.in_scope.extend(some.into_iter().map(|entity| (entity, Vec::new())));
        let in_scope: Vec<_> = model.in_scope.keys().copied().collect();
        bench.bring(&in_scope).await;
        let (claims, log, seen) = (Vec::new(), Vec::new(), Seen::default());
        Self { bench, random, model, owners, entities, claims, log, seen }
    }

    /// One random operation.
    pub(super) async fn step(&mut self) {
        let has_dead = self.model.records.values().any(|record| record.state == "dead_letter");
        if has_dead && self.random.percent(40) {
            return self.begin_next_cycle().await;
        }
        let is_held = |r: &Record| r.state == "held" && r.state_reason.as_deref() == Some("guard");
        if self.model.records.values().any(is_held) && self.random.percent(20) {
            return self.decide_deletes().await;
        }
        match self.random.below(100) {
            0..20 => self.owe().await,
            20..40 => self.claim().await,
            40..64 => self.finish().await,
            64..77 => self.pass_time().await,
            77..81 => self.change_scope().await,
            81..85 => self.guard_deletes().await,
            85..87 => self.decide_deletes().await,
            87..92 => self.read_back().await,
            92..96 => self.begin_next_cycle().await,
            _ => self.due().await,
        }
    }

    async fn owe(&mut self) {
        let mut types = self.random.some(&TYPES, 2);
        types.sort_by_key(|entity_type| entity_type.name());
        let owings: Vec<Owing> = types.into_iter().map(|t| owing(&mut self.random, t)).collect();
        self.log.push(format!("owe {owings:?}"));
        let before = self.clock().await;
        let mut owed = self.bench.store.owe(owings.clone()).await.unwrap();
        let now = self.since(before).await;
        owed.sort_by_key(|owing| owing.entity_type.name());
        for (owing, owed) in owings.iter().zip(&owed) {
            self.count_owing(owing);
            let expected = self.model.owe(now, owing);
            let ids: Vec<i64> = owed.entities.iter().map(|entity| entity.0).collect();
            self.check_equal("owed", &expected, &ids);
        }
        self.compare().await;
    }

    fn count_owing(&mut self, owing: &Owing) {
        for (id, _, _) in &owing.entities {
            let entity = EntityRef::new(owing.entity_type, *id);
            let is_held = |record: &Record| record.state == "held" && record.gone;
            let is_back = self.model.in_scope.contains_key(&entity);
            if is_back && self.model.records.get(&entity).is_some_and(is_held) {
                self.seen.count("there again while held", 1);
            }
            self.seen.count(
                match self.model.records.get(&entity).map(|record| record.state) {
                    None if self.model.in_scope.contains_key(&entity) => "owed for the first time",
                    None => "not owed: out of scope",
                    Some("leased") => "owed while leased",
                    Some("retrying" | "held") => "owed while its turn is fixed",
                    Some(_) => "owed again",
                },
                1,
            );
        }
    }

    async fn claim(&mut self) {
        let owner = *self.random.pick(&self.owners);
        let mut entities = self.random.some(&self.entities, 6);
        // Mostly what a relay or the scan would have published.
        let owed: Vec<_> =
            self.model.records.iter().filter(|(_, r)| r.is_owed()).map(|(e, _)| *e).collect();
        if !owed.is_empty() && self.random.percent(70) {
            entities = self.random.some(&owed, 6);
        }
        if self.random.percent(10) {
            entities.push(entities[0]);
        }
        self.log.push(format!("claim {} {entities:?}", owner.as_u128()));
        let before = self.clock().await;
        let claims =
            self.bench.store.claim(Target::TagServer, owner, LEASE, &entities).await.unwrap();
        let now = self.since(before).await;
        let expected = self.model.claim(now, owner, LEASE, &entities);
        self.seen.count("claimed", claims.len());
        self.seen.count("taken over", claims.iter().filter(|claim| claim.taken_over).count());
        self.seen.count("not claimed: not due", entities.len() - claims.len());
        let fences: BTreeSet<i64> = claims.iter().map(|claim| claim.fence).collect();
        self.check_equal("distinct fences", &claims.len(), &fences.len());
        let claimed: BTreeMap<_, _> = claims.iter().map(|claim| (claim.entity, claim)).collect();
        let expected: BTreeMap<_, _> = expected
            .into_iter()
            .map(|(entity, before)| {
                let fence = claimed.get(&entity).map_or(0, |claim| claim.fence);
                (entity, claim_of(entity, fence, before))
            })
            .collect();
        self.check_equal("claimed", &expected.iter().map(|(e, c)| (*e, c)).collect(), &claimed);
        let believed =
            claims.into_iter().map(|claim| Believed { owner, claim, is_finished: false });
        self.claims.extend(believed);
        self.compare().await;
    }

    async fn finish(&mut self) {
        let owner = *self.random.pick(&self.owners);
        let now = self.bench.store.now().await.unwrap();
        let mut finishes: BTreeMap<EntityRef, Finish> = BTreeMap::new();
        for believed in self.claims.iter_mut().rev().filter(|b| b.owner == owner) {
            // Now and then somebody finishes twice, or with a claim that another has taken over.
            let is_believed = !believed.is_finished || self.random.percent(4);
            if is_believed
                && self.random.percent(80)
                && !finishes.contains_key(&believed.claim.entity)
            {
                let others: Vec<_> = self
                    .entities
                    .iter()
                    .copied()
                    .filter(|entity| *entity != believed.claim.entity)
                    .collect();
                let finish = outcome::any(&mut self.random, &believed.claim, &others, now);
                finishes.insert(believed.claim.entity, finish);
                believed.is_finished = true;
            }
        }
        let finishes: Vec<_> = finishes.into_values().collect();
        self.log.push(format!("finish {} {finishes:#?}", owner.as_u128()));
        let before = self.clock().await;
        let report =
            self.bench.store.finish(Target::TagServer, owner, READ_BACK, &finishes).await.unwrap();
        let now = self.since(before).await;
        let records = self.model.records.len();
        let expected = self.model.finish(now, owner, READ_BACK, &finishes);
        let fenced = |finish: &&Finish| finish.sent && expected.fenced.contains(&finish.entity);
        self.seen.count("finished", finishes.len() - expected.fenced.len());
        self.seen.count("again", expected.again.len());
        self.seen.count("fenced after sending", finishes.iter().filter(fenced).count());
        self.seen.count("dropped", records.saturating_sub(self.model.records.len()));
        self.seen.count("due because of others", expected.due.len());
        let waits = |record: &&Record| record.waiting_on.is_some();
        self.seen.count("waits", self.model.records.values().filter(waits).count());
        let report = Report {
            again: report.again.into_iter().collect(),
            fenced: report.fenced.into_iter().collect(),
            due: report.due.into_iter().collect(),
        };
        self.check_equal("finish's report", &expected, &report);
        self.compare().await;
    }

    /// A batch has decided to delete, be that right or wrong.
    async fn guard_deletes(&mut self) {
        let unfinished: Vec<_> = self.claims.iter().filter(|b| !b.is_finished).collect();
        let mut deletes: BTreeMap<EntityRef, i64> = BTreeMap::new();
        for believed in unfinished.into_iter().rev() {
            if self.random.percent(70) {
                deletes.entry(believed.claim.entity).or_insert(believed.claim.owed_gen);
            }
        }
        let deletes: Vec<_> = deletes.into_iter().collect();
        if deletes.is_empty() {
            return;
        }
        let limits = guard::limits(&mut self.random);
        self.log.push(format!("guard {deletes:?} {limits:?}"));
        let expected = self.model.guard_deletes(&deletes, limits);
        let weighed: Vec<_> = deletes
            .iter()
            .map(|(entity, owed_gen)| Weighed {
                entity: *entity,
                owed_gen: *owed_gen,
                is_gone: true,
                loses: Vec::new(),
            })
            .collect();
        let found =
            self.bench.store.guard_deletes(Target::TagServer, &weighed, limits).await.unwrap();
        self.check_equal("guarded", &expected.guarded, &found);
        let times = |verdict| found.verdicts.values().filter(|v| **v == verdict).count();
        self.seen.count("deletes let through", times(DeleteVerdict::Send));
        self.seen.count("deletes held", times(DeleteVerdict::Held));
        self.seen.count("the guard tripped", usize::from(found.tripped.is_some()));
        self.seen.count("a trip is over", usize::from(expected.trip_is_over));
        self.compare().await;
    }

    async fn decide_deletes(&mut self) {
        let (approves, kept) = (self.random.percent(50), self.random.percent(50));
        self.log.push(format!("decide: approves {approves}, kept too {kept}"));
        let before = self.clock().await;
        let by = "a person";
        let decision = HoldDecision { target: Target::TagServer, approves, kept, by, seen: None };
        let decided = self.bench.store.decide_held(&decision).await.unwrap().unwrap().records;
        let now = self.since(before).await;
        let expected = self.model.decide_deletes(now, approves, kept);
        let what = if approves { "deletes approved" } else { "deletes rejected" };
        self.seen.count(what, expected.len());
        let decided = decided.into_iter().map(|decided| decided.entity).collect();
        self.check_equal("decided", &expected, &decided);
        self.compare().await;
    }

    async fn pass_time(&mut self) {
        let entities = self.random.some(&self.entities, 6);
        self.log.push(format!("an hour passes for {entities:?}"));
        let before = self.clock().await;
        for entity in &entities {
            let sql = "
                update sync.record set
                    due_on       = case when due_on < 'infinity' then clock_timestamp() - interval '1 hour' else due_on end,
                    lease_until  = case when lease_until is not null then clock_timestamp() - interval '1 hour' end,
                    read_back_on = case when read_back_on is not null then clock_timestamp() - interval '1 hour' end
                where target = 'tagserver' and entity_type = $1 and entity_id = $2";
            let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 2] =
                [&entity.entity_type.name(), &entity.id];
            self.bench.ems.execute(sql, &parameters).await.unwrap();
            let sql = "
                update sync.dead_letter set next_try_on = clock_timestamp() - interval '1 hour'
                where next_try_on is not null and entity_type = $1 and entity_id = $2";
            self.bench.ems.execute(sql, &parameters).await.unwrap();
        }
        let now = self.since(before).await;
        self.model.pass_time(now, &entities);
        self.compare().await;
    }

    async fn change_scope(&mut self) {
        let entity = *self.random.pick(&self.entities);
        if self.model.in_scope.contains_key(&entity) && self.random.percent(60) {
            self.log.push(format!("{entity} goes"));
            self.bench.scope(entity, false).await;
            self.model.in_scope.remove(&entity);
            return;
        }
        let others: Vec<_> = self.entities.iter().copied().filter(|e| *e != entity).collect();
        let mut parents = self.random.some(&others, 2);
        parents.sort_unstable();
        parents.dedup();
        self.log.push(format!("{entity} comes under {parents:?}"));
        self.bench.bring_under(entity, &parents).await;
        self.model.in_scope.insert(entity, parents);
    }

    async fn read_back(&mut self) {
        let at_most = 1 + self.random.below(4);
        self.log.push(format!("read back at most {at_most}"));
        let before = self.clock().await;
        let n = self.bench.store.read_back(Target::TagServer, at_most as i64).await.unwrap();
        let now = self.since(before).await;
        let expected = self.model.read_back(now, at_most);
        self.seen.count("read back", expected as usize);
        self.check_equal("read back", &expected, &n);
        self.compare().await;
    }

    async fn begin_next_cycle(&mut self) {
        self.log.push("the next cycle begins".to_owned());
        let before = self.clock().await;
        let attempts = outcome::POLICY.attempts();
        let begun = self.bench.store.begin_next_cycle(Target::TagServer, attempts).await.unwrap();
        let now = self.since(before).await;
        let expected = self.model.begin_next_cycle(now, attempts);
        self.seen.count("a next cycle", expected.len());
        self.check_equal("begun", &expected, &begun.into_iter().collect());
        self.compare().await;
    }

    async fn due(&mut self) {
        let bulk_too = self.random.percent(50);
        self.log.push(format!("what is due, bulk too: {bulk_too}"));
        let before = self.clock().await;
        let due = self.bench.store.due(Target::TagServer, 1_000, bulk_too).await.unwrap();
        let now = self.since(before).await;
        let due: BTreeSet<_> = due.iter().map(|delivery| delivery.entity_ref()).collect();
        self.check_equal("due", &self.model.due(now, bulk_too), &due);
    }

    async fn clock(&self) -> i64 {
        observed::clock(self.bench).await
    }

    /// The time that an operation took.
    async fn since(&self, before: i64) -> Between {
        Between { low: before, high: self.clock().await }
    }

    fn check_equal<T: PartialEq + std::fmt::Debug>(&self, what: &str, expected: &T, found: &T) {
        if expected != found {
            self.fail(&format!("{what}: expected {expected:#?}, found {found:#?}"));
        }
    }

    /// Compares the records, and goes on from their exact times.
    async fn compare(&mut self) {
        let there = observed::records(self.bench).await;
        let differences = observed::differences(&self.model.records, &there);
        if !differences.is_empty() {
            self.fail(&format!("the records differ: {differences:#?}"));
        }
        let fences = there.values().filter_map(|record| record.fence).map(|fence| fence.low);
        self.model.newest_fence = fences.max().unwrap_or(0).max(self.model.newest_fence);
        self.model.records = there;
        let letters = observed::letters(self.bench).await;
        let are_as_expected = self.model.letters.len() == letters.len()
            && self
                .model
                .letters
                .iter()
                .zip(&letters)
                .all(|((a, expected), (b, found))| a == b && expected.fits(found));
        if !are_as_expected {
            let expected = &self.model.letters;
            self.fail(&format!("dead letters: expected {expected:#?}, found {letters:#?}"));
        }
        // One is open exactly while the record says so.
        let marked = self.model.records.iter().filter(|(_, r)| r.dead_lettered_on.is_some());
        let marked: BTreeSet<EntityRef> = marked.map(|(entity, _)| *entity).collect();
        self.check_equal("marked", &letters.keys().copied().collect(), &marked);
        self.model.letters = letters;
    }

    fn fail(&self, what: &str) -> ! {
        let last = &self.log[self.log.len().saturating_sub(3)..];
        panic!(
            "After {} operations, {what}\nThe last of them: {}",
            self.log.len(),
            last.join("\n")
        );
    }
}

impl Bench {
    /// Brings an entity into the projections, or takes it out.
    async fn scope(&self, entity: EntityRef, comes: bool) {
        if comes {
            self.bring(&[entity]).await;
        } else {
            let EntityRef { entity_type, id } = entity;
            let sql = format!("delete from sync.tagserver_{entity_type} where id = {id}");
            self.ems.batch_execute(&sql).await.unwrap();
        }
    }
}

fn owing(random: &mut Random, entity_type: ems_sync::entity::EntityType) -> Owing {
    let mut ids = random.some(&[1, 2], 2);
    if random.percent(20) {
        ids.push(ids[0]);
    }
    let entities = ids
        .into_iter()
        .map(|id| {
            let trace =
                random.percent(40).then(|| format!("00-{:032x}-{id:016x}-01", random.next()));
            (id, outcome::version(random), trace)
        })
        .collect();
    Owing {
        target: Target::TagServer,
        entity_type,
        entities,
        cause: *random.pick(&Cause::ALL),
        bulk: random.percent(30),
        in_doubt: random.percent(10),
    }
}
