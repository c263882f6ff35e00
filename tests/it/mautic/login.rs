//! Contract, section 1: one grant at a time, renewed before its end, once after a 401, and never an entity's fault.

use std::time::Duration;

use ems_sync::remote::mautic::Credentials;
use ems_sync::remote::{FailureClass, Remote as _};
use ems_sync_remotes::mautic::{AuthorizationHeader, OauthErrors};
use ems_sync_remotes::{Fault, Garbage, Operation, Rule};
use secrecy::SecretString;
use serde_json::json;

use super::bench::{Bench, answers, oauth, word, words};

fn basic(password: &str) -> Credentials {
    Credentials::Basic {
        username: "ems-sync".to_owned(),
        password: SecretString::from(password.to_owned()),
    }
}

#[tokio::test]
async fn fifty_pushes_at_once_share_one_grant() {
    let bench = Bench::start(|_| {}, |http| http.concurrency = 50).await;
    let slow = Fault::delay(Duration::from_millis(100));
    bench.sim.faults().push(Rule::new(slow).operation(Operation::Login));
    let pushes = (1..=50).map(|id| bench.one(bench.create(id, "Nkosi")));
    for result in futures_util::future::join_all(pushes).await {
        assert_eq!(word(&result), "held");
    }
    assert_eq!(bench.sim.counters().logins, 1);
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_bad_client_is_a_matter_of_the_configuration_and_tried_once() {
    for errors in [OauthErrors::Envelope, OauthErrors::Raw] {
        let bench = Bench::with(|settings| settings.oauth_errors = errors).await;
        let bench = bench.as_client(oauth("wrong"));
        let results = bench.many((1..=80).map(|id| bench.create(id, "Nkosi")).collect()).await;
        assert_eq!(words(&results), [("configuration", 80)].into());
        assert_eq!(word(&bench.one(bench.create(1, "Nkosi")).await), "configuration");
        assert_eq!(bench.sim.counters().logins + failed_logins(&bench), 1);
        assert!(!format!("{results:?}").contains("wrong"));
        assert_eq!(bench.requests(), []);
    }
}

fn failed_logins(bench: &Bench) -> u64 {
    let logins = bench.sim.journal().into_iter().filter(|e| e.operation == Operation::Login);
    logins.count() as u64 - bench.sim.counters().logins
}

#[tokio::test]
async fn a_token_is_renewed_before_its_end() {
    let bench = Bench::with(|settings| settings.token_life_seconds = 2).await;
    let id = bench.plant(1, "Nkosi");
    let mut pace = tokio::time::interval(Duration::from_millis(5));
    while bench.sim.counters().logins < 3 {
        pace.tick().await;
        assert_eq!(word(&bench.one(bench.update(1, id, "Nkosi")).await), "held");
    }
    assert_eq!(bench.sim.counters().by_status.get(&401), None, "no request met a dead token");
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_revoked_token_is_renewed_once_whatever_is_under_way() {
    let bench = Bench::new().await;
    let id = bench.made(7, "Nkosi").await;
    bench.sim.revoke_tokens();
    let results = bench.many((10..=40).map(|id| bench.create(id, "Nkosi")).collect()).await;
    assert_eq!(words(&results), [("held", 31)].into());
    assert_eq!(bench.sim.counters().logins, 2);
    for operation in [Operation::Find, Operation::Patch] {
        bench.sim.faults().push(Rule::new(Fault::RevokeToken).operation(operation));
        assert_eq!(word(&bench.one(bench.update(7, id, "New")).await), "held", "{operation:?}");
    }
    bench.assert_no_violation();
}

/// `FastCGI` drops the header: every token is refused, which looks like a wrong one for ever.
#[tokio::test]
async fn a_header_that_does_not_arrive_is_named_as_a_cause() {
    let bench = Bench::with(|s| s.authorization = AuthorizationHeader::Stripped).await;
    let result = bench.one(bench.create(7, "Nkosi")).await;
    assert_eq!(word(&result), "authentication");
    assert!(format!("{result:?}").contains("does not pass `Authorization` on"));
    assert_eq!(bench.requests().len(), 2, "one new token, then it is final");
}

#[tokio::test]
async fn a_login_page_instead_of_a_token_is_a_mautic_that_is_away() {
    for fault in [
        Fault::garbage(Garbage::Html),
        Fault::garbage(Garbage::EmptyBody),
        Fault::status(502),
        Fault::status(404),
        Fault::Drop,
        answers(400, json!("<html>portal</html>")),
        answers(200, json!({"access_token": "", "expires_in": 3600})),
        answers(200, json!({"access_token": "x"})),
    ] {
        let bench = Bench::new().await;
        bench.sim.faults().push(Rule::new(fault.clone()).operation(Operation::Login).unlimited());
        assert_eq!(word(&bench.one(bench.create(7, "Nkosi")).await), "transient", "{fault:?}");
        assert_eq!(bench.requests(), []);
    }
}

#[tokio::test]
async fn basic_authentication_serves_where_it_is_on() {
    let bench = Bench::with(|settings| settings.basic_auth = true).await;
    let right = bench.as_client(basic("ems-sync-password"));
    assert_eq!(word(&right.one(right.create(7, "Nkosi")).await), "held");
    let wrong = bench.as_client(basic("wrong"));
    assert_eq!(word(&wrong.one(wrong.create(8, "Nkosi")).await), "authentication");
    assert_eq!(bench.sim.counters().logins, 0);
    bench.sim.configure(|settings| settings.basic_auth = false);
    let result = right.one(right.create(8, "Nkosi")).await;
    assert_eq!(word(&result), "configuration");
    assert!(format!("{result:?}").contains("access_denied"), "{result:?}");
    bench.sim.configure(|settings| settings.api_enabled = false);
    let result = right.one(right.create(8, "Nkosi")).await;
    assert!(format!("{result:?}").contains("api_disabled"), "{result:?}");
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_probe_says_whether_mautic_answers_and_takes_our_credentials() {
    let bench = Bench::new().await;
    bench.client.probe().await.unwrap();
    bench.sim.faults().push(Rule::new(Fault::status(503)).operation(Operation::Info));
    assert_eq!(bench.client.probe().await.unwrap_err().class, FailureClass::Transient);
    let wrong = bench.as_client(oauth("wrong"));
    assert_eq!(wrong.client.probe().await.unwrap_err().class, FailureClass::Configuration);
    assert_eq!(bench.writes(), 0);
    bench.assert_no_violation();
}
