//! People edit at the remotes only: nothing of it comes back to where it was entered, and the other targets get it.

use ems_sync_remotes::chatwoot::Resource as Desk;

use super::bench::Both;
use super::there::There;
use crate::support::campaign::scaled;
use crate::support::random::Random;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a minute: run with the campaign"]
async fn what_is_edited_there_causes_no_write_back_and_reaches_the_others() {
    let edits = scaled(300, 3_000);
    let both = Both::new(60).await;
    let running = both.five.rig.start_all();
    both.at_rest().await;
    let mut random = Random::seeded("both_sides::echo");
    // Races that were there before had another name and start: that may have been pulled before it was pushed.
    let conflicts = "select concat_ws(' ', conflict_id, target, entity_type, reason, fields) from sync.conflict order by 1";
    let met_before = both.texts(conflicts).await;
    for (origin, is_chatwoot) in [("runsignup", false), ("chatwoot", true)] {
        let before = both.writes();
        let mut there = There::new(random.fork());
        for n in 0..edits / 2 {
            if is_chatwoot {
                there.next_contact(&both)
            } else {
                there.next_registration(&both)
            }
            if n % 50 == 49 {
                both.sweep().await;
            }
        }
        both.sweep().await;
        let after = both.writes();
        for ((target, before), (_, after)) in before.into_iter().zip(after) {
            eprintln!("{edits} edits at {origin}: {} writes to {target}", after - before);
            // Persons that are new in the EMS get their id into their contact there; a second registration of one who is edited does not.
            assert_eq!(after == before, target == origin, "{origin}: {target} {before} {after}");
        }
        both.assert_nothing_vanished(&there.ledger).await;
        assert_eq!(both.texts(conflicts).await, met_before, "nothing met anything");
    }
    assert!(both.five.chatwoot.rows(Desk::Contact).len() > 60);
    both.assert_comes_to_rest().await;
    both.assert_agrees().await;
    running.stop().await;
}
