//! A client of Mautic that checks nothing.

use ems_sync_remotes::Simulator;
use ems_sync_remotes::mautic::{Mautic, MauticOptions, MauticSettings};
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Answer, Api, builder};

/// A simulator and a client with a token.
pub(crate) struct Site {
    pub(crate) sim: Simulator<Mautic>,
    pub(crate) api: Api,
}

pub(crate) async fn start() -> Site {
    start_with(|_| {}).await
}

pub(crate) async fn start_with(change: impl FnOnce(&mut MauticSettings)) -> Site {
    let mut options = MauticOptions::default();
    change(&mut options.settings);
    let sim = Mautic::start(options).await.unwrap();
    let http = builder().build().unwrap();
    let api = Api { http, base: sim.base_url(), token: Some(sim.issue_token()) };
    Site { sim, api }
}

impl Site {
    pub(crate) async fn call(&self, method: Method, path: &str, body: Value) -> Answer {
        let path = format!("/api{path}");
        self.api.send(method, &path, "application/json", Some(body.to_string())).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.api.get(&format!("/api{path}")).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, body).await
    }

    pub(crate) async fn patch(&self, id: i64, body: Value) -> Answer {
        self.call(Method::PATCH, &format!("/contacts/{id}/edit"), body).await
    }

    pub(crate) async fn put(&self, id: i64, body: Value) -> Answer {
        self.call(Method::PUT, &format!("/contacts/{id}/edit"), body).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.api.delete(&format!("/api{path}")).await
    }

    /// Creates a contact for this person; returns its id.
    pub(crate) async fn person(&self, ems_id: &str) -> i64 {
        let answer = self.post("/contacts/new", person(ems_id)).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        id_of(&answer)
    }

    pub(crate) fn violations(&self, code: &str) -> usize {
        self.sim.counters().violations_of(code).len()
    }

    /// A field's value as the simulator holds it.
    pub(crate) fn value(&self, id: i64, alias: &str) -> Value {
        self.sim.contact(id).unwrap().values.get(alias).cloned().unwrap_or_default()
    }

    /// A call of the control API.
    pub(crate) async fn control(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let url = format!("{}/_sim/{path}", self.sim.control_url());
        let response = self.api.http.request(method, url).json(&body).send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default())
    }
}

pub(crate) fn person(ems_id: &str) -> Value {
    json!({
        "email": format!("p{ems_id}@example.org"), "firstname": "Ada", "ems_person_id": ems_id,
    })
}

pub(crate) fn id_of(answer: &Answer) -> i64 {
    let id = answer.json()["contact"]["id"].as_i64();
    id.unwrap_or_else(|| panic!("no id: {}", answer.text))
}

/// The envelope of a refusal; the message is translated in the field, so nobody looks at it.
pub(crate) fn assert_refused(answer: &Answer, status: u16) {
    assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
    assert_eq!(answer.json()["errors"][0]["code"], status, "{}", answer.text);
}
