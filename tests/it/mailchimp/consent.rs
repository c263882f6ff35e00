//! Consent (contract, section 6): the more restrictive state wins, and only what we did is taken back.

use ems_sync_remotes::mailchimp::{Act, Status};
use ems_sync_remotes::{Fault, Operation, Rule};
use serde_json::json;

use super::bench::{Bench, CLUB, EMAIL, NEWS, in_list, reader, row, wishing, word};

#[tokio::test]
async fn an_opt_out_in_the_ems_unsubscribes_and_a_later_opt_in_takes_that_back() {
    let bench = Bench::new().await;
    let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
    let id = bench.updated(&id, &reader("UNSUBSCRIBED", 2)).await;
    assert_eq!(bench.status(NEWS, EMAIL), Some(Status::Unsubscribed));
    let out = bench.member(NEWS, EMAIL).body["merge_fields"]["EMSOUT"].clone();
    assert!(out.as_str().unwrap().ends_with(" unsubscribed 2026-01-01T00:00:02Z"), "{out}");
    // What is said again changes nothing.
    let mark = bench.mark();
    bench.updated(&id, &reader("UNSUBSCRIBED", 2)).await;
    assert_eq!(bench.writes_since(mark), 0);
    bench.updated(&id, &reader("SUBSCRIBED", 3)).await;
    assert_eq!(bench.status(NEWS, EMAIL), Some(Status::Subscribed));
    assert_eq!(bench.member(NEWS, EMAIL).body["merge_fields"]["EMSOUT"], "");
    bench.assert_clean();
}

#[tokio::test]
async fn an_opt_out_of_e_mail_takes_a_person_out_of_every_list() {
    let bench = Bench::new().await;
    let both =
        |n| row(EMAIL, json!({"news": in_list("SUBSCRIBED", n), "club": in_list("PENDING", n)}));
    let id = bench.brought(&both(1)).await;
    let id = bench.updated(&id, &wishing(both(1), false, 5)).await;
    for list in [NEWS, CLUB] {
        assert_eq!(bench.status(list, EMAIL), Some(Status::Unsubscribed));
    }
    // The preference is taken away: nobody has opted in since.
    let id = bench.updated(&id, &both(1)).await;
    assert_eq!(bench.status(NEWS, EMAIL), Some(Status::Unsubscribed));
    // A fresh opt-in: the list with double opt-in asks once more.
    bench.updated(&id, &wishing(both(1), true, 9)).await;
    assert_eq!(bench.status(NEWS, EMAIL), Some(Status::Subscribed));
    assert_eq!(bench.status(CLUB, EMAIL), Some(Status::Pending));
    bench.assert_clean();
}

/// A change of a name in between must not make our own opt-out look like somebody else's.
#[tokio::test]
async fn a_write_in_between_does_not_hide_that_it_was_us() {
    let bench = Bench::new().await;
    let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
    let id = bench.updated(&id, &reader("UNSUBSCRIBED", 5)).await;
    // An opt-in that is older than the opt-out, with another name.
    let mut older = reader("SUBSCRIBED", 4);
    older["first_name"] = json!("Zoë");
    // An hour later: what changed by then is somebody's doing, unless the mark is written anew.
    bench.sim.configure(|settings| settings.clock_offset_seconds = 3_600);
    let id = bench.updated(&id, &older).await;
    assert_eq!(bench.status(NEWS, EMAIL), Some(Status::Unsubscribed));
    assert_eq!(bench.member(NEWS, EMAIL).body["merge_fields"]["FNAME"], "Zoë");
    bench.updated(&id, &reader("SUBSCRIBED", 6)).await;
    assert_eq!(bench.status(NEWS, EMAIL), Some(Status::Subscribed));
    bench.assert_clean();
}

/// Whoever leaves by themselves after we unsubscribed them and they came back has left by themselves.
#[tokio::test]
async fn an_own_opt_out_later_than_ours_stays() {
    let bench = Bench::new().await;
    let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
    let id = bench.updated(&id, &reader("UNSUBSCRIBED", 2)).await;
    bench.act(NEWS, EMAIL, &Act::Subscribe);
    bench.sim.configure(|settings| settings.clock_offset_seconds = 3_600);
    bench.act(NEWS, EMAIL, &Act::Unsubscribe);
    bench.updated(&id, &reader("SUBSCRIBED", 9)).await;
    assert_eq!(bench.status(NEWS, EMAIL), Some(Status::Unsubscribed));
    bench.assert_clean();
}

#[tokio::test]
async fn who_subscribes_by_a_form_though_opted_out_in_the_ems_is_unsubscribed_again() {
    let bench = Bench::new().await;
    bench.act(NEWS, EMAIL, &Act::Subscribe);
    let id = bench.brought(&reader("UNSUBSCRIBED", 2)).await;
    assert_eq!(bench.status(NEWS, EMAIL), Some(Status::Unsubscribed));
    assert!(id.contains("news"), "they carry their EMS id now: {id}");
    let member = bench.member(NEWS, EMAIL);
    assert_eq!(member.body["merge_fields"]["FNAME"], "", "nothing else of them is brought there");
    bench.assert_clean();
}

/// The clock of the remote is hours ahead or behind: opt-outs and opt-ins are compared by the EMS's.
#[tokio::test]
async fn the_clocks_need_not_agree() {
    for offset in [-7_200, 7_200] {
        let bench = Bench::new().await;
        bench.sim.configure(|settings| settings.clock_offset_seconds = offset);
        let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
        let id = bench.updated(&id, &reader("UNSUBSCRIBED", 2)).await;
        bench.updated(&id, &reader("SUBSCRIBED", 3)).await;
        assert_eq!(bench.status(NEWS, EMAIL), Some(Status::Subscribed), "{offset}");
        bench.assert_clean();
    }
}

/// They left between our look and our write: MailChimp refuses, and that is no error.
#[tokio::test]
async fn a_compliance_state_is_held_as_unsubscribed_and_no_loop() {
    let bench = Bench::new().await;
    let id = bench.brought(&reader("SUBSCRIBED", 1)).await;
    let id = bench.updated(&id, &reader("UNSUBSCRIBED", 2)).await;
    let body = json!({"title": "Member In Compliance State", "status": 400,
                      "detail": "thandi@club.org is in a compliance state due to unsubscribe"});
    let headers = vec![("Content-Type".to_owned(), "application/problem+json".to_owned())];
    let fault = Fault::Status { code: 400, headers, body: Some(body), applied: false };
    bench.sim.faults().push(Rule::new(fault.clone()).operation(Operation::Patch).times(2));
    let again = bench.updated(&id, &reader("SUBSCRIBED", 3)).await;
    assert_eq!((again, bench.status(NEWS, EMAIL)), (id, Some(Status::Unsubscribed)));
    // A new one who is refused is nobody there.
    let other = row("other@club.org", json!({"news": in_list("SUBSCRIBED", 1)}));
    bench.sim.faults().push(Rule::new(fault).operation(Operation::Replace));
    let result = bench.one(bench.create(43, &other)).await;
    assert_eq!((word(&result), super::bench::remote_id(&result).as_str()), ("held", "{}"));
    bench.assert_clean();
}
