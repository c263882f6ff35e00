//! Everything ends in time, and nothing is sent late (obligations 3, 4 and 6).

use std::time::Duration;

use ems_sync::remote::{Push, PushResult, SendBefore};
use ems_sync_remotes::{Fault, Offline, Rule};
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
        assert_eq!(result, PushResult::NotSent, "{kind}");
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

/// The slot of a busy target comes when it comes.
pub(super) async fn a_push_that_waited_too_long_for_its_turn_is_not_sent<K: Kit>(bench: &Bench<K>) {
    let narrow = Bench::on(bench.kit.clone(), |http| http.concurrency = 1).await;
    narrow.strike_write(&Fault::delay(Duration::from_secs(2)), 1);
    let writes = narrow.writes();
    let slow = narrow.one(narrow.create(7, Content::A));
    let waiting = async {
        narrow.sim().wait_for(|| narrow.writes() > writes).await;
        let send_before = SendBefore::from(Instant::now() + Duration::from_millis(100));
        narrow.one(Push { send_before, ..narrow.create(8, Content::A) }).await
    };
    let (slow, waiting) = tokio::join!(slow, waiting);
    assert_eq!(word(&slow), "held", "{slow:?}");
    assert_eq!(waiting, PushResult::NotSent);
    assert_eq!((bench.kit.held(8), bench.kit.records()), (None, 1));
}

/// `NotSent` would be a lie once something was sent that may have been applied: the record must stay in doubt.
pub(super) async fn what_was_sent_is_never_called_unsent<K: Kit>(bench: &Bench<K>) {
    let mut id = 0;
    for kind in usize::from(!K::CARRIES_KEYS)..5 {
        for nth in 1.. {
            id += 1;
            let record = bench.made(id, Content::A).await;
            let mut push = bench.of_every_kind(id, &record).swap_remove(kind);
            let which = format!("request {nth} of {:?}", push.action);
            let delay = Fault::delay(Duration::from_millis(300));
            let rule = bench.sim().faults().push(Rule::new(delay).nth(nth));
            let writes = bench.writes();
            push.send_before = SendBefore::from(Instant::now() + Duration::from_millis(200));
            let result = bench.one(push).await;
            let has_struck = bench.has_struck(rule);
            bench.assert_true(id, &result, Content::B);
            let unsent = match &result {
                PushResult::NotSent => true,
                PushResult::Failed(failure) => failure.unsent,
                PushResult::Held { .. }
                | PushResult::Differs(_)
                | PushResult::Gone
                | PushResult::Unsettled => false,
            };
            assert!(!unsent || bench.writes() == writes, "{which}: {result:?}");
            if !has_struck {
                break;
            }
        }
    }
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
