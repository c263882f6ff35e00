//! Addresses that several persons share: one contact, the lowest id's, and never one person's over another's (contract,
//! section 3, "Shared emails").

use ems_sync_remotes::mautic::UniqueOperator;
use serde_json::{Value, json};

use super::bench::{Bench, create, email, remote_id, runner, says, update, word};
use crate::support::results::given_up;

/// A person with this address.
fn with(id: i64, email: &str) -> Value {
    let mut row = runner(id, "Family");
    row["email"] = json!(email);
    row
}

#[tokio::test]
async fn a_contact_of_a_lower_id_is_neither_written_over_nor_taken_in() {
    let bench = Bench::new().await;
    for operator in [UniqueOperator::Or, UniqueOperator::And] {
        bench.sim.wipe();
        bench.sim.configure(|settings| settings.unique_operator = operator);
        let older = bench.plant(5, "Older");
        let before = bench.contact(older);
        let result = bench.one(create(7, bench.wire_of(7, with(7, &email(5))))).await;
        assert_eq!(word(&result), "rejected", "{result:?}");
        let mine = bench.made(8, "Nkosi").await;
        let result = bench.one(update(8, mine, bench.wire_of(8, with(8, &email(5))))).await;
        assert_eq!(word(&result), "rejected");
        assert_eq!(bench.contact(older), before);
        assert_eq!(bench.sim.contact_count(), 2);
    }
    bench.assert_no_violation();
}

/// The owner of a shared address takes over the contact of whoever gave it up, with its history.
#[tokio::test]
async fn a_contact_that_a_higher_id_gave_up_goes_to_the_owner_of_the_address() {
    let bench = Bench::new().await;
    let contact = bench.made(9, "Child").await;
    bench.sim.unsubscribe(contact, "email");
    let result = bench.one(given_up(create(7, bench.wire_of(7, with(7, &email(9)))), 9)).await;
    assert_eq!((word(&result), remote_id(&result)), ("held", contact));
    assert_eq!(bench.contact(contact).ems_person_id(), Some("7"));
    assert_eq!(bench.contact(contact).do_not_contact_reason("email"), Some(1));
    // And where the owner has a contact already, both become that one.
    let child = bench.made(12, "Child").await;
    bench.sim.unsubscribe(child, "sms");
    let update = update(7, contact, bench.wire_of(7, with(7, &email(12))));
    let result = bench.one(given_up(update, 12)).await;
    assert_eq!((word(&result), remote_id(&result)), ("held", contact));
    assert_eq!(bench.sim.contact(child), None);
    assert_eq!(bench.contact(contact).do_not_contact_reason("sms"), Some(1));
    assert_eq!(bench.sim.contact_count(), 1);
    bench.assert_no_violation();
}

/// What a child said of the shared mailbox stays with it, though the parent who owns it now opted in earlier.
#[tokio::test]
async fn an_opt_out_stays_with_a_contact_that_changes_hands() {
    let bench = Bench::new().await;
    let out = bench.wire_of(9, says(9, Some(false), jiff::Timestamp::now()));
    let contact = remote_id(&bench.one(create(9, out)).await);
    let earlier = jiff::Timestamp::now() - jiff::SignedDuration::from_mins(5);
    let mut parent = says(7, Some(true), earlier);
    parent["email"] = json!(email(9));
    let result = bench.one(given_up(create(7, bench.wire_of(7, parent.clone())), 9)).await;
    assert_eq!((word(&result), remote_id(&result)), ("held", contact));
    assert_eq!(bench.contact(contact).do_not_contact_reason("email"), Some(3));
    parent["email_preference_on"] = json!(jiff::Timestamp::now().to_string());
    bench.one(update(7, contact, bench.wire_of(7, parent))).await;
    assert_eq!(bench.contact(contact).do_not_contact_reason("email"), None, "a later opt-in");
    bench.assert_no_violation();
}

/// The database finds addresses without case and accents, prefixes not at all: only the very address is adopted.
#[tokio::test]
async fn an_address_that_only_looks_alike_is_not_adopted() {
    let bench = Bench::new().await;
    let like = bench.plant_row(json!({ "email": "aXb@example.org" }));
    let longer = bench.plant_row(json!({ "email": "a_b@example.org.za" }));
    let result = bench.one(create(7, bench.wire_of(7, with(7, "a_b@example.org")))).await;
    assert_eq!(word(&result), "held");
    assert!(![like, longer].contains(&remote_id(&result)));
    // One that a person entered in capitals is the same.
    let capitals = bench.plant_row(json!({ "email": "CAPS@example.org" }));
    let result = bench.one(create(8, bench.wire_of(8, with(8, "caps@example.org")))).await;
    assert_eq!(remote_id(&result), capitals);
    bench.assert_no_violation();
}
