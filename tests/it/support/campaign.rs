//! How much of a campaign is run: a little with every change, all of it when it is asked for. And what
//! stands between the end of the faults and the look at everything.

use super::rig::Rig;

/// `default` kills, `full` with `EMS_SYNC_CAMPAIGN=full`, or what `EMS_SYNC_CAMPAIGN_KILLS` says.
pub(crate) fn kills(default: usize, full: usize) -> usize {
    match std::env::var("EMS_SYNC_CAMPAIGN_KILLS") {
        Ok(kills) => kills.parse().expect("EMS_SYNC_CAMPAIGN_KILLS is a number"),
        Err(_) => scaled(default, full),
    }
}

/// `default` of anything, or `full` of it with `EMS_SYNC_CAMPAIGN=full`.
pub(crate) fn scaled(default: usize, full: usize) -> usize {
    match std::env::var("EMS_SYNC_CAMPAIGN").as_deref() {
        Ok("full") => full,
        Ok(other) => panic!("EMS_SYNC_CAMPAIGN is `full` or not set, not `{other}`"),
        Err(_) => default,
    }
}

/// Waits until nothing moves by itself any more: what still waits may wait for what has failed for good.
pub(crate) async fn until_calm(rig: &Rig) {
    let moving = "select (select count(*) from sync.outbox)
                       + (select count(*) from sync.record where owed_gen > done_gen and due_on < 'infinity' and state <> 'waiting')";
    rig.until(moving, "calm").await;
}

/// The last look back at each ambiguous write is due now, and what was refused for a while is put back, as an operator
/// does when the cause is gone. A process that is started after this takes both at once.
pub(crate) async fn make_amends(rig: &Rig) {
    rig.exec(
        "update sync.record set read_back_on = clock_timestamp(), read_back_step = 2 where read_back_on is not null;
         select sync.replay(array_agg(dead_letter_id), 'test') from sync.dead_letter where closed_on is null",
    )
    .await;
}

/// Waits until there is nothing left to look back at.
pub(crate) async fn until_looked_back(rig: &Rig) {
    rig.until("select count(*) from sync.record where read_back_on is not null", "read back").await;
    rig.settled().await;
}
