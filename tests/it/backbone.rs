//! The main job: an EMS change reaches TagServer.

use ems_sync::entity::{EntityRef, EntityType};

use crate::support::parity::assert_in_sync;
use crate::support::rig::Rig;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_committed_change_reaches_the_remote_and_a_no_op_touch_does_not() {
    let rig = Rig::new().await;
    let running = rig.start_all();
    rig.exec("insert into ems.person (first_name, last_name) values ('Thandi', 'Nkosi')").await;
    rig.until("select 1 - count(*) from sync.record where state = 'synced'", "pushed").await;
    assert_in_sync(&rig).await;
    let writes = rig.writes();
    let settled = rig.ems.query_one("select settled_on from sync.record", &[]).await.unwrap();
    let settled_on: jiff::Timestamp = settled.get(0);
    rig.exec("update ems.person set first_name = first_name").await;
    rig.exec("update ems.person set email = 'not.of.interest@ems.example'").await;
    rig.settled().await;
    assert_eq!(rig.writes(), writes, "what TagServer does not see is no reason to write to it");
    // What needs no write moves too.
    let still = format!("select count(*) from sync.record where settled_on <= '{settled_on}'");
    rig.until(&still, "settled again").await;
    rig.exec("update ems.person set last_name = 'Dlamini'").await;
    rig.until("select count(*) from sync.record where owed_gen = 2", "owed").await;
    rig.settled().await;
    assert_in_sync(&rig).await;
    rig.exec("delete from ems.person").await;
    rig.until("select count(*) from sync.record where tombstoned_on is null", "deleted").await;
    assert_in_sync(&rig).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_says_what_was_pushed() {
    let rig = Rig::new().await;
    let running = rig.start_all();
    rig.exec("insert into ems.organisation (name) values ('Club')").await;
    rig.until("select 1 - count(*) from sync.tagserver_record where state = 'synced'", "pushed")
        .await;
    let row = rig
        .ems
        .query_one(
            "select r.remote_id, r.data_hash = r.remote_hash, r.entity_modified_on = o.modified_on,
                    r.entity_synced_on > o.modified_on, r.in_doubt, r.intent_on is null
             from sync.tagserver_record r join ems.organisation o on o.id = r.entity_id",
            &[],
        )
        .await
        .unwrap();
    let remote_id: &str = row.get(0);
    assert_eq!(
        remote_id.parse(),
        Ok(rig.sim.rows(ems_sync_remotes::tagserver::Resource::Organisation)[0].id)
    );
    let flags: Vec<bool> = (1..6).map(|column| row.get(column)).collect();
    assert_eq!(flags, [true, true, true, false, true]);
    let id = rig.count("select id from ems.organisation").await;
    let entity = EntityRef::new(EntityType::Organisation, id);
    assert_eq!(rig.state_of(entity).await.as_deref(), Some("synced"));
    running.stop().await;
}
