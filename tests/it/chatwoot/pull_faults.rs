//! What goes wrong while it is pulled, and values that nobody should trust.

use ems_sync::entity::EntityType;
use ems_sync::remote::inbound::{PullFrom, Shape, Stream};
use ems_sync::remote::{FailureClass, Remote as _};
use ems_sync_remotes::{Fault, Garbage, Operation, Rule};
use serde_json::{Value, json};

use super::bench::{Bench, answers, remote_id, runner};
use super::pull::{contacts, conversations, plant, plant_conversation, walk, wire};

#[tokio::test]
async fn a_pause_is_told_and_the_walk_goes_on_where_it_was() {
    let bench = Bench::new().await;
    let ids = plant(&bench, 20);
    let one = bench.client.pull(Stream::Contacts, &PullFrom::default()).await.unwrap();
    let from = PullFrom { position: one.position, ..PullFrom::default() };
    bench.sim.faults().push(Rule::new(Fault::status(429)).operation(Operation::List));
    let mut alarms = bench.client.alarms().listen();
    let failure = bench.client.pull(Stream::Contacts, &from).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Throttled);
    assert!(failure.retry_after.is_some());
    let alarm = ems_sync::remote::Alarms::heard(&mut alarms).await;
    assert_eq!(alarm.class, FailureClass::Throttled);
    let requests = bench.sim.journal().len();
    assert!(bench.client.pull(Stream::Conversations, &PullFrom::default()).await.is_err());
    assert_eq!(bench.sim.journal().len(), requests, "it is left alone");
    let bench = bench.with_client("ems-sync-token", 1);
    let rest = walk(&bench, Stream::Contacts, from, |_| {}).await.unwrap();
    assert_eq!(rest.ids(), ids[15..].iter().copied().collect());
}

#[tokio::test]
async fn a_page_that_is_short_or_odd_is_an_error_and_no_end() {
    let bench = Bench::new().await;
    let ids = plant(&bench, 3);
    plant_conversation(&bench, json!({"contact_id": ids[0]}));
    let row = |id: i64| json!({"id": id, "name": "A", "created_at": id});
    let list = |count: Value, payload: Value| {
        answers(200, json!({"meta": {"count": count}, "payload": payload}))
    };
    let talks = |count: Value, payload: Value| {
        answers(200, json!({"data": {"meta": {"all_count": count}, "payload": payload}}))
    };
    let odd = [
        (Stream::Contacts, list(json!(3), json!([row(1), row(2)]))),
        (Stream::Contacts, list(json!(3), json!([]))),
        (Stream::Contacts, list(json!(1), json!([row(1), row(2)]))),
        (Stream::Contacts, list(json!(2), json!([row(2), row(1)]))),
        (Stream::Contacts, list(json!(2), json!([row(1), row(1)]))),
        (Stream::Contacts, list(json!("many"), json!([row(1)]))),
        (Stream::Contacts, list(json!(1), json!([{"id": "1", "name": 7}]))),
        (Stream::Contacts, answers(200, json!({"payload": [row(1)]}))),
        (Stream::Conversations, talks(json!(1), json!([]))),
        (Stream::Conversations, talks(json!(null), json!([]))),
        (
            Stream::Conversations,
            talks(json!(1), json!([{"id": 1, "status": "open", "inbox_id": 1}])),
        ),
        (Stream::Conversations, answers(200, json!({"meta": {"all_count": 0}, "payload": []}))),
    ];
    let garbage = [
        Garbage::EmptyList,
        Garbage::Html,
        Garbage::TruncatedJson,
        Garbage::CutOff,
        Garbage::EmptyBody,
    ];
    let any = |stream: Stream| {
        let faults = garbage.map(Fault::garbage).into_iter();
        faults
            .chain([Fault::Drop, Fault::status(500), Fault::status(404)])
            .map(move |fault| (stream, fault))
    };
    let all = odd.into_iter().chain(any(Stream::Contacts)).chain(any(Stream::Conversations));
    for (stream, fault) in all {
        bench.sim.faults().push(Rule::new(fault.clone()).operation(Operation::List));
        let result = bench.client.pull(stream, &PullFrom::default()).await;
        assert!(result.is_err(), "{stream:?} {fault:?}: {result:?}");
    }
    assert_eq!(contacts(&bench).await.shown.len(), 3);
    assert_eq!(conversations(&bench, None).await.shown.len(), 1);
}

#[tokio::test]
async fn hostile_values_are_data() {
    let bench = Bench::new().await;
    let name = format!("'); drop table x;--\r\n\u{202e}{}", "x".repeat(300));
    let result = bench.one(bench.create(42, runner(42))).await;
    let id = remote_id(&result);
    bench.plant(json!({"id": id, "name": name, "additional_attributes": {"city": "a\u{0}b", "country": {"deep": ["\u{0}"]}}}));
    let walked = contacts(&bench).await;
    let body = &wire(&walked.shown[&id.to_string()]).body;
    let text = serde_json::to_string(body).unwrap();
    assert!(!text.contains("\\u0000") && !text.contains("\\r") && !text.contains("\\n"), "{text}");
    assert!(body["name"].as_str().unwrap().chars().count() <= 255);
    assert_eq!(body["country"], json!(false), "what is no text is not taken, and clears nothing");
}

#[tokio::test]
async fn contacts_come_before_conversations_and_other_streams_are_none_of_its() {
    let bench = Bench::new().await;
    assert_eq!(bench.client.streams(), [Stream::Contacts, Stream::Conversations]);
    for stream in [Stream::Races, Stream::Registrations, Stream::Consents] {
        let failure = bench.client.pull(stream, &PullFrom::default()).await.unwrap_err();
        assert_eq!(failure.class, FailureClass::OurFault);
    }
    let failure = bench.client.read(EntityType::Conversation, "7").await.unwrap_err();
    assert_eq!(failure.class, FailureClass::OurFault);
    assert_eq!(bench.sim.journal(), []);
}

/// One that can't be read stops no other, is told to people, and is not missing (F90).
#[tokio::test]
async fn a_row_that_can_not_be_read_is_shown_as_such_among_the_others() {
    let bench = Bench::new().await;
    let row = json!({"id": 1, "name": "A", "created_at": 1});
    let odd = [json!({"id": 2, "name": 7, "created_at": 2}), json!({"id": 2, "email": ["x"]})];
    for odd in odd {
        let page = json!({"meta": {"count": 2}, "payload": [row, odd]});
        bench.sim.faults().push(Rule::new(answers(200, page)).operation(Operation::List));
        let walked = contacts(&bench).await;
        assert_eq!(walked.ids(), [1, 2].into());
        assert!(matches!(walked.shown["1"].shape, Shape::Stands { .. }));
        let shown = &walked.shown["2"];
        assert!(matches!(shown.shape, Shape::Unreadable { .. }), "{shown:?}");
        assert_eq!((shown.entity_type, shown.entity), (EntityType::Person, None));
        assert!(walked.shows_all, "it was shown");
    }
    let page = json!({"data": {"meta": {"all_count": 2}, "payload": [
        {"uuid": "u1", "status": "open", "inbox_id": 1}, {"uuid": "u2", "status": 7, "inbox_id": 1}]}});
    bench.sim.faults().push(Rule::new(answers(200, page)).operation(Operation::List));
    let walked = conversations(&bench, None).await;
    assert!(matches!(walked.shown["u1"].shape, Shape::Stands { .. }));
    assert!(matches!(walked.shown["u2"].shape, Shape::Unreadable { .. }));
    assert!(walked.cursor.is_some(), "the walk has ended");
}
