//! One entity, many writers, many consumers (G4): never two pushes at once, and the last is of the newest state.

use crate::support::database::connect;
use crate::support::parity::assert_in_sync;
use crate::support::rig::Rig;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_person_updated_two_thousand_times_with_three_consumer_processes() {
    let rig = Rig::new().await;
    rig.exec(
        "insert into ems.person (first_name, last_name) values ('Hot', 'Row'), ('Calm', 'Row')",
    )
    .await;
    let mut processes = vec![rig.spawn(&["run", "--roles", "relay,consume"])];
    processes.push(rig.spawn(&["run", "--roles", "consume"]));
    processes.push(rig.spawn(&["run", "--roles", "relay,consume"]));
    rig.until("select 2 - count(*) from sync.record where state = 'synced'", "first pushed").await;
    let id = rig.count("select min(id) from ems.person").await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4 {
        let url = rig.url.clone();
        writers.spawn(async move {
            let ems = connect(&url).await;
            for n in 0..500 {
                let name = format!("w{writer}-{n}");
                ems.execute("update ems.person set last_name = $1 where id = $2", &[&name, &id])
                    .await
                    .unwrap();
            }
        });
    }
    writers.join_all().await;
    rig.settled().await;
    assert_in_sync(&rig).await;
    assert!(rig.sim.overlaps().is_empty(), "two pushes of one entity were in flight");
    for mut process in processes {
        process.start_kill().unwrap();
        process.wait().await.unwrap();
    }
}
