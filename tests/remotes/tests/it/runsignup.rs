//! RunSignup keeps `tests/remotes/contracts/runsignup.md`: one module per part of it.

mod faults;
mod limits;
mod login;
mod moves;
mod people;
mod races;
mod reads;
mod writes;

use ems_sync_remotes::Simulator;
use ems_sync_remotes::runsignup::{Resource, RunSignup, RunSignupOptions, RunSignupSettings};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};

use crate::client::{Answer, builder};

/// The race, its two events, and one of another race.
const RACE: i64 = 7;
const TEN_KM: i64 = 71;
const FIVE_KM: i64 = 72;
const ELSEWHERE: i64 = 81;
/// The question that carries our id.
const QUESTION: i64 = 7885;

/// A client that sends what it is told.
#[derive(Clone, Debug)]
struct Rsu {
    http: Client,
    base: String,
}

impl Rsu {
    fn new(sim: &Simulator<RunSignup>) -> Self {
        Self { http: builder().build().unwrap(), base: sim.base_url() }
    }

    /// With the key, as JSON.
    fn request(&self, post: bool, path: &str) -> RequestBuilder {
        self.bare(post, path)
            .query(&[("format", "json"), ("rsu_api_key", "ems-sync-key")])
            .header("X-RSU-API-SECRET", "ems-sync-secret")
    }

    fn bare(&self, post: bool, path: &str) -> RequestBuilder {
        let url = format!("{}/rest/{path}", self.base);
        if post { self.http.post(url) } else { self.http.get(url) }
    }

    async fn get(&self, path: &str) -> Value {
        let answer = read(self.request(false, path)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    }

    /// One page of participants of the 10 km, without their elements.
    async fn participants(&self, query: &str) -> Vec<Value> {
        let path = format!("race/{RACE}/participants?event_id={TEN_KM}&supports_nb=T&{query}");
        let body = self.get(&path).await;
        body[0]["participants"].as_array().cloned().unwrap_or_default()
    }

    async fn ids(&self, query: &str) -> Vec<i64> {
        let rows = self.participants(query).await;
        rows.iter().map(|row| row["registration_id"].as_i64().unwrap()).collect()
    }

    /// A write whose JSON goes into the form.
    async fn post(&self, path: &str, form: &[(&str, &str)], request: &Value) -> Value {
        let request = request.to_string();
        let mut form = form.to_vec();
        form.extend([("request_format", "json"), ("request", request.as_str())]);
        let answer = read(self.request(true, path).form(&form)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    }

    async fn write(&self, restrict: &str, rows: Value) -> Value {
        let (path, event) = (format!("race/{RACE}/participants"), TEN_KM.to_string());
        let form = [("event_id", event.as_str()), ("restrict_potential_dup", restrict)];
        self.post(&path, &form, &json!({ "participants": rows })).await
    }

    /// Adds a participant with this EMS id; returns the registration's id.
    async fn add(&self, ems_id: &str) -> i64 {
        id(&self.write("T", json!([person(ems_id)])).await)
    }
}

async fn read(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    Answer { status, headers, text: response.text().await.unwrap() }
}

fn id(answer: &Value) -> i64 {
    answer["participants"][0]["registration_id"].as_i64().unwrap_or_else(|| panic!("{answer}"))
}

fn code(answer: &Value) -> u64 {
    answer["error"]["error_code"].as_u64().unwrap_or_else(|| panic!("no error: {answer}"))
}

/// The code of a write's row.
fn row_code(answer: &Value, row: usize) -> u64 {
    answer["error_details"][row]["error_code"].as_u64().unwrap_or_else(|| panic!("{answer}"))
}

/// A row that adds the participant with this EMS id.
fn person(ems_id: &str) -> Value {
    json!({
        "user": { "first_name": "Ada", "last_name": format!("Byron {ems_id}"), "gender": "F",
                  "dob": "1990-02-28", "email": format!("a{ems_id}@example.org") },
        "question_responses": [{ "question_id": QUESTION, "response": ems_id }],
    })
}

async fn start() -> (Simulator<RunSignup>, Rsu) {
    start_with(|_| {}).await
}

async fn start_with(change: impl FnOnce(&mut RunSignupSettings)) -> (Simulator<RunSignup>, Rsu) {
    let mut options = RunSignupOptions::default();
    change(&mut options.settings);
    let sim = RunSignup::start(options).await.unwrap();
    let race = json!({ "id": RACE, "name": "Sample Race", "url_string": "AB/DC/Abcd",
                       "timezone": "America/Chicago", "questions": { QUESTION.to_string(): "EMS ID" } });
    sim.plant(Resource::Race, race).unwrap();
    sim.plant(Resource::Race, json!({ "id": 8, "name": "Without the question" })).unwrap();
    for (event, race) in [(TEN_KM, RACE), (FIVE_KM, RACE), (ELSEWHERE, 8)] {
        let event = json!({ "id": event, "race_id": race, "race_event_days_id": 12,
                            "start_time": "2099-05-01T08:30:00" });
        sim.plant(Resource::Event, event).unwrap();
    }
    let rsu = Rsu::new(&sim);
    (sim, rsu)
}

/// Registers somebody by hand, who paid; returns the registration's id.
fn register(sim: &Simulator<RunSignup>, last_name: &str, row: Value) -> i64 {
    let mut row = row;
    row["user"] = json!({ "first_name": "Max", "last_name": last_name, "dob": "1980-01-01",
                          "email": "max@example.org", "has_account": true });
    sim.register(TEN_KM, row).unwrap()
}

fn codes(sim: &Simulator<RunSignup>) -> Vec<String> {
    sim.violations().into_iter().map(|violation| violation.code).collect()
}
