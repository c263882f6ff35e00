//! Pages that go on, end, and are odd.

use serde_json::json;

use super::*;
use crate::remote::chatwoot::contact::Contact;

fn contacts(ids: impl IntoIterator<Item = i64>, count: usize) -> Contacts {
    let row =
        |id: i64| Contact::read(&json!({"id": id, "name": "A", "created_at": 1_000 + id})).unwrap();
    Contacts { rows: ids.into_iter().map(row).collect(), odd: Vec::new(), count, has_more: false }
}

fn first() -> Place {
    Place { page: 1, before: Vec::new(), created_at: i64::MIN }
}

fn next(page: &Page) -> Place {
    serde_json::from_str(page.next.as_ref().unwrap()).unwrap()
}

#[test]
fn a_walk_goes_on_as_long_as_the_count_says_so() {
    let one = page(&first(), contacts(1..=15, 31)).unwrap();
    let two = page(&next(&one), contacts(16..=30, 31)).unwrap();
    assert_eq!(next(&two).before, (16..=30).collect::<Vec<_>>());
    let three = page(&next(&two), contacts([31], 31)).unwrap();
    assert_eq!((three.records.len(), three.next), (1, None));
    assert_eq!(page(&first(), contacts(1..=15, 15)).unwrap().next, None);
    assert_eq!(page(&first(), contacts([], 0)).unwrap().records, []);
    // What came meanwhile stands at the end.
    assert_eq!(page(&next(&one), contacts(16..=30, 45)).unwrap().records.len(), 15);
}

#[test]
fn a_page_that_is_short_or_odd_is_no_end() {
    let one = page(&first(), contacts(1..=15, 31)).unwrap();
    let two = next(&one);
    for (what, place, contacts) in [
        ("short", first(), contacts(1..=14, 31)),
        ("empty", first(), contacts([], 1)),
        ("longer than its count", first(), contacts(1..=2, 1)),
        ("longer than a page", first(), contacts(1..=16, 31)),
        ("a contact twice", first(), contacts([1, 1], 2)),
        ("unsorted", first(), contacts([2, 1], 2)),
        ("the first page again", two.clone(), contacts(1..=15, 31)),
        ("one of the page before", two.clone(), contacts(15..=29, 31)),
        ("fewer than were seen", two, contacts([], 15)),
    ] {
        assert_eq!(page(&place, contacts).unwrap_err().class, FailureClass::Transient, "{what}");
    }
    let undated = Contacts {
        odd: Vec::new(),
        rows: vec![Contact::read(&json!({"id": 1, "name": "A"})).unwrap()],
        count: 1,
        has_more: false,
    };
    assert!(page(&first(), undated).is_err());
}
