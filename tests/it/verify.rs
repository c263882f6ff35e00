//! `ems-sync verify`: what it finds, what it repairs, and that a list which proves nothing repairs nothing.

use ems_sync::process::Role;
use ems_sync_remotes::tagserver::Resource;
use ems_sync_remotes::{Fault, Garbage, Operation, Rule};
use serde_json::{Value, json};

use crate::support::binary::{self, ended};
use crate::support::ems;
use crate::support::parity::assert_in_sync;
use crate::support::rig::Rig;

const CONSUMING: [Role; 2] = [Role::Relay, Role::Consume];
const VERIFY: [&str; 4] = ["verify", "--target", "tagserver", "--json"];

fn counts(document: &Value) -> [i64; 6] {
    ["matched", "missing", "different", "orphaned", "waiting", "foreign"]
        .map(|key| document[key].as_i64().unwrap_or_else(|| panic!("{key} in {document}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_done_behind_our_back_is_found_and_repaired_and_foreign_rows_are_left_alone() {
    let rig = Rig::new().await;
    let running = rig.start(&CONSUMING);
    ems::populate(&rig.ems, 40).await;
    rig.settled().await;
    let all = rig.count("select count(*) from sync.record where remote_id is not null").await;
    let (code, out) = rig.run(&VERIFY).await;
    let document: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, counts(&document)), (0, [all, 0, 0, 0, 0, 0]), "{out}");

    let tag = rig.sim.rows(Resource::Tag)[0].clone();
    assert!(rig.sim.remove(Resource::Tag, tag.id));
    let person = rig.sim.rows(Resource::Person)[3].clone();
    rig.sim.plant(Resource::Person, json!({"id": person.id, "lastName": "Meddled"})).unwrap();
    let orphan = json!({"externalId": "999999", "firstName": "No", "lastName": "Body"});
    let orphan = rig.sim.plant(Resource::Person, orphan).unwrap().id;
    for foreign in
        [json!({"name": "Made by staff"}), json!({"externalId": "other-1", "name": "Theirs"})]
    {
        rig.sim.plant(Resource::Organisation, foreign).unwrap();
    }
    // What is owed already is no surprise: it waits.
    running.stop().await;
    let relay = rig.start(&[Role::Relay]);
    rig.exec("update ems.person set first_name = 'Waits' where id = 9").await;
    rig.until("select count(*) from sync.outbox", "relayed").await;

    let writes = rig.writes();
    let (code, out) = rig.run(&VERIFY).await;
    let document: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, counts(&document)), (1, [all - 3, 1, 1, 1, 1, 2]), "{out}");
    let found: Vec<_> = document["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            (
                row["entity"].as_str().unwrap(),
                row["id"].as_i64().unwrap(),
                row["finding"].as_str().unwrap(),
            )
        })
        .collect();
    let id =
        |row: &ems_sync_remotes::tagserver::Row| row.external_id.as_ref().unwrap().parse().unwrap();
    assert_eq!(
        found,
        [
            ("person", id(&person), "different"),
            ("person", 999_999, "orphaned"),
            ("tag", id(&tag), "missing"),
            ("person", 9, "waiting"),
        ]
    );
    for word in ["Meddled", "Body", "Waits", "Runner"] {
        assert!(!out.contains(word), "no personal data: {out}");
    }

    let (code, out) = rig.run(&["verify", "--target", "tagserver", "--json", "--repair"]).await;
    let document: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, document["owed"].as_i64()), (1, Some(3)), "{out}");
    assert_eq!(rig.writes(), writes, "it writes nothing by itself");
    let audited = "select count(*) from sync.audit where event = 'repair_ordered' and target = 'tagserver' and by like 'command line%'";
    assert_eq!(rig.count(audited).await, 1);
    let bulk =
        "select count(*) from sync.record where owed_gen > done_gen and lane = 'bulk' and in_doubt";
    assert_eq!(rig.count(bulk).await, 3);
    let consumer = rig.start(&[Role::Consume]);
    rig.settled().await;
    assert_eq!(rig.sim.row_by_id(Resource::Person, orphan), None);
    let (code, out) = rig.run(&VERIFY).await;
    let document: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, counts(&document)), (0, [all, 0, 0, 0, 0, 2]), "{out}");
    assert_eq!(rig.count("select count(*) from sync.verify_row").await, 0, "no scratch is left");
    assert_eq!(rig.sim.violations(), []);
    for row in rig.sim.rows(Resource::Organisation) {
        if row.external_id.as_deref().is_none_or(|key| key.starts_with("other")) {
            assert!(rig.sim.remove(Resource::Organisation, row.id));
        }
    }
    assert_in_sync(&rig).await;
    consumer.stop().await;
    relay.stop().await;
}

/// 200 with nothing, a page for people, half a page: on the last type, when all others are read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_is_short_or_odd_fails_and_repairs_nothing() {
    let rig = Rig::new().await;
    let running = rig.start(&CONSUMING);
    ems::populate(&rig.ems, 10).await;
    rig.settled().await;
    // Something that a repair would owe, on the first type.
    let organisation = rig.sim.rows(Resource::Organisation)[0].clone();
    let meddled = json!({"id": organisation.id, "name": "Meddled"});
    rig.sim.plant(Resource::Organisation, meddled).unwrap();
    let rows = rig.sim.row_count(Resource::Tag);
    let half: Vec<_> =
        rig.sim.rows(Resource::Tag).into_iter().take(2).map(|row| row.body).collect();
    let short = Fault::Status {
        code: 200,
        headers: vec![("X-Total-Count".to_owned(), rows.to_string())],
        body: Some(json!(half)),
        applied: false,
    };
    let writes = rig.writes();
    for fault in [
        Fault::garbage(Garbage::EmptyList),
        Fault::garbage(Garbage::EmptyBody),
        Fault::garbage(Garbage::Html),
        Fault::garbage(Garbage::TruncatedJson),
        Fault::garbage(Garbage::CutOff),
        Fault::Drop,
        Fault::status(503),
        Fault::status(404),
        short,
    ] {
        let rule = Rule::new(fault.clone()).resource(Resource::Tag).operation(Operation::List);
        rig.sim.faults().push(rule);
        let mut command = VERIFY.to_vec();
        command.push("--repair");
        let ended = ended(binary::of(&rig, &command)).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{fault:?} {ended:?}");
        assert!(ended.stderr.contains("tag records of the target can't be read"), "{ended:?}");
    }
    assert_eq!(rig.count("select count(*) from sync.record where owed_gen > done_gen").await, 0);
    assert_eq!(rig.count("select count(*) from sync.verify_row").await, 0);
    assert_eq!((rig.writes(), rig.sim.row_count(Resource::Tag)), (writes, rows));
    running.stop().await;
}
