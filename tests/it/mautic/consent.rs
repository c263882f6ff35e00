//! Consent: the more restrictive state wins, and only what we entered is ever taken away (contract, section 5).

use ems_sync::remote::PushResult;
use ems_sync_remotes::mautic::{Source, Version};
use ems_sync_remotes::{Fault, Operation, Rule};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::bench::{
    Bench, create, email, found, remote_hash, remote_id, runner, says, update, word,
};

fn now() -> Timestamp {
    Timestamp::now()
}

async fn made(bench: &Bench, id: i64, opted_in: Option<bool>) -> i64 {
    remote_id(&bench.one(create(id, bench.wire_of(id, says(id, opted_in, now())))).await)
}

async fn pushed(bench: &Bench, id: i64, contact: i64, opted_in: Option<bool>) -> PushResult {
    bench.one(update(id, contact, bench.wire_of(id, says(id, opted_in, now())))).await
}

fn reason(bench: &Bench, contact: i64) -> Option<i64> {
    bench.contact(contact).do_not_contact_reason("email")
}

#[tokio::test]
async fn an_opt_out_is_entered_by_a_call_of_its_own_with_reason_and_comment() {
    let bench = Bench::new().await;
    let contact = made(&bench, 7, Some(false)).await;
    let entries = bench.contact(contact).do_not_contact;
    assert_eq!(entries.len(), 1);
    let entry = (&*entries[0].channel, entries[0].reason, entries[0].source);
    assert_eq!(entry, ("email", 3, Source::Api));
    let moment = entries[0].comments.strip_prefix("ems-sync ").unwrap();
    assert!(moment.parse::<jiff::Timestamp>().is_ok(), "{moment}");
    assert_eq!(
        bench.routes(),
        ["/api/contacts", "/api/contacts/new", "/api/contacts/{id}/dnc/{channel}/add"]
    );
    // Once is enough.
    let before = bench.requests().len();
    assert_eq!(word(&pushed(&bench, 7, contact, Some(false)).await), "held");
    assert_eq!(bench.routes()[before..], ["/api/contacts", "/api/contacts/{id}/edit"]);
    bench.assert_no_violation();
}

/// Whatever else becomes of the push (G5): an adoption whose edit is refused, and an address that is the contact's of a lower id.
#[tokio::test]
async fn an_opt_out_is_said_though_the_rest_is_refused() {
    let bench = Bench::new().await;
    for carries_our_id in [true, false] {
        bench.sim.wipe();
        let mut lead = json!({ "email": email(7) });
        if carries_our_id {
            lead["ems_person_id"] = json!("7");
        }
        let lead = bench.plant_row(lead);
        let mut refused = says(7, Some(false), now());
        refused["country"] = json!("AX");
        let result = bench.one(create(7, bench.wire_of(7, refused))).await;
        assert_eq!((word(&result), found(&result)), ("rejected", Some(lead)), "{result:?}");
        assert_eq!(reason(&bench, lead), Some(3), "our id: {carries_our_id}");
    }
    let older = bench.plant(5, "Older");
    let mine = made(&bench, 8, None).await;
    let mut shared = says(8, Some(false), now());
    shared["email"] = json!(email(5));
    let result = bench.one(update(8, mine, bench.wire_of(8, shared))).await;
    assert_eq!(word(&result), "rejected");
    assert_eq!((reason(&bench, mine), reason(&bench, older)), (Some(3), None));
    bench.assert_no_violation();
}

#[tokio::test]
async fn an_opt_in_takes_away_what_we_entered_and_no_statement_does_not() {
    let bench = Bench::new().await;
    let contact = made(&bench, 7, Some(false)).await;
    pushed(&bench, 7, contact, None).await;
    assert_eq!(reason(&bench, contact), Some(3), "no row, no statement");
    let result = pushed(&bench, 7, contact, Some(true)).await;
    assert_eq!((word(&result), reason(&bench, contact)), ("held", None));
    bench.assert_no_violation();
}

#[tokio::test]
async fn what_people_at_mautic_forbid_survives_every_statement() {
    let bench = Bench::new().await;
    for forbid in ["unsubscribe", "bounce", "forbid"] {
        bench.sim.wipe();
        let contact = made(&bench, 7, None).await;
        match forbid {
            "unsubscribe" => bench.sim.unsubscribe(contact, "email"),
            "bounce" => bench.sim.bounce(contact, "email"),
            _ => bench.sim.forbid(contact, "email"),
        };
        let entries = bench.contact(contact).do_not_contact;
        for statement in [None, Some(false), Some(true), Some(false), None, Some(true)] {
            let result = pushed(&bench, 7, contact, statement).await;
            assert_eq!(word(&result), "held", "{forbid} {statement:?}");
            assert_eq!(bench.contact(contact).do_not_contact, entries, "{forbid} {statement:?}");
            // It shows in what Mautic holds, unless it is what we want.
            let wanted = bench.wire_of(7, says(7, statement, now())).hash;
            if statement == Some(false) {
                assert_eq!(remote_hash(&result), wanted);
            } else {
                assert_ne!(remote_hash(&result), wanted);
            }
        }
    }
    let dnc_calls = bench.routes().into_iter().filter(|route| route.contains("/dnc/")).count();
    assert_eq!(dnc_calls, 0, "nothing is even tried");
    bench.assert_no_violation();
}

/// A person who unsubscribes after we entered an opt-out has an entry of his own: the later opt-in in the EMS does not lift it.
#[tokio::test]
async fn an_unsubscription_after_our_entry_is_not_lifted_by_an_opt_in() {
    let bench = Bench::new().await;
    let contact = made(&bench, 7, Some(false)).await;
    bench.sim.unsubscribe(contact, "email");
    pushed(&bench, 7, contact, Some(true)).await;
    assert_eq!(reason(&bench, contact), Some(1));
    bench.assert_no_violation();
}

#[tokio::test]
async fn an_opt_in_that_is_older_than_the_entry_takes_nothing_away() {
    let bench = Bench::new().await;
    let contact = made(&bench, 7, Some(false)).await;
    // As from a restored backup.
    let long_ago = now() - SignedDuration::from_mins(10);
    let wire = bench.wire_of(7, says(7, Some(true), long_ago));
    assert_eq!(word(&bench.one(update(7, contact, wire)).await), "held");
    assert_eq!(reason(&bench, contact), Some(3));
    bench.assert_no_violation();
}

/// Moments are compared by one clock, whatever Mautic's is.
#[tokio::test]
async fn a_wrong_clock_at_mautic_neither_keeps_nor_lifts_an_entry() {
    for offset in [-86_400, 86_400] {
        let bench = Bench::with(|settings| settings.clock_offset_seconds = offset).await;
        let contact = made(&bench, 7, Some(false)).await;
        let before = now() - SignedDuration::from_mins(10);
        bench.one(update(7, contact, bench.wire_of(7, says(7, Some(true), before)))).await;
        assert_eq!(reason(&bench, contact), Some(3), "{offset}: it is not lifted");
        pushed(&bench, 7, contact, Some(true)).await;
        assert_eq!(reason(&bench, contact), None, "{offset}: it is not kept");
        bench.assert_no_violation();
    }
}

#[tokio::test]
async fn both_channels_are_told_apart() {
    let bench = Bench::new().await;
    let mut row = says(7, Some(true), now());
    row["sms_opted_in"] = json!(false);
    row["sms_preference_on"] = json!(now().to_string());
    let result = bench.one(create(7, bench.wire_of(7, row.clone()))).await;
    let contact = bench.contact(remote_id(&result));
    assert_eq!(contact.do_not_contact_reason("sms"), Some(3));
    assert_eq!(contact.do_not_contact_reason("email"), None);
    row["email_opted_in"] = json!(false);
    row["sms_opted_in"] = json!(true);
    row["sms_preference_on"] = json!(now().to_string());
    bench.one(update(7, contact.id, bench.wire_of(7, row))).await;
    let contact = bench.contact(contact.id);
    assert_eq!(contact.do_not_contact_reason("sms"), None);
    assert_eq!(contact.do_not_contact_reason("email"), Some(3));
    bench.assert_no_violation();
}

/// Each of the calls may be the one that fails or whose answer is lost: the next push ends the same.
#[tokio::test]
async fn a_lost_answer_to_a_consent_call_is_made_good() {
    let bench = Bench::new().await;
    let route = |action: &str| format!("/api/contacts/{{id}}/dnc/{{channel}}/{action}");
    for (fault, class) in [
        (Fault::CommitThenDrop, "ambiguous"),
        (Fault::Drop, "ambiguous"),
        (Fault::status(503), "transient"),
    ] {
        bench.sim.wipe();
        bench.sim.faults().push(Rule::new(fault.clone()).route(&route("add")));
        let out = bench.wire_of(7, says(7, Some(false), now()));
        let result = bench.one(create(7, out)).await;
        let contact = bench.sim.contact_of("7").unwrap().id;
        assert_eq!((word(&result), found(&result)), (class, Some(contact)));
        assert_eq!(word(&pushed(&bench, 7, contact, Some(false)).await), "held");
        assert_eq!(reason(&bench, contact), Some(3));
        bench.sim.faults().push(Rule::new(fault).route(&route("remove")));
        assert_eq!(word(&pushed(&bench, 7, contact, Some(true)).await), class);
        assert_eq!(word(&pushed(&bench, 7, contact, Some(true)).await), "held");
        assert_eq!(reason(&bench, contact), None);
        assert_eq!(bench.sim.contact_count(), 1);
    }
    bench.assert_no_violation();
}

/// An answer without the lists is not an answer with empty ones: they are read.
#[tokio::test]
async fn lists_that_an_answer_leaves_out_are_read_before_anything_is_decided() {
    let bench = Bench::new().await;
    let contact = made(&bench, 7, None).await;
    bench.sim.unsubscribe(contact, "email");
    let minimal = json!({ "contact": { "id": contact, "fields": { "all": {
        "id": contact, "email": "runner7+club@example.org", "ems_person_id": "7",
        "firstname": "Thandi", "lastname": "Nkosi" } } } });
    bench
        .sim
        .faults()
        .push(Rule::new(super::bench::answers(200, minimal)).operation(Operation::Patch));
    let result = pushed(&bench, 7, contact, Some(false)).await;
    assert_eq!(word(&result), "held");
    assert_eq!(bench.operations().last(), Some(&Operation::Read));
    assert_eq!(reason(&bench, contact), Some(1));
    bench.assert_no_violation();
}

/// 3.x loses what a body says of consent, does nothing without a reason, and acts on empty lists: we send neither.
#[tokio::test]
async fn an_old_mautic_is_told_the_same() {
    let bench = Bench::with(|settings| settings.version = Version::V3).await;
    let contact = made(&bench, 7, Some(false)).await;
    assert_eq!(reason(&bench, contact), Some(3));
    assert!(bench.contact(contact).tags.is_empty());
    let plain = bench.one(create(8, bench.wire_of(8, runner(8, "Plain")))).await;
    assert!(bench.contact(remote_id(&plain)).do_not_contact.is_empty());
    bench.assert_no_violation();
}
