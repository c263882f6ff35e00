//! A target that does not know us any more, as two processes learn.

use ems_sync::target::Target;
use ems_sync_remotes::Rule;

use super::super::bed::{Bed, of_sim};
use super::bench::CONSUMING;
use super::ways::{reason, refusal};

pub(super) async fn a_target_that_refuses_us_is_disabled_with_one_alert_and_enabling_it_catches_up(
    target: Target,
) {
    let bed = Bed::without_people(&[target]).await;
    let (running, other) = (bed.rig.start(&CONSUMING), bed.rig.start(&CONSUMING));
    bed.more(5).await;
    bed.rig.settled().await;
    let rule = Rule::new(refusal(target)).unlimited();
    of_sim!(bed, target, sim => sim.faults().push(rule));
    bed.more(20).await;
    bed.target_is(target, "disabled_on is not null").await;
    let status = bed.json(&["status", "--json"]).await;
    let rows = status["targets"].as_array().unwrap();
    let row = rows.iter().find(|row| row["target"] == target.name()).unwrap();
    assert_eq!((&row["state"], &row["reason"]), (&"disabled".into(), &reason(target).into()));

    // Changes go on; nothing but what was on its way, of either process, is sent.
    bed.nobody_consumes(target).await;
    let requests = bed.counters(target).requests;
    bed.rig.exec("update ems.person set last_name = last_name || ' A' where id <= 5").await;
    bed.rig.until("select count(*) from sync.outbox", "owed").await;
    bed.json(&["sweep", "outbound", "--target", target.name(), "--json"]).await;
    assert_eq!(
        bed.counters(target).requests,
        requests,
        "{target}: nothing is sent to a disabled target"
    );
    let alerts = format!("target = '{target}' and event = 'disabled'");
    assert_eq!(bed.events(&alerts).await, 1, "{target}: one alert");
    assert_eq!(bed.events("true").await, 1, "{target}: and nothing else");
    bed.assert_nothing_burnt(target).await;

    of_sim!(bed, target, sim => sim.faults().clear());
    let (code, text) = bed.rig.run(&["target", "enable", target.name()]).await;
    assert_eq!(code, 0, "{text}");
    bed.rig.settled().await;
    bed.all_but("false").await;
    bed.assert_nothing_burnt(target).await;
    bed.assert_same(target, "when it is enabled").await;
    running.stop().await;
    other.stop().await;
}
