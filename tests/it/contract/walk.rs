//! The walk over all records: complete, or an error (obligation 2), in the normal form of the mapping (obligation 7).

use std::collections::BTreeMap;

use ems_sync::remote::Push;
use ems_sync_remotes::{Fault, Garbage, Rule};
use serde_json::json;

use super::bench::{Bench, answers, entity, page, remote_id};
use super::kit::{Content, Kit};

/// More than a page of any remote whose page size we can't choose.
const RECORDS: i64 = 250;

const fn content_of(id: i64) -> Content {
    match id % 3 {
        0 => Content::A,
        1 => Content::B,
        _ => Content::Cleared,
    }
}

pub(super) async fn every_record_is_seen_once_and_mapped_to_the_same_content<K: Kit>(
    bench: &Bench<K>,
) {
    let push = |id| Push { by_itself: false, ..bench.create(id, content_of(id)) };
    let mut made = BTreeMap::new();
    for first in (1..=RECORDS).step_by(50) {
        let results = bench.many((first..first + 50).map(push).collect()).await;
        made.extend(results.iter().map(|(id, result)| (*id, remote_id(result))));
    }
    let mut seen = BTreeMap::new();
    for record in bench.fresh().await.walk().await.unwrap() {
        let before = seen.insert(record.remote_id.clone(), record);
        assert_eq!(before, None, "it was seen twice");
    }
    for (id, remote_id) in made {
        let record = seen.remove(&remote_id).expect("each was seen");
        let is_named = record.entity == Some(entity::<K>(id));
        assert!(is_named || record.entity.is_none() && !K::CARRIES_KEYS, "{id}: {record:?}");
        let wire = bench.wire(id, content_of(id));
        assert_eq!(K::visible(&record.wire.body), K::visible(&wire.body), "entity {id}");
        assert_eq!(record.wire.hash, wire.hash, "entity {id}");
    }
    assert!(seen.is_empty(), "{seen:?}");
}

pub(super) async fn a_remote_without_records_of_ours_has_none<K: Kit>(bench: &Bench<K>) {
    let records = bench.walk().await.unwrap();
    assert!(records.iter().all(|record| record.entity.is_none()), "{records:?}");
}

/// Each is as good an answer as the first page, or as any page: the walk must not take it for the end.
pub(super) async fn an_odd_answer_is_an_error_and_no_end<K: Kit>(bench: &Bench<K>) {
    for id in 1..=3 {
        bench.made(id, Content::A).await;
    }
    for fault in [
        Fault::garbage(Garbage::Html),
        Fault::garbage(Garbage::TruncatedJson),
        Fault::garbage(Garbage::CutOff),
        Fault::Drop,
        Fault::status(500),
        Fault::status(503),
        page(404),
        page(502),
        answers(json!([{"id": 1}, {"id": 1}])),
        answers(json!({"records": []})),
        answers(json!("nothing")),
    ] {
        let alone = bench.fresh().await;
        let rule = bench.strike_all(&fault);
        assert!(alone.walk().await.is_err(), "{fault:?}");
        bench.sim().faults().remove(rule);
    }
    // At every request of the walk, whatever it is for.
    for nth in 1.. {
        let fault = Fault::garbage(Garbage::TruncatedJson);
        let rule = bench.sim().faults().push(Rule::new(fault).nth(nth));
        let walked = bench.walk().await;
        if !bench.has_struck(rule) {
            assert_eq!(walked.unwrap().len(), 3);
            break;
        }
        assert!(walked.is_err(), "request {nth}");
    }
}

pub(super) async fn an_empty_success_is_an_error_and_no_end<K: Kit>(bench: &Bench<K>) {
    bench.made(1, Content::A).await;
    let no_content = Fault::Status { code: 204, headers: Vec::new(), body: None, applied: false };
    for fault in [
        Fault::garbage(Garbage::EmptyList),
        Fault::garbage(Garbage::EmptyBody),
        answers(json!({})),
        answers(json!(null)),
        answers(K::empty_success()),
        no_content,
    ] {
        let alone = bench.fresh().await;
        let rule = bench.strike_all(&fault);
        assert!(alone.walk().await.is_err(), "{fault:?}");
        bench.sim().faults().remove(rule);
    }
    assert_eq!(bench.walk().await.unwrap().len(), 1);
}
