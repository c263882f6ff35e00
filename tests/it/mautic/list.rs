//! The walk over all contacts: complete, or an error (obligation 2). Contract, sections 2b and 7.

use std::collections::BTreeSet;

use ems_sync::entity::EntityType;
use ems_sync::remote::{Failure, Remote as _, RemoteRecord};
use ems_sync_remotes::mautic::{Shape, Total, list_without_contact};
use ems_sync_remotes::{Fault, Garbage, Operation, Rule};
use serde_json::json;

use super::bench::{Bench, answers, person};

async fn walk(bench: &Bench) -> Result<Vec<RemoteRecord>, Failure> {
    let mut records = Vec::new();
    let mut from: Option<String> = None;
    loop {
        let page = bench.client.list(EntityType::Person, from.as_deref()).await?;
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
async fn all_pages_are_walked_and_every_contact_is_seen_once() {
    for (rows, total) in [
        (0, Total::Text),
        (1, Total::Number),
        (199, Total::Text),
        (200, Total::Number),
        (201, Total::Text),
        (450, Total::Number),
    ] {
        let bench = Bench::with(|settings| {
            settings.total = total;
            settings.empty_list = if rows == 0 { Shape::Array } else { Shape::Object };
        })
        .await;
        for id in 1..=rows {
            bench.plant(id, "Nkosi");
        }
        let records = walk(&bench).await.unwrap();
        let seen: BTreeSet<_> = records.iter().map(|record| record.entity.unwrap()).collect();
        assert_eq!((records.len(), seen.len()), (rows as usize, rows as usize));
        for record in &records {
            let wanted = bench.wire(record.entity.unwrap().id, "Nkosi");
            assert!(bench.client.is_as_wanted(&wanted, &record.wire));
        }
        bench.assert_no_violation();
    }
}

#[tokio::test]
async fn contacts_without_one_of_our_ids_are_foreign() {
    let bench = Bench::new().await;
    let ours = bench.plant(7, "Nkosi");
    bench.plant_row(json!({ "email": "lead@example.org" }));
    bench.plant_row(json!({ "email": "other@example.org", "ems_person_id": "M-77" }));
    bench.plant_row(json!({ "points": 3 }));
    let records = walk(&bench).await.unwrap();
    let entities: Vec<_> = records.iter().map(|record| record.entity).collect();
    assert_eq!(entities, [Some(person(7)), None, None, None]);
    assert_eq!(records[0].remote_id, ours.to_string());
    bench.assert_no_violation();
}

#[tokio::test]
async fn contacts_that_come_and_go_during_the_walk_do_not_hide_others() {
    let bench = Bench::new().await;
    let ids: Vec<_> = (1..=450).map(|id| bench.plant(id, "Nkosi")).collect();
    let first = bench.client.list(EntityType::Person, None).await.unwrap();
    // Pages by number would skip as many contacts as went.
    for id in &ids[..150] {
        bench.sim.remove(*id);
    }
    let mut seen: BTreeSet<_> = first.records.iter().filter_map(|record| record.entity).collect();
    let mut from = first.next;
    while let Some(next) = from {
        let page = bench.client.list(EntityType::Person, Some(&next)).await.unwrap();
        seen.extend(page.records.iter().filter_map(|record| record.entity));
        from = page.next;
    }
    assert_eq!(seen.len(), 450);
    bench.assert_no_violation();
}

#[tokio::test]
async fn an_odd_page_is_an_error_and_never_the_end() {
    let bench = Bench::new().await;
    for id in 1..=3 {
        bench.plant(id, "Nkosi");
    }
    let whole = |id: i64| json!({"id": id, "fields": {"all": {"email": null}}, "doNotContact": []});
    for fault in [
        Fault::garbage(Garbage::Html),
        Fault::garbage(Garbage::EmptyBody),
        Fault::garbage(Garbage::EmptyList),
        Fault::garbage(Garbage::TruncatedJson),
        Fault::garbage(Garbage::CutOff),
        list_without_contact(3),
        answers(200, json!({"total": "3", "contacts": {}})),
        answers(200, json!({"total": "3", "contacts": []})),
        answers(200, json!({"contacts": {}})),
        answers(200, json!({"total": "0"})),
        answers(200, json!({"total": "2", "contacts": [whole(5), whole(5)]})),
        Fault::status(500),
        Fault::Drop,
    ] {
        bench.sim.faults().push(Rule::new(fault.clone()).operation(Operation::List));
        assert!(walk(&bench).await.is_err(), "{fault:?}");
    }
    // A filter that is ignored would walk in circles.
    bench.sim.faults().push(
        Rule::new(answers(200, json!({"total": "1", "contacts": [whole(5)]})))
            .operation(Operation::List),
    );
    let failure = bench.client.list(EntityType::Person, Some("700003")).await.unwrap_err();
    assert_eq!(failure.class.name(), "our_fault");
    assert_eq!(walk(&bench).await.unwrap().len(), 3);
    bench.assert_no_violation();
}

#[tokio::test]
async fn what_mautic_does_not_hold_is_not_asked_for() {
    let bench = Bench::new().await;
    let page = bench.client.list(EntityType::Event, None).await.unwrap();
    assert_eq!((page.records, page.next), (Vec::new(), None));
    assert_eq!(bench.requests(), []);
}
