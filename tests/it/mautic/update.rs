//! Edits: exact, of the contact that was meant, and of no other. Contract, sections 2c and 3.

use ems_sync_remotes::mautic::{MergeWinner, MergedId};
use ems_sync_remotes::{Fault, Operation, Reimage, Rule};
use serde_json::json;

use super::bench::{Bench, email, remote_hash, remote_id, runner, update, word};

#[tokio::test]
async fn an_edit_writes_our_fields_and_no_others() {
    let bench = Bench::new().await;
    let id = bench.made(7, "Old").await;
    bench
        .sim
        .plant(json!({ "id": id, "company": "Comrades", "tags": ["vip"], "points": 9, "city": "Hand" }))
        .unwrap();
    let result = bench.one(bench.update(7, id, "New")).await;
    assert_eq!((word(&result), remote_id(&result)), ("held", id));
    assert_eq!(remote_hash(&result), bench.wire(7, "New").hash);
    let contact = bench.contact(id);
    assert_eq!((contact.text("lastname"), contact.text("city")), (Some("New"), None));
    assert_eq!((contact.text("company"), contact.points), (Some("Comrades"), 9));
    assert!(contact.tags.contains("vip"));
    bench.assert_no_violation();
}

#[tokio::test]
async fn the_same_content_again_changes_nothing() {
    let bench = Bench::new().await;
    let id = bench.made(7, "Nkosi").await;
    let before = bench.contact(id);
    assert_eq!(word(&bench.one(bench.update(7, id, "Nkosi")).await), "held");
    assert_eq!(bench.contact(id), before);
    bench.assert_no_violation();
}

#[tokio::test]
async fn an_address_changes_with_the_person() {
    let bench = Bench::new().await;
    let id = bench.made(7, "Nkosi").await;
    let mut moved = runner(7, "Nkosi");
    moved["email"] = json!("New@example.org");
    let result = bench.one(update(7, id, bench.wire_of(7, moved))).await;
    assert_eq!((word(&result), remote_id(&result)), ("held", id));
    assert_eq!(bench.contact(id).email(), Some("new@example.org"));
    assert_eq!(bench.sim.contact_count(), 1);
    bench.assert_no_violation();
}

/// A lead of the address that a person changes to is taken in, with what it must not be used for.
#[tokio::test]
async fn a_lead_of_the_new_address_is_taken_in_with_its_unsubscription() {
    let bench = Bench::new().await;
    for winner in [MergeWinner::Edited, MergeWinner::Matching] {
        bench.sim.wipe();
        bench.sim.configure(|settings| settings.merge_winner = winner);
        let id = bench.made(7, "Nkosi").await;
        let lead = bench.plant_row(json!({ "email": "new@example.org" }));
        bench.sim.unsubscribe(lead, "email");
        let mut moved = runner(7, "Nkosi");
        moved["email"] = json!("new@example.org");
        let result = bench.one(update(7, id, bench.wire_of(7, moved))).await;
        // An answer with another id is the contact that is left: it is ours, under that id.
        let left = if winner == MergeWinner::Edited { id } else { lead };
        assert_eq!((word(&result), remote_id(&result)), ("held", left), "{winner:?}");
        assert_eq!(bench.sim.contact_count(), 1);
        assert_eq!(bench.contact(left).do_not_contact_reason("email"), Some(1));
        assert_eq!(bench.contact(left).ems_person_id(), Some("7"));
    }
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_contact_that_is_gone_is_a_stale_mapping_and_made_again() {
    let bench = Bench::new().await;
    let id = bench.made(7, "Nkosi").await;
    bench.sim.remove(id);
    assert_eq!(word(&bench.one(bench.update(7, id, "New")).await), "stale_mapping");
    let again = bench.one(bench.create_again(7, "New", true)).await;
    assert_eq!(word(&again), "held");
    assert_ne!(remote_id(&again), id);
    // Gone between the look and the edit.
    let id = remote_id(&again);
    bench.sim.faults().push(Rule::new(Fault::status(404)).operation(Operation::Patch));
    assert_eq!(word(&bench.one(bench.update(7, id, "New")).await), "stale_mapping");
    bench.assert_no_violation();
}

/// Somebody merged two contacts at Mautic. Old versions have lost the id, newer ones lead on to the contact that is left.
#[tokio::test]
async fn a_contact_that_was_merged_away_is_found_in_the_one_that_is_left() {
    let bench = Bench::new().await;
    for merged_id in [MergedId::NotFound, MergedId::Redirected] {
        bench.sim.wipe();
        bench.sim.configure(|settings| settings.merged_id = merged_id);
        let id = bench.made(7, "Nkosi").await;
        let other = bench.plant_row(json!({ "email": "work@example.org", "points": 3 }));
        assert!(bench.sim.merge(other, id));
        // The winner has no key of its own, so it took ours.
        assert_eq!(bench.contact(other).ems_person_id(), Some("7"));
        let result = bench.one(bench.update(7, id, "New")).await;
        let result = match merged_id {
            MergedId::Redirected => result,
            MergedId::NotFound => {
                assert_eq!(word(&result), "stale_mapping");
                bench.one(bench.create_again(7, "New", true)).await
            }
        };
        assert_eq!((word(&result), remote_id(&result)), ("held", other), "{merged_id:?}");
        assert_eq!(bench.contact(other).email(), Some(email(7).as_str()));
        assert_eq!(bench.sim.contact_count(), 1);
    }
    bench.assert_no_violation();
}

/// A Mautic that was set up anew has the same address and other contacts under our ids: nobody's contact is written over.
#[tokio::test]
async fn an_id_that_means_another_contact_by_now_is_a_stale_mapping() {
    let bench = Bench::new().await;
    let ids = [bench.made(1, "A").await, bench.made(2, "B").await, bench.made(3, "C").await];
    bench.sim.reimage(Reimage::Shuffled);
    for (person, id) in [(1, ids[0]), (2, ids[1]), (3, ids[2])] {
        assert_eq!(word(&bench.one(bench.update(person, id, "New")).await), "stale_mapping");
        let again = bench.one(bench.create_again(person, "New", true)).await;
        assert_eq!(word(&again), "held");
        assert_ne!(remote_id(&again), id);
    }
    assert_eq!(bench.sim.contact_count(), 3);
    // A foreign contact under our id.
    bench.sim.wipe();
    let foreign = bench.plant_row(json!({ "id": ids[0], "email": "lead@example.org" }));
    assert_eq!(word(&bench.one(bench.update(1, foreign, "New")).await), "stale_mapping");
    assert_eq!(bench.contact(foreign).ems_person_id(), None);
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_key_that_somebody_emptied_comes_back_with_the_next_edit() {
    let bench = Bench::new().await;
    let id = bench.made(7, "Nkosi").await;
    bench.sim.plant(json!({ "id": id, "ems_person_id": null })).unwrap();
    assert_eq!(word(&bench.one(bench.update(7, id, "New")).await), "held");
    assert_eq!(bench.contact(id).ems_person_id(), Some("7"));
    bench.assert_no_violation();
}

#[tokio::test]
async fn an_edit_whose_answer_was_lost_is_made_again_with_the_same_end() {
    let bench = Bench::new().await;
    let id = bench.made(7, "Old").await;
    bench.sim.faults().push(Rule::new(Fault::CommitThenDrop).operation(Operation::Patch));
    assert_eq!(word(&bench.one(bench.update(7, id, "New")).await), "ambiguous");
    assert_eq!(word(&bench.one(bench.update(7, id, "New")).await), "held");
    assert_eq!(bench.name_of(7).as_deref(), Some("New"));
    assert_eq!(bench.sim.contact_count(), 1);
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_value_that_mautic_refuses_is_rejected_and_named_by_its_field_only() {
    for validation in [
        ems_sync_remotes::mautic::Validation::BadRequest,
        ems_sync_remotes::mautic::Validation::Unprocessable,
    ] {
        let bench = Bench::with(|settings| settings.validation = validation).await;
        let id = bench.made(7, "Nkosi").await;
        // An island of Finland that this Mautic's list does not have.
        let mut away = runner(7, "Canary");
        away["country"] = json!("AX");
        let result = bench.one(update(7, id, bench.wire_of(7, away))).await;
        assert_eq!(word(&result), "rejected");
        let text = format!("{result:?}");
        assert!(text.contains("field country") && !text.contains("Canary"), "{text}");
        bench.assert_no_violation();
    }
}
