//! Mapping is pure: equal bytes for equal meaning (obligation 7).

use ems_sync::remote::Remote as _;

use super::bench::Bench;
use super::kit::{Content, Kit};

pub(super) async fn equal_rows_are_mapped_to_equal_content<K: Kit>(bench: &Bench<K>) {
    let other = bench.fresh().await;
    for content in [Content::A, Content::B, Content::Cleared] {
        let wire = bench.wire(7, content);
        assert_eq!(wire, bench.wire(7, content), "{content:?}");
        assert_eq!(wire, other.wire(7, content), "{content:?}, by another client");
        assert!(wire.body.is_object(), "an operator is shown its keys");
    }
}

pub(super) async fn another_content_has_another_hash<K: Kit>(bench: &Bench<K>) {
    let [a, b, cleared] = [Content::A, Content::B, Content::Cleared].map(|c| bench.wire(7, c));
    assert!(a.hash != b.hash && b.hash != cleared.hash && a.hash != cleared.hash);
    assert!(!a.differing_fields(&b).is_empty() && !a.differing_fields(&cleared).is_empty());
    // Otherwise no record could be told from another one's.
    assert_ne!(a.body, bench.wire(8, Content::A).body, "two entities look the same");
    let has_keys = bench.client.has_match_keys(K::ENTITY);
    assert_eq!(has_keys, a.match_key.is_some());
    if has_keys {
        assert_ne!(a.match_key, bench.wire(8, Content::A).match_key);
        let row = bench.kit.colliding(8, 7).expect("a kit with keys has a row that collides");
        assert_eq!(a.match_key, bench.wire_of(8, row).match_key);
    }
}
