//! One entity's failure costs the others of its target nothing that they can notice (G7).

use std::time::Duration;

use ems_sync_remotes::tagserver::{Bulk, TagServerOptions, TagServerSettings};
use ems_sync_remotes::{Fault, Rule};

use crate::support::parity::assert_in_sync;
use crate::support::rig::{PATIENCE, Rig};

/// Requests of these people are never answered.
fn hang(rig: &Rig, ids: &[i64]) {
    for id in ids {
        let rule = Rule::new(Fault::Hang { ms: None }).external_id(id).writes();
        rig.sim.faults().push(rule.unlimited());
    }
}

async fn people(rig: &Rig, n: i64) {
    let sql = format!(
        "insert into ems.person (first_name, last_name) select 'P', n::text from generate_series(1, {n}) n"
    );
    rig.exec(&sql).await;
}

/// Eight requests hang for as long as the client has patience, two in each batch, and 400 others are not held up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entities_that_hang_hold_up_no_others() {
    let settings = TagServerSettings { bulk: Bulk::NotFound, ..TagServerSettings::default() };
    let mut rig = Rig::with(TagServerOptions { settings, ..TagServerOptions::default() }).await;
    rig.set("TARGETS__TAGSERVER__TIMEOUT", "60s");
    let running = rig.start_all();
    people(&rig, 400).await;
    rig.settled().await;
    let hanging: Vec<i64> = (1..=8).map(|n| n * 50).collect();
    hang(&rig, &hanging);
    for round in 0..3 {
        rig.exec(&format!("update ems.person set last_name = last_name || '{round}'")).await;
        let others =
            "select count(*) from sync.record where owed_gen > done_gen and entity_id % 50 <> 0";
        rig.until(&format!("select (select count(*) from sync.outbox) + ({others})"), "pushed")
            .await;
    }
    // None of the eight has given up yet: each of its requests is still the first.
    let is_hanging = |id: &i64| rig.sim.writes_of("people", &id.to_string());
    let began = hanging.iter().filter(|id| is_hanging(id).iter().any(|e| e.ended_us.is_none()));
    assert_eq!(began.count(), 8, "the others did not wait for them");
    assert_eq!(rig.count("select count(*) from sync.attempt where class is not null").await, 0);
    rig.sim.faults().clear();
    running.stop().await;
}

/// A row that makes a bulk call hang takes its call along once; then it is alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_poisons_its_bulk_call_does_so_once() {
    let mut rig = Rig::new().await;
    rig.set("TARGETS__TAGSERVER__TIMEOUT", "1s");
    rig.set("TARGETS__TAGSERVER__SETTLE", "100ms");
    let running = rig.start_all();
    people(&rig, 60).await;
    rig.settled().await;
    hang(&rig, &[30]);
    rig.exec("update ems.person set last_name = last_name || '!'").await;
    let others = "select count(*) from sync.record where owed_gen > done_gen and entity_id <> 30";
    rig.until(&format!("select (select count(*) from sync.outbox) + ({others})"), "pushed").await;
    let burnt = "select coalesce(max(n), 0) from (
                     select count(*) as n from sync.attempt where class is not null and entity_id <> 30 group by entity_id) a";
    assert!(rig.count(burnt).await <= 1, "more than one attempt of an innocent");
    let dead =
        "select 1 - count(*) from sync.dead_letter where closed_on is null and entity_id = 30";
    rig.until(dead, "dead-lettered").await;
    assert_eq!(rig.count("select count(*) from sync.dead_letter where entity_id <> 30").await, 0);
    rig.sim.faults().clear();
    assert_eq!(rig.run(&["dead-letters", "replay", "--target", "tagserver"]).await.0, 0);
    let settled = tokio::time::timeout(PATIENCE + Duration::from_secs(1), rig.settled());
    settled.await.unwrap();
    assert_in_sync(&rig).await;
    running.stop().await;
}
