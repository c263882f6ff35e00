//! Pages of contacts, what they prove, and windows of the server's clock.

use serde_json::json;

use super::*;

fn contacts(ids: impl IntoIterator<Item = i64>, count: usize) -> Contacts {
    let row =
        |id: i64| Contact::read(&json!({"id": id, "name": "A", "created_at": 1_000 + id})).unwrap();
    Contacts { rows: ids.into_iter().map(row).collect(), odd: Vec::new(), count, has_more: false }
}

fn at(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp::from_second(seconds).unwrap())
}

/// The step after a page, and the place after that, by the way that it takes through the database.
fn next(step: &Step) -> ContactsPlace {
    ContactsPlace::deserialize(json!(step.next.as_ref().unwrap())).unwrap()
}

fn ids(step: &Step) -> Vec<i64> {
    step.shown.iter().map(|contact| contact.id).collect()
}

#[test]
fn a_walk_that_shows_as_many_as_there_are_shows_all() {
    let one = ContactsPlace::new().step(contacts(1..=15, 17), at(9_000)).unwrap();
    assert!(!one.shows_all);
    let two = next(&one).step(contacts([16, 17], 17), at(9_001)).unwrap();
    assert_eq!((ids(&two), two.next, two.shows_all), (vec![16, 17], None, true));
    let empty = ContactsPlace::new().step(contacts([], 0), at(9_000)).unwrap();
    assert!(empty.next.is_none() && empty.shows_all);
}

#[test]
fn a_position_stays_small() {
    let mut place = ContactsPlace::new();
    for page in 0..600 {
        let from = 1_000_000_000 + page * 15;
        place = next(&place.step(contacts(from..from + 15, 10_000), at(9_000_000_000)).unwrap());
    }
    assert!(json!(place).to_string().len() < 500, "{}", json!(place));
}

#[test]
fn one_that_moved_back_is_shown_by_going_back_and_then_nothing_is_proven() {
    let one = ContactsPlace::new().step(contacts(1..=15, 32), at(9_000)).unwrap();
    let two = next(&one).step(contacts(16..=30, 32), at(9_000)).unwrap();
    // 3 has gone: 31 is on the second page now.
    let three = next(&two).step(contacts([32], 31), at(9_000)).unwrap();
    assert_eq!(next(&three).walk.page, 2);
    let two = next(&three).step(contacts(17..=31, 31), at(9_000)).unwrap();
    let last = next(&two).step(contacts([32], 31), at(9_000)).unwrap();
    assert_eq!((last.next, last.shows_all), (None, false));
}

#[test]
fn one_that_came_for_one_that_went_is_no_proof() {
    let began = at(1_040);
    let one = ContactsPlace::new().step(contacts(1..=15, 17), began).unwrap();
    // 1 has gone, 16 has moved to the first page, and 99 has come: as many as before, and as many as were shown.
    let two = next(&one).step(contacts([17, 99], 17), began).unwrap();
    assert_eq!((two.next, two.shows_all), (None, false));
    // Of those that only came it is known that nothing was missed.
    let one = ContactsPlace::new().step(contacts(1..=15, 17), began).unwrap();
    let two = next(&one).step(contacts([16, 17, 99], 18), began).unwrap();
    assert!(two.shows_all);
}

#[test]
fn without_the_servers_clock_nothing_is_proven() {
    let step = ContactsPlace::new().step(contacts([1], 1), None).unwrap();
    assert!(step.next.is_none() && !step.shows_all);
}

#[test]
fn a_page_out_of_order_or_with_a_contact_twice_is_an_error() {
    let place = ContactsPlace::new;
    assert!(place().step(contacts([2, 1], 2), at(9_000)).is_err());
    assert!(place().step(contacts([1, 1], 2), at(9_000)).is_err());
    let one = place().step(contacts(10..=24, 16), at(9_000)).unwrap();
    assert!(next(&one).step(contacts([5], 16), at(9_000)).is_err());
}

#[test]
fn a_window_reaches_back_by_the_servers_own_clock_or_there_is_none() {
    let window = |since: i64, now: i64| {
        window_for(at(since).unwrap(), at(now).unwrap()).map(|window| window.as_secs())
    };
    assert_eq!(window(1_000, 1_600), Some(720));
    assert_eq!(window(1_000, 1_000), Some(120));
    assert_eq!(window(1_000, 990), Some(110), "set back by less than the overlap");
    assert_eq!(window(10_000, 5_000), None, "set back by more");
    assert_eq!(window(0, 6 * 60 * 60 - 120), Some(6 * 60 * 60));
    assert_eq!(window(0, 6 * 60 * 60), None);
}
