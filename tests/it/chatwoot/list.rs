//! The walk over all contacts: complete, or an error (obligation 2; contract, section 4).

use std::collections::BTreeSet;

use ems_sync::entity::EntityType;
use ems_sync::remote::{Failure, FailureClass, Remote as _, RemoteRecord};
use ems_sync_remotes::chatwoot::Resource;
use ems_sync_remotes::{Fault, Garbage, Operation, Rule};
use serde_json::{Value, json};

use super::bench::{Bench, answers, person, runner};

async fn walk(bench: &Bench) -> Result<Vec<RemoteRecord>, Failure> {
    walk_with(bench, |_| {}).await
}

/// `between` is done before each page, which has a number.
async fn walk_with(
    bench: &Bench,
    mut between: impl FnMut(usize),
) -> Result<Vec<RemoteRecord>, Failure> {
    let mut records = Vec::new();
    let mut from: Option<String> = None;
    for n in 1.. {
        between(n);
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
    unreachable!("pages end")
}

/// Contacts of persons 1 to `n`, made one second after the other; their ids.
fn plant(bench: &Bench, n: i64) -> Vec<i64> {
    (1..=n)
        .map(|id| {
            bench.plant(json!({"name": format!("Runner {id}"), "email": format!("runner{id}@example.org"),
                "identifier": format!("ems-person-{id}"), "custom_attributes": {"ems_person_id": id.to_string()},
                "created_at": 1_700_000_000 + id}))
        })
        .collect()
}

fn persons(records: &[RemoteRecord]) -> BTreeSet<i64> {
    records.iter().filter_map(|record| record.entity).map(|entity| entity.id).collect()
}

#[tokio::test]
async fn all_pages_are_walked_and_every_contact_is_seen_once() {
    for n in [0, 1, 14, 15, 16, 30, 47] {
        let bench = Bench::new().await;
        plant(&bench, n);
        let records = walk(&bench).await.unwrap();
        assert_eq!(records.len(), n as usize);
        assert_eq!(persons(&records), (1..=n).collect());
        for record in &records {
            let id = record.entity.unwrap().id;
            assert_eq!(record.wire.hash, bench.wire(id, runner(id)).hash);
        }
        bench.assert_no_violation();
    }
}

#[tokio::test]
async fn a_contact_that_goes_while_it_is_walked_makes_the_walk_prove_nothing() {
    for (gone, before_page, ends) in [(3, 2, false), (3, 3, false), (20, 3, false), (40, 2, true)] {
        let bench = Bench::new().await;
        let ids = plant(&bench, 47);
        let result = walk_with(&bench, |page| {
            if page == before_page {
                bench.sim.remove(Resource::Contact, ids[gone]);
            }
        })
        .await;
        match result {
            // What had not been reached is simply not there.
            Ok(records) => assert!(ends && records.len() == 46, "{gone} {before_page}"),
            Err(failure) => assert!(!ends && failure.class == FailureClass::Transient, "{failure}"),
        }
        bench.assert_no_violation();
    }
}

/// One goes and one comes: the count is what it was, and a contact would be missed.
#[tokio::test]
async fn a_count_that_stays_the_same_proves_nothing() {
    let bench = Bench::new().await;
    let ids = plant(&bench, 40);
    let result = walk_with(&bench, |page| {
        if page == 2 {
            bench.sim.remove(Resource::Contact, ids[0]);
            bench.plant(json!({"name": "New", "email": "new@example.org"}));
        }
    })
    .await;
    assert_eq!(result.unwrap_err().class, FailureClass::Transient);
}

#[tokio::test]
async fn contacts_that_come_or_change_while_it_is_walked_do_no_harm() {
    let bench = Bench::new().await;
    let ids = plant(&bench, 40);
    let records = walk_with(&bench, |page| {
        bench.plant(json!({"name": "New", "email": format!("new{page}@example.org")}));
        bench.plant(json!({"id": ids[page], "blocked": true}));
    })
    .await
    .unwrap();
    assert_eq!(persons(&records), (1..=40).collect());
}

#[tokio::test]
async fn what_agents_and_others_made_is_shown_as_nobodys() {
    let bench = Bench::new().await;
    plant(&bench, 1);
    let others = [
        json!({"name": "Agent's", "email": "a@example.org", "created_at": 1_800_000_000}),
        json!({"name": "Widget", "identifier": "user-42", "created_at": 1_800_000_001}),
        json!({"name": "Odd", "identifier": "ems-person-042", "created_at": 1_800_000_002}),
        // Ours, though another integration has taken the identifier.
        json!({"name": "Taken", "identifier": "jid", "custom_attributes": {"ems_person_id": "7"},
               "created_at": 1_800_000_003}),
    ];
    for contact in others {
        bench.plant(contact);
    }
    let entities: Vec<_> = walk(&bench).await.unwrap().iter().map(|record| record.entity).collect();
    assert_eq!(entities, [Some(person(1)), None, None, None, Some(person(7))]);
}

#[tokio::test]
async fn a_page_that_is_short_or_odd_is_an_error_and_no_end() {
    let bench = Bench::new().await;
    plant(&bench, 3);
    let row = |id: i64| json!({"id": id, "name": "A", "created_at": id});
    let list = |count: Value, payload: Value| {
        answers(200, json!({"meta": {"count": count}, "payload": payload}))
    };
    let odd = [
        ("shorter than its count", list(json!(3), json!([row(1), row(2)]))),
        ("empty, though there are some", list(json!(3), json!([]))),
        ("longer than its count", list(json!(1), json!([row(1), row(2)]))),
        ("unsorted", list(json!(2), json!([row(2), row(1)]))),
        ("a contact twice", list(json!(2), json!([row(1), row(1)]))),
        ("a count that is none", list(json!("many"), json!([row(1)]))),
        ("a row without id", list(json!(2), json!([row(1), {"name": "B", "created_at": 2}]))),
        ("no list", list(json!(1), json!({"contact": row(1)}))),
        ("no count", answers(200, json!({"payload": [row(1)]}))),
        ("a bare list", Fault::garbage(Garbage::EmptyList)),
        ("a page for people", Fault::garbage(Garbage::Html)),
        ("half an answer", Fault::garbage(Garbage::TruncatedJson)),
        ("cut off", Fault::garbage(Garbage::CutOff)),
        ("nothing", Fault::garbage(Garbage::EmptyBody)),
        ("no answer", Fault::Drop),
    ];
    for (what, fault) in odd {
        bench.sim.faults().push(Rule::new(fault).operation(Operation::List));
        assert!(walk(&bench).await.is_err(), "{what}");
    }
    assert_eq!(walk(&bench).await.unwrap().len(), 3);
    let nowhere = bench.client.list(EntityType::Person, Some("nowhere")).await.unwrap_err();
    assert_eq!(nowhere.class, FailureClass::OurFault);
}

#[tokio::test]
async fn a_type_that_chatwoot_does_not_have_has_no_records_and_asks_nobody() {
    let bench = Bench::new().await;
    let page = bench.client.list(EntityType::Event, None).await.unwrap();
    assert!(page.records.is_empty() && page.next.is_none());
    assert_eq!(bench.sim.journal(), []);
}
