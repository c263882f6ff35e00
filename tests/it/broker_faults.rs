//! The broker is killed, runs out of memory, loses queues, closes channels and connections or falls silent: the process
//! heals by itself, `/readyz` tells the truth meanwhile, and nothing is lost.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use ems_sync::broker::{Broker, Publisher, Queue};
use ems_sync::capture::relay::Relay;
use ems_sync::config::WakeMode;
use ems_sync::ops::metrics::Metrics;
use ems_sync::ops::progress::Progress;
use ems_sync::process::Role;
use ems_sync::target::Target;
use ems_sync_remotes::tagserver::TagServerOptions;
use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use crate::support::binary::{free_port, get};
use crate::support::database::Services;
use crate::support::ems;
use crate::support::load::{UnderLoad, times};
use crate::support::parity::assert_in_sync;
use crate::support::proxy::Proxy;
use crate::support::rig::{PATIENCE, Rig};
use crate::support::services::PrivateServices;

const NO_MEMORY: [&str; 3] = ["rabbitmqctl", "set_vm_memory_high_watermark", "0.0000001"];
const MEMORY: [&str; 3] = ["rabbitmqctl", "set_vm_memory_high_watermark", "0.4"];

/// On a broker of its own, with the Postgres of all.
async fn own_broker() -> (PrivateServices, Rig) {
    let own = PrivateServices::start().await;
    let services = Services { amqp_url: own.amqp_url.clone(), ..Services::get() };
    (own, Rig::on(services, TagServerOptions::default()).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_killed_and_short_of_memory_again_and_again_at_load_loses_nothing() {
    let (own, mut rig) = own_broker().await;
    let under_load = UnderLoad::start(&mut rig).await;
    for n in 0..times(2, 20) {
        if n % 2 == 0 {
            own.ctl(&["amqp", "kill"]).await;
            assert_ne!(under_load.turns(503).await["broker"], "ok");
            own.ctl(&["amqp", "start"]).await;
        } else {
            own.ctl(&["amqp", "kill", "start"]).await;
        }
        under_load.turns(200).await;
        under_load.moves(&rig).await;
    }
    for _ in 0..times(1, 5) {
        own.ctl(&NO_MEMORY).await;
        assert_ne!(under_load.turns(503).await["broker"], "ok");
        under_load.load.commits(20).await;
        own.ctl(&MEMORY).await;
        under_load.turns(200).await;
        under_load.moves(&rig).await;
    }
    under_load.all_arrives(&mut rig).await;
    own.stop().await;
}

/// Waits until the metrics of a process say whether the broker takes messages. Nothing else is asked.
async fn until_reachable(port: u16, reachable: u8) {
    let line = format!("ems_sync_reachable{{service=\"broker\"}} {reachable}");
    let told = async {
        let mut pace = tokio::time::interval(Duration::from_millis(100));
        loop {
            pace.tick().await;
            let answer = get(port, "/metrics", None).await;
            if answer.is_some_and(|(_, text)| text.lines().any(|told| told == line)) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, told).await.expect(&line);
}

/// Whoever publishes nothing is told of an alarm by nobody, and is not asked by any probe.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_metrics_of_a_process_that_publishes_nothing_know_of_a_memory_alarm() {
    let (own, mut rig) = own_broker().await;
    let port = free_port().await;
    rig.set("OPS__LISTEN", &format!("127.0.0.1:{port}"));
    let running = rig.start(&[Role::Ops]);
    until_reachable(port, 1).await;
    own.ctl(&NO_MEMORY).await;
    until_reachable(port, 0).await;
    own.ctl(&MEMORY).await;
    until_reachable(port, 1).await;
    running.stop().await;
    own.stop().await;
}

/// The broker closes a channel that has held a message for too long, and every connection; a consumer is not always
/// told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channels_closed_for_a_late_ack_and_closed_connections_are_made_anew() {
    let (own, mut rig) = own_broker().await;
    rig.set("TARGETS__TAGSERVER__TIMEOUT", "20s");
    let under_load = UnderLoad::start(&mut rig).await;
    let impatient = "application:set_env(rabbit, consumer_timeout, 1000),
        application:set_env(rabbit, channel_tick_interval, 500).";
    own.ctl(&["rabbitmqctl", "eval", impatient]).await;
    for _ in 0..times(1, 5) {
        // The channels of the next connections are impatient.
        own.ctl(&["rabbitmqctl", "close_all_connections", "a test"]).await;
        under_load.moves(&rig).await;
        rig.sim.set_latency(Duration::from_secs(5));
        let held = rig.sim.counters().requests;
        let answered = rig.sim.wait_until(|progress, _| progress.finished > held + 2);
        tokio::time::timeout(PATIENCE, answered).await.expect("requests end");
        rig.sim.set_latency(Duration::ZERO);
        under_load.turns(200).await;
        under_load.moves(&rig).await;
    }
    under_load.all_arrives(&mut rig).await;
    own.stop().await;
}

async fn broker_of(rig: &Rig) -> Connection {
    Connection::connect(&rig.services.amqp_url, ConnectionProperties::default()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queues_deleted_under_the_consumer_at_load_are_declared_anew_and_nothing_is_lost() {
    let mut rig = Rig::new().await;
    let under_load = UnderLoad::start(&mut rig).await;
    let broker = broker_of(&rig).await;
    for _ in 0..times(2, 5) {
        let channel = broker.create_channel().await.unwrap();
        // The consumer's last: whoever loses it declares all of them anew.
        for queue in Queue::of(Target::TagServer).into_iter().rev() {
            let name = queue.name(&rig.prefix);
            channel.queue_delete(name.into(), QueueDeleteOptions::default()).await.unwrap();
        }
        under_load.moves(&rig).await;
        for queue in Queue::of(Target::TagServer) {
            assert!(length(&broker, &queue.name(&rig.prefix)).await.is_some(), "{queue:?}");
        }
        under_load.turns(200).await;
    }
    under_load.all_arrives(&mut rig).await;
}

/// Messages that are ready in a queue; `None` where there is none.
async fn length(broker: &Connection, queue: &str) -> Option<u32> {
    let channel = broker.create_channel().await.unwrap();
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let declared = channel.queue_declare(queue.into(), options, FieldTable::default()).await;
    declared.ok().map(|queue| queue.message_count())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_black_hole_before_the_broker_is_noticed_and_left() {
    let mut rig = Rig::new().await;
    let (mut proxy, url) = Proxy::to_url(&rig.services.amqp_url).await;
    rig.set("BROKER__URL", &url);
    let under_load = UnderLoad::start(&mut rig).await;
    for _ in 0..times(1, 3) {
        proxy.black_hole();
        assert_ne!(under_load.turns(503).await["broker"], "ok");
        under_load.load.commits(10).await;
        proxy.heal();
        under_load.turns(200).await;
        under_load.moves(&rig).await;
    }
    proxy.strand_all();
    under_load.moves(&rig).await;
    proxy.reset_all();
    under_load.moves(&rig).await;
    under_load.all_arrives(&mut rig).await;
}

/// Back-pressure: a full queue is not published to, what is owed stays owed, and it is caught up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_is_not_published_to_and_what_is_owed_catches_up() {
    const FULL: u32 = 250;
    let rig = Rig::new().await;
    let amqp = SecretString::from(rig.services.amqp_url.clone());
    let stop = CancellationToken::new();
    let started = ems_sync::target_watch::start(rig.store.clone(), stop.clone());
    let (watch, watcher) = started.await.unwrap();
    let relay = Relay {
        store: rig.store.clone(),
        publisher: Publisher::new(Broker::new(amqp, rig.prefix.clone()), "relay"),
        targets: vec![Target::TagServer],
        watch,
        wake: WakeMode::Notify,
        leads: AtomicBool::new(false),
        unpublished: AtomicBool::new(false),
        queue_full: FULL,
        metrics: Arc::new(Metrics::new().unwrap()),
        beat: Progress::default().part("relay"),
        progress: Progress::default(),
    };
    let watching = tokio::spawn(watcher.run(stop.clone()));
    let relaying = tokio::spawn(relay.run(stop.clone()));
    let broker = broker_of(&rig).await;
    let outbound = Queue::outbound(Target::TagServer).name(&rig.prefix);

    ems::populate(&rig.ems, 200).await;
    rig.until("select count(*) from sync.outbox", "relayed").await;
    // The length that the relay goes by is a moment old, so the bound is passed by a little.
    let full = async {
        // What is relayed is published a moment later: only a length that stays the same over several changes is the last.
        let (mut before, mut same) = (0, 0);
        for n in 0.. {
            rig.exec(&format!("update ems.person set city = 'c{n}' where id <= 20")).await;
            rig.until("select count(*) from sync.outbox", "relayed").await;
            let now = length(&broker, &outbound).await.unwrap();
            same = if now == before { same + 1 } else { 0 };
            if now >= FULL && same == 3 {
                return now;
            }
            before = now;
        }
        0
    };
    let full = tokio::time::timeout(PATIENCE, full).await.expect("publishing stops");
    ems::change(&rig.ems, 1).await;
    rig.until("select count(*) from sync.outbox", "relayed").await;
    assert_eq!(length(&broker, &outbound).await.unwrap(), full, "it is published to a full queue");
    let owed =
        "select count(*) from sync.record where owed_gen > done_gen and entity_type = 'person'
        and entity_id in (select id from ems.person where first_name = 'Late')";
    assert_eq!(rig.count(owed).await, 20, "what is not published is owed");

    let consumer = rig.start(&[Role::Consume]);
    rig.settled().await;
    assert_in_sync(&rig).await;
    consumer.stop().await;
    stop.cancel();
    relaying.await.unwrap();
    watching.await.unwrap();
}
