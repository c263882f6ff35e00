//! Processes that are killed, stopped and told to end at the worst moments: nothing is lost, nothing is there twice,
//! and whoever is told to end hands back what it has not begun.

use std::collections::BTreeSet;
use std::time::Duration;

use ems_sync::broker::{Broker, Outgoing, Publisher, Queue};
use ems_sync::delivery::{Cause, Delivery};
use ems_sync::entity::{EntityRef, EntityType};
use ems_sync::limits::CONCURRENCY_DEFAULT;
use ems_sync::target::Target;
use ems_sync_remotes::tagserver::{Bulk, Resource, TagServerOptions, TagServerSettings};
use ems_sync_remotes::{Fault, Operation, Rule};
use jiff::Timestamp;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use secrecy::SecretString;

use crate::support::ems;
use crate::support::parity::{self, assert_in_sync};
use crate::support::process::{ends_within, signal};
use crate::support::random::Random;
use crate::support::rig::{PATIENCE, Rig};

const ALL: [&str; 3] = ["run", "--roles", "relay,consume,sweep"];
const RELAYS_AND_CONSUMES: [&str; 3] = ["run", "--roles", "relay,consume"];
const KILLS: i64 = 15;
/// The deadline of a graceful stop, and a little for a slow machine.
const STOPS_WITHIN_SECONDS: u64 = 30;

const LEASED: &str =
    "select count(*) from sync.record where lease_owner is not null or state = 'leased'";
const OWED: &str = "select count(*) from sync.record where owed_gen > done_gen";

/// What hangs fails.
async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("comes to pass")
}

/// Waits until the remote has seen that many requests more, or has nothing more to see.
async fn requests(rig: &Rig, more: u64) {
    let until = rig.sim.counters().requests + more;
    let seen = rig.sim.wait_until(|progress, _| progress.started >= until);
    tokio::time::timeout(Duration::from_secs(5), seen).await.ok();
}

/// Waits until the outbox is empty, and says so at once.
async fn relayed(rig: &Rig) {
    let mut pace = tokio::time::interval(Duration::from_millis(1));
    while rig.count("select count(*) from sync.outbox").await > 0 {
        pace.tick().await;
    }
}

/// The leases of the dead run out. A lease outlives every request and every statement of its holder, so the remote and
/// the database come to rest first.
async fn leases_run_out(rig: &Rig) {
    in_time(rig.sim.wait_until(|progress, _| progress.started == progress.finished)).await;
    rig.until(
        "select count(*) from pg_stat_activity
         where datname = current_database() and application_name = 'ems-sync run'",
        "disconnected",
    )
    .await;
    rig.exec(
        "update sync.record set due_on = clock_timestamp(), lease_until = clock_timestamp()
         where lease_owner is not null;
         delete from sync.budget_share",
    )
    .await;
}

/// No two records of a resource carry the same EMS id.
fn assert_each_once(rig: &Rig) {
    for resource in Resource::ALL {
        let rows = rig.sim.rows(resource);
        let ids: BTreeSet<_> = rows.iter().map(|row| row.external_id.clone()).collect();
        assert_eq!(ids.len(), rows.len(), "{} has an externalId twice", resource.segment());
    }
}

/// The queue of deliveries, as the broker sees it.
async fn outbound(rig: &Rig) -> lapin::Queue {
    let connection =
        Connection::connect(&rig.services.amqp_url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let queue = Queue::outbound(Target::TagServer).name(&rig.prefix);
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(queue.into(), options, FieldTable::default()).await.unwrap()
}

/// One process, killed while it works and begun anew, again and again, under changes. No sweep finds what it lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_killed_again_and_again_loses_nothing_and_creates_nothing_twice() {
    let mut random = Random::seeded(
        "a_process_that_is_killed_again_and_again_loses_nothing_and_creates_nothing_twice",
    );
    let mut rig = Rig::new().await;
    rig.set("TARGETS__TAGSERVER__TIMEOUT", "1s");
    rig.set("TARGETS__TAGSERVER__SETTLE", "100ms");
    rig.sim.set_latency(Duration::from_millis(10));
    ems::populate(&rig.ems, 300).await;
    let (mut hit, mut left) = (0, 0);
    for kill in 1..=KILLS {
        let mut process = rig.spawn(&RELAYS_AND_CONSUMES);
        if kill % 3 == 0 {
            ems::change(&rig.ems, kill / 3).await;
            // The moment in which the outbox has been emptied.
            in_time(relayed(&rig)).await;
        } else {
            requests(&rig, random.below(30) as u64).await;
            // A random moment of the claim, the push or the finish that follow.
            tokio::time::sleep(Duration::from_millis(random.below(25) as u64)).await;
        }
        process.kill().await.unwrap();
        let leases = rig.count(LEASED).await;
        (hit, left) = (hit + usize::from(leases > 0), left + leases);
        if random.percent(60) {
            leases_run_out(&rig).await;
        }
    }
    eprintln!("{hit} of {KILLS} kills left leases behind, {left} in all");
    assert!(hit >= 5, "hardly a kill met work: {hit}");
    leases_run_out(&rig).await;
    let mut process = rig.spawn(&RELAYS_AND_CONSUMES);
    rig.settled().await;
    rig.store.begin_next_cycle(Target::TagServer, 4).await.unwrap();
    rig.until(OWED, "done").await;
    let differences = parity::differences(&rig).await;
    assert!(differences.is_empty(), "{differences:#?}");
    // A child whose create's answer died with a process is not known to be there, so its parent may be deleted before
    // it. The remote refuses that, and the parent is tried again, when its retries are used up by the next sweep.
    let mut violations = rig.sim.violations();
    violations.retain(|violation| violation.code != "deletes_parent_first");
    assert!(violations.is_empty(), "{violations:#?}");
    assert_each_once(&rig);
    let overlaps = rig.sim.overlaps();
    assert!(overlaps.iter().all(|overlap| overlap.abandoned), "{overlaps:#?}");
    // A look back at an ambiguous write may have become due just now.
    rig.until(LEASED, "free of leases").await;
    process.kill().await.unwrap();
}

/// The remote has created the record and the answer is on its way when the process dies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_whose_process_died_before_its_answer_is_adopted() {
    let rig = Rig::new().await;
    rig.sim.faults().push(Rule::new(Fault::CommitThenHang { ms: None }).resource(Resource::Person));
    let mut process = rig.spawn(&ALL);
    rig.exec("insert into ems.person (first_name, last_name) values ('Once', 'Only')").await;
    in_time(rig.sim.wait_for(|| !rig.sim.rows(Resource::Person).is_empty())).await;
    process.kill().await.unwrap();
    rig.sim.faults().clear();
    let before = "select count(*) from sync.record where in_doubt and intent_on is not null and remote_id is null";
    assert_eq!(rig.count(before).await, 1, "the intent was committed before the request was sent");
    leases_run_out(&rig).await;
    let mut process = rig.spawn(&ALL);
    rig.settled().await;
    assert_in_sync(&rig).await;
    assert_eq!(rig.sim.rows(Resource::Person).len(), 1);
    assert_eq!(rig.writes_applied(), 1, "it was found, not written again");
    process.kill().await.unwrap();
}

/// A consumer is stopped with its request under way, another takes over its lease and pushes newer content; then the old
/// request is applied after all, and the zombie wakes up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zombies_late_request_is_noticed_and_put_right() {
    let mut rig = Rig::new().await;
    rig.set("TARGETS__TAGSERVER__TIMEOUT", "20s");
    let mut zombie = rig.spawn(&ALL);
    rig.exec("insert into ems.person (first_name, last_name) values ('Z', 'one')").await;
    rig.until("select 1 - count(*) from sync.record where state = 'synced'", "pushed").await;
    let person = EntityRef::new(EntityType::Person, rig.count("select id from ems.person").await);
    rig.sim.faults().push(Rule::new(Fault::delay(Duration::from_secs(8))).writes());
    rig.exec("update ems.person set last_name = 'two'").await;
    in_time(rig.sim.wait_until(|progress, _| progress.started > progress.finished)).await;
    signal(&zombie, "STOP").await;
    // Owed already: the outbox would only add one more generation, seconds later.
    rig.exec(
        "update ems.person set last_name = 'three';
         delete from sync.outbox;
         update sync.record set due_on = clock_timestamp(), lease_until = clock_timestamp()",
    )
    .await;
    let mut heir = rig.spawn(&ALL);
    in_time(consumers(&rig, 2)).await;
    // Some go to the zombie, which sits on them; the heir gets the others.
    tell(&rig, person, 4).await;
    rig.until("select 1 - count(*) from sync.record where state = 'synced'", "taken over").await;
    let name = || rig.sim.rows(Resource::Person)[0].body["lastName"].clone();
    assert_eq!(name(), "three");
    in_time(rig.sim.wait_for(|| name() == "two")).await;
    signal(&zombie, "CONT").await;
    rig.until("select count(*) from sync.record where not in_doubt", "doubted by the loser").await;
    zombie.kill().await.unwrap();
    heir.kill().await.unwrap();
    // The read-back is due after the longest time that a request may be under way.
    rig.exec("update sync.record set read_back_on = clock_timestamp()").await;
    let mut last = rig.spawn(&ALL);
    in_time(rig.sim.wait_for(|| name() == "three")).await;
    rig.settled().await;
    assert_in_sync(&rig).await;
    last.kill().await.unwrap();
}

/// Waits until so many consumers take from the queue.
async fn consumers(rig: &Rig, n: u32) {
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    while outbound(rig).await.consumer_count() != n {
        pace.tick().await;
    }
}

/// Publishes deliveries of one entity.
async fn tell(rig: &Rig, entity: EntityRef, times: usize) {
    let broker = Broker::new(SecretString::from(rig.services.amqp_url.clone()), rig.prefix.clone());
    let delivery = Delivery::new(Target::TagServer, entity, Cause::Change, Timestamp::now());
    let queue = Queue::outbound(Target::TagServer);
    let messages = vec![Outgoing { queue, delivery }; times];
    Publisher::new(broker, "test").publish(&messages).await.unwrap();
}

/// Restarts in order, under load: each process ends by itself in time, leaves no lease, and what it had not begun is
/// owed and in the queue. Everything is written once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_told_to_end_finishes_what_it_began_and_hands_back_the_rest() {
    let mut random = Random::seeded(
        "a_process_that_is_told_to_end_finishes_what_it_began_and_hands_back_the_rest",
    );
    let rig = Rig::new().await;
    rig.sim.set_latency(Duration::from_millis(40));
    ems::populate(&rig.ems, 600).await;
    let mut midway = 0;
    for _ in 0..6 {
        let mut process = rig.spawn(&ALL);
        requests(&rig, 1 + random.below(4) as u64).await;
        signal(&process, "TERM").await;
        assert_eq!(ends_within(&mut process, STOPS_WITHIN_SECONDS).await, Some(0));
        assert_eq!(rig.count(LEASED).await, 0, "no lease is left behind");
        let in_flight = *rig.sim.progress().borrow();
        assert_eq!(in_flight.started, in_flight.finished, "no request is left behind");
        let owed = rig.count(OWED).await;
        if owed > 0 && rig.count("select count(*) from sync.outbox").await == 0 {
            assert!(
                outbound(&rig).await.message_count() > 0,
                "{owed} are owed, and nobody is told"
            );
            midway += 1;
        }
    }
    assert!(midway > 0, "each stop came too late or too early");
    let mut process = rig.spawn(&ALL);
    rig.settled().await;
    assert_in_sync(&rig).await;
    let records = rig.count("select count(*) from sync.record where state = 'synced'").await;
    assert_eq!(rig.writes_applied() as i64, records, "one write each");
    assert_eq!(rig.count("select count(*) from sync.attempt where class is not null").await, 0);
    assert!(rig.sim.overlaps().is_empty());
    signal(&process, "TERM").await;
    assert_eq!(ends_within(&mut process, STOPS_WITHIN_SECONDS).await, Some(0));
}

/// With requests that take seconds: those under way are awaited and recorded, no other is begun.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_under_way_are_awaited_when_a_process_is_told_to_end() {
    // One request per entity, so that a batch takes longer than the stop may.
    let settings = TagServerSettings { bulk: Bulk::NotFound, ..TagServerSettings::default() };
    let rig = Rig::with(TagServerOptions { settings, ..TagServerOptions::default() }).await;
    let mut process = rig.spawn(&ALL);
    ems::populate(&rig.ems, 200).await;
    requests(&rig, 20).await;
    rig.sim.set_latency(Duration::from_secs(2));
    in_time(rig.sim.wait_until(|progress, _| progress.started > progress.finished)).await;
    let begun = rig.sim.counters().requests;
    signal(&process, "TERM").await;
    assert_eq!(ends_within(&mut process, STOPS_WITHIN_SECONDS).await, Some(0));
    assert_eq!(rig.count(LEASED).await, 0);
    assert!(rig.count(OWED).await > 0, "the stop came too late to prove anything");
    let rows: usize = Resource::ALL.iter().map(|resource| rig.sim.rows(*resource).len()).sum();
    let known = rig.count("select count(*) from sync.record where remote_id is not null").await;
    assert_eq!(rows as i64, known, "every answer was recorded");
    assert_eq!(rig.count("select count(*) from sync.record where in_doubt").await, 0);
    let later = rig.sim.counters().requests - begun;
    assert!(later <= CONCURRENCY_DEFAULT as u64, "{later} requests were begun after the stop");
    rig.sim.set_latency(Duration::ZERO);
    let mut process = rig.spawn(&ALL);
    rig.settled().await;
    assert_in_sync(&rig).await;
    let records = rig.count("select count(*) from sync.record where state = 'synced'").await;
    assert_eq!(rig.writes_applied() as i64, records, "one write each");
    process.kill().await.unwrap();
}

/// A remote that applies and never answers can't hold up the stop; what may have been written is in doubt.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_remote_that_does_not_answer_can_not_hold_up_the_stop() {
    let mut rig = Rig::new().await;
    rig.set("TARGETS__TAGSERVER__TIMEOUT", "2s");
    rig.set("TARGETS__TAGSERVER__SETTLE", "100ms");
    rig.sim.faults().push(Rule::new(Fault::CommitThenHang { ms: None }).writes().unlimited());
    let mut process = rig.spawn(&ALL);
    rig.exec("insert into ems.person (first_name, last_name) select 'P', n::text from generate_series(1, 30) n").await;
    let in_bulk = rig
        .sim
        .wait_until(|_, journal| journal.iter().any(|entry| entry.operation == Operation::Bulk));
    in_time(in_bulk).await;
    signal(&process, "TERM").await;
    assert_eq!(ends_within(&mut process, STOPS_WITHIN_SECONDS).await, Some(0));
    assert_eq!(rig.count(LEASED).await, 0);
    let rows = rig.sim.rows(Resource::Person).len();
    let doubted = rig
        .count("select count(*) from sync.record where in_doubt and intent_on is not null")
        .await;
    assert!(rows > 0 && doubted >= rows as i64, "{rows} may be there, {doubted} are in doubt");
    rig.sim.faults().clear();
    let mut process = rig.spawn(&ALL);
    rig.settled().await;
    assert_in_sync(&rig).await;
    assert_each_once(&rig);
    process.kill().await.unwrap();
}
