//! Webhooks and what people do: the contract's sections 0 and 6, and the control API's acts.

use ems_sync_remotes::Simulator;
use ems_sync_remotes::chatwoot::{Author, Chatwoot, Delivery, Jobs, Resource, signature};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::chatwoot_client::{codes, start, start_with};
use crate::client::{builder, soon};

const EVENTS: [&str; 5] = [
    "contact_created",
    "contact_updated",
    "conversation_created",
    "conversation_updated",
    "conversation_status_changed",
];

fn hook(sim: &Simulator<Chatwoot>, url: &str) {
    let row = json!({ "url": url, "secret": "whsec_test", "subscriptions": EVENTS });
    sim.plant(Resource::Webhook, row).unwrap();
}

fn told(deliveries: &[Delivery]) -> Vec<(&str, Value)> {
    let body = |one: &Delivery| serde_json::from_str(&one.body).unwrap();
    deliveries.iter().map(|one| (one.event.as_str(), body(one))).collect()
}

fn changed(body: &Value) -> Vec<&String> {
    let changes = body["changed_attributes"].as_array().unwrap();
    changes.iter().flat_map(|change| change.as_object().unwrap().keys()).collect()
}

#[tokio::test]
async fn webhooks_are_managed_inside_payload() {
    let (sim, desk) = start().await;
    let body =
        json!({ "url": "https://sync.example.org/x", "name": "ems", "subscriptions": EVENTS });
    let created = desk.post("webhooks", body.clone()).await.json();
    let webhook = &created["payload"]["webhook"];
    assert!(webhook["secret"].is_string());
    let list = desk.get("webhooks").await.json();
    assert_eq!(&list["payload"]["webhooks"][0], webhook);
    let path = format!("webhooks/{}", webhook["id"]);
    let less = json!({ "subscriptions": ["contact_updated"] });
    let patched = desk.send(Method::PATCH, &path, Some(less)).await.json();
    assert_eq!(patched["payload"]["webhook"]["subscriptions"], json!(["contact_updated"]));
    assert_eq!(sim.violations(), []);
    let again = desk.post("webhooks", body).await;
    assert_eq!(again.status, 422);
    assert_eq!(again.json()["attributes"], json!(["url"]));
    let deleted = json!({ "url": "https://x.org", "subscriptions": ["contact_deleted"] });
    assert_eq!(desk.post("webhooks", deleted).await.status, 422);
    assert_eq!(codes(&sim), ["webhook_not_adopted", "unknown_subscription"]);
    assert_eq!(desk.delete(&path).await.status, 200);
    assert_eq!(desk.get("webhooks").await.json()["payload"]["webhooks"], json!([]));
}

#[tokio::test]
async fn our_own_writes_echo_and_repetitions_do_not() {
    let (sim, desk) = start().await;
    hook(&sim, "https://sync.example.org/x");
    let id = desk.create("1", json!({ "name": "Jan" })).await;
    let deliveries = sim.run_jobs();
    let created = &told(&deliveries)[0];
    assert_eq!((created.0, &created.1["id"]), ("contact_created", &json!(id)));
    assert!(created.1.get("changed_attributes").is_none());
    assert_eq!(created.1["account"]["id"], 1);
    assert!(created.1.get("labels").is_none());
    for _ in 0..2 {
        desk.put(&format!("contacts/{id}"), json!({ "name": "Jane" })).await;
    }
    let deliveries = sim.run_jobs();
    let [(event, body)] = &told(&deliveries)[..] else { panic!("{deliveries:?}") };
    assert_eq!(*event, "contact_updated");
    assert_eq!(changed(body), ["name", "updated_at"]);
    let name = json!({ "previous_value": "Jan", "current_value": "Jane" });
    assert_eq!(body["changed_attributes"][0]["name"], name);
}

#[tokio::test]
async fn deliveries_are_signed_over_their_raw_bytes() {
    let (sim, _desk) = start().await;
    hook(&sim, "https://sync.example.org/x");
    sim.plant(Resource::Contact, json!({ "name": "Ada" })).unwrap();
    sim.plant(Resource::Contact, json!({ "name": "Eve" })).unwrap();
    let deliveries = sim.run_jobs();
    let header = |one: &Delivery, name: &str| {
        one.headers.iter().find(|(found, _)| found == name).unwrap().1.clone()
    };
    for one in &deliveries {
        let second: i64 = header(one, "X-Chatwoot-Timestamp").parse().unwrap();
        let expected = format!("sha256={}", signature("whsec_test", second, &one.body));
        assert_eq!(header(one, "X-Chatwoot-Signature"), expected);
    }
    let ids: Vec<String> = deliveries.iter().map(|d| header(d, "X-Chatwoot-Delivery")).collect();
    assert_ne!(ids[0], ids[1]);
    sim.configure(|settings| {
        settings.sign_webhooks = false;
        settings.account_in_webhooks = false;
    });
    sim.plant(Resource::Contact, json!({ "name": "Bob" })).unwrap();
    let older = &sim.run_jobs()[0];
    assert!(!older.headers.iter().any(|(name, _)| name == "X-Chatwoot-Signature"));
    assert!(told(std::slice::from_ref(older))[0].1.get("account").is_none());
}

#[tokio::test]
async fn an_incoming_message_updates_the_contact_by_its_activity_only() {
    let (sim, desk) = start().await;
    let contact = sim.plant(Resource::Contact, json!({ "email": "a@b.org" })).unwrap().id;
    let row = json!({ "contact_id": contact });
    let conversation = sim.plant(Resource::Conversation, row).unwrap().id;
    hook(&sim, "https://sync.example.org/x");
    sim.message(conversation, Author::Contact, "Hello").unwrap();
    let deliveries = sim.run_jobs();
    let [("contact_updated", body)] = &told(&deliveries)[..] else { panic!("{deliveries:?}") };
    assert_eq!(changed(body), ["last_activity_at", "updated_at"]);
    let read = desk.get(&format!("contacts/{contact}")).await.json();
    assert!(read["payload"]["last_activity_at"].is_i64());
}

#[tokio::test]
async fn payloads_are_of_the_moment_and_the_deleted_and_merged_are_silent() {
    let (sim, _desk) = start().await;
    hook(&sim, "https://sync.example.org/x");
    let one = sim.plant(Resource::Contact, json!({ "name": "Ada" })).unwrap().id;
    sim.plant(Resource::Contact, json!({ "id": one, "name": "Eve" })).unwrap();
    let two = json!({ "name": "Bob", "email": "b@b.org" });
    let two = sim.plant(Resource::Contact, two).unwrap().id;
    let three = sim.plant(Resource::Contact, json!({ "name": "Gone" })).unwrap().id;
    assert!(sim.remove(Resource::Contact, three));
    let deliveries = sim.run_jobs();
    let names: Vec<Value> =
        told(&deliveries).iter().map(|(_, body)| body["name"].clone()).collect();
    assert_eq!(names, ["Eve", "Eve", "Bob"], "the first is newer than its event");
    sim.merge(one, two).unwrap();
    let deliveries = sim.run_jobs();
    let events = told(&deliveries);
    assert_eq!(events.len(), 1, "of the base only");
    assert_eq!((events[0].0, &events[0].1["id"]), ("contact_updated", &json!(one)));
    sim.merge(one, one).unwrap();
    assert_eq!(sim.run_jobs(), []);
}

#[tokio::test]
async fn conversation_events_have_the_display_id_and_no_uuid() {
    let (sim, _desk) = start().await;
    hook(&sim, "https://sync.example.org/x");
    let contact = sim.plant(Resource::Contact, json!({ "email": "a@b.org" })).unwrap().id;
    let row = json!({ "contact_id": contact });
    let id = sim.plant(Resource::Conversation, row).unwrap().id;
    sim.plant(Resource::Conversation, json!({ "id": id, "status": "resolved" })).unwrap();
    let deliveries = sim.run_jobs();
    let events: Vec<&str> = deliveries.iter().map(|one| one.event.as_str()).collect();
    let expected = [
        "contact_created",
        "conversation_created",
        "conversation_status_changed",
        "conversation_updated",
    ];
    assert_eq!(events, expected);
    let body = &told(&deliveries)[2].1;
    assert_eq!(body["id"], id);
    assert!(body.get("uuid").is_none());
    assert_eq!(changed(body), ["status"]);
}

/// Takes one request and answers it.
async fn receive(listener: &TcpListener, status: &str) -> String {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while !text.contains("\r\n\r\n") || !text.ends_with('}') {
        let count = stream.read(&mut buffer).await.unwrap();
        text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.unwrap();
    text
}

#[tokio::test]
async fn private_receivers_are_blocked_silently_unless_allowed() {
    let (sim, _desk) = start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    hook(&sim, &format!("http://{}/hooks/chatwoot", listener.local_addr().unwrap()));
    sim.plant(Resource::Contact, json!({ "name": "Ada" })).unwrap();
    let sent = sim.deliver().await;
    assert_eq!((sent.len(), sent[0].status, sent[0].delivery.blocked), (1, None, true));
    sim.configure(|settings| settings.allow_private_network = true);
    sim.plant(Resource::Contact, json!({ "name": "Eve" })).unwrap();
    let (sent, text) = soon(async {
        tokio::join!(sim.deliver(), receive(&listener, "500 Internal Server Error"))
    })
    .await;
    assert_eq!(sent[0].status, Some(500));
    assert!(text.starts_with("POST /hooks/chatwoot HTTP/1.1\r\n"), "{text}");
    assert!(text.to_lowercase().contains("x-chatwoot-signature: sha256="), "{text}");
    assert!(text.ends_with(&sent[0].delivery.body));
    assert_eq!(sim.run_jobs(), [], "nothing is tried again");
}

#[tokio::test]
async fn immediate_jobs_go_out_by_themselves() {
    let (sim, desk) = start_with(|settings| {
        settings.jobs = Jobs::Immediate;
        settings.allow_private_network = true;
    })
    .await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    hook(&sim, &format!("http://{}/x", listener.local_addr().unwrap()));
    let create = desk.create("1", json!({ "name": "Ada" }));
    let (_, text) = soon(async { tokio::join!(create, receive(&listener, "200 OK")) }).await;
    assert!(text.contains("contact_created"), "{text}");
}

#[tokio::test]
async fn people_act_by_the_control_api() {
    let (sim, desk) = start().await;
    let http = builder().build().unwrap();
    let control = format!("{}/_sim", sim.control_url());
    let call = async |path: &str, body: Value| {
        let answer = http.post(format!("{control}/{path}")).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let (_, ada) = call("rows/contacts", json!({ "email": "a@b.org" })).await;
    let (_, eve) = call("rows/person", json!({ "name": "Eve", "phone_number": "+2711" })).await;
    let (_, row) = call("rows/conversations", json!({ "contact_id": ada["id"] })).await;
    hook(&sim, "https://sync.example.org/x");
    for act in [
        json!({ "act": "message", "conversation_id": row["id"], "author": "contact", "content": "Hi" }),
        json!({ "act": "block", "contact_id": ada["id"], "blocked": true }),
        json!({ "act": "online", "contact_id": ada["id"], "online": true }),
        json!({ "act": "merge", "base_contact_id": ada["id"], "mergee_contact_id": eve["id"] }),
        json!({ "act": "accept_token", "token": "another" }),
        json!({ "act": "issue_token" }),
    ] {
        let (status, body) = call("acts", act.clone()).await;
        assert_eq!(status, 200, "{act}: {body}");
    }
    let (_, jobs) = call("acts", json!({ "act": "run_jobs" })).await;
    let events = jobs["deliveries"].as_array().unwrap();
    assert!(events.iter().any(|event| event["event"] == "contact_updated"));
    let read = desk.with_token("another").get(&format!("contacts/{}", ada["id"])).await.json();
    let contact = &read["payload"];
    assert_eq!((&contact["name"], &contact["blocked"]), (&json!("Eve"), &json!(true)));
    assert_eq!(contact["availability_status"], "online");
    for wrong in
        [json!({ "act": "explode" }), json!({ "act": "block", "contact_id": 1, "blocked": true })]
    {
        assert_eq!(call("acts", wrong).await.0, 400);
    }
    let (status, settings) = call("settings", json!({ "crm_v2": true })).await;
    assert_eq!((status, &settings["crm_v2"]), (200, &json!(true)));
}
