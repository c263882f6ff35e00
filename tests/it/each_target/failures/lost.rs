//! A target that commits and does not answer.

use ems_sync::target::Target;
use ems_sync_remotes::Fault;

use super::super::bed::Bed;
use super::bench::CONSUMING;

pub(super) async fn answers_that_are_lost_leave_nothing_twice_and_nothing_stale(target: Target) {
    let mut bed = Bed::without_people(&[target]).await;
    // What may have been sent is looked for when it must have settled.
    bed.set(target, "TIMEOUT", "2s");
    bed.set(target, "SETTLE", "100ms");
    let running = bed.rig.start(&CONSUMING);
    let lost = |n: i64| bed.strike(target, n, Fault::CommitThenDrop, Some(1));
    let every_fifth = (5..=20).step_by(5);
    every_fifth.clone().for_each(lost);
    bed.more(20).await;
    home_again(&bed, target, 4, "after creates").await;

    every_fifth.clone().for_each(lost);
    bed.rig.exec("update ems.person set last_name = last_name || ' B'").await;
    home_again(&bed, target, 4, "after updates").await;

    // Changed back before anybody knows what became of it: the old hash proves nothing.
    lost(7);
    bed.rig.exec("update ems.person set last_name = 'Once' where id = 7").await;
    bed.struck(target, 1).await;
    bed.rig.exec("update ems.person set last_name = 'Runner 7 B' where id = 7").await;
    home_again(&bed, target, 1, "after a change back").await;

    every_fifth.for_each(lost);
    bed.rig.exec("delete from ems.person where id % 5 = 0 or id < 5").await;
    home_again(&bed, target, 4, "after deletes").await;
    running.stop().await;
}

/// Answers were lost, and there is no trace of it.
async fn home_again(bed: &Bed, target: Target, rules: usize, when: &str) {
    bed.struck(target, rules).await;
    bed.rig.settled().await;
    bed.serves(target);
    bed.all_but("false").await;
    bed.assert_same(target, when).await;
    assert_eq!(bed.rig.count("select count(*) from sync.dead_letter").await, 0, "{target} {when}");
}
