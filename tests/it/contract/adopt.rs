//! No second record: what may be there is looked for and adopted (obligation 5).

use ems_sync::remote::{Action, Look, PushResult};

use super::bench::{Bench, push, remote_id};
use super::kit::{Content, Kit};
use crate::support::results::word;

pub(super) async fn what_was_not_found_is_not_created_without_proof_of_absence<K: Kit>(
    bench: &Bench<K>,
) {
    let writes = bench.writes();
    let result = bench.one(bench.create_again(7, Content::A, false)).await;
    assert_eq!(result, PushResult::Unsettled);
    assert_eq!((bench.writes(), bench.kit.records()), (writes, 0), "it only looked");
}

pub(super) async fn what_was_not_found_is_created_when_absence_is_proof<K: Kit>(bench: &Bench<K>) {
    bench.made(8, Content::A).await;
    let result = bench.one(bench.create_again(7, Content::A, true)).await;
    assert_eq!(word(&result), "held", "{result:?}");
    bench.assert_holds(7, Content::A);
    bench.assert_holds(8, Content::A);
    assert_eq!(bench.kit.records(), 2);
}

pub(super) async fn what_was_found_is_adopted_without_a_second_record<K: Kit>(bench: &Bench<K>) {
    let id = bench.made(7, Content::A).await;
    bench.made(8, Content::A).await;
    for (absence_is_proof, content) in [(false, Content::B), (true, Content::Cleared)] {
        // Nothing is remembered from the create: it is found by what the remote shows.
        let bench = bench.fresh().await;
        let result = bench.one(bench.create_again(7, content, absence_is_proof)).await;
        assert_eq!((word(&result), remote_id(&result)), ("held", id.clone()), "{result:?}");
        bench.assert_true(7, &result, content);
        bench.assert_holds(8, Content::A);
        assert_eq!(bench.kit.records(), 2);
    }
}

pub(super) async fn what_holds_the_right_content_needs_no_write<K: Kit>(bench: &Bench<K>) {
    let id = bench.made(7, Content::A).await;
    let writes = bench.writes();
    for absence_is_proof in [false, true] {
        let bench = bench.fresh().await;
        let result = bench.one(bench.create_again(7, Content::A, absence_is_proof)).await;
        assert_eq!((word(&result), remote_id(&result)), ("adopted", id.clone()), "{result:?}");
        bench.assert_true(7, &result, Content::A);
        assert_eq!(bench.writes(), writes, "there was nothing to write");
    }
}

pub(super) async fn a_create_that_meets_its_own_record_adopts_it<K: Kit>(bench: &Bench<K>) {
    let id = bench.made(7, Content::A).await;
    // Where only our key tells that another content is the same entity's, the remote can't without one.
    let another = K::CARRIES_KEYS.then_some(Content::B);
    for content in [Content::A].into_iter().chain(another) {
        let bench = bench.fresh().await;
        let result = bench.one(bench.create(7, content)).await;
        assert_eq!(remote_id(&result), id);
        bench.assert_true(7, &result, content);
        assert_eq!(bench.kit.records(), 1);
    }
}

/// The engine lets one of them own the key. Whatever the other one's push ends with, should it ever be sent, it must not be
/// by taking or changing the owner's record.
pub(super) async fn entities_that_collide_do_not_take_each_others_record<K: Kit>(bench: &Bench<K>) {
    let Some(row) = bench.kit.colliding(8, 7) else { return };
    let id = bench.made(7, Content::A).await;
    for look in [Look::IfRefused, Look::First { absence_is_proof: true }] {
        let wire = bench.wire_of(8, row.clone());
        let result = bench.one(push::<K>(8, Action::Create { wire, look })).await;
        assert_ne!(word(&result), "gone");
        if let PushResult::Held { remote_id, .. } = &result {
            assert_ne!(*remote_id, id, "the record of another entity was adopted");
        }
        bench.assert_holds(7, Content::A);
    }
    // An update that comes to want the same key.
    let other = bench.made(9, Content::A).await;
    let wire = bench.wire_of(9, bench.kit.colliding(9, 7).expect("as before"));
    let update = Action::Update { remote_id: other, wire };
    let result = bench.one(push::<K>(9, update)).await;
    if let PushResult::Held { remote_id, .. } = &result {
        assert_ne!(*remote_id, id, "the record of another entity was taken");
    }
    bench.assert_holds(7, Content::A);
    assert!(bench.kit.held(9).is_some(), "it lost its record");
}
