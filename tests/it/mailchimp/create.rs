//! New members, and members who were there before us (contract, sections 2, 6 and 11).

use ems_sync::remote::{Look, Push, PushResult};
use ems_sync_remotes::mailchimp::{Act, Status};
use ems_sync_remotes::{Fault, Operation, Rule};
use serde_json::json;

use super::bench::{Bench, CLUB, EMAIL, NEWS, delete, in_list, reader, remote_id, row, word};
use crate::support::results::given_up;

#[tokio::test]
async fn a_person_becomes_a_member_of_each_of_their_lists() {
    let bench = Bench::new().await;
    let mut both = row(
        EMAIL,
        json!({"news": in_list("SUBSCRIBED", 1), "club": in_list("SUBSCRIBED", 1),
                                      "elsewhere": in_list("SUBSCRIBED", 1)}),
    );
    both["memberships"]["news"]["labels"] = json!(["Trail", "VIP"]);
    let mark = bench.mark();
    let result = bench.one(bench.create(42, &both)).await;
    assert_eq!(word(&result), "held");
    let member = bench.member(NEWS, EMAIL);
    assert_eq!((member.status, member.ems_id.as_deref()), (Status::Subscribed, Some("42")));
    assert_eq!(member.body["merge_fields"]["FNAME"], "Thandi");
    assert_eq!(member.body["language"], "en");
    assert_eq!(member.tags, ["trail", "vip"]);
    assert_eq!(bench.status(CLUB, EMAIL), Some(Status::Pending), "the list has double opt-in");
    let contact = |list: &str| bench.member(list, EMAIL).body["contact_id"].clone();
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&remote_id(&result)).unwrap(),
        json!({"club": contact(CLUB), "news": contact(NEWS)})
    );
    let member = "/members/{hash}";
    assert_eq!(
        bench.calls_since(mark),
        [
            format!("GET {member}"),
            "GET ".to_owned(),
            format!("PUT {member}"),
            format!("GET {member}"),
            "GET ".to_owned(),
            format!("PUT {member}"),
            format!("POST {member}/tags"),
        ]
    );
    bench.assert_clean();
}

/// Where the wish and what the list shows are one, both hashes are.
#[tokio::test]
async fn what_the_list_says_it_holds_is_what_it_should_hold() {
    let bench = Bench::new().await;
    let mut reader = reader("SUBSCRIBED", 1);
    reader["memberships"]["news"]["labels"] = json!(["Zoë", "Trail"]);
    reader["last_name"] = json!("  Zoe\u{308} ");
    let wire = bench.wire(42, &reader);
    let PushResult::Held { remote_hash, .. } = bench.one(bench.create(42, &reader)).await else {
        panic!("not held")
    };
    assert_eq!(remote_hash, wire.hash);
}

#[tokio::test]
async fn who_must_confirm_in_the_ems_is_asked_to() {
    let bench = Bench::new().await;
    bench.brought(&reader("PENDING", 1)).await;
    assert_eq!(bench.status(NEWS, EMAIL), Some(Status::Pending));
    // A confirmation is a person's act; it is not asked for again.
    let id = bench.brought(&reader("PENDING", 1)).await;
    bench.act(NEWS, EMAIL, &Act::Confirm);
    bench.updated(&id, &reader("PENDING", 1)).await;
    assert_eq!(bench.status(NEWS, EMAIL), Some(Status::Subscribed));
    bench.assert_clean();
}

#[tokio::test]
async fn nobody_is_made_for_whom_no_list_needs_a_member() {
    let bench = Bench::new().await;
    for row in [
        reader("UNSUBSCRIBED", 1),
        super::bench::wishing(reader("SUBSCRIBED", 1), false, 2),
        row(EMAIL, json!({"elsewhere": in_list("SUBSCRIBED", 1)})),
    ] {
        let result = bench.one(bench.create(42, &row)).await;
        assert_eq!((word(&result), remote_id(&result).as_str()), ("adopted", "{}"));
    }
    assert_eq!(bench.sim.rows(NEWS), []);
    bench.assert_clean();
}

#[tokio::test]
async fn a_member_without_an_ems_id_is_adopted_as_they_stand() {
    for (status, opt_out) in
        [("subscribed", None), ("unsubscribed", Some("member")), ("cleaned", Some("bounce"))]
    {
        let bench = Bench::new().await;
        let planted = json!({"email_address": "Thandi@Club.org", "status": status, "opt_out": opt_out,
                             "merge_fields": {"FNAME": "T.", "PHONE": "1"}, "tags": ["foreign"]});
        bench.sim.plant(NEWS, &planted).unwrap();
        let result = bench.one(bench.create(42, &reader("SUBSCRIBED", 9))).await;
        assert_eq!(word(&result), "held", "{status}");
        let member = bench.member(NEWS, EMAIL);
        assert_eq!(member.status.word(), status);
        assert_eq!(member.ems_id.as_deref(), Some("42"));
        assert_eq!(member.body["merge_fields"]["PHONE"], "1", "what is not ours is left alone");
        assert_eq!(member.tags, ["foreign"]);
        bench.assert_clean();
    }
}

/// Very old lists have the hash of the address as it was typed (contract, section 3).
#[tokio::test]
async fn a_member_under_an_old_hash_is_found() {
    let bench = Bench::new().await;
    let planted = json!({"email_address": "Thandi@Club.org", "legacy_hash": true});
    bench.sim.plant(NEWS, &planted).unwrap();
    let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
    assert_eq!(bench.sim.rows(NEWS).len(), 1);
    assert_eq!(bench.member(NEWS, EMAIL).ems_id.as_deref(), Some("42"));
    bench.updated(&id, &reader("UNSUBSCRIBED", 2)).await;
    assert_eq!(bench.status(NEWS, EMAIL), Some(Status::Unsubscribed));
    bench.assert_clean();
}

/// The engine gives a shared address to one person at a time; who had it before has given it up.
#[tokio::test]
async fn an_address_that_another_person_gave_up_is_taken_over() {
    let bench = Bench::new().await;
    bench.one(bench.create(30, &reader("SUBSCRIBED", 1))).await;
    let create = bench.create(42, &reader("SUBSCRIBED", 1));
    assert_eq!(word(&bench.one(create.clone()).await), "rejected", "nobody gave it up");
    assert_eq!(bench.member(NEWS, EMAIL).ems_id.as_deref(), Some("30"));
    let result = bench.one(given_up(create, 30)).await;
    assert_eq!(word(&result), "held");
    assert_eq!(bench.sim.rows(NEWS).len(), 1);
    assert_eq!(bench.member(NEWS, EMAIL).ems_id.as_deref(), Some("42"));
    bench.assert_clean();
}

#[tokio::test]
async fn a_member_of_another_system_is_left_alone() {
    let bench = Bench::new().await;
    let planted = json!({"email_address": EMAIL, "merge_fields": {"EMSID": "crm-7"}});
    bench.sim.plant(NEWS, &planted).unwrap();
    let result = bench.one(bench.create(42, &reader("SUBSCRIBED", 1))).await;
    assert_eq!(word(&result), "rejected");
    assert_eq!(bench.member(NEWS, EMAIL).ems_id.as_deref(), Some("crm-7"));
    bench.assert_clean();
}

#[tokio::test]
async fn a_create_whose_answer_was_lost_makes_no_second_member() {
    let bench = Bench::new().await;
    bench.sim.faults().push(Rule::new(Fault::CommitThenDrop).operation(Operation::Replace));
    let mut reader = reader("SUBSCRIBED", 1);
    reader["memberships"]["news"]["labels"] = json!(["VIP"]);
    assert_eq!(word(&bench.one(bench.create(42, &reader)).await), "ambiguous");
    let result = bench.one(bench.create_again(42, &reader, false)).await;
    assert_eq!(word(&result), "held", "found; only its tags are missing");
    assert_eq!(bench.sim.rows(NEWS).len(), 1);
    assert_eq!(bench.member(NEWS, EMAIL).tags, ["vip"]);
    assert_eq!(word(&bench.one(bench.create_again(42, &reader, false)).await), "adopted");
    bench.assert_clean();
}

#[tokio::test]
async fn an_empty_look_up_is_no_proof_until_the_create_has_settled() {
    let bench = Bench::new().await;
    let reader = reader("SUBSCRIBED", 1);
    assert_eq!(word(&bench.one(bench.create_again(42, &reader, false)).await), "unsettled");
    assert_eq!(bench.sim.rows(NEWS), []);
    assert_eq!(word(&bench.one(bench.create_again(42, &reader, true)).await), "held");
    bench.assert_clean();
}

/// The address was corrected while the answer to the create was lost.
#[tokio::test]
async fn a_lost_create_under_an_old_address_is_found_by_the_ems_id() {
    let bench = Bench::new().await;
    bench.sim.faults().push(Rule::new(Fault::CommitThenDrop).operation(Operation::Replace));
    bench.one(bench.create(42, &reader("SUBSCRIBED", 1))).await;
    let moved = row("nkosi@club.org", json!({"news": in_list("SUBSCRIBED", 1)}));
    assert_eq!(word(&bench.one(bench.create_again(42, &moved, true)).await), "held");
    let rows = bench.sim.rows(NEWS);
    assert_eq!((rows.len(), rows[0].email_address.as_str()), (1, "nkosi@club.org"));
    bench.assert_clean();
}

/// One of two lists took the create without an answer; then the address was corrected.
#[tokio::test]
async fn what_was_lost_in_one_of_two_lists_is_found_by_the_ems_id() {
    let bench = Bench::new().await;
    let in_both = |email: &str| {
        let there = in_list("SUBSCRIBED", 1);
        row(email, json!({"club": there, "news": there}))
    };
    bench.sim.faults().push(Rule::new(Fault::CommitThenDrop).operation(Operation::Replace));
    let result = bench.one(bench.create(42, &in_both(EMAIL))).await;
    let PushResult::Failed(failure) = result else { panic!("{result:?}") };
    assert_eq!((failure.class.name(), failure.more), ("ambiguous", true));
    let (found, moved) = (failure.found.unwrap(), in_both("nkosi@club.org"));
    let push = |absence_is_proof| Push {
        besides: Look::First { absence_is_proof },
        ..bench.update(42, &found, &moved)
    };
    assert_eq!(word(&bench.one(push(false)).await), "unsettled");
    assert_eq!(word(&bench.one(push(true)).await), "held");
    for list in [NEWS, CLUB] {
        let rows = bench.sim.rows(list);
        assert_eq!((rows.len(), rows[0].email_address.as_str()), (1, "nkosi@club.org"));
    }
    bench.assert_clean();
}

/// They want no mail of it any more, or are gone, and have another address: nobody is there under that.
#[tokio::test]
async fn whose_create_was_lost_is_not_left_in_a_list_that_they_left_since() {
    let lapsed = row("nkosi@club.org", json!({"club": in_list("SUBSCRIBED", 2)}));
    let out = row("nkosi@club.org", json!({"news": in_list("UNSUBSCRIBED", 2)}));
    for (row, status) in [(lapsed, Status::Archived), (out, Status::Unsubscribed)] {
        let bench = Bench::new().await;
        bench.sim.faults().push(Rule::new(Fault::CommitThenDrop).operation(Operation::Replace));
        bench.one(bench.create(42, &reader("SUBSCRIBED", 1))).await;
        assert_eq!(word(&bench.one(bench.create_again(42, &row, false)).await), "unsettled");
        assert_eq!(word(&bench.one(bench.create_again(42, &row, true)).await), "held");
        assert_eq!(bench.member(NEWS, EMAIL).status, status);
        bench.assert_clean();
    }
    let bench = Bench::new().await;
    bench.sim.faults().push(Rule::new(Fault::CommitThenDrop).operation(Operation::Replace));
    bench.one(bench.create(42, &reader("SUBSCRIBED", 1))).await;
    let gone =
        |absence_is_proof| Push { besides: Look::First { absence_is_proof }, ..delete(42, "{}") };
    assert_eq!(word(&bench.one(gone(false)).await), "unsettled");
    assert_eq!(word(&bench.one(gone(true)).await), "gone");
    assert_eq!(bench.member(NEWS, EMAIL).status, Status::Archived);
    bench.assert_clean();
}

#[tokio::test]
async fn refused_addresses_are_rejected_and_one_list_holds_up_no_other() {
    let bench = Bench::new().await;
    for address in ["thandi@example.com", "no address"] {
        let row = row(address, json!({"news": in_list("SUBSCRIBED", 1)}));
        let result = bench.one(bench.create(42, &row)).await;
        assert_eq!(word(&result), "rejected", "{result:?}");
        assert!(!format!("{result:?}").contains(address), "{result:?}");
    }
    // Forgotten in one list: they must subscribe by themselves there.
    bench.sim.plant(CLUB, &json!({"email_address": EMAIL})).unwrap();
    bench.act(CLUB, EMAIL, &Act::Forget);
    let both =
        row(EMAIL, json!({"news": in_list("SUBSCRIBED", 1), "club": in_list("SUBSCRIBED", 1)}));
    let PushResult::Failed(failure) = bench.one(bench.create(42, &both)).await else { panic!() };
    assert_eq!(failure.class.name(), "rejected");
    assert!(failure.text.contains("Forgotten Email Not Subscribed"), "{failure}");
    let contact = bench.member(NEWS, EMAIL).body["contact_id"].clone();
    let found: serde_json::Value = serde_json::from_str(&failure.found.unwrap()).unwrap();
    assert_eq!(found, json!({ "news": contact }), "a partial success is kept");
    bench.assert_clean();
}

#[tokio::test]
async fn too_many_sign_ups_are_postponed() {
    let bench = Bench::new().await;
    bench.act(NEWS, EMAIL, &Act::CrowdSignups { times: 1 });
    let result = bench.one(bench.create(42, &reader("SUBSCRIBED", 1))).await;
    assert_eq!(word(&result), "postponed");
    assert_eq!(
        word(&bench.one(bench.create_again(42, &reader("SUBSCRIBED", 1), true)).await),
        "held"
    );
    bench.assert_clean();
}
