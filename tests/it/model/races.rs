//! Two or more at the same moment: barriers bring them there, and a random fraction of a millisecond moves them
//! against each other.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ems_sync::deliver::record::{Claim, Finish, WaitFor};
use ems_sync::delivery::Cause;
use ems_sync::entity::{EntityRef, EntityType};
use ems_sync::route::Owing;
use ems_sync::store::{FinishReport, Store};
use ems_sync::target::Target;
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use tokio::sync::Barrier;
use tokio_postgres::Client;
use uuid::Uuid;

use super::{Bench, TYPES, outcome};
use crate::support::database;
use crate::support::random::Random;

const LEASE: Duration = Duration::from_secs(600);
const READ_BACK: Duration = Duration::from_secs(90);

/// One consumer process.
#[derive(Clone)]
struct Consumer {
    store: Store,
    owner: Uuid,
}

impl Consumer {
    fn new(bench: &Bench) -> Self {
        Self { store: bench.another_store(), owner: Uuid::new_v4() }
    }

    async fn owe(&self, entities: &[EntityRef]) {
        let mut owings: BTreeMap<EntityType, Owing> = BTreeMap::new();
        for entity in entities {
            let owing = owings.entry(entity.entity_type).or_insert_with(|| Owing {
                target: Target::TagServer,
                entity_type: entity.entity_type,
                entities: Vec::new(),
                cause: Cause::Change,
                bulk: false,
                in_doubt: false,
            });
            owing.entities.push((entity.id, Timestamp::now(), None));
        }
        self.store.owe(owings.into_values().collect()).await.unwrap();
    }

    async fn claim(&self, entities: &[EntityRef]) -> Vec<Claim> {
        self.store.claim(Target::TagServer, self.owner, LEASE, entities).await.unwrap()
    }

    async fn finish(&self, finishes: &[Finish]) -> FinishReport {
        self.store.finish(Target::TagServer, self.owner, READ_BACK, finishes).await.unwrap()
    }

    /// Owes and claims: what comes back is all of it.
    async fn have(&self, entities: &[EntityRef]) -> Vec<Claim> {
        self.owe(entities).await;
        let claims = self.claim(entities).await;
        assert_eq!(claims.len(), entities.len());
        claims
    }
}

/// All parties, then each a random moment later.
async fn together(barrier: &Barrier, mut random: Random) {
    barrier.wait().await;
    for _ in 0..random.below(60) {
        tokio::task::yield_now().await;
    }
}

fn entities(entity_type: EntityType, ids: std::ops::Range<i64>) -> Vec<EntityRef> {
    ids.map(|id| EntityRef::new(entity_type, id)).collect()
}

fn held(claims: &[Claim]) -> Vec<Finish> {
    claims.iter().map(|claim| outcome::held(claim, "r1", &[], Timestamp::now())).collect()
}

fn set(claims: &[Claim]) -> BTreeSet<EntityRef> {
    claims.iter().map(|claim| claim.entity).collect()
}

impl Bench {
    async fn count(&self, sql: &str) -> i64 {
        self.ems.query_one(sql, &[]).await.unwrap().get(0)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_claims_of_the_same_records_exactly_one_wins_each() {
    let mut random = Random::seeded("of_two_claims_of_the_same_records_exactly_one_wins_each");
    let bench = Bench::new().await;
    let (one, other) = (Consumer::new(&bench), Consumer::new(&bench));
    let all = entities(EntityType::Event, 1..21);
    bench.bring(&all).await;
    let barrier = Barrier::new(2);
    let (mut of_one, mut of_other) = (0, 0);
    for _ in 0..100 {
        one.owe(&all).await;
        let (forth, back) = (random.some(&all, 20), random.some(&all, 20));
        let (first, second) = (random.fork(), random.fork());
        let (a, b) = tokio::join!(
            async {
                together(&barrier, first).await;
                one.claim(&forth).await
            },
            async {
                together(&barrier, second).await;
                other.claim(&back).await
            },
        );
        let (won, lost) = (set(&a), set(&b));
        assert!(won.is_disjoint(&lost), "both have {:?}", won.intersection(&lost));
        let wanted: BTreeSet<_> = forth.into_iter().chain(back).collect();
        assert_eq!(won.union(&lost).copied().collect::<BTreeSet<_>>(), wanted, "somebody has each");
        let fences: BTreeSet<_> = a.iter().chain(&b).map(|claim| claim.fence).collect();
        assert_eq!(fences.len(), wanted.len());
        (of_one, of_other) = (of_one + a.len(), of_other + b.len());
        assert!(one.finish(&held(&a)).await.fenced.is_empty());
        assert!(other.finish(&held(&b)).await.fenced.is_empty());
    }
    assert!(of_one > 0 && of_other > 0, "it was no race: {of_one} to {of_other}");
}

/// A change that comes while a record is claimed, or while its lease ends, is done or known to be left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_meets_a_claim_or_a_finish_is_never_lost() {
    let mut random = Random::seeded("a_change_that_meets_a_claim_or_a_finish_is_never_lost");
    let bench = Bench::new().await;
    let (relay, consumer) = (Consumer::new(&bench), Consumer::new(&bench));
    let all = entities(EntityType::Event, 1..11);
    bench.bring(&all).await;
    let barrier = Barrier::new(2);
    let (mut seen, mut moved) = (0, 0);
    for round in 0..100 {
        relay.owe(&all).await;
        let (first, second) = (random.fork(), random.fork());
        let meets_the_claim = round % 2 == 0;
        let meeting = together(&barrier, first);
        let (claims, report) = tokio::join!(
            async {
                let claims = if meets_the_claim {
                    meeting.await;
                    consumer.claim(&all).await
                } else {
                    let claims = consumer.claim(&all).await;
                    meeting.await;
                    claims
                };
                let report = consumer.finish(&held(&claims)).await;
                (claims, report)
            },
            async {
                together(&barrier, second).await;
                relay.owe(&all).await;
            },
        )
        .0;
        assert_eq!(claims.len(), all.len(), "each was owed before");
        let newest = bench.count("select min(owed_gen) from sync.record").await;
        assert_eq!(bench.count("select max(owed_gen) from sync.record").await, newest);
        let due = bench.due().await;
        for claim in &claims {
            let is_again = report.again.contains(&claim.entity);
            let is_told = is_again || claim.owed_gen == newest || due.contains(&claim.entity);
            assert!(is_told, "{} owes {newest}, and nobody knows", claim.entity);
            (seen, moved) = (seen + usize::from(!is_again), moved + usize::from(is_again));
        }
        let left = consumer.claim(&all).await;
        assert!(left.iter().all(|claim| claim.owed_gen == newest));
        consumer.finish(&held(&left)).await;
        assert_eq!(
            bench.count("select count(*) from sync.record where owed_gen > done_gen").await,
            0
        );
    }
    assert!(seen > 0 && moved > 0, "it was no race: seen {seen}, moved {moved}");
}

impl Bench {
    async fn due(&self) -> BTreeSet<EntityRef> {
        let due = self.store.due(Target::TagServer, 10_000, true).await.unwrap();
        due.iter().map(|delivery| delivery.entity_ref()).collect()
    }
}

/// Two hundred times children begin to wait for a parent at the moment that the parent comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_that_begins_to_wait_while_its_parent_comes_is_not_left_asleep() {
    let mut meeting =
        Meeting::new("a_child_that_begins_to_wait_while_its_parent_comes_is_not_left_asleep").await;
    let parent = EntityRef::new(EntityType::Organisation, 1);
    let children = entities(EntityType::Event, 1..11);
    for _ in 0..200 {
        let comes = |claim: &Claim| outcome::held(claim, "r1", &[], Timestamp::now());
        meeting.meet(parent, comes, &children, WaitFor::Parent(parent)).await;
    }
    meeting.was_a_race();
}

/// Two hundred times records begin to wait for their older sibling at the moment that it is done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_begins_to_wait_while_its_sibling_ends_is_not_left_asleep() {
    let mut meeting =
        Meeting::new("a_record_that_begins_to_wait_while_its_sibling_ends_is_not_left_asleep")
            .await;
    let older = EntityRef::new(EntityType::Event, 1);
    let younger = entities(EntityType::Event, 2..12);
    for _ in 0..200 {
        let ends = |claim: &Claim| outcome::held(claim, "r1", &[], Timestamp::now());
        meeting.meet(older, ends, &younger, WaitFor::Sibling(older)).await;
    }
    meeting.was_a_race();
}

/// Two hundred times parents that must go begin to wait for their child at the moment that it goes, or moves away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parent_that_begins_to_wait_while_its_child_leaves_is_not_left_asleep() {
    let mut meeting =
        Meeting::new("a_parent_that_begins_to_wait_while_its_child_leaves_is_not_left_asleep")
            .await;
    let parents = entities(EntityType::Organisation, 1..11);
    let child = EntityRef::new(EntityType::Event, 1);
    for round in 0..200 {
        meeting.bench.bring(&[child]).await;
        let claims = meeting.one.have(&[child]).await;
        let names_them = outcome::held(&claims[0], "r1", &parents, Timestamp::now());
        meeting.one.finish(&[names_them]).await;
        let leaves = |claim: &Claim| match round % 2 {
            0 => outcome::gone(claim, Timestamp::now()),
            _ => outcome::held(claim, "r1", &[], Timestamp::now()),
        };
        meeting.meet(child, leaves, &parents, WaitFor::Child(child)).await;
    }
    meeting.was_a_race();
}

/// Two consumers: one finishes what the other begins to wait for.
struct Meeting {
    bench: Bench,
    random: Random,
    one: Consumer,
    other: Consumer,
    woken: usize,
    not_even_asleep: usize,
}

impl Meeting {
    async fn new(test: &str) -> Self {
        let random = Random::seeded(test);
        let bench = Bench::new().await;
        let (one, other) = (Consumer::new(&bench), Consumer::new(&bench));
        Self { bench, random, one, other, woken: 0, not_even_asleep: 0 }
    }

    /// At the same moment `awaited` is finished and the waiters begin to wait for it.
    async fn meet(
        &mut self,
        awaited: EntityRef,
        comes: impl Fn(&Claim) -> Finish,
        waiters: &[EntityRef],
        wait: WaitFor,
    ) {
        self.bench.bring(&[awaited]).await;
        self.bench.bring(waiters).await;
        let of_awaited: Vec<_> = self.one.have(&[awaited]).await.iter().map(comes).collect();
        let claims = self.other.have(waiters).await;
        let of_waiters: Vec<_> = claims.iter().map(|claim| outcome::waits(claim, wait)).collect();
        let barrier = Barrier::new(2);
        let (first, second) = (self.random.fork(), self.random.fork());
        let (awaited, waiting) = tokio::join!(
            async {
                together(&barrier, first).await;
                self.one.finish(&of_awaited).await
            },
            async {
                together(&barrier, second).await;
                self.other.finish(&of_waiters).await
            },
        );
        assert!(awaited.fenced.is_empty() && waiting.fenced.is_empty());
        let asleep = "select count(*) from sync.record where state = 'waiting'";
        let asleep = self.bench.count(asleep).await;
        assert_eq!(asleep, 0, "{asleep} wait for what has come: {awaited:?} {waiting:?}");
        let due = self.bench.due().await;
        for waiter in waiters {
            // One of the two is told, so that it publishes or goes again.
            let (woken, again) = (awaited.due.contains(waiter), waiting.again.contains(waiter));
            assert!(woken || again, "nobody was told of {waiter}");
            assert!(due.contains(waiter));
            self.woken += usize::from(woken);
            self.not_even_asleep += usize::from(again);
        }
        self.bench.ems.batch_execute("delete from sync.record").await.unwrap();
    }

    fn was_a_race(&self) {
        let (woken, not_even_asleep) = (self.woken, self.not_even_asleep);
        eprintln!("{woken} were woken, {not_even_asleep} were not even asleep");
        assert!(woken > 0 && not_even_asleep > 0, "it was no race");
    }
}

/// A zombie's finish changes nothing, and says that the remote must be looked at again: whether its successor has
/// finished by then or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loser_of_its_lease_writes_nothing_but_a_read_back() {
    let bench = Bench::new().await;
    let (zombie, heir) = (Consumer::new(&bench), Consumer::new(&bench));
    let all = entities(EntityType::Event, 1..3);
    bench.bring(&all).await;
    let believed = zombie.have(&all).await;
    bench
        .ems
        .batch_execute("update sync.record set due_on = now() - interval '1 s', lease_until = now() - interval '1 s'")
        .await
        .unwrap();
    let claims = heir.claim(&all).await;
    assert!(claims.iter().all(|claim| claim.taken_over && claim.in_doubt));
    assert!(claims.iter().zip(&believed).all(|(heir, zombie)| heir.fence > zombie.fence));
    heir.finish(&held(&claims[..1])).await;
    // The first has been finished by the heir, the second is still pushed.
    let columns = "
        select jsonb_agg(to_jsonb(r) - array['read_back_on', 'read_back_step', 'in_doubt', 'doubts', 'sent_on'] order by entity_id)
        from sync.record r";
    let before: serde_json::Value = bench.ems.query_one(columns, &[]).await.unwrap().get(0);
    let late: Vec<_> = believed
        .iter()
        .map(|claim| outcome::held(claim, "zombie", &[], Timestamp::now()))
        .collect();
    let report = zombie.finish(&late).await;
    assert_eq!(report.fenced.iter().copied().collect::<BTreeSet<_>>(), set(&believed));
    let after: serde_json::Value = bench.ems.query_one(columns, &[]).await.unwrap().get(0);
    assert_eq!(before, after);
    let looked_at = "select count(*) from sync.record where in_doubt and read_back_on is not null and read_back_step = 0 and sent_on is not null";
    assert_eq!(bench.count(looked_at).await, 2);
    // The heir's success does not prove that the zombie's request has not landed after it.
    heir.finish(&held(&claims[1..])).await;
    assert_eq!(bench.count("select count(*) from sync.record where read_back_on is null").await, 0);
}

/// The two reads of a decision are not one moment, so it may happen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entity_may_be_waited_for_as_a_parent_and_as_a_child_at_once() {
    let bench = Bench::new().await;
    let consumer = Consumer::new(&bench);
    let ours = [EntityRef::new(EntityType::Organisation, 1), EntityRef::new(EntityType::Race, 1)];
    let both = EntityRef::new(EntityType::Event, 1);
    bench.bring(&ours).await;
    let claims = consumer.have(&ours).await;
    let waits = [WaitFor::Child(both), WaitFor::Parent(both)];
    let finishes: Vec<_> =
        claims.iter().zip(waits).map(|(claim, wait)| outcome::waits(claim, wait)).collect();
    let report = consumer.finish(&finishes).await;
    assert_eq!(report.due, [both], "it is owed, once");
    assert_eq!(bench.count("select count(*) from sync.record where state = 'waiting'").await, 2);
}

/// Eight processes on the same few records, in any order: no error, no record held by two, and nothing left behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_processes_on_the_same_records_neither_fail_nor_leave_anything_behind() {
    let mut random = Random::seeded(
        "eight_processes_on_the_same_records_neither_fail_nor_leave_anything_behind",
    );
    let bench = Bench::new().await;
    let all: Vec<_> = TYPES.into_iter().flat_map(|of| entities(of, 1..9)).collect();
    bench.bring(&all).await;
    let holders = Arc::new(Mutex::new(HashMap::new()));
    let barrier = Arc::new(Barrier::new(8));
    let mut processes = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let consumer = Consumer::new(&bench);
        let (mut random, all, holders) = (random.fork(), all.clone(), Arc::clone(&holders));
        let barrier = Arc::clone(&barrier);
        let ems = database::connect(bench.url.expose_secret()).await;
        processes.spawn(async move {
            let mut claimed = 0;
            for _ in 0..100 {
                barrier.wait().await;
                if random.percent(40) {
                    consumer.owe(&random.some(&all, 12)).await;
                }
                if random.percent(20) {
                    pass_time(&ems).await;
                }
                claimed += work(&consumer, &mut random, &all, &holders).await;
            }
            claimed
        });
    }
    let claimed: usize = processes.join_all().await.into_iter().sum();
    let deadlocks = bench
        .count("select deadlocks from pg_stat_database where datname = current_database()")
        .await;
    eprintln!("{claimed} claims, {deadlocks} deadlocks");
    assert!(claimed > 1_000, "hardly any work: {claimed} claims");
    // Everybody locks in key order. What becomes a child or begins to wait between the first statement of a finish
    // and its last is locked late, so a deadlock is possible, and is tried again: but it is rare.
    assert!(deadlocks <= 8, "{deadlocks} deadlocks");
    assert_eq!(
        bench.count("select count(*) from sync.record where lease_owner is not null").await,
        0
    );
    drain(&bench, &all).await;
}

/// What is tried later is tried now; leases run on.
async fn pass_time(ems: &Client) {
    let sql = "
        with later as (
            select entity_type, entity_id from sync.record
            where lease_owner is null and due_on > clock_timestamp()
            order by entity_type, entity_id
            for update skip locked
        )
        update sync.record r set due_on = clock_timestamp() from later
        where r.entity_type = later.entity_type and r.entity_id = later.entity_id";
    ems.execute(sql, &[]).await.unwrap();
}

/// Claims some, and finishes them in any way; how many it had.
async fn work(
    consumer: &Consumer,
    random: &mut Random,
    all: &[EntityRef],
    holders: &Mutex<HashMap<EntityRef, Uuid>>,
) -> usize {
    let claims = consumer.claim(&random.some(all, 12)).await;
    for claim in &claims {
        let other = holders.lock().unwrap().insert(claim.entity, consumer.owner);
        assert_eq!(other, None, "{} is held by two", claim.entity);
    }
    tokio::task::yield_now().await;
    let now = Timestamp::now();
    let finishes: Vec<_> = claims
        .iter()
        .map(|claim| {
            let others: Vec<_> =
                all.iter().copied().filter(|entity| *entity != claim.entity).collect();
            match random.below(4) {
                0 => outcome::not_sent(claim, now),
                1 => outcome::held(
                    claim,
                    &format!("r{}", random.below(3)),
                    &random.some(&others, 2),
                    now,
                ),
                _ => outcome::any(random, claim, &others, now),
            }
        })
        .collect();
    for claim in &claims {
        holders.lock().unwrap().remove(&claim.entity);
    }
    let report = consumer.finish(&finishes).await;
    assert!(report.fenced.is_empty(), "no lease has run out");
    claims.len()
}

/// Time passes, one process is left, and the remote takes everything.
async fn drain(bench: &Bench, all: &[EntityRef]) {
    let consumer = Consumer::new(bench);
    let owed = "select count(*) from sync.record where owed_gen > done_gen";
    for _ in 0..10 {
        bench.ems.batch_execute("update sync.record set due_on = now()").await.unwrap();
        let claims = consumer.claim(all).await;
        consumer.finish(&held(&claims)).await;
        if bench.count(owed).await == 0 {
            let rest = "select count(*) from sync.record where state not in ('synced', 'skipped') or lease_owner is not null or waiting_on is not null";
            assert_eq!(bench.count(rest).await, 0);
            return;
        }
    }
    panic!("Something owes for ever");
}
