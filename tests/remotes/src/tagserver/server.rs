//! The server: its state, and where each request goes.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::draft::Draft;
use super::field::Digits;
use super::options::{TagServerOptions, TagServerSettings};
use super::problem::plain_error;
use super::resource::Resource;
use super::route::{self, Route};
use super::store::{Fields, Row, Store};
use super::token::Signer;
use crate::sync::lock;
use crate::{ControlError, Operation, Record, Remote, Request, Response, Subject, Upheaval};

/// A simulated TagServer.
#[derive(Debug)]
pub struct TagServer {
    pub(super) username: String,
    pub(super) password: String,
    pub(super) store: Mutex<Store>,
    pub(super) signer: Mutex<Signer>,
    settings: Mutex<TagServerSettings>,
    instance: Mutex<Uuid>,
    answers: AtomicU64,
}

impl TagServer {
    /// A server without rows; `options.server` is for whoever starts it.
    pub fn new(options: &TagServerOptions) -> Self {
        Self {
            username: options.username.clone(),
            password: options.password.clone(),
            store: Mutex::new(Store::new(options.first_id)),
            signer: Mutex::new(Signer::new()),
            settings: Mutex::new(options.settings.clone()),
            instance: Mutex::new(Uuid::new_v4()),
            answers: AtomicU64::new(0),
        }
    }

    /// The settings as they are now.
    pub(super) fn current_settings(&self) -> TagServerSettings {
        lock(&self.settings).clone()
    }

    /// Changes the settings.
    pub(super) fn configure(&self, change: impl FnOnce(&mut TagServerSettings)) {
        change(&mut lock(&self.settings));
    }

    /// Which installation this is.
    pub(super) fn instance(&self) -> Uuid {
        *lock(&self.instance)
    }

    /// Makes or changes a row behind the worker's back: types, relations and uniqueness must fit,
    /// nothing is required.
    pub(super) fn plant(&self, resource: Resource, body: &Value) -> Result<Row, ControlError> {
        let unfit = |why: String| ControlError::Unfit(why);
        let body = body.as_object().ok_or_else(|| unfit("a row is an object".to_owned()))?;
        let known = |name: &str| {
            matches!(name, "id" | "externalId")
                || resource.fields().iter().any(|field| field.name == name)
        };
        if let Some(name) = body.keys().find(|name| !known(name)) {
            return Err(unfit(format!("{resource} has no field {name}")));
        }
        let draft =
            Draft::partial(resource, body).map_err(|errors| unfit(format!("{errors:?}")))?;
        let mut store = lock(&self.store);
        let before = draft.id.and_then(|id| store.get(resource, id)).cloned();
        let planted = match (draft.id, before) {
            (Some(id), Some(before)) => {
                store.replace(resource, id, draft.planted_onto(&before)).map(|_| id)
            }
            (id, _) => {
                let fields = draft.planted_onto(&Fields::empty(resource));
                store.insert(resource, id, fields)
            }
        };
        let id = planted.map_err(|refusal| unfit(format!("{refusal:?}")))?;
        store.row(resource, id).ok_or_else(|| unfit("it is gone".to_owned()))
    }

    /// All rows of a resource, by id.
    pub(super) fn all_rows(&self, resource: Resource) -> Vec<Row> {
        let store = lock(&self.store);
        store.ids(resource).iter().filter_map(|id| store.row(resource, *id)).collect()
    }

    /// Another number of sub-second digits in every answer.
    pub(super) fn digits(&self) -> Digits {
        let answer = self.answers.fetch_add(1, Ordering::Relaxed);
        Digits::Steps(u8::try_from(answer % 4).unwrap_or(0))
    }

    /// A row that is not one of `external_ids`, made up if there is none.
    fn strangers_row(&self, resource: Resource, external_ids: &[String]) -> Value {
        let store = lock(&self.store);
        let other = store.ids(resource).iter().find_map(|id| {
            let fields = store.get(resource, *id)?;
            let is_other = fields.external_id.as_ref().is_some_and(|id| !external_ids.contains(id));
            is_other.then(|| fields.body(resource, *id, Digits::Fewest))
        });
        other.unwrap_or_else(|| {
            let fields =
                Fields { external_id: Some("somebody-else".to_owned()), ..Fields::empty(resource) };
            fields.body(resource, 1, Digits::Fewest)
        })
    }

    fn named(name: &str) -> Result<Resource, ControlError> {
        Resource::named(name).ok_or_else(|| ControlError::UnknownResource(name.to_owned()))
    }
}

impl Remote for TagServer {
    fn name(&self) -> &'static str {
        "tagserver"
    }

    fn subject(&self, request: &Request) -> Subject {
        route::subject(request, &lock(&self.store))
    }

    fn answer(&self, request: &Request, subject: &Subject, record: &mut Record) -> Response {
        if request.oversized {
            record.violation("body_too_large", subject.route.as_str());
            return plain_error(StatusCode::PAYLOAD_TOO_LARGE, &request.path);
        }
        let route = Route::of(&request.path);
        match (&route, subject.operation) {
            (Route::Authenticate, Operation::Login) => return self.login(request, record),
            (Route::Authenticate, Operation::Probe) => return self.probe(request),
            (Route::Info, Operation::Info) => return self.info(),
            _ => {}
        }
        if let Some(refused) = self.refuse_stranger(request) {
            return refused;
        }
        let served = self.serve(&route, request, subject, record);
        served.unwrap_or_else(|problem| problem.into_response(&request.path))
    }

    fn plain_error(&self, status: StatusCode, request: &Request) -> Response {
        plain_error(status, &request.path)
    }

    fn strangers_record(&self, _request: &Request, subject: &Subject) -> Response {
        let Some(resource) = subject.resource.and_then(Resource::named) else {
            return Response::json(StatusCode::OK, &json!({ "id_token": "somebody-else" }));
        };
        let row = self.strangers_row(resource, &subject.external_ids);
        let body = if matches!(subject.operation, Operation::Find | Operation::List) {
            json!([row])
        } else if subject.operation == Operation::Bulk {
            let one = json!({ "status": 200, "body": row });
            Value::Array(vec![one; subject.external_ids.len()])
        } else {
            row
        };
        let created = subject.operation == Operation::Create;
        Response::json(if created { StatusCode::CREATED } else { StatusCode::OK }, &body)
    }

    fn upheave(&self, upheaval: Upheaval, request: Option<&Request>) {
        match upheaval {
            Upheaval::RevokeToken => {
                if let Some(token) = request.and_then(Request::bearer) {
                    lock(&self.signer).revoke(token);
                }
            }
            Upheaval::NewSecret => *lock(&self.signer) = Signer::new(),
            Upheaval::Wipe => lock(&self.store).wipe(),
            Upheaval::Reimage(how) => {
                lock(&self.store).reimage(how);
                *lock(&self.signer) = Signer::new();
                *lock(&self.instance) = Uuid::new_v4();
            }
        }
    }

    fn now(&self) -> Timestamp {
        let offset = SignedDuration::from_secs(lock(&self.settings).clock_offset_seconds);
        let now = Timestamp::now();
        now.checked_add(offset).unwrap_or(now)
    }

    fn resource_name(&self, name: &str) -> Option<&'static str> {
        Resource::named(name).map(Resource::segment)
    }

    fn resources(&self) -> Vec<&'static str> {
        Resource::ALL.into_iter().map(Resource::segment).collect()
    }

    fn rows_of(&self, resource: &str) -> Result<Vec<Value>, ControlError> {
        let rows = self.all_rows(Self::named(resource)?);
        Ok(rows.into_iter().map(|row| row.body).collect())
    }

    fn plant_row(&self, resource: &str, row: &Value) -> Result<Value, ControlError> {
        self.plant(Self::named(resource)?, row).map(|row| row.body)
    }

    fn remove_row(&self, resource: &str, id: &str) -> Result<bool, ControlError> {
        let resource = Self::named(resource)?;
        Ok(id.parse().is_ok_and(|id| lock(&self.store).tear_out(resource, id)))
    }

    fn settings(&self) -> Value {
        serde_json::to_value(self.current_settings()).unwrap_or_default()
    }

    fn change_settings(&self, change: &Value) -> Result<(), ControlError> {
        let unfit = |error: serde_json::Error| ControlError::Unfit(error.to_string());
        let mut settings = lock(&self.settings);
        let mut merged: Map<String, Value> =
            serde_json::from_value(serde_json::to_value(&*settings).map_err(unfit)?)
                .map_err(unfit)?;
        merged.extend(change.as_object().cloned().unwrap_or_default());
        *settings = serde_json::from_value(Value::Object(merged)).map_err(unfit)?;
        Ok(())
    }
}
