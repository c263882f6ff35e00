//! Who changed something later is told by the remote's clock and ours, which may be minutes apart: what is measured by the `Date` of
//! its answers is carried into the decision.

use ems_sync_remotes::runsignup::Resource;
use serde_json::json;

use super::engine::{MAPPED, World};

/// Between the EMS's change and people's: far from what a measurement may be wrong by, and less than the clocks are apart.
const APART: i64 = 60;

/// A participant who was pushed, her registration there, and when the EMS changed her last.
struct Pushed {
    id: i64,
    registration: i64,
    changed_on: i64,
}

async fn pushed(world: &World) -> Vec<Pushed> {
    let sql = "select entity_id, remote_id::bigint, extract(epoch from entity_modified_on)::bigint from sync.record
               where target = 'runsignup' and entity_type = 'event_participant' and remote_id is not null order by entity_id limit 2";
    let rows = world.rig.ems.query(sql, &[]).await.unwrap();
    rows.iter()
        .map(|row| Pushed { id: row.get(0), registration: row.get(1), changed_on: row.get(2) })
        .collect()
}

impl World {
    /// Somebody edits a city there, `after` seconds after the EMS changed that person; the remote's clock says so in its own way.
    fn edits(&self, pushed: &Pushed, city: &str, after: i64, ahead: i64) {
        let edit = json!({"id": pushed.registration, "last_modified": pushed.changed_on + after + ahead,
                          "user": {"address": {"city": city}}});
        self.sim.plant(Resource::Registration, edit).unwrap();
    }

    async fn city(&self, of: &Pushed) -> String {
        let sql = "select p.city from ems.event_participant ep join ems.person p on p.id = ep.person_id where ep.id = ";
        self.text(&format!("{sql}{}", of.id)).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_later_is_told_though_the_remotes_clock_is_minutes_off() {
    for ahead in [-300, 0, 300] {
        let world = World::new(4).await;
        world.sim.configure(|settings| settings.clock_offset_seconds = ahead);
        world.rig.exec(MAPPED).await;
        let running = world.rig.start_all();
        world.rig.settled().await;
        world.rig.exec("update ems.person set city = 'Pretoria'").await;
        world.rig.settled().await;
        let [earlier, later] = <[Pushed; 2]>::try_from(pushed(&world).await).ok().unwrap();
        world.edits(&earlier, "Earlier", -APART, ahead);
        world.edits(&later, "Later", APART, ahead);
        world.taken_in().await;
        let measured = "select clock_ahead_ms / 1000 from sync.cursor where target = 'runsignup' and stream = 'registrations'";
        let measured = world.rig.count(measured).await;
        assert!((measured - ahead).abs() <= 10, "measured {measured}, is {ahead}");
        assert_eq!(world.city(&earlier).await, "Pretoria", "{ahead}: the EMS was later");
        assert_eq!(world.city(&later).await, "Later", "{ahead}: people were later");
        let lost = "select concat_ws('/', entity_id, reason, f ->> 'remote_value') from sync.conflict, jsonb_array_elements(fields) f
                    where entity_type = 'event_participant'";
        let expected = format!("{}/ems_newer/Earlier", earlier.id);
        assert_eq!(world.text(lost).await, expected, "{ahead}");
        let there = world.sim.registration(earlier.registration).unwrap();
        let there = world.sim.user(there.user_id).unwrap().address.city;
        assert_eq!(there.as_deref(), Some("Pretoria"), "{ahead}: and that is said again");
        running.stop().await;
    }
}
