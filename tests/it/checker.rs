//! The checker itself: each kind of defect is planted behind the program's back, and named.

use std::collections::BTreeSet;

use ems_sync::entity::{EntityRef, EntityType};
use ems_sync_remotes::tagserver::Resource;
use serde_json::json;

use crate::support::checker::{Checker, Kind, Report, Snapshot, judge};
use crate::support::ems;
use crate::support::rig::Rig;

async fn check(checker: &Checker, rig: &Rig) -> Report {
    checker.check(rig, &BTreeSet::new()).await
}

/// Nothing but this kind was found, and the text names this entity.
#[track_caller]
fn assert_named(report: &Report, kind: Kind, name: &str) {
    assert_eq!(report.kinds(), BTreeSet::from([kind]), "{report}: {:#?}", report.findings);
    assert!(report.of(kind).iter().all(|text| text.contains(name)), "{:#?}", report.findings);
}

/// A run without faults over all types is clean, writes once per version, and is silent afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_without_faults_is_clean_and_each_planted_defect_is_named() {
    let rig = Rig::new().await;
    let checker = Checker::begin(&rig).await;
    let running = rig.start_all();
    ems::populate(&rig.ems, 60).await;
    for round in 1..4 {
        ems::change(&rig.ems, round).await;
    }
    rig.settled().await;
    let mut report = check(&checker, &rig).await;
    checker.silence(&rig, &mut report).await;
    report.assert_clean();
    assert!(report.entities > 200 && report.versions > report.entities, "{report}");
    running.stop().await;
    contents(&checker, &rig).await;
    records(&checker, &rig).await;
    deletions(&checker, &rig).await;
    requests(&rig).await;
}

/// A person that nobody names, and its row.
async fn lonely(rig: &Rig) -> (i64, i64) {
    let id = rig
        .count(
            "select max(p.id) from ems.person p
             where not exists (select from ems.tag t where t.person_id = p.id)
               and not exists (select from ems.event_participant e where e.person_id = p.id)",
        )
        .await;
    (id, rig.sim.row(Resource::Person, &id.to_string()).unwrap().id)
}

async fn contents(checker: &Checker, rig: &Rig) {
    let (id, row) = lonely(rig).await;
    let name = format!("people/{id}");
    let body = rig.sim.row_by_id(Resource::Person, row).unwrap().body;

    // The remote has another content, which never was in the EMS.
    rig.sim.plant(Resource::Person, json!({"id": row, "lastName": "Nobody"})).unwrap();
    let report = check(checker, rig).await;
    assert_eq!(report.kinds(), BTreeSet::from([Kind::Lost, Kind::Unaccounted]), "{report}");
    assert!(report.of(Kind::Lost)[0].contains(&name));

    // The remote has the content of an earlier version.
    rig.exec(&format!(
        "begin;
         update ems.person set last_name = 'Nobody' where id = {id};
         update ems.person set last_name = last_name || ' again' where id = {id};
         delete from sync.outbox;
         commit"
    ))
    .await;
    let report = check(checker, rig).await;
    assert!(report.of(Kind::Stale)[0].contains(&name), "{:#?}", report.findings);
    assert!(report.of(Kind::Lost).is_empty(), "{:#?}", report.findings);

    // What is owed is on its way, and no loss.
    rig.exec(&format!(
        "update sync.record set owed_gen = owed_gen + 1, state = 'pending', due_on = now()
         where entity_type = 'person' and entity_id = {id}"
    ))
    .await;
    let report = check(checker, rig).await;
    assert!(report.findings.is_empty() && report.owed == 1, "{report}: {:#?}", report.findings);
    rig.exec(&format!(
        "update sync.record set owed_gen = done_gen, state = 'synced', due_on = 'infinity'
         where entity_type = 'person' and entity_id = {id};
         begin; update ems.person set last_name = '{}' where id = {id}; delete from sync.outbox; commit",
        body["lastName"].as_str().unwrap()
    ))
    .await;
    rig.sim.plant(Resource::Person, json!({"id": row, "lastName": body["lastName"]})).unwrap();
    check(checker, rig).await.assert_clean();

    // The remote has not got it at all, and later under another id.
    rig.sim.remove(Resource::Person, row);
    let report = check(checker, rig).await;
    assert_eq!(report.of(Kind::Lost), [format!("{name} is missing")]);
    let mut again = body.clone();
    again["id"] = json!(row + 1_000_000);
    rig.sim.plant(Resource::Person, again).unwrap();
    assert_named(&check(checker, rig).await, Kind::Unaccounted, &format!("person:{id}"));
    rig.sim.remove(Resource::Person, row + 1_000_000);
    rig.sim.plant(Resource::Person, body.clone()).unwrap();
    check(checker, rig).await.assert_clean();

    // A row of ours that the EMS does not have, and one that is nobody's.
    let stranger = json!({"externalId": "987654", "firstName": "A", "lastName": "B"});
    let planted = rig.sim.plant(Resource::Person, stranger).unwrap();
    assert_named(&check(checker, rig).await, Kind::Unexpected, "people/987654");
    rig.sim.remove(Resource::Person, planted.id);

    // A second row, as a remote would have it that does not refuse it.
    let mut snapshot = Snapshot::take(rig, &BTreeSet::new()).await;
    let people = snapshot.held.iter_mut().find(|(of, _)| *of == Resource::Person).unwrap();
    let mut second = people.1.iter().find(|held| held.id == row).unwrap().clone();
    second.id += 1_000_000;
    people.1.insert(0, second);
    assert_named(&judge(&snapshot), Kind::Doubled, &name);
}

async fn records(checker: &Checker, rig: &Rig) {
    let (id, row) = lonely(rig).await;
    let name = format!("person:{id}");
    let planted = [
        ("owed_gen = owed_gen + 1", Kind::Unaccounted),
        ("owed_gen = owed_gen + 1, state = 'pending'", Kind::Unaccounted),
        ("owed_gen = owed_gen + 1, state = 'dead_letter'", Kind::Unaccounted),
        ("state = 'pending'", Kind::Unaccounted),
        ("state = 'leased'", Kind::Unaccounted),
        (
            "lease_owner = gen_random_uuid(), lease_until = now() + interval '1 h', state = 'leased'",
            Kind::Unaccounted,
        ),
        (
            "lease_owner = gen_random_uuid(), lease_until = now() - interval '1 s', state = 'leased'",
            Kind::Unaccounted,
        ),
        ("in_doubt = true", Kind::Unaccounted),
        ("data_hash = sha256('x')", Kind::Unaccounted),
        ("remote_hash = sha256('x')", Kind::Unaccounted),
        ("remote_id = null", Kind::Unaccounted),
        ("remote_id = '1'", Kind::Unaccounted),
    ];
    for (change, kind) in planted {
        rig.exec(&format!(
            "create table checker.kept as select * from sync.record where entity_type = 'person' and entity_id = {id};
             update sync.record set {change} where entity_type = 'person' and entity_id = {id}"
        ))
        .await;
        let report = check(checker, rig).await;
        assert_eq!(report.kinds(), BTreeSet::from([kind]), "{change}: {:#?}", report.findings);
        assert!(report.of(kind)[0].contains(&name), "{change}: {:#?}", report.findings);
        rig.exec(&format!(
            "delete from sync.record where entity_type = 'person' and entity_id = {id};
             insert into sync.record select * from checker.kept; drop table checker.kept"
        ))
        .await;
    }
    check(checker, rig).await.assert_clean();

    // Two records with one row.
    let other = rig.count(&format!("select min(id) from ems.person where id <> {id}")).await;
    rig.exec(&format!(
        "create table checker.kept as select * from sync.record where entity_type = 'person' and entity_id = {other};
         update sync.record set remote_id = '{row}' where entity_type = 'person' and entity_id = {other}"
    ))
    .await;
    let report = check(checker, rig).await;
    assert!(report.of(Kind::Doubled)[0].contains(&name), "{:#?}", report.findings);
    rig.exec(&format!(
        "update sync.record r set remote_id = k.remote_id from checker.kept k
         where r.entity_type = 'person' and r.entity_id = {other}; drop table checker.kept"
    ))
    .await;

    // No record at all.
    rig.exec(&format!("create table checker.kept as select * from sync.record where entity_type = 'person' and entity_id = {id};
         delete from sync.record where entity_type = 'person' and entity_id = {id}"))
    .await;
    assert_named(&check(checker, rig).await, Kind::Unaccounted, &name);
    rig.exec("insert into sync.record select * from checker.kept; drop table checker.kept").await;
    check(checker, rig).await.assert_clean();
}

/// What somebody else deletes, somebody else writes, and somebody writes without end.
async fn deletions(checker: &Checker, rig: &Rig) {
    let (id, row) = lonely(rig).await;
    let mut snapshot = Snapshot::take(rig, &BTreeSet::new()).await;
    let write = snapshot.journal.iter_mut().rev().find(|entry| {
        entry.rows.iter().any(|one| one.remote_id.as_deref() == Some(&row.to_string()))
    });
    let write = write.unwrap().clone();
    let mut deleted = write.clone();
    deleted.rows.retain(|one| one.remote_id.as_deref() == Some(&row.to_string()));
    deleted.rows[0].effect = ems_sync_remotes::Effect::Deleted;
    snapshot.journal.push(deleted);
    assert_named(&judge(&snapshot), Kind::Unexpected, &format!("person:{id}"));

    let mut snapshot = Snapshot::take(rig, &BTreeSet::new()).await;
    snapshot.journal.extend(std::iter::repeat_n(write, 20));
    let report = judge(&snapshot);
    assert!(report.kinds() == BTreeSet::from([Kind::Excessive]), "{:#?}", report.findings);

    // The EMS has lost a row without telling anybody.
    rig.exec(&format!(
        "begin; delete from ems.person where id = {id}; delete from sync.outbox; commit"
    ))
    .await;
    let report = check(checker, rig).await;
    assert_eq!(report.of(Kind::Unexpected), [format!("people/{id} is orphaned")]);
    // And a sweep after that is not silent.
    let running = rig.start_all();
    let mut report = Report::default();
    checker.silence(rig, &mut report).await;
    assert_named(&report, Kind::Restless, "sweep 1");
    running.stop().await;
    check(checker, rig).await.assert_clean();
}

/// Breaches that the simulator notes, and two writes at once.
async fn requests(rig: &Rig) {
    let mut snapshot = Snapshot::take(rig, &BTreeSet::new()).await;
    snapshot.violations.push(ems_sync_remotes::Violation {
        sequence: 1,
        code: "absent_parent".to_owned(),
        detail: "tags".to_owned(),
    });
    assert_named(&judge(&snapshot), Kind::Unexpected, "absent_parent");
    let mut snapshot = Snapshot::take(rig, &BTreeSet::new()).await;
    let overlap = |abandoned| ems_sync_remotes::Overlap {
        resource: "people".to_owned(),
        external_id: "1".to_owned(),
        first: 1,
        second: 2,
        abandoned,
    };
    snapshot.overlaps.push(overlap(true));
    judge(&snapshot).assert_clean();
    snapshot.overlaps.push(overlap(false));
    assert_named(&judge(&snapshot), Kind::Doubled, "two writes at once");
    let person = EntityRef::new(EntityType::Person, 1);
    snapshot.overlaps.clear();
    snapshot.outbox.insert(person);
    assert_eq!(judge(&snapshot).owed, 1);
}
