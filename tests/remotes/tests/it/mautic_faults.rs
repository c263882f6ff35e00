//! The shared faults in Mautic's words, and what is Mautic's own (section 8).

use ems_sync_remotes::mautic::{contact_without_id, list_without_contact, server_error_page};
use ems_sync_remotes::{Fault, Garbage, Operation, Rule};
use serde_json::{Value, json};

use crate::mautic_client::{assert_refused, id_of, person, start};

#[tokio::test]
async fn statuses_come_in_mautics_words() {
    let site = start().await;
    for status in [401, 403, 404, 429] {
        site.sim.faults().push(Rule::new(Fault::status(status)));
        assert_refused(&site.get("/contacts").await, status);
    }
    for status in [500, 502, 503, 504] {
        site.sim.faults().push(Rule::new(Fault::status(status)));
        let answer = site.get("/contacts").await;
        assert_eq!(answer.status.as_u16(), status);
        assert!(answer.header("content-type").starts_with("text/html"), "{}", answer.text);
    }
    site.sim.faults().push(Rule::new(server_error_page()));
    assert_eq!(site.post("/contacts/new", person("1")).await.status, 500);
    assert_eq!(site.sim.contact_count(), 0);
    assert!(Fault::throttled(60) != Fault::status(429));
}

#[tokio::test]
async fn a_warm_cache_answers_without_an_id() {
    let site = start().await;
    site.sim.faults().push(Rule::new(contact_without_id()).operation(Operation::Create));
    let answer = site.post("/contacts/new", person("1")).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({ "contact": [] })));
    let id = site.sim.contact_of("1").expect("and yet it is there").id;
    site.sim.faults().push(Rule::new(list_without_contact(id)));
    assert_eq!(site.get("/contacts").await.json()["contacts"][id.to_string()], json!([]));
}

#[tokio::test]
async fn a_strangers_record_has_the_shape_of_the_right_answer() {
    let site = start().await;
    let (one, two) = (site.person("1").await, site.person("2").await);
    let stranger = || Fault::Garbage { what: Garbage::StrangersRecord, applied: false };
    site.sim.faults().push(Rule::new(stranger()).times(3));
    assert_eq!(id_of(&site.get(&format!("/contacts/{one}")).await), two);
    let find = "/contacts?where[0][col]=ems_person_id&where[0][expr]=eq&where[0][val]=1";
    let found = site.get(find).await.json();
    assert_eq!(found["contacts"][two.to_string()]["fields"]["all"]["ems_person_id"], "2");
    let batch = site.post("/contacts/batch/new", json!([person("1")])).await.json();
    assert_eq!(batch["contacts"][0]["id"], two);
}

#[tokio::test]
async fn writes_are_found_by_our_id_even_where_the_request_does_not_say_it() {
    let site = start().await;
    let id = site.person("42").await;
    site.patch(id, json!({ "city": "Paarl" })).await;
    site.post(&format!("/contacts/{id}/dnc/email/add"), json!({ "reason": 3 })).await;
    site.delete(&format!("/contacts/{id}/delete")).await;
    let writes = site.sim.writes_of("contacts", "42");
    let routes: Vec<&str> = writes.iter().map(|entry| entry.route.as_str()).collect();
    assert_eq!(
        routes,
        [
            "/api/contacts/new",
            "/api/contacts/{id}/edit",
            "/api/contacts/{id}/dnc/{channel}/add",
            "/api/contacts/{id}/delete",
        ]
    );
    assert!(writes.iter().all(|entry| entry.remote_id.as_deref() == Some(&*id.to_string())));
}

#[tokio::test]
async fn a_body_that_is_too_large_is_413() {
    let site = start().await;
    let body = json!({ "firstname": "x".repeat(2 << 20) });
    assert_refused(&site.post("/contacts/new", body).await, 413);
    assert_eq!(site.violations("body_too_large"), 1);
    assert_eq!(site.sim.contacts().len(), 0);
    assert_eq!(site.get("/contacts").await.json()["contacts"], Value::Object(Default::default()));
}
