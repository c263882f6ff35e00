//! The look before the first push: who we are, what is missing (contract, sections 1 and 3).

use ems_sync::remote::{FailureClass, Remote as _};
use ems_sync_remotes::chatwoot::Resource;
use ems_sync_remotes::{Fault, Operation, Rule};
use serde_json::json;

use super::bench::{Bench, answers};

#[tokio::test]
async fn the_attribute_is_defined_once_and_only_if_it_is_missing() {
    let bench = Bench::new().await;
    let account = bench.client.account().await.unwrap();
    assert_eq!(account, bench.client.account().await.unwrap());
    let both = [bench.with_client("ems-sync-token", 1), bench.with_client("ems-sync-token", 1)];
    for other in &both {
        assert_eq!(other.client.account().await.unwrap(), account);
    }
    let rows = bench.sim.rows(Resource::AttributeDefinition);
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].body["attribute_key"], "ems_person_id");
    assert_eq!(rows[0].body["attribute_display_type"], "text");
    assert_eq!(rows[0].body["attribute_model"], "contact_attribute");
    assert_eq!(bench.sim.contact_count(), 0);
    bench.assert_no_violation();
}

#[tokio::test]
async fn two_that_define_it_at_once_are_both_served() {
    let bench = Bench::new().await;
    let other = bench.with_client("ems-sync-token", 1);
    let (one, two) = tokio::join!(bench.client.account(), other.client.account());
    assert_eq!(one.unwrap(), two.unwrap());
    assert_eq!(bench.sim.rows(Resource::AttributeDefinition).len(), 1);
    // The answer to it was lost: it is there all the same.
    let bench = Bench::new().await;
    bench.sim.faults().push(Rule::new(Fault::CommitThenDrop).operation(Operation::Create));
    assert_eq!(bench.client.account().await.unwrap_err().class, FailureClass::Transient);
    bench.client.account().await.unwrap();
    assert_eq!(bench.sim.rows(Resource::AttributeDefinition).len(), 1);
}

#[tokio::test]
async fn an_account_is_its_address_and_its_number_whoever_the_token_is() {
    let bench = Bench::new().await;
    let account = bench.client.account().await.unwrap();
    let rotated = bench.with_client(&bench.sim.issue_token(), 1);
    assert_eq!(rotated.client.account().await.unwrap(), account);
    let elsewhere = Bench::new().await;
    assert_ne!(elsewhere.client.account().await.unwrap(), account);
}

#[tokio::test]
async fn who_may_not_is_told_what_to_do() {
    let bench = Bench::new().await;
    for (token, account, word) in [
        ("ems-sync-agent-token", 1, "administrator"),
        ("ems-sync-bot-token", 1, "administrator"),
        ("ems-sync-token", 7, "account_id"),
    ] {
        let failure = bench.with_client(token, account).client.account().await.unwrap_err();
        assert_eq!(failure.class, FailureClass::Configuration, "{token}");
        assert!(failure.text.contains(word), "{failure}");
    }
    let failure = bench.with_client("unknown", 1).client.account().await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Authentication);
    bench.sim.configure(|settings| settings.suspended = true);
    let failure = bench.client.account().await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Configuration);
    assert!(failure.text.contains("suspended"));
    assert_eq!(bench.sim.rows(Resource::AttributeDefinition).len(), 0);
}

#[tokio::test]
async fn an_odd_answer_changes_nothing_and_an_attribute_that_can_not_be_made_is_told() {
    let bench = Bench::new().await;
    for body in [json!({}), json!({"payload": []}), json!("<html>"), json!([])] {
        bench.sim.faults().push(Rule::new(answers(200, body)).operation(Operation::List));
        assert_eq!(bench.client.account().await.unwrap_err().class, FailureClass::Transient);
    }
    assert_eq!(bench.sim.rows(Resource::AttributeDefinition).len(), 0);
    let refused = answers(422, json!({"message": "no", "attributes": ["attribute_key"]}));
    bench.sim.faults().push(Rule::new(refused).operation(Operation::Create));
    let failure = bench.client.account().await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Configuration);
    assert!(failure.text.contains("ems_person_id"));
}
