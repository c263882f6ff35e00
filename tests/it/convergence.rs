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
