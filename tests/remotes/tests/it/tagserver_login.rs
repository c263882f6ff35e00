//! The contract's chapter "Login".

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ems_sync_remotes::tagserver::TokenExpiry;
use ems_sync_remotes::{Fault, Operation, Rule};
use serde_json::{Value, json};

use crate::client::{Answer, Api, start, start_with};

async fn login(api: &Api) -> Answer {
    let body = json!({
        "username": "ems-sync", "password": "ems-sync-password", "rememberMe": false,
    });
    api.post("/api/authenticate", body).await
}

fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

fn assert_unauthorised(answer: &Answer) {
    assert_eq!(answer.status, 401);
    assert_eq!(answer.text, "");
    assert_eq!(answer.header("www-authenticate"), "Bearer error=\"invalid_token\"");
}

#[tokio::test]
async fn a_login_gives_a_token_that_opens_the_api() {
    let (sim, _) = start().await;
    let mut api = Api::stranger(&sim);
    let answer = login(&api).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json().as_object().unwrap().len(), 1, "the body has no expiry");
    let token = answer.json()["id_token"].as_str().unwrap().to_owned();
    let claims = claims(&token);
    assert_eq!(
        claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(),
        30 * 60,
        "{claims}"
    );
    api.token = Some(token);
    assert_eq!(api.get("/api/races").await.status, 200);
    assert_eq!((sim.counters().logins, sim.counters().logins_granted), (1, 1));
}

#[tokio::test]
async fn bad_credentials_are_a_401_problem() {
    let (sim, _) = start().await;
    let api = Api::stranger(&sim);
    let answer =
        api.post("/api/authenticate", json!({ "username": "ems-sync", "password": "wrong" })).await;
    answer.assert_problem(401, "error.http.401");
    assert_eq!(answer.json()["detail"], "Bad credentials");
    sim.faults().push(Rule::new(Fault::status(401)).operation(Operation::Login));
    login(&api).await.assert_problem(401, "error.http.401");
    assert_eq!((sim.counters().logins, sim.counters().logins_granted), (2, 0));
}

#[tokio::test]
async fn a_login_without_password_is_a_validation_problem() {
    let (sim, _) = start().await;
    let api = Api::stranger(&sim);
    let answer = api.post("/api/authenticate", json!({ "username": "ems-sync" })).await;
    answer.assert_problem(400, "error.validation");
    assert_eq!(answer.json()["fieldErrors"][0]["field"], "password");
}

#[tokio::test]
async fn a_bearer_on_the_login_call_is_a_violation_and_an_old_one_a_401() {
    let (sim, mut api) = start().await;
    assert_eq!(login(&api).await.status, 200);
    api.token = Some("old.bearer.token".to_owned());
    assert_unauthorised(&login(&api).await);
    assert_eq!(sim.counters().violations_of("bearer_on_login").len(), 2);
}

#[tokio::test]
async fn the_probe_tells_whether_the_token_is_valid() {
    let (sim, api) = start().await;
    assert_eq!(api.get("/api/authenticate").await.status, 204);
    sim.new_signing_secret();
    assert_unauthorised(&api.get("/api/authenticate").await);
    assert_eq!(Api::stranger(&sim).get("/api/authenticate").await.status, 401);
}

#[tokio::test]
async fn an_expired_token_gets_401_with_an_empty_body() {
    let (sim, api) = start_with(|settings| settings.token_life_seconds = 100).await;
    assert_eq!(api.get("/api/races").await.status, 200);
    sim.configure(|settings| settings.clock_offset_seconds = 101);
    assert_unauthorised(&api.get("/api/races").await);
}

#[tokio::test]
async fn a_token_may_say_nothing_about_its_expiry_and_expire_all_the_same() {
    let (sim, api) = start_with(|settings| {
        settings.token_expiry = TokenExpiry::Unstated;
        settings.token_life_seconds = 100;
    })
    .await;
    assert!(claims(api.token.as_ref().unwrap()).get("exp").is_none());
    assert_eq!(api.get("/api/races").await.status, 200);
    sim.configure(|settings| settings.clock_offset_seconds = 101);
    assert_unauthorised(&api.get("/api/races").await);
}

#[tokio::test]
async fn a_forged_or_absent_token_opens_nothing() {
    let (sim, api) = start().await;
    let token = api.token.clone().unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    let forged = Api { token: Some(format!("{signed}.{first}{}", &signature[1..])), ..api.clone() };
    assert_unauthorised(&forged.get("/api/races").await);
    assert_eq!(Api::stranger(&sim).get("/api/races").await.status, 401);
    let refused = Api::stranger(&sim).post("/api/organisations", json!({})).await;
    assert_eq!(refused.status, 401);
}

#[tokio::test]
async fn a_new_signing_secret_revokes_every_token_early() {
    let (sim, api) = start().await;
    sim.faults().push(Rule::new(Fault::NewSecret).nth(2));
    assert_eq!(api.get("/api/races").await.status, 200);
    assert_unauthorised(&api.get("/api/races").await);
    assert_eq!(login(&Api::stranger(&sim)).await.status, 200);
}

#[tokio::test]
async fn a_revoked_token_is_refused_and_a_new_login_helps() {
    let (sim, api) = start().await;
    let other = Api { token: Some(sim.issue_token()), ..api.clone() };
    sim.faults().push(Rule::new(Fault::RevokeToken).operation(Operation::List));
    assert_unauthorised(&api.get("/api/races").await);
    assert_unauthorised(&api.get("/api/races").await);
    assert_eq!(other.get("/api/races").await.status, 200);
}

#[tokio::test]
async fn time_is_told_by_the_servers_clock() {
    let (sim, api) = start_with(|settings| settings.clock_offset_seconds = 7200).await;
    let date = api.get("/api/races").await.header("date").to_owned();
    let date = jiff::fmt::rfc2822::parse(&date).unwrap().timestamp();
    let ahead = date.as_second() - jiff::Timestamp::now().as_second();
    assert!((7190..=7200).contains(&ahead), "{ahead}");
    let expiry = claims(&sim.issue_token())["exp"].as_i64().unwrap();
    assert!((1795..=1805).contains(&(expiry - date.as_second())), "by the same clock");
}

#[tokio::test]
async fn the_instance_is_told_to_everybody_where_the_server_has_it() {
    let (sim, _) = start().await;
    let api = Api::stranger(&sim);
    let info = api.get("/management/info").await;
    assert_eq!(info.status, 200);
    assert_eq!(info.json()["build"]["instance"], sim.instance().to_string());
    sim.configure(|settings| settings.publish_instance = false);
    let build = api.get("/management/info").await.json()["build"].clone();
    assert!(build.is_object() && build.get("instance").is_none(), "{build}");
}
