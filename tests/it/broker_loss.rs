//! Queues are expendable (G1): purged, shuffled, doubled, garbled.

use ems_sync::broker::{Broker, Outgoing, Publisher, Queue};
use ems_sync::delivery::{Cause, Delivery};
use ems_sync::entity::{EntityRef, EntityType};
use ems_sync::process::Role;
use ems_sync::target::Target;
use jiff::Timestamp;
use lapin::options::{BasicPublishOptions, QueuePurgeOptions};
use lapin::{BasicProperties, Connection, ConnectionProperties};
use secrecy::SecretString;

use crate::support::ems;
use crate::support::parity::assert_in_sync;
use crate::support::rig::Rig;

async fn channel(rig: &Rig) -> lapin::Channel {
    let connection =
        Connection::connect(&rig.services.amqp_url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    // The connection lives as long as the test.
    std::mem::forget(connection);
    channel
}

async fn purge(rig: &Rig) -> u32 {
    let channel = channel(rig).await;
    let mut purged = 0;
    for queue in Queue::of(Target::TagServer) {
        let name = queue.name(&rig.prefix);
        purged += channel.queue_purge(name.into(), QueuePurgeOptions::default()).await.unwrap();
    }
    purged
}

/// With every queue purged while thousands are owed, everything arrives without help.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_owed_arrives_after_all_queues_were_purged() {
    let rig = Rig::new().await;
    let relay = rig.start(&[Role::Relay]);
    ems::populate(&rig.ems, 1_800).await;
    rig.until("select count(*) from sync.outbox", "relayed").await;
    let owed = rig.count("select count(*) from sync.record where owed_gen > done_gen").await;
    assert!(owed > 5_000, "{owed}");
    relay.stop().await;
    assert!(purge(&rig).await > 0);
    let running = rig.start(&[Role::Relay, Role::Consume]);
    rig.settled().await;
    assert_in_sync(&rig).await;
    running.stop().await;
}

/// Children first, every delivery twice, garbage in between: nothing fails, nothing is written twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shuffled_and_doubled_deliveries_converge_with_no_failed_attempt() {
    let rig = Rig::new().await;
    let relay = rig.start(&[Role::Relay]);
    ems::populate(&rig.ems, 300).await;
    rig.until("select count(*) from sync.outbox", "relayed").await;
    relay.stop().await;
    purge(&rig).await;
    let mut entities: Vec<EntityRef> = rig
        .ems
        .query("select entity_type, entity_id from sync.record", &[])
        .await
        .unwrap()
        .iter()
        .map(|row| format!("{}:{}", row.get::<_, &str>(0), row.get::<_, i64>(1)).parse().unwrap())
        .collect();
    // Tags and start group participants first, organisations last.
    entities
        .sort_by_key(|entity| std::cmp::Reverse((entity.entity_type, entity.id % 7, entity.id)));
    let broker = Broker::new(SecretString::from(rig.services.amqp_url.clone()), rig.prefix.clone());
    let publisher = Publisher::new(broker, "test");
    let messages: Vec<_> = entities
        .iter()
        .chain(&entities)
        .map(|entity| Outgoing {
            queue: Queue::outbound(Target::TagServer),
            delivery: Delivery::new(Target::TagServer, *entity, Cause::Change, Timestamp::now()),
        })
        .collect();
    publisher.publish(&messages).await.unwrap();
    let garbage = channel(&rig).await;
    for body in [
        "",
        "garbage",
        r#"{"v":9}"#,
        r#"{"v":1,"target":"mautic","entity":"person","id":1,"cause":"change","changed_on":"2026-01-01T00:00:00Z"}"#,
    ] {
        let queue = Queue::outbound(Target::TagServer).name(&rig.prefix);
        let options = BasicPublishOptions::default();
        garbage
            .basic_publish(
                "".into(),
                queue.into(),
                options,
                body.as_bytes(),
                BasicProperties::default(),
            )
            .await
            .unwrap();
    }
    // No relay: the deliveries alone, in the worst order.
    let running = rig.start(&[Role::Consume]);
    rig.settled().await;
    assert_in_sync(&rig).await;
    assert_eq!(rig.count("select count(*) from sync.attempt where class is not null").await, 0);
    assert_eq!(rig.writes_applied(), entities.len(), "one write each");
    running.stop().await;
}

/// A parent that nobody delivered is owed by its waiting child.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_brings_its_parents_along() {
    let rig = Rig::new().await;
    ems::populate(&rig.ems, 10).await;
    rig.exec("delete from sync.outbox").await;
    let participant = rig.count("select min(id) from ems.start_group_participant").await;
    let owing = ems_sync::route::Owing {
        target: Target::TagServer,
        entity_type: EntityType::StartGroupParticipant,
        entities: vec![(participant, Timestamp::now(), None)],
        cause: Cause::Sweep,
        bulk: false,
        in_doubt: false,
    };
    let owed = rig.store.owe(vec![owing]).await.unwrap();
    let broker = Broker::new(SecretString::from(rig.services.amqp_url.clone()), rig.prefix.clone());
    let messages: Vec<_> = owed
        .iter()
        .flat_map(ems_sync::route::Owing::deliveries)
        .map(|delivery| Outgoing { queue: Queue::outbound(Target::TagServer), delivery })
        .collect();
    Publisher::new(broker, "test").publish(&messages).await.unwrap();
    let running = rig.start(&[Role::Consume]);
    rig.until(
        "select 1 - count(*) from sync.record where entity_type = 'start_group_participant' and state = 'synced'",
        "brought",
    )
    .await;
    // Itself, its group, race, event, organisation, registration and person; nothing else.
    assert_eq!(rig.count("select count(*) from sync.record where state = 'synced'").await, 7);
    running.stop().await;
}
