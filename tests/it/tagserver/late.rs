//! Nothing is sent after `send_before`: the lease would end before the request's deadline (obligation 4).

use std::time::Duration;

use ems_sync::remote::{HttpSettings, Push};
use ems_sync_remotes::tagserver::{TagServerOptions, data_access_failure};
use ems_sync_remotes::{Fault, Operation, Rule};
use tokio::time::Instant;

use super::bench::{Bench, delete, delete_by_key, word};

/// How long a slow request takes.
const SLOW: Duration = Duration::from_millis(600);

fn until(push: Push, send_before: Instant) -> Push {
    Push { send_before: send_before.into(), ..push }
}

/// A deadline that a request of the simulator's `SLOW` outlasts.
fn shortly(push: Push) -> Push {
    until(push, Instant::now() + Duration::from_millis(250))
}

/// The row with the least time decides for the call that all of them share.
#[tokio::test]
async fn a_bulk_call_is_not_sent_when_the_time_of_one_of_its_rows_is_over() {
    let bench = Bench::new().await;
    let batch = vec![
        bench.create(1, "A"),
        until(bench.create(2, "B"), Instant::now()),
        bench.create(3, "C"),
    ];
    let results = bench.many(batch).await;
    assert_eq!(word(&results[&2]), "not_sent");
    let sent: usize = bench.requests().iter().map(|entry| entry.external_ids.len()).sum();
    let held = results.values().filter(|result| word(result) == "held").count();
    assert_eq!(sent, held, "what was not sent is not held");
}

#[tokio::test]
async fn a_push_that_waited_for_a_slot_or_a_login_too_long_is_not_sent() {
    let narrow = |http: &mut HttpSettings| http.concurrency = 1;
    let bench = Bench::with(TagServerOptions::default(), narrow).await;
    let id = bench.plant(1, "A");
    assert_eq!(word(&bench.one(bench.update(1, id, "A")).await), "held");
    bench.sim.faults().push(Rule::new(Fault::delay(SLOW)).writes());
    let slow = bench.one(bench.update(1, id, "B"));
    let waiting = async {
        bench.sim.wait_until(|progress, _| progress.started == 3).await;
        bench.one(shortly(bench.create(2, "C"))).await
    };
    let (slow, waiting) = tokio::join!(slow, waiting);
    assert_eq!((word(&slow), word(&waiting)), ("held", "not_sent"));

    let bench = Bench::new().await;
    let slow = Fault::delay(SLOW);
    bench.sim.faults().push(Rule::new(slow).operation(Operation::Login));
    assert_eq!(word(&bench.one(shortly(bench.create(2, "C"))).await), "not_sent");
    assert_eq!(bench.requests(), []);
}

/// Something was sent already, so `NotSent` would be a lie: the record must stay in doubt.
#[tokio::test]
async fn a_push_that_runs_out_of_time_between_its_requests_is_ambiguous() {
    let bench = Bench::new().await;
    let id = bench.plant(7, "Club");
    assert_eq!(word(&bench.one(bench.update(7, id, "Club")).await), "held", "has its token");
    let slow = |operation| Rule::new(Fault::delay(SLOW)).operation(operation);
    // The create is refused because the record is there; the look-up would come too late.
    bench.sim.faults().push(slow(Operation::Create));
    assert_eq!(word(&bench.one(shortly(bench.create(7, "New"))).await), "ambiguous");
    // The same as a row of a bulk call.
    bench.sim.faults().push(slow(Operation::Bulk));
    let batch = vec![shortly(bench.create(7, "New")), shortly(bench.create(8, "B"))];
    let results = bench.many(batch).await;
    assert_eq!((word(&results[&7]), word(&results[&8])), ("ambiguous", "held"));
    // A delete is answered with 500; the read that would confirm it would come too late.
    bench.sim.faults().push(slow(Operation::Delete));
    bench.sim.faults().push(Rule::new(data_access_failure()).operation(Operation::Delete));
    assert_eq!(word(&bench.one(shortly(delete(7, id))).await), "ambiguous");
    assert_eq!(bench.requests_of(Operation::Find), 0);
}

/// A look-up changes nothing: what only looked has sent nothing that could be in doubt.
#[tokio::test]
async fn a_push_that_only_looked_before_its_time_was_over_is_not_sent() {
    let bench = Bench::new().await;
    bench.plant(7, "Club");
    let slow = |operation| Rule::new(Fault::delay(SLOW)).operation(operation);
    bench.sim.faults().push(slow(Operation::Find).unlimited());
    for push in
        [bench.create_again(8, "B", true), bench.create_again(7, "New", true), delete_by_key(7)]
    {
        assert_eq!(word(&bench.one(shortly(push)).await), "not_sent");
    }
    assert_eq!(bench.sim.counters().writes_applied(), 0);
}
