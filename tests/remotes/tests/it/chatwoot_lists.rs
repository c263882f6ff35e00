//! Lists, searches, filters and scans of contacts: the contract's sections 0, 3 and 4.

use ems_sync_remotes::Simulator;
use ems_sync_remotes::chatwoot::{Chatwoot, Resource};
use serde_json::{Value, json};

use crate::chatwoot_client::{codes, equal, ids, start};

/// Contacts with e-mail addresses, created a second apart.
fn plant(sim: &Simulator<Chatwoot>, count: i64) -> Vec<i64> {
    let row = |number: i64| {
        json!({
            "name": format!("N{number:02}"), "email": format!("{number}@b.org"),
            "created_at": 1_700_000_000 + number,
        })
    };
    (0..count).map(|number| sim.plant(Resource::Contact, row(number)).unwrap().id).collect()
}

fn condition(key: &str, operator: &str, value: Value, query_operator: Value) -> Value {
    json!({
        "attribute_key": key, "filter_operator": operator, "values": [value],
        "query_operator": query_operator,
    })
}

#[tokio::test]
async fn lists_have_pages_of_fifteen() {
    let (sim, desk) = start().await;
    let all = plant(&sim, 17);
    let first = desk.get("contacts?sort=created_at").await.json();
    assert_eq!(first["meta"], json!({ "count": 17, "current_page": 1 }));
    let second = desk.get("contacts?sort=created_at&page=2&page_size=100").await.json();
    assert_eq!(second["meta"], json!({ "count": 17, "current_page": "2" }), "text, then");
    assert_eq!(ids(&second), all[15..]);
    assert_eq!(ids(&desk.get("contacts?sort=created_at&page=3").await.json()), [0; 0]);
    let newest = desk.get("contacts?sort=-created_at").await.json();
    assert_eq!(ids(&newest)[0], all[16]);
    assert_eq!(sim.violations(), []);
}

#[tokio::test]
async fn unsorted_pages_skip_what_is_changed_meanwhile() {
    let (sim, desk) = start().await;
    let all = plant(&sim, 16);
    let mut seen = ids(&desk.get("contacts").await.json());
    sim.plant(Resource::Contact, json!({ "id": all[0], "name": "Changed" })).unwrap();
    seen.extend(ids(&desk.get("contacts?page=2").await.json()));
    assert!(!seen.contains(&all[15]), "it slid onto the page before");
    assert_eq!(seen.iter().filter(|id| **id == all[0]).count(), 2);
    desk.get("contacts?sort=id").await;
    assert_eq!(codes(&sim), ["unsorted_pages", "unknown_sort"]);
}

#[tokio::test]
async fn a_sorted_scan_skips_one_row_for_each_deletion() {
    let (sim, desk) = start().await;
    let all = plant(&sim, 17);
    let first = desk.get("contacts?sort=created_at").await.json();
    assert!(sim.remove(Resource::Contact, all[0]));
    let second = desk.get("contacts?sort=created_at&page=2").await.json();
    assert_eq!(ids(&second), all[16..], "{} was skipped", all[15]);
    assert_eq!((&first["meta"]["count"], &second["meta"]["count"]), (&json!(17), &json!(16)));
}

#[tokio::test]
async fn lists_hide_contacts_that_searches_and_reads_show() {
    let (sim, desk) = start().await;
    let nameless = sim.plant(Resource::Contact, json!({ "name": "Visitor" })).unwrap().id;
    let keyed = json!({ "name": "Visitor", "identifier": "ems-person-1" });
    let keyed = sim.plant(Resource::Contact, keyed).unwrap().id;
    let lead = json!({ "name": "Visitor", "email": "a@b.org" });
    let lead = sim.plant(Resource::Contact, lead).unwrap().id;
    assert_eq!(ids(&desk.get("contacts?sort=created_at").await.json()), [keyed, lead]);
    sim.configure(|settings| settings.crm_v2 = true);
    assert_eq!(ids(&desk.get("contacts?sort=created_at").await.json()), [lead]);
    assert_eq!(desk.find("identifier", "ems-person-1").await, [0; 0]);
    let found = desk.get("contacts/search?q=visitor&sort=created_at").await.json();
    assert_eq!(ids(&found), [nameless, keyed, lead]);
    assert_eq!(desk.get(&format!("contacts/{keyed}")).await.status, 200);
}

#[tokio::test]
async fn a_search_finds_parts_and_counts_its_page_only() {
    let (sim, desk) = start().await;
    plant(&sim, 16);
    let found = desk.get("contacts/search?q=b.ORG&sort=name").await.json();
    assert_eq!(found["meta"], json!({ "count": 15, "current_page": 1, "has_more": true }));
    let found = desk.get("contacts/search?q=b.org&page=2&sort=name").await.json();
    assert_eq!(found["meta"], json!({ "count": 1, "current_page": "2", "has_more": false }));
    let found = desk.get("contacts/search?q=1%40b.org").await.json();
    assert_eq!(found["meta"]["count"], 2, "11@b.org, too");
    assert_eq!(desk.get("contacts/search").await.status, 422);
    let phone = json!({ "phone_number": "+2711" });
    sim.plant(Resource::Contact, phone).unwrap();
    assert_eq!(desk.get("contacts/search?q=%2B2711").await.json()["meta"]["count"], 1);
    assert_eq!(sim.violations(), []);
    assert_eq!(desk.get("contacts/search?q=+2711").await.json()["meta"]["count"], 0);
    assert_eq!(codes(&sim), ["plus_not_encoded"]);
}

#[tokio::test]
async fn filters_compare_as_the_contract_says() {
    let (sim, desk) = start().await;
    let row = json!({
        "name": "Ada Byron", "email": "ada@b.org", "phone_number": "+27821234567",
        "identifier": "Ems-Person-1", "additional_attributes": { "city": "London" },
        "labels": ["vip"], "blocked": true, "created_at": 1_700_000_000,
    });
    let ada = sim.plant(Resource::Contact, row).unwrap().id;
    let eve =
        sim.plant(Resource::Contact, json!({ "name": "Eve", "email": "e@v.org" })).unwrap().id;
    for (key, operator, value, found) in [
        ("name", "equal_to", "ADA byron", vec![ada]),
        ("name", "not_equal_to", "ada byron", vec![eve]),
        ("email", "contains", "DA@", vec![ada]),
        ("email", "does_not_contain", "da@", vec![eve]),
        ("phone_number", "equal_to", "27821234567", vec![ada]),
        ("phone_number", "equal_to", "+27821234567", vec![ada]),
        ("phone_number", "starts_with", "2782", vec![ada]),
        ("identifier", "equal_to", "ems-person-1", vec![ada]),
        ("city", "equal_to", "london", vec![ada]),
        ("labels", "equal_to", "vip", vec![ada]),
        ("blocked", "equal_to", "true", vec![ada]),
        // The 14th of November 2023: strict, by the day.
        ("created_at", "is_greater_than", "2023-11-13", vec![ada, eve]),
        ("created_at", "is_greater_than", "2023-11-14", vec![eve]),
        ("created_at", "is_less_than", "2023-11-15", vec![ada]),
        ("created_at", "days_before", "30", vec![ada]),
    ] {
        let payload = json!({ "payload": [condition(key, operator, json!(value), Value::Null)] });
        let answer = desk.post("contacts/filter?sort=created_at", payload).await;
        assert_eq!(answer.status, 200, "{key} {operator}: {}", answer.text);
        assert_eq!(ids(&answer.json()), found, "{key} {operator}");
    }
    sim.configure(|settings| settings.database_utc_offset_hours = 2);
    let later = condition("created_at", "is_greater_than", json!("2023-11-14"), Value::Null);
    let answer = desk.post("contacts/filter", json!({ "payload": [later] })).await.json();
    assert_eq!(answer["meta"]["count"], 2, "there it was the 15th");
    assert_eq!(sim.violations(), []);
}

#[tokio::test]
async fn only_the_first_value_counts() {
    let (sim, desk) = start().await;
    let all = plant(&sim, 2);
    let mut filter = equal("email", "0@b.org");
    filter["payload"][0]["values"] = json!(["0@b.org", "1@b.org"]);
    let answer = desk.post("contacts/filter", filter).await.json();
    assert_eq!(ids(&answer), all[..1]);
    assert_eq!(codes(&sim), ["many_values_in_filter"]);
}

#[tokio::test]
async fn conditions_are_joined_and_the_last_one_must_not_be() {
    let (sim, desk) = start().await;
    let all = plant(&sim, 3);
    let is = |value: &str, next: Value| condition("email", "equal_to", json!(value), next);
    let either = json!({ "payload": [is("0@b.org", json!("OR")), is("2@b.org", Value::Null)] });
    let answer = desk.post("contacts/filter?sort=created_at", either).await.json();
    assert_eq!(ids(&answer), [all[0], all[2]]);
    let both = json!({ "payload": [is("0@b.org", json!("and")), is("2@b.org", Value::Null)] });
    assert_eq!(ids(&desk.post("contacts/filter", both).await.json()), [0; 0]);
    assert_eq!(sim.violations(), []);
    let mixed = json!({ "payload": [
        is("1@b.org", json!("OR")),
        condition("name", "equal_to", json!("n00"), json!("AND")),
        is("0@b.org", Value::Null),
    ]});
    let answer = desk.post("contacts/filter?sort=created_at", mixed).await.json();
    assert_eq!(ids(&answer), all[..2]);
    let dangling = json!({ "payload": [is("0@b.org", json!("AND"))] });
    assert_eq!(desk.post("contacts/filter", dangling).await.status, 500);
    let loose = json!({ "payload": [is("0@b.org", Value::Null), is("2@b.org", Value::Null)] });
    assert_eq!(desk.post("contacts/filter", loose).await.status, 500);
    let unknown = json!({ "payload": [condition("email", "is", json!("x"), Value::Null)] });
    let answer = desk.post("contacts/filter", unknown).await;
    assert_eq!(answer.status, 422);
    assert!(answer.json()["error"].is_string());
    assert_eq!(codes(&sim), ["malformed_filter"; 3]);
}
