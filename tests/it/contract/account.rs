//! Ids belong to one account at one remote (obligation 11).

use std::sync::Arc;
use std::time::Duration;

use ems_sync::remote::{FailureClass, PushResult, Remote as _};
use ems_sync_remotes::{Fault, Garbage, Offline};
use serde_json::json;

use super::bench::{Bench, answers, page};
use super::kit::{Content, Kit};
use super::refused::is_refusal;
use crate::support::results::{PATIENCE, word};

pub(super) async fn an_account_is_the_same_for_everybody_and_at_every_time<K: Kit>(
    bench: &Bench<K>,
) {
    let account = bench.client.account().await.unwrap();
    bench.made(7, Content::A).await;
    assert_eq!(bench.client.account().await.unwrap(), account);
    assert_eq!(bench.fresh().await.client.account().await.unwrap(), account);
    let writes = bench.writes();
    assert_eq!(bench.client.account().await.unwrap(), account);
    assert_eq!(bench.writes(), writes, "asking changes no record");
}

pub(super) async fn another_login_is_another_account<K: Kit>(bench: &Bench<K>) {
    let elsewhere = Bench::stranger(Arc::new(K::start_elsewhere().await), |_| {});
    let other = elsewhere.client.account().await.unwrap();
    assert_ne!(other, bench.client.account().await.unwrap());
    assert_eq!(elsewhere.client.account().await.unwrap(), other);
}

pub(super) async fn nothing_is_written_to_another_account<K: Kit>(bench: &Bench<K>) {
    let record = bench.made(7, Content::A).await;
    let ours = bench.client.account().await.unwrap();
    let elsewhere = Bench::<K>::stranger(Arc::new(K::start_elsewhere().await), |_| {});
    bench.client.stay_with(elsewhere.client.account().await.unwrap());
    // The engine asks after each reconnect.
    assert_eq!(bench.client.account().await.unwrap(), ours);
    tokio::time::timeout(PATIENCE, bench.client.changed()).await.expect("it tells");
    let writes = bench.writes();
    for push in bench.of_every_kind(7, &record) {
        let kind = format!("{:?}", push.action);
        let result = bench.one(push).await;
        assert_eq!(result, PushResult::NotSent, "{kind}");
    }
    assert_eq!(bench.writes(), writes);
    bench.client.stay_with(ours);
    let result = bench.one(bench.update(7, &record, Content::B)).await;
    assert_eq!(word(&result), "held", "{result:?}");
    let tells = tokio::time::timeout(Duration::from_millis(20), bench.client.changed()).await;
    assert!(tells.is_err(), "it is the account to stay with");
}

/// Neither another account nor none: a proxy's page must not stop the target for good.
pub(super) async fn an_answer_that_says_nothing_is_no_account<K: Kit>(bench: &Bench<K>) {
    for fault in [
        Fault::status(500),
        Fault::status(503),
        page(404),
        page(502),
        Fault::Drop,
        Fault::garbage(Garbage::Html),
        Fault::garbage(Garbage::EmptyBody),
        Fault::garbage(Garbage::TruncatedJson),
        answers(json!([])),
        answers(json!(null)),
    ] {
        let stranger = Bench::stranger(Arc::clone(&bench.kit), |_| {});
        let rule = bench.strike_all(&fault);
        for client in [&bench.client, &stranger.client] {
            let failure = client.account().await.unwrap_err();
            let is_passing =
                matches!(failure.class, FailureClass::Transient | FailureClass::OurFault);
            assert!(is_passing, "{fault:?}: {failure}");
        }
        bench.sim().faults().remove(rule);
        bench.client.account().await.unwrap();
    }
}

pub(super) async fn a_probe_says_whether_we_are_let_in_and_changes_nothing<K: Kit>(
    bench: &Bench<K>,
) {
    let writes = bench.writes();
    bench.client.probe().await.unwrap();
    assert_eq!(bench.writes(), writes);
    for (fault, expected) in [
        (K::throttle().0, Some(FailureClass::Throttled)),
        (Fault::status(503), Some(FailureClass::Transient)),
        (Fault::Drop, Some(FailureClass::Transient)),
        // A captive portal answers 200 to everything.
        (Fault::garbage(Garbage::Html), None),
    ] {
        // A client of its own, that keeps no pause from before.
        let alone = bench.fresh().await;
        let rule = bench.strike_all(&fault);
        let failure = alone.client.probe().await.expect_err("it is not let in");
        bench.sim().faults().remove(rule);
        assert!(expected.is_none_or(|class| class == failure.class), "{fault:?}: {failure}");
    }
    let alone = bench.fresh().await;
    let rule = bench.strike_all(&K::refusal());
    assert!(is_refusal(&alone.client.probe().await.expect_err("it is not let in")));
    bench.sim().faults().remove(rule);
    let alone = bench.fresh().await;
    bench.sim().go_offline(Offline::Refuse).await.unwrap();
    let failure = alone.client.probe().await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Transient);
    bench.sim().go_online().await.unwrap();
    assert_eq!(bench.kit.records(), 0);
}
