//! Another address (contract, section 5): the new hash first, the trap of an unknown old one never.

use ems_sync::remote::PushResult;
use ems_sync_remotes::mailchimp::{Act, Status};
use ems_sync_remotes::{Fault, Operation, Rule};
use serde_json::{Value, json};

use super::bench::{Bench, EMAIL, NEWS, in_list, reader, remote_id, row, word};

const NEW: &str = "nkosi@club.org";

fn moved(status: &str, n: i64) -> Value {
    row(NEW, json!({"news": in_list(status, n)}))
}

#[tokio::test]
async fn the_member_keeps_its_contact_and_gets_the_new_hash() {
    let bench = Bench::new().await;
    let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
    let result = bench.one(bench.update(42, &id, &moved("SUBSCRIBED", 1))).await;
    let PushResult::Held { remote_id, remote_hash, .. } = result else { panic!("not held") };
    assert_eq!(remote_id, id);
    assert_eq!(remote_hash, bench.wire(42, &moved("SUBSCRIBED", 1)).hash);
    assert_eq!(bench.status(NEWS, EMAIL), None);
    assert_eq!(bench.status(NEWS, NEW), Some(Status::Subscribed));
    assert_eq!(bench.sim.rows(NEWS).len(), 1);
    bench.assert_clean();
}

#[tokio::test]
async fn a_change_whose_answer_was_lost_is_found_done_and_not_sent_blindly_again() {
    let bench = Bench::new().await;
    let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
    bench.sim.faults().push(Rule::new(Fault::CommitThenDrop).operation(Operation::Replace));
    let again = moved("SUBSCRIBED", 1);
    assert_eq!(word(&bench.one(bench.update(42, &id, &again)).await), "ambiguous");
    assert_eq!(bench.updated(&id, &again).await, id);
    assert_eq!(bench.sim.rows(NEWS).len(), 1);
    bench.assert_clean();
}

#[tokio::test]
async fn where_the_new_address_is_a_member_already_the_old_one_is_archived() {
    let bench = Bench::new().await;
    let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
    bench.sim.plant(NEWS, &json!({"email_address": NEW})).unwrap();
    let now = bench.updated(&id, &moved("SUBSCRIBED", 1)).await;
    assert_ne!(now, id);
    assert_eq!(bench.status(NEWS, EMAIL), Some(Status::Archived));
    let member = bench.member(NEWS, NEW);
    assert_eq!((member.status, member.ems_id.as_deref()), (Status::Subscribed, Some("42")));
    bench.assert_clean();
}

/// The archiving of the old one failed: its id is still known, so that it is done with the next try.
#[tokio::test]
async fn an_old_member_that_could_not_be_archived_is_not_forgotten() {
    let bench = Bench::new().await;
    let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
    bench.sim.plant(NEWS, &json!({"email_address": NEW})).unwrap();
    bench.sim.faults().push(Rule::new(Fault::status(503)).operation(Operation::Delete));
    let PushResult::Failed(failure) =
        bench.one(bench.update(42, &id, &moved("SUBSCRIBED", 1))).await
    else {
        panic!("not failed")
    };
    assert_eq!(failure.found.as_deref(), Some(id.as_str()));
    bench.updated(&id, &moved("SUBSCRIBED", 1)).await;
    assert_eq!(bench.status(NEWS, EMAIL), Some(Status::Archived));
    bench.assert_clean();
}

/// Nobody who left comes back by another address.
#[tokio::test]
async fn who_left_stays_out_under_the_old_address() {
    for act in [Act::Unsubscribe, Act::Complain, Act::Clean, Act::Archive] {
        let bench = Bench::new().await;
        let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
        bench.act(NEWS, EMAIL, &act);
        bench.updated(&id, &moved("SUBSCRIBED", 99)).await;
        assert_eq!(bench.status(NEWS, NEW), None, "{act:?}");
        assert_ne!(bench.status(NEWS, EMAIL), Some(Status::Subscribed));
        bench.assert_clean();
    }
}

#[tokio::test]
async fn an_opt_out_with_a_new_address_unsubscribes_the_old_one() {
    let bench = Bench::new().await;
    let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
    let now = bench.updated(&id, &moved("UNSUBSCRIBED", 2)).await;
    assert_eq!(now, id);
    assert_eq!(bench.status(NEWS, EMAIL), Some(Status::Unsubscribed));
    assert_eq!(bench.status(NEWS, NEW), None);
    // And a fresh opt-in moves it.
    bench.updated(&id, &moved("SUBSCRIBED", 3)).await;
    assert_eq!(bench.status(NEWS, NEW), Some(Status::Subscribed));
    assert_eq!(bench.sim.rows(NEWS).len(), 1);
    bench.assert_clean();
}

/// They left, and moved; the next one at that address had their member, and is out of the list by now; they come back to it, and move
/// again.
#[tokio::test]
async fn who_left_stays_out_when_their_address_is_theirs_again() {
    let bench = Bench::new().await;
    let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
    bench.act(NEWS, EMAIL, &Act::Unsubscribe);
    let id = bench.updated(&id, &moved("SUBSCRIBED", 2)).await;
    let next = remote_id(&bench.one(bench.create(50, &reader("SUBSCRIBED", 3))).await);
    assert_eq!(bench.member(NEWS, EMAIL).ems_id.as_deref(), Some("50"));
    bench.one(bench.update(50, &next, &row(EMAIL, json!({})))).await;
    let id = bench.updated(&id, &reader("SUBSCRIBED", 4)).await;
    bench.one(bench.update(42, &id, &moved("SUBSCRIBED", 5))).await;
    assert_eq!(bench.status(NEWS, NEW), None);
    assert_ne!(bench.status(NEWS, EMAIL), Some(Status::Subscribed));
    bench.assert_clean();
}

/// They left with one member; the other, which we took out, is that of their address when they opt out, and then in.
#[tokio::test]
async fn who_left_with_one_of_two_stays_out_with_the_other() {
    let bench = Bench::new().await;
    let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
    bench.sim.plant(NEWS, &json!({"email_address": NEW})).unwrap();
    let id = bench.updated(&id, &moved("SUBSCRIBED", 1)).await;
    assert_eq!(bench.status(NEWS, EMAIL), Some(Status::Archived));
    bench.act(NEWS, NEW, &Act::Unsubscribe);
    let id = bench.updated(&id, &reader("UNSUBSCRIBED", 2)).await;
    bench.one(bench.update(42, &id, &reader("SUBSCRIBED", 3))).await;
    assert_eq!(bench.status(NEWS, EMAIL), Some(Status::Archived));
    assert_eq!(bench.status(NEWS, NEW), Some(Status::Unsubscribed));
    bench.assert_clean();
}

/// Who opted out had left the address by then: whoever has it now did not. Who opted out with it did.
#[tokio::test]
async fn who_opts_out_after_moving_keeps_no_mail_from_the_next_one_at_that_address() {
    let next = reader("SUBSCRIBED", 1);
    for (out, status) in [
        (moved("UNSUBSCRIBED", 2), Status::Subscribed),
        (reader("UNSUBSCRIBED", 2), Status::Unsubscribed),
    ] {
        let bench = Bench::new().await;
        let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
        bench.updated(&id, &out).await;
        assert_eq!(bench.status(NEWS, EMAIL), Some(Status::Unsubscribed));
        bench.one(bench.create(50, &next)).await;
        assert_eq!(bench.status(NEWS, EMAIL), Some(status));
        bench.assert_clean();
    }
}

/// Whose former member is another person's by now is a member anew: it is not theirs to say that they are out.
#[tokio::test]
async fn who_wants_mail_again_is_not_held_up_by_a_member_that_is_anothers_by_now() {
    let bench = Bench::new().await;
    let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
    let id = bench.updated(&id, &moved("UNSUBSCRIBED", 2)).await;
    let next = bench.one(bench.create(50, &reader("SUBSCRIBED", 1))).await;
    let now = bench.updated(&id, &moved("SUBSCRIBED", 3)).await;
    assert_ne!(now, id);
    assert_eq!(bench.status(NEWS, NEW), Some(Status::Subscribed));
    assert_eq!(bench.member(NEWS, NEW).ems_id.as_deref(), Some("42"));
    let next = super::bench::remote_id(&next);
    assert_eq!(
        word(&bench.one(bench.update(50, &next, &reader("SUBSCRIBED", 1))).await),
        "adopted"
    );
    assert_eq!(bench.status(NEWS, EMAIL), Some(Status::Subscribed));
    assert_eq!(bench.member(NEWS, EMAIL).ems_id.as_deref(), Some("50"));
    bench.assert_clean();
}

/// The same, but nobody has opted in since the opt-out: then the opt-out stands, though its mark is another one's by now.
#[tokio::test]
async fn an_opt_out_is_remembered_when_the_member_is_anothers() {
    let bench = Bench::new().await;
    let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
    let id = bench.updated(&id, &moved("UNSUBSCRIBED", 5)).await;
    bench.one(bench.create(50, &reader("SUBSCRIBED", 1))).await;
    assert_eq!(bench.member(NEWS, EMAIL).status, Status::Subscribed);
    // The opt-out is taken away, and nobody has opted in since.
    let id = bench.updated(&id, &moved("SUBSCRIBED", 4)).await;
    assert_eq!(bench.status(NEWS, NEW), None);
    bench.updated(&id, &moved("SUBSCRIBED", 6)).await;
    assert_eq!(bench.status(NEWS, NEW), Some(Status::Subscribed));
    bench.assert_clean();
}

/// Who left by themselves stays out though another person has the address, and with it the member, by now; also when that one has
/// subscribed with it since, so that nothing of the member tells that anybody left. It is no error, and nothing forgets it.
#[tokio::test]
async fn who_left_with_a_member_that_is_anothers_by_now_must_subscribe_by_themselves() {
    for act in [Act::Unsubscribe, Act::Complain, Act::Clean] {
        for subscribes in [false, true] {
            let bench = Bench::new().await;
            let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
            bench.act(NEWS, EMAIL, &act);
            let id = bench.updated(&id, &moved("SUBSCRIBED", 2)).await;
            let next = bench.one(bench.create(50, &reader("SUBSCRIBED", 9))).await;
            let next = super::bench::remote_id(&next);
            assert_eq!(bench.member(NEWS, EMAIL).ems_id.as_deref(), Some("50"));
            if subscribes {
                bench.act(NEWS, EMAIL, &Act::Subscribe);
                let mut renamed = reader("SUBSCRIBED", 10);
                renamed["first_name"] = json!("Zoë");
                bench.one(bench.update(50, &next, &renamed)).await;
                // An opt-out by us and a later opt-in: what is written for them keeps what was written of the one before.
                bench.one(bench.update(50, &next, &reader("UNSUBSCRIBED", 11))).await;
                bench.one(bench.update(50, &next, &reader("SUBSCRIBED", 12))).await;
                assert_eq!(bench.status(NEWS, EMAIL), Some(Status::Subscribed), "{act:?}");
            }
            let id = bench.updated(&id, &moved("SUBSCRIBED", 99)).await;
            let id = bench.updated(&id, &moved("UNSUBSCRIBED", 100)).await;
            let id =
                bench.updated(&id, &row(NEW, json!({"elsewhere": in_list("SUBSCRIBED", 1)}))).await;
            let again = bench.update(42, &id, &moved("SUBSCRIBED", 101));
            assert_eq!(word(&bench.one(again.clone()).await), "adopted", "{act:?}");
            assert_eq!(bench.status(NEWS, NEW), None, "{act:?} {subscribes}");
            // Whoever subscribes by themselves has done so.
            bench.act(NEWS, NEW, &Act::Subscribe);
            assert_eq!(word(&bench.one(again).await), "held");
            let member = bench.member(NEWS, NEW);
            assert_eq!((member.status, member.ems_id.as_deref()), (Status::Subscribed, Some("42")));
            bench.assert_clean();
        }
    }
}

/// They left, and were then unsubscribed by us at an address that somebody else had subscribed: the leaving goes along.
#[tokio::test]
async fn who_left_is_not_brought_back_by_a_member_that_we_unsubscribed_for_them() {
    let bench = Bench::new().await;
    let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
    bench.act(NEWS, EMAIL, &Act::Unsubscribe);
    bench.sim.plant(NEWS, &json!({"email_address": NEW})).unwrap();
    let id = bench.updated(&id, &moved("UNSUBSCRIBED", 2)).await;
    assert_eq!(bench.member(NEWS, NEW).ems_id.as_deref(), Some("42"));
    let id = bench.updated(&id, &moved("SUBSCRIBED", 3)).await;
    assert_eq!(bench.status(NEWS, NEW), Some(Status::Unsubscribed));
    // Nor does another one who gets the address and gives it back.
    let other = row(NEW, json!({"news": in_list("SUBSCRIBED", 4)}));
    bench.updated(&id, &row("third@club.org", json!({"news": in_list("SUBSCRIBED", 5)}))).await;
    bench.one(bench.create(50, &other)).await;
    bench.updated(&id, &row("third@club.org", json!({"news": in_list("SUBSCRIBED", 6)}))).await;
    assert_eq!(bench.status(NEWS, "third@club.org"), None);
    bench.assert_clean();
}

/// Of whom nothing was written down when the member became another one's nothing is known: they may have left with it.
#[tokio::test]
async fn whose_member_is_anothers_without_a_word_of_them_is_told_to_people() {
    let bench = Bench::new().await;
    let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
    let result = bench.one(bench.update(77, &id, &moved("SUBSCRIBED", 9))).await;
    assert_eq!((word(&result), bench.status(NEWS, NEW)), ("rejected", None));
    let id = super::bench::remote_id(
        &bench.one(bench.update(77, &id, &moved("UNSUBSCRIBED", 10))).await,
    );
    let result = bench.one(bench.update(77, &id, &moved("SUBSCRIBED", 11))).await;
    assert_eq!((word(&result), bench.status(NEWS, NEW)), ("rejected", None), "it is not forgotten");
    bench.assert_clean();
}

/// Taking a member over must not make our own opt-out look like somebody else's.
#[tokio::test]
async fn a_member_that_is_taken_over_keeps_our_mark() {
    let bench = Bench::new().await;
    let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
    bench.updated(&id, &reader("UNSUBSCRIBED", 5)).await;
    // An hour later: what changed by then is somebody's doing, unless the mark is written anew.
    bench.sim.configure(|settings| settings.clock_offset_seconds = 3_600);
    let older = bench.one(bench.create(50, &reader("SUBSCRIBED", 4))).await;
    assert_eq!(bench.status(NEWS, EMAIL), Some(Status::Unsubscribed));
    assert_eq!(bench.member(NEWS, EMAIL).ems_id.as_deref(), Some("50"));
    let id = super::bench::remote_id(&older);
    bench.one(bench.update(50, &id, &reader("SUBSCRIBED", 6))).await;
    assert_eq!(bench.status(NEWS, EMAIL), Some(Status::Subscribed));
    bench.assert_clean();
}

#[tokio::test]
async fn a_lapsed_person_comes_back_under_a_new_address() {
    let bench = Bench::new().await;
    let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
    let nowhere = row(EMAIL, json!({}));
    let id = bench.updated(&id, &nowhere).await;
    bench.updated(&id, &moved("SUBSCRIBED", 3)).await;
    assert_eq!(bench.status(NEWS, NEW), Some(Status::Subscribed));
    assert_eq!(bench.status(NEWS, EMAIL), Some(Status::Archived));
    bench.assert_clean();
}

#[tokio::test]
async fn an_address_that_is_refused_leaves_the_old_one() {
    let bench = Bench::new().await;
    let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
    let fake = row("thandi@example.com", json!({"news": in_list("SUBSCRIBED", 1)}));
    assert_eq!(word(&bench.one(bench.update(42, &id, &fake)).await), "rejected");
    assert_eq!(bench.status(NEWS, EMAIL), Some(Status::Subscribed));
    bench.assert_clean();
}

/// Two persons exchange addresses by way of a third one, as the engine makes them.
#[tokio::test]
async fn a_person_gets_an_address_that_another_one_has_left() {
    let bench = Bench::new().await;
    let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
    let other = row(NEW, json!({"news": in_list("SUBSCRIBED", 1)}));
    let others = super::bench::remote_id(&bench.one(bench.create(43, &other)).await);
    let third = row("third@club.org", json!({"news": in_list("SUBSCRIBED", 1)}));
    bench.one(bench.update(43, &others, &third)).await;
    bench.updated(&id, &moved("SUBSCRIBED", 1)).await;
    let ids = |email: &str| bench.member(NEWS, email).ems_id.unwrap();
    assert_eq!((ids(NEW), ids("third@club.org")), ("42".to_owned(), "43".to_owned()));
    assert_eq!(bench.sim.rows(NEWS).len(), 2);
    bench.assert_clean();
}
