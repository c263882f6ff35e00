//! What stands still is noticed within two minutes, and its work is done by others. Beside this: a channel that the broker closed
//! (`broker_faults`), a listener that hears nothing (`postgres_faults`, `wake`).

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};

use ems_sync::broker::{Broker, Publisher, Queue};
use ems_sync::capture::relay::Relay;
use ems_sync::config::WakeMode;
use ems_sync::limits;
use ems_sync::ops::metrics::Metrics;
use ems_sync::ops::progress::Progress;
use ems_sync::process::Role;
use ems_sync::target::Target;
use secrecy::SecretString;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::support::binary::{free_port, get};
use crate::support::database;
use crate::support::parity::assert_in_sync;
use crate::support::process::signal;
use crate::support::rig::{PATIENCE, Rig};

/// What the issue allows.
const NOTICED_WITHIN: Duration = Duration::from_secs(120);

/// How many consumers the broker believes that a queue has.
async fn consumers(rig: &Rig) -> u32 {
    let broker =
        Connection::connect(&rig.services.amqp_url, ConnectionProperties::default()).await.unwrap();
    let channel = broker.create_channel().await.unwrap();
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let queue = Queue::outbound(Target::TagServer).name(&rig.prefix);
    let found = channel.queue_declare(queue.into(), options, FieldTable::default()).await.unwrap();
    broker.close(200, "done".into()).await.unwrap();
    found.consumer_count()
}

async fn until_consumers(rig: &Rig, n: u32) {
    let until = async {
        while consumers(rig).await != n {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(NOTICED_WITHIN, until)
        .await
        .unwrap_or_else(|_| panic!("not {n} consumers"));
}

/// What a probe sees of a process, as patient as that of Kubernetes.
async fn probe(port: u16) -> Option<u16> {
    let answer = tokio::time::timeout(Duration::from_secs(5), get(port, "/readyz", None));
    answer.await.ok().flatten().map(|(status, _)| status)
}

async fn until_ready(port: u16) {
    let ready = async {
        while probe(port).await != Some(200) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ready).await.expect("becomes ready");
}

/// A process that is ready, and the port of its endpoints.
async fn started(rig: &mut Rig, roles: &str) -> (tokio::process::Child, u16) {
    let port = free_port().await;
    rig.set("OPS__LISTEN", &format!("127.0.0.1:{port}"));
    let process = rig.spawn(&["run", "--roles", roles]);
    until_ready(port).await;
    (process, port)
}

/// A stopped process keeps its sockets, its leases and what it has fetched. Its probe gets no answer, the broker misses its
/// heartbeats, and what it held is done by the other one; when it goes on it spoils nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_consumer_is_noticed_and_its_work_is_done_by_others() {
    let mut rig = Rig::new().await;
    let (mut relay, _) = started(&mut rig, "relay,sweep,ops").await;
    let (mut stopped, port) = started(&mut rig, "consume,ops").await;
    rig.exec("insert into ems.person (first_name, last_name) values ('The', 'First')").await;
    rig.settled().await;
    // It has claimed and fetched, and its request is under way.
    rig.sim.set_latency(Duration::from_secs(4));
    rig.exec("insert into ems.person (first_name, last_name) select 'P', n::text from generate_series(1, 300) n").await;
    let at_work = rig.sim.wait_until(|progress, _| progress.started > progress.finished);
    tokio::time::timeout(PATIENCE, at_work).await.expect("at work");
    signal(&stopped, "STOP").await;
    let began = tokio::time::Instant::now();
    rig.sim.set_latency(Duration::ZERO);
    let (mut heir, heir_port) = started(&mut rig, "consume,ops").await;
    assert_eq!(probe(port).await, None, "it answers nobody");
    until_consumers(&rig, 1).await;
    eprintln!("the broker has let go of it after {:?}", began.elapsed());
    rig.settled().await;
    eprintln!("its work is done after {:?}", began.elapsed());
    assert!(began.elapsed() < NOTICED_WITHIN, "{:?}", began.elapsed());
    until_ready(heir_port).await;
    assert_in_sync(&rig).await;

    signal(&stopped, "CONT").await;
    until_ready(port).await;
    until_consumers(&rig, 2).await;
    rig.exec("update ems.person set last_name = last_name || '!'").await;
    rig.settled().await;
    assert_in_sync(&rig).await;
    for process in [&mut relay, &mut stopped, &mut heir] {
        process.kill().await.unwrap();
    }
}

/// The parts that a probe is told make no progress; `None` while the process is ready or does not answer.
async fn silent(port: u16) -> Option<serde_json::Value> {
    let answer = tokio::time::timeout(Duration::from_secs(5), get(port, "/readyz", None)).await;
    let (status, body) = answer.ok().flatten()?;
    let (_, body) = body.split_once("\r\n\r\n")?;
    (status == 503).then(|| serde_json::from_str(body).unwrap())
}

/// A row that the projection can't show ends every sweep and every batch that comes across it, at once and for ever: both try again
/// and again, and come to nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_that_fails_again_and_again_is_noticed_and_forgotten_when_it_heals() {
    let mut rig = Rig::new().await;
    rig.exec("insert into ems.person (first_name, last_name) values ('The', 'First')").await;
    let id = rig.count("select id from ems.person").await;
    // It is owed while it is shown: what can't be shown is left to the sweep, and comes to no consumer.
    let relaying = rig.start(&[Role::Relay]);
    rig.until("select count(*) from sync.outbox", "relayed").await;
    relaying.stop().await;
    let definition = "select pg_get_viewdef('sync.tagserver_person')";
    let definition: String = rig.ems.query_one(definition, &[]).await.unwrap().get(0);
    let definition = definition.trim_end_matches(';');
    rig.exec(&format!(
        "create or replace view sync.tagserver_person as select * from ({definition}) was where 1 / (was.id - {id}) is not null"
    ))
    .await;
    let began = tokio::time::Instant::now();
    let (mut process, port) = started(&mut rig, "relay,consume,sweep,ops").await;
    let is_named = |told: &serde_json::Value, part: &str| {
        told["silent"].as_array().unwrap().iter().any(|silent| silent["part"] == part)
    };
    let both = async {
        loop {
            if let Some(told) = silent(port).await
                && is_named(&told, "sweep tagserver")
                && is_named(&told, "consumer tagserver")
            {
                return told;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let told = tokio::time::timeout(NOTICED_WITHIN, both).await.expect("both are named in time");
    eprintln!("noticed after {:?}", began.elapsed());
    assert_eq!((&told["database"], &told["broker"]), (&"ok".into(), &"ok".into()), "{told}");
    assert!(!is_named(&told, "relay"), "the others go on: {told}");

    rig.exec(&format!("create or replace view sync.tagserver_person as {definition}")).await;
    until_ready(port).await;
    rig.settled().await;
    assert_in_sync(&rig).await;
    process.kill().await.unwrap();
}

/// A relay that has failed again and again makes its process ready with the first batch that it commits, however much there is to
/// come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_failed_is_well_again_with_its_first_batch_and_not_with_its_last() {
    let rig = Rig::new().await;
    let amqp = SecretString::from(rig.services.amqp_url.clone());
    let stop = CancellationToken::new();
    let started = ems_sync::target_watch::start(rig.store.clone(), stop.clone());
    let (watch, watcher) = started.await.unwrap();
    let progress = Progress::default();
    let beat = progress.part("relay");
    beat.failed();
    beat.failed();
    let relay = Relay {
        store: rig.store.clone(),
        publisher: Publisher::new(Broker::new(amqp, rig.prefix.clone()), "relay"),
        targets: vec![Target::TagServer],
        watch,
        wake: WakeMode::Poll,
        leads: AtomicBool::new(false),
        unpublished: AtomicBool::new(false),
        queue_full: limits::QUEUE_FULL,
        metrics: Arc::new(Metrics::new().unwrap()),
        beat,
        progress: Progress::default(),
    };
    // The record of the last change is locked: the first batch is relayed, the second waits.
    rig.exec(&format!(
        "insert into ems.person (first_name, last_name) select 'P', n::text from generate_series(0, {}) n;
         insert into sync.record (target, entity_type, entity_id, due_on)
             select 'tagserver', entity_type, entity_id, 'infinity' from sync.outbox order by id desc limit 1",
        limits::RELAY_BATCH_ROWS
    ))
    .await;
    assert!(rig.count("select count(*) from sync.outbox").await > limits::RELAY_BATCH_ROWS);
    let other = database::connect(&rig.url).await;
    other.batch_execute("begin; select from sync.record for update").await.unwrap();
    let began = Instant::now();
    let watching = tokio::spawn(watcher.run(stop.clone()));
    let relaying = tokio::spawn(relay.run(stop.clone()));
    let well = async {
        loop {
            // Asked first: what has failed before it has been silent for longer.
            let since_it_began = began.elapsed();
            let silences = progress.silences();
            if silences.iter().all(|(_, silence)| *silence < since_it_began) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, well).await.expect("the first batch makes it well");
    assert!(rig.count("select count(*) from sync.outbox").await > 0, "the second can't be done");
    other.batch_execute("rollback").await.unwrap();
    rig.until("select count(*) from sync.outbox", "relayed").await;
    stop.cancel();
    relaying.await.unwrap();
    watching.await.unwrap();
}
