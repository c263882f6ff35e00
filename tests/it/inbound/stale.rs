//! What is older than what was taken, and what must not be pushed before it is decided.

use std::time::Duration;

use ems_sync::config::MergeMode;
use ems_sync::entity::EntityType;
use ems_sync::remote::inbound::{RemoteParent, Snapshot};
use serde_json::{Value, json};
use uuid::Uuid;

use super::bench::{Bench, TARGET, person, snapshot};
use super::removal::{REMOVES, removed};

const CHANGED_THERE: &str = "update sync.record set owed_gen = owed_gen + 1, state = 'retrying', state_reason = 'changed_there',
    due_on = clock_timestamp() + interval '1 hour'";
const STILL_WAITS: &str = "select count(*) from sync.record where state = 'retrying' and due_on > clock_timestamp() + interval '50 minutes'";

/// A contact that is Thandi's in both.
async fn real(bench: &Bench, city: &str) -> (i64, String) {
    let there = |id: Option<i64>| {
        let mut contact = json!({"name": "Thandi Nkosi", "email": "thandi@example.org",
            "additional_attributes": {"city": city, "country": "ZA", "country_code": "ZA"}});
        if let Some(id) = id {
            contact["identifier"] = json!(format!("ems-person-{id}"));
            contact["custom_attributes"] = json!({"ems_person_id": id.to_string()});
        }
        contact
    };
    let contact = bench.plant(there(None));
    let id = bench.synced("Thandi", &contact.to_string()).await;
    let mut row = there(Some(id));
    row["id"] = json!(contact);
    bench.plant(row);
    (id, contact.to_string())
}

/// A hint has had it read anew; then an old page of a walk is stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_page_does_not_undo_what_was_taken_since() {
    let bench = Bench::new().await;
    let (id, remote_id) = real(&bench, "Umlazi").await;
    let page = bench.store.now().await.unwrap();
    let old = bench.changed(id, json!({"city": "Older"})).await;
    bench.comes_back(&remote_id, bench.changed(id, json!({"city": "Umlazi"})).await).await;
    let city = "select city from ems.person";
    assert_eq!(bench.text(city).await.as_deref(), Some("Umlazi"));
    let row = bench.taken_in(snapshot(&remote_id, old), page).await.unwrap();
    bench.applier.work(&[row]).await.unwrap();
    assert_eq!(bench.text(city).await.as_deref(), Some("Umlazi"));
    assert_eq!(bench.inbox().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_page_does_not_bring_back_what_was_taken_out_since() {
    let bench = Bench::new().await;
    bench.exec(REMOVES).await;
    let id = bench.synced("Thandi", "17").await;
    let page = bench.store.now().await.unwrap();
    let old = bench.changed(id, json!({"city": "Older"})).await;
    let now = bench.store.now().await.unwrap();
    let row = bench.taken_in(removed("17", None), now).await.unwrap();
    bench.applier.work(&[row]).await.unwrap();
    let row = bench.taken_in(snapshot("17", old), page).await.unwrap();
    bench.applier.work(&[row]).await.unwrap();
    assert_eq!(bench.text("select city from ems.person").await.as_deref(), Some("cancelled"));
    assert_eq!(bench.count("select count(*) from ems.person").await, 1);
    let mapped = "select count(*) from sync.record where remote_id is not null";
    assert_eq!((bench.count(mapped).await, bench.inbox().await), (0, 0));
}

/// The successor is not decided: a push must find that it holds something else, and must not be hurried.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_move_nothing_is_pushed_before_the_successor_is_decided() {
    let bench = Bench::new().await;
    bench.synced("Thandi", "17").await;
    bench.exec(CHANGED_THERE).await;
    let now = bench.store.now().await.unwrap();
    // It can't be read.
    let row = bench.taken_in(removed("17", Some("unreadable")), now).await.unwrap();
    bench.applier.work(&[row]).await.unwrap();
    let moved = "select count(*) from sync.record where remote_id = 'unreadable' and remote_hash = data_hash";
    assert_eq!(bench.count(moved).await, 1, "what the old one held is still what is expected");
    assert_eq!(bench.count(STILL_WAITS).await, 1);
}

fn with_parent(remote_id: &str, body: Value) -> Snapshot {
    let parents = vec![RemoteParent {
        entity_type: EntityType::Conversation,
        remote_id: "unknown".to_owned(),
        required: true,
    }];
    Snapshot { parents, ..snapshot(remote_id, body) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_waits_hurries_no_push() {
    let bench = Bench::new().await;
    let id = bench.synced("Thandi", "17").await;
    let there = bench.changed(id, json!({"city": "Umlazi"})).await;
    bench.exec("update ems.person set last_name = 'Owed'").await;
    bench.exec(CHANGED_THERE).await;
    let now = bench.store.now().await.unwrap();
    let row = bench.taken_in(with_parent("17", there.clone()), now).await.unwrap();
    bench.applier(MergeMode::Fields).work(&[row]).await.unwrap();
    let waits = "select state_reason from sync.inbox";
    assert_eq!(bench.text(waits).await.as_deref(), Some("waiting_for_parent"));
    assert_eq!(bench.count(STILL_WAITS).await, 1);
    // The same again makes nothing due; what is new does.
    let due = "select count(*) from sync.inbox where due_on <= clock_timestamp()";
    let now = bench.store.now().await.unwrap();
    bench.taken_in(with_parent("17", there.clone()), now).await;
    assert_eq!(bench.count(due).await, 0);
    bench.taken_in(with_parent("17", super::bench::with(there, json!({"city": "X"}))), now).await;
    assert_eq!(bench.count(due).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_for_a_parent_holds_nobody_up_and_ends_with_its_push() {
    let bench = Bench::new().await;
    let id = bench.person("Thandi", "Nkosi", "thandi@example.org").await;
    let child = Snapshot {
        entity_type: EntityType::Conversation,
        parents: vec![RemoteParent {
            entity_type: EntityType::Person,
            remote_id: "31".to_owned(),
            required: true,
        }],
        ..snapshot("uuid-1", json!({"source": "chatwoot", "external_id": "uuid-1"}))
    };
    let now = bench.store.now().await.unwrap();
    let row = bench.taken_in(child, now).await.unwrap();
    // Somebody else makes something new meanwhile.
    bench.exec("begin; lock table sync.newcomer in share row exclusive mode").await;
    let work = async { bench.applier.work(&[row]).await };
    tokio::time::timeout(Duration::from_secs(3), work).await.expect("it waits for nobody").unwrap();
    bench.exec("rollback").await;
    // Ever later.
    bench
        .exec("update sync.inbox set created_on = created_on - interval '20 minutes', due_on = clock_timestamp()")
        .await;
    bench.applier.work(&[row]).await.unwrap();
    let late = "select count(*) from sync.inbox where state = 'waiting' and due_on > clock_timestamp() + interval '19 minutes'";
    assert_eq!(bench.count(late).await, 1);
    // A push makes its parent known.
    let sql = format!(
        "insert into sync.record (target, entity_type, entity_id, owed_gen, state, due_on)
         values ('chatwoot', 'person', {id}, 1, 'pending', clock_timestamp())"
    );
    bench.exec(&sql).await;
    let (owner, lease) = (Uuid::new_v4(), Duration::from_secs(60));
    let claims = bench.store.claim(TARGET, owner, lease, &[person(id)]).await.unwrap();
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
    let result = ems_sync::remote::PushResult::Held {
        remote_id: "31".to_owned(),
        remote_hash: bench.wire(id).await.hash,
        written: true,
        carried: Vec::new(),
        left_to: None,
        held: None,
    };
    let settled = ems_sync::deliver::settle::after_push(&claims[0], &seen, result, times, policy);
    let report = bench.store.finish(TARGET, owner, lease, &[settled.finish]).await.unwrap();
    assert_eq!(report.inbox.iter().map(|row| row.inbox_id).collect::<Vec<_>>(), [row]);
}

/// A conversation can be taken without its person, but not while it is decided who that is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parent_that_can_be_done_without_is_waited_for_while_it_is_decided() {
    for (name, known) in [("Sipho van Wyk", 1), ("Anonymous", 0)] {
        let bench = Bench::new().await;
        let child = Snapshot {
            entity_type: EntityType::Conversation,
            parents: vec![RemoteParent {
                entity_type: EntityType::Person,
                remote_id: "31".to_owned(),
                required: false,
            }],
            ..snapshot("uuid-1", json!({"source": "chatwoot", "external_id": "uuid-1"}))
        };
        let now = bench.store.now().await.unwrap();
        let contact = json!({"name": name, "email": "sipho@there.example"});
        let contact = bench.taken_in(snapshot("31", contact), now).await.unwrap();
        let row = bench.taken_in(child, now).await.unwrap();
        bench.applier.work(&[row]).await.unwrap();
        let waits = "select state_reason from sync.inbox where entity_type = 'conversation'";
        assert_eq!(bench.text(waits).await.as_deref(), Some("waiting_for_parent"));
        bench.applier.work(&[contact]).await.unwrap();
        let due = "select count(*) from sync.inbox where entity_type = 'conversation' and due_on <= clock_timestamp()";
        assert_eq!(bench.count(due).await, 1, "it was told");
        bench.applier.work(&[row]).await.unwrap();
        let of = "select count(*) from ems.conversation where person_id is not null";
        assert_eq!(bench.count("select count(*) from ems.conversation").await, 1);
        assert_eq!(bench.count(of).await, known, "{name}");
    }
}

/// What a push works on says what it holds when the push ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_writes_nothing_to_a_record_that_is_pushed() {
    let bench = Bench::new().await;
    let id = bench.synced("Thandi", "17").await;
    bench
        .exec("update sync.record set remote_hash = '\\x00', lease_owner = gen_random_uuid(), lease_until = clock_timestamp() + interval '1 hour'")
        .await;
    let same = bench.wire(id).await.body;
    let again = "select count(*) from sync.record where remote_hash = data_hash";
    for leased in [true, false] {
        if !leased {
            bench.exec("update sync.record set lease_owner = null, lease_until = null").await;
        }
        let now = bench.store.now().await.unwrap();
        assert_eq!(bench.taken_in(snapshot("17", same.clone()), now).await, None);
        assert_eq!(bench.count(again).await, i64::from(!leased));
    }
}
