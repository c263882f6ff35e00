//! Remote records that nobody knows: whose they are, and what becomes of those that are nobody's.

use std::sync::Arc;

use ems_sync::config::MergeMode;
use ems_sync::entity::EntityType;
use ems_sync::process::Role;
use ems_sync::remote::inbound::{RemoteParent, Shape, Snapshot};
use ems_sync::store::Adopted;
use ems_sync_remotes::chatwoot::Resource;
use serde_json::{Map, json};

use super::bench::{Bench, TARGET, foreign, snapshot, wire_of, with};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_record_seen_ten_times_by_four_becomes_one_person() {
    let bench = Arc::new(Bench::new().await);
    let mut rows = Vec::new();
    for _ in 0..10 {
        rows.push(bench.pulled("31", foreign("Sipho Dube", "sipho@example.org")).await);
    }
    // Another record of the same person: whichever is decided second is seen to be theirs, and waits. Both were seen at one moment, so
    // that neither is older than what is known of the other.
    let now = bench.store.now().await.unwrap();
    for remote_id in ["31", "32"] {
        let seen = snapshot(remote_id, foreign("Sipho Dube", "sipho@example.org"));
        rows.extend(bench.taken_in(seen, now).await);
    }
    let work = (0..4).map(|_| {
        let (bench, rows) = (Arc::clone(&bench), rows.clone());
        async move { bench.applier(MergeMode::Entity).work(&rows).await.unwrap() }
    });
    futures_util::future::join_all(work).await;
    let waits = "select count(*) from sync.inbox where state = 'waiting' and state_reason = 'waiting_for_removal'";
    // What one found locked too often, or lost too many races for, is due later: the scan comes back to it.
    for _ in 0..10 {
        if bench.count(waits).await == 1 {
            break;
        }
        bench.exec("update sync.inbox set due_on = now()").await;
        bench.applier.work(&rows).await.unwrap();
    }
    assert_eq!(bench.count("select count(*) from ems.person").await, 1);
    assert_eq!(
        bench.count("select count(*) from sync.record where remote_id is not null").await,
        1
    );
    assert_eq!(bench.count(waits).await, 1);
    bench
        .exec(
            "update sync.inbox set created_on = created_on - interval '11 minutes', due_on = now()",
        )
        .await;
    bench.applier.work(&rows).await.unwrap();
    assert_eq!(bench.open_conflicts().await[0].reason, "ambiguous");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_surely_theirs_is_adopted_and_fills_only_what_is_blank() {
    let bench = Bench::new().await;
    let id = bench.person("Sipho", "Dube", "sipho@example.org").await;
    let there = foreign("Sipho Dube", "sipho@example.org");
    bench
        .comes_back("31", with(there, json!({"phone_number": "+27821234567", "city": "Umlazi"})))
        .await;
    let held = "select phone || city from ems.person";
    assert_eq!(bench.text(held).await.as_deref(), Some("+27821234567Durban"));
    let conflicts = bench.open_conflicts().await;
    let lost: Vec<_> =
        conflicts.iter().flat_map(|c| c.fields.iter().map(|f| f.field.as_str())).collect();
    assert_eq!((conflicts[0].entity_id, lost), (Some(id), vec!["city"]));
    let mapped = "select count(*) from sync.record where remote_id = '31' and owed_gen > done_gen";
    assert_eq!(bench.count(mapped).await, 1, "the EMS is brought there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_a_person_chooses() {
    let bench = Bench::new().await;
    let one = bench.person("Sipho", "Dube", "sipho@example.org").await;
    let two = bench.person("sipho", "dube", "sipho@example.org").await;
    let row = bench.pulled("31", foreign("Sipho Dube", "sipho@example.org")).await;
    bench.applier.work(&[row]).await.unwrap();
    let conflict = bench.open_conflicts().await.remove(0);
    assert_eq!((conflict.reason.as_str(), conflict.candidates), ("ambiguous", vec![one, two]));
    assert_eq!(bench.text("select state from sync.inbox").await.as_deref(), Some("held"));
    let adopt = |candidate| bench.store.adopt_conflict(conflict.number, "me", candidate, false);
    assert_eq!(adopt(None).await.unwrap(), Adopted::NoCandidate);
    assert_eq!(adopt(Some(two + 1)).await.unwrap(), Adopted::NoCandidate);
    assert!(
        matches!(adopt(Some(two)).await.unwrap(), Adopted::Chosen(chosen) if chosen.inbox_id == row)
    );
    bench.applier.work(&[row]).await.unwrap();
    let mapped = "select entity_id from sync.record where remote_id = '31'";
    assert_eq!(bench.count(mapped).await, two);
    assert_eq!(bench.count("select count(*) from ems.person").await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_ems_wants_nothing_of_is_not_decided_again_and_leaves_no_contents() {
    let bench = Bench::new().await;
    bench.comes_back("31", foreign("Anonymous", "x@example.org")).await;
    assert_eq!(bench.count("select count(*) from ems.person").await, 0);
    let done = "select count(*) from sync.inbox where state = 'done' and body is null and extra is null and hash is not null";
    assert_eq!(bench.count(done).await, 1);
    let now = bench.store.now().await.unwrap();
    let again = bench.taken_in(snapshot("31", foreign("Anonymous", "x@example.org")), now).await;
    assert_eq!(again, None);
    bench.comes_back("31", foreign("Sipho Dube", "x@example.org")).await;
    assert_eq!(bench.count("select count(*) from ems.person").await, 1);
}

/// A create has read the contact, then a walk has, and was decided first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_to_nothing_is_decided_again_for_who_wants_it() {
    let bench = Bench::new().await;
    let read = bench.store.now().await.unwrap();
    let there = foreign("Anonymous", "x@example.org");
    bench.comes_back("31", there.clone()).await;
    let id = bench.person("Thandi", "Nkosi", "x@example.org").await;
    let found = [(snapshot("31", there), Some(id))];
    let take_in = |on| bench.store.take_in_found(TARGET, on, None, &found);
    assert_eq!(take_in(read).await.unwrap(), [], "the walk has read it later");
    let stand = bench.store.inbox_standing(TARGET, &found).await.unwrap();
    assert!(!stand[0].is_decided, "nobody wanted it then");
    // So the create reads it anew.
    let row = take_in(bench.store.now().await.unwrap()).await.unwrap()[0].inbox_id;
    bench.exec("insert into sync.record (target, entity_type, entity_id, owed_gen, state) select 'chatwoot', 'person', max(id), 1, 'pending' from ems.person").await;
    bench.applier.work(&[row]).await.unwrap();
    let stand = bench.store.inbox_standing(TARGET, &found).await.unwrap();
    assert!(stand[0].is_decided);
    let conflicts = bench.open_conflicts().await;
    assert!(conflicts.iter().flat_map(|c| &c.fields).any(|f| f.field == "name"), "{conflicts:?}");
}

/// A documented accident: what was deleted in the EMS comes back from a remote that still lists it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revived_delete_what_the_ems_deleted_stays_deleted() {
    let bench = Bench::new().await;
    let id = bench.synced("Thandi", "17").await;
    let there = bench.changed(id, json!({"city": "Umlazi"})).await;
    let before = bench.store.now().await.unwrap();
    // Not relayed yet; then its delete is under way; then it is done, and an old snapshot is looked at.
    bench.exec("delete from ems.person").await;
    bench.comes_back("17", there.clone()).await;
    let conflicts = bench.open_conflicts().await;
    assert_eq!((conflicts[0].reason.as_str(), conflicts.len()), ("tombstone", 1));
    bench
        .exec(
            "update sync.record set former_remote_id = remote_id, remote_id = null, data_hash = null, remote_hash = null,
                    tombstoned_on = clock_timestamp(), sent_on = clock_timestamp()",
        )
        .await;
    let row =
        bench.taken_in(snapshot("17", with(there.clone(), json!({"city": "X"}))), before).await;
    // It is read again, since the delete was sent after it; the remote has no such contact any more.
    bench.applier.work(&[row.unwrap()]).await.unwrap();
    assert_eq!(bench.inbox().await, 0);
    // And if the remote still lists it, that is kept and nothing else.
    bench.comes_back("17", with(there, json!({"city": "Y"}))).await;
    assert_eq!(bench.count("select count(*) from ems.person").await, 0);
    assert_eq!(bench.open_conflicts().await[0].reason, "tombstone");
    assert!(matches!(
        bench.store.adopt_conflict(bench.open_conflicts().await[0].number, "me", None, true).await,
        Ok(Adopted::Refused(_))
    ));
}

/// The same with the push that carries the delete out: it leaves the contact standing, without our marks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revived_delete_a_contact_that_a_delete_has_left_standing_brings_nobody_back() {
    let bench = Bench::new().await;
    let running = bench.start(&[Role::Relay, Role::Consume]);
    let id = bench.person("Thandi", "Nkosi", "thandi@example.org").await;
    let pushed =
        "select 1 - count(*) from sync.record where state = 'synced' and remote_id is not null";
    bench.until(pushed).await;
    let contact = bench.sim.contact(&id.to_string()).unwrap().id;
    let unmarked = json!({"city": "Umlazi", "identifier": null, "ems_person_id": null});
    let there = bench.changed(id, unmarked).await;
    bench.exec("delete from ems.person").await;
    let deleted = "select 1 - count(*) from sync.record where tombstoned_on is not null and owed_gen = done_gen";
    bench.until(deleted).await;
    running.stop().await;
    assert!(bench.sim.row_by_id(Resource::Contact, contact).is_some(), "it stands");
    assert!(bench.sim.contact(&id.to_string()).is_none(), "and is nobody's");
    bench.comes_back(&contact.to_string(), there).await;
    assert_eq!(bench.count("select count(*) from ems.person").await, 0);
    let conflicts = bench.open_conflicts().await;
    assert_eq!((conflicts[0].reason.as_str(), conflicts.len()), ("tombstone", 1));
    assert_eq!(conflicts[0].entity_id, Some(id));
}

/// A documented accident: a row that is deleted and inserted anew is taken for an update of the old one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn re_insert_a_person_that_is_entered_anew_is_another_one() {
    let bench = Bench::new().await;
    let old = bench.synced("Thandi", "17").await;
    let there = bench.changed(old, json!({"city": "Umlazi"})).await;
    bench.exec("delete from ems.person").await;
    let new = bench.person("Thandi", "Nkosi", "thandi@example.org").await;
    bench.comes_back("17", there).await;
    // The record is still the old one's, whose delete is owed; the new one is untouched.
    assert_eq!(bench.open_conflicts().await[0].entity_id, Some(old));
    let city = format!("select city from ems.person where id = {new}");
    assert_eq!(bench.text(&city).await.as_deref(), Some("Durban"));
    // The same id again: it is there, so the EMS wins with what it has now.
    bench.exec(&format!("delete from ems.person; insert into ems.person (id, first_name, last_name, email) overriding system value
        values ({old}, 'Thandi', 'Anew', 'thandi@example.org')")).await;
    let there = bench.changed(old, json!({"city": "Pinetown"})).await;
    bench.comes_back("17", there).await;
    assert_eq!(bench.open_conflicts().await[0].reason, "unpushed");
    assert_eq!(bench.text("select last_name from ems.person").await.as_deref(), Some("Anew"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_waits_for_its_parent_and_is_woken_by_it() {
    let bench = Bench::new().await;
    let conversation = Snapshot {
        entity_type: EntityType::Conversation,
        remote_id: "uuid-1".to_owned(),
        entity: None,
        shape: Shape::Stands {
            wire: wire_of(
                json!({"source": "chatwoot", "external_id": "uuid-1", "status": "open", "labels": []}),
            ),
            extra: Map::new(),
        },
        modified_on: None,
        parents: vec![RemoteParent {
            entity_type: EntityType::Person,
            remote_id: "31".to_owned(),
            required: true,
        }],
    };
    let now = bench.store.now().await.unwrap();
    let child = bench.taken_in(conversation, now).await.unwrap();
    bench.applier.work(&[child]).await.unwrap();
    assert_eq!(
        bench.text("select state_reason from sync.inbox").await.as_deref(),
        Some("waiting_for_parent")
    );
    bench.comes_back("31", foreign("Sipho Dube", "sipho@example.org")).await;
    let due =
        "select count(*) from sync.inbox where state = 'pending' and due_on <= clock_timestamp()";
    assert_eq!(bench.count(due).await, 1, "its parent has woken it");
    bench.applier.work(&[child]).await.unwrap();
    let of = "select count(*) from ems.conversation c join ems.person p on p.id = c.person_id where c.external_id = 'uuid-1'";
    assert_eq!(bench.count(of).await, 1);
    assert_eq!(bench.inbox().await, 0);
    let never = "select count(*) from sync.record where entity_type = 'conversation' and owed_gen = 0 and remote_id = 'uuid-1'";
    assert_eq!(bench.count(never).await, 1, "it never owes");
}
