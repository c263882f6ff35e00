//! `custom_attribute_definitions` (contract, section 3).

use hyper::StatusCode;
use serde_json::{Map, Value};

use super::contacts::Desk;
use super::definition::Definition;
use super::refusal::{Refusal, Why};
use crate::{Effect, Request, Response};

impl Desk<'_> {
    /// `GET /custom_attribute_definitions`
    pub(super) fn list_definitions(&self, request: &Request) -> Response {
        let model = request.query_value("attribute_model");
        let wanted = |one: &&Definition| model.is_none_or(|model| one.is_about(model));
        let found = self.store.definitions.values().filter(wanted).map(Definition::body);
        Response::json(StatusCode::OK, &Value::Array(found.collect()))
    }

    /// `POST /custom_attribute_definitions`
    pub(super) fn define(&mut self, body: &Map<String, Value>) -> Result<Response, Refusal> {
        let sent = body.get("custom_attribute_definition").cloned();
        let sent = sent.unwrap_or_else(|| Value::Object(body.clone()));
        let id = self.store.last_id + 1;
        let Some(definition) = Definition::read(id, &sent) else {
            return self.refused(None, None, Refusal::invalid("attribute_key", Why::Malformed));
        };
        if self.store.definitions.values().any(|other| other.clashes(&definition)) {
            return self.refused(None, None, Refusal::invalid("attribute_key", Why::Taken));
        }
        let id = self.store.next_id();
        let response = Response::json(StatusCode::OK, &definition.body());
        self.store.definitions.insert(id, definition);
        self.note(None, Some(id), Effect::Created, true, StatusCode::OK);
        Ok(response)
    }
}
