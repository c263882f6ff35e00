//! A burst of deletes (G10).

use ems_sync::target::Target;
use serde_json::json;

use super::super::bed::Bed;
use super::bench::CONSUMING;

/// Waits until everything that is owed is held, or waits for a child that is.
async fn all_held(bed: &Bed) {
    bed.all_but("gone and (state = 'held' or coalesce(state_reason, '') = 'waiting_for_child')")
        .await;
}

/// How many records are gone from the EMS and not from the target.
async fn burst(bed: &Bed) -> i64 {
    let sql = "select count(*) from sync.record where gone and remote_id is not null and owed_gen > done_gen";
    bed.rig.count(sql).await
}

async fn kept(bed: &Bed) -> i64 {
    let sql = "select count(*) from sync.record where state = 'held' and state_reason = 'delete_rejected'";
    bed.rig.count(sql).await
}

pub(super) async fn a_mass_delete_is_held_and_a_person_decides(target: Target) {
    let mut bed = Bed::without_people(&[target]).await;
    bed.rig.set("GUARD__MAX_DELETES", "5");
    bed.rig.set("GUARD__MAX_DELETE_SHARE", "0");
    let running = bed.rig.start(&CONSUMING);
    bed.more(30).await;
    bed.rig.settled().await;
    let applied = || bed.counters(target).writes_applied();
    let before = (applied(), bed.rows(target));

    bed.rig.exec("delete from ems.person where id <= 10").await;
    all_held(&bed).await;
    assert_eq!((applied(), bed.rows(target)), before, "{target}: held before the first call");
    let first = burst(&bed).await;
    assert!(first >= 10, "{target}: {first}");
    // What is no delete goes on.
    bed.rig.exec("update ems.person set last_name = last_name || ' A' where id > 28").await;
    all_held(&bed).await;
    assert!(applied() > before.0, "{target}");

    // What comes after the approval is held anew.
    let approved = bed.json(&["target", "approve", target.name(), "--json"]).await;
    assert_eq!(approved["deletes"], json!(first), "{target}");
    bed.rig.settled().await;
    bed.assert_same(target, "when it is approved").await;
    let before = (applied(), bed.rows(target));
    bed.rig.exec("delete from ems.person where id <= 20").await;
    all_held(&bed).await;
    let second = burst(&bed).await;
    assert!(second >= 10, "{target}: {second}");

    let rejected = bed.json(&["target", "reject", target.name(), "--json"]).await;
    assert_eq!(rejected["deletes"], json!(second), "{target}");
    assert_eq!(kept(&bed).await, second, "{target}");
    bed.json(&["sweep", "outbound", "--target", target.name(), "--json"]).await;
    all_held(&bed).await;
    assert_eq!((applied(), bed.rows(target)), before, "{target}: it keeps what was rejected");
    let again = bed.json(&["target", "approve", target.name(), "--json"]).await;
    assert_eq!(again["deletes"], json!(0), "{target}: not what a person rejected");
    let approved = bed.json(&["target", "approve", target.name(), "--kept", "--json"]).await;
    assert_eq!(approved["deletes"], json!(second), "{target}: but if they say so");
    bed.rig.settled().await;
    bed.assert_same(target, "when all is approved").await;
    running.stop().await;
}
