//! The outbound sweep finds what no event told (G1): disabled triggers, late commits, content without a new stamp.

use std::time::Duration;

use ems_sync::limits;
use ems_sync::process::Role;
use ems_sync::store::{Duty, DutyRow};
use ems_sync::target::Target;
use uuid::Uuid;

use crate::support::ems;
use crate::support::parity::assert_in_sync;
use crate::support::rig::Rig;

/// The sync triggers of every watched table, switched off or on again.
async fn triggers(rig: &Rig, on: bool) {
    let action = if on { "enable always" } else { "disable" };
    rig.exec(&format!(
        "do $$ declare t record; begin
           for t in select tgrelid::regclass as tab, tgname from pg_trigger
                    where not tgisinternal and tgname like 'sync\\_%' loop
             execute format('alter table %s {action} trigger %I', t.tab, t.tgname);
           end loop;
         end $$"
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_changes_without_triggers_are_all_found_by_one_sweep() {
    let rig = Rig::new().await;
    let running = rig.start(&[Role::Relay, Role::Consume]);
    ems::populate(&rig.ems, 600).await;
    rig.settled().await;
    assert_in_sync(&rig).await;
    triggers(&rig, false).await;
    // 400 inserts, 400 updates and some 200 deletes with their cascades, child rows among them.
    rig.exec(
        "insert into ems.person (first_name, last_name) select 'Silent', 'Insert ' || n from generate_series(1, 200) n;
         insert into ems.tag (person_id, number) select id, 'SILENT-' || id from ems.person where first_name = 'Silent';
         update ems.person set last_name = last_name || '!' where id % 3 = 0 and id <= 600;
         update ems.event_participant set status = 'WITHDRAWN' where id % 3 = 1;
         delete from ems.person where id % 12 = 5 and id <= 600;
         delete from ems.start_group_participant where id % 4 = 1;
         delete from ems.race where id = (select max(id) from ems.race)",
    )
    .await;
    assert_eq!(rig.count("select count(*) from sync.outbox").await, 0, "nothing was captured");
    let (code, json) = rig.run(&["sweep", "outbound", "--json"]).await;
    assert_eq!(code, 0, "{json}");
    rig.settled().await;
    assert_in_sync(&rig).await;
    triggers(&rig, true).await;
    let writes = rig.writes();
    assert_eq!(rig.run(&["sweep", "outbound"]).await.0, 0);
    rig.settled().await;
    assert_eq!(rig.writes(), writes);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_stamps_before_a_sweep_and_commits_after_it_is_found_by_the_next() {
    let mut rig = Rig::new().await;
    rig.set("SWEEP__OUTBOUND_EVERY", "200ms");
    ems::populate(&rig.ems, 50).await;
    let running = rig.start_all();
    rig.settled().await;
    sweeps(&rig, 2).await;
    triggers(&rig, false).await;
    // What is known so far is ten minutes old; the late transaction stamps five minutes ago and stays open.
    rig.exec(
        "update sync.watermark_sample set sampled_on = sampled_on - interval '10 minutes';
         update sync.watermark set modified_on = modified_on - interval '10 minutes'",
    )
    .await;
    let late = crate::support::database::connect(&rig.url).await;
    late.batch_execute(
        "begin;
         alter table ems.person disable trigger user;
         update ems.person set last_name = 'Late', modified_on = clock_timestamp() - interval '5 minutes' where id % 2 = 0;
         alter table ems.person enable trigger user",
    )
    .await
    .unwrap();
    // Samples are taken meanwhile, as if two minutes after the stamp: a watermark by the clock would move there.
    for _ in 0..3 {
        sweeps(&rig, 1).await;
        rig.exec(
            "update sync.watermark_sample set sampled_on = sampled_on - interval '2 minutes'
             where sampled_on > clock_timestamp() - interval '1 minute'",
        )
        .await;
    }
    sweeps(&rig, 1).await;
    let beyond = "select count(*) from sync.watermark where modified_on > clock_timestamp() - interval '5 minutes'";
    assert_eq!(rig.count(beyond).await, 0, "the watermark waits for the open transaction");
    late.batch_execute("commit").await.unwrap();
    sweeps(&rig, 2).await;
    rig.settled().await;
    assert_in_sync(&rig).await;
    // And it moves on when nothing is open any more.
    sweeps(&rig, 2).await;
    assert!(rig.count(beyond).await > 0, "the watermark follows");
    running.stop().await;
}

/// Waits until that many more periodic sweeps have come to their end.
async fn sweeps(rig: &Rig, n: i32) {
    for _ in 0..n {
        let last: Option<jiff::Timestamp> = rig
            .ems
            .query_one("select max(finished_on) from sync.duty where duty = 'sweep_outbound'", &[])
            .await
            .unwrap()
            .get(0);
        let last = last.map_or_else(|| "-infinity".to_owned(), |last| last.to_string());
        rig.until(
            &format!(
                "select 1 - count(*) from sync.duty where duty = 'sweep_outbound' and owner is null
                 and finished_on > '{last}'::timestamptz"
            ),
            "swept again",
        )
        .await;
    }
}

/// Leg 4 needs no timestamp: content that changed under an unchanged `modified_on` is found by its hash.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_that_changed_without_a_new_stamp_is_found_by_its_hash() {
    let rig = Rig::new().await;
    let running = rig.start(&[Role::Relay, Role::Consume]);
    ems::populate(&rig.ems, 30).await;
    rig.settled().await;
    rig.exec(
        "alter table ems.person disable trigger all;
         update ems.person set last_name = 'Unstamped' where id % 3 = 0;
         alter table ems.person enable trigger all",
    )
    .await;
    assert_eq!(rig.run(&["sweep", "outbound"]).await.0, 0);
    rig.settled().await;
    assert_in_sync(&rig).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_table_is_emptied_at_the_remote() {
    let rig = Rig::new().await;
    let running = rig.start(&[Role::Relay, Role::Consume]);
    ems::populate(&rig.ems, 40).await;
    rig.settled().await;
    rig.exec("truncate ems.tag, ems.start_group_participant").await;
    rig.until(
        "select count(*) from sync.record where entity_type in ('tag', 'start_group_participant') and remote_id is not null",
        "emptied",
    )
    .await;
    rig.settled().await;
    assert_in_sync(&rig).await;
    running.stop().await;
}

/// How soon a change is seen must not hang on the fallback when the database notifies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn polling_works_where_nobody_may_notify() {
    let mut rig = Rig::new().await;
    rig.set("CAPTURE__WAKE", "poll");
    let running = rig.start(&[Role::Relay, Role::Consume]);
    ems::populate(&rig.ems, 20).await;
    tokio::time::timeout(Duration::from_secs(20), rig.settled()).await.expect("is quick");
    assert_in_sync(&rig).await;
    running.stop().await;
}

/// The one duty that there is.
async fn the_duty(rig: &Rig) -> DutyRow {
    let mut duties = rig.store.duties().await.unwrap();
    assert_eq!(duties.len(), 1);
    duties.remove(0)
}

/// A sweep that fails is neither repeated at once and for ever, nor only after its interval, and one that never comes to its end is
/// late by when it was first begun.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_that_failed_is_due_after_a_moment_and_late_since_it_was_first_begun() {
    const EVERY: Duration = Duration::from_secs(300);
    let rig = Rig::new().await;
    let take = async |every: Duration| {
        rig.store
            .take_duty(Duty::SweepOutbound, Target::TagServer, Uuid::new_v4(), every)
            .await
            .unwrap()
    };
    let lease = take(EVERY).await.expect("never begun");
    assert!(the_duty(&rig).await.is_under_way);
    rig.exec("update sync.duty set first_begun_on = now() - interval '1 hour'").await;
    let before = rig.store.now().await.unwrap();
    rig.store.give_duty_back(&lease, EVERY).await.unwrap();
    let after = rig.store.now().await.unwrap();
    assert!(take(EVERY).await.is_none(), "not at once");
    let again = limits::DUTY_AGAIN_AFTER.as_secs();
    let is_then = format!(
        "select count(*) from sync.duty
         where started_on + interval '{} s' between '{before}'::timestamptz + interval '{again} s' and '{after}'::timestamptz + interval '{again} s'",
        EVERY.as_secs()
    );
    assert_eq!(rig.count(&is_then).await, 1, "due after a moment");
    rig.exec(&format!("update sync.duty set started_on = started_on - interval '{again} s'")).await;
    let lease = take(EVERY).await.expect("due");
    // What has failed before must come to its end to be believed.
    let begun = the_duty(&rig).await;
    assert!(begun.idle_seconds >= 3_600.0 && !begun.is_under_way, "{begun:?}");
    // Of a short interval the next run is due after no more than that.
    rig.store.give_duty_back(&lease, Duration::ZERO).await.unwrap();
    let failed = the_duty(&rig).await;
    assert!(failed.idle_seconds >= 3_600.0 && !failed.is_under_way, "{failed:?}");
    let lease = take(Duration::ZERO).await.expect("due at once");
    rig.store.end_duty(&lease, 0, true).await.unwrap();
    let ended = the_duty(&rig).await;
    assert!(ended.idle_seconds < 3_600.0 && !ended.is_under_way, "{ended:?}");
    take(Duration::ZERO).await.expect("due again");
    assert!(the_duty(&rig).await.is_under_way, "the failures are over");
}
