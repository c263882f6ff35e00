//! A write whose answer was lost may have been applied (obligation 3), and leaves one record (obligation 5), whichever of a
//! push's requests it was (obligation 9). A client may find out by itself what became of it, but must not guess.

use ems_sync::remote::PushResult;
use ems_sync_remotes::{Fault, Garbage};

use super::bench::{Bench, delete, delete_by_key, remote_id};
use super::kit::{Content, Kit};
use crate::support::results::word;

/// An answer that is lost after the commit, in every way that this happens.
fn lost_answers() -> [Fault; 4] {
    [
        Fault::CommitThenDrop,
        Fault::Garbage { what: Garbage::Html, applied: true },
        Fault::Garbage { what: Garbage::CutOff, applied: true },
        Fault::Status { code: 504, headers: Vec::new(), body: None, applied: true },
    ]
}

/// A failure that does not rule out that the write was applied.
#[track_caller]
fn assert_ambiguous(result: &PushResult, which: &str) {
    assert_eq!(word(result), "ambiguous", "{which}: {result:?}");
    assert!(matches!(result, PushResult::Failed(failure) if !failure.unsent), "{which}");
}

pub(super) async fn a_lost_answer_to_a_create_leaves_one_record<K: Kit>(bench: &Bench<K>) {
    let mut id = 0;
    for fault in lost_answers() {
        for nth in 1.. {
            id += 1;
            let which = format!("{fault:?} of write {nth}");
            let rule = bench.strike_write(&fault, nth);
            let result = bench.one(bench.create(id, Content::A)).await;
            if !bench.has_struck(rule) {
                assert!(nth > 1, "a create writes");
                assert_eq!(word(&result), "held", "{which}: {result:?}");
                break;
            }
            match &result {
                PushResult::Failed(failure) => {
                    assert_ambiguous(&result, &which);
                    assert!(nth == 1 || failure.found.is_some(), "{which}: it was known by then");
                }
                // It looked for itself.
                _ => bench.assert_true(id, &result, Content::A),
            }
            let bench = bench.fresh().await;
            let again = bench.one(bench.create_again(id, Content::A, false)).await;
            remote_id(&again);
            bench.assert_true(id, &again, Content::A);
            assert_eq!(bench.kit.records(), usize::try_from(id).unwrap(), "{which}");
        }
    }
}

pub(super) async fn a_create_that_never_arrived_is_sent_again_once_absence_is_proof<K: Kit>(
    bench: &Bench<K>,
) {
    let rule = bench.strike_writes(&Fault::Drop);
    let result = bench.one(bench.create(7, Content::A)).await;
    bench.sim().faults().remove(rule);
    assert_ambiguous(&result, "a request without an answer");
    assert_eq!(bench.kit.records(), 0);
    let again = bench.one(bench.create_again(7, Content::A, false)).await;
    assert_eq!(again, PushResult::Unsettled, "it may still land");
    let again = bench.one(bench.create_again(7, Content::A, true)).await;
    assert_eq!(word(&again), "held", "{again:?}");
    bench.assert_holds(7, Content::A);
    assert_eq!(bench.kit.records(), 1);
}

pub(super) async fn a_lost_answer_to_an_update_is_ambiguous_until_it_is_repeated<K: Kit>(
    bench: &Bench<K>,
) {
    let record = bench.made(7, Content::A).await;
    for fault in lost_answers() {
        for nth in 1.. {
            let which = format!("{fault:?} of write {nth}");
            let rule = bench.strike_write(&fault, nth);
            let result = bench.one(bench.update(7, &record, Content::B)).await;
            let has_struck = bench.has_struck(rule);
            if matches!(result, PushResult::Failed(_)) {
                assert_ambiguous(&result, &which);
                let again = bench.one(bench.update(7, &record, Content::B)).await;
                assert_eq!(remote_id(&again), record, "{which}");
            }
            bench.assert_holds(7, Content::B);
            let back = bench.one(bench.update(7, &record, Content::A)).await;
            assert_eq!(word(&back), "held", "{which}: {back:?}");
            bench.assert_holds(7, Content::A);
            if !has_struck {
                assert!(nth > 1, "an update writes");
                break;
            }
        }
    }
    assert_eq!(bench.kit.records(), 1);
}

pub(super) async fn a_lost_answer_to_a_delete_is_ambiguous_until_it_is_repeated<K: Kit>(
    bench: &Bench<K>,
) {
    let mut id = 0;
    for fault in lost_answers() {
        for nth in 1.. {
            id += 1;
            let which = format!("{fault:?} of write {nth}");
            let record = bench.made(id, Content::A).await;
            let rule = bench.strike_write(&fault, nth);
            let mut result = bench.one(delete::<K>(id, &record)).await;
            let has_struck = bench.has_struck(rule);
            if matches!(result, PushResult::Failed(_)) {
                assert_ambiguous(&result, &which);
                result = bench.fresh().await.one(delete::<K>(id, &record)).await;
            }
            assert_eq!(word(&result), "gone", "{which}: {result:?}");
            bench.assert_true(id, &result, Content::A);
            if !has_struck {
                assert!(nth > 1, "a delete writes");
                break;
            }
        }
    }
}

pub(super) async fn a_lost_answer_to_a_delete_by_key_is_ambiguous_until_it_is_repeated<K: Kit>(
    bench: &Bench<K>,
) {
    for (id, fault) in (1..).zip(lost_answers()) {
        bench.made(id, Content::A).await;
        let rule = bench.strike_write(&fault, 1);
        let mut result = bench.one(delete_by_key::<K>(id)).await;
        assert!(bench.has_struck(rule));
        if matches!(result, PushResult::Failed(_)) {
            assert_ambiguous(&result, &format!("{fault:?}"));
            result = bench.fresh().await.one(delete_by_key::<K>(id)).await;
        }
        assert_eq!(word(&result), "gone", "{fault:?}: {result:?}");
        bench.assert_true(id, &result, Content::A);
    }
}

/// Whether it was applied or not, the answer is the same, and so is the class.
pub(super) async fn a_gateway_that_gave_up_may_have_passed_the_write_on<K: Kit>(bench: &Bench<K>) {
    let record = bench.made(7, Content::A).await;
    for code in [408, 502, 504] {
        let rule = bench.strike_writes(&super::bench::page(code));
        let result = bench.one(bench.update(7, &record, Content::B)).await;
        bench.sim().faults().remove(rule);
        assert_ambiguous(&result, &format!("{code}"));
    }
    bench.assert_holds(7, Content::A);
}

/// The engine decides about retries: it knows of the lease, the breaker and of newer states (obligation 6).
pub(super) async fn a_failed_write_is_not_sent_again_by_the_client<K: Kit>(bench: &Bench<K>) {
    let record = bench.made(7, Content::A).await;
    for fault in [Fault::status(503), Fault::Drop, super::bench::page(502)] {
        let writes = bench.writes();
        let rule = bench.strike_all(&fault);
        let result = bench.one(bench.update(7, &record, Content::B)).await;
        bench.sim().faults().remove(rule);
        assert!(matches!(result, PushResult::Failed(_)), "{fault:?}: {result:?}");
        assert!(bench.writes() <= writes + 1, "{fault:?}");
    }
}
