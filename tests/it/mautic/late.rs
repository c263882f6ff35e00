//! Nothing is sent late (obligation 4), and nothing to another account (obligation 11).

use std::time::Duration;

use ems_sync::remote::{Push, Remote as _, SendBefore};
use ems_sync_remotes::{Fault, Operation, Rule};
use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::bench::{Bench, create, delete, oauth, says, word, words};

fn with_time_left(push: Push, left: Duration) -> Push {
    Push { send_before: SendBefore::from(Instant::now() + left), ..push }
}

#[tokio::test]
async fn without_time_nothing_is_sent() {
    let bench = Bench::new().await;
    let id = bench.plant(7, "Nkosi");
    let pushes =
        [bench.create(1, "A"), bench.create(2, "B"), bench.update(7, id, "N"), delete(8, id)];
    let late = pushes.map(|push| with_time_left(push, Duration::ZERO));
    assert_eq!(words(&bench.many(late.to_vec()).await), [("not_sent", 4)].into());
    let stop = CancellationToken::new();
    stop.cancel();
    let stopped = Push {
        send_before: SendBefore::new(Instant::now() + super::bench::PATIENCE, stop),
        ..bench.create(1, "A")
    };
    assert_eq!(word(&bench.one(stopped).await), "not_sent");
    assert_eq!(bench.sim.journal().len(), 0);
}

#[tokio::test]
async fn time_that_ends_after_the_look_up_leaves_nothing_sent() {
    let bench = Bench::new().await;
    bench.made(9, "Warm").await;
    let slow = Fault::delay(Duration::from_millis(400));
    bench.sim.faults().push(Rule::new(slow).operation(Operation::Find).unlimited());
    let before = bench.writes();
    let push = with_time_left(bench.create(1, "A"), Duration::from_millis(200));
    assert_eq!(word(&bench.one(push).await), "not_sent");
    assert_eq!(bench.writes(), before);
}

/// The contact is written, and no time is left for what was said about it: that is no success, and not nothing either.
#[tokio::test]
async fn time_that_ends_after_the_write_leaves_the_push_ambiguous() {
    let bench = Bench::new().await;
    bench.made(9, "Warm").await;
    let slow = Fault::delay(Duration::from_millis(800));
    bench.sim.faults().push(Rule::new(slow).operation(Operation::Create));
    let out = bench.wire_of(1, says(1, Some(false), Timestamp::now()));
    let push = with_time_left(create(1, out), Duration::from_millis(600));
    let result = bench.one(push).await;
    assert_eq!(word(&result), "ambiguous");
    assert_eq!(super::bench::found(&result), bench.sim.contact_of("1").map(|c| c.id));
    bench.assert_no_violation();
}

#[tokio::test]
async fn another_account_is_sent_nothing_until_it_is_the_one_to_stay_with() {
    let bench = Bench::new().await;
    let other = bench.as_client(oauth("ems-sync-secret"));
    let elsewhere = Bench::new().await.client.account().await.unwrap();
    let here = other.client.account().await.unwrap();
    assert_ne!(here, elsewhere, "the address is a part of it");
    other.client.stay_with(elsewhere);
    other.client.account().await.unwrap();
    tokio::time::timeout(super::bench::PATIENCE, other.client.changed()).await.expect("is told");
    assert_eq!(word(&other.one(other.create(1, "A")).await), "not_sent");
    let many = other.many((1..=5).map(|id| other.create(id, "A")).collect()).await;
    assert_eq!(words(&many), [("not_sent", 5)].into());
    other.client.stay_with(here);
    assert_eq!(word(&other.one(other.create(1, "A")).await), "held");
}
