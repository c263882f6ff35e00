//! `POST /batches`: many requests in one, done in no order, their results in a file.

use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::member::stamp;
use super::options::MailChimpSettings;
use super::problem::{FieldError, Problem, bare};
use super::route::{RESULTS, Route, inner};
use super::serve::json_body;
use super::server::MailChimp;
use crate::sync::lock;
use crate::{Record, Remote as _, Request, Response};

/// How many operations are safe: the sources disagree on the limit.
const SAFE_OPERATIONS: usize = 500;

/// All batches of the account.
#[derive(Debug, Default)]
pub(super) struct Batches {
    batches: Vec<Batch>,
    next_id: u64,
}

#[derive(Debug)]
struct Batch {
    id: String,
    total: usize,
    errored: usize,
    polls: u32,
    submitted: Timestamp,
    completed: Option<Timestamp>,
    results: Vec<u8>,
}

impl Batch {
    fn to_value(&self, base_url: &str) -> Value {
        let done = self.completed.is_some();
        let status = match self.polls {
            _ if done => "finished",
            0 => "pending",
            _ => "started",
        };
        let url = format!("{base_url}{RESULTS}{}.tar.gz", self.id);
        json!({
            "id": self.id,
            "status": status,
            "total_operations": self.total,
            "finished_operations": if done { self.total } else { 0 },
            "errored_operations": if done { self.errored } else { 0 },
            "submitted_at": stamp(self.submitted),
            "completed_at": self.completed.map_or_else(String::new, stamp),
            "response_body_url": if done { url } else { String::new() },
            "_links": [],
        })
    }
}

impl MailChimp {
    /// Whatever concerns batches; `None` is for others, null an answer without a body.
    pub(super) fn serve_batch(
        &self,
        route: &Route,
        request: &Request,
        record: &mut Record,
    ) -> Option<Result<Value, Problem>> {
        match (route, &request.method) {
            (Route::Batches, &Method::POST) => Some(self.submit(request, record)),
            (Route::Batches, _) => {
                let batches = lock(&self.batches);
                let values = batches.batches.iter().map(|batch| batch.to_value(self.base_url()));
                let values: Vec<Value> = values.collect();
                Some(super::read::page("batches", values, request, record))
            }
            (Route::Batch(id), &Method::DELETE) => {
                lock(&self.batches).batches.retain(|batch| batch.id != *id);
                Some(Ok(Value::Null))
            }
            (Route::Batch(id), _) => Some(self.poll(id)),
            _ => None,
        }
    }

    /// The file with the results; nobody's key is asked for, but it is soon gone.
    pub(super) fn batch_results(&self, name: &str, request: &Request) -> Response {
        let life = self.current_settings().batch_url_seconds;
        let now = self.now();
        let batches = lock(&self.batches);
        let found = batches.batches.iter().find(|batch| format!("{}.tar.gz", batch.id) == name);
        let fresh = found.filter(|batch| {
            batch.completed.is_some_and(|completed| {
                let age = now.as_second().saturating_sub(completed.as_second());
                u64::try_from(age).is_ok_and(|age| age <= life)
            })
        });
        match fresh {
            Some(batch) if request.method == Method::GET => {
                Response::text(StatusCode::OK, "application/gzip", batch.results.clone())
            }
            _ => bare(StatusCode::FORBIDDEN),
        }
    }

    fn base_url(&self) -> &str {
        self.base_url.get().map_or("", String::as_str)
    }

    /// The operations are done at once, the last first; it is told later.
    fn submit(&self, request: &Request, record: &mut Record) -> Result<Value, Problem> {
        let settings = self.current_settings();
        self.check_pending(&settings)?;
        let body = json_body(request, record)?;
        let operations = body.get("operations").and_then(Value::as_array).ok_or_else(|| {
            Problem::schema(vec![FieldError::new("operations", "This value should not be blank.")])
        })?;
        if operations.len() > SAFE_OPERATIONS {
            record.violation("batch_too_large", operations.len().to_string());
        }
        let mut results: Vec<(u16, Value)> =
            operations.iter().rev().map(|operation| self.perform(operation, record)).collect();
        results.reverse();
        let errored = results.iter().filter(|(status, _)| *status >= 400).count();
        let results: Vec<Value> = results.into_iter().map(|(_, result)| result).collect();
        let mut batches = lock(&self.batches);
        batches.next_id += 1;
        let id = format!("{:010x}", batches.next_id);
        let batch = Batch {
            results: packed(&id, &Value::Array(results)).unwrap_or_default(),
            id,
            total: operations.len(),
            errored,
            polls: 0,
            submitted: self.now(),
            completed: None,
        };
        let value = batch.to_value(self.base_url());
        batches.batches.push(batch);
        Ok(value)
    }

    fn check_pending(&self, settings: &MailChimpSettings) -> Result<(), Problem> {
        let batches = lock(&self.batches);
        let pending = batches.batches.iter().filter(|batch| batch.completed.is_none()).count();
        if pending < settings.max_pending_batches {
            Ok(())
        } else {
            Err(Problem::too_many_batches())
        }
    }

    fn poll(&self, id: &str) -> Result<Value, Problem> {
        let wanted = self.current_settings().batch_polls;
        let now = self.now();
        let mut batches = lock(&self.batches);
        let mut found = batches.batches.iter_mut();
        let batch = found.find(|batch| batch.id == id).ok_or_else(Problem::not_found)?;
        batch.polls = batch.polls.saturating_add(1);
        if batch.polls >= wanted && batch.completed.is_none() {
            batch.completed = Some(now);
        }
        Ok(batch.to_value(self.base_url()))
    }

    fn perform(&self, operation: &Value, record: &mut Record) -> (u16, Value) {
        let operation_id = operation.get("operation_id").and_then(Value::as_str);
        if operation_id.is_none_or(str::is_empty) {
            record.violation("operation_without_id", "");
        }
        let answered = self.perform_inner(operation, record);
        let response = answered.unwrap_or_else(|problem| self.refuse(problem));
        let status = response.status.as_u16();
        let result = json!({
            "status_code": status,
            "operation_id": operation_id,
            "response": String::from_utf8_lossy(&response.body),
        });
        (status, result)
    }

    fn perform_inner(&self, operation: &Value, record: &mut Record) -> Result<Response, Problem> {
        if operation.get("body").is_some_and(|body| !body.is_string()) {
            record.violation("batch_body_not_string", "");
            let message = "Schema describes string, object found instead";
            return Err(Problem::schema(vec![FieldError::new("body", message)]));
        }
        let request = inner(operation)
            .ok_or_else(|| Problem::bad_request("The operation cannot be understood."))?;
        let route = Route::of(&request.path);
        if matches!(route, Route::Batches | Route::Batch(_) | Route::Results(_)) {
            return Err(Problem::not_allowed("A batch cannot be in a batch."));
        }
        self.serve(&route, &request, record)
    }
}

/// A gzipped tar file that starts with the directory itself, as MailChimp's do.
fn packed(id: &str, results: &Value) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut directory = tar::Header::new_gnu();
    // `set_path` would refuse "./", which has no name.
    for (place, byte) in directory.as_old_mut().name.iter_mut().zip(b"./") {
        *place = *byte;
    }
    directory.set_entry_type(tar::EntryType::Directory);
    directory.set_mode(0o755);
    directory.set_size(0);
    directory.set_cksum();
    archive.append(&directory, std::io::empty())?;
    let text = results.to_string();
    let mut file = tar::Header::new_gnu();
    file.set_mode(0o644);
    file.set_size(u64::try_from(text.len()).unwrap_or(u64::MAX));
    archive.append_data(&mut file, format!("{id}.json"), text.as_bytes())?;
    archive.into_inner()?.finish()
}
