//! One record anew: as a walk shows it, and gone only by RunSignup's own word.

use ems_sync::entity::EntityType;
use ems_sync::remote::inbound::{Shape, Snapshot, Stream};
use ems_sync::remote::{Failure, Remote as _};
use ems_sync_remotes::runsignup::{Action, Resource, api_error};
use ems_sync_remotes::{Operation, Rule};
use serde_json::json;

use super::bench::{Bench, OTHER, RACE, TEN, TWENTY};
use super::pull::walk;

async fn read(bench: &Bench, registration: i64) -> Result<Snapshot, Failure> {
    bench.client.read(EntityType::EventParticipant, &registration.to_string()).await
}

#[tokio::test]
async fn a_registration_is_read_as_a_walk_shows_it() {
    let bench = Bench::new().await;
    let stands = bench.paid(4, OTHER, json!({}));
    let [gone, moved, back] = [5, 6, 7].map(|n| bench.paid(n, TEN, json!({})));
    bench.sim.act(gone, Action::Remove).unwrap();
    bench.sim.act(moved, Action::Transfer { event_id: TWENTY }).unwrap();
    bench.sim.act(back, Action::Defer).unwrap();
    bench.sim.act(back, Action::Reactivate).unwrap();
    let walked = walk(&bench, Stream::Registrations, None).await;
    // Whether or not it is known where they stand.
    for bench in [&bench, &bench.fresh()] {
        for id in [stands, gone, moved, back] {
            assert_eq!(read(bench, id).await.unwrap(), *walked.of(id).unwrap());
        }
    }
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_registration_without_a_trace_is_gone_for_who_has_seen_it() {
    let bench = Bench::new().await;
    let id = bench.paid(5, TEN, json!({}));
    walk(&bench, Stream::Registrations, None).await;
    bench.sim.remove(Resource::Registration, id);
    for code in [4, 7] {
        // Of the race, of those that stand, of those that do not.
        let reads = [(Operation::Read, 1), (Operation::Read, 2), (Operation::List, 1)];
        for (operation, nth) in reads {
            let rule = Rule::new(api_error(code)).operation(operation).nth(nth);
            bench.sim.faults().push(rule);
            let failed = read(&bench, id).await;
            assert!(failed.is_err(), "{operation:?} {nth}: {failed:?}");
            bench.sim.faults().clear();
        }
    }
    assert_eq!(read(&bench, id).await.unwrap().shape, Shape::Gone);
    let failure = read(&bench.fresh(), id).await.unwrap_err();
    assert_eq!(failure.class.name(), "stale_mapping", "nothing tells that it ever stood there");
    assert!(read(&bench, 0).await.is_err());
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_race_and_its_days_are_read_and_gone_when_they_are() {
    let bench = Bench::new().await;
    let walked = walk(&bench, Stream::Races, None).await;
    for shown in &walked.snapshots {
        let read = bench.fresh().client.read(shown.entity_type, &shown.remote_id).await.unwrap();
        assert_eq!(read, *shown);
    }
    bench.sim.remove(Resource::Event, TWENTY);
    let read = bench.client.read(EntityType::Race, &TWENTY.to_string()).await.unwrap();
    assert_eq!(read.shape, Shape::Gone);
    let never = bench.client.read(EntityType::Race, "4711").await.unwrap_err();
    assert_eq!(never.class.name(), "missing_parent");
    for id in [
        r#"{"race_event_days_id":3,"race_id":7}"#.to_owned(),
        r#"{"race_event_days_id":12,"race_id":4711}"#.to_owned(),
    ] {
        let read = bench.client.read(EntityType::Event, &id).await.unwrap();
        assert_eq!((read.shape, read.remote_id), (Shape::Gone, id));
    }
    assert!(bench.client.read(EntityType::Event, &RACE.to_string()).await.is_err());
    assert!(bench.client.read(EntityType::Person, "5").await.is_err());
    bench.assert_no_violation();
}
