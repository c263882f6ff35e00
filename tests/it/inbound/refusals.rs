//! What the EMS does not take, and values that nobody should trust.

use ems_sync::entity::EntityType;
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
