//! Sections 1, 2 and 9: who is let in, how many at once, and what is there.

use ems_sync_remotes::mailchimp::ThrottledAnswer;
use ems_sync_remotes::{Fault, Rule};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{ADA, Api, LIST, assert_problem, codes, member, start, upsert};
use crate::client::builder;

#[tokio::test]
async fn the_key_is_a_password_or_a_bearer() {
    let (sim, mut api) = start().await;
    assert_eq!(api.get("/ping").await.json(), json!({ "health_status": "Everything's Chimpy!" }));
    let http = builder().build().unwrap();
    let root = format!("{}/3.0/", sim.base_url());
    let account = http.get(&root).bearer_auth(sim.api_key()).send().await.unwrap();
    let account: Value = account.json().await.unwrap();
    assert_eq!(account["account_id"], sim.account_id());
    for name in ["account_name", "login_id", "email", "role"] {
        assert!(account[name].is_string(), "{name}");
    }
    api.key = "other-us19".to_owned();
    assert_problem(&api.get("/ping").await, 401, "API Key Invalid");
    let stranger = http.get(&root).send().await.unwrap();
    assert_eq!(stranger.status(), 401);
}

#[tokio::test]
async fn a_revoked_key_stays_revoked() {
    let (sim, api) = start().await;
    sim.faults().push(Rule::new(Fault::RevokeToken));
    assert_problem(&api.get("/ping").await, 401, "API Key Invalid");
    assert_problem(&api.get("/ping").await, 401, "API Key Invalid");
    sim.configure(|settings| settings.key_revoked = false);
    assert_eq!(api.get("/ping").await.status, 200);
}

#[tokio::test]
async fn a_deactivated_account_is_a_403_with_json() {
    let (sim, api) = start().await;
    sim.configure(|settings| settings.deactivated = true);
    assert_problem(&api.get("/ping").await, 403, "Forbidden");
}

/// Ten requests that hang until they are dropped.
async fn crowd(sim: &ems_sync_remotes::Simulator<ems_sync_remotes::mailchimp::MailChimp>) {
    sim.faults().push(Rule::new(Fault::Hang { ms: None }).route("/3.0/ping").times(10));
    for _ in 0..10 {
        let api = Api::new(sim);
        tokio::spawn(async move { api.try_send(Method::GET, "/ping", None).await });
    }
    sim.wait_until(|progress, _| progress.started == 10).await;
}

#[tokio::test]
async fn the_eleventh_request_at_once_is_throttled_not_always_with_json() {
    let (sim, api) = start().await;
    crowd(&sim).await;
    let first = api.get("/").await;
    assert_problem(&first, 429, "TooManyRequests");
    assert!(first.headers.get("retry-after").is_none());
    let second = api.get("/").await;
    assert_eq!((second.status.as_u16(), second.header("content-type")), (403, "text/html"));
    let third = api.get("/").await;
    assert_eq!((third.status.as_u16(), third.header("content-type")), (429, "text/html"));
    sim.configure(|settings| settings.throttled_answer = ThrottledAnswer::BareForbidden);
    assert_eq!(api.get("/").await.status, 403);
    assert_eq!(codes(&sim), ["too_many_connections"; 4]);
    let throttled = &sim.journal()[10];
    assert_eq!((throttled.status, throttled.applied), (Some(429), false));
}

#[tokio::test]
async fn other_apps_of_the_account_take_places_too() {
    let (sim, api) = start().await;
    sim.configure(|settings| settings.foreign_connections = 10);
    assert_problem(&api.put(ADA, upsert(ADA, "42")).await, 429, "TooManyRequests");
    assert_eq!(sim.violations(), [], "that is not the client's fault");
    sim.configure(|settings| settings.foreign_connections = 9);
    api.upsert(ADA, "42").await;
}

#[tokio::test]
async fn a_client_that_gives_up_frees_no_place() {
    let (sim, api) = start().await;
    sim.configure(|settings| settings.max_connections = 1);
    sim.faults().push(Rule::new(Fault::Delay { ms: 600_000 }).route("/3.0/ping"));
    let slow = {
        let api = api.clone();
        tokio::spawn(async move { api.try_send(Method::GET, "/ping", None).await })
    };
    sim.wait_until(|progress, _| progress.started == 1).await;
    slow.abort();
    sim.wait_until(|_, entries| entries[0].abandoned).await;
    assert_eq!(api.get("/").await.status, 429);
}

#[tokio::test]
async fn scripted_errors_have_the_shapes_of_the_remote() {
    let (sim, api) = start().await;
    for (code, json) in [(429, true), (403, false), (500, true), (503, false), (404, true)] {
        sim.faults().push(Rule::new(Fault::status(code)));
        let answer = api.get("/ping").await;
        assert_eq!(answer.status.as_u16(), code);
        assert_eq!(answer.header("content-type") == "application/problem+json", json, "{code}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_a_breach_and_a_problem() {
    let (sim, api) = start().await;
    assert_problem(&api.get("/campaigns").await, 404, "Resource Not Found");
    assert_problem(&api.delete("/ping").await, 405, "Method Not Allowed");
    assert_eq!(codes(&sim), ["unknown_path", "method_not_allowed"]);
    assert_problem(&api.get("/lists/0000000000").await, 404, "Resource Not Found");
    assert_eq!(sim.violations().len(), 2, "a list may be gone");
}

#[tokio::test]
async fn no_body_is_too_odd() {
    let (_sim, api) = start().await;
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    for body in ["", "{", "[]", "7", "null", "\u{0}", &deep, "{\"merge_fields\":[1]}"] {
        for (method, path) in [
            (Method::PUT, member(ADA)),
            (Method::PATCH, member(ADA)),
            (Method::POST, format!("/lists/{LIST}/members")),
            (Method::POST, format!("/lists/{LIST}")),
            (Method::POST, format!("{}/tags", member(ADA))),
            (Method::POST, "/batches".to_owned()),
            (Method::POST, format!("/lists/{LIST}/webhooks")),
            (Method::POST, format!("/lists/{LIST}/merge-fields")),
        ] {
            let answer = api.try_send(method, &path, Some(body.to_owned())).await.unwrap();
            assert!(answer.status.is_client_error(), "{path} {body}: {}", answer.text);
        }
    }
    let answer = api.try_send(Method::PUT, &member(ADA), Some("{".to_owned())).await.unwrap();
    assert_problem(&answer, 400, "JSONParseException");
}
