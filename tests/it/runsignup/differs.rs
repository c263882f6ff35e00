//! An update that finds what people have changed writes nothing and says so.

use ems_sync::entity::{EntityRef, EntityType};
use ems_sync::hash::ContentHash;
use ems_sync::remote::inbound::{Shape, Snapshot, Stream};
use ems_sync::remote::{Action, Fields, Push, PushResult, Remote as _, RemoteIds, Wire};
use ems_sync_remotes::runsignup::{Action as Act, RaceWrites, Resource};
use ems_sync_remotes::{Operation, Rule};
use serde_json::{Value, json};

use super::bench::{Bench, OTHER, RACE, TEN, TWENTY, nobody, push, remote_hash, remote_id, word};
use super::pull::walk;

async fn made(bench: &Bench) -> (i64, ContentHash) {
    let result = bench.one(bench.create(5, TEN)).await;
    (remote_id(&result), remote_hash(&result))
}

fn update(bench: &Bench, id: i64, changes: Value, expected: ContentHash) -> Push {
    Push { expected: Some(expected), ..bench.update(5, id, TEN, changes) }
}

fn differs(result: PushResult) -> Snapshot {
    let PushResult::Differs(snapshot) = result else { panic!("not differing: {result:?}") };
    *snapshot
}

#[tokio::test]
async fn what_people_have_edited_is_told_as_a_walk_shows_it() {
    for edit in [
        json!({"bib_num": 777}),
        json!({"user": {"last_name": "Married"}}),
        json!({"user": {"email": "new@there.example"}}),
        json!({"user": {"address": {"city": null}}}),
    ] {
        let bench = Bench::warm().await;
        let (id, said) = made(&bench).await;
        let mut row = edit.clone();
        row["id"] = json!(id);
        bench.sim.plant(Resource::Registration, row).unwrap();
        let written = bench.writes();
        let found = differs(bench.one(update(&bench, id, json!({"number": "6"}), said)).await);
        assert_eq!(bench.writes(), written, "{edit}");
        let walked = walk(&bench, Stream::Registrations, None).await;
        assert_eq!(found, *walked.of(id).unwrap(), "{edit}");
        // Whoever has taken note of it may write.
        let Shape::Stands { wire, .. } = found.shape else { panic!("it stands") };
        let result = bench.one(update(&bench, id, json!({"number": "6"}), wire.hash)).await;
        assert_eq!(word(&result), "held", "{edit}");
        bench.assert_no_violation();
    }
}

/// The e-mail is not ours to change, and a bib of letters can't be held: what was said last counts, not what was wanted.
#[tokio::test]
async fn what_runsignup_ignores_is_no_change_of_peoples() {
    let bench = Bench::warm().await;
    let (id, said) = made(&bench).await;
    let wanted = json!({"email": "other@ems.example", "number": "A12", "last_name": "Renamed"});
    let result = bench.one(update(&bench, id, wanted.clone(), said)).await;
    assert_eq!(word(&result), "held");
    let said = remote_hash(&result);
    assert_ne!(said, bench.wire(5, TEN, wanted.clone()).hash);
    let result = bench.one(update(&bench, id, wanted, said)).await;
    assert_eq!(word(&result), "adopted", "nothing is to be written");
    let result = bench.one(update(&bench, id, json!({"last_name": "Again"}), said)).await;
    assert_eq!(word(&result), "held");
    bench.assert_no_violation();
}

#[tokio::test]
async fn what_is_wanted_already_is_no_difference() {
    let bench = Bench::warm().await;
    let (id, said) = made(&bench).await;
    bench.sim.plant(Resource::Registration, json!({"id": id, "bib_num": 6})).unwrap();
    let result = bench.one(update(&bench, id, json!({"number": "6"}), said)).await;
    assert_eq!(word(&result), "adopted");
    assert_eq!(remote_hash(&result), bench.wire(5, TEN, json!({"number": "6"})).hash);
}

#[tokio::test]
async fn who_was_taken_out_or_moved_is_told_as_a_removal() {
    for (act, reason) in [
        (Act::Remove, "removed"),
        (Act::Defer, "deferred"),
        (Act::Transfer { event_id: TWENTY }, "transferred"),
    ] {
        let bench = Bench::warm().await;
        let (id, said) = made(&bench).await;
        let now = bench.sim.act(id, act).unwrap().id;
        let written = bench.writes();
        let found = differs(bench.one(update(&bench, id, json!({"number": "6"}), said)).await);
        assert_eq!(bench.writes(), written, "{act:?}");
        assert_eq!(found.remote_id, id.to_string());
        let expected = Shape::Removed {
            reason: reason.to_owned(),
            successor: (now != id).then(|| now.to_string()),
        };
        assert_eq!(found.shape, expected, "{act:?}");
        bench.assert_no_violation();
    }
}

/// A move of ours whose answer was lost holds what is wanted.
#[tokio::test]
async fn a_move_that_is_wanted_is_no_difference() {
    let bench = Bench::warm().await;
    let (id, said) = made(&bench).await;
    let now = bench.sim.act(id, Act::Transfer { event_id: TWENTY }).unwrap().id;
    let push = Push { expected: Some(said), ..bench.update(5, id, TWENTY, json!({})) };
    let result = bench.one(push).await;
    assert_eq!((word(&result), remote_id(&result)), ("adopted", now));
}

#[tokio::test]
async fn a_race_that_people_have_renamed_is_told_too() {
    let bench = Bench::new().await.pushing_races();
    bench.sim.configure(|settings| settings.race_writes = RaceWrites::Open);
    let edition = r#"{"race_event_days_id":12,"race_id":7}"#;
    let (event, race) = (EntityRef::new(EntityType::Event, 1), EntityRef::new(EntityType::Race, 2));
    let parents = RemoteIds::from([(event, edition.to_owned())]);
    let wire = |entity: EntityRef, fields: Value| -> Wire {
        let Value::Object(fields) = fields else { panic!("an object") };
        bench.client.wire(entity, &Fields::new(fields), &parents).unwrap()
    };
    let of_event = |name: &str| {
        wire(event, json!({"name": name, "timezone": "Africa/Johannesburg", "status": "PUBLISHED"}))
    };
    let of_race = |name: &str| {
        wire(
            race,
            json!({"event_id": 1, "name": name, "timezone": "Africa/Johannesburg", "start_time": "2099-06-01T07:00:00Z"}),
        )
    };
    for (entity, id, resource, there, wanted, said) in [
        (
            event,
            edition.to_owned(),
            Resource::Race,
            RACE,
            of_event("Comrades 2"),
            of_event("Comrades").hash,
        ),
        (race, TEN.to_string(), Resource::Event, TEN, of_race("10k"), of_race("10 km").hash),
    ] {
        let update = |expected| {
            let action = Action::Update { remote_id: id.clone(), wire: wanted.clone() };
            Push { expected: Some(expected), ..push(entity, action) }
        };
        bench.sim.plant(resource, json!({"id": there, "name": "Renamed there"})).unwrap();
        let written = bench.writes();
        let found = differs(bench.one(update(said)).await);
        assert_eq!((found.remote_id.as_str(), bench.writes()), (id.as_str(), written));
        let Shape::Stands { wire, .. } = found.shape else { panic!("it stands") };
        assert_eq!(wire.body["name"], json!("Renamed there"));
        let result = bench.one(update(wire.hash)).await;
        assert_eq!(word(&result), "held");
    }
    bench.assert_no_violation();
}

/// Who registered there, found by a create: what they entered is told before anything is written over.
#[tokio::test]
async fn a_create_that_finds_what_people_entered_tells_it_and_writes_nothing() {
    let bench = Bench::warm().await;
    let there = bench.paid(5, TEN, json!({"phone": "212-555-0100", "email": "own@there.example"}));
    let wanted = bench.wire(5, TEN, json!({})).hash;
    let written = bench.writes();
    let found = differs(bench.one(Push { expected: Some(wanted), ..bench.create(5, TEN) }).await);
    assert_eq!(bench.writes(), written);
    let walked = walk(&bench, Stream::Registrations, None).await;
    assert_eq!(found, *walked.of(there).unwrap());
    let Shape::Stands { wire, .. } = found.shape else { panic!("it stands") };
    let result = bench.one(update(&bench, there, json!({}), wire.hash)).await;
    assert_eq!((word(&result), remote_id(&result)), ("held", there));
    assert_eq!(bench.registration(there).1.phone.as_deref(), Some("856-850-1510"));
    // Blanks are no loss, and the e-mail address is not ours to change.
    let there = bench.paid(6, TEN, json!({"phone": null, "email": "own@there.example"}));
    let wanted = bench.wire(6, TEN, json!({})).hash;
    let result = bench.one(Push { expected: Some(wanted), ..bench.create(6, TEN) }).await;
    assert_eq!((word(&result), remote_id(&result)), ("held", there));
    bench.assert_no_violation();
}

/// The same where the search shows nothing, and the add is refused.
#[tokio::test]
async fn an_add_that_is_refused_for_who_is_there_tells_what_they_entered() {
    let bench = Bench::warm().await;
    let there = bench.paid(5, OTHER, json!({"phone": "212-555-0100"}));
    bench.sim.faults().push(Rule::new(nobody(OTHER)).operation(Operation::Find));
    let wanted = bench.wire(5, OTHER, json!({})).hash;
    let found = differs(bench.one(Push { expected: Some(wanted), ..bench.create(5, OTHER) }).await);
    assert_eq!(found.remote_id, there.to_string());
    assert_eq!(bench.registration(there).1.phone.as_deref(), Some("212-555-0100"));
    bench.assert_no_violation();
}
