//! A target that a person has paused.

use ems_sync::target::Target;

use super::super::bed::Bed;
use super::bench::CONSUMING;

pub(super) async fn a_paused_target_gets_nothing_and_is_caught_up_when_it_is_resumed(
    target: Target,
) {
    let bed = Bed::without_people(&[target]).await;
    let running = bed.rig.start(&CONSUMING);
    bed.more(10).await;
    bed.rig.settled().await;
    bed.json(&["target", "pause", target.name(), "--json"]).await;
    bed.nobody_consumes(target).await;
    let requests = bed.counters(target).requests;
    bed.more(5).await;
    bed.rig
        .exec(
            "update ems.person set last_name = last_name || ' A' where id <= 5;
             delete from ems.person where id = 10",
        )
        .await;
    bed.rig.until("select count(*) from sync.outbox", "owed").await;
    bed.json(&["sweep", "outbound", "--target", target.name(), "--json"]).await;
    let owed = "select count(*) from sync.record where owed_gen > done_gen and entity_type in ('person', 'event_participant')";
    let owed = bed.rig.count(owed).await;
    assert!(owed >= 11, "{target}: {owed}");
    assert_eq!(bed.counters(target).requests, requests, "{target}: nothing is sent");
    bed.json(&["target", "resume", target.name(), "--json"]).await;
    bed.rig.settled().await;
    bed.all_but("false").await;
    bed.assert_nothing_burnt(target).await;
    bed.assert_same(target, "when it is resumed").await;
    running.stop().await;
}
