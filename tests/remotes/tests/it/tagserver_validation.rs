//! The contract's chapter "Errors": validation, media types, methods, sizes.

use ems_sync_remotes::tagserver::{Resource, TagServer, TagServerOptions};
use ems_sync_remotes::{Fault, Rule};
use reqwest::Method;
use serde_json::json;

use crate::client::{Api, organisation, plant_all, start, whole_body};

#[tokio::test]
async fn each_required_field_is_asked_for_by_name() {
    let (sim, api) = start().await;
    let ids = plant_all(&sim);
    let required = [
        (Resource::Organisation, vec!["externalId", "name"]),
        (Resource::Person, vec!["externalId", "firstName", "lastName"]),
        (Resource::Event, vec!["externalId", "name", "startDateTime", "timezone", "organiser"]),
        (Resource::Race, vec!["externalId", "name", "distanceMeters", "event"]),
        (Resource::StartGroup, vec!["externalId", "name", "seq", "race"]),
        (Resource::EventParticipant, vec!["externalId", "event", "person"]),
        (Resource::StartGroupParticipant, vec!["externalId", "startGroup", "eventParticipant"]),
        (Resource::Tag, vec!["externalId", "number", "person"]),
    ];
    for (resource, fields) in required {
        for field in fields {
            let mut body = whole_body(resource, &ids);
            body[field] = json!(null);
            let answer = api.post(&format!("/api/{resource}"), body).await;
            answer.assert_problem(400, "error.validation");
            let errors = answer.json()["fieldErrors"].clone();
            assert_eq!(errors.as_array().unwrap().len(), 1, "{resource}.{field}: {errors}");
            assert_eq!(errors[0]["field"], field);
            assert!(errors[0]["objectName"].is_string() && errors[0]["message"].is_string());
        }
    }
    assert_eq!(sim.counters().writes_applied(), 0);
    assert_eq!(sim.counters().violations_of("no_external_id").len(), 8);
}

#[tokio::test]
async fn values_of_a_wrong_type_are_refused() {
    let (sim, api) = start().await;
    let ids = plant_all(&sim);
    let wrong = [
        (Resource::Organisation, "externalId", json!(1)),
        (Resource::Person, "dateOfBirth", json!("1990-02-28T00:00:00Z")),
        (Resource::Person, "gender", json!("female")),
        (Resource::Event, "startDateTime", json!("tomorrow")),
        (Resource::Event, "organiser", json!(17)),
        (Resource::Race, "distanceMeters", json!("10000")),
        (Resource::Race, "distanceMeters", json!(10.5)),
        (Resource::EventParticipant, "number", json!(7)),
        (Resource::Tag, "uuid", json!("not a uuid")),
        (Resource::Tag, "bibNumber", json!(7)),
    ];
    for (resource, field, value) in wrong {
        let mut body = whole_body(resource, &ids);
        body[field] = value.clone();
        let answer = api.post(&format!("/api/{resource}"), body).await;
        answer.assert_problem(400, "error.validation");
        assert_eq!(answer.json()["fieldErrors"][0]["field"], field, "{value}");
    }
    assert_eq!(sim.counters().writes_applied(), 0);
}

#[tokio::test]
async fn every_gender_of_the_contract_is_taken() {
    let (_sim, api) = start().await;
    for gender in ["UNKNOWN", "MALE", "FEMALE"] {
        let body = json!({
            "externalId": gender, "firstName": "Ada", "lastName": "Byron", "gender": gender,
        });
        assert_eq!(api.post("/api/people", body).await.json()["gender"], gender);
    }
}

#[tokio::test]
async fn a_body_that_is_not_json_is_a_400() {
    let (sim, api) = start().await;
    let broken = Some("{\"externalId\":".to_owned());
    let answer =
        api.send(Method::POST, "/api/organisations", "application/json", broken).await.unwrap();
    answer.assert_problem(400, "error.http.400");
    api.post("/api/organisations", json!([])).await.assert_problem(400, "error.http.400");
    assert_eq!(sim.counters().violations_of("malformed_json").len(), 2);
}

#[tokio::test]
async fn another_media_type_is_a_415() {
    let (sim, api) = start().await;
    let body = Some(organisation("1").to_string());
    let answer =
        api.send(Method::POST, "/api/organisations", "text/plain", body.clone()).await.unwrap();
    answer.assert_problem(415, "error.http.415");
    let media_type = "application/json; charset=utf-8";
    let answer = api.send(Method::POST, "/api/organisations", media_type, body).await.unwrap();
    assert_eq!(answer.status, 201);
    assert_eq!(sim.counters().violations_of("wrong_media_type").len(), 1);
}

#[tokio::test]
async fn another_method_is_a_405() {
    let (sim, api) = start().await;
    let answer = api.post("/api/organisations/17", organisation("1")).await;
    answer.assert_problem(405, "error.http.405");
    assert_eq!(answer.header("allow"), "GET,PUT,PATCH,DELETE");
    api.delete("/api/organisations").await.assert_problem(405, "error.http.405");
    assert_eq!(sim.counters().violations_of("method_not_allowed").len(), 2);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_a_413() {
    let mut options = TagServerOptions::default();
    options.server.max_body_bytes = 1000;
    let sim = TagServer::start(options).await.unwrap();
    let api = Api::new(&sim);
    let mut body = organisation("1");
    body["name"] = json!("x".repeat(100_000));
    api.post("/api/organisations", body).await.assert_problem(413, "error.http.413");
    assert_eq!(sim.row_count(Resource::Organisation), 0);
    assert_eq!(sim.counters().violations_of("body_too_large").len(), 1);
}

#[tokio::test]
async fn scripted_statuses_come_with_the_bodies_of_the_contract() {
    let (sim, api) = start().await;
    sim.faults().push(Rule::new(ems_sync_remotes::tagserver::concurrency_failure()));
    api.get("/api/races").await.assert_problem(409, "error.concurrencyFailure");
    sim.faults().push(Rule::new(ems_sync_remotes::tagserver::data_access_failure()));
    let answer = api.get("/api/races").await;
    answer.assert_problem(500, "error.http.500");
    assert_eq!(answer.json()["detail"], "Failure during data access");
    sim.faults().push(Rule::new(Fault::status(403)));
    let answer = api.get("/api/races").await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (403, ""));
    sim.faults().push(Rule::new(Fault::throttled(7)));
    let answer = api.get("/api/races").await;
    answer.assert_problem(429, "error.http.429");
    assert_eq!(answer.header("retry-after"), "7");
    sim.faults().push(Rule::new(Fault::status(401)));
    let answer = api.get("/api/races").await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (401, ""));
    assert_eq!(answer.header("www-authenticate"), "Bearer error=\"invalid_token\"");
    for code in [408, 502, 503, 504] {
        sim.faults().push(Rule::new(Fault::status(code)));
        assert_eq!(api.get("/api/races").await.status.as_u16(), code);
    }
}
