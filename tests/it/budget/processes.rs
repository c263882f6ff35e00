//! Four processes of the real binary against one simulator.

use std::process::Stdio;
use std::time::Duration;

use ems_sync::limits;
use ems_sync_remotes::tagserver::{Bulk, TagServerOptions, TagServerSettings};
use tokio::process::Child;

use super::{assert_rate, most_at_once};
use crate::support::parity::assert_in_sync;
use crate::support::process::{ends_within, signal};
use crate::support::rig::{PATIENCE, Rig};
use crate::support::{binary, ems};

/// A request per entity, so that there is something to count.
async fn rig() -> Rig {
    let settings = TagServerSettings { bulk: Bulk::NotFound, ..TagServerSettings::default() };
    let rig = Rig::with(TagServerOptions { settings, ..TagServerOptions::default() }).await;
    rig.sim.set_latency(Duration::from_millis(30));
    rig
}

fn start(rig: &Rig) -> Child {
    let mut command = binary::of(rig, &["run", "--roles", "relay,consume,sweep"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

async fn stop(processes: &mut [Child]) {
    for process in &*processes {
        signal(process, "TERM").await;
    }
    for process in processes {
        assert_eq!(ends_within(process, 60).await, Some(0));
    }
}

/// Waits until the remote has seen that many requests more.
async fn requests(rig: &Rig, more: u64) {
    let until = rig.sim.counters().requests + more;
    let seen = rig.sim.wait_until(|progress, _| progress.started >= until);
    tokio::time::timeout(PATIENCE, seen).await.expect("goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_processes_of_which_one_is_killed_never_send_more_than_two_requests_at_once() {
    let mut rig = rig().await;
    rig.set("TARGETS__TAGSERVER__CONCURRENCY", "2");
    let mut processes: Vec<Child> = (0..4).map(|_| start(&rig)).collect();
    ems::populate(&rig.ems, 60).await;
    for _ in 0..2 {
        requests(&rig, 40).await;
        // Whoever holds a slot, so that it dies with it.
        processes.remove(0).kill().await.unwrap();
        processes.push(start(&rig));
    }
    // A job on the command line draws on the same budget.
    let verify = rig.run(&["verify", "--target", "tagserver", "--json"]).await;
    assert!(verify.1.contains("\"matched\""), "{verify:?}");
    ems::change(&rig.ems, 1).await;
    // The records that the dead have leased are owed again when their leases run out.
    let leased =
        "select count(*) from sync.record where owed_gen > done_gen and due_on < 'infinity'
                  and lease_owner is null";
    rig.until(leased, "settled").await;
    stop(&mut processes).await;
    let journal = rig.sim.journal();
    eprintln!("{} requests, {} at once", journal.len(), most_at_once(&journal));
    assert!(journal.len() > 150, "{}", journal.len());
    assert_eq!(most_at_once(&journal), 2);
    let kept =
        "select count(*) from sync.budget_share where until > clock_timestamp() and slots > 0";
    assert_eq!(rig.count(kept).await, 0, "whoever is told to end gives its slots back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_processes_together_keep_to_the_requests_per_second() {
    let mut rig = rig().await;
    rig.set("TARGETS__TAGSERVER__REQUESTS_PER_SECOND", "20");
    let mut processes: Vec<Child> = (0..4).map(|_| start(&rig)).collect();
    ems::populate(&rig.ems, 20).await;
    rig.settled().await;
    stop(&mut processes).await;
    let journal = rig.sim.journal();
    let lasted = journal.last().unwrap().started_us - journal[0].started_us;
    eprintln!("{} requests in {:?}", journal.len(), Duration::from_micros(lasted));
    assert!(journal.len() > 60, "{}", journal.len());
    // A tenth of a second for tokens that are used late, and what the way to the remote may vary on a busy machine.
    assert_rate(&journal, 20.0, limits::BUDGET_TOKEN_KEPT + Duration::from_millis(200));
    assert_in_sync(&rig).await;
}

/// With room for everybody nothing is slower: a process asks for its share a few times a second, not per request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_alone_asks_far_less_often_than_it_sends() {
    let rig = rig().await;
    rig.sim.set_latency(Duration::ZERO);
    ems::populate(&rig.ems, 300).await;
    let running = rig.start_all();
    rig.settled().await;
    running.stop().await;
    let asked = rig.count("select coalesce(sum(asked), 0)::bigint from sync.budget_share").await;
    let journal = rig.sim.journal();
    let lasted = Duration::from_micros(journal.last().unwrap().started_us - journal[0].started_us);
    eprintln!("{} requests in {lasted:?}, {asked} questions", journal.len());
    let beats = lasted.as_millis() / limits::BUDGET_BEAT.as_millis();
    let growth = limits::CONCURRENCY_DEFAULT as u128;
    // Its share grows, it idles between two batches, and says farewell.
    assert!(
        asked as u128 <= beats + growth + 10,
        "{asked} questions for {} requests",
        journal.len()
    );
}
