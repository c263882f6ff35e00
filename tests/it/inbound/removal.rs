//! Records that people took out, moved, or that are not there any more.

use ems_sync::entity::EntityType;
use ems_sync::remote::inbound::{Shape, Snapshot};
use serde_json::json;

use super::bench::Bench;

pub(super) fn removed(remote_id: &str, successor: Option<&str>) -> Snapshot {
    Snapshot {
        entity_type: EntityType::Person,
        remote_id: remote_id.to_owned(),
        entity: None,
        shape: Shape::Removed {
            reason: "cancelled".to_owned(),
            successor: successor.map(str::to_owned),
        },
        modified_on: None,
        parents: Vec::new(),
    }
}

/// This EMS notes a removal in the city.
pub(super) const REMOVES: &str = "create function sync.chatwoot_remove_person(p_id bigint, p_reason text) returns boolean language sql as $$
    with done as (update ems.person set city = p_reason, email = null where id = p_id returning 1)
    select exists (select from done) $$";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_wins_whatever_is_owed_and_leaves_nothing_to_delete() {
    let bench = Bench::new().await;
    bench.exec(REMOVES).await;
    let id = bench.synced("Thandi", "17").await;
    bench.exec("update ems.person set last_name = 'Owed'; update sync.record set owed_gen = owed_gen + 1, due_on = now()").await;
    let now = bench.store.now().await.unwrap();
    let row = bench.taken_in(removed("17", None), now).await.unwrap();
    bench.applier.work(&[row]).await.unwrap();
    assert_eq!(bench.text("select city from ems.person").await.as_deref(), Some("cancelled"));
    let free = "select count(*) from sync.record where remote_id is null and data_hash is null and owed_gen = done_gen
                   and state = 'skipped' and state_reason = 'removed_there' and former_remote_id = '17'";
    assert_eq!(bench.count(free).await, 1);
    assert_eq!(bench.inbox().await, 0);
    // It is registered again there: it is theirs again.
    bench
        .exec(&format!("update ems.person set email = 'thandi@example.org' where id = {id}"))
        .await;
    bench.comes_back("18", super::bench::foreign("Thandi Owed", "thandi@example.org")).await;
    let again =
        format!("select count(*) from sync.record where entity_id = {id} and remote_id = '18'");
    assert_eq!(bench.count(&again).await, 1);
}

/// A transfer shows the new record first, then that the old one went.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_is_an_update_of_one_entity() {
    let bench = Bench::new().await;
    bench.exec(REMOVES).await;
    let id = bench.synced("Thandi", "17").await;
    let contact = bench.plant(json!({
        "name": "Thandi Nkosi", "email": "thandi@example.org", "identifier": format!("ems-person-{id}"),
        "custom_attributes": {"ems_person_id": id.to_string()},
        "additional_attributes": {"city": "Umlazi", "country": "ZA", "country_code": "ZA"}}));
    let new_id = contact.to_string();
    let there = bench.changed(id, json!({"city": "Umlazi"})).await;
    let new = bench.pulled(&new_id, there).await;
    bench.applier.work(&[new]).await.unwrap();
    assert_eq!(
        bench.text("select state_reason from sync.inbox").await.as_deref(),
        Some("waiting_for_removal")
    );
    // The old one is asked for once, and not with each look.
    let asked = "select string_agg(concat_ws(' ', entity_type, remote_id, stream, asked_gen), ', ') from sync.to_read";
    assert_eq!(bench.text(asked).await.as_deref(), Some("person 17 contacts 1"));
    bench.exec("update sync.inbox set due_on = now()").await;
    bench.applier.work(&[new]).await.unwrap();
    assert_eq!(bench.text(asked).await.as_deref(), Some("person 17 contacts 1"));
    let now = bench.store.now().await.unwrap();
    let old = bench.taken_in(removed("17", Some(&new_id)), now).await.unwrap();
    bench.applier.work(&[old]).await.unwrap();
    let moved = format!("select count(*) from sync.record where remote_id = '{new_id}'");
    assert_eq!(bench.count(&moved).await, 1);
    // What the new record says is taken as a change.
    let city = bench.text("select city from ems.person").await;
    assert_eq!(city.as_deref(), Some("Umlazi"));
    assert_eq!(bench.count("select count(*) from ems.person").await, 1);
    assert_eq!((bench.inbox().await, bench.open_conflicts().await.len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_any_more_is_forgotten_and_nothing_is_done_in_the_ems() {
    let bench = Bench::new().await;
    bench.synced("Thandi", "17").await;
    let version = bench.text("select modified_on::text from ems.person").await;
    let now = bench.store.now().await.unwrap();
    let gone = Snapshot { shape: Shape::Gone, ..removed("17", None) };
    let row = bench.taken_in(gone, now).await.unwrap();
    bench.applier.work(&[row]).await.unwrap();
    let forgotten = "select count(*) from sync.record where remote_id is null and state_reason = 'gone_there' and owed_gen = done_gen";
    assert_eq!(bench.count(forgotten).await, 1);
    assert_eq!(bench.text("select modified_on::text from ems.person").await, version);
    // Nobody knows it: there is nothing to take out.
    assert_eq!(bench.taken_in(removed("99", None), now).await, None);
}
