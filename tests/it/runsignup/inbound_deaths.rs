//! A process that dies while it walks what was changed at RunSignup since its cursor: the next one takes it all in, once.

use ems_sync::process::Role;
use ems_sync_remotes::runsignup::{Action, Resource};
use serde_json::json;

use super::inbound::{LONG, OF_SKY, SHORT, user, world};
use crate::support::binary::{self, ended};
use crate::support::campaign::scaled;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_killed_between_page_and_cursor_loses_no_change_since_the_cursor() {
    for point in ["pull.read", "pull.taken_in", "pull.stored"] {
        // All of them in a campaign.
        for passes in scaled(1, 0)..scaled(2, 3) {
            let mut world = world().await;
            world.rig.set("SWEEP__INBOUND_EVERY", "1s");
            let there: Vec<i64> =
                (0..12).map(|n| world.sim.register(LONG, user(n)).unwrap()).collect();
            let running = world.rig.start(&[Role::Relay, Role::Consume]);
            world.taken_in().await;
            let arrived = format!("select 12 - count(*) {OF_SKY}");
            world.rig.until(&arrived, "arrived").await;
            running.stop().await;
            let people = world.rig.count("select count(*) from ems.person").await;

            // A change of each kind since then.
            let edit = json!({"id": there[1], "bib_num": 777});
            world.sim.plant(Resource::Registration, edit).unwrap();
            world.sim.act(there[2], Action::Transfer { event_id: SHORT }).unwrap();
            world.sim.act(there[4], Action::Remove).unwrap();
            world.sim.register(SHORT, user(50)).unwrap();
            let mut process = binary::of(&world.rig, &["run", "--roles", "sweep"]);
            process.env("FAILPOINTS", format!("{point}={passes}*off->return"));
            let died = ended(process).await;
            assert!(died.code.is_none() && died.stderr.contains(point), "{point}: {died:?}");

            // Its leases run out; nobody walks everything again.
            let leases = "update sync.cursor set walker_until = now(); update sync.duty set lease_until = now()";
            world.rig.exec(leases).await;
            let full = "select sum(extract(epoch from full_on) * 1000000)::bigint from sync.cursor where stream = 'registrations'";
            let walked = world.rig.count(full).await;
            let heir = world.rig.start(&[Role::Relay, Role::Consume, Role::Sweep]);
            for (owed, what) in [
                (format!("select 1 - count(*) {OF_SKY} where ep.number = '777'"), "edited"),
                (
                    format!(
                        "select 1 - count(*) {OF_SKY} where p.last_name = 'Skye 2' and r.name = '5K'"
                    ),
                    "moved",
                ),
                (
                    format!(
                        "select 1 - count(*) {OF_SKY} where p.last_name = 'Skye 4' and ep.status = 'WITHDRAWN'"
                    ),
                    "removed",
                ),
                (format!("select 1 - count(*) {OF_SKY} where p.last_name = 'Skye 50'"), "new"),
            ] {
                world.rig.until(&owed, what).await;
            }
            heir.stop().await;
            let all = format!("select count(*) {OF_SKY}");
            assert_eq!(world.rig.count(&all).await, 13, "{point}: one participant each");
            let now = world.rig.count("select count(*) from ems.person").await;
            assert_eq!(now, people + 1, "{point}: one person each");
            let conflicts = world.rig.count("select count(*) from sync.conflict").await;
            assert_eq!(conflicts, 0, "{point}: {}", world.open().await);
            assert_eq!(world.rig.count(full).await, walked, "{point}: from the cursor on");
        }
    }
}
