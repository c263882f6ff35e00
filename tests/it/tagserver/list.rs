//! The walk over all records of a type: complete, or an error (obligation 2).

use std::collections::BTreeSet;

use ems_sync::entity::EntityType;
use ems_sync::remote::{Remote as _, RemoteRecord};
use ems_sync_remotes::tagserver::Resource;
use ems_sync_remotes::{Fault, Garbage, Operation, Rule};
use serde_json::{Value, json};

use super::bench::{Bench, organisation};

async fn walk(bench: &Bench) -> Result<Vec<RemoteRecord>, ems_sync::remote::Failure> {
    let mut records = Vec::new();
    let mut from: Option<String> = None;
    loop {
        let page = bench.client.list(EntityType::Organisation, from.as_deref()).await?;
        records.extend(page.records);
        match page.next {
            None => return Ok(records),
            Some(next) => {
                assert_ne!(Some(&next), from.as_ref(), "the walk goes on");
                from = Some(next);
            }
        }
    }
}

#[tokio::test]
async fn all_pages_are_walked_and_every_record_is_seen_once() {
    for rows in [0, 1, 999, 1_000, 1_001, 2_500] {
        let bench = Bench::new().await;
        for id in 1..=rows {
            bench.plant(id, "Club");
        }
        let records = walk(&bench).await.unwrap();
        let seen: BTreeSet<_> = records.iter().map(|record| record.entity.unwrap()).collect();
        assert_eq!((records.len(), seen.len()), (rows as usize, rows as usize));
        assert!(records.iter().all(|r| r.wire == bench.wire(r.entity.unwrap().id, "Club")));
        bench.assert_no_violation();
    }
}

#[tokio::test]
async fn rows_that_come_and_go_during_the_walk_do_not_hide_others() {
    let bench = Bench::new().await;
    let ids: Vec<_> = (1..=2_200).map(|id| bench.plant(id, "Club")).collect();
    let first = bench.client.list(EntityType::Organisation, None).await.unwrap();
    // Pages by number would skip as many rows as were removed.
    for id in &ids[..300] {
        bench.sim.remove(Resource::Organisation, *id);
    }
    bench.plant(9_999, "New");
    let mut seen: BTreeSet<_> = first.records.iter().filter_map(|record| record.entity).collect();
    let mut from = first.next;
    while let Some(next) = from {
        let page = bench.client.list(EntityType::Organisation, Some(&next)).await.unwrap();
        seen.extend(page.records.iter().filter_map(|record| record.entity));
        from = page.next;
    }
    assert!((301..=2_200).all(|id| seen.contains(&organisation(id))));
    assert!(seen.contains(&organisation(9_999)));
}

/// Rows that staff made at the server, or that carry another system's key, are foreign: shown, and no error.
#[tokio::test]
async fn a_row_without_a_key_of_ours_is_shown_as_nobodys() {
    let bench = Bench::new().await;
    bench.plant(1, "Ours");
    bench.sim.plant(Resource::Organisation, json!({"name": "Made by staff"})).unwrap();
    bench
        .sim
        .plant(Resource::Organisation, json!({"externalId": "other-system", "name": "Imported"}))
        .unwrap();
    let records = walk(&bench).await.unwrap();
    let entities: Vec<_> = records.iter().map(|record| record.entity).collect();
    assert_eq!(entities, [Some(organisation(1)), None, None]);
}

#[tokio::test]
async fn a_page_that_is_short_or_odd_is_an_error_and_no_end() {
    let bench = Bench::new().await;
    for id in 1..=3 {
        bench.plant(id, "Club");
    }
    let row = |id: i64| json!({"id": id, "externalId": id.to_string(), "name": "Club"});
    let page = |total: Option<&str>, body: Value| Fault::Status {
        code: 200,
        headers: total
            .map(|total| ("X-Total-Count".to_owned(), total.to_owned()))
            .into_iter()
            .collect(),
        body: Some(body),
        applied: false,
    };
    let odd = [
        ("no count", page(None, json!([row(1)]))),
        ("an empty list without a count", Fault::garbage(Garbage::EmptyList)),
        ("a count that is none", page(Some("many"), json!([row(1)]))),
        ("a negative count", page(Some("-1"), json!([]))),
        ("shorter than its count", page(Some("3"), json!([row(1), row(2)]))),
        ("empty, though there are some", page(Some("3"), json!([]))),
        ("longer than its count", page(Some("1"), json!([row(1), row(2)]))),
        ("unsorted", page(Some("3"), json!([row(2), row(1), row(3)]))),
        ("a row twice", page(Some("3"), json!([row(1), row(1), row(2)]))),
        ("a row without id", page(Some("2"), json!([row(1), {"externalId": "2", "name": "Club"}]))),
        ("a row of another form", page(Some("2"), json!([row(1), "2"]))),
        ("no list", page(Some("1"), json!({"content": [row(1)]}))),
        ("null", page(Some("0"), json!(null))),
        ("a page for people", Fault::garbage(Garbage::Html)),
        ("half an answer", Fault::garbage(Garbage::TruncatedJson)),
        ("cut off", Fault::garbage(Garbage::CutOff)),
        ("nothing", Fault::garbage(Garbage::EmptyBody)),
        ("no answer", Fault::Drop),
        ("204", Fault::Status { code: 204, headers: Vec::new(), body: None, applied: false }),
    ];
    for (what, fault) in odd {
        bench.sim.faults().push(Rule::new(fault).operation(Operation::List));
        assert!(walk(&bench).await.is_err(), "{what}");
    }
    assert_eq!(walk(&bench).await.unwrap().len(), 3);
}

/// A server that ignores `id.greaterThan` shows the first page again and again.
#[tokio::test]
async fn a_filter_that_the_server_ignores_is_noticed_on_the_second_page() {
    let bench = Bench::new().await;
    let rows: Vec<_> = (1..=1_000)
        .map(|id| json!({"id": id, "externalId": id.to_string(), "name": "Club"}))
        .collect();
    let headers = vec![("X-Total-Count".to_owned(), "1500".to_owned())];
    let fault = Fault::Status { code: 200, headers, body: Some(json!(rows)), applied: false };
    bench.sim.faults().push(Rule::new(fault).operation(Operation::List).times(2));
    assert!(walk(&bench).await.is_err());
}

#[tokio::test]
async fn a_type_that_tagserver_does_not_have_has_no_records_and_asks_nobody() {
    let bench = Bench::new().await;
    let page = bench.client.list(EntityType::Conversation, None).await.unwrap();
    assert!(page.records.is_empty() && page.next.is_none());
    assert_eq!(bench.sim.journal(), []);
}
