//! Managing account webhooks (contract, section 6).

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::contacts::Desk;
use super::refusal::{Refusal, Why};
use super::webhook::{EVENTS, Webhook};
use crate::{Effect, Response};

impl Desk<'_> {
    /// `GET /webhooks`
    pub(super) fn list_webhooks(&self, account_id: i64) -> Response {
        let all: Vec<Value> =
            self.store.webhooks.values().map(|webhook| webhook.body(account_id)).collect();
        Response::json(StatusCode::OK, &json!({ "payload": { "webhooks": all } }))
    }

    /// `POST /webhooks`
    pub(super) fn create_webhook(
        &mut self,
        body: &Map<String, Value>,
        account_id: i64,
    ) -> Result<Response, Refusal> {
        let draft = Webhook::new(self.store.last_id + 1);
        let webhook = self.checked(draft, body)?;
        let id = self.store.next_id();
        let response = payload(&webhook, account_id);
        self.store.webhooks.insert(id, webhook);
        self.note(None, Some(id), Effect::Created, true, StatusCode::OK);
        Ok(response)
    }

    /// `PATCH /webhooks/{id}`
    pub(super) fn update_webhook(
        &mut self,
        id: &str,
        body: &Map<String, Value>,
        account_id: i64,
    ) -> Result<Response, Refusal> {
        let before = self.webhook(id)?;
        let after = self.checked(before.clone(), body)?;
        let response = payload(&after, account_id);
        let changed = before != after;
        self.store.webhooks.insert(after.id, after);
        self.note(None, Some(before.id), Effect::Patched, changed, StatusCode::OK);
        Ok(response)
    }

    /// `DELETE /webhooks/{id}`
    pub(super) fn delete_webhook(&mut self, id: &str) -> Result<Response, Refusal> {
        let webhook = self.webhook(id)?;
        self.store.webhooks.remove(&webhook.id);
        self.note(None, Some(webhook.id), Effect::Deleted, true, StatusCode::OK);
        Ok(Response::empty(StatusCode::OK))
    }

    fn webhook(&self, id: &str) -> Result<Webhook, Refusal> {
        let found = id.parse().ok().and_then(|id: i64| self.store.webhooks.get(&id));
        found.cloned().ok_or(Refusal::NotFound)
    }

    /// The webhook with what the body says, if it may be so.
    fn checked(
        &mut self,
        mut webhook: Webhook,
        body: &Map<String, Value>,
    ) -> Result<Webhook, Refusal> {
        // Some clients wrap the parameters, as Rails lets them.
        let body = body.get("webhook").and_then(Value::as_object).unwrap_or(body);
        if let Some(url) = body.get("url").and_then(Value::as_str) {
            webhook.url = url.to_owned();
        }
        if let Some(name) = body.get("name").and_then(Value::as_str) {
            webhook.name = Some(name.to_owned());
        }
        if let Some(sent) = body.get("subscriptions").and_then(Value::as_array) {
            webhook.subscriptions =
                sent.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        }
        let id = Some(webhook.id);
        if !webhook.url.starts_with("http://") && !webhook.url.starts_with("https://") {
            return self.refused(None, id, Refusal::invalid("url", Why::Malformed));
        }
        if webhook.subscriptions.iter().any(|event| !EVENTS.contains(&event.as_str())) {
            self.record.violation("unknown_subscription", "subscriptions");
            return self.refused(None, id, Refusal::invalid("subscriptions", Why::Malformed));
        }
        let is_taken = |other: &Webhook| other.url == webhook.url && other.id != webhook.id;
        if self.store.webhooks.values().any(is_taken) {
            self.record.violation("webhook_not_adopted", "url");
            return self.refused(None, id, Refusal::invalid("url", Why::Taken));
        }
        Ok(webhook)
    }
}

fn payload(webhook: &Webhook, account_id: i64) -> Response {
    let body = webhook.body(account_id);
    Response::json(StatusCode::OK, &json!({ "payload": { "webhook": body } }))
}
