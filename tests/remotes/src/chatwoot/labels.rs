//! A contact's labels: a write replaces the whole set (contract, section 3).

use std::collections::BTreeSet;

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::contacts::Desk;
use super::refusal::Refusal;
use crate::{Effect, Response, Subject};

impl Desk<'_> {
    /// `GET /contacts/{id}/labels`
    pub(super) fn read_labels(&mut self, id: &str) -> Result<Response, Refusal> {
        let contact = self.contact(id)?;
        let response = payload(&contact.labels);
        let at = self.store.contacts.writes();
        self.store.known.labels.insert(contact.id, (at, contact.labels));
        Ok(response)
    }

    /// `POST /contacts/{id}/labels`
    pub(super) fn replace_labels(
        &mut self,
        id: &str,
        body: &Map<String, Value>,
        subject: &Subject,
    ) -> Result<Response, Refusal> {
        let mut contact = self.contact(id)?;
        let sent = body.get("labels").and_then(Value::as_array).into_iter().flatten();
        let labels: BTreeSet<String> = sent.filter_map(Value::as_str).map(str::to_owned).collect();
        let dropped = contact.peoples_labels.difference(&labels);
        let known = &self.store.known;
        if dropped.into_iter().any(|label| known.of_label(&contact, label, subject.seen)) {
            self.record.violation("drops_foreign_label", format!("contact {}", contact.id));
        }
        let changed = contact.labels != labels;
        contact.peoples_labels.retain(|label| labels.contains(label));
        contact.labels.clone_from(&labels);
        let contact_id = contact.id;
        self.store.contacts.put(contact);
        let ems_id = subject.external_ids.first().cloned();
        self.note(ems_id, Some(contact_id), Effect::Patched, changed, StatusCode::OK);
        Ok(payload(&labels))
    }
}

fn payload(labels: &BTreeSet<String>) -> Response {
    Response::json(StatusCode::OK, &json!({ "payload": labels }))
}
