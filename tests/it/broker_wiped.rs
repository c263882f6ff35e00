//! The broker is expendable (G1): it loses everything, twice, and everything arrives without help. On a broker of this
//! test's own, since the others share theirs.

use std::time::Duration;

use ems_sync::process::Role;

use crate::support::ems;
use crate::support::parity::assert_in_sync;
use crate::support::rig::Rig;
use crate::support::services::PrivateServices;

/// Waits until the remote has taken that many writes more, in single requests or in bulk.
async fn writes(rig: &Rig, more: usize) {
    let until = rig.writes_applied() + more;
    let written = rig.sim.wait_for(|| rig.writes_applied() >= until);
    tokio::time::timeout(Duration::from_secs(60), written).await.expect("something is written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_five_thousand_owed_and_the_broker_wiped_twice_everything_arrives_without_help() {
    let broker = PrivateServices::start().await;
    let mut rig = Rig::new().await;
    rig.set("BROKER__URL", &broker.amqp_url);
    let relay = rig.start(&[Role::Relay]);
    ems::populate(&rig.ems, 1_800).await;
    rig.until("select count(*) from sync.outbox", "relayed").await;
    relay.stop().await;
    let owed = "select count(*) from sync.record where owed_gen > done_gen";
    assert!(rig.count(owed).await > 5_000);

    // All of it was published, and nobody is there when the broker loses it.
    broker.ctl(&["amqp", "wipe", "start"]).await;
    rig.sim.set_latency(Duration::from_millis(150));
    let mut process = rig.spawn(&["run", "--roles", "relay,consume"]);
    writes(&rig, 300).await;

    // Now a process is there, in the midst of it; the EMS goes on meanwhile.
    broker.ctl(&["amqp", "wipe"]).await;
    ems::change(&rig.ems, 1).await;
    assert!(rig.count(owed).await > 500, "the broker was lost too late to prove anything");
    broker.ctl(&["amqp", "start"]).await;
    rig.sim.set_latency(Duration::ZERO);
    rig.settled().await;
    assert_in_sync(&rig).await;
    assert!(rig.sim.overlaps().is_empty(), "two pushes of one entity were in flight");
    assert_eq!(process.try_wait().unwrap(), None, "the process healed by itself");
    process.kill().await.unwrap();
    broker.stop().await;
}
