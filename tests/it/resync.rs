//! `ems-sync resync`: the plan says what would change, the bulk lane brings it home.

use ems_sync::process::Role;
use ems_sync_remotes::tagserver::Resource;
use serde_json::{Value, json};

use crate::support::ems;
use crate::support::parity::assert_in_sync;
use crate::support::rig::Rig;

const CONSUMING: [Role; 2] = [Role::Relay, Role::Consume];

async fn document(rig: &Rig, arguments: &[&str]) -> Value {
    let mut all = vec!["resync", "--target", "tagserver", "--json"];
    all.extend(arguments);
    let (code, text) = rig.run(&all).await;
    assert_eq!(code, 0, "{text}");
    serde_json::from_str(&text).unwrap()
}

fn plan(document: &Value) -> [i64; 4] {
    ["create", "update", "unchanged", "orphaned"].map(|key| document[key].as_i64().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resync_plans_by_field_and_then_brings_home_what_people_changed_at_the_target() {
    let rig = Rig::new().await;
    let running = rig.start(&CONSUMING);
    ems::populate(&rig.ems, 40).await;
    rig.settled().await;
    let all = rig.count("select count(*) from sync.record where remote_id is not null").await;
    // Which of them comes first depends on who pushed first: of some the gender is not known anyway.
    let mut people = rig.sim.rows(Resource::Person);
    people.retain(|person| person.body["gender"] != "UNKNOWN");
    for person in &people[..3] {
        let edit = json!({"id": person.id, "lastName": "Meddled", "gender": "UNKNOWN"});
        rig.sim.plant(Resource::Person, edit).unwrap();
    }
    let tag = rig.sim.rows(Resource::Tag)[0].clone();
    assert!(rig.sim.remove(Resource::Tag, tag.id));
    let orphan = json!({"externalId": "999999", "firstName": "No", "lastName": "Body"});
    let orphan = rig.sim.plant(Resource::Person, orphan).unwrap().id;

    let writes = rig.writes_applied();
    let dry = document(&rig, &["--dry-run"]).await;
    assert_eq!(plan(&dry), [1, 3, all - 4, 1], "{dry}");
    assert_eq!((&dry["dry_run"], &dry["owed"]), (&json!(true), &Value::Null));
    assert_eq!(dry["fields"]["lastName"], 3);
    for word in ["Meddled", "Body"] {
        assert!(!dry.to_string().contains(word), "names of fields, no values: {dry}");
    }
    assert_eq!(rig.count("select count(*) from sync.record where owed_gen > done_gen").await, 0);
    assert_eq!(rig.writes_applied(), writes);

    // One entity, one type, then all of it.
    let id = people[0].external_id.clone().unwrap();
    let one = document(&rig, &["--entity", "person", "--id", &id]).await;
    assert_eq!((plan(&one), &one["owed"]), ([0, 1, 0, 0], &json!(1)), "{one}");
    assert_eq!(one["rows"][0]["fields"], json!(["gender", "lastName"]));
    rig.settled().await;
    assert_eq!(rig.writes_applied(), writes + 1);
    let races = rig.sim.row_count(Resource::Race);
    let typed = document(&rig, &["--entity", "race"]).await;
    assert_eq!((plan(&typed), &typed["owed"]), ([0, 0, races as i64, 0], &json!(races)));
    rig.settled().await;
    assert_eq!(rig.writes_applied(), writes + 1, "what does not differ costs no request");
    let whole = document(&rig, &[]).await;
    assert_eq!((plan(&whole), &whole["owed"]), ([1, 2, all - 3, 1], &json!(all)), "{whole}");
    rig.settled().await;
    assert_eq!(rig.writes_applied(), writes + 4);

    // With force, everything is written again; nothing is deleted ever.
    let forced = document(&rig, &["--entity", "race", "--force"]).await;
    assert_eq!(forced["owed"], json!(races));
    rig.settled().await;
    assert_eq!(rig.writes_applied(), writes + 4 + races);
    assert!(rig.sim.row_by_id(Resource::Person, orphan).is_some());
    assert!(rig.sim.remove(Resource::Person, orphan));
    assert_in_sync(&rig).await;
    assert_eq!(rig.count("select count(*) from sync.verify_row").await, 0, "no scratch is left");
    // What was ordered stands in the audit trail, in which order; what was only planned does not.
    let audited = "select coalesce(detail, '') from sync.audit where event = 'resync_ordered' order by happened_on";
    let audited = rig.ems.query(audited, &[]).await.unwrap();
    let audited: Vec<&str> = audited.iter().map(|row| row.get(0)).collect();
    assert_eq!(audited, [&format!("person:{id}"), "race", "", "race --force"]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_type_that_the_target_does_not_cover_is_named() {
    let rig = Rig::new().await;
    let (code, text) =
        rig.run(&["resync", "--target", "tagserver", "--entity", "conversation"]).await;
    assert_eq!(code, 1, "{text}");
}
