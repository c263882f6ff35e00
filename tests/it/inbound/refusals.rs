//! What the EMS does not take, and values that nobody should trust.

use ems_sync::entity::EntityType;
use ems_sync::process::Role;
use ems_sync::remote::Remote as _;
use ems_sync::remote::inbound::{Shape, Snapshot};
use serde_json::{Map, json};

use super::bench::{Bench, foreign, wire_of, with};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_ems_refuses_is_listed_without_its_value_and_others_go_on() {
    let bench = Bench::new().await;
    bench
        .exec(
            "alter table ems.person add constraint no_atlantis check (city <> 'Atlantis');
             create unique index one_phone on ems.person (phone)",
        )
        .await;
    let checked = bench.synced("Thandi", "17").await;
    let unique = bench.synced("Sipho", "18").await;
    let good = bench.synced("Ayanda", "19").await;
    bench.exec("update ems.person set phone = '+27820000001' where first_name = 'Ayanda'").await;
    bench.sync(good, "19").await;
    let rows = [
        bench.pulled("17", bench.changed(checked, json!({"city": "Atlantis"})).await).await,
        bench
            .pulled("18", bench.changed(unique, json!({"phone_number": "+27820000001"})).await)
            .await,
        bench.pulled("19", bench.changed(good, json!({"city": "Umlazi"})).await).await,
        bench
            .pulled("20", with(foreign("New One", "n@example.org"), json!({"city": "Atlantis"})))
            .await,
        conversation_of_nobody(&bench).await,
    ];
    bench.applier.work(&rows).await.unwrap();
    assert_eq!(
        bench.text("select city from ems.person where first_name = 'Ayanda'").await.as_deref(),
        Some("Umlazi")
    );
    let refused = bench
        .ems
        .query("select last_error, state from sync.inbox order by inbox_id", &[])
        .await
        .unwrap();
    let refused: Vec<(String, String)> = refused.iter().map(|r| (r.get(0), r.get(1))).collect();
    assert_eq!(refused.len(), 4);
    for ((error, state), says) in refused.iter().zip([
        "SQLSTATE 23514, constraint no_atlantis",
        "SQLSTATE 23505, constraint one_phone",
        "SQLSTATE 23514, constraint no_atlantis",
        "SQLSTATE 23503, constraint conversation_person_id_fkey",
    ]) {
        assert!(error.starts_with(says), "{error}");
        assert!(!error.contains("Atlantis") && !error.contains("+27"), "{error}");
        assert_eq!(state, "rejected");
    }
    let conflicts = bench.open_conflicts().await;
    assert_eq!(conflicts.len(), 4);
    assert!(conflicts.iter().all(|conflict| conflict.reason == "refused"), "{conflicts:?}");
    assert_eq!(bench.count("select count(*) from ems.person").await, 3);
    // The EMS takes it after all.
    bench.exec("alter table ems.person drop constraint no_atlantis").await;
    let number = conflicts.iter().find(|c| c.entity_id == Some(checked)).unwrap().number;
    bench.store.adopt_conflict(number, "me", None, false).await.unwrap();
    let city = format!("select city from ems.person where id = {checked}");
    assert_eq!(bench.text(&city).await.as_deref(), Some("Atlantis"));
    let number = conflicts.iter().find(|c| c.remote_id == "20").unwrap().number;
    bench.store.adopt_conflict(number, "me", None, false).await.unwrap();
    bench.applier.work(&rows).await.unwrap();
    assert_eq!(bench.count("select count(*) from ems.person where first_name = 'New'").await, 1);
}

async fn conversation_of_nobody(bench: &Bench) -> i64 {
    let snapshot = Snapshot {
        entity_type: EntityType::Conversation,
        remote_id: "uuid-9".to_owned(),
        entity: None,
        shape: Shape::Stands {
            wire: wire_of(json!({"source": "chatwoot", "external_id": "uuid-9"})),
            extra: Map::from_iter([("person".to_owned(), json!(999_999))]),
        },
        modified_on: None,
        parents: Vec::new(),
    };
    let now = bench.store.now().await.unwrap();
    bench.taken_in(snapshot, now).await.unwrap()
}

/// Something that fails by a mistake of ours or the EMS's owner: tried again, ever later, then left to a person.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_cannot_be_decided_is_tried_a_few_times_and_stops_nobody() {
    let bench = Bench::new().await;
    bench.exec("create or replace function sync.chatwoot_match_person(p_fields jsonb)
                returns table (entity_type text, entity_id bigint) language plpgsql as $$
                begin
                    if p_fields ->> 'name' = 'Bad Row' then raise division_by_zero using message = 'secret'; end if;
                end $$").await;
    let bad = bench.pulled("31", foreign("Bad Row", "bad@example.org")).await;
    let good = bench.pulled("32", foreign("Good Row", "good@example.org")).await;
    for _ in 0..8 {
        bench.applier.work(&[bad, good]).await.unwrap();
        bench.exec("update sync.inbox set due_on = clock_timestamp()").await;
    }
    assert_eq!(bench.count("select count(*) from ems.person").await, 1);
    let left = "select state || ' ' || attempts || ' ' || last_error from sync.inbox";
    assert_eq!(bench.text(left).await.as_deref(), Some("rejected 8 SQLSTATE 22012"));
    // What it held is kept, and it can be tried again.
    let conflict = bench.open_conflicts().await.remove(0);
    let held = conflict.fields.iter().any(|f| f.remote_value == json!("bad@example.org"));
    assert!(conflict.reason == "refused" && conflict.remote_id == "31" && held, "{conflict:?}");
    bench.exec("create or replace function sync.chatwoot_match_person(p_fields jsonb) returns table (entity_type text, entity_id bigint)
                language sql as $$ select null::text, null::bigint where false $$").await;
    bench.store.adopt_conflict(conflict.number, "me", None, false).await.unwrap();
    bench.applier.work(&[bad]).await.unwrap();
    assert_eq!(bench.count("select count(*) from ems.person").await, 2);
}

/// Our mistakes, missing rights, a function of the EMS's owner that fails: nothing of it is the row's fault.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_for_no_fault_of_its_values_waits_for_ever_and_is_seen() {
    let bench = Bench::new().await;
    bench.exec("create or replace function sync.chatwoot_match_person(p_fields jsonb) returns table (entity_type text, entity_id bigint)
                language plpgsql as $$ begin perform from ems.no_such_table; end $$").await;
    let row = bench.pulled("31", foreign("Sipho Dube", "sipho@example.org")).await;
    for _ in 0..12 {
        bench.exec("update sync.inbox set due_on = clock_timestamp()").await;
        bench.applier.work(&[row]).await.unwrap();
    }
    let left = "select state || ' ' || attempts || ' ' || last_error from sync.inbox where due_on > clock_timestamp() + interval '20 s'";
    assert_eq!(bench.text(left).await.as_deref(), Some("pending 0 SQLSTATE 42P01"));
    bench.exec("update sync.inbox set created_on = created_on - interval '1 day', due_on = clock_timestamp()").await;
    bench.applier.work(&[row]).await.unwrap();
    let later = "select count(*) from sync.inbox where due_on between clock_timestamp() + interval '59 minutes' and clock_timestamp() + interval '1 hour'";
    assert_eq!(bench.count(later).await, 1);
    bench
        .exec("create table ems.no_such_table (); update sync.inbox set due_on = clock_timestamp()")
        .await;
    bench.applier.work(&[row]).await.unwrap();
    assert_eq!(bench.count("select count(*) from ems.person").await, 1);
}

/// The EMS can't take what people changed: it wins, and what lost is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_goes_over_what_was_refused_and_is_kept() {
    let bench = Bench::new().await;
    let running = bench.start(&[Role::Relay, Role::Consume]);
    let id = bench.person("Thandi", "Nkosi", "thandi@example.org").await;
    let synced =
        "select 1 - count(*) from sync.record where state = 'synced' and remote_id is not null";
    bench.until(synced).await;
    running.stop().await;
    bench.exec("create or replace function sync.chatwoot_lock_person(p_id bigint) returns boolean language plpgsql as
                $$ begin raise division_by_zero; end $$").await;
    let contact = bench.sim.contact(&id.to_string()).unwrap().id;
    bench.plant(json!({"id": contact, "name": "Thandi Zulu"}));
    let there = bench.applier.remote.read(EntityType::Person, &contact.to_string()).await.unwrap();
    let now = bench.store.now().await.unwrap();
    let row = bench.taken_in(there, now).await.unwrap();
    bench.exec("update sync.inbox set attempts = 7").await;
    bench.applier.work(&[row]).await.unwrap();
    assert_eq!(bench.text("select state from sync.inbox").await.as_deref(), Some("rejected"));
    bench.exec("update ems.person set city = 'Soweto'").await;
    let running = bench.start(&[Role::Relay, Role::Consume]);
    bench.until("select (select count(*) from sync.outbox) + (select count(*) from sync.record where owed_gen > done_gen)").await;
    running.stop().await;
    let contact = bench.sim.contact(&id.to_string()).unwrap();
    assert_eq!(
        (&contact.body["name"], &contact.body["additional_attributes"]["city"]),
        (&json!("Thandi Nkosi"), &json!("Soweto"))
    );
    let conflict = bench.open_conflicts().await.remove(0);
    assert!(conflict.fields.iter().any(|f| f.remote_value == json!("Thandi Zulu")), "{conflict:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_values_are_data() {
    let bench = Bench::new().await;
    let long = "x".repeat(1_000_000);
    let names = [
        "Robert'); drop table ems.person;-- X",
        "<script>alert(1)</script> \u{202e}RTL",
        "%s $1 {0} \\u0000 \r\nInjected: log",
        long.as_str(),
    ];
    let mut rows = Vec::new();
    for (nr, name) in names.iter().enumerate() {
        let body = foreign(&format!("{name} Last"), &format!("h{nr}@example.org"));
        rows.push(bench.pulled(&format!("4{nr}"), body).await);
    }
    bench.applier.work(&rows).await.unwrap();
    assert_eq!(bench.count("select count(*) from ems.person").await, 4);
    let first = "select first_name from ems.person where email = 'h0@example.org'";
    assert!(bench.text(first).await.unwrap().starts_with("Robert');"));
    // Postgres stores no NUL: the page that brings one is refused whole, which a client's bounds prevent.
    let now = bench.store.now().await.unwrap();
    let nul = super::bench::snapshot("50", foreign("Nul\u{0} Last", "nul@example.org"));
    assert!(bench.store.take_in(super::bench::TARGET, now, None, &[nul]).await.is_err());
    assert_eq!(ems_sync::remote::inbound::bounded("Nul\u{0} Last"), "Nul  Last");
}
