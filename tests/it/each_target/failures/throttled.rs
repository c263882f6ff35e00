//! A target that wants to be left alone for a while.

use std::time::Duration;

use ems_sync::target::Target;
use ems_sync_remotes::Entry;
use jiff::Timestamp;

use super::super::bed::Bed;
use super::bench::CONSUMING;

pub(super) async fn a_pause_that_the_target_asks_for_is_kept_and_burns_no_attempt(target: Target) {
    let bed = Bed::without_people(&[target]).await;
    let running = bed.rig.start(&CONSUMING);
    bed.more(5).await;
    bed.rig.settled().await;
    bed.asks_for_a_pause(target);
    bed.more(20).await;
    bed.target_is(target, "throttled_until > now()").await;
    bed.assert_nothing_burnt(target).await;
    bed.serves(target);
    let pause = format!(
        "select e.happened_on, t.throttled_until from sync.target t join sync.target_event e using (target)
         where target = '{target}' and event = 'throttled' order by target_event_id limit 1"
    );
    let pause = bed.rig.ems.query_one(&pause, &[]).await.unwrap();
    let (told, until): (Timestamp, Timestamp) = (pause.get(0), pause.get(1));
    eprintln!("{target}: a pause of {:#}", until.duration_since(told));
    bed.rig.settled().await;
    assert!(Timestamp::now() >= until, "{target}: the pause is over");

    // What was on its way when the answer came can't be called back.
    let heard = told + Duration::from_millis(500);
    let is_within = |entry: &Entry| entry.started_at > heard && entry.started_at < until;
    let within = bed.journal(target).into_iter().filter(is_within).count();
    assert_eq!(within, 0, "{target}: requests within the pause");
    bed.assert_nothing_burnt(target).await;
    bed.all_but("false").await;
    bed.assert_same(target, "after the pause").await;
    running.stop().await;
}
