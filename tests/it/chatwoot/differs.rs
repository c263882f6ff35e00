//! Read before write: what people changed at Chatwoot since it was seen last is not written over, but told.

use ems_sync::hash::ContentHash;
use ems_sync::remote::inbound::Shape;
use ems_sync::remote::{Push, PushResult, Remote as _};
use serde_json::{Value, json};

use super::bench::{Bench, but, holds, person, remote_id, thandi, word};

/// A contact that we made, and what it was said to hold.
async fn with_thandi() -> (Bench, i64, ContentHash) {
    let bench = Bench::new().await;
    let result = bench.one(bench.create(42, thandi())).await;
    let id = remote_id(&result);
    let PushResult::Held { remote_hash, .. } = result else { panic!("not held") };
    (bench, id, remote_hash)
}

fn expecting(push: Push, expected: ContentHash) -> Push {
    Push { expected: Some(expected), ..push }
}

fn moved() -> Value {
    but(thandi(), json!({"phone": "+27829999999"}))
}

#[tokio::test]
async fn an_agents_edit_is_told_as_a_pull_would_show_it_and_nothing_is_written() {
    let (bench, id, expected) = with_thandi().await;
    bench.plant(json!({"id": id, "name": "Thandiwe Nkosi"}));
    let writes = bench.writes();
    let result = bench.one(expecting(bench.update(42, id, moved()), expected)).await;
    let PushResult::Differs(snapshot) = result else { panic!("{result:?}") };
    assert_eq!(bench.writes(), writes);
    assert_eq!(snapshot.entity, Some(person(42)));
    let read = bench.client.read(person(42).entity_type, &id.to_string()).await.unwrap();
    assert_eq!(*snapshot, read);
    let Shape::Stands { wire, .. } = snapshot.shape else { panic!("it stands") };
    assert_eq!(wire.body["name"], "Thandiwe Nkosi");
    // Once it has been decided, the record says so.
    let result = bench.one(expecting(bench.update(42, id, moved()), wire.hash)).await;
    assert!(holds(&result, &bench.wire(42, moved())));
    bench.assert_no_violation();
}

#[tokio::test]
async fn what_is_as_expected_or_as_wanted_is_no_edit() {
    let (bench, id, expected) = with_thandi().await;
    let result = bench.one(expecting(bench.update(42, id, moved()), expected)).await;
    assert!(holds(&result, &bench.wire(42, moved())), "as expected: {result:?}");
    // As wanted: the answer to this write was lost, or an agent has entered the same.
    let result = bench.one(expecting(bench.update(42, id, moved()), expected)).await;
    assert_eq!(word(&result), "adopted");
    // What is not ours does not count.
    bench.plant(
        json!({"id": id, "blocked": true, "labels": ["vip"], "custom_attributes": {"shoe": "42"}}),
    );
    let now = bench.wire(42, moved()).hash;
    let result = bench.one(expecting(bench.update(42, id, thandi()), now)).await;
    assert!(holds(&result, &bench.wire(42, thandi())));
    bench.assert_no_violation();
}

#[tokio::test]
async fn where_nothing_is_expected_whatever_is_there_is_written_over() {
    let (bench, id, _) = with_thandi().await;
    bench.plant(json!({"id": id, "name": "Edited"}));
    let result = bench.one(bench.update(42, id, thandi())).await;
    assert!(holds(&result, &bench.wire(42, thandi())));
}

/// The contact may never hold what is wanted: what it was said to hold is what counts.
#[tokio::test]
async fn a_number_left_out_and_anothers_identifier_are_no_edits() {
    let (bench, id, _) = with_thandi().await;
    bench.plant(json!({"name": "Sipho", "phone_number": "+27829999999"}));
    bench.plant(json!({"id": id, "identifier": "27821234567@s.whatsapp.net"}));
    let result = bench.one(bench.update(42, id, moved())).await;
    let PushResult::Held { remote_hash, .. } = result else { panic!("{result:?}") };
    assert!(!holds(&result, &bench.wire(42, moved())));
    let further = but(moved(), json!({"city": "Pretoria"}));
    let result = bench.one(expecting(bench.update(42, id, further.clone()), remote_hash)).await;
    assert_eq!(word(&result), "held", "{result:?}");
    // An agent frees the number and gives it to this contact: that is what is wanted, but for the identifier.
    let sipho = bench.sim.rows(ems_sync_remotes::chatwoot::Resource::Contact).last().unwrap().id;
    bench.plant(json!({"id": sipho, "phone_number": null}));
    bench.plant(json!({"id": id, "phone_number": "+27829999999"}));
    let result = bench.one(expecting(bench.update(42, id, further), remote_hash)).await;
    assert_eq!(word(&result), "adopted", "{result:?}");
    bench.assert_no_violation();
}

#[tokio::test]
async fn an_identifier_taken_by_another_integration_is_told_while_the_attribute_says_whose_it_is() {
    let (bench, id, expected) = with_thandi().await;
    bench.plant(json!({"id": id, "identifier": "jid"}));
    let result = bench.one(expecting(bench.update(42, id, moved()), expected)).await;
    assert_eq!(word(&result), "differs");
    bench.plant(json!({"id": id, "custom_attributes": {"ems_person_id": ""}}));
    let result = bench.one(expecting(bench.update(42, id, moved()), expected)).await;
    assert_eq!(word(&result), "stale_mapping", "nobody's by now");
}

/// A contact that agents have made, found by a create: what stands in it is told before anything is written over.
#[tokio::test]
async fn a_create_that_finds_what_agents_wrote_tells_it_and_writes_nothing() {
    let there = json!({"name": "Thandi", "email": "thandi@example.org", "additional_attributes": {"city": "Umlazi"}});
    let bench = Bench::new().await;
    let id = bench.plant(there);
    let create = |expected| expecting(bench.create(42, thandi()), expected);
    let wanted = bench.wire(42, thandi()).hash;
    let result = bench.one(create(wanted)).await;
    let PushResult::Differs(snapshot) = result else { panic!("{result:?}") };
    assert_eq!(bench.writes(), (0, 0));
    let read = bench.client.read(person(42).entity_type, &id.to_string()).await.unwrap();
    assert_eq!((snapshot.entity, *snapshot == read), (None, true));
    let Shape::Stands { wire, .. } = snapshot.shape else { panic!("it stands") };
    // It was decided to be this person's: by that alone it may be written, though it carries nobody's id.
    let result = bench.one(expecting(bench.update(42, id, thandi()), wanted)).await;
    assert_eq!(word(&result), "stale_mapping");
    let result = bench.one(expecting(bench.update(42, id, thandi()), wire.hash)).await;
    assert_eq!((word(&result), remote_id(&result)), ("held", id));
    assert!(holds(&result, &bench.wire(42, thandi())));
    assert_eq!(bench.contact(id)["identifier"], "ems-person-42");
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_create_that_finds_blanks_or_what_is_wanted_adopts_at_once() {
    let bench = Bench::new().await;
    let id = bench.plant(json!({"name": "Thandi Nkosi", "email": "THANDI@example.org"}));
    let wanted = bench.wire(42, thandi()).hash;
    let result = bench.one(expecting(bench.create(42, thandi()), wanted)).await;
    assert_eq!((word(&result), remote_id(&result)), ("held", id));
    assert!(holds(&result, &bench.wire(42, thandi())));
    assert_eq!(bench.writes(), (1, 0));
    bench.assert_no_violation();
}

/// Another integration owns it: that it was decided to be a person's changes nothing about that.
#[tokio::test]
async fn an_update_takes_no_contact_that_another_system_or_person_has() {
    for marks in [json!({"identifier": "jid"}), json!({"identifier": "ems-person-9"})] {
        let bench = Bench::new().await;
        let there = but(json!({"name": "Thandi", "email": "thandi@example.org"}), marks);
        let id = bench.plant(there);
        let read = bench.client.read(person(42).entity_type, &id.to_string()).await.unwrap();
        let now = read.hash().unwrap();
        let result = bench.one(expecting(bench.update(42, id, thandi()), now)).await;
        assert_eq!((word(&result), bench.writes()), ("stale_mapping", (0, 0)));
        bench.assert_no_violation();
    }
}
