//! The EMS wins, and what lost is kept, listed, taken over or dismissed.

use ems_sync::config::MergeMode;
use ems_sync::remote::inbound::Snapshot;
use ems_sync::store::{Adopted, ConflictFilter};
use serde_json::json;

use super::bench::{Bench, person, snapshot, with};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ems_change_that_is_not_pushed_wins_and_what_lost_is_kept() {
    let bench = Bench::new().await;
    let id = bench.synced("Thandi", "17").await;
    let there = bench.changed(id, json!({"city": "Umlazi", "name": "Thandi Zulu"})).await;
    bench.exec("update ems.person set city = 'Soweto'").await;
    bench.comes_back("17", there).await;
    let conflicts = bench.open_conflicts().await;
    let [conflict] = conflicts.as_slice() else { panic!("{conflicts:?}") };
    assert_eq!((conflict.entity_id, conflict.reason.as_str()), (Some(id), "unpushed"));
    let fields: Vec<_> = conflict
        .fields
        .iter()
        .map(|f| (f.field.as_str(), f.ems_value.clone(), f.remote_value.clone()))
        .collect();
    assert_eq!(
        fields,
        [
            ("city", json!("Soweto"), json!("Umlazi")),
            ("name", json!("Thandi Nkosi"), json!("Thandi Zulu")),
        ]
    );
    assert_eq!(
        bench.text("select city || last_name from ems.person").await.as_deref(),
        Some("SowetoNkosi")
    );
    let again = "select count(*) from sync.record where owed_gen > done_gen and in_doubt and cause = 'inbound' and due_on <= now()";
    assert_eq!(bench.count(again).await, 1, "the EMS is asserted again");
    assert_eq!(bench.inbox().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_ems_change_wins_and_what_was_taken_from_there_is_none() {
    let bench = Bench::new().await;
    let id = bench.synced("Thandi", "17").await;
    let hour_ago = "select (clock_timestamp() - interval '30 minutes')::text";
    let old: jiff::Timestamp =
        bench.text(hour_ago).await.unwrap().replace(' ', "T").parse().unwrap();
    let now = bench.store.now().await.unwrap();
    let body = bench.changed(id, json!({"city": "Umlazi"})).await;
    let row =
        bench.taken_in(Snapshot { modified_on: Some(old), ..snapshot("17", body) }, now).await;
    bench.applier.work(&[row.unwrap()]).await.unwrap();
    assert_eq!(bench.open_conflicts().await[0].reason, "ems_newer");
    // It was pushed again; then a change there, later than the EMS's.
    bench.sync(id, "17").await;
    let later = now.checked_add(jiff::SignedDuration::from_mins(1)).unwrap();
    let body = bench.changed(id, json!({"city": "Umlazi"})).await;
    let now = bench.store.now().await.unwrap();
    let row =
        bench.taken_in(Snapshot { modified_on: Some(later), ..snapshot("17", body) }, now).await;
    bench.applier.work(&[row.unwrap()]).await.unwrap();
    assert_eq!(bench.text("select city from ems.person").await.as_deref(), Some("Umlazi"));
    // The EMS's version is later than the next change there, but only because it took the last one.
    let body = bench.changed(id, json!({"city": "Pinetown"})).await;
    let now = bench.store.now().await.unwrap();
    let row =
        bench.taken_in(Snapshot { modified_on: Some(old), ..snapshot("17", body) }, now).await;
    bench.applier.work(&[row.unwrap()]).await.unwrap();
    assert_eq!(bench.text("select city from ems.person").await.as_deref(), Some("Pinetown"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_merge_of_fields_only_what_both_changed_loses() {
    let bench = Bench::new().await;
    let id = bench.synced("Thandi", "17").await;
    let there = bench.changed(id, json!({"city": "Umlazi", "name": "Thandi Zulu"})).await;
    bench.exec("update ems.person set city = 'Soweto'").await;
    let row = bench.pulled("17", there).await;
    bench.applier(MergeMode::Fields).work(&[row]).await.unwrap();
    let conflicts = bench.open_conflicts().await;
    let lost: Vec<_> =
        conflicts.iter().flat_map(|c| c.fields.iter().map(|f| f.field.as_str())).collect();
    assert_eq!(lost, ["city"]);
    assert_eq!(
        bench.text("select city || last_name from ems.person").await.as_deref(),
        Some("SowetoZulu")
    );
    assert_eq!(bench.owed().await, 1, "the EMS's own change is still to be pushed");
    // A change of one side only is no conflict.
    bench.sync(id, "17").await;
    let there = bench.changed(id, json!({"name": "Thandi Dube"})).await;
    bench.exec("update ems.person set city = 'Benoni'").await;
    let row = bench.pulled("17", there).await;
    bench.applier(MergeMode::Fields).work(&[row]).await.unwrap();
    assert_eq!(bench.open_conflicts().await.len(), 1, "only the first");
    assert_eq!(
        bench.text("select city || last_name from ems.person").await.as_deref(),
        Some("BenoniDube")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conflict_is_taken_over_or_dismissed_and_a_newer_one_supersedes_it() {
    let bench = Bench::new().await;
    let id = bench.synced("Thandi", "17").await;
    let then = bench.wire(id).await.body;
    for city in ["Umlazi", "Pinetown"] {
        let there = with(then.clone(), json!({"city": city}));
        bench.exec("update ems.person set last_name = last_name || 'x'").await;
        bench.comes_back("17", there).await;
    }
    let all = ConflictFilter { closed_too: true, ..ConflictFilter::default() };
    let all = bench.store.conflicts(all, 10).await.unwrap();
    let outcomes: Vec<_> = all.iter().map(|c| c.outcome.as_deref()).collect();
    assert_eq!(outcomes, [None, Some("superseded")]);
    let open = all[0].number;
    // The EMS has changed since: a person is to look again.
    bench.exec("update ems.person set last_name = 'Y'").await;
    let adopt = |anyway| bench.store.adopt_conflict(open, "me", None, anyway);
    assert_eq!(adopt(false).await.unwrap(), Adopted::ChangedSince);
    assert_eq!(adopt(true).await.unwrap(), Adopted::Taken(person(id)));
    assert_eq!(adopt(true).await.unwrap(), Adopted::NotOpen);
    assert_eq!(
        bench.text("select city || last_name from ems.person").await.as_deref(),
        Some("PinetownY")
    );
    assert_eq!(
        bench.count("select count(*) from sync.outbox").await,
        4,
        "every target hears of it"
    );
    let there = bench.changed(id, json!({"city": "Benoni"})).await;
    bench.exec("update ems.person set last_name = 'Z'").await;
    bench.comes_back("17", there).await;
    let open = bench.open_conflicts().await[0].number;
    assert!(bench.store.dismiss_conflict(open, "me").await.unwrap());
    assert!(!bench.store.dismiss_conflict(open, "me").await.unwrap());
    assert!(bench.open_conflicts().await.is_empty());
    let closed = bench.store.conflict(open).await.unwrap().unwrap();
    assert_eq!(
        (closed.outcome.as_deref(), closed.closed_by.as_deref()),
        (Some("dismissed"), Some("me"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_conflict_hides_no_older_loss() {
    let bench = Bench::new().await;
    let id = bench.synced("Thandi", "17").await;
    let there = bench.changed(id, json!({"city": "Umlazi", "phone_number": "+27821234567"})).await;
    bench.exec("update ems.person set country = 'NA'").await;
    bench.comes_back("17", there.clone()).await;
    // One of both has come to the EMS by other ways.
    bench.exec("update ems.person set phone = '+27821234567'").await;
    bench.comes_back("17", with(there, json!({"name": "Thandi Zulu"}))).await;
    let conflicts = bench.open_conflicts().await;
    let [conflict] = conflicts.as_slice() else { panic!("{conflicts:?}") };
    let lost: Vec<_> =
        conflict.fields.iter().map(|f| (f.field.as_str(), f.remote_value.clone())).collect();
    assert_eq!(lost, [("name", json!("Thandi Zulu")), ("city", json!("Umlazi"))]);
}

/// Both sides have made the same change: there is nothing to take and nothing to push.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_change_on_both_sides_is_no_conflict() {
    let bench = Bench::new().await;
    let id = bench.synced("Thandi", "17").await;
    bench.exec("update ems.person set city = 'Umlazi'").await;
    bench.comes_back("17", bench.wire(id).await.body).await;
    assert!(bench.open_conflicts().await.is_empty());
    let agreed = "select count(*) from sync.record where data_hash = remote_hash and not in_doubt";
    assert_eq!(bench.count(agreed).await, 1);
}
