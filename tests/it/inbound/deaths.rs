//! A process that dies while it applies: everything of a row is written, or nothing.

use ems_sync::process::Role;
use serde_json::json;

use super::bench::{Bench, foreign, with};
use crate::support::rig::PATIENCE;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_any_point_of_an_apply_changes_nothing() {
    for point in ["inbound.applied", "inbound.committed", "inbound.published", "inbound.acked"] {
        let bench = Bench::new().await;
        let id = bench.synced("Thandi", "17").await;
        bench.pulled("17", bench.changed(id, json!({"city": "Umlazi"})).await).await;
        // One that makes something follow: the EMS has a change of its own.
        let other = bench.synced("Sipho", "18").await;
        let there = bench.changed(other, json!({"name": "Sipho Zulu"})).await;
        bench.exec(&format!("update ems.person set city = 'Soweto' where id = {other}")).await;
        bench.exec("delete from sync.outbox").await;
        bench.pulled("18", there).await;
        // And one that nobody knows.
        let new = with(foreign("Zanele Dube", "zanele@example.org"), json!({"city": "Umhlanga"}));
        bench.pulled("19", new).await;
        let mut process = bench.spawn_to_die_at(point);
        let ended = tokio::time::timeout(PATIENCE, process.wait()).await.expect(point).unwrap();
        assert!(!ended.success(), "{point}: it was killed");
        let heir = bench.start(&[Role::Relay, Role::Consume]);
        bench.until("select count(*) from sync.inbox").await;
        heir.stop().await;
        let cities = "select string_agg(city, ',' order by city) from ems.person";
        assert_eq!(bench.text(cities).await.as_deref(), Some("Soweto,Umhlanga,Umlazi"), "{point}");
        assert_eq!(bench.count("select count(*) from ems.person").await, 3, "{point}");
        let known = "select count(*) from sync.record r join ems.person p on p.id = r.entity_id
                     where r.target = 'chatwoot' and '19' in (r.remote_id, r.former_remote_id) and p.last_name = 'Dube'";
        assert_eq!(bench.count(known).await, 1, "{point}: made once, and known");
        assert_eq!(bench.count("select count(*) from sync.conflict").await, 1, "{point}: once");
    }
}
