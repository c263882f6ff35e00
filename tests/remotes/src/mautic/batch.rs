//! Batches: the outer status says nothing, rows are told apart by their keys (section 4).

use std::collections::{HashMap, HashSet};

use hyper::StatusCode;
use serde_json::{Value, json};

use super::options::SharedStage;
use super::params::{entries, php_array};
use super::problem::Problem;
use super::route::number;
use super::write::{Desk, Written};
use crate::Effect;

/// What became of the rows, by their keys.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    contacts: Vec<(String, Value)>,
    status_codes: Vec<(String, Value)>,
    errors: Vec<(String, Value)>,
}

/// Which contact the server takes a row of an edit batch for.
struct Aim {
    /// By the ids' order, not by the row's own.
    id: Option<i64>,
    /// Whether the row itself has an id.
    has_id: bool,
    /// Whether an earlier row had the same id: its contact is detached by now.
    detached: bool,
}

impl Desk<'_> {
    /// `POST /contacts/batch/new`
    pub(super) fn batch_new(&mut self, body: &Value) -> Result<Outcome, Problem> {
        let rows = entries(body);
        self.check_size(rows.len())?;
        let mut outcome = Outcome::default();
        for (key, row) in rows {
            let created = self.create(row);
            outcome.add(key, self, created);
        }
        Ok(outcome)
    }

    /// `PATCH` or `PUT /contacts/batch/edit`
    pub(super) fn batch_edit(&mut self, body: &Value, put: bool) -> Result<Outcome, Problem> {
        let rows = entries(body);
        self.check_size(rows.len())?;
        self.check_stages(&rows)?;
        let mut outcome = Outcome::default();
        for ((key, row), aim) in rows.iter().zip(self.aims(&rows)) {
            let written = match aim.id {
                Some(id) if aim.detached => self.forgotten(id),
                Some(id) if put => self.put(id, row),
                Some(id) => self.patch(id, row),
                None if put => self.put_new(row),
                None => Err(self.unknown_row()),
            };
            // A row without an id is reported as refused, and yet it was written to another row's
            // contact.
            let missing = || Err(Problem::bad_request("Missing ID"));
            let written = if aim.has_id { written } else { missing() };
            outcome.add(key.clone(), self, written);
        }
        Ok(outcome)
    }

    /// `DELETE /contacts/batch/delete`
    pub(super) fn batch_delete(&mut self, ids: &[i64]) -> Result<Outcome, Problem> {
        self.check_size(ids.len())?;
        let mut outcome = Outcome::default();
        for (place, id) in ids.iter().enumerate() {
            let contact = self.store.get(*id).map(|contact| {
                let mut shown = contact.to_api(&self.store.fields, false);
                if let Some(shown) = shown.as_object_mut() {
                    shown.insert("id".to_owned(), Value::Null);
                }
                shown
            });
            match (self.delete(*id), contact) {
                (Ok(()), Some(contact)) => {
                    outcome.contacts.push((place.to_string(), contact));
                    outcome.status_codes.push((place.to_string(), json!(200)));
                }
                (deleted, _) => {
                    let problem = deleted.err().unwrap_or_else(Problem::not_found);
                    outcome.fail(place.to_string(), &problem);
                }
            }
        }
        Ok(outcome)
    }

    /// `BatchIdToEntityHelper`: ids are collected without their rows' keys, so that one row
    /// without an id shifts all later ids onto earlier rows.
    fn aims(&mut self, rows: &[(String, &Value)]) -> Vec<Aim> {
        let own: Vec<Option<i64>> =
            rows.iter().map(|(_, row)| row.get("id").and_then(number)).collect();
        let mut ids = own.iter().flatten().copied();
        let mut seen = HashSet::new();
        let mut aims = Vec::new();
        for (own, (key, _)) in own.iter().zip(rows) {
            let id = ids.next();
            let detached = id.is_some_and(|id| !seen.insert(id));
            if own.is_none() {
                self.record.violation("batch_row_without_id", format!("row {key}"));
            }
            if detached {
                self.record.violation("duplicate_id_in_batch", format!("row {key}"));
            }
            aims.push(Aim { id, has_id: own.is_some(), detached });
        }
        aims
    }

    /// A second row for one contact: answered as if it were written, and lost.
    fn forgotten(&mut self, id: i64) -> Result<Written, Problem> {
        let contact = self.known(id)?;
        let person = contact.ems_person_id().map(str::to_owned);
        self.note(person, Some(contact.id), Effect::Patched, false, StatusCode::OK);
        Ok(Written { id: contact.id, status: StatusCode::OK })
    }

    fn unknown_row(&mut self) -> Problem {
        self.note(None, None, Effect::Refused, false, StatusCode::NOT_FOUND);
        Problem::not_found()
    }

    fn check_size(&mut self, rows: usize) -> Result<(), Problem> {
        let limit = self.settings.batch_limit;
        if rows <= limit {
            return Ok(());
        }
        self.record.violation("batch_too_large", format!("{rows} rows"));
        let message = format!("A max of {limit} entities are supported at a time.");
        Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, message))
    }

    fn check_stages(&self, rows: &[(String, &Value)]) -> Result<(), Problem> {
        let mut rows_of: HashMap<i64, usize> = HashMap::new();
        for stage in rows.iter().filter_map(|(_, row)| row.get("stage").and_then(number)) {
            *rows_of.entry(stage).or_default() += 1;
        }
        let shared = rows_of.values().any(|rows| *rows > 1);
        match self.settings.shared_stage {
            SharedStage::ServerError if shared => Err(Problem::fatal()),
            SharedStage::ServerError | SharedStage::Accepted => Ok(()),
        }
    }
}

impl Outcome {
    fn add(&mut self, key: String, desk: &Desk<'_>, written: Result<Written, Problem>) {
        match written {
            Ok(written) => {
                let contact = desk.store.get(written.id);
                let shown = contact.map(|contact| contact.to_api(&desk.store.fields, false));
                self.contacts.push((key.clone(), shown.unwrap_or_default()));
                self.status_codes.push((key, json!(written.status.as_u16())));
            }
            Err(problem) => self.fail(key, &problem),
        }
    }

    fn fail(&mut self, key: String, problem: &Problem) {
        self.status_codes.push((key.clone(), json!(problem.status.as_u16())));
        self.errors.push((key, problem.to_value()));
    }

    /// The answer's body. What failed has no contact, so that a list may become a map with holes.
    pub(super) fn into_body(self) -> Value {
        let mut body = json!({
            "contacts": php_array(self.contacts),
            "statusCodes": php_array(self.status_codes),
        });
        if let (false, Some(body)) = (self.errors.is_empty(), body.as_object_mut()) {
            body.insert("errors".to_owned(), php_array(self.errors));
        }
        body
    }
}
