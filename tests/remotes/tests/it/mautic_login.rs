//! The contract's section 1, and the limit of section 8.

use ems_sync_remotes::mautic::{AuthorizationHeader, OauthErrors, Role};
use ems_sync_remotes::{Fault, Operation, Rule};
use reqwest::Method;
use serde_json::json;

use crate::client::{Answer, Api};
use crate::mautic_client::{Site, assert_refused, person, start, start_with};

const FORM: &str = "application/x-www-form-urlencoded";

async fn login(site: &Site, secret: &str) -> Answer {
    let body = format!("grant_type=client_credentials&client_id=1_ems-sync&client_secret={secret}");
    let stranger = Api { token: None, ..site.api.clone() };
    stranger.send(Method::POST, "/oauth/v2/token", FORM, Some(body)).await.unwrap()
}

#[tokio::test]
async fn client_credentials_give_a_token_and_no_refresh_token() {
    let mut site = start_with(|settings| settings.token_life_seconds = 7200).await;
    let answer = login(&site, "ems-sync-secret").await;
    assert_eq!(answer.status, 200);
    let body = answer.json();
    assert_eq!(body["expires_in"], 7200);
    assert_eq!((&body["token_type"], &body["scope"]), (&json!("bearer"), &json!("")));
    assert!(body.get("refresh_token").is_none());
    site.api.token = Some(body["access_token"].as_str().unwrap().to_owned());
    assert_eq!(site.get("/contacts").await.status, 200);
    assert_eq!((site.sim.counters().logins, site.sim.counters().logins_granted), (1, 1));
}

#[tokio::test]
async fn a_bad_client_is_a_400_in_either_shape() {
    let site = start().await;
    let answer = login(&site, "wrong").await;
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.json(),
        json!({ "errors": [{
            "message": "The client credentials are invalid", "code": 400, "type": "invalid_client",
        }] })
    );
    site.sim.configure(|settings| settings.oauth_errors = OauthErrors::Raw);
    let answer = login(&site, "wrong").await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["error"], "invalid_client");
    assert!(answer.json()["error_description"].is_string());
}

#[tokio::test]
async fn unknown_and_expired_tokens_are_401_of_one_type_with_other_words() {
    let mut site = start_with(|settings| settings.token_life_seconds = 100).await;
    site.sim.configure(|settings| settings.clock_offset_seconds = 101);
    let expired = site.get("/contacts").await;
    assert_refused(&expired, 401);
    assert_eq!(expired.json()["errors"][0]["message"], "The access token provided has expired.");
    site.api.token = Some("made-up".to_owned());
    let unknown = site.get("/contacts").await;
    assert_refused(&unknown, 401);
    assert_eq!(unknown.json()["errors"][0]["type"], "invalid_grant");
    site.api.token = None;
    assert_refused(&site.get("/contacts").await, 401);
}

#[tokio::test]
async fn a_revoked_token_is_refused_and_others_are_not() {
    let mut site = start().await;
    site.sim.faults().push(Rule::new(Fault::RevokeToken).operation(Operation::List));
    assert_refused(&site.get("/contacts").await, 401);
    assert_refused(&site.get("/contacts").await, 401);
    site.api.token = Some(site.sim.issue_token());
    assert_eq!(site.get("/contacts").await.status, 200);
    site.sim.revoke_tokens();
    assert_refused(&site.get("/contacts").await, 401);
}

#[tokio::test]
async fn a_token_in_the_query_or_body_works_and_is_a_violation() {
    let site = start().await;
    let token = site.api.token.clone().unwrap();
    let stranger = Api { token: None, ..site.api.clone() };
    let path = format!("/api/contacts?access_token={token}");
    assert_eq!(stranger.get(&path).await.status, 200);
    let mut body = person("1");
    body["access_token"] = json!(token);
    assert_eq!(stranger.post("/api/contacts/new", body).await.status, 201);
    assert_eq!(site.violations("token_exposed"), 2);
}

#[tokio::test]
async fn an_authorization_that_fastcgi_strips_is_a_lasting_401() {
    let site = start_with(|settings| settings.authorization = AuthorizationHeader::Stripped).await;
    assert_refused(&site.get("/contacts").await, 401);
    assert_refused(&site.get("/contacts").await, 401);
}

#[tokio::test]
async fn basic_authentication_is_off_until_somebody_turns_it_on() {
    let site = start().await;
    let get = |password: &'static str| {
        let request = site.api.http.get(format!("{}/api/contacts", site.api.base));
        request.basic_auth("ems-sync", Some(password)).send()
    };
    let refused = get("ems-sync-password").await.unwrap();
    assert_eq!(refused.status(), 403);
    assert_eq!(
        refused.json::<serde_json::Value>().await.unwrap()["errors"][0]["type"],
        "access_denied"
    );
    site.sim.configure(|settings| settings.basic_auth = true);
    assert_eq!(get("ems-sync-password").await.unwrap().status(), 200);
    assert_eq!(get("wrong").await.unwrap().status(), 401);
}

#[tokio::test]
async fn an_api_that_is_off_and_a_role_that_may_not_are_403() {
    let site = start_with(|settings| settings.api_enabled = false).await;
    let off = site.get("/contacts").await;
    assert_refused(&off, 403);
    assert_eq!(off.json()["errors"][0]["type"], "api_disabled");
    site.sim.configure(|settings| {
        settings.api_enabled = true;
        settings.role = Role::ViewOnly;
    });
    assert_eq!(site.get("/contacts").await.status, 200);
    assert_refused(&site.post("/contacts/new", person("1")).await, 403);
    site.sim.configure(|settings| settings.role = Role::Nothing);
    assert_refused(&site.get("/contacts").await, 403);
}

#[tokio::test]
async fn every_answer_of_the_api_tells_the_version() {
    let site = start().await;
    assert_eq!(site.get("/contacts").await.header("mautic-version"), "5.2.1");
    assert_eq!(site.get("/contacts/1").await.header("mautic-version"), "5.2.1");
}

#[tokio::test]
async fn the_limit_is_per_hour_and_says_how_long() {
    let site = start_with(|settings| settings.rate_limit_per_hour = 2).await;
    let first = site.get("/contacts").await;
    assert_eq!((first.status.as_u16(), first.header("x-ratelimit-remaining")), (200, "1"));
    assert_eq!(site.get("/contacts").await.status, 200);
    let throttled = site.get("/contacts").await;
    assert_refused(&throttled, 429);
    assert_eq!(throttled.header("x-ratelimit-limit"), "2");
    let reset: i64 = throttled.header("x-ratelimit-reset").parse().unwrap();
    let wait = reset - jiff::Timestamp::now().as_second();
    assert!((3500..=3600).contains(&wait), "{wait}");
    assert_eq!(login(&site, "ems-sync-secret").await.status, 200, "tokens are not counted");
    site.sim.configure(|settings| {
        settings.clock_offset_seconds = 3600;
        settings.token_life_seconds = 100_000;
    });
    assert_eq!(site.get("/contacts").await.status, 200);
}
