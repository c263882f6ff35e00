//! A rolling restart: processes are told to stop one after the other, while the EMS goes on, and others take their
//! places. What they have not begun they pass on, nothing is given back to be delivered again, and the checker finds nothing amiss.

use std::time::Duration;

use ems_sync_remotes::tagserver::TagServerOptions;

use crate::kills::fleet::{Fleet, RELAYS_AND_CONSUMES};
use crate::support::campaign;
use crate::support::checker::Checker;
use crate::support::database::Services;
use crate::support::ems;
use crate::support::load::Load;
use crate::support::rig::{PATIENCE, Rig};
use crate::support::services::PrivateServices;

/// Every person changes at once. The load may be in the way.
async fn everybody_changes(rig: &Rig) {
    let change =
        "update ems.person set gender = case gender when 'FEMALE' then 'MALE' else 'FEMALE' end";
    let changed = async { while rig.ems.batch_execute(change).await.is_err() {} };
    tokio::time::timeout(PATIENCE, changed).await.expect("everybody changes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_restarted_in_turn_under_load_pass_on_what_they_have_not_begun() {
    // The broker counts what it delivers again for all queues together.
    let own = PrivateServices::start().await;
    let services = Services { amqp_url: own.amqp_url.clone(), ..Services::get() };
    let mut rig = Rig::on(services, TagServerOptions::default()).await;
    rig.set("TARGETS__TAGSERVER__SETTLE", "100ms");
    // A remote so slow that more has been fetched than is begun.
    rig.sim.set_latency(Duration::from_millis(800));
    let checker = Checker::begin(&rig).await;
    ems::populate(&rig.ems, 120).await;
    let mut fleet = Fleet::new(&rig);
    let mut running: Vec<_> = (0..3).map(|_| fleet.spawn(&RELAYS_AND_CONSUMES, None)).collect();
    for process in &running {
        fleet.ready(process).await;
    }
    let mut load = Load::start(&rig.url);
    let (mut slowest, mut passed_on, mut handed_back) = (Duration::ZERO, 0, 0);
    for _ in 0..campaign::scaled(2, 20) {
        for process in &mut running {
            everybody_changes(&rig).await;
            fleet.at_work(process).await;
            let next = fleet.spawn(&RELAYS_AND_CONSUMES, None);
            let stopped = fleet.stop(std::mem::replace(process, next)).await;
            slowest = slowest.max(stopped.took);
            (passed_on, handed_back) =
                (passed_on + stopped.passed_on, handed_back + stopped.handed_back);
            fleet.ready(process).await;
        }
    }
    let changes = load.stop().await;
    let redelivered = own.redelivered().await;
    eprintln!(
        "{changes} transactions; the slowest stop took {slowest:?}; {passed_on} passed on, {handed_back} handed back; {redelivered} delivered again by the broker"
    );
    assert!(passed_on > 0, "no stop met messages that were not begun");
    assert_eq!(handed_back, 0);
    for process in running {
        fleet.kill(process).await;
    }
    fleet.drain_and_check(&checker).await;
    own.stop().await;
}
