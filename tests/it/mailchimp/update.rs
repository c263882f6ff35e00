//! Changes of members (contract, section 4).

use ems_sync::remote::PushResult;
use ems_sync_remotes::mailchimp::{Act, Status};
use ems_sync_remotes::{Fault, Operation, Rule};
use serde_json::json;

use super::bench::{Bench, CLUB, EMAIL, NEWS, in_list, reader, row, word};

#[tokio::test]
async fn fields_are_changed_and_cleared_without_a_word_about_consent() {
    let bench = Bench::new().await;
    let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
    let mut changed = reader("SUBSCRIBED", 1);
    changed["first_name"] = json!("Zoë");
    changed["last_name"] = json!(null);
    changed["language"] = json!(null);
    let wire = bench.wire(42, &changed);
    let mark = bench.mark();
    let PushResult::Held { remote_hash, written, .. } =
        bench.one(bench.update(42, &id, &changed)).await
    else {
        panic!("not held")
    };
    assert!(written && remote_hash == wire.hash);
    let body = bench.member(NEWS, EMAIL).body;
    assert_eq!(body["merge_fields"]["FNAME"], "Zoë");
    assert_eq!((&body["merge_fields"]["LNAME"], &body["language"]), (&json!(""), &json!("")));
    // The second look is for a member of ours in the list that they should not be in.
    let member = "/members/{hash}";
    let calls = [format!("GET {member}"), format!("GET {member}"), format!("PATCH {member}")];
    assert_eq!(bench.calls_since(mark), calls);
    bench.assert_clean();
}

#[tokio::test]
async fn what_holds_everything_is_not_written() {
    let bench = Bench::new().await;
    let mut reader = reader("SUBSCRIBED", 1);
    reader["memberships"]["news"]["labels"] = json!(["Trail"]);
    let id = bench.brought(&reader).await;
    let mark = bench.mark();
    assert_eq!(word(&bench.one(bench.update(42, &id, &reader)).await), "adopted");
    assert_eq!(bench.writes_since(mark), 0);
}

#[tokio::test]
async fn who_left_is_kept_up_to_date_but_never_subscribed() {
    for act in [Act::Unsubscribe, Act::Complain, Act::Clean, Act::UnsubscribeByAdmin] {
        let bench = Bench::new().await;
        let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
        bench.act(NEWS, EMAIL, &act);
        let status = bench.status(NEWS, EMAIL);
        let mut changed = reader("SUBSCRIBED", 99);
        changed["first_name"] = json!("Zoë");
        let wanted = bench.wire(42, &changed);
        let PushResult::Held { remote_id, remote_hash, .. } =
            bench.one(bench.update(42, &id, &changed)).await
        else {
            panic!("not held")
        };
        assert_eq!(remote_id, id);
        assert_ne!(remote_hash, wanted.hash, "what people restricted shows");
        assert_eq!(bench.status(NEWS, EMAIL), status, "{act:?}");
        assert_eq!(bench.member(NEWS, EMAIL).body["merge_fields"]["FNAME"], "Zoë");
        bench.assert_clean();
    }
}

/// Whether PUT or PATCH restores somebody whom people archived is not known: nothing is sent.
#[tokio::test]
async fn who_was_archived_by_people_is_not_touched() {
    let bench = Bench::new().await;
    let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
    bench.act(NEWS, EMAIL, &Act::Archive);
    let mark = bench.mark();
    assert_eq!(bench.updated(&id, &reader("SUBSCRIBED", 99)).await, id, "kept in mind");
    // Nor by another address, however often they are looked at.
    for address in ["moved@club.org", "again@club.org"] {
        let mut moved = reader("SUBSCRIBED", 99);
        moved["email"] = json!(address);
        assert_eq!(bench.updated(&id, &moved).await, id);
    }
    assert_eq!(bench.sim.rows(NEWS).len(), 1);
    assert_eq!(bench.writes_since(mark), 0);
    assert_eq!(bench.status(NEWS, EMAIL), Some(Status::Archived));
    bench.assert_clean();
}

#[tokio::test]
async fn who_was_deleted_for_good_is_not_made_again() {
    let bench = Bench::new().await;
    let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
    bench.act(NEWS, EMAIL, &Act::Forget);
    for address in [EMAIL, "other@club.org"] {
        let row = row(address, json!({"news": in_list("SUBSCRIBED", 99)}));
        assert_eq!(word(&bench.one(bench.update(42, &id, &row)).await), "rejected", "{address}");
    }
    assert_eq!(bench.sim.rows(NEWS), []);
    // They subscribed by a form again: that is theirs to decide.
    bench.act(NEWS, EMAIL, &Act::Subscribe);
    assert_eq!(word(&bench.one(bench.update(42, &id, &reader("SUBSCRIBED", 99))).await), "held");
    bench.assert_clean();
}

#[tokio::test]
async fn a_new_membership_is_added_and_the_old_one_stays() {
    let bench = Bench::new().await;
    let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
    let both =
        row(EMAIL, json!({"news": in_list("SUBSCRIBED", 1), "club": in_list("SUBSCRIBED", 2)}));
    let id = bench.updated(&id, &both).await;
    assert!(id.contains("club") && id.contains("news"));
    assert_eq!(bench.status(CLUB, EMAIL), Some(Status::Pending));
    bench.assert_clean();
}

#[tokio::test]
async fn an_update_whose_answer_was_lost_is_found_done() {
    for (operation, labels) in [(Operation::Patch, json!([])), (Operation::Patch, json!(["VIP"]))] {
        let bench = Bench::new().await;
        let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
        let mut changed = reader("SUBSCRIBED", 1);
        changed["first_name"] = json!("Zoë");
        changed["memberships"]["news"]["labels"] = labels;
        bench.sim.faults().push(Rule::new(Fault::CommitThenDrop).operation(operation));
        assert_eq!(word(&bench.one(bench.update(42, &id, &changed)).await), "ambiguous");
        bench.updated(&id, &changed).await;
        let mark = bench.mark();
        assert_eq!(word(&bench.one(bench.update(42, &id, &changed)).await), "adopted");
        assert_eq!(bench.writes_since(mark), 0);
        bench.assert_clean();
    }
}

#[tokio::test]
async fn a_remote_id_that_is_none_is_stale() {
    let bench = Bench::new().await;
    let result = bench.one(bench.update(42, "17", &reader("SUBSCRIBED", 1))).await;
    assert_eq!(word(&result), "stale_mapping");
}

/// Without the field what we send would be ignored in silence.
#[tokio::test]
async fn a_merge_field_that_somebody_deleted_is_noticed_before_anything_is_written() {
    let bench = Bench::new().await;
    let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
    let lists = remove_field(&bench, "EMSOUT");
    assert!(lists);
    let mark = bench.mark();
    let mut changed = reader("SUBSCRIBED", 1);
    changed["first_name"] = json!("Zoë");
    let PushResult::Failed(failure) = bench.one(bench.update(42, &id, &changed)).await else {
        panic!("not failed")
    };
    assert_eq!(failure.class.name(), "configuration");
    assert!(failure.text.contains("EMSOUT"), "{failure}");
    assert_eq!(bench.writes_since(mark), 0);
    bench.assert_clean();
}

/// Removes a merge field of every list.
fn remove_field(bench: &Bench, tag: &str) -> bool {
    use ems_sync_remotes::Remote as _;
    bench.sim.remote().remove_row("merge-fields", tag).unwrap()
}
