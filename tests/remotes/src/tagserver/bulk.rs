//! The bulk endpoint: each row on its own, answers in the order of the request.

use std::collections::HashSet;

use hyper::StatusCode;
use serde_json::{Value, json};

use super::problem::Problem;
use super::write::{Desk, external_id};
use crate::{Effect, Response};

/// Bodies in one request.
const MAX_ROWS: usize = 500;

impl Desk<'_> {
    /// `POST /api/races/bulk`
    pub(super) fn bulk(&mut self, body: &Value, path: &str) -> Result<Response, Problem> {
        let Some(bodies) = body.as_array() else {
            self.record.violation("malformed_json", "an array was expected");
            return Err(Problem::plain(StatusCode::BAD_REQUEST, "Failed to read request"));
        };
        if bodies.len() > MAX_ROWS {
            self.record.violation("bulk_too_large", format!("{} rows", bodies.len()));
            let detail = format!("At most {MAX_ROWS} rows are taken");
            return Err(Problem::plain(StatusCode::PAYLOAD_TOO_LARGE, detail));
        }
        let mut seen = HashSet::new();
        for id in bodies.iter().filter_map(external_id) {
            if !seen.insert(id.clone()) {
                let detail = format!("{} {id}", self.resource);
                self.record.violation("duplicate_in_bulk", detail);
            }
        }
        let rows = bodies.iter().map(|body| self.bulk_row(body, path)).collect();
        Ok(Response::json(StatusCode::OK, &Value::Array(rows)))
    }

    fn bulk_row(&mut self, body: &Value, path: &str) -> Value {
        let id = body.get("id").filter(|id| !id.is_null());
        let written = match id {
            None => self.create(body).map(|written| (written, Effect::Created, true)),
            Some(_) => self
                .replace(None, body)
                .map(|(written, changed)| (written, Effect::Replaced, changed)),
        };
        match written {
            Ok((written, effect, changed)) => {
                let status = written.status;
                self.note(external_id(body), Some(written.id), effect, changed, status);
                json!({ "status": status.as_u16(), "body": written.body })
            }
            Err(problem) => {
                let problem = problem.in_bulk();
                let id = id.and_then(Value::as_i64);
                self.note(external_id(body), id, Effect::Refused, false, problem.status);
                json!({ "status": problem.status.as_u16(), "problem": problem.to_value(path) })
            }
        }
    }
}
