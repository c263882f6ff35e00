//! One target is away: the others are as fast as before, and it catches up by itself.

use std::collections::BTreeMap;
use std::time::Duration;

use ems_sync_remotes::Offline;
use ems_sync_remotes::tagserver::TagServerOptions;

use super::world::Five;
use crate::support::campaign::scaled;

/// From an update's commit until the target has confirmed it, in milliseconds: the median, by target.
const MEDIANS: &str = "
    select s.target, percentile_cont(0.5) within group (order by extract(epoch from s.entity_synced_on - p.modified_on) * 1000)
    from ems.person p
    left join ems.event_participant ep on ep.person_id = p.id
    join sync.record s on s.target <> 'runsignup' and s.entity_type = 'person' and s.entity_id = p.id
                       or s.target = 'runsignup' and s.entity_type = 'event_participant' and s.entity_id = ep.id
    where p.last_name like $1 and s.remote_id is not null and s.target <> 'mautic'
      -- Of whom nothing is shown there, nothing was pushed.
      and s.entity_synced_on >= p.modified_on
    group by s.target";

const PEOPLE: i64 = 200;
const PACE: Duration = Duration::from_millis(100);

/// Changes somebody every tenth of a second, and looks how long each took before they are changed again.
async fn medians(five: &Five, phase: &str, changes: usize) -> BTreeMap<String, f64> {
    let mut pace = tokio::time::interval(PACE);
    let mut medians: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for round in 0..changes.div_ceil(PEOPLE as usize) {
        let here = (changes - round * PEOPLE as usize).min(PEOPLE as usize);
        for id in 1..=here {
            pace.tick().await;
            let sql =
                format!("update ems.person set last_name = '{phase} {round} {id}' where id = {id}");
            five.rig.exec(&sql).await;
        }
        let left = "select (select count(*) from sync.outbox) + count(*) from sync.record
                    where owed_gen > done_gen and due_on < 'infinity' and target <> 'mautic'";
        five.rig.until(left, "at the others").await;
        let of = format!("{phase} {round} %");
        for row in five.rig.ems.query(MEDIANS, &[&of]).await.unwrap() {
            medians.entry(row.get(0)).or_default().push(row.get(1));
        }
    }
    let mean = |all: Vec<f64>| all.iter().sum::<f64>() / all.len() as f64;
    medians.into_iter().map(|(target, all)| (target, mean(all))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes, and its figures need a quiet machine: run with the campaign"]
async fn one_that_is_away_slows_no_other_and_catches_up() {
    let five = Five::new(PEOPLE, TagServerOptions::default()).await;
    let running = five.rig.start_all();
    five.settled().await;
    let changes = scaled(300, 3_000);
    let before = medians(&five, "before", changes).await;
    five.settled().await;
    five.mautic.go_offline(Offline::Refuse).await.unwrap();
    let during = medians(&five, "during", changes).await;
    let owed = "select count(*) from sync.record where target = 'mautic' and owed_gen > done_gen";
    assert!(five.rig.count(owed).await > 100, "it was away");
    assert_eq!(during.len(), 4, "{during:?}");
    for (target, now) in &during {
        let then = before[target];
        let change = (now / then - 1.0) * 100.0;
        eprintln!(
            "{target}: {then:.1} ms before, {now:.1} ms while Mautic was away ({change:+.1} %)"
        );
        if scaled(0, 1) == 1 {
            assert!(change < 10.0, "{target} became slower by {change:.1} %");
        }
    }
    assert_eq!(five.rig.count("select count(*) from sync.dead_letter").await, 0);
    five.mautic.go_online().await.unwrap();
    let since = tokio::time::Instant::now();
    five.settled().await;
    eprintln!("Mautic caught up in {:?}", since.elapsed());
    assert_eq!(five.rig.count("select count(*) from sync.dead_letter").await, 0);
    five.assert_same("after all").await;
    running.stop().await;
}
