//! Section 9: addresses that are refused, and how problems look.

use ems_sync_remotes::mailchimp::Act;
use serde_json::{Value, json};

use super::client::{ADA, LIST, assert_problem, codes, start, start_with, upsert};

async fn detail(api: &super::client::Api, email: &str) -> String {
    let answer = api.put(email, upsert(email, "1")).await;
    assert_problem(&answer, 400, "Invalid Resource");
    answer.json()["detail"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn addresses_that_are_none_or_look_fake_are_refused() {
    let (sim, api) = start().await;
    assert_eq!(detail(&api, "no address").await, "Please provide a valid email address.");
    assert!(detail(&api, "foo@example.com").await.contains("looks fake or invalid"));
    assert_eq!(sim.violations(), [], "that is the EMS's data");
    sim.configure(|settings| settings.refuses_fake_addresses = false);
    api.upsert("foo@example.com", "1").await;
}

#[tokio::test]
async fn too_many_sign_ups_are_refused_for_a_while() {
    let (sim, api) = start().await;
    sim.act(LIST, ADA, &Act::CrowdSignups { times: 2 }).unwrap();
    for _ in 0..2 {
        let detail = detail(&api, ADA).await;
        assert!(detail.ends_with(
            "has signed up to a lot of lists very recently; we're not allowing more signups for now"
        ));
    }
    api.upsert(ADA, "1").await;
}

#[tokio::test]
async fn every_other_problem_lacks_its_type() {
    let (sim, api) = start().await;
    let types = async || -> Vec<bool> {
        let mut types = Vec::new();
        for _ in 0..2 {
            let problem: Value = api.get("/lists/nothing").await.json();
            types.push(problem.get("type").is_some());
        }
        types
    };
    assert_eq!(types().await, [true, false]);
    sim.configure(|settings| settings.problem_types = true);
    assert_eq!(types().await, [true, true]);
}

#[tokio::test]
async fn bodies_are_checked_against_the_schema() {
    let (sim, api) = start_with(|settings| settings.problem_types = true).await;
    api.upsert(ADA, "42").await;
    let answer =
        api.put(ADA, json!({ "vip": "yes", "language": 7, "interests": { "x": 1 } })).await;
    assert_problem(&answer, 400, "Invalid Resource");
    let problem = answer.json();
    let fields: Vec<&Value> =
        problem["errors"].as_array().unwrap().iter().map(|error| &error["field"]).collect();
    assert_eq!(fields, ["language", "vip", "interests"]);
    let answer = api.put(ADA, json!({ "interests": { "nothing": true } })).await;
    assert_problem(&answer, 400, "Invalid Resource");
    assert_eq!(api.put(ADA, json!({ "nickname": "A" })).await.status, 200);
    assert_eq!(codes(&sim), ["unknown_field"]);
}
