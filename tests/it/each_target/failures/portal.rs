//! A captive portal, or a proxy without its application: everything is answered with a page.

use ems_sync::target::Target;
use ems_sync_remotes::{Fault, Rule};
use serde_json::json;

use super::super::bed::{Bed, of_sim};
use super::bench::CONSUMING;

fn page(code: u16) -> Fault {
    let headers = vec![("Content-Type".to_owned(), "text/html".to_owned())];
    let body = Some(json!("<html><body>Welcome to the network</body></html>"));
    Fault::Status { code, headers, body, applied: false }
}

pub(super) async fn a_captive_portal_rejects_nothing_forgets_nothing_and_deletes_nothing(
    target: Target,
) {
    let bed = Bed::without_people(&[target]).await;
    let running = bed.rig.start(&CONSUMING);
    bed.more(12).await;
    bed.rig.settled().await;
    for (code, leaver) in [(200, 3), (302, 6), (404, 9), (400, 12)] {
        let before = bed.rows(target);
        of_sim!(bed, target, sim => sim.faults().push(Rule::new(page(code)).unlimited()));
        bed.rig
            .exec(&format!(
                "update ems.person set last_name = last_name || '!' where id % 2 = 1;
                 delete from ems.person where id = {leaver}"
            ))
            .await;
        bed.more(2).await;
        bed.target_is(target, "breaker <> 'closed' or disabled_on is not null").await;
        assert_eq!(
            bed.events("event = 'disabled'").await,
            0,
            "{target}: a {code} page disables it"
        );
        assert_eq!(bed.rows(target), before, "{target}: a {code} page");
        bed.serves(target);
        bed.rig.settled().await;
        bed.all_but("false").await;
        bed.assert_nothing_burnt(target).await;
        bed.assert_same(target, &format!("after {code} pages")).await;
    }
    running.stop().await;
}
