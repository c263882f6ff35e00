//! A client with the account's key that checks nothing and hides nothing.

use ems_sync_remotes::Simulator;
use ems_sync_remotes::mailchimp::{
    Kind, ListOptions, MailChimp, MailChimpOptions, MailChimpSettings, MergeField, subscriber_hash,
};
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::client::{Answer, builder};

pub(super) const LIST: &str = "a1b2c3d4e5";
pub(super) const ADA: &str = "Ada.Byron@club.org";

#[derive(Clone, Debug)]
pub(super) struct Api {
    http: Client,
    base: String,
    pub(super) key: String,
}

impl Api {
    pub(super) fn new(sim: &Simulator<MailChimp>) -> Self {
        let base = format!("{}/3.0", sim.base_url());
        Self { http: builder().build().unwrap(), base, key: sim.api_key().to_owned() }
    }

    pub(super) async fn try_send(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> reqwest::Result<Answer> {
        let url = format!("{}{path}", self.base);
        let mut request = self.http.request(method, url).basic_auth("any", Some(&self.key));
        if let Some(body) = body {
            request = request.header("Content-Type", "application/json").body(body);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Answer { status, headers, text: response.text().await? })
    }

    pub(super) async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.try_send(method, path, body.map(|body| body.to_string())).await.unwrap()
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(body)).await
    }

    pub(super) async fn put(&self, email: &str, body: Value) -> Answer {
        self.send(Method::PUT, &member(email), Some(body)).await
    }

    pub(super) async fn patch(&self, email: &str, body: Value) -> Answer {
        self.send(Method::PATCH, &member(email), Some(body)).await
    }

    pub(super) async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }

    /// A new member as a correct client makes one.
    pub(super) async fn upsert(&self, email: &str, ems_id: &str) -> Value {
        let answer = self.put(email, upsert(email, ems_id)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    }

    /// The member as it is.
    pub(super) async fn read(&self, email: &str) -> Value {
        let answer = self.get(&member(email)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    }
}

pub(super) fn upsert(email: &str, ems_id: &str) -> Value {
    json!({
        "email_address": email, "status_if_new": "subscribed",
        "merge_fields": { "FNAME": "Ada", "LNAME": "Byron", "EMSID": ems_id },
    })
}

pub(super) fn members() -> String {
    format!("/lists/{LIST}/members")
}

pub(super) fn member(email: &str) -> String {
    format!("/lists/{LIST}/members/{}", subscriber_hash(email))
}

/// A problem of this status and title.
#[track_caller]
pub(super) fn assert_problem(answer: &Answer, status: u16, title: &str) {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let problem = answer.json();
    assert_eq!(problem["title"], title, "{problem}");
    assert_eq!(problem["status"], status, "{problem}");
    assert_eq!(problem["instance"], answer.header("x-request-id"), "{problem}");
    assert!(problem["detail"].is_string(), "{problem}");
}

/// The codes of all breaches so far.
pub(super) fn codes(sim: &Simulator<MailChimp>) -> Vec<String> {
    sim.violations().into_iter().map(|violation| violation.code).collect()
}

pub(super) async fn start() -> (Simulator<MailChimp>, Api) {
    start_with(|_| {}).await
}

/// With the field `EMSID` and a number.
pub(super) async fn start_with(
    change: impl FnOnce(&mut MailChimpSettings),
) -> (Simulator<MailChimp>, Api) {
    let list = ListOptions::default().with_ems_id();
    let list = list.with_field(MergeField::new("LTV", "Value", Kind::Number));
    start_list(list, change).await
}

pub(super) async fn start_list(
    list: ListOptions,
    change: impl FnOnce(&mut MailChimpSettings),
) -> (Simulator<MailChimp>, Api) {
    let mut options = MailChimpOptions { lists: vec![list], ..MailChimpOptions::default() };
    change(&mut options.settings);
    let sim = MailChimp::start(options).await.unwrap();
    let api = Api::new(&sim);
    (sim, api)
}
