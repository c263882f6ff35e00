//! One entity that a target fails to write, again and again.

use ems_sync::target::Target;
use ems_sync_remotes::Fault;
use serde_json::json;

use super::super::bed::{Bed, of_sim};
use super::super::meddling::entity_of;
use super::bench::CONSUMING;

/// Nobody waits this much longer than they should, unless something hangs.
const GENEROUS_MS: u64 = 15_000;

/// One try and three retries, not before 1, 2 and 4 seconds have passed.
fn assert_four_in_time(bed: &Bed, target: Target, id: i64) {
    let at: Vec<u64> =
        bed.writes_of(target, id).iter().map(|entry| entry.started_us / 1_000).collect();
    let gaps: Vec<u64> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    eprintln!("{target}: {gaps:?} ms between the attempts");
    assert_eq!(gaps.len(), 3, "{target}: one try and three retries");
    for (gap, least) in gaps.iter().zip([1_000, 2_000, 4_000]) {
        assert!((least..least + GENEROUS_MS).contains(gap), "{target}: {gaps:?}");
    }
}

pub(super) async fn one_that_fails_is_tried_four_times_holds_up_nobody_and_is_brought_home_by_a_replay(
    target: Target,
) {
    let bed = Bed::without_people(&Target::ALL).await;
    let running = bed.rig.start(&CONSUMING);
    let first = bed.more(10).await;
    bed.rig.settled().await;
    let id = first + 10;
    bed.strike(target, id, Fault::status(503), None);
    assert_eq!(bed.more(1).await, id);
    bed.seen(target, "the first attempt", || !bed.writes_of(target, id).is_empty()).await;

    // The others come and change meanwhile, here and everywhere.
    bed.more(4).await;
    bed.rig.exec("update ems.person set last_name = last_name || ' A' where id <= 5").await;
    bed.all_but(&format!("target = '{target}' and entity_id = {id}")).await;
    let early = "select count(*) from sync.dead_letter";
    assert_eq!(bed.rig.count(early).await, 0, "{target}: the others did not wait for it");

    bed.open_dead_letters(1).await;
    assert_four_in_time(&bed, target, id);
    let entity = entity_of(target);
    let opened = format!(
        "select count(*) from sync.dead_letter
         where target = '{target}' and entity_type = '{entity}' and entity_id = {id} and reason = 'transient' and attempts = 4"
    );
    assert_eq!(bed.rig.count(&opened).await, 1);
    for other in Target::ALL {
        bed.tokens(other, u32::from(other == target)).await;
    }
    let failed = format!(
        "select count(*) from sync.attempt where class is not null and (target, entity_type, entity_id) <> ('{target}', '{entity}', {id})"
    );
    assert_eq!(bed.rig.count(&failed).await, 0, "nobody else failed");
    bed.target_is(target, "breaker = 'closed'").await;

    of_sim!(bed, target, sim => sim.faults().clear());
    let replay = ["dead-letters", "replay", "--target", target.name(), "--json"];
    let replayed = bed.json(&replay).await;
    assert_eq!((&replayed["matched"], &replayed["changed"]), (&json!(1), &json!(1)));
    bed.rig.settled().await;
    bed.open_dead_letters(0).await;
    assert_eq!(bed.writes_of(target, id).len(), 5, "{target}: one write more");
    let resolved = "select count(*) from sync.dead_letter where outcome = 'resolved'";
    assert_eq!(bed.rig.count(resolved).await, 1);
    let again = bed.json(&replay).await;
    assert_eq!(again["matched"], 0, "nothing is open");
    bed.rig.settled().await;
    assert_eq!(bed.writes_of(target, id).len(), 5, "{target}: a second replay sends nothing");
    bed.tokens(target, 0).await;
    for target in Target::ALL {
        bed.assert_same(target, "at the end").await;
    }
    running.stop().await;
}
