//! A process that is killed while its requests are under way.

use ems_sync::target::Target;
use ems_sync_remotes::{Entry, Fault};

use super::super::bed::{Bed, of_sim};
use super::bench::CONSUMING;
use crate::support::rig::PATIENCE;

/// The leases of the dead run out. A lease outlives every request and every statement of its holder, so the target and the
/// database come to rest first.
async fn leases_run_out(bed: &Bed, target: Target) {
    of_sim!(bed, target, sim => {
        let rests = sim.wait_until(|progress, _| progress.started == progress.finished);
        tokio::time::timeout(PATIENCE, rests).await.expect("it rests");
        sim.faults().clear();
    });
    bed.rig
        .until(
            "select count(*) from pg_stat_activity
             where datname = current_database() and application_name = 'ems-sync run'",
            "disconnected",
        )
        .await;
    bed.rig
        .exec(
            "update sync.record set due_on = clock_timestamp(), lease_until = clock_timestamp()
             where lease_owner is not null;
             delete from sync.budget_share",
        )
        .await;
}

pub(super) async fn a_process_that_is_killed_with_pushes_in_flight_leaves_nothing_twice_and_nothing_stale(
    target: Target,
) {
    let mut bed = Bed::without_people(&[target]).await;
    // What may have been sent is looked for when it must have settled.
    bed.set(target, "TIMEOUT", "2s");
    bed.set(target, "SETTLE", "100ms");
    let (here, there) = (3, 8);
    for (what, change) in [
        ("creates", None),
        ("updates", Some("update ems.person set last_name = last_name || ' B'")),
        ("deletes", Some("delete from ems.person where id % 5 = 3 or id = 1")),
    ] {
        // Their commits are made, and never answered.
        for id in [here, there] {
            bed.strike(target, id, Fault::CommitThenHang { ms: None }, None);
        }
        let mut process = bed.rig.spawn(&["run", "--roles", "relay,consume"]);
        match change {
            None => {
                bed.more(10).await;
            }
            Some(change) => bed.rig.exec(change).await,
        }
        let is_hanging = |entry: &Entry| entry.applied && entry.ended_us.is_none();
        let hangs =
            || [here, there].iter().any(|id| bed.writes_of(target, *id).iter().any(is_hanging));
        bed.seen(target, what, hangs).await;
        process.kill().await.unwrap();
        let leased = "select count(*) from sync.record where lease_owner is not null";
        assert!(bed.rig.count(leased).await > 0, "{target}: killed in the midst of {what}");
        leases_run_out(&bed, target).await;

        let running = bed.rig.start(&CONSUMING);
        bed.rig.settled().await;
        bed.all_but("false").await;
        bed.assert_same(target, what).await;
        running.stop().await;
    }
    assert_eq!(bed.rig.count("select count(*) from sync.dead_letter").await, 0);
}
