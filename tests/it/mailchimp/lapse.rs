//! Memberships and persons that are gone (contract, sections 0.3 and 9): archived, never deleted for good.

use ems_sync::remote::{Action, PushResult};
use ems_sync_remotes::mailchimp::{Act, Status};
use ems_sync_remotes::{Fault, Operation, Rule};
use serde_json::json;

use super::bench::{Bench, CLUB, EMAIL, NEWS, delete, in_list, push, reader, row, word};
use crate::support::results::given_up;

fn nowhere() -> serde_json::Value {
    row(EMAIL, json!({"elsewhere": in_list("SUBSCRIBED", 1)}))
}

#[tokio::test]
async fn a_lapsed_membership_is_archived_and_comes_back_when_it_comes_back() {
    let bench = Bench::new().await;
    let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
    assert_eq!(bench.updated(&id, &nowhere()).await, id, "they are kept in mind");
    assert_eq!(bench.status(NEWS, EMAIL), Some(Status::Archived));
    let mut changed = reader("SUBSCRIBED", 5);
    changed["first_name"] = json!("Zoë");
    let again = bench.updated("{}", &changed).await;
    assert_eq!(again, id, "the same contact");
    let member = bench.member(NEWS, EMAIL);
    assert_eq!(member.status, Status::Subscribed);
    assert_eq!(member.body["merge_fields"]["FNAME"], "Zoë");
    bench.assert_clean();
}

#[tokio::test]
async fn one_list_of_two_lapses() {
    let bench = Bench::new().await;
    let both =
        row(EMAIL, json!({"news": in_list("SUBSCRIBED", 1), "club": in_list("SUBSCRIBED", 1)}));
    let id = bench.brought(&both).await;
    bench.act(CLUB, EMAIL, &Act::Confirm);
    let id = bench.updated(&id, &reader("SUBSCRIBED", 1)).await;
    assert!(id.contains("news") && id.contains("club"), "who is archived is kept in mind: {id}");
    assert_eq!(bench.status(CLUB, EMAIL), Some(Status::Archived));
    assert_eq!(bench.status(NEWS, EMAIL), Some(Status::Subscribed));
    bench.assert_clean();
}

/// They left, then their membership lapsed, then it came back: they have left.
#[tokio::test]
async fn who_left_does_not_come_back_by_a_lapse() {
    let bench = Bench::new().await;
    let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
    bench.act(NEWS, EMAIL, &Act::Unsubscribe);
    bench.updated(&id, &nowhere()).await;
    assert_eq!(bench.status(NEWS, EMAIL), Some(Status::Archived));
    bench.updated("{}", &reader("SUBSCRIBED", 99)).await;
    assert_eq!(bench.status(NEWS, EMAIL), Some(Status::Archived));
    bench.assert_clean();
}

/// Who unsubscribes by an old mail after they were archived has left, under whatever address they come again.
#[tokio::test]
async fn who_leaves_after_a_lapse_stays_out() {
    let bench = Bench::new().await;
    let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
    let id = bench.updated(&id, &nowhere()).await;
    bench.act(NEWS, EMAIL, &Act::Unsubscribe);
    let moved = row("nkosi@club.org", json!({"news": in_list("SUBSCRIBED", 99)}));
    bench.updated(&id, &moved).await;
    assert_eq!(bench.status(NEWS, "nkosi@club.org"), None);
    bench.assert_clean();
}

/// Our archival of who had left tells so, and is theirs under another address too.
#[tokio::test]
async fn who_left_does_not_come_back_by_a_lapse_under_another_address() {
    let bench = Bench::new().await;
    let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
    bench.act(NEWS, EMAIL, &Act::Unsubscribe);
    let id = bench.updated(&id, &nowhere()).await;
    let out = bench.member(NEWS, EMAIL).body["merge_fields"]["EMSOUT"].clone();
    assert!(out.as_str().unwrap().ends_with(" archived-left -"), "{out}");
    let moved = row("nkosi@club.org", json!({"news": in_list("SUBSCRIBED", 99)}));
    bench.updated(&id, &moved).await;
    assert_eq!(bench.status(NEWS, "nkosi@club.org"), None);
    assert_eq!(bench.status(NEWS, EMAIL), Some(Status::Archived));
    // And whoever has the address now may be them.
    bench.one(bench.create(50, &reader("SUBSCRIBED", 99))).await;
    assert_eq!(bench.status(NEWS, EMAIL), Some(Status::Archived));
    bench.assert_clean();
}

/// The same after an opt-out in the EMS: only a later opt-in brings them back.
#[tokio::test]
async fn an_opt_out_is_remembered_over_a_lapse() {
    let bench = Bench::new().await;
    let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
    let id = bench.updated(&id, &reader("UNSUBSCRIBED", 5)).await;
    bench.updated(&id, &nowhere()).await;
    assert_eq!(bench.status(NEWS, EMAIL), Some(Status::Archived));
    bench.updated("{}", &reader("SUBSCRIBED", 4)).await;
    assert_eq!(bench.status(NEWS, EMAIL), Some(Status::Archived), "that opt-in is older");
    bench.updated("{}", &reader("SUBSCRIBED", 6)).await;
    assert_eq!(bench.status(NEWS, EMAIL), Some(Status::Subscribed));
    bench.assert_clean();
}

#[tokio::test]
async fn an_archive_by_people_after_ours_stays() {
    let bench = Bench::new().await;
    let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
    bench.updated(&id, &nowhere()).await;
    bench.act(NEWS, EMAIL, &Act::Subscribe);
    bench.sim.configure(|settings| settings.clock_offset_seconds = 3_600);
    bench.act(NEWS, EMAIL, &Act::Archive);
    bench.updated("{}", &reader("SUBSCRIBED", 99)).await;
    assert_eq!(bench.status(NEWS, EMAIL), Some(Status::Archived));
    bench.assert_clean();
}

/// MailChimp archives nobody who is pending or bounces: they are left, and are nobody's.
#[tokio::test]
async fn who_is_pending_or_bounces_is_left_without_our_id() {
    for act in [Act::Clean, Act::Protect] {
        let bench = Bench::new().await;
        let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
        bench.act(NEWS, EMAIL, &act);
        let result = bench.one(delete(42, &id)).await;
        if act == Act::Protect {
            assert_eq!(word(&result), "rejected", "only support can remove them: {result:?}");
        } else {
            assert_eq!(word(&result), "gone");
            assert_eq!(bench.member(NEWS, EMAIL).ems_id, None);
            assert_eq!(bench.status(NEWS, EMAIL), Some(Status::Cleaned));
        }
        bench.assert_clean();
    }
    let bench = Bench::new().await;
    let id = bench.brought(&reader("PENDING", 1)).await;
    assert_eq!(word(&bench.one(delete(42, &id)).await), "gone");
    assert_eq!(bench.member(NEWS, EMAIL).ems_id, None);
    bench.assert_clean();
}

#[tokio::test]
async fn a_deleted_person_is_archived_in_every_list() {
    let bench = Bench::new().await;
    let both =
        row(EMAIL, json!({"news": in_list("SUBSCRIBED", 1), "club": in_list("SUBSCRIBED", 1)}));
    let id = bench.brought(&both).await;
    bench.act(CLUB, EMAIL, &Act::Confirm);
    // One of the two was never written down: it is found by the address of the other.
    let news_only = id.replace(&id[..=id.find(',').unwrap()], "{");
    assert_eq!(word(&bench.one(delete(42, &news_only)).await), "gone");
    for list in [NEWS, CLUB] {
        assert_eq!(bench.status(list, EMAIL), Some(Status::Archived));
    }
    let mark = bench.mark();
    assert_eq!(word(&bench.one(delete(42, &id)).await), "gone", "and there is nothing to do");
    assert_eq!(bench.writes_since(mark), 0);
    assert_eq!(word(&bench.one(delete(42, "{}")).await), "gone");
    bench.assert_clean();
}

/// One list refuses: the other one is left, and no id is forgotten.
#[tokio::test]
async fn a_delete_that_one_list_refuses_keeps_every_id() {
    let bench = Bench::new().await;
    let both =
        row(EMAIL, json!({"news": in_list("SUBSCRIBED", 1), "club": in_list("SUBSCRIBED", 1)}));
    let id = bench.brought(&both).await;
    bench.act(CLUB, EMAIL, &Act::Confirm);
    bench.act(CLUB, EMAIL, &Act::Protect);
    let PushResult::Failed(failure) = bench.one(delete(42, &id)).await else { panic!("gone") };
    assert_eq!((failure.class.name(), failure.found), ("rejected", Some(id)));
    assert_eq!(bench.status(NEWS, EMAIL), Some(Status::Archived));
    bench.assert_clean();
}

#[tokio::test]
async fn a_member_that_is_another_persons_by_now_is_left_alone() {
    let bench = Bench::new().await;
    let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
    bench.one(given_up(bench.create(7, &reader("SUBSCRIBED", 1)), 42)).await;
    assert_eq!(word(&bench.one(delete(42, &id)).await), "gone");
    assert_eq!(bench.status(NEWS, EMAIL), Some(Status::Subscribed));
    bench.assert_clean();
}

#[tokio::test]
async fn a_member_whose_id_is_not_known_is_found_by_the_ems_id() {
    let bench = Bench::new().await;
    bench.brought(&reader("SUBSCRIBED", 1)).await;
    let other = row("other@club.org", json!({"news": in_list("SUBSCRIBED", 1)}));
    bench.one(bench.create(43, &other)).await;
    assert_eq!(word(&bench.one(push(42, Action::DeleteByKey)).await), "gone");
    assert_eq!(bench.status(NEWS, EMAIL), Some(Status::Archived));
    assert_eq!(bench.status(NEWS, "other@club.org"), Some(Status::Subscribed));
    let mark = bench.mark();
    assert_eq!(word(&bench.one(push(42, Action::DeleteByKey)).await), "gone");
    assert_eq!(bench.writes_since(mark), 0);
    bench.assert_clean();
}

#[tokio::test]
async fn a_delete_whose_answer_was_lost_is_found_done() {
    for operation in [Operation::Patch, Operation::Delete] {
        let bench = Bench::new().await;
        let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
        bench.sim.faults().push(Rule::new(Fault::CommitThenDrop).operation(operation));
        assert_eq!(word(&bench.one(delete(42, &id)).await), "ambiguous");
        assert_eq!(word(&bench.one(delete(42, &id)).await), "gone");
        assert_eq!(bench.status(NEWS, EMAIL), Some(Status::Archived));
        bench.updated("{}", &reader("SUBSCRIBED", 1)).await;
        assert_eq!(bench.status(NEWS, EMAIL), Some(Status::Subscribed), "it was us");
        bench.assert_clean();
    }
}

/// Marked, but not archived yet, when we died; then they left. Our mark is of an archival, and they are not archived.
#[tokio::test]
async fn a_mark_without_its_archival_brings_nobody_back() {
    let bench = Bench::new().await;
    let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
    bench.sim.faults().push(Rule::new(Fault::Drop).operation(Operation::Delete));
    assert_eq!(word(&bench.one(delete(42, &id)).await), "ambiguous");
    bench.act(NEWS, EMAIL, &Act::Unsubscribe);
    bench.updated(&id, &reader("SUBSCRIBED", 99)).await;
    assert_eq!(bench.status(NEWS, EMAIL), Some(Status::Unsubscribed));
    bench.assert_clean();
}
