//! A contact's labels: a write replaces the whole set (contract, section 3).

use std::collections::BTreeSet;

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::contacts::Desk;
use super::refusal::Refusal;
use crate::{Effect, Response, Subject};

impl Desk<'_> {
    /// `GET /contacts/{id}/labels`
    pub(super) fn read_labels(&self, id: &str) -> Result<Response, Refusal> {
        Ok(payload(&self.contact(id)?.labels))
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
        if !contact.peoples_labels.is_subset(&labels) {
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
