//! What goes wrong while a walk is under way: a page is whole or an error, and the walk goes on where it stood.

use ems_sync::remote::Remote as _;
use ems_sync::remote::inbound::{PullFrom, Shape, Stream};
use ems_sync_remotes::runsignup::{Action, Resource, api_error, throttled};
use ems_sync_remotes::{Fault, Garbage, Operation, Rule};
use serde_json::json;

use super::bench::{Bench, OTHER, RACE, TEN, TWENTY, answers};
use super::pull::{Walked, now, page, since, walk};

#[tokio::test]
async fn an_odd_answer_ends_the_page_and_the_walk_goes_on_where_it_stood() {
    let odd = [
        answers(json!({"participants": []})),
        answers(json!([])),
        answers(json!([{"event": {"event_id": 4711, "participants": []}}])),
        answers(json!([{"event": {"event_id": TEN}, "participants": [{"user": {"user_id": 1}}]}])),
        api_error(7),
        api_error(6),
        api_error(5),
        Fault::garbage(Garbage::Html),
        Fault::garbage(Garbage::EmptyList),
        Fault::garbage(Garbage::TruncatedJson),
    ];
    let bench = Bench::warm().await;
    let id = bench.paid(5, TEN, json!({}));
    let gone = bench.paid(6, TEN, json!({}));
    bench.sim.act(gone, Action::Remove).unwrap();
    for answer in odd {
        let mut from = PullFrom { cursor: since(now() - 600), ..PullFrom::default() };
        let mut walked = Walked::default();
        loop {
            // Each page fails once, of whichever list.
            let rule = Rule::new(answer.clone()).resource(Resource::Registration);
            bench.sim.faults().push(rule);
            let is_odd = page(&bench, Stream::Registrations, &from).await;
            bench.sim.faults().clear();
            let pulled = page(&bench, Stream::Registrations, &from).await.unwrap();
            let is_last = pulled.position.is_none();
            assert!(is_odd.is_err() || is_last, "{answer:?}: {is_odd:?}");
            walked.snapshots.extend(pulled.snapshots);
            if is_last {
                break;
            }
            from.position = pulled.position;
        }
        assert!(walked.of(id).is_some() && walked.of(gone).is_some(), "{answer:?}");
    }
    for stream in [Stream::Races, Stream::Registrations] {
        let from = PullFrom { position: Some(json!("odd")), ..PullFrom::default() };
        assert!(page(&bench, stream, &from).await.is_err());
    }
    assert!(page(&bench, Stream::Contacts, &PullFrom::default()).await.is_err());
}

/// One that can't be read stops no other, is told to people, and is not missing (F90).
#[tokio::test]
async fn a_row_that_can_not_be_read_is_shown_as_such_and_the_walk_goes_on() {
    let bench = Bench::warm().await;
    let row = |id: i64, dob: &str| {
        json!({"registration_id": id, "imported": "F", "last_modified": 1_700_000_000,
               "user": {"user_id": 5, "first_name": "A", "last_name": "B", "dob": dob}})
    };
    let untimed = json!({"registration_id": 3, "imported": "F", "user": {"user_id": 5, "first_name": "A", "last_name": "B"}});
    let rows = json!([row(1, "1986-01-06"), row(2, "soon"), untimed, row(4, "1986-01-06")]);
    let list = answers(json!([{"event": {"event_id": TEN}, "participants": rows}]));
    bench.sim.faults().push(Rule::new(list).resource(Resource::Registration));
    let walked = walk(&bench, Stream::Registrations, since(7)).await;
    let odd = |id: i64| matches!(walked.of(id).unwrap().shape, Shape::Unreadable { .. });
    assert_eq!([1, 2, 3, 4].map(odd), [false, true, true, false]);
    assert!(walked.cursor.is_some());
    // Among those that were taken out as well.
    let gone = json!([{"registration_id": 5, "last_modified_ts": 1_700_000_000, "removed_reason": "removed"},
                      {"registration_id": 6, "removed_reason": "removed"}]);
    let nobody = answers(json!([{"event": {"event_id": TEN}}]));
    let position = PullFrom {
        position: Some(
            json!({"phase": "removed", "race": RACE, "event": TEN, "over": false, "registration": 0,
                              "since": 7, "began": 1_700_000_000, "latest": null}),
        ),
        ..PullFrom::default()
    };
    let list = answers(json!([{"event": {"event_id": TEN, "participants": gone}}]));
    bench.sim.faults().push(Rule::new(list).resource(Resource::Registration));
    bench.sim.faults().push(Rule::new(nobody).resource(Resource::Registration));
    let shown = page(&bench, Stream::Registrations, &position).await.unwrap().snapshots;
    assert!(matches!(shown[0].shape, Shape::Removed { .. }));
    assert!(matches!(shown[1].shape, Shape::Unreadable { .. }), "{shown:?}");
}

/// An event without anybody has no `participants` where they are expected (contract, section 4c).
#[tokio::test]
async fn nobody_is_not_an_odd_answer() {
    let bench = Bench::new().await;
    let walked = walk(&bench, Stream::Registrations, None).await;
    assert_eq!((walked.snapshots.len(), walked.shows_all, walked.cursor), (0, true, None));
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_pause_that_is_asked_for_ends_the_page_and_reaches_the_target() {
    let bench = Bench::warm().await;
    bench.paid(5, TEN, json!({}));
    let mut alarms = bench.client.alarms().listen();
    bench.sim.faults().push(Rule::new(throttled()).operation(Operation::List));
    let failed = page(&bench, Stream::Registrations, &PullFrom::default()).await.unwrap_err();
    assert_eq!(failed.class.name(), "throttled");
    assert_eq!(ems_sync::remote::Alarms::heard(&mut alarms).await.class.name(), "throttled");
    let asked = bench.requests();
    let failed = page(&bench, Stream::Registrations, &PullFrom::default()).await.unwrap_err();
    assert_eq!((failed.class.name(), failed.unsent), ("throttled", true));
    assert_eq!(bench.requests(), asked, "nothing is sent into the pause");
}

#[tokio::test]
async fn what_goes_while_it_is_walked_stops_no_other() {
    let bench = Bench::new().await;
    bench.paid(5, TEN, json!({}));
    let there = bench.paid(6, OTHER, json!({}));
    let mut from = PullFrom::default();
    from.position = page(&bench, Stream::Registrations, &from).await.unwrap().position;
    // Its other event, of which the walk knows, and then the race with all of them.
    bench.sim.remove(Resource::Event, TWENTY);
    let mut failures = 0;
    let mut walked = Walked::default();
    loop {
        match page(&bench, Stream::Registrations, &from).await {
            Err(failure) => {
                assert_eq!(failure.class.name(), "transient");
                failures += 1;
                assert!(failures < 3);
                bench.sim.remove(Resource::Event, TEN);
                bench.sim.remove(Resource::Race, RACE);
            }
            Ok(pulled) => {
                walked.snapshots.extend(pulled.snapshots);
                from.position = pulled.position;
                if from.position.is_none() {
                    break;
                }
            }
        }
    }
    assert_eq!(failures, 1);
    assert!(walked.of(there).is_some());
}
