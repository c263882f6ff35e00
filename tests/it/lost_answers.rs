//! A TagServer that commits and does not answer, hundreds of times: nothing is there twice, whatever its look-up index
//! shows, and what was changed back meanwhile is changed back there too.
//!
//! A tenth by default; all of it (1,000 creates) with `EMS_SYNC_CAMPAIGN=full`.

use std::collections::BTreeSet;
use std::time::Duration;

use ems_sync_remotes::tagserver::{Bulk, Resource, TagServerOptions, TagServerSettings};
use ems_sync_remotes::{Entry, Fault, Operation, Rule};

use crate::support::campaign::{self, scaled};
use crate::support::checker::Checker;
use crate::support::rig::{PATIENCE, Rig, Running};

/// A TagServer with or without the bulk endpoint, whose look-ups show a row after `lag`; and a checker.
async fn rig(bulk: Bulk, lag: Duration) -> (Rig, Checker) {
    let find_lag_ms = lag.as_millis().try_into().unwrap();
    let settings = TagServerSettings { bulk, find_lag_ms, ..TagServerSettings::default() };
    let mut rig = Rig::with(TagServerOptions { settings, ..TagServerOptions::default() }).await;
    rig.set("TARGETS__TAGSERVER__TIMEOUT", "2s");
    let settle = lag + Duration::from_millis(500);
    rig.set("TARGETS__TAGSERVER__SETTLE", &format!("{}ms", settle.as_millis()));
    let checker = Checker::begin(&rig).await;
    (rig, checker)
}

/// Nothing is wrong, and nothing happens any more once each write was looked back at.
async fn assert_clean(rig: &Rig, checker: &Checker, running: Running) {
    rig.sim.faults().clear();
    running.stop().await;
    campaign::make_amends(rig).await;
    let running = rig.start_all();
    campaign::until_looked_back(rig).await;
    let mut report = checker.check(rig, &BTreeSet::new()).await;
    checker.silence(rig, &mut report).await;
    eprintln!("{report}");
    report.assert_clean();
    running.stop().await;
}

/// Answers to creates are dropped after the commit. A second POST of the same entity would be a duplicate at a TagServer
/// that does not refuse it, so there must be none, not even a refused one.
async fn creates_whose_answers_are_lost(bulk: Bulk, lag: Duration) {
    let (rig, checker) = rig(bulk, lag).await;
    // One in five or less, so that the breaker stays closed: how it opens and closes is not what this is about.
    let lost = scaled(100, 1_000);
    let creates = lost * 7;
    let drops = Rule::new(Fault::CommitThenDrop);
    rig.sim.faults().push(match bulk {
        Bulk::Enabled => drops.operation(Operation::Bulk).times(scaled(2, 4) as u64),
        _ => drops.operation(Operation::Create).probability(0.2).times(lost as u64),
    });
    let running = rig.start_all();
    rig.exec(&format!(
        "insert into ems.person (first_name, last_name) select 'Thandi', 'Runner ' || n from generate_series(1, {creates}) n"
    ))
    .await;
    let arrived = rig.sim.wait_for(|| rig.sim.row_count(Resource::Person) == creates);
    tokio::time::timeout(PATIENCE * scaled(1, 10) as u32, arrived).await.expect("all arrive");
    rig.settled().await;
    assert_eq!(rig.sim.rows(Resource::Person).len(), creates);
    let dropped = rig.sim.journal().iter().filter(|entry| !entry.faults.is_empty()).count();
    eprintln!("{dropped} answers to {creates} creates were dropped");
    assert!(bulk == Bulk::Enabled || dropped == lost, "{dropped} were dropped");
    let writes = rig.sim.counters().writes_to("people");
    assert_eq!(writes.created + writes.bulk_created, creates as u64, "{writes:?}");
    assert_eq!(writes.refused + writes.bulk_refused, 0, "none was tried a second time: {writes:?}");
    assert_eq!(rig.count("select count(*) from sync.dead_letter").await, 0);
    assert_clean(&rig, &checker, running).await;
}

const NONE: Duration = Duration::ZERO;
const LAG: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn creates_that_are_committed_and_not_answered_make_no_second_record() {
    creates_whose_answers_are_lost(Bulk::NotFound, NONE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn creates_in_bulk_that_are_committed_and_not_answered_make_no_second_record() {
    creates_whose_answers_are_lost(Bulk::Enabled, NONE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_up_index_that_lags_makes_no_second_record_of_a_create_without_an_answer() {
    creates_whose_answers_are_lost(Bulk::NotFound, LAG).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_up_index_that_lags_makes_no_second_record_of_creates_in_bulk() {
    creates_whose_answers_are_lost(Bulk::Enabled, LAG).await;
}

/// A, then B whose commit is lost, then A again while nobody knows: the hash of A proves nothing.
async fn changed_back_after_a_lost_commit(lost: Fault) {
    let people = scaled(150, 1_500);
    let (rig, checker) = rig(Bulk::NotFound, NONE).await;
    let running = rig.start_all();
    rig.exec(&format!(
        "insert into ems.person (first_name, last_name) select n::text, 'A' from generate_series(1, {people}) n"
    ))
    .await;
    rig.settled().await;
    // One in five, so that the breaker stays closed.
    let rule = Rule::new(lost).operation(Operation::Replace).probability(0.2).unlimited();
    rig.sim.faults().push(rule);
    rig.exec("update ems.person set last_name = 'B'").await;
    let seen = |name: &str| {
        let rows = rig.sim.rows(Resource::Person);
        rows.iter().filter(|row| row.body["lastName"] == name).count()
    };
    let is_lost = |entry: &Entry| entry.applied && !entry.faults.is_empty();
    // Changed back while some are known to be lost, some are under way, and some are still to come.
    let some = rig
        .sim
        .wait_until(|_, journal| journal.iter().filter(|e| is_lost(e)).count() >= people / 15);
    tokio::time::timeout(PATIENCE, some).await.expect("some commits are lost");
    rig.exec("update ems.person set last_name = 'A'").await;
    rig.sim.faults().clear();
    rig.settled().await;
    assert_eq!(seen("A"), people, "what was B is A again");
    assert_clean(&rig, &checker, running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_changed_back_after_a_dropped_answer_is_changed_back_at_the_remote() {
    changed_back_after_a_lost_commit(Fault::CommitThenDrop).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_changed_back_while_an_answer_hangs_is_changed_back_at_the_remote() {
    changed_back_after_a_lost_commit(Fault::CommitThenHang { ms: None }).await;
}
