//! Everything ends in time, and nothing is sent late (obligations 3, 4 and 6).

use std::time::Duration;

use ems_sync::remote::{Push, PushResult, SendBefore};
use ems_sync_remotes::{Fault, Offline};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::bench::{Bench, failure};
use super::kit::{Content, Kit};
use crate::support::results::{PATIENCE, word, words};

pub(super) async fn a_request_without_an_answer_ends_with_its_deadline<K: Kit>(bench: &Bench<K>) {
    let record = bench.made(7, Content::A).await;
    let impatient = bench.impatient().await;
    let rule = bench.strike_all(&Fault::Hang { ms: None });
    for push in bench.of_every_kind(7, &record) {
        let kind = format!("{:?}", push.action);
        let (began, writes) = (Instant::now(), bench.writes());
        let result = impatient.one(push).await;
        assert!(began.elapsed() < PATIENCE / 3, "{kind}: {:?}", began.elapsed());
        if !K::DELETES && word(&result) == "gone" {
            continue;
        }
        assert!(["transient", "ambiguous"].contains(&word(&result)), "{kind}: {result:?}");
        assert!(!failure(result).unsent || bench.writes() == writes, "{kind}: it was sent");
    }
    bench.sim().faults().remove(rule);
    bench.assert_holds(7, Content::A);
}

pub(super) async fn a_write_that_hangs_after_its_commit_is_ambiguous<K: Kit>(bench: &Bench<K>) {
    let impatient = bench.impatient().await;
    for nth in 1.. {
        let id = i64::try_from(nth).unwrap();
        let rule = bench.strike_write(&Fault::CommitThenHang { ms: None }, nth);
        let result = impatient.one(impatient.create(id, Content::A)).await;
        if !bench.has_struck(rule) {
            break;
        }
        assert_eq!(word(&result), "ambiguous", "write {nth}: {result:?}");
        let again = bench.one(bench.create_again(id, Content::A, false)).await;
        assert!(matches!(again, PushResult::Held { .. }), "write {nth}: {again:?}");
        bench.assert_holds(id, Content::A);
        assert_eq!(bench.kit.records(), usize::try_from(id).unwrap());
    }
}

pub(super) async fn a_push_whose_time_is_over_sends_nothing<K: Kit>(bench: &Bench<K>) {
    let record = bench.made(7, Content::A).await;
    let requests = bench.sim().counters().requests;
    let past = || SendBefore::from(Instant::now());
    for push in bench.of_every_kind(7, &record) {
        let kind = format!("{:?}", push.action);
        let result = bench.one(Push { send_before: past(), ..push }).await;
        let unlinked = !K::DELETES && word(&result) == "gone";
        assert!(result == PushResult::NotSent || unlinked, "{kind}: {result:?}");
    }
    for by_itself in [false, true] {
        let late = |id| Push { by_itself, send_before: past(), ..bench.create(id, Content::A) };
        let results = bench.many((1..=5).map(late).collect()).await;
        assert_eq!(words(&results), [("not_sent", 5)].into(), "in a batch");
    }
    let stranger = Bench::stranger(bench.kit.clone(), |_| {});
    let late = Push { send_before: past(), ..bench.create(8, Content::A) };
    assert_eq!(stranger.one(late).await, PushResult::NotSent, "not even a login");
    assert_eq!(bench.sim().counters().requests, requests);
    bench.assert_holds(7, Content::A);
}

pub(super) async fn nothing_is_sent_once_we_are_told_to_stop<K: Kit>(bench: &Bench<K>) {
    let stop = CancellationToken::new();
    let batch = |content| {
        let send_before = SendBefore::new(Instant::now() + PATIENCE, stop.clone());
        let push = |id| Push { send_before: send_before.clone(), ..bench.create(id, content) };
        (1..=3).map(push).collect()
    };
    assert_eq!(words(&bench.many(batch(Content::A)).await), [("held", 3)].into());
    let requests = bench.sim().counters().requests;
    stop.cancel();
    assert_eq!(words(&bench.many(batch(Content::B)).await), [("not_sent", 3)].into());
    assert_eq!(bench.sim().counters().requests, requests);
}

/// Where no connection stood nothing can have been applied, and that is said; otherwise the answer is lost.
pub(super) async fn a_remote_that_is_away_is_unsent_or_ambiguous<K: Kit>(bench: &Bench<K>) {
    let record = bench.made(7, Content::A).await;
    let patience = Duration::from_secs(2);
    let impatient = Bench::on(bench.kit.clone(), |http| http.timeout = patience).await;
    for offline in [Offline::Refuse, Offline::Close, Offline::Hang] {
        let writes = bench.writes();
        bench.sim().go_offline(offline).await.unwrap();
        let result = impatient.one(impatient.update(7, &record, Content::B)).await;
        bench.sim().go_online().await.unwrap();
        let failed = failure(result);
        let is_lost = ["transient", "ambiguous"].contains(&failed.class.name());
        assert!(is_lost, "{offline:?}: {failed}");
        assert!(failed.unsent || offline != Offline::Refuse, "{offline:?}: {failed:?}");
        assert!(!failed.unsent || bench.writes() == writes, "{offline:?}: {failed:?}");
        bench.assert_holds(7, Content::A);
    }
    let result = impatient.one(impatient.update(7, &record, Content::B)).await;
    assert_eq!(word(&result), "held", "and back: {result:?}");
}
