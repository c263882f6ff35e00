//! The remote id that we know is not this entity's record any more.

use ems_sync::remote::PushResult;

use super::bench::{Bench, delete, remote_id};
use super::kit::{Content, Kit};
use crate::support::results::word;

pub(super) async fn a_record_that_was_removed_behind_our_back_is_a_stale_mapping<K: Kit>(
    bench: &Bench<K>,
) {
    let old = bench.made(7, Content::A).await;
    bench.made(8, Content::A).await;
    bench.kit.remove(7);
    assert_eq!(bench.kit.held(7), None);
    // Whoever made a record a moment ago may not believe that it can't be seen.
    let bench = bench.fresh().await;
    let result = bench.one(bench.update(7, &old, Content::B)).await;
    if K::ABSENCE_IS_A_DECISION {
        assert_eq!(word(&result), "rejected", "{result:?}");
        assert_eq!((bench.kit.held(7), bench.kit.records()), (None, 1));
        return;
    }
    assert_eq!(word(&result), "stale_mapping", "{result:?}");
    // The engine forgets the id and looks for the record by our key.
    let result = bench.one(bench.create_again(7, Content::B, true)).await;
    assert_eq!(word(&result), "held", "{result:?}");
    bench.assert_holds(7, Content::B);
    bench.assert_holds(8, Content::A);
    assert_eq!(bench.kit.records(), 2);
}

pub(super) async fn an_id_that_means_another_record_by_now_changes_nobodys_record<K: Kit>(
    bench: &Bench<K>,
) {
    let one = bench.made(7, Content::A).await;
    bench.made(8, Content::A).await;
    if !bench.kit.swap(7, 8) {
        return;
    }
    let bench = bench.fresh().await;
    let result = bench.one(bench.update(7, &one, Content::B)).await;
    assert_eq!(word(&result), "stale_mapping", "{result:?}");
    bench.assert_holds(7, Content::A);
    bench.assert_holds(8, Content::A);
    let result = bench.one(delete::<K>(7, &one)).await;
    // It may look where the record is now, and delete that.
    bench.assert_true(7, &result, Content::A);
    let is_gone = result == PushResult::Gone;
    if !is_gone {
        assert_eq!(word(&result), "stale_mapping", "{result:?}");
        bench.assert_holds(7, Content::A);
    }
    bench.assert_holds(8, Content::A);
    let result = bench.one(bench.create_again(7, Content::B, is_gone)).await;
    assert!(matches!(result, PushResult::Held { .. }), "{result:?}");
    assert_ne!(remote_id(&result), one);
    bench.assert_holds(7, Content::B);
    bench.assert_holds(8, Content::A);
    assert_eq!(bench.kit.records(), 2);
}
