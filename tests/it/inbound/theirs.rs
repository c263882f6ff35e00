//! Whose a record is: what it says itself is only believed where the EMS bears it out, and whoever was there before is completed.

use ems_sync::remote::inbound::Snapshot;
use serde_json::json;

use super::bench::{Bench, foreign, person, snapshot, with};

impl Bench {
    async fn carries(&self, remote_id: &str, id: i64, body: serde_json::Value) {
        let now = self.store.now().await.unwrap();
        let snapshot = Snapshot { entity: Some(person(id)), ..snapshot(remote_id, body) };
        let row = self.taken_in(snapshot, now).await.unwrap();
        self.applier.work(&[row]).await.unwrap();
    }

    async fn owner_of(&self, remote_id: &str) -> i64 {
        self.count(&format!(
            "select coalesce(max(entity_id), 0) from sync.record where remote_id = '{remote_id}'"
        ))
        .await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_nobody_has_is_no_id() {
    let bench = Bench::new().await;
    bench.carries("31", 4711, foreign("Sipho Dube", "sipho@example.org")).await;
    assert_eq!(bench.count("select count(*) from ems.person").await, 1);
    assert_ne!(bench.owner_of("31").await, 0);
    assert!(bench.open_conflicts().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_the_ems_does_not_bear_out_claims_nobody() {
    let bench = Bench::new().await;
    let id = bench.person("Thandi", "Nkosi", "thandi@example.org").await;
    bench.carries("31", id, foreign("Thandi Married", "other@example.org")).await;
    assert_eq!(bench.owner_of("31").await, id, "Chatwoot's is ours to write");
    // Where people type it, another thing decides.
    bench
        .exec("create or replace function sync.chatwoot_match_person(p_fields jsonb) returns table (entity_type text, entity_id bigint)
               language sql as $$ select null::text, null::bigint where false $$; delete from sync.record")
        .await;
    bench.carries("32", id, foreign("Sipho Dube", "sipho@example.org")).await;
    assert_ne!(bench.owner_of("32").await, id);
    assert_eq!(bench.count("select count(*) from ems.person").await, 2);
}

/// The EMS shows nothing of the person, who is there all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_shown_is_completed_and_neither_overwritten_nor_taken_for_deleted() {
    let bench = Bench::new().await;
    let id = bench.person("Thandi", "Nkosi", "thandi@example.org").await;
    bench.exec("update ems.person set email = null, phone = null").await;
    let there = with(foreign("Thandi Nkosi", "thandi@example.org"), json!({"city": "Umlazi"}));
    bench.carries("31", id, there).await;
    assert_eq!(bench.owner_of("31").await, id);
    let held = "select email || ' ' || city from ems.person";
    assert_eq!(bench.text(held).await.as_deref(), Some("thandi@example.org Durban"));
    let conflicts = bench.open_conflicts().await;
    let lost: Vec<_> =
        conflicts.iter().flat_map(|c| c.fields.iter().map(|f| f.field.as_str())).collect();
    assert_eq!((conflicts.len(), lost), (1, vec!["city"]));
    assert_eq!(conflicts[0].reason, "unpushed");
}

/// Nor is what was entered forgotten where the EMS shows nothing afterwards either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_who_is_not_shown_did_not_take_is_kept() {
    let bench = Bench::new().await;
    let id = bench.person("Thandi", "Nkosi", "thandi@example.org").await;
    bench.exec("update ems.person set email = null, phone = null").await;
    let entered = json!({"email": null, "city": "Umlazi"});
    bench.carries("31", id, with(foreign("Thandi Nkosi", ""), entered)).await;
    assert_eq!(bench.text("select city from ems.person").await.as_deref(), Some("Durban"));
    let conflicts = bench.open_conflicts().await;
    let mut lost = conflicts.iter().flat_map(|c| &c.fields);
    assert!(lost.any(|f| f.field == "city" && f.remote_value == "Umlazi"), "{conflicts:?}");
}

/// What the target's words can't express is no blank.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_target_cannot_hold_is_not_filled() {
    let bench = Bench::new().await;
    let id = bench.person("Thandi", "Nkosi", "thandi@example.org").await;
    bench.exec("update ems.person set phone = '082 123 4567'").await;
    let there = foreign("Thandi Nkosi", "thandi@example.org");
    bench.carries("31", id, with(there, json!({"phone_number": "+27829999999"}))).await;
    assert_eq!(bench.text("select phone from ems.person").await.as_deref(), Some("082 123 4567"));
    let conflicts = bench.open_conflicts().await;
    let lost = conflicts.iter().flat_map(|c| &c.fields).any(|f| f.field == "phone_number");
    assert!(lost, "{conflicts:?}");
}
