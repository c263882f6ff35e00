//! Who may, how often, and what errors look like: the contract's sections 1, 8 and 9.

use ems_sync_remotes::chatwoot::{Locale, Resource, ServerErrorBody};
use ems_sync_remotes::{Fault, Rule};
use reqwest::Method;
use serde_json::json;

use crate::chatwoot_client::{Desk, codes, start, start_with};

const NOT_SIGNED_IN: &str = "You need to sign in or sign up before continuing.";

#[tokio::test]
async fn the_header_with_underscores_is_dropped_by_the_proxy() {
    let (sim, desk) = start().await;
    let underscored = Desk { header: "api_access_token", ..desk.clone() };
    let refused = underscored.get("contacts").await;
    assert_eq!(refused.status, 401);
    assert_eq!(refused.json(), json!({ "errors": [NOT_SIGNED_IN] }));
    assert_eq!(desk.get("contacts").await.status, 200);
    sim.configure(|settings| settings.drop_underscore_headers = false);
    assert_eq!(underscored.get("contacts").await.status, 200);
    assert_eq!(codes(&sim), ["underscore_header", "underscore_header"]);
}

#[tokio::test]
async fn a_bad_token_a_foreign_account_and_a_suspended_one_are_401() {
    let (sim, desk) = start().await;
    let error = |answer: crate::client::Answer| {
        assert_eq!(answer.status, 401, "{}", answer.text);
        answer.json()["error"].as_str().unwrap().to_owned()
    };
    assert_eq!(error(desk.with_token("x").get("contacts").await), "Invalid Access Token");
    let foreign = Desk { root: format!("{}/api/v1/accounts/2", sim.base_url()), ..desk.clone() };
    assert_eq!(
        error(foreign.get("contacts").await),
        "You are not authorized to access this account"
    );
    sim.configure(|settings| settings.suspended = true);
    assert_eq!(error(desk.get("contacts").await), "Account is suspended");
    assert_eq!(sim.violations(), []);
}

#[tokio::test]
async fn agents_and_bots_may_less_and_are_told_so_with_401() {
    let (sim, desk) = start().await;
    let id = sim.plant(Resource::Contact, json!({ "email": "a@b.org" })).unwrap().id;
    let path = format!("contacts/{id}");
    let agent = desk.with_token("ems-sync-agent-token");
    let bot = desk.with_token("ems-sync-bot-token");
    assert_eq!(agent.get(&path).await.status, 200);
    for refused in [
        agent.delete(&path).await,
        agent.get("webhooks").await,
        bot.get(&path).await,
        bot.post("contacts", json!({ "email": "c@d.org" })).await,
    ] {
        assert_eq!(refused.status, 401);
        assert_eq!(refused.json()["error"], "You are not authorized to do this action");
    }
    sim.plant(Resource::Conversation, json!({ "contact_id": id, "inbox_id": 1 })).unwrap();
    let seen = |answer: crate::client::Answer| answer.json()["data"]["meta"]["all_count"].clone();
    assert_eq!(seen(agent.get("conversations?status=all").await), 0);
    assert_eq!(seen(desk.get("conversations?status=all").await), 1);
    sim.configure(|settings| settings.agent_inboxes = vec![1]);
    assert_eq!(seen(agent.get("conversations?status=all").await), 1);
}

#[tokio::test]
async fn a_revoked_token_stays_so_until_somebody_acts() {
    let (sim, desk) = start().await;
    sim.faults().push(Rule::new(Fault::RevokeToken));
    assert_eq!(desk.get("contacts").await.status, 401);
    assert_eq!(desk.get("contacts").await.json()["error"], "Invalid Access Token");
    sim.accept_token("ems-sync-token");
    assert_eq!(desk.get("contacts").await.status, 200);
    sim.revoke_tokens();
    assert_eq!(desk.get("contacts").await.status, 401);
    let token = sim.issue_token();
    assert_eq!(desk.with_token(&token).get("contacts").await.status, 200);
}

#[tokio::test]
async fn accept_encoding_can_be_401() {
    let (_sim, desk) = start_with(|settings| settings.refuse_accept_encoding = true).await;
    assert_eq!(desk.get("contacts").await.status, 401, "the client asks for gzip");
}

#[tokio::test]
async fn what_is_not_there_is_404_also_a_method() {
    let (sim, desk) = start().await;
    for answer in [
        desk.get("contacts/17").await,
        desk.get("contacts/x").await,
        desk.get("nothings").await,
        desk.send(Method::DELETE, "contacts", None).await,
    ] {
        assert_eq!(answer.status, 404);
        assert_eq!(answer.json(), json!({ "error": "Resource could not be found" }));
    }
    assert_eq!(codes(&sim), ["unknown_path", "method_not_allowed"]);
}

#[tokio::test]
async fn the_limits_are_per_clock_minute_and_answer_without_json_or_retry_after() {
    let (sim, desk) = start_with(|settings| settings.searches_per_minute = 1).await;
    // Three in two minutes at most: one of them is too many.
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(desk.get("contacts/search?q=x").await);
    }
    let refused = answers.iter().find(|answer| answer.status == 429).unwrap();
    assert_eq!(refused.text, "Retry later");
    assert_eq!(refused.header("content-type"), "text/plain");
    assert!(refused.headers.get("retry-after").is_none());
    assert_eq!(desk.find("email", "x@y.org").await, [0; 0], "filters are in no such bucket");
    sim.configure(|settings| settings.clock_offset_seconds = 120);
    assert_eq!(desk.get("contacts/search?q=x").await.status, 200, "another minute");
    sim.configure(|settings| settings.requests_per_minute = 1);
    let statuses = [desk.get("contacts").await, desk.get("contacts").await, desk.get("x").await];
    assert!(statuses.iter().any(|answer| answer.status == 429));
    sim.configure(|settings| settings.safelisted = true);
    assert_eq!(desk.get("contacts").await.status, 200);
}

#[tokio::test]
async fn scripted_errors_have_chatwoots_shapes() {
    let (sim, desk) = start().await;
    let scripted = async |code: u16| {
        sim.faults().push(Rule::new(Fault::status(code)));
        let answer = desk.get("contacts").await;
        assert_eq!(answer.status.as_u16(), code);
        answer
    };
    assert_eq!(scripted(401).await.json()["error"], "Invalid Access Token");
    assert_eq!(scripted(404).await.json()["error"], "Resource could not be found");
    assert_eq!(scripted(429).await.text, "Retry later");
    assert!(scripted(500).await.header("content-type").starts_with("text/html"));
    assert!(scripted(502).await.text.contains("nginx"));
    sim.configure(|settings| settings.server_error = ServerErrorBody::Json);
    let body = json!({ "status": 500, "error": "Internal Server Error" });
    assert_eq!(scripted(500).await.json(), body);
}

#[tokio::test]
async fn validation_speaks_the_accounts_language() {
    let (sim, desk) = start().await;
    let answer = desk.post("contacts", json!({ "email": "no", "phone_number": "1" })).await;
    assert_eq!(answer.status, 422);
    let body = json!({ "message": "Email is invalid, Phone number is invalid", "attributes": ["email", "phone_number"] });
    assert_eq!(answer.json(), body);
    sim.configure(|settings| settings.locale = Locale::Portuguese);
    let other = desk.post("contacts", json!({ "email": "no", "phone_number": "1" })).await.json();
    assert_eq!(other["attributes"], body["attributes"]);
    assert_ne!(other["message"], body["message"]);
}

#[tokio::test]
async fn garbage_is_refused_without_harm() {
    let (sim, desk) = start().await;
    let raw = async |media_type: &str, body: String| {
        let request = desk.http.post(format!("{}/contacts", desk.root));
        let request = request.header("Api-Access-Token", &desk.token);
        request.header("Content-Type", media_type).body(body).send().await.unwrap().status()
    };
    assert_eq!(raw("application/json", "{".to_owned()).await, 400);
    assert_eq!(raw("application/json", "[".repeat(5000)).await, 400);
    assert_eq!(raw("application/json", "[1]".to_owned()).await, 200, "an empty contact");
    assert_eq!(raw("text/plain", "name=x".to_owned()).await, 200, "an empty contact");
    assert_eq!(raw("application/json", "x".repeat(2 << 20)).await, 413);
    for path in
        ["contacts?page=-1&sort=%00", "contacts?page=99999999999999999999", "%FF", "contacts//"]
    {
        assert!(!desk.get(path).await.status.is_server_error(), "{path}");
    }
    let odd = json!({ "name": [], "email": {}, "custom_attributes": 7, "blocked": "x" });
    assert_eq!(desk.post("contacts", odd).await.status, 200);
    for payload in [json!(null), json!([null]), json!([[]]), json!([{ "attribute_key": 7 }])] {
        let answer = desk.post("contacts/filter", json!({ "payload": payload })).await;
        assert_eq!(answer.status, 422, "{payload}");
    }
    let merge = json!({ "base_contact_id": "x" });
    assert_eq!(desk.post("actions/contact_merge", merge).await.status, 404);
    assert!(desk.get("custom_attribute_definitions?attribute_model=x").await.json().is_array());
    assert!(!sim.counters().by_status.contains_key(&500));
}
