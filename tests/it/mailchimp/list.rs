//! The walk over all members of all lists (contract, section 8).

use ems_sync::entity::EntityType;
use ems_sync::remote::{Failure, FailureClass, Remote as _, RemoteRecord};
use ems_sync_remotes::mailchimp::Act;
use ems_sync_remotes::{Fault, Garbage, Operation, Rule};
use serde_json::json;

use super::bench::{Bench, CLUB, EMAIL, NEWS, delete, in_list, person, reader, row};

async fn walk(bench: &Bench) -> Result<Vec<RemoteRecord>, Failure> {
    let (mut records, mut from) = (Vec::new(), None::<String>);
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
async fn members_of_several_lists_are_one_record_and_archived_ones_are_none() {
    let bench = Bench::new().await;
    for lists_archived in [false, true] {
        bench.sim.configure(|settings| settings.lists_archived = lists_archived);
        let mut both =
            row(EMAIL, json!({"news": in_list("SUBSCRIBED", 1), "club": in_list("PENDING", 1)}));
        both["memberships"]["news"]["labels"] = json!(["VIP"]);
        let id = bench.brought(&both).await;
        let gone = row("gone@club.org", json!({"news": in_list("SUBSCRIBED", 1)}));
        let gone_id = super::bench::remote_id(&bench.one(bench.create(43, &gone)).await);
        bench.one(delete(43, &gone_id)).await;
        bench.sim.plant(CLUB, &json!({"email_address": "stranger@club.org"})).unwrap();
        let records = walk(&bench).await.unwrap();
        assert_eq!(records.len(), 2, "{records:?}");
        let ours = records.iter().find(|record| record.entity == Some(person(42))).unwrap();
        assert_eq!(ours.remote_id, id);
        assert_eq!(ours.wire.hash, bench.wire(42, &both).hash);
        assert!(records.iter().any(|record| record.entity.is_none()));
    }
    bench.assert_clean();
}

#[tokio::test]
async fn every_page_is_read_however_many_changed_in_one_second() {
    for members in [0, 999, 1_000, 1_001, 2_500] {
        let bench = Bench::new().await;
        for n in 0..members {
            let member = json!({"email_address": format!("p{n}@club.org"), "merge_fields": {"EMSID": n.to_string()},
                                "last_changed": "2026-01-01T00:00:00Z"});
            bench.sim.plant(NEWS, &member).unwrap();
        }
        let records = walk(&bench).await.unwrap();
        let seen: std::collections::BTreeSet<_> = records.iter().filter_map(|r| r.entity).collect();
        assert_eq!((records.len(), seen.len()), (members, members));
        bench.assert_clean();
    }
}

#[tokio::test]
async fn two_members_of_one_person_in_one_list_are_two_records() {
    let bench = Bench::new().await;
    bench.brought(&reader("SUBSCRIBED", 1)).await;
    let second = json!({"email_address": "second@club.org", "merge_fields": {"EMSID": "42"}});
    bench.sim.plant(NEWS, &second).unwrap();
    let records = walk(&bench).await.unwrap();
    assert_eq!(records.iter().filter(|r| r.entity == Some(person(42))).count(), 2);
}

#[tokio::test]
async fn more_tags_than_a_member_shows_are_read() {
    let bench = Bench::new().await;
    let mut labelled = reader("SUBSCRIBED", 1);
    for n in 0..60 {
        bench.act(NEWS, EMAIL, &Act::Subscribe);
        bench.act(NEWS, EMAIL, &Act::Tag { name: format!("foreign {n}") });
    }
    labelled["memberships"]["news"]["labels"] = json!(["VIP"]);
    bench.brought(&labelled).await;
    let records = walk(&bench).await.unwrap();
    assert_eq!(records[0].wire.hash, bench.wire(42, &labelled).hash);
    bench.assert_clean();
}

/// What people restricted is no difference; what we may change is.
#[tokio::test]
async fn a_person_who_left_agrees_with_the_ems_and_one_with_another_name_does_not() {
    let bench = Bench::new().await;
    let row = reader("SUBSCRIBED", 1);
    bench.brought(&row).await;
    let agrees = async || {
        let records = walk(&bench).await.unwrap();
        bench.client.is_as_wanted(&bench.wire(42, &row), &records[0].wire)
    };
    assert!(agrees().await);
    bench.act(NEWS, EMAIL, &Act::Unsubscribe);
    assert!(agrees().await);
    bench.act(NEWS, EMAIL, &Act::Subscribe);
    let renamed = json!({"email_address": EMAIL, "merge_fields": {"FNAME": "X"}});
    bench.sim.plant(NEWS, &renamed).unwrap();
    assert!(!agrees().await);
}

#[tokio::test]
async fn a_page_that_is_short_or_odd_is_an_error_and_no_end() {
    let bench = Bench::new().await;
    bench.brought(&reader("SUBSCRIBED", 1)).await;
    for garbage in [
        Garbage::Html,
        Garbage::TruncatedJson,
        Garbage::CutOff,
        Garbage::EmptyList,
        Garbage::EmptyBody,
        Garbage::StrangersRecord,
    ] {
        bench.sim.faults().push(Rule::new(Fault::garbage(garbage)).operation(Operation::List));
        assert!(walk(&bench).await.is_err(), "{garbage:?}");
    }
    assert_eq!(walk(&bench).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_walk_that_another_one_has_replaced_does_not_go_on() {
    let bench = Bench::new().await;
    let first = bench.client.list(EntityType::Person, None).await.unwrap().next.unwrap();
    bench.client.list(EntityType::Person, None).await.unwrap();
    let failure = bench.client.list(EntityType::Person, Some(&first)).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Transient);
    let page = bench.client.list(EntityType::Conversation, None).await.unwrap();
    assert!(page.records.is_empty() && page.next.is_none());
}
