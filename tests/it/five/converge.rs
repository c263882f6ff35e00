//! Thousands of random changes end in parity in all five targets, and nothing was said that a contract forbids.

use std::time::Instant;

use ems_sync_remotes::tagserver::TagServerOptions;

use super::changes::Changes;
use super::world::{Five, each};
use crate::support::campaign::{make_amends, scaled, until_looked_back};
use crate::support::random::Random;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: run with the campaign"]
async fn random_changes_converge_in_all_five() {
    let people = scaled(100, 1_000) as i64;
    let five = Five::new(people, TagServerOptions::default()).await;
    let running = five.rig.start_all();
    five.settled().await;
    five.assert_same("after the first push").await;
    let mut random = Random::seeded("five::converge");
    let mut changes = Changes::new(random.fork(), people);
    let (count, began) = (scaled(1_000, 20_000), Instant::now());
    for n in 1..=count {
        let change = changes.next();
        // Now and then several in one transaction, or one that is taken back.
        if random.percent(5) {
            five.rig
                .exec(&format!("begin; {change}; {}; {}; commit", changes.next(), changes.next()))
                .await;
        } else if random.percent(2) {
            five.rig.exec(&format!("begin; {change}; rollback")).await;
        } else {
            five.rig.exec(&change).await;
        }
        if n % (count / 4) == 0 {
            five.settled().await;
            five.assert_same(&format!("after {n} changes")).await;
        }
    }
    let captured = five.rig.count("select last_value from sync.outbox_id_seq").await;
    eprintln!("{count} changes, {captured} of the outbox, settled in {:?}", began.elapsed());
    // What a slow machine has left to look back at is owed by itself, and nobody's fault.
    make_amends(&five.rig).await;
    until_looked_back(&five.rig).await;
    five.assert_a_sweep_writes_nothing().await;
    five.assert_a_pull_changes_nothing().await;
    five.assert_verified().await;
    five.assert_same("at the end").await;
    for (target, requests) in each!(five, sim => sim.counters().requests) {
        eprintln!("{target}: {requests} requests");
    }
    running.stop().await;
}
