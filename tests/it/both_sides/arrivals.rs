//! Registrations that come while pages are walked: each becomes one participant.

use ems_sync_remotes::runsignup::Resource;
use serde_json::json;

use super::bench::Both;
use crate::support::campaign::scaled;

const RACE: i64 = 7001;

fn registration(n: i64) -> serde_json::Value {
    json!({"user": {"first_name": "Arrives", "last_name": format!("Number {n}"), "dob": "1990-05-05", "gender": "M",
                    "email": format!("a{n}@there.org")}, "bib_num": 900_000 + n})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registrations_that_come_while_pages_are_walked_all_arrive_once() {
    let arrivals = scaled(400, 5_000) as i64;
    let both = Both::new(10).await;
    let running = both.five.rig.start_all();
    both.at_rest().await;
    // Some stand there before, so that there is something to walk.
    for n in 0..arrivals / 4 {
        both.five.runsignup.register(RACE, registration(n)).unwrap();
    }
    let before = both.five.runsignup.journal().len();
    for n in arrivals / 4..arrivals {
        let id = both.five.runsignup.register(RACE + n % 3, registration(n)).unwrap();
        // Those that came are moved to the end of the walk by an edit, every now and then.
        if n % 7 == 0 {
            both.five
                .runsignup
                .plant(Resource::Registration, json!({"id": id, "chip_num": n.to_string()}))
                .unwrap();
        }
        if n % 25 == 0 {
            let reads = both.five.runsignup.journal().len();
            tokio::time::timeout(
                std::time::Duration::from_secs(5),
                both.five.runsignup.wait_for_requests(reads as u64 + 1),
            )
            .await
            .ok();
        }
    }
    let read = both.five.runsignup.journal().len() - before;
    // All that was told of them is pushed, which may take minutes; then everything is walked once more.
    both.at_rest().await;
    let (code, out) = both.five.rig.run(&["sweep", "inbound", "--target", "runsignup"]).await;
    assert_eq!(code, 0, "{out}");
    both.at_rest().await;
    let there =
        format!("select count(*) - {arrivals} from ems.person where first_name = 'Arrives'");
    assert_eq!(both.five.rig.count(&there).await, 0, "each is one person");
    let known = "select count(*) from ems.person p where p.first_name = 'Arrives' and 1 <> (
                     select count(*) from ems.event_participant ep join sync.record r on r.target = 'runsignup' and r.remote_id is not null
                     and r.entity_type = 'event_participant' and r.entity_id = ep.id where ep.person_id = p.id)";
    assert_eq!(both.five.rig.count(known).await, 0, "with one participant that is known there");
    eprintln!("{arrivals} registrations arrived within {read} requests");
    both.assert_agrees().await;
    running.stop().await;
}
