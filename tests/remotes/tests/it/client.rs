//! A client that checks nothing and hides nothing.

use std::sync::Once;
use std::time::Duration;

use ems_sync_remotes::Simulator;
use ems_sync_remotes::tagserver::{Resource, TagServer, TagServerOptions, TagServerSettings};
use reqwest::header::HeaderMap;
use reqwest::{Client, ClientBuilder, Method, StatusCode};
use serde_json::{Value, json};

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn id(&self) -> i64 {
        self.json()["id"].as_i64().unwrap_or_else(|| panic!("no id: {}", self.text))
    }

    /// A problem of this status and message, as RFC 7807 wants it.
    pub(crate) fn assert_problem(&self, status: u16, message: &str) {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["message"], message, "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        for name in ["type", "title", "detail", "path"] {
            assert!(problem[name].is_string(), "{name}: {problem}");
        }
    }
}

/// A client with a bearer.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    pub(crate) http: Client,
    pub(crate) base: String,
    pub(crate) token: Option<String>,
}

impl Api {
    pub(crate) fn new(sim: &Simulator<TagServer>) -> Self {
        let http = builder().build().unwrap();
        Self { http, base: sim.base_url(), token: Some(sim.issue_token()) }
    }

    pub(crate) fn stranger(sim: &Simulator<TagServer>) -> Self {
        Self { token: None, ..Self::new(sim) }
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        media_type: &str,
        body: Option<String>,
    ) -> reqwest::Result<Answer> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.header("Content-Type", media_type).body(body);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Answer { status, headers, text: response.text().await? })
    }

    pub(crate) async fn try_post(&self, path: &str, body: &Value) -> reqwest::Result<Answer> {
        self.send(Method::POST, path, "application/json", Some(body.to_string())).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.try_post(path, &body).await.unwrap()
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        let body = Some(body.to_string());
        self.send(Method::PUT, path, "application/json", body).await.unwrap()
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        let body = Some(body.to_string());
        self.send(Method::PATCH, path, "application/merge-patch+json", body).await.unwrap()
    }

    pub(crate) async fn try_get(&self, path: &str) -> reqwest::Result<Answer> {
        self.send(Method::GET, path, "", None).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.try_get(path).await.unwrap()
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, "", None).await.unwrap()
    }

    /// Creates an organisation with this `externalId`; returns its id.
    pub(crate) async fn organisation(&self, external_id: &str) -> i64 {
        let answer = self.post("/api/organisations", organisation(external_id)).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.id()
    }
}

pub(crate) fn organisation(external_id: &str) -> Value {
    json!({ "externalId": external_id, "name": format!("Club {external_id}") })
}

pub(crate) fn builder() -> ClientBuilder {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        rustls::crypto::ring::default_provider().install_default().unwrap();
    });
    Client::builder().no_proxy().timeout(Duration::from_secs(20))
}

pub(crate) async fn start() -> (Simulator<TagServer>, Api) {
    start_with(|_| {}).await
}

pub(crate) async fn start_with(
    change: impl FnOnce(&mut TagServerSettings),
) -> (Simulator<TagServer>, Api) {
    let mut options = TagServerOptions::default();
    change(&mut options.settings);
    let sim = TagServer::start(options).await.unwrap();
    let api = Api::new(&sim);
    (sim, api)
}

/// Waits for what must happen; what does not happen in time has failed.
pub(crate) async fn soon<F: Future>(wait: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect("it did not happen in time")
}

/// One row of each resource, parents first, planted; the ids in that order.
pub(crate) fn plant_all(sim: &Simulator<TagServer>) -> [i64; 8] {
    let mut ids: Vec<i64> = Vec::new();
    for resource in Resource::ALL {
        let mut body = whole_body(resource, &ids);
        body["externalId"] = json!(format!("first-{resource}"));
        ids.push(sim.plant(resource, body).unwrap().id);
    }
    ids.try_into().unwrap()
}

/// A body with every field of the contract; `ids` are those of the resources before, in order.
pub(crate) fn whole_body(resource: Resource, ids: &[i64]) -> Value {
    let link = |index: usize| json!({ "id": ids[index] });
    match resource {
        Resource::Organisation => json!({ "externalId": "1", "name": "Club" }),
        Resource::Person => json!({
            "externalId": "2", "firstName": "Ada", "lastName": "Byron",
            "dateOfBirth": "1990-02-28", "gender": "FEMALE",
        }),
        Resource::Event => json!({
            "externalId": "3", "name": "Run", "startDateTime": "2026-05-01T08:00:00Z",
            "endDateTime": "2026-05-01T16:00:00Z", "timezone": "Africa/Johannesburg",
            "organiser": link(0),
        }),
        Resource::Race => json!({
            "externalId": "4", "name": "10 km", "startTime": "2026-05-01T08:30:00Z",
            "distanceMeters": 10_000, "status": "PLANNED", "event": link(2),
        }),
        Resource::StartGroup => json!({
            "externalId": "5", "name": "A", "seq": 1, "startTime": "2026-05-01T08:30:00Z",
            "race": link(3),
        }),
        Resource::EventParticipant => json!({
            "externalId": "6", "number": "007", "status": "CONFIRMED", "event": link(2),
            "person": link(1),
        }),
        Resource::StartGroupParticipant => json!({
            "externalId": "7", "seq": 3, "startGroup": link(4), "eventParticipant": link(5),
        }),
        Resource::Tag => json!({
            "externalId": "8", "number": "000123", "barcode": "0042",
            "uuid": "67e55044-10b1-426f-9247-bb680e5fe0c8", "bibNumber": "007",
            "validFrom": "2026-05-01T00:00:00Z", "validTo": "2026-05-02T00:00:00Z",
            "person": link(1),
        }),
    }
}
