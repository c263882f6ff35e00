//! The relay's wake-up, with the real relay: whoever sleeps is woken by every commit, and nobody has to wait for the
//! fallback. Its leader may die, be stopped or lose its connection.

use std::sync::Arc;
use std::time::Duration;

use ems_sync::process::Role;
use tokio::time::Instant;
use tokio_postgres::Client;

use crate::support::database::connect;
use crate::support::process::signal;
use crate::support::random::Random;
use crate::support::rig::Rig;

const WRITERS: usize = 8;
const ROUNDS: usize = 150;
/// The fallback looks every second, and its second begins when the relay falls asleep, so what is found by it has
/// waited for most of one; what is notified waits for some milliseconds. A wait of half a second is neither.
const NOT_NOTIFIED: Duration = Duration::from_millis(500);
/// A database that does not answer in this time explains a long wait by itself.
const STALL: Duration = Duration::from_millis(200);

/// Who holds the wake-up lock (1: a sleeping relay) or the leader's lock (2), as a condition on `pg_locks`.
fn held(lock: i32) -> String {
    format!(
        "locktype = 'advisory' and classid = 4541779 and objid = {lock} and mode = 'ExclusiveLock' and granted
         and database = (select oid from pg_database where datname = current_database())"
    )
}

async fn falls_asleep(rig: &Rig) {
    rig.until(&format!("select 1 - count(*) from pg_locks where {}", held(1)), "asleep").await;
}

async fn leads(rig: &Rig) -> i64 {
    let leader = held(2);
    rig.until(&format!("select 1 - count(*) from pg_locks where {leader}"), "led").await;
    rig.count(&format!("select pid::bigint from pg_locks where {leader}")).await
}

/// Waits until the outbox is empty, but not for longer than this.
async fn drained_within(rig: &Rig, seconds: u64) {
    let drained = rig.until("select count(*) from sync.outbox", "drained");
    tokio::time::timeout(Duration::from_secs(seconds), drained).await.expect("is drained in time");
}

/// A thousand commits in bursts: each burst meets a relay that sleeps, or one that is about to. After a burst nothing
/// is written until all of it is owed, so nobody else's notification hides a missed one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_commit_wakes_the_relay_and_none_waits_for_the_fallback() {
    let mut random = Random::seeded("every_commit_wakes_the_relay_and_none_waits_for_the_fallback");
    let rig = Rig::new().await;
    rig.exec("insert into ems.person (id, first_name, last_name) overriding system value select n, 'W', 'R' from generate_series(1, 24) n; create table pulse (n int); insert into pulse values (0)").await;
    let running = rig.start(&[Role::Relay]);
    drained_within(&rig, 20).await;
    let mut writers = Vec::new();
    for n in 1..=WRITERS {
        writers.push(Writer::new(&rig, n, &mut random).await);
    }
    let pulse = Pulse::start(&rig);
    let mut waits = Vec::new();
    for round in 0..ROUNDS {
        if round % 3 > 0 {
            falls_asleep(&rig).await;
        }
        let burst = writers.iter_mut().map(|writer| writer.write(round));
        waits.extend(futures_util::future::join_all(burst).await.into_iter().flatten());
    }
    let stalls = pulse.stop().await;
    running.stop().await;
    let missed: Vec<_> = waits.iter().filter(|wait| wait.took() > NOT_NOTIFIED).collect();
    let unexplained = missed.iter().filter(|wait| !stalls.iter().any(|s| s.overlaps(wait))).count();
    let longest = waits.iter().map(Span::took).max().unwrap();
    eprintln!("{} changes, longest wait {longest:?}, {} long", waits.len(), missed.len());
    assert!(waits.len() > WRITERS * ROUNDS * 3 / 4, "{} changes", waits.len());
    assert_eq!(unexplained, 0, "{unexplained} changes were found by the fallback only");
    assert!(
        missed.len() * 100 <= waits.len(),
        "the machine stalls too often for this to prove anything"
    );
    let owed = "select count(*) from ems.person p where not exists
        (select from sync.record r where r.entity_id = p.id and r.last_owed_on >= p.modified_on)";
    assert_eq!(rig.count(owed).await, 0, "what left the outbox is owed");
}

/// From when to when.
#[derive(Debug)]
struct Span {
    from: Instant,
    until: Instant,
}

impl Span {
    fn since(from: Instant) -> Self {
        Self { from, until: Instant::now() }
    }

    fn took(&self) -> Duration {
        self.until - self.from
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.from < other.until && other.from < self.until
    }
}

/// Commits that have nothing to do with the relay, to see when the machine or its disk stands still.
struct Pulse {
    stop: Arc<tokio::sync::Notify>,
    task: tokio::task::JoinHandle<Vec<Span>>,
}

impl Pulse {
    fn start(rig: &Rig) -> Self {
        let (stop, url) = (Arc::new(tokio::sync::Notify::new()), rig.url.clone());
        let stopped = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let client = connect(&url).await;
            let mut stalls = Vec::new();
            loop {
                let began = Instant::now();
                let stopped = tokio::time::timeout(Duration::from_millis(10), stopped.notified());
                if stopped.await.is_ok() {
                    return stalls;
                }
                client.batch_execute("update pulse set n = n + 1").await.unwrap();
                let span = Span::since(began);
                if span.took() > STALL {
                    stalls.push(span);
                }
            }
        });
        Self { stop, task }
    }

    async fn stop(self) -> Vec<Span> {
        self.stop.notify_one();
        self.task.await.unwrap()
    }
}

/// A connection of the EMS with three persons that nobody else writes.
struct Writer {
    ems: Client,
    persons: [usize; 3],
    random: Random,
}

impl Writer {
    async fn new(rig: &Rig, n: usize, random: &mut Random) -> Self {
        let first = (n - 1) * 3 + 1;
        let persons = [first, first + 1, first + 2];
        Self { ems: connect(&rig.url).await, persons, random: random.fork() }
    }

    /// One transaction; how long its changes waited in the outbox after its commit, if it committed any.
    async fn write(&mut self, round: usize) -> Option<Span> {
        self.pause(8).await;
        let [first, second, third] = self
            .persons
            .map(|id| format!("update ems.person set city = 'r{round}' where id = {id}"));
        let kind = self.random.below(7);
        match kind {
            0 | 1 => self.run(&first).await,
            2 => {
                self.run(&format!("begin; {first}")).await;
                self.pause(4).await;
                self.run(&format!("{second}; {third}")).await;
                self.run("commit").await;
            }
            3 => {
                // The savepoint's share of the lock, or its notification, is taken back with it.
                self.run(&format!("begin; savepoint s; {first}; rollback to savepoint s")).await;
                self.pause(4).await;
                self.run(&second).await;
                self.run("commit").await;
            }
            4 => {
                self.run(&format!("begin; {first}")).await;
                self.pause(4).await;
                self.run(&format!("savepoint s; {second}; rollback to savepoint s")).await;
                self.run("commit").await;
            }
            5 => {
                self.run(&format!("begin; savepoint s; {first}; release savepoint s")).await;
                self.pause(4).await;
                self.run("commit").await;
            }
            _ => {
                self.run(&format!("begin; {first}")).await;
                self.pause(4).await;
                self.run("rollback").await;
                return None;
            }
        }
        let committed = Instant::now();
        let ids = self.persons.map(|id| id.to_string()).join(", ");
        let sql = format!(
            "select count(*) from sync.outbox where entity_type = 'person' and entity_id in ({ids})"
        );
        while self.ems.query_one(&sql, &[]).await.unwrap().get::<_, i64>(0) > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Some(Span::since(committed))
    }

    async fn run(&self, sql: &str) {
        self.ems.batch_execute(sql).await.unwrap();
    }

    /// Moves this writer against the others and the relay: jitter, nothing is waited for.
    async fn pause(&mut self, at_most_ms: usize) {
        let micros = self.random.below(at_most_ms * 1_000) as u64;
        tokio::time::sleep(Duration::from_micros(micros)).await;
    }
}

/// A transaction that takes its place in the outbox first and commits last is not overlooked: whether the relay
/// slept at its change (so that it notifies) or was awake (so that it keeps the relay from falling asleep).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_commit_with_a_low_id_is_drained() {
    let rig = Rig::new().await;
    rig.exec("insert into ems.person (first_name, last_name) values ('Early', 'Bird'), ('Late', 'Riser')").await;
    let running = rig.start(&[Role::Relay]);
    drained_within(&rig, 20).await;
    for relay_sleeps in [true, false] {
        let late = connect(&rig.url).await;
        let awake = connect(&rig.url).await;
        falls_asleep(&rig).await;
        if !relay_sleeps {
            // Waits until the relay wakes by its fallback, and keeps it awake.
            awake
                .batch_execute("begin; select pg_advisory_xact_lock_shared(4541779, 1)")
                .await
                .unwrap();
        }
        late.batch_execute(
            "begin; update ems.person set city = city || 'x' where first_name = 'Late'",
        )
        .await
        .unwrap();
        awake.batch_execute("commit").await.unwrap();
        for n in 0..3 {
            let sql = format!(
                "update ems.person set city = '{relay_sleeps} {n}' where first_name = 'Early'"
            );
            rig.exec(&sql).await;
            drained_within(&rig, 20).await;
        }
        let owed = "select coalesce(sum(owed_gen), 0)::bigint from sync.record r join ems.person p on p.id = r.entity_id
                    where p.first_name = 'Late'";
        let before = rig.count(owed).await;
        late.batch_execute("update ems.person set city = 'y' where first_name = 'Late'; commit")
            .await
            .unwrap();
        drained_within(&rig, 20).await;
        assert!(
            rig.count(owed).await > before,
            "the late change is owed (relay slept: {relay_sleeps})"
        );
    }
    running.stop().await;
}

/// Two processes with a relay: the first leads, the second stands by.
async fn two_relays(rig: &Rig) -> (tokio::process::Child, tokio::process::Child, i64) {
    let leader = rig.spawn(&["run", "--roles", "relay"]);
    let backend = leads(rig).await;
    let standby = rig.spawn(&["run", "--roles", "relay"]);
    rig.until(
        "select greatest(0, 2 - count(*)) from pg_stat_activity
         where datname = current_database() and application_name like 'ems-sync%' and query like '%pg_%advisory%lock%'",
        "standing by",
    )
    .await;
    falls_asleep(rig).await;
    (leader, standby, backend)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_takes_over_when_the_leader_is_killed() {
    let rig = Rig::new().await;
    rig.exec("insert into ems.person (first_name, last_name) values ('A', 'B')").await;
    let (mut leader, mut standby, backend) = two_relays(&rig).await;
    leader.kill().await.unwrap();
    rig.exec("update ems.person set city = 'Durban'").await;
    drained_within(&rig, 20).await;
    let others =
        format!("select 1 - count(*) from pg_locks where {} and pid <> {backend}", held(2));
    rig.until(&others, "led by the standby").await;
    // And it has become a leader that is woken, not one that polls.
    falls_asleep(&rig).await;
    rig.exec("update ems.person set city = 'Tshwane'").await;
    drained_within(&rig, 20).await;
    standby.kill().await.unwrap();
}

/// A stopped process keeps its connections and its locks: only the age of the rows tells.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_drains_what_grows_old_while_the_leader_is_stopped() {
    let rig = Rig::new().await;
    rig.exec("insert into ems.person (first_name, last_name) values ('A', 'B')").await;
    let (mut leader, mut standby, backend) = two_relays(&rig).await;
    signal(&leader, "STOP").await;
    for city in ["Durban", "Tshwane"] {
        rig.exec(&format!("update ems.person set city = '{city}'")).await;
        drained_within(&rig, 20).await;
        assert_eq!(leads(&rig).await, backend, "the zombie still holds its lock");
    }
    signal(&leader, "CONT").await;
    standby.kill().await.unwrap();
    rig.exec("update ems.person set city = 'Polokwane'").await;
    drained_within(&rig, 20).await;
    assert_eq!(leads(&rig).await, backend, "the leader goes on where it was");
    leader.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_still_flow_when_the_listeners_connection_is_killed() {
    let rig = Rig::new().await;
    rig.exec("insert into ems.person (first_name, last_name) values ('A', 'B')").await;
    let running = rig.start(&[Role::Relay]);
    drained_within(&rig, 20).await;
    for n in 0..6 {
        let backend = leads(&rig).await;
        if n % 2 == 0 {
            falls_asleep(&rig).await;
        }
        rig.exec(&format!("select pg_terminate_backend({backend}, 5000)")).await;
        rig.exec(&format!("update ems.person set city = 'n{n}'")).await;
        drained_within(&rig, 20).await;
        assert_ne!(leads(&rig).await, backend, "a new connection leads");
    }
    running.stop().await;
}
