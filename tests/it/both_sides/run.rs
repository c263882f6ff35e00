//! Hundreds of edits on both sides, mixed with pulls, pushes and webhooks, end in agreement, and nothing that people entered at a
//! remote has vanished.

use std::time::{Duration, Instant};

use ems_sync::process::Role;

use super::bench::Both;
use super::here::Here;
use super::there::There;
use crate::support::binary::free_port;
use crate::support::campaign::scaled;
use crate::support::random::Random;

/// Between two edits, on average: so that some meet and others do not.
const PACE: Duration = Duration::from_millis(12);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "half a minute: run with the campaign"]
async fn edits_on_both_sides_end_in_agreement_and_nothing_vanishes() {
    let edits = scaled(600, 10_000);
    let mut both = Both::new(scaled(60, 400) as i64).await;
    both.with_webhook(free_port().await);
    let running = both.five.rig.start(&[Role::Relay, Role::Consume, Role::Sweep, Role::Ops]);
    both.at_rest().await;
    let mut random = Random::seeded("both_sides::run");
    let (mut here, mut there) = (Here::new(random.fork()), There::new(random.fork()));
    let began = Instant::now();
    for n in 1..=edits {
        if random.percent(50) {
            both.five.rig.exec(&here.next()).await;
        } else {
            there.next(&both);
        }
        match random.below(100) {
            0..10 => {
                both.five.chatwoot.deliver().await;
            }
            10..40 => tokio::time::sleep(PACE * random.below(6) as u32).await,
            _ => {}
        }
        if n % (edits / 4) == 0 {
            both.at_rest().await;
        }
    }
    eprintln!("{edits} edits in {:?}", began.elapsed());
    both.assert_comes_to_rest().await;
    eprintln!("at rest after {:?}", began.elapsed());
    both.assert_agrees().await;
    both.assert_nothing_vanished(&there.ledger).await;
    both.assert_few_writes().await;
    running.stop().await;
}
