//! What comes first: pushes under way, snapshots that are older than them, our own writes, and changes that follow each other.

use std::time::Duration;

use ems_sync::process::Role;
use serde_json::json;
use uuid::Uuid;

use super::bench::{Bench, TARGET, person, snapshot};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_there_is_taken_and_its_echo_is_silent() {
    let bench = Bench::new().await;
    let id = bench.synced("Thandi", "17").await;
    bench.comes_back("17", bench.changed(id, json!({"city": "Umlazi"})).await).await;
    assert_eq!(bench.text("select city from ems.person").await.as_deref(), Some("Umlazi"));
    assert_eq!((bench.inbox().await, bench.owed().await), (0, 0));
    assert!(bench.open_conflicts().await.is_empty());
    // The EMS's trigger tells every target of it; this one holds it already.
    let running = bench.start(&[Role::Relay, Role::Consume]).await_settled(&bench).await;
    running.stop().await;
    assert_eq!(bench.sim.counters().writes_to("contacts").applied(), 0);
    assert_eq!(
        bench
            .count("select count(*) from sync.record where owed_gen > 1 and state = 'synced'")
            .await,
        1
    );
}

/// What is already what both say is nothing to decide, also if it says so ten times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_seen_or_pushed_is_not_decided_again() {
    let bench = Bench::new().await;
    let id = bench.synced("Thandi", "17").await;
    let now = bench.store.now().await.unwrap();
    let same = bench.wire(id).await.body;
    assert_eq!(bench.taken_in(snapshot("17", same), now).await, None);
    bench.comes_back("17", bench.changed(id, json!({"city": "Umlazi"})).await).await;
    let version = "select modified_on::text from ems.person";
    let before = bench.text(version).await;
    for _ in 0..10 {
        let now = bench.store.now().await.unwrap();
        let body = bench.changed(id, json!({"city": "Umlazi"})).await;
        assert_eq!(bench.taken_in(snapshot("17", body), now).await, None);
    }
    assert_eq!(bench.text(version).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_push_is_under_way_a_row_waits_and_the_pushs_end_makes_it_due() {
    let bench = Bench::new().await;
    let id = bench.synced("Thandi", "17").await;
    bench.exec("update sync.record set owed_gen = owed_gen + 1, due_on = clock_timestamp()").await;
    let owner = Uuid::new_v4();
    let lease = Duration::from_secs(60);
    let claims = bench.store.claim(TARGET, owner, lease, &[person(id)]).await.unwrap();
    assert_eq!(claims.len(), 1);
    let row = bench.pulled("17", bench.changed(id, json!({"city": "Umlazi"})).await).await;
    bench.applier.work(&[row]).await.unwrap();
    let waits = "select waits_for from sync.inbox where due_on > clock_timestamp()";
    assert_eq!(bench.text(waits).await, Some(format!("person:{id}")));
    assert_eq!(bench.text("select city from ems.person").await.as_deref(), Some("Durban"));
    // It ends without having sent anything.
    let claim = &claims[0];
    let seen = ems_sync::deliver::settle::Seen::default();
    let now = bench.store.now().await.unwrap();
    let times = ems_sync::deliver::settle::Times {
        now,
        decided: now,
        request_timeout: Duration::from_secs(5),
        settle: Duration::from_secs(1),
    };
    let policy = ems_sync::deliver::retry::RetryPolicy {
        max_retries: 3,
        base_delay: Duration::from_secs(1),
    };
    let result = ems_sync::remote::PushResult::NotSent;
    let finish = ems_sync::deliver::settle::after_push(claim, &seen, result, times, policy).finish;
    let report = bench.store.finish(TARGET, owner, lease, &[finish]).await.unwrap();
    assert_eq!(report.inbox.iter().map(|row| row.inbox_id).collect::<Vec<_>>(), [row]);
    bench.applier.work(&[row]).await.unwrap();
    // The EMS owes something: it wins.
    assert_eq!(bench.open_conflicts().await.len(), 1);
}

/// The snapshot was read before the push ended: what it shows may be what the push has written over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_is_older_than_a_push_is_read_again() {
    let bench = Bench::new().await;
    let contact = bench.plant(json!({"name": "Thandi Nkosi", "email": "thandi@example.org",
        "additional_attributes": {"city": "Umlazi", "country": "ZA", "country_code": "ZA"}}));
    let remote_id = contact.to_string();
    let id = bench.synced("Thandi", &remote_id).await;
    bench.plant(json!({"id": contact, "identifier": format!("ems-person-{id}"),
        "custom_attributes": {"ems_person_id": id.to_string()}}));
    let row = bench.pulled(&remote_id, bench.changed(id, json!({"city": "Older"})).await).await;
    bench.exec("update sync.record set sent_on = clock_timestamp()").await;
    let reads = bench.sim.counters().requests;
    bench.applier.work(&[row]).await.unwrap();
    assert!(bench.sim.counters().requests > reads, "it was read");
    assert_eq!(bench.text("select city from ems.person").await.as_deref(), Some("Umlazi"));
    assert_eq!(bench.inbox().await, 0);
}

/// The answer of our write was lost, the EMS has changed again since, and the write is seen in a pull.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_own_write_whose_answer_was_lost_is_no_change_of_peoples() {
    let bench = Bench::new().await;
    let id = bench.synced("Thandi", "17").await;
    bench.exec("update ems.person set city = 'Umlazi'").await;
    let sent = bench.wire(id).await;
    bench.exec("update sync.record set owed_gen = owed_gen + 1, due_on = clock_timestamp()").await;
    let owner = Uuid::new_v4();
    let claims = bench.store.claim(TARGET, owner, Duration::from_secs(60), &[person(id)]).await;
    assert_eq!(claims.unwrap().len(), 1);
    bench.store.mark_sent(TARGET, owner, &[(person(id), sent.hash)]).await.unwrap();
    // The process has died, and its lease is over.
    bench
        .exec("update sync.record set lease_until = clock_timestamp(), due_on = clock_timestamp()")
        .await;
    bench.exec("update ems.person set city = 'Soweto'").await;
    bench.comes_back("17", sent.body).await;
    assert!(bench.open_conflicts().await.is_empty());
    assert_eq!(bench.text("select city from ems.person").await.as_deref(), Some("Soweto"));
    let known = "select count(*) from sync.record where remote_hash = sent_hashes[1] and owed_gen > done_gen";
    assert_eq!(bench.count(known).await, 1);
}

/// A documented accident: a value that goes to and fro is taken for an old one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flip_flop_each_turn_there_is_taken() {
    let bench = Bench::new().await;
    let id = bench.synced("Thandi", "17").await;
    for turn in 0..6 {
        let city = if turn % 2 == 0 { "Umlazi" } else { "Durban" };
        bench.comes_back("17", bench.changed(id, json!({"city": city})).await).await;
        assert_eq!(
            bench.text("select city from ems.person").await.as_deref(),
            Some(city),
            "{turn}"
        );
    }
    assert!(bench.open_conflicts().await.is_empty());
    assert_eq!(bench.inbox().await, 0);
}

/// The same two values again and again, one here and one there, each said to the other side in between: neither is taken for an echo of
/// what was said or taken before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flip_flop_between_both_sides_each_turn_arrives_on_the_other() {
    let bench = Bench::new().await;
    let running = bench.start(&[Role::Relay, Role::Consume]);
    let id = bench.person("Thandi", "Nkosi", "thandi@example.org").await;
    let settled = "select (select count(*) from sync.outbox) + (select count(*) from sync.inbox where state <> 'done')
                        + (select count(*) from sync.record where owed_gen > done_gen or remote_id is null or lease_owner is not null)
                        + (select 1 - count(*) from sync.record)";
    bench.until(settled).await;
    let contact = bench.sim.contact(&id.to_string()).unwrap().id;
    for turn in 0..4 {
        bench.exec("update ems.person set city = 'Durban'").await;
        bench.until(settled).await;
        let there = bench.sim.contact(&id.to_string()).unwrap().body;
        assert_eq!(there["additional_attributes"]["city"], "Durban", "{turn}: here");
        bench.plant(json!({"id": contact, "additional_attributes": {"city": "Umlazi", "country_code": "ZA"}}));
        let body = bench.changed(id, json!({"city": "Umlazi"})).await;
        bench.comes_back(&contact.to_string(), body).await;
        bench.until(settled).await;
        let here = bench.text("select city from ems.person").await;
        assert_eq!(here.as_deref(), Some("Umlazi"), "{turn}: there");
    }
    running.stop().await;
    assert!(bench.open_conflicts().await.is_empty());
    assert_eq!(bench.sim.violations(), []);
}

/// People change it there, and a push finds that out: nothing is written over what nobody has seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_push_finds_changed_is_kept_before_the_ems_is_written_over_it() {
    let bench = Bench::new().await;
    let running = bench.start(&[Role::Relay, Role::Consume]);
    let id = bench.person("Thandi", "Nkosi", "thandi@example.org").await;
    bench
        .until(
            "select 1 - count(*) from sync.record where state = 'synced' and remote_id is not null",
        )
        .await;
    let contact = bench.sim.contact(&id.to_string()).unwrap().id;
    bench.plant(json!({"id": contact, "name": "Thandi Mary Nkosi"}));
    bench.exec("update ems.person set city = 'Soweto'").await;
    bench.until("select 1 - count(*) from sync.conflict").await;
    let settled = "select (select count(*) from sync.outbox) + (select count(*) from sync.inbox)
                        + (select count(*) from sync.record where owed_gen > done_gen or lease_owner is not null)";
    bench.until(settled).await;
    running.stop().await;
    let conflicts = bench.open_conflicts().await;
    let lost: Vec<_> = conflicts
        .iter()
        .flat_map(|c| c.fields.iter().map(|f| (f.field.as_str(), f.remote_value.clone())))
        .collect();
    assert_eq!(lost, [("name", json!("Thandi Mary Nkosi"))]);
    let row = bench.sim.contact(&id.to_string()).unwrap();
    assert_eq!(row.body["name"], "Thandi Nkosi");
    assert_eq!(row.body["additional_attributes"]["city"], "Soweto");
}

impl super::bench::Running {
    /// Waits until nothing is owed and the outbox is empty.
    async fn await_settled(self, bench: &Bench) -> Self {
        let sql = "select (select count(*) from sync.outbox)
                        + (select count(*) from sync.record where owed_gen > done_gen or lease_owner is not null)";
        bench.until(sql).await;
        self
    }
}
