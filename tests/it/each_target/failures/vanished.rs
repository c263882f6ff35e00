//! Records that people removed at the target.

use ems_sync::target::Target;

use super::super::bed::Bed;
use super::bench::CONSUMING;

/// The known ids are stale. What changes is created again, except where to remove it is a decision about the person: to have no
/// more mail of a list (MailChimp). At RunSignup these went without a trace, which no removal there does.
pub(super) async fn what_vanished_there_is_created_again_when_it_changes_unless_it_was_a_decision(
    target: Target,
) {
    let bed = Bed::without_people(&[target]).await;
    let running = bed.rig.start(&CONSUMING);
    bed.more(8).await;
    bed.rig.settled().await;
    let there = bed.rows(target).len();
    for id in [2, 4, 8] {
        bed.delete(target, id);
    }
    let without = bed.rows(target);
    bed.rig
        .exec(
            "update ems.person set last_name = last_name || ' A' where id <= 5;
             update ems.tag set number = number || '1' where id <= 5",
        )
        .await;
    bed.rig.until("select count(*) from sync.outbox", "owed").await;
    bed.rig.settled().await;
    bed.all_but("false").await;
    assert_eq!(bed.rig.count("select count(*) from sync.dead_letter").await, 0, "{target}");
    assert_eq!(bed.violations(target), [], "{target}");
    match target {
        Target::TagServer | Target::Mautic | Target::RunSignup | Target::Chatwoot => {
            // The eighth did not change.
            assert_eq!(bed.rows(target).len(), there - 1, "{target}");
            bed.rig.exec("update ems.person set last_name = last_name || ' A' where id = 8; update ems.tag set number = number || '1' where id = 8").await;
            bed.rig.settled().await;
            bed.all_but("false").await;
            bed.assert_same(target, "in the end").await;
        }
        Target::MailChimp => {
            let rows = bed.rows(target);
            let keys: Vec<_> = rows.keys().collect();
            assert_eq!(keys, without.keys().collect::<Vec<_>>(), "{target}: who is out stays out");
            let changed = rows.iter().filter(|(id, row)| without.get(*id) != Some(row)).count();
            assert_eq!(changed, 3, "{target}: the others change");
        }
    }
    running.stop().await;
}
