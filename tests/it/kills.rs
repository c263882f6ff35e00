//! Kill campaigns: real processes under a running workload, killed at random moments and at every named point of the
//! way, again and again. What is counted in the end is what the checker finds: zero lost, doubled and stale.
//!
//! A few kills by default. `EMS_SYNC_CAMPAIGN=full` is the whole campaign (about 20 minutes on two free cores), and
//! `EMS_SYNC_CAMPAIGN_KILLS=n` sets how many kills there are, at random or at each point. `EMS_SYNC_SEED` repeats one.

pub(crate) mod fleet;
#[cfg(feature = "failpoints")]
mod points;
mod workload;

use std::time::Duration;

use crate::kills::fleet::{Fleet, RELAYS_AND_CONSUMES};
use crate::kills::workload::Workload;
use crate::support::campaign;
use crate::support::checker::Checker;
use crate::support::ems;
use crate::support::random::Random;
use crate::support::rig::Rig;

/// A rig whose leases run out soon, under a checker.
async fn rig() -> (Rig, Checker) {
    let mut rig = Rig::new().await;
    rig.set("TARGETS__TAGSERVER__TIMEOUT", "1s");
    rig.set("TARGETS__TAGSERVER__SETTLE", "100ms");
    rig.sim.set_latency(Duration::from_millis(10));
    let checker = Checker::begin(&rig).await;
    ems::populate(&rig.ems, 60).await;
    (rig, checker)
}

/// Processes that do everything but sweep, killed at any moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_killed_at_random_moments_lose_nothing_and_double_nothing() {
    let mut random =
        Random::seeded("processes_killed_at_random_moments_lose_nothing_and_double_nothing");
    let kills = campaign::kills(10, 200);
    let (rig, checker) = rig().await;
    let workload = Workload::begin(&rig, &mut random).await;
    let mut fleet = Fleet::new(&rig);
    let mut running = Vec::new();
    for _ in 0..3 {
        running.push(fleet.spawn(&RELAYS_AND_CONSUMES, None));
    }
    let mut met_work = 0;
    for _ in 0..kills {
        let victim = random.below(running.len());
        fleet.ready(&running[victim]).await;
        if random.percent(50) {
            // A random moment of the claim, the push or the finish.
            fleet.at_work(&running[victim]).await;
            tokio::time::sleep(Duration::from_millis(random.below(30) as u64)).await;
        } else {
            tokio::time::sleep(Duration::from_millis(random.below(250) as u64)).await;
        }
        let process =
            std::mem::replace(&mut running[victim], fleet.spawn(&RELAYS_AND_CONSUMES, None));
        met_work += usize::from(fleet.kill(process).await > 0);
        fleet.reap().await;
    }
    let changes = workload.end().await;
    for process in running {
        fleet.kill(process).await;
    }
    eprintln!("{kills} kills at random moments, {met_work} met work; {changes} transactions");
    fleet.drain_and_check(&checker).await;
}
