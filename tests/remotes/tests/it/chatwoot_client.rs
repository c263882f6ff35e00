//! A client of Chatwoot that checks nothing and hides nothing.

use ems_sync_remotes::Simulator;
use ems_sync_remotes::chatwoot::{Chatwoot, ChatwootOptions, ChatwootSettings, Locale};
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::client::{Answer, builder};

/// A client with an access token.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    pub(crate) http: Client,
    pub(crate) root: String,
    pub(crate) header: &'static str,
    pub(crate) token: String,
}

impl Desk {
    pub(crate) fn new(sim: &Simulator<Chatwoot>) -> Self {
        Self {
            http: builder().build().unwrap(),
            root: format!("{}/api/v1/accounts/1", sim.base_url()),
            header: "Api-Access-Token",
            token: "ems-sync-token".to_owned(),
        }
    }

    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    pub(crate) async fn try_send(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> reqwest::Result<Answer> {
        let url = format!("{}/{path}", self.root);
        let mut request = self.http.request(method, url).header(self.header, &self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Answer { status, headers, text: response.text().await? })
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.try_send(method, path, body).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PUT, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }

    /// Filters contacts by equality of one key.
    pub(crate) async fn find(&self, key: &str, value: &str) -> Vec<i64> {
        let answer = self.post("contacts/filter", equal(key, value)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        ids(&answer.json())
    }

    /// Looks a contact up and creates it, as a correct client does; returns its id.
    pub(crate) async fn create(&self, ems_id: &str, body: Value) -> i64 {
        let mut body = body;
        body["identifier"] = json!(format!("ems-person-{ems_id}"));
        assert!(self.find("identifier", &format!("ems-person-{ems_id}")).await.is_empty());
        let answer = self.post("contacts", body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["payload"]["contact"]["id"].as_i64().unwrap()
    }
}

pub(crate) fn equal(key: &str, value: &str) -> Value {
    json!({ "payload": [{
        "attribute_key": key,
        "filter_operator": "equal_to",
        "values": [value],
        "query_operator": null,
    }]})
}

/// The ids of a list's payload.
pub(crate) fn ids(list: &Value) -> Vec<i64> {
    let payload = list["payload"].as_array().unwrap_or_else(|| panic!("no payload: {list}"));
    payload.iter().map(|row| row["id"].as_i64().unwrap()).collect()
}

pub(crate) fn codes(sim: &Simulator<Chatwoot>) -> Vec<String> {
    sim.violations().into_iter().map(|violation| violation.code).collect()
}

pub(crate) async fn start() -> (Simulator<Chatwoot>, Desk) {
    start_with(|_| {}).await
}

/// Starts a Chatwoot that speaks English.
pub(crate) async fn start_with(
    change: impl FnOnce(&mut ChatwootSettings),
) -> (Simulator<Chatwoot>, Desk) {
    let mut options = ChatwootOptions::default();
    options.settings.locale = Locale::English;
    change(&mut options.settings);
    let sim = Chatwoot::start(options).await.unwrap();
    let desk = Desk::new(&sim);
    (sim, desk)
}
