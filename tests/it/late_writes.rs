//! A request that is applied long after its client gave it up (F119): nobody is a zombie, so no fence can help; only
//! reading back what may have been written shows it.

use std::time::Duration;

use ems_sync::process::Role;
use ems_sync_remotes::tagserver::Resource;
use tokio::time::Instant;

use crate::support::parity::assert_in_sync;
use crate::support::proxy::Proxy;
use crate::support::rig::{PATIENCE, Rig};

/// How long the request is kept, in seconds, instead of until a newer one was applied; then its read-back is waited
/// for too, which comes after two minutes.
fn hold() -> Option<Duration> {
    let seconds = std::env::var("EMS_SYNC_HOLD_SECONDS").ok()?;
    Some(Duration::from_secs(seconds.parse().unwrap()))
}

async fn becomes(rig: &Rig, name: &str, within: Duration) {
    let is = || {
        let persons = rig.sim.rows(Resource::Person);
        persons.first().is_some_and(|person| person.body["lastName"] == name)
    };
    let became = tokio::time::timeout(within, rig.sim.wait_for(is)).await;
    became.unwrap_or_else(|_| panic!("the remote does not become {name}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_that_is_applied_after_a_newer_one_is_noticed_and_repaired() {
    let mut rig = Rig::new().await;
    let (proxy, url) = Proxy::to_url(&rig.sim.base_url()).await;
    rig.set("TARGETS__TAGSERVER__BASE_URL", &url);
    rig.set("TARGETS__TAGSERVER__TIMEOUT", "2s");
    let running = rig.start(&[Role::Relay, Role::Consume]);
    rig.exec("insert into ems.person (first_name, last_name) values ('Late', 'one')").await;
    becomes(&rig, "one", PATIENCE).await;
    rig.settled().await;

    let mut held = proxy.hold_next(|piece| piece.starts_with(b"PUT "));
    rig.exec("update ems.person set last_name = 'two'").await;
    tokio::time::timeout(PATIENCE, held.caught()).await.expect("the update is sent");
    let caught = Instant::now();
    rig.exec("update ems.person set last_name = 'three'").await;
    becomes(&rig, "three", PATIENCE).await;
    rig.settled().await;
    let kept = "select 1 - count(*) from sync.record where read_back_on is not null";
    assert_eq!(rig.count(kept).await, 0, "success does not end the suspicion");
    if let Some(hold) = hold() {
        tokio::time::sleep_until(caught + hold).await;
    }
    held.release();
    becomes(&rig, "two", PATIENCE).await;
    if hold().is_none() {
        rig.exec("update sync.record set read_back_on = clock_timestamp()").await;
    }
    becomes(&rig, "three", Duration::from_secs(200)).await;
    eprintln!("repaired {:?} after the update was first sent", caught.elapsed());
    rig.settled().await;
    assert_in_sync(&rig).await;
    running.stop().await;
}
