//! Who had no member for a while: what they have said with the one before still holds.

use ems_sync::remote::Push;
use ems_sync_remotes::mailchimp::{Act, Status};
use serde_json::json;

use super::bench::{Bench, EMAIL, NEWS, delete, in_list, reader, remote_id, row, word};

const NEW: &str = "nkosi@club.org";

/// Person 42 is pushed anew with another address, after the member `former`.
async fn back(bench: &Bench, former: &str, n: i64) -> String {
    let moved = row(NEW, json!({"news": in_list("SUBSCRIBED", n)}));
    let push = Push { former: Some(former.to_owned()), ..bench.create(42, &moved) };
    remote_id(&bench.one(push).await)
}

#[tokio::test]
async fn who_left_before_their_record_went_stays_out_under_another_address() {
    for act in [Act::Unsubscribe, Act::Complain, Act::Clean, Act::Archive] {
        let bench = Bench::new().await;
        let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
        bench.act(NEWS, EMAIL, &act);
        assert_eq!(word(&bench.one(delete(42, &id)).await), "gone");
        let now = back(&bench, &id, 99).await;
        assert_eq!(bench.status(NEWS, NEW), None, "{act:?}");
        // And by the next address after that.
        bench
            .updated(&now, &row("third@club.org", json!({"news": in_list("SUBSCRIBED", 100)})))
            .await;
        assert_eq!(bench.status(NEWS, "third@club.org"), None, "{act:?}");
        bench.assert_clean();
    }
}

#[tokio::test]
async fn who_leaves_after_their_record_went_stays_out_under_another_address() {
    let bench = Bench::new().await;
    let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
    assert_eq!(word(&bench.one(delete(42, &id)).await), "gone");
    bench.sim.configure(|settings| settings.clock_offset_seconds = 3_600);
    bench.act(NEWS, EMAIL, &Act::Unsubscribe);
    back(&bench, &id, 99).await;
    assert_eq!(bench.status(NEWS, NEW), None);
    bench.assert_clean();
}

#[tokio::test]
async fn who_opted_out_before_their_record_went_comes_back_by_a_later_opt_in_only() {
    for (n, status) in [(4, None), (6, Some(Status::Subscribed))] {
        let bench = Bench::new().await;
        let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
        let id = bench.updated(&id, &reader("UNSUBSCRIBED", 5)).await;
        assert_eq!(word(&bench.one(delete(42, &id)).await), "gone");
        back(&bench, &id, n).await;
        assert_eq!(bench.status(NEWS, NEW), status, "opted in at {n}");
        bench.assert_clean();
    }
}

/// Nor is it forgotten where another one has the address by now.
#[tokio::test]
async fn who_left_with_a_member_that_is_anothers_by_now_stays_out() {
    let bench = Bench::new().await;
    let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
    bench.act(NEWS, EMAIL, &Act::Unsubscribe);
    assert_eq!(word(&bench.one(delete(42, &id)).await), "gone");
    bench.act(NEWS, EMAIL, &Act::Subscribe);
    bench.one(bench.create(50, &reader("SUBSCRIBED", 3))).await;
    assert_eq!(bench.member(NEWS, EMAIL).ems_id.as_deref(), Some("50"));
    back(&bench, &id, 99).await;
    assert_eq!(bench.status(NEWS, NEW), None);
    bench.assert_clean();
}

#[tokio::test]
async fn who_said_nothing_comes_back_under_another_address() {
    for status in ["SUBSCRIBED", "PENDING"] {
        let bench = Bench::new().await;
        let id = bench.brought(&reader(status, 1)).await;
        assert_eq!(word(&bench.one(delete(42, &id)).await), "gone");
        assert_ne!(back(&bench, &id, 1).await, id);
        assert_eq!(bench.status(NEWS, NEW), Some(Status::Subscribed));
        bench.assert_clean();
    }
}

/// What is known of somebody before is no record of theirs: a first try that fails does not make it one.
#[tokio::test]
async fn a_remote_id_of_before_that_nobody_wrote_is_heeded_as_none() {
    let bench = Bench::new().await;
    for odd in ["", "7", "{}", r#"{"news":7}"#, r#"{"elsewhere":"c1"}"#] {
        let push =
            Push { former: Some(odd.to_owned()), ..bench.create(42, &reader("SUBSCRIBED", 1)) };
        assert!(["held", "adopted"].contains(&word(&bench.one(push).await)), "{odd}");
    }
    assert_eq!(bench.status(NEWS, EMAIL), Some(Status::Subscribed));
    bench.assert_clean();
}
