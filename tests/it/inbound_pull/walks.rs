//! Walks: what is stored when, where a walk goes on, what it does not show.

use std::time::Duration;

use ems_sync::inbound::pull::{Extent, PullError};
use ems_sync::remote::inbound::Stream;
use ems_sync::remote::{Failure, FailureClass};
use ems_sync::store::Duty;
use ems_sync::target::Target;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use uuid::Uuid;

use super::double::Bench;

fn failure(class: FailureClass) -> Failure {
    Failure::new(class, "as the script says")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_walk_stores_its_pages_tells_of_them_and_moves_the_cursor_at_its_end() {
    let bench = Bench::with(25).await;
    let swept = bench.swept().await;
    let walked = &swept.streams[0];
    assert_eq!((walked.pages, walked.seen, walked.taken_in), (3, 25, 25));
    assert_eq!((walked.missing, walked.held), (Some(0), false));
    assert_eq!(bench.inbox("stands").await, (1..=25).collect::<Vec<_>>());
    assert_eq!(
        bench.cursor("cursor, position, walker, full_on is not null").await,
        r#"{"walk": 3}|t"#
    );
    assert_eq!(bench.rig.count("select count(*) from sync.walk_seen").await, 0);
    assert_eq!(bench.queued().await, 25);

    let again = bench.swept().await;
    assert_eq!(again.streams[0].seen, 25);
    let asked = bench.double.world().asked.clone();
    assert_eq!(asked[3].cursor, Some(json!({"walk": 3})));
    assert!(asked[0].full && !asked[3].full, "the first walk is a full one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_walk_comes_once_a_day() {
    let bench = Bench::with(3).await;
    bench.swept().await;
    bench.rig.exec("update sync.cursor set full_on = now() - interval '25 hours'").await;
    bench.swept().await;
    bench.double.world().shows_all = false;
    bench.swept().await;
    let full: Vec<_> = bench.double.world().asked.iter().map(|from| from.full).collect();
    assert_eq!(full, [true, true, false]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_page_is_no_empty_one_and_the_walk_goes_on_where_it_stands() {
    let bench = Bench::with(25).await;
    bench.double.world().fails.insert(2, failure(FailureClass::Transient));
    let (swept, result) = bench.sweep().await;
    assert!(matches!(result, Err(PullError::Remote(_))), "{result:?}");
    assert!(swept.streams.is_empty());
    assert_eq!(bench.inbox("stands").await, (1..=10).collect::<Vec<_>>());
    let stands =
        bench.cursor("cursor, position, last_error, failures, walker, again_on > now()").await;
    assert_eq!(stands, r#"{"after": 10}|transient: as the script says|1|t"#);

    bench.swept().await;
    assert_eq!(bench.inbox("stands").await, (1..=25).collect::<Vec<_>>());
    let positions: Vec<_> =
        bench.double.world().asked.iter().map(|from| from.position.clone()).collect();
    let after = |id: i64| Some(json!({ "after": id }));
    assert_eq!(positions, [None, after(10), after(10), after(20)]);
    assert_eq!(bench.cursor("walk, position, last_error, failures").await, "1|0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_that_is_refused_or_old_is_given_up() {
    let bench = Bench::with(25).await;
    bench.double.world().fails.insert(2, failure(FailureClass::Rejected));
    bench.sweep().await.1.unwrap_err();
    bench.double.world().fails.insert(4, failure(FailureClass::Transient));
    bench.sweep().await.1.unwrap_err();
    bench.rig.exec("update sync.cursor set position_on = now() - interval '2 hours'").await;
    bench.swept().await;
    let positions: Vec<_> =
        bench.double.world().asked.iter().map(|from| from.position.clone()).collect();
    let after = |id: i64| Some(json!({ "after": id }));
    assert_eq!(positions, [None, after(10), None, after(10), None, after(10), after(20)]);
    assert_eq!(bench.cursor("walk").await, "3");
    assert_eq!(bench.inbox("stands").await.len(), 25);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_appear_while_pages_are_walked_arrive_once() {
    let bench = Bench::with(100).await;
    {
        let mut world = bench.double.world();
        world.page_rows = 100;
        for page in 2..=51 {
            let first = 101 + (page - 2) * 100;
            world
                .before
                .insert(page as usize, Box::new(move |world| world.add(first..first + 100)));
        }
    }
    bench.swept().await;
    bench.swept().await;
    assert_eq!(bench.inbox("stands").await, (1..=5_100).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_walk_has_not_shown_is_read_by_itself_and_only_its_own_word_counts() {
    let bench = Bench::with(30).await;
    bench.mapped(1..=30).await;
    {
        let mut world = bench.double.world();
        world.records.remove(&7);
        world.hidden.extend([8, 9]);
        world.records.insert(9, ("edited".to_owned(), None));
    }
    let swept = bench.swept().await;
    assert_eq!((swept.streams[0].missing, swept.streams[0].held, swept.read), (Some(3), false, 3));
    let mut read = bench.double.world().read.clone();
    read.sort_unstable();
    assert_eq!(read, [7, 8, 9]);
    assert_eq!(bench.inbox("gone").await, [7]);
    assert_eq!(bench.inbox("stands").await, [9], "what is there and unchanged says nothing");
    assert_eq!(bench.rig.count("select count(*) from sync.to_read").await, 0);
}

/// F90: it is listed for a person, and no obstacle.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_not_be_read_is_listed_stops_nobody_and_is_not_missing() {
    let bench = Bench::with(25).await;
    bench.mapped(7..=8).await;
    bench.double.world().odd.extend([7, 8, 9]);
    let swept = bench.swept().await;
    assert_eq!((swept.streams[0].seen, swept.streams[0].taken_in), (25, 22));
    assert_eq!((swept.streams[0].missing, swept.read), (Some(0), 0));
    assert_eq!(bench.inbox("unreadable").await, [7, 8, 9]);
    let listed = "select count(*) from sync.inbox where state = 'rejected' and state_reason = 'unreadable' and last_error = 'odd'
                  and body is null and extra is null";
    assert_eq!(bench.rig.count(listed).await, 3);
    assert_eq!(bench.queued().await, 22);
    assert_eq!(bench.swept().await.streams[0].taken_in, 22, "the others, which wait still");
    assert_eq!(bench.rig.count(listed).await, 3);
    // Where whoever is told of them looks.
    let (_, said) = bench.rig.run(&["conflicts", "list"]).await;
    assert!(said.contains("No conflicts.") && said.contains("--not-taken"), "{said}");
    let list = ["conflicts", "list", "--not-taken", "--target", "chatwoot", "--json"];
    let rows: Vec<serde_json::Value> = serde_json::from_str(&bench.rig.run(&list).await.1).unwrap();
    let ids: Vec<_> = rows.iter().map(|row| row["remote_id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["9", "8", "7"]);
    assert!(
        rows.iter().all(|row| row["reason"] == "unreadable" && row["error"] == "odd"),
        "{rows:?}"
    );
    // Read at last: one as it was, one edited, one that nobody knows.
    bench.double.world().odd.clear();
    bench.double.world().records.insert(8, ("edited".to_owned(), None));
    assert_eq!(bench.swept().await.streams[0].taken_in, 24);
    assert_eq!(
        bench.rig.count("select count(*) from sync.inbox where state = 'rejected'").await,
        0
    );
    assert!(!bench.inbox("stands").await.contains(&7));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_walk_that_shows_much_too_little_is_not_believed_until_a_person_accepts_it() {
    let bench = Bench::with(100).await;
    bench.mapped(1..=100).await;
    bench.double.world().records.retain(|id, _| *id <= 79);
    let swept = bench.swept().await;
    assert_eq!((swept.streams[0].missing, swept.streams[0].held, swept.read), (Some(21), true, 0));
    assert!(bench.inbox("gone").await.is_empty());
    assert!(bench.cursor("held_reason").await.contains("21 records"));
    assert_eq!(bench.rig.count("select count(*) from sync.to_read").await, 0);

    // They are shown again: nothing was the matter.
    bench.double.world().add(80..=99);
    assert!(!bench.swept().await.streams[0].held);
    assert_eq!(bench.cursor("held_reason").await, "");
    assert_eq!(bench.inbox("gone").await, [100]);

    bench.double.world().records.retain(|id, _| *id <= 10);
    assert!(bench.swept().await.streams[0].held);
    let (swept, result) = bench.puller().await.sweep_now(true).await;
    result.unwrap();
    assert!(!swept.streams[0].held);
    assert_eq!(bench.inbox("gone").await, (11..=100).collect::<Vec<_>>());
    assert_eq!(bench.cursor("held_reason").await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_walk_that_may_not_have_shown_everything_makes_nothing_missing() {
    let bench = Bench::with(10).await;
    bench.mapped(1..=12).await;
    bench.double.world().shows_all = false;
    let swept = bench.swept().await;
    assert_eq!((swept.streams[0].missing, swept.read), (None, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_are_of_the_databases_clock_whatever_the_remotes_says() {
    for ahead in [SignedDuration::ZERO, SignedDuration::from_mins(5), SignedDuration::from_mins(-5)]
    {
        let bench = Bench::with(0).await;
        let truly = Timestamp::now() - SignedDuration::from_secs(90);
        {
            let mut world = bench.double.world();
            world.ahead = ahead;
            world.records.insert(1, ("v1".to_owned(), Some(truly + ahead)));
        }
        bench.swept().await;
        let sql = "select modified_on from sync.inbox";
        let stored: Timestamp = bench.rig.ems.query_one(sql, &[]).await.unwrap().get(0);
        let off = stored.duration_since(truly).abs();
        assert!(off < SignedDuration::from_millis(1_600), "{ahead} {off}");
        if ahead.is_zero() {
            assert!(
                off < SignedDuration::from_millis(1),
                "less than the precision is no difference: {off}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_who_has_the_walk_stores_a_page_and_one_process_has_it_at_a_time() {
    let bench = Bench::with(25).await;
    let (store, stream) = (&bench.rig.store, Stream::Contacts);
    let [first, second] = [Uuid::new_v4(), Uuid::new_v4()];
    assert!(store.begin_walk(Target::Chatwoot, stream, first, false).await.unwrap().is_some());
    assert!(store.begin_walk(Target::Chatwoot, stream, second, false).await.unwrap().is_none());
    assert!(matches!(bench.sweep().await.1, Err(PullError::TakenOver)));
    assert!(bench.double.world().asked.is_empty());

    // It falls silent; another goes on, and is itself relieved between two pages.
    bench.rig.exec("update sync.cursor set walker_until = now()").await;
    let url = bench.rig.url.clone();
    bench.double.world().before.insert(
        2,
        Box::new(move |_| {
            let taken = std::thread::spawn(move || {
                let runtime =
                    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let ems = crate::support::database::connect(&url).await;
                    ems.execute("update sync.cursor set walker = gen_random_uuid()", &[])
                        .await
                        .unwrap();
                });
            });
            taken.join().unwrap();
        }),
    );
    assert!(matches!(bench.sweep().await.1, Err(PullError::TakenOver)));
    assert_eq!(
        bench.inbox("stands").await,
        (1..=10).collect::<Vec<_>>(),
        "the second page is not stored"
    );
    assert_eq!(bench.cursor("position").await, r#"{"after": 10}"#);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_is_closed_is_not_read_and_one_that_asks_for_a_pause_has_it() {
    let bench = Bench::with(5).await;
    bench.rig.exec("update sync.target set paused_on = now() where target = 'chatwoot'").await;
    assert!(matches!(bench.sweep().await.1, Err(PullError::Closed)));
    bench.rig.exec("update sync.target set paused_on = null where target = 'chatwoot'").await;
    let throttled =
        failure(FailureClass::Throttled).with_retry_after(Some(Duration::from_secs(30)));
    bench.double.world().fails.insert(1, throttled);
    assert!(matches!(bench.sweep().await.1, Err(PullError::Remote(_))));
    let paused =
        "select count(*) from sync.target where target = 'chatwoot' and throttled_until > now()";
    assert_eq!(bench.rig.count(paused).await, 1);
    assert!(matches!(bench.sweep().await.1, Err(PullError::Closed)));
    assert_eq!(bench.double.world().asked.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_account_than_the_bound_one_is_not_read() {
    let bench = Bench::with(5).await;
    bench
        .rig
        .exec("update sync.binding set database = sha256('else'), login = sha256('else'), bound_on = now() where target = 'chatwoot'")
        .await;
    assert!(matches!(bench.sweep().await.1, Err(PullError::Elsewhere(_))));
    assert!(bench.double.world().asked.is_empty());
}

/// The schedule: a sweep by whoever takes the duty, and what failed before its turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_is_run_when_it_is_due_and_a_walk_that_failed_is_gone_on_with_sooner() {
    let bench = Bench::with(25).await;
    bench.double.world().fails.insert(2, failure(FailureClass::Transient));
    let puller = bench.puller().await;
    let stop = puller.stop.clone();
    let running = tokio::spawn(async move { puller.run(Duration::from_secs(3_600)).await });
    bench.rig.until("select count(*) - 10 from sync.inbox", "swept up to the failure").await;
    bench.rig.until("select count(*) from sync.cursor where walker is not null", "left").await;
    bench.rig.exec("update sync.cursor set again_on = now()").await;
    bench.rig.until("select count(*) - 25 from sync.inbox", "gone on with").await;
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(10), running).await.expect("stops").unwrap();
    let duty = bench.rig.store.take_duty(
        Duty::SweepInbound,
        Target::Chatwoot,
        Uuid::new_v4(),
        Duration::from_secs(3_600),
    );
    assert!(duty.await.unwrap().is_none(), "it was begun a moment ago");
}

/// An extent of its own: everything, however much there is to be read by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_that_a_person_asks_for_reads_all_that_is_to_be_read() {
    let bench = Bench::with(0).await;
    bench.mapped(1..=250).await;
    let extent = Extent { anew: true, accept_missing: true };
    let (swept, result) = bench.puller().await.sweep(extent, None).await;
    result.unwrap();
    assert_eq!(swept.read, 250);
    assert_eq!(bench.inbox("gone").await.len(), 250);
}

/// A busy desk hints every second; a walk is the same effort for one hint and for many.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hints_lead_to_no_walk_right_after_the_last_one() {
    let bench = Bench::with(3).await;
    let due = async || {
        let due = bench.rig.store.walks_due(Target::Chatwoot, Duration::from_secs(3_600)).await;
        due.unwrap().streams
    };
    bench.rig.exec("insert into sync.cursor (target, stream, hinted_on) values ('chatwoot', 'contacts', now())").await;
    assert_eq!(due().await, [Stream::Contacts], "nobody has walked yet");
    bench.swept().await;
    bench.rig.exec("update sync.cursor set hinted_on = now()").await;
    assert_eq!(due().await, []);
    bench.rig.exec("update sync.cursor set pulled_on = now() - interval '16 seconds'").await;
    assert_eq!(due().await, [Stream::Contacts]);
}

/// An organisation that was not configured, a policy: what stood in the way of a record may be otherwise by now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_walk_decides_anew_about_what_was_nobodys_and_forgets_what_is_not_there() {
    let bench = Bench::with(3).await;
    bench.swept().await;
    let decided = "update sync.inbox set state = 'done', state_reason = 'not_ours', decided_on = now() where remote_id <> '3';
                   update sync.inbox set state = 'done', state_reason = 'seen', decided_on = now() where remote_id = '3'";
    bench.rig.exec(decided).await;
    assert_eq!(bench.swept().await.taken_in(), 0, "a usual walk");
    assert_eq!(bench.rig.count("select count(*) from sync.inbox where state = 'done'").await, 3);
    bench.rig.exec("update sync.cursor set full_on = now() - interval '25 hours'").await;
    assert_eq!(bench.swept().await.taken_in(), 2);
    assert_eq!(bench.rig.count("select count(*) from sync.inbox where state = 'pending'").await, 2);
    bench.rig.exec(decided).await;
    bench.double.world().records.clear();
    bench.swept().await;
    assert_eq!(bench.rig.count("select count(*) from sync.inbox").await, 0);
}

/// What came back and is of no more use goes; what is open stays, without what it says of somebody whom the EMS has not any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_back_is_not_kept_for_ever() {
    let bench = Bench::with(0).await;
    bench
        .rig
        .exec(
            r#"insert into ems.person (id, first_name, last_name) values (1, 'Thandi', 'Nkosi');
               insert into sync.conflict (target, entity_type, entity_id, remote_id, reason, fields, seen_on, closed_on, closed_by, outcome)
               select 'chatwoot', 'person', id, id::text, 'ems_newer', '[{"field": "name", "ems_value": "canary", "remote_value": "canary"}]',
                      now() - interval '100 days', closed, case when closed is not null then 'me' end,
                      case when closed is not null then 'dismissed' end
               from (values (1, now() - interval '91 days'), (1, now() - interval '89 days'), (2, null), (3, now())) c (id, closed);
               insert into sync.conflict (target, entity_type, entity_id, remote_id, reason, fields)
               values ('chatwoot', 'person', 4, '4', 'tombstone', '[{"field": "name", "ems_value": "a", "remote_value": "b"}]');
               insert into sync.consent_seen (target, person_id, subject, record, state)
               values ('chatwoot', 1, '{}', '1', 'blocked'), ('chatwoot', 2, '{}', '2', 'blocked');
               insert into sync.consent_held (target, person_id, subject, record, state, said_on)
               values ('chatwoot', 1, '{}', '1', 'blocked', now()), ('chatwoot', 2, '{}', '2', 'blocked', now());
               insert into sync.hook_seen (target, digest, seen_on)
               values ('chatwoot', 'a', now() - interval '1 hour'), ('chatwoot', 'b', now())"#,
        )
        .await;
    assert_eq!(bench.rig.store.purge_inbound(Target::Chatwoot).await.unwrap(), 6);
    assert_eq!(bench.rig.store.purge_inbound(Target::Chatwoot).await.unwrap(), 0);
    let left = |sql: &'static str| bench.rig.count(sql);
    assert_eq!(left("select count(*) from sync.conflict").await, 4);
    assert_eq!(
        left("select count(*) from sync.conflict where fields::text like '%canary%'").await,
        1
    );
    assert_eq!(
        left("select count(*) from sync.conflict where fields->0->>'field' = 'name'").await,
        4
    );
    assert_eq!(left("select sum(person_id)::bigint from sync.consent_seen").await, 1);
    assert_eq!(left("select sum(person_id)::bigint from sync.consent_held").await, 1);
    assert_eq!(left("select count(*) from sync.hook_seen").await, 1);
}

/// G10: a race that is taken out there by mistake must not withdraw everybody before a person has seen it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_removals_is_kept_for_a_person() {
    let mut bench = Bench::with(51).await;
    bench.enabled();
    bench.mapped(1..=51).await;
    let pending = "select count(*) from sync.inbox where shape = 'removed' and state = 'pending'";
    let held = "select count(*) from sync.inbox where state = 'held' and state_reason = 'guard'";
    // Ten are everyday business, also when they are shown again before anybody has decided about them.
    bench.double.world().removed.extend(1..=10);
    for _ in 0..4 {
        bench.swept().await;
        assert_eq!((bench.rig.count(pending).await, bench.rig.count(held).await), (10, 0));
    }
    // The page that goes over the limit waits as a whole, and so does what comes after.
    bench.double.world().removed.extend(1..=50);
    let walked = bench.swept().await.streams[0];
    assert_eq!((bench.rig.count(pending).await, bench.rig.count(held).await), (20, 30));
    assert_eq!(walked.removals_held, 30);
    assert_eq!(bench.swept().await.streams[0].removals_held, 0, "they are held already");
    let (_, status) = bench.rig.run(&["status", "--json"]).await;
    assert!(status.contains(r#""held":30"#), "{status}");
    // A person leaves the EMS as it is, and says nothing about one that joined after they looked; one of them stands again there, and
    // they think better of it.
    let look = ["target", "reject", "chatwoot", "--dry-run", "--json"];
    let looked: serde_json::Value = serde_json::from_str(&bench.rig.run(&look).await.1).unwrap();
    bench.double.world().removed.insert(51);
    assert_eq!(bench.swept().await.streams[0].removals_held, 1);
    let seen = looked["seen"].as_str().unwrap();
    let (_, text) = bench.rig.run(&["target", "reject", "chatwoot", "--seen", seen]).await;
    assert!(text.contains("30 records") && text.contains("1 more joined since"), "{text}");
    let needs = "inbound_held";
    assert!(bench.rig.run(&["status", "--json"]).await.1.contains(needs), "of the one that joined");
    let release =
        "update sync.inbox set state = 'done' where state_reason = 'guard' and remote_id = '51'";
    let hold = release.replace("'done'", "'held'");
    bench.rig.exec(release).await;
    let (_, status) = bench.rig.run(&["status", "--json"]).await;
    assert!(!status.contains(needs), "what was rejected needs nobody: {status}");
    bench.rig.exec(&hold).await;
    bench.double.world().removed.remove(&50);
    bench.swept().await;
    let rejected =
        "select count(*) from sync.inbox where state = 'held' and state_reason = 'guard_rejected'";
    assert_eq!((bench.rig.count(held).await, bench.rig.count(rejected).await), (1, 29));
    let (_, decided) = bench.rig.run(&["target", "approve", "chatwoot", "--kept", "--json"]).await;
    let decided: serde_json::Value = serde_json::from_str(&decided).unwrap();
    assert_eq!(decided["removals"], 30);
    bench.swept().await;
    assert_eq!((bench.rig.count(pending).await, bench.rig.count(held).await), (50, 0));
}
