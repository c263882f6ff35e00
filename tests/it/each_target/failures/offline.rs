//! A target that is away while much is owed.

use ems_sync::target::Target;
use ems_sync_remotes::Offline;

use super::super::bed::{Bed, of_sim};
use super::bench::CONSUMING;
use crate::support::campaign::scaled;

pub(super) async fn a_target_that_refuses_connections_is_left_alone_and_catches_up(target: Target) {
    is_left_alone_and_catches_up(target, Offline::Refuse).await;
}

pub(super) async fn a_target_that_does_not_answer_is_left_alone_and_catches_up(target: Target) {
    is_left_alone_and_catches_up(target, Offline::Hang).await;
}

async fn is_left_alone_and_catches_up(target: Target, offline: Offline) {
    let mut bed = Bed::without_people(&Target::ALL).await;
    bed.set(target, "TIMEOUT", "1s");
    let running = bed.rig.start(&CONSUMING);
    bed.more(5).await;
    bed.rig.settled().await;
    of_sim!(bed, target, sim => sim.go_offline(offline).await.unwrap());
    let people = scaled(40, 100) as i64;
    bed.more(people).await;
    bed.target_is(target, "breaker <> 'closed'").await;
    // What was under way when it opened has ended by the time of the first probe, which fails.
    bed.target_is(target, "breaker_failures >= 2").await;
    let attempts = format!("select count(*) from sync.attempt where target = '{target}'");
    let tried = bed.rig.count(&attempts).await;

    // The other four do not notice.
    bed.all_but(&format!("target = '{target}'")).await;
    bed.target_is(target, "breaker <> 'closed'").await;
    let noticed = format!(
        "select (select count(*) from sync.attempt where class is not null and target <> '{target}')
              + (select count(*) from sync.target_event where target <> '{target}')"
    );
    assert_eq!(bed.rig.count(&noticed).await, 0, "others than {target} noticed");
    assert_eq!(bed.rig.count(&attempts).await, tried, "{target}: none while it is open");
    let owed = format!(
        "select count(distinct entity_id) from sync.record where target = '{target}' and owed_gen > done_gen"
    );
    assert_eq!(bed.rig.count(&owed).await, people, "{target}");
    let burnt = format!("select max(attempts)::bigint from sync.record where target = '{target}'");
    let burnt = bed.rig.count(&burnt).await;
    assert!(burnt <= 2, "{target}: {burnt} attempts of one entity before it opened");
    let ours = |event: &str| format!("target = '{target}' and event = '{event}'");
    // A probe per opening, after pauses that double from two seconds on.
    let (probes, opened) = (bed.events(&ours("probing")).await, bed.events(&ours("opened")).await);
    assert!((1..=opened).contains(&probes), "{target}: {probes} probes, opened {opened} times");
    let hasty = format!(
        "select count(*) from (
            select happened_on - lag(happened_on) over (order by target_event_id) as gap,
                   row_number() over (order by target_event_id) as n
            from sync.target_event where {}) as probes
         where gap < n * interval '0.9 seconds'",
        ours("probing")
    );
    assert_eq!(bed.rig.count(&hasty).await, 0, "{target}: probes are bounded");

    of_sim!(bed, target, sim => sim.go_online().await.unwrap());
    bed.rig.settled().await;
    bed.target_is(target, "breaker = 'closed' and not on_trial").await;
    assert_eq!(bed.events(&ours("recovered")).await, 1);
    bed.assert_nothing_burnt(target).await;
    for target in Target::ALL {
        bed.assert_same(target, "when it is back").await;
    }
    running.stop().await;
}
