//! Section 10: webhooks, and what they would send.

use ems_sync_remotes::mailchimp::{Act, Delivery};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{ADA, LIST, codes, start};

fn path() -> String {
    format!("/lists/{LIST}/webhooks")
}

fn hook(url: &str) -> Value {
    json!({
        "url": url,
        "events": { "subscribe": true, "unsubscribe": true, "profile": true, "cleaned": true,
                    "upemail": true, "campaign": false },
        "sources": { "user": true, "admin": true, "api": false },
    })
}

fn form(delivery: &Delivery, name: &str) -> String {
    let mut pairs = form_urlencoded::parse(delivery.body.as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
}

#[tokio::test]
async fn the_secret_is_told_once_and_signs_what_people_do() {
    let (sim, api) = start().await;
    let made = api.post(&path(), hook("https://ems.club.org/hook")).await.json();
    assert_eq!(made["signing_enabled"], true);
    assert!(made["signing_secret"].as_str().unwrap().starts_with("mcsec_"));
    let listed = api.get(&path()).await.json();
    assert_eq!(listed["webhooks"][0]["id"], made["id"]);
    assert!(listed["webhooks"][0].get("signing_secret").is_none());
    api.upsert(ADA, "42").await;
    assert_eq!(sim.take_webhooks(), [], "our own writes do not come back");
    sim.act(LIST, ADA, &Act::Unsubscribe).unwrap();
    let told = sim.take_webhooks();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].url, "https://ems.club.org/hook");
    assert_eq!(form(&told[0], "type"), "unsubscribe");
    assert_eq!(form(&told[0], "data[email]"), ADA);
    assert_eq!(form(&told[0], "data[merges][EMSID]"), "42");
    assert_eq!(form(&told[0], "fired_at").len(), "2026-01-02 03:04:05".len());
    assert!(told[0].headers.iter().any(|(name, _)| name == "X-Mailchimp-Signature"));
    assert_eq!(sim.take_webhooks(), []);
    assert_eq!(sim.violations(), []);
}

#[tokio::test]
async fn each_kind_of_event_is_told() {
    let (sim, api) = start().await;
    api.post(&path(), hook("https://ems.club.org/hook")).await;
    let act = |who: &str, act: Act| sim.act(LIST, who, &act).unwrap();
    act(ADA, Act::Subscribe);
    sim.plant(LIST, &json!({ "email_address": ADA, "vip": true })).unwrap();
    act(ADA, Act::ChangeAddress { email_address: "b@club.org".to_owned() });
    act("b@club.org", Act::Clean);
    let told = sim.take_webhooks();
    let kinds: Vec<String> = told.iter().map(|delivery| form(delivery, "type")).collect();
    assert_eq!(kinds, ["subscribe", "profile", "upemail", "cleaned"]);
    assert_eq!(form(&told[2], "data[old_email]"), ADA);
    assert_eq!(form(&told[2], "data[new_email]"), "b@club.org");
}

#[tokio::test]
async fn sources_that_are_not_named_are_on_and_a_url_has_one_webhook() {
    let (sim, api) = start().await;
    sim.configure(|settings| settings.signs_webhooks = false);
    let made = api.post(&path(), json!({ "url": "https://ems.club.org/hook" })).await.json();
    assert!(made.get("signing_secret").is_none());
    api.upsert(ADA, "42").await;
    assert_eq!(sim.take_webhooks().len(), 1, "our own write comes back");
    assert_eq!(api.post(&path(), hook("https://ems.club.org/hook")).await.status, 400);
    assert_eq!(api.post(&path(), hook("ftp://ems.club.org")).await.status, 400);
    assert_eq!(codes(&sim), ["webhook_echoes_api", "duplicate_webhook"]);
    let one = format!("{}/{}", path(), made["id"].as_str().unwrap());
    let off = json!({ "sources": { "api": false } });
    assert_eq!(api.send(Method::PATCH, &one, Some(off)).await.json()["sources"]["api"], false);
    assert_eq!(api.delete(&one).await.status, 204);
    assert_eq!(api.delete(&one).await.status, 404);
}

#[tokio::test]
async fn they_are_sent_when_a_test_asks_for_it() {
    let (sim, api) = start().await;
    // Any server is a receiver; this one writes down what came.
    let (receiver, _) = crate::client::start().await;
    api.post(&path(), hook(&format!("{}/hook?secret=1", receiver.base_url()))).await;
    sim.act(LIST, ADA, &Act::Subscribe).unwrap();
    let sent = crate::client::soon(sim.deliver_webhooks()).await;
    let [(delivery, Ok(status))] = sent.as_slice() else { panic!("{sent:?}") };
    let received = &receiver.journal()[0];
    assert_eq!(Some(status.as_u16()), received.status);
    assert_eq!((received.method.as_str(), received.path.as_str()), ("POST", "/hook"));
    assert_eq!(received.body_bytes, delivery.body.len());
    receiver.shutdown().await;
    assert!(crate::client::soon(delivery.send()).await.is_err());
    let secure = Delivery { url: "https://club.org".to_owned(), ..delivery.clone() };
    assert!(secure.send().await.is_err(), "plain HTTP only");
}
