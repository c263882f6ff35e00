//! Walks (contract, sections 4 and 6): by keyset, each event to its end, and an odd list is never an empty one.

use std::collections::BTreeMap;

use ems_sync::entity::EntityType;
use ems_sync::remote::{Remote as _, RemoteRecord};
use ems_sync_remotes::runsignup::{Action, Resource};
use ems_sync_remotes::{Fault, Garbage, Operation, Rule};
use serde_json::json;

use super::bench::{Bench, OTHER, RACE, TEN, TWENTY, participant};

async fn walk(bench: &Bench, entity_type: EntityType) -> Vec<RemoteRecord> {
    let (mut records, mut from) = (Vec::new(), None);
    loop {
        let page = bench.client.list(entity_type, from.as_deref()).await.unwrap();
        records.extend(page.records);
        assert!(page.next.is_none() || page.next != from, "it moves on");
        match page.next {
            None => return records,
            next => from = next,
        }
    }
}

#[tokio::test]
async fn every_registration_that_stands_is_listed_once_with_its_ems_id() {
    let bench = Bench::new().await;
    let ours = bench.registered(5, TWENTY).await;
    let gone = bench.registered(6, TWENTY).await;
    bench.sim.act(gone, Action::Remove).unwrap();
    for n in 0..1_002 {
        bench
            .sim
            .register(TEN, json!({"user": {"first_name": "A", "last_name": format!("B{n}")}}))
            .unwrap();
    }
    bench.paid(7, OTHER, json!({}));
    let volunteers =
        json!({"id": 79, "race_id": RACE, "race_event_days_id": 12, "volunteer": true});
    bench.sim.plant(Resource::Event, volunteers).unwrap();
    bench.sim.register(79, json!({"user": {"first_name": "V", "last_name": "V"}})).unwrap();
    let records = walk(&bench.fresh(), EntityType::EventParticipant).await;
    assert_eq!(records.len(), 1 + 1_002 + 1);
    let by_id: BTreeMap<_, _> = records.iter().map(|row| (row.remote_id.as_str(), row)).collect();
    assert_eq!(by_id.len(), records.len(), "each once");
    let row = by_id[ours.to_string().as_str()];
    assert_eq!(row.entity, Some(participant(5)));
    assert_eq!(row.wire.hash, bench.wire(5, TWENTY, json!({})).hash);
    assert_eq!(records.iter().filter(|row| row.entity.is_some()).count(), 1);
    bench.assert_no_violation();
}

#[tokio::test]
async fn races_and_events_are_listed_and_persons_are_not() {
    let bench = Bench::new().await;
    let past = json!({"id": 31, "race_id": RACE, "race_event_days_id": 3, "name": "Then",
                      "start_time": "2019-06-01T09:00:00"});
    bench.sim.plant(Resource::Event, past).unwrap();
    let ids = |records: Vec<RemoteRecord>| -> Vec<String> {
        records.into_iter().map(|record| record.remote_id).collect()
    };
    let events = ids(walk(&bench, EntityType::Event).await);
    let expected = [
        r#"{"race_event_days_id":3,"race_id":7}"#,
        r#"{"race_event_days_id":12,"race_id":7}"#,
        r#"{"race_event_days_id":12,"race_id":8}"#,
    ];
    assert_eq!(events, expected);
    assert_eq!(ids(walk(&bench, EntityType::Race).await), ["31", "71", "72", "81"]);
    assert_eq!(walk(&bench, EntityType::Person).await, []);
    bench.assert_no_violation();
}

#[tokio::test]
async fn an_odd_page_ends_the_walk_with_an_error() {
    for what in [Garbage::Html, Garbage::EmptyList, Garbage::EmptyBody, Garbage::TruncatedJson] {
        let bench = Bench::warm().await;
        bench.registered(5, TEN).await;
        bench
            .sim
            .faults()
            .push(Rule::new(Fault::garbage(what)).operation(Operation::List).unlimited());
        let page = bench.client.list(EntityType::EventParticipant, None).await;
        assert!(page.is_err(), "{what:?}: {page:?}");
    }
    let bench = Bench::warm().await;
    assert!(bench.client.list(EntityType::EventParticipant, Some("odd")).await.is_err());
}
