//! Deletes: whoever must not be contacted stays, and nobody else's contact goes. Contract, sections 2 and 9.

use ems_sync_remotes::{Fault, Garbage, Operation, Reimage, Rule};
use serde_json::json;

use super::bench::{Bench, create, delete, delete_by_key, email, remote_id, says, word};

#[tokio::test]
async fn a_contact_is_read_and_deleted() {
    let bench = Bench::new().await;
    // The id in the answer is null for odd ids and not for even ones: nobody relies on it.
    for person in [7, 8] {
        let id = bench.made(person, "Nkosi").await;
        assert_eq!(word(&bench.one(delete(person, id)).await), "gone");
        assert_eq!(bench.sim.contact(id), None);
        assert_eq!(word(&bench.one(delete(person, id)).await), "gone", "again");
    }
    let operations = bench.operations();
    assert_eq!(&operations[2..4], [Operation::Read, Operation::Delete]);
    bench.assert_no_violation();
}

/// Unsubscribed, bounced, forbidden by somebody or by the EMS, in whichever channel.
#[tokio::test]
async fn whoever_must_not_be_contacted_is_kept_without_our_key() {
    let bench = Bench::new().await;
    let mut kept = Vec::new();
    for (person, forbid) in [(1, "unsubscribe"), (2, "bounce"), (3, "forbid"), (4, "ems")] {
        let channel = if person == 1 { "sms" } else { "email" };
        let id = if forbid == "ems" {
            let out = bench.wire_of(person, says(person, Some(false), jiff::Timestamp::now()));
            remote_id(&bench.one(create(person, out)).await)
        } else {
            bench.made(person, "Nkosi").await
        };
        match forbid {
            "unsubscribe" => assert!(bench.sim.unsubscribe(id, channel)),
            "bounce" => assert!(bench.sim.bounce(id, channel)),
            "forbid" => assert!(bench.sim.forbid(id, channel)),
            _ => {}
        }
        assert_eq!(word(&bench.one(delete(person, id)).await), "gone", "{forbid}");
        let contact = bench.contact(id);
        assert_eq!((contact.ems_person_id(), contact.do_not_contact.len()), (None, 1), "{forbid}");
        assert_eq!(word(&bench.one(delete(person, id)).await), "gone", "{forbid}, again");
        assert_eq!(word(&bench.one(delete_by_key(person)).await), "gone", "{forbid}, by key");
        kept.push((person, id));
    }
    assert!(!bench.operations().contains(&Operation::Delete));
    // Whoever comes back with that address still must not be contacted.
    for (person, id) in kept {
        let mut back = super::bench::runner(person + 100, "Back");
        back["email"] = json!(email(person));
        let result = bench.one(create(person + 100, bench.wire_of(person + 100, back))).await;
        assert_eq!((word(&result), remote_id(&result)), ("held", id));
        assert_eq!(bench.contact(id).do_not_contact.len(), 1);
    }
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_delete_by_key_takes_every_contact_that_carries_it() {
    let bench = Bench::new().await;
    assert_eq!(word(&bench.one(delete_by_key(7)).await), "gone", "nothing is there");
    bench.plant(7, "Nkosi");
    let unsubscribed = bench.plant(7, "Nkosi");
    bench.sim.unsubscribe(unsubscribed, "email");
    let other = bench.plant(70, "Other");
    assert_eq!(word(&bench.one(delete_by_key(7)).await), "gone");
    assert_eq!(bench.sim.contacts_of("7"), []);
    assert_eq!(bench.sim.contact_count(), 2);
    assert_eq!(bench.contact(other).ems_person_id(), Some("70"));
    bench.assert_no_violation();
}

/// The id means somebody else by now, or nobody of ours: that contact stays, ours is found by its key.
#[tokio::test]
async fn a_contact_that_is_not_ours_is_never_deleted() {
    let bench = Bench::new().await;
    let ids = [bench.made(1, "A").await, bench.made(2, "B").await];
    bench.sim.reimage(Reimage::Shuffled);
    assert_eq!(word(&bench.one(delete(1, ids[0])).await), "gone");
    assert_eq!(bench.sim.contacts_of("1"), []);
    assert_eq!(bench.sim.contacts_of("2").len(), 1);
    let foreign = bench.plant_row(json!({ "email": "lead@example.org" }));
    assert_eq!(word(&bench.one(delete(5, foreign)).await), "gone");
    bench.contact(foreign);
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_delete_without_a_readable_answer_is_no_delete_yet() {
    let bench = Bench::new().await;
    let id = bench.made(7, "Nkosi").await;
    for (fault, class) in [
        (Fault::Drop, "ambiguous"),
        (Fault::garbage(Garbage::Html), "ambiguous"),
        (Fault::garbage(Garbage::EmptyBody), "ambiguous"),
        (Fault::garbage(Garbage::EmptyList), "ambiguous"),
        (Fault::status(500), "transient"),
        (Fault::status(502), "ambiguous"),
    ] {
        bench.sim.faults().push(Rule::new(fault.clone()).operation(Operation::Delete));
        assert_eq!(word(&bench.one(delete(7, id)).await), class, "{fault:?}");
        bench.contact(id);
    }
    bench.sim.faults().push(Rule::new(Fault::CommitThenDrop).operation(Operation::Delete));
    assert_eq!(word(&bench.one(delete(7, id)).await), "ambiguous");
    assert_eq!(word(&bench.one(delete(7, id)).await), "gone");
    // The release of a kept contact, too.
    let kept = bench.made(8, "Nkosi").await;
    bench.sim.unsubscribe(kept, "email");
    bench.sim.faults().push(Rule::new(Fault::CommitThenDrop).operation(Operation::Patch));
    assert_eq!(word(&bench.one(delete(8, kept)).await), "ambiguous");
    assert_eq!(word(&bench.one(delete(8, kept)).await), "gone");
    bench.contact(kept);
    bench.assert_no_violation();
}
