//! Convergence (G1, G2): many mixed changes over all eight types end in parity.

use crate::support::ems;
use crate::support::parity::assert_in_sync;
use crate::support::rig::Rig;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mixed_changes_over_all_eight_types_converge_and_a_second_sweep_writes_nothing() {
    let rig = Rig::new().await;
    let running = rig.start_all();
    ems::populate(&rig.ems, 1_600).await;
    for round in 1..7 {
        ems::change(&rig.ems, round).await;
    }
    rig.settled().await;
    assert_in_sync(&rig).await;
    let changes = rig.count("select last_value from sync.outbox_id_seq").await;
    assert!(changes >= 10_000, "{changes} changes are not enough to say anything");
    let writes = rig.writes();
    let (code, _) = rig.run(&["sweep", "outbound"]).await;
    assert_eq!(code, 0);
    rig.settled().await;
    assert_eq!(rig.writes(), writes, "a sweep of what is in step causes no write");
    assert!(rig.sim.overlaps().is_empty(), "two pushes of one entity were in flight");
    running.stop().await;
}

/// A tag that is replaced on race day gets its end first, then the new one is created (TagServer's contract), also
/// when their deliveries come in the wrong order or apart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_that_is_replaced_ends_before_the_new_one_begins() {
    let rig = Rig::new().await;
    let running = rig.start_all();
    ems::populate(&rig.ems, 200).await;
    rig.settled().await;
    let before = rig.sim.journal().len();
    // Everybody's tag is replaced, each in a transaction of its own.
    let people = rig.ems.query("select person_id, id from ems.tag order by id", &[]).await.unwrap();
    for row in &people {
        let (person, tag): (i64, i64) = (row.get(0), row.get(1));
        rig.exec(&format!(
            "begin;
             insert into ems.tag (person_id, number) values ({person}, 'NEW-{tag}');
             update ems.tag set valid_to = now() where id = {tag};
             commit"
        ))
        .await;
    }
    rig.settled().await;
    assert_in_sync(&rig).await;
    let sql =
        "select o.id::text, n.id::text from ems.tag o join ems.tag n on n.number = 'NEW-' || o.id";
    for pair in rig.ems.query(sql, &[]).await.unwrap() {
        let (old, new): (String, String) = (pair.get(0), pair.get(1));
        let first_write = |id: &str| {
            let writes = rig.sim.writes_of("tags", id);
            writes.into_iter().find(|entry| entry.sequence > before as u64).unwrap()
        };
        let (old, new) = (first_write(&old), first_write(&new));
        assert!(old.ended_us.unwrap() <= new.started_us, "{old:?} {new:?}");
    }
    running.stop().await;
}
