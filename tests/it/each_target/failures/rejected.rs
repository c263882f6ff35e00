//! Data that a target will never take.

use ems_sync::target::Target;

use super::super::bed::{Bed, of_sim};
use super::super::meddling::entity_of;
use super::bench::CONSUMING;
use super::ways::rejection;

pub(super) async fn refused_data_is_sent_once_and_comes_home_when_it_is_changed(target: Target) {
    let bed = Bed::without_people(&[target]).await;
    let running = bed.rig.start(&CONSUMING);
    let id = bed.more(4).await + 4;
    bed.rig.settled().await;
    bed.strike(target, id, rejection(target), None);
    assert_eq!(bed.more(1).await, id);
    bed.open_dead_letters(1).await;
    let record = format!(
        "from sync.record where target = '{target}' and entity_type = '{}' and entity_id = {id}",
        entity_of(target)
    );
    let reason = "select count(*) from sync.dead_letter where reason = 'rejected'";
    assert_eq!(bed.rig.count(reason).await, 1);
    let rejected = format!(
        "select count(*) {record} and state = 'rejected' and state_reason = 'rejected' and owed_gen > done_gen"
    );
    // A change of the person that is told of separately is looked at, and changes nothing.
    bed.rig.until(&format!("select 1 - ({rejected})"), "rejected").await;
    bed.tokens(target, 1).await;
    assert_eq!(bed.writes_of(target, id).len(), 1, "{target}: at once");

    // Neither others, nor a sweep, nor a change that the target does not see, send it again.
    bed.more(4).await;
    bed.all_but(&format!("entity_id = {id}")).await;
    bed.json(&["sweep", "outbound", "--target", target.name(), "--json"]).await;
    let owed = bed.rig.count(&format!("select owed_gen {record}")).await;
    let unseen = format!("update ems.person set medical_conditions = 'none' where id = {id}");
    bed.rig.exec(&unseen).await;
    let looked_at = format!(
        "select 1 - count(*) {record} and owed_gen > {owed} and state = 'rejected' and lease_owner is null"
    );
    bed.rig.until(&looked_at, "looked at and left alone").await;
    assert_eq!(bed.writes_of(target, id).len(), 1, "{target}: not again");

    of_sim!(bed, target, sim => sim.faults().clear());
    bed.rig.exec(&format!("update ems.person set last_name = 'Shorter' where id = {id}")).await;
    bed.all_but("false").await;
    bed.open_dead_letters(0).await;
    let resolved = "select count(*) from sync.dead_letter where outcome = 'resolved'";
    assert_eq!(bed.rig.count(resolved).await, 1);
    bed.tokens(target, 0).await;
    bed.assert_same(target, "when it is corrected").await;
    running.stop().await;
}
