//! The same with answers that are lost at both remotes, to reads and to writes.

use std::time::Duration;

use ems_sync_remotes::{Fault, Rule};

use super::bench::Both;
use super::here::Here;
use super::there::There;
use crate::support::campaign::{make_amends, scaled, until_looked_back};
use crate::support::random::Random;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a minute: run with the campaign"]
async fn lost_answers_while_both_sides_are_edited_lose_and_double_nothing() {
    let edits = scaled(150, 3_000);
    let mut both = Both::new(40).await;
    for target in ["RUNSIGNUP", "CHATWOOT"] {
        both.five.rig.set(&format!("TARGETS__{target}__TIMEOUT"), "2s");
        both.five.rig.set(&format!("TARGETS__{target}__SETTLE"), "200ms");
    }
    let running = both.five.rig.start_all();
    both.at_rest().await;
    let mut random = Random::seeded("both_sides::lost");
    let (mut here, mut there) = (Here::new(random.fork()), There::new(random.fork()));
    let rule = |fault| Rule::new(fault).probability(0.08).times(edits as u64 / 5);
    for faults in [both.five.runsignup.faults(), both.five.chatwoot.faults()] {
        faults.push(rule(Fault::CommitThenDrop).writes());
        faults.push(rule(Fault::Drop));
    }
    for n in 1..=edits {
        if random.percent(50) {
            both.five.rig.exec(&here.next()).await;
        } else {
            there.next(&both);
        }
        tokio::time::sleep(Duration::from_millis(random.below(40) as u64)).await;
        if n % (edits / 3) == 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
    for faults in [both.five.runsignup.faults(), both.five.chatwoot.faults()] {
        faults.clear();
    }
    both.at_rest().await;
    make_amends(&both.five.rig).await;
    until_looked_back(&both.five.rig).await;
    both.assert_comes_to_rest().await;
    both.assert_agrees().await;
    both.assert_nothing_vanished(&there.ledger).await;
    running.stop().await;
}
