//! Conversations: the contract's section 5.

use ems_sync_remotes::Simulator;
use ems_sync_remotes::chatwoot::{Author, Chatwoot, Resource};
use serde_json::{Value, json};

use crate::chatwoot_client::{codes, ids, start};

/// A contact and conversations of it, the last one the most recent.
fn plant(sim: &Simulator<Chatwoot>, count: i64) -> (i64, Vec<i64>) {
    let contact = json!({ "name": "Ada", "identifier": "ems-person-1" });
    let contact = sim.plant(Resource::Contact, contact).unwrap().id;
    let row =
        |number: i64| json!({ "contact_id": contact, "last_activity_at": 1_700_000_000 + number });
    let plant = |number| sim.plant(Resource::Conversation, row(number)).unwrap().id;
    (contact, (0..count).map(plant).collect())
}

fn listed(answer: &Value) -> Vec<i64> {
    ids(&answer["data"])
}

#[tokio::test]
async fn lists_show_open_ones_only_unless_all_are_asked_for() {
    let (sim, desk) = start().await;
    let (_, all) = plant(&sim, 2);
    let resolved = json!({ "id": all[0], "status": "resolved", "assignee_id": 1 });
    sim.plant(Resource::Conversation, resolved).unwrap();
    assert_eq!(listed(&desk.get("conversations").await.json()), [all[1]]);
    assert_eq!(codes(&sim), ["conversations_without_status"]);
    let answer = desk.get("conversations?status=all&assignee_type=all").await.json();
    assert_eq!(listed(&answer), [all[1], all[0]]);
    let meta =
        json!({ "mine_count": 1, "assigned_count": 1, "unassigned_count": 1, "all_count": 2 });
    assert_eq!(answer["data"]["meta"], meta);
    let mine = desk.get("conversations?status=all&assignee_type=me").await.json();
    assert_eq!(listed(&mine), [all[0]]);
    assert_eq!(desk.get("conversations/meta").await.json()["meta"], meta);
}

#[tokio::test]
async fn a_conversation_has_the_contracts_fields() {
    let (sim, desk) = start().await;
    let (contact, all) = plant(&sim, 1);
    sim.message(all[0], Author::Contact, "Hello").unwrap();
    let answer = desk.get("conversations?status=all").await.json();
    let row = &answer["data"]["payload"][0];
    assert_eq!(row["meta"]["sender"]["id"], contact);
    assert_eq!(row["account_id"], 1);
    assert_eq!(row["status"], "open");
    assert_eq!(row["first_reply_created_at"], 0, "0 is null");
    assert!(row["uuid"].is_string() && row["updated_at"].is_f64());
    assert_eq!(row["unread_count"], 1);
    assert_eq!(row["messages"][0]["content"], "Hello");
    assert!(row["meta"].get("assignee").is_none() && row["meta"].get("team").is_none());
    assert_eq!(sim.rows(Resource::Conversation)[0].external_id.as_deref(), Some("1"));
}

#[tokio::test]
async fn pages_hold_twenty_five_but_a_window_shows_everything() {
    let (sim, desk) = start().await;
    let (contact, all) = plant(&sim, 30);
    let first = listed(&desk.get("conversations?status=all").await.json());
    assert_eq!((first.len(), first[0]), (25, all[29]));
    let second = desk.get("conversations?status=all&page=2").await.json();
    assert_eq!(listed(&second).len(), 5);
    let window = desk.get("conversations?status=all&updated_within=600").await.json();
    assert_eq!(listed(&window).len(), 30);
    let of_contact = desk.get(&format!("contacts/{contact}/conversations")).await.json();
    assert_eq!(ids(&of_contact).len(), 20);
    assert_eq!(ids(&of_contact)[0], all[29]);
}

#[tokio::test]
async fn the_window_is_relative_to_the_server_and_being_seen_does_not_count() {
    let (sim, desk) = start().await;
    let (contact, all) = plant(&sim, 2);
    let window = "conversations?status=all&updated_within=60";
    sim.configure(|settings| settings.clock_offset_seconds = 3600);
    assert_eq!(listed(&desk.get(window).await.json()), [0; 0]);
    let seen = json!({ "id": all[0], "agent_last_seen_at": 1_800_000_000 });
    sim.plant(Resource::Conversation, seen).unwrap();
    assert_eq!(listed(&desk.get(window).await.json()), [0; 0]);
    sim.message(all[0], Author::Agent, "Hi").unwrap();
    assert_eq!(listed(&desk.get(window).await.json()), [all[0]]);
    let other = sim.plant(Resource::Contact, json!({ "email": "a@b.org" })).unwrap().id;
    sim.merge(other, contact).unwrap();
    assert_eq!(listed(&desk.get(window).await.json()).len(), 2, "a merge moves them");
}

#[tokio::test]
async fn conversations_are_filtered_without_data_around_them() {
    let (sim, desk) = start().await;
    let (contact, all) = plant(&sim, 2);
    sim.plant(Resource::Conversation, json!({ "id": all[0], "priority": "urgent" })).unwrap();
    let filter = |key: &str, value: Value| {
        json!({ "payload": [{
            "attribute_key": key, "filter_operator": "equal_to", "values": [value],
        }]})
    };
    let path = "conversations/filter";
    let found = desk.post(path, filter("priority", json!("urgent"))).await.json();
    assert_eq!(ids(&found), [all[0]]);
    assert!(found["meta"].get("assigned_count").is_none());
    let found = desk.post(path, filter("contact_id", json!(contact.to_string()))).await.json();
    assert_eq!(ids(&found).len(), 2);
    assert_eq!(desk.post(path, filter("name", json!("x"))).await.status, 422);
}

#[tokio::test]
async fn messages_are_read_forwards_and_backwards() {
    let (sim, desk) = start().await;
    let (_, all) = plant(&sim, 1);
    let written: Vec<i64> = (0..120)
        .map(|number| sim.message(all[0], Author::Agent, &number.to_string()).unwrap())
        .collect();
    let path = format!("conversations/{}/messages", all[0]);
    let get = async |query: String| ids(&desk.get(&format!("{path}{query}")).await.json());
    assert_eq!(get(String::new()).await, written[100..]);
    assert_eq!(get(format!("?after={}", written[0])).await, written[1..101]);
    assert_eq!(get(format!("?before={}", written[50])).await, written[30..50]);
    let both = format!("?after={}&before={}", written[0], written[119]);
    assert_eq!(get(both).await, written[1..119]);
}
