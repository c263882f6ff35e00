//! Create, update, clear, delete: what is held is what was meant, and nothing else moves (obligation 2).

use ems_sync::remote::PushResult;

use super::bench::{Bench, delete, delete_by_key, remote_id};
use super::kit::{Content, Kit};
use crate::support::results::word;

pub(super) async fn a_new_entity_gets_one_record<K: Kit>(bench: &Bench<K>) {
    let result = bench.one(bench.create(7, Content::A)).await;
    let PushResult::Held { remote_hash, written: true, .. } = result else { panic!("{result:?}") };
    assert_eq!(remote_hash, bench.wire(7, Content::A).hash, "the remote holds what was sent");
    bench.assert_holds(7, Content::A);
    assert_eq!(bench.kit.records(), 1);
}

pub(super) async fn an_update_replaces_the_content<K: Kit>(bench: &Bench<K>) {
    let id = bench.made(7, Content::A).await;
    bench.made(8, Content::A).await;
    let result = bench.one(bench.update(7, &id, Content::B)).await;
    let PushResult::Held { remote_hash, written: true, .. } = &result else { panic!("{result:?}") };
    assert_eq!(*remote_hash, bench.wire(7, Content::B).hash, "the remote holds what was sent");
    assert_eq!(remote_id(&result), id, "in the same record");
    bench.assert_holds(7, Content::B);
    bench.assert_holds(8, Content::A);
    assert_eq!(bench.kit.records(), 2);
}

pub(super) async fn a_field_that_is_null_in_the_ems_is_cleared<K: Kit>(bench: &Bench<K>) {
    let id = bench.made(7, Content::A).await;
    let result = bench.one(bench.update(7, &id, Content::Cleared)).await;
    let PushResult::Held { remote_hash, .. } = result else { panic!("{result:?}") };
    assert_eq!(remote_hash, bench.wire(7, Content::Cleared).hash);
    bench.assert_holds(7, Content::Cleared);
    // And back, and as a create.
    let result = bench.one(bench.update(7, &id, Content::A)).await;
    assert_eq!(word(&result), "held", "{result:?}");
    bench.assert_holds(7, Content::A);
    bench.made(8, Content::Cleared).await;
    bench.assert_holds(8, Content::Cleared);
}

pub(super) async fn a_second_update_with_the_same_content_is_no_failure<K: Kit>(bench: &Bench<K>) {
    let id = bench.made(7, Content::A).await;
    for _ in 0..2 {
        let result = bench.one(bench.update(7, &id, Content::B)).await;
        assert_eq!(remote_id(&result), id);
        bench.assert_true(7, &result, Content::B);
    }
    assert_eq!(bench.kit.records(), 1);
}

pub(super) async fn a_delete_removes_the_record_and_no_other<K: Kit>(bench: &Bench<K>) {
    let id = bench.made(7, Content::A).await;
    bench.made(8, Content::A).await;
    let result = bench.one(delete::<K>(7, &id)).await;
    assert_eq!(word(&result), "gone", "{result:?}");
    bench.assert_true(7, &result, Content::A);
    bench.assert_holds(8, Content::A);
}

pub(super) async fn a_delete_by_key_removes_the_record_and_no_other<K: Kit>(bench: &Bench<K>) {
    bench.made(7, Content::A).await;
    bench.made(8, Content::A).await;
    let result = bench.one(delete_by_key::<K>(7)).await;
    assert_eq!(word(&result), "gone", "{result:?}");
    bench.assert_true(7, &result, Content::A);
    bench.assert_holds(8, Content::A);
}

pub(super) async fn what_is_gone_already_is_gone<K: Kit>(bench: &Bench<K>) {
    let id = bench.made(7, Content::A).await;
    // By clients of their own: whoever made a record a moment ago may not believe that it can't be seen.
    for push in [delete::<K>(7, &id), delete::<K>(7, &id), delete_by_key::<K>(7)] {
        let result = bench.fresh().await.one(push).await;
        assert_eq!(word(&result), "gone", "{result:?}");
    }
    // Also what somebody else removed, and what never was there.
    let id = bench.made(8, Content::A).await;
    bench.kit.remove(8);
    for push in [delete::<K>(8, &id), delete_by_key::<K>(8), delete_by_key::<K>(9)] {
        let result = bench.fresh().await.one(push).await;
        assert_eq!(word(&result), "gone", "{result:?}");
    }
}

pub(super) async fn an_entity_comes_back_after_its_delete<K: Kit>(bench: &Bench<K>) {
    let id = bench.made(7, Content::A).await;
    assert_eq!(word(&bench.one(delete::<K>(7, &id)).await), "gone");
    let result = bench.one(bench.create_again(7, Content::B, true)).await;
    remote_id(&result);
    bench.assert_true(7, &result, Content::B);
    assert_eq!(bench.kit.records(), 1);
}
