//! The same with processes that are killed in the middle of it.

use std::time::Duration;

use super::bench::Both;
use super::here::Here;
use super::there::There;
use crate::kills::fleet::{Fleet, REQUESTS_ARE_OVER};
use crate::support::campaign::{kills, make_amends, scaled, until_looked_back};
use crate::support::random::Random;

const EVERYTHING: [&str; 3] = ["run", "--roles", "relay,consume,sweep"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a minute: run with the campaign"]
async fn processes_killed_while_both_sides_are_edited_lose_and_double_nothing() {
    let kills = kills(6, 100);
    let mut both = Both::new(40).await;
    for target in ["TAGSERVER", "MAUTIC", "MAILCHIMP", "RUNSIGNUP", "CHATWOOT"] {
        both.five.rig.set(&format!("TARGETS__{target}__TIMEOUT"), "1s");
        both.five.rig.set(&format!("TARGETS__{target}__SETTLE"), "200ms");
    }
    let mut random = Random::seeded("both_sides::deaths");
    let (mut here, mut there) = (Here::new(random.fork()), There::new(random.fork()));
    let mut fleet = Fleet::new(&both.five.rig);
    let mut running = vec![fleet.spawn(&EVERYTHING, None), fleet.spawn(&EVERYTHING, None)];
    both.at_rest().await;
    let mut met_work = 0;
    for kill in 0..kills {
        for _ in 0..scaled(20, 40) {
            if random.percent(50) {
                both.five.rig.exec(&here.next()).await;
            } else {
                there.next(&both);
            }
            tokio::time::sleep(Duration::from_millis(random.below(40) as u64)).await;
        }
        let victim = random.below(running.len());
        fleet.ready(&running[victim]).await;
        let process = std::mem::replace(&mut running[victim], fleet.spawn(&EVERYTHING, None));
        met_work += usize::from(fleet.kill(process).await > 0);
        // Leases of the dead run out when no request of theirs can be under way, and not in half a minute.
        fleet.reap().await;
        if kill % 3 == 2 {
            tokio::time::sleep(REQUESTS_ARE_OVER).await;
            fleet.reap().await;
            both.at_rest().await;
        }
    }
    eprintln!("{kills} kills, {met_work} met work");
    both.at_rest().await;
    make_amends(&both.five.rig).await;
    until_looked_back(&both.five.rig).await;
    both.assert_comes_to_rest().await;
    both.assert_agrees().await;
    both.assert_nothing_vanished(&there.ledger).await;
    for process in running {
        fleet.kill(process).await;
    }
}
