//! Requests that land after their clients have given them up.

use ems_sync::target::Target;
use ems_sync_remotes::{Entry, Fault};

use super::super::bed::Bed;
use super::bench::CONSUMING;

/// The answer is lost, or comes too late, and the entity is deleted: what the create made is found by our key, however long it took.
pub(super) async fn a_delete_that_meets_a_lost_create_leaves_nothing_behind(target: Target) {
    for fault in [Fault::CommitThenDrop, Fault::Delay { ms: 1_400 }] {
        let mut bed = Bed::without_people(&[target]).await;
        bed.set(target, "TIMEOUT", "1s");
        let name = format!("{fault:?}");
        bed.strike(target, 1, fault, Some(1));
        let running = bed.rig.start(&CONSUMING);
        let id = bed.more(1).await;
        bed.struck(target, 1).await;
        bed.rig.exec("delete from ems.person").await;
        let lands = || bed.writes_of(target, id).iter().any(|entry| entry.applied);
        bed.seen(target, &name, lands).await;
        bed.rig.settled().await;
        bed.all_but("false").await;
        bed.assert_same_in_the_end(target, &name).await;
        assert_eq!(bed.rig.count("select count(*) from sync.dead_letter").await, 0, "{target}");
        running.stop().await;
    }
}

/// A write that times out lands after the newer one that followed it: a target that is only written to would never tell, so the record
/// is read back (G4).
pub(super) async fn a_delayed_write_that_lands_over_a_newer_one_is_made_good_by_the_read_back(
    target: Target,
) {
    let mut bed = Bed::without_people(&[target]).await;
    bed.set(target, "TIMEOUT", "1s");
    // The read-back is after the late one, 4 s from its start: the deadline, and then deadline and settle time.
    bed.set(target, "SETTLE", "3s");
    let running = bed.rig.start(&CONSUMING);
    let id = bed.more(1).await;
    bed.rig.settled().await;
    let before = bed.writes_of(target, id).len();
    bed.strike(target, id, Fault::Delay { ms: 4_000 }, Some(1));
    bed.rig.exec("update ems.person set last_name = 'Old'").await;
    bed.struck(target, 1).await;
    bed.rig.exec("update ems.person set last_name = 'New'").await;
    let is_late = |entry: &Entry| entry.applied && !entry.faults.is_empty();
    bed.seen(target, "the late one lands", || bed.writes_of(target, id).iter().any(is_late)).await;
    let has = |word: &str| bed.rows(target).values().any(|row| row.contains(word));
    bed.seen(target, "it is put right", || has("New") && !has("Old")).await;
    bed.rig.settled().await;
    bed.all_but("false").await;
    bed.assert_same_in_the_end(target, "after it").await;
    let writes = bed.writes_of(target, id).split_off(before);
    let late = writes.iter().find(|entry| is_late(entry)).unwrap().applied_us;
    let newer = writes.iter().filter(|entry| entry.applied && entry.applied_us < late).count();
    eprintln!(
        "{target}: {newer} newer writes were there before the late one, {} in all",
        writes.len()
    );
    running.stop().await;
}
