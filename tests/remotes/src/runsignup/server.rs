//! The server: its state, and what the core asks of it.

use std::sync::Mutex;

use hyper::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::auth::Tokens;
use super::error::{ApiError, web_server};
use super::options::{RunSignupOptions, RunSignupSettings};
use super::participants::participant;
use super::query::Filter;
use super::resource::Resource;
use super::rows::{Registration, User};
use super::store::Store;
use super::subject;
use super::throttle::Throttle;
use crate::sync::lock;
use crate::{ControlError, Operation, Record, Remote, Request, Response, Subject, Upheaval};

/// A simulated RunSignup.
#[derive(Debug)]
pub struct RunSignup {
    pub(super) api_key: String,
    pub(super) api_secret: String,
    pub(super) caller_registration: String,
    pub(super) caller_registration_secret: String,
    pub(super) oauth_client_id: String,
    pub(super) callback_secret: String,
    pub(super) store: Mutex<Store>,
    pub(super) tokens: Mutex<Tokens>,
    pub(super) throttle: Mutex<Throttle>,
    /// The nonces of signed calls, and when they were used.
    pub(super) nonces: Mutex<Vec<(String, i64)>>,
    settings: Mutex<RunSignupSettings>,
}

impl RunSignup {
    /// A server without rows; `options.server` is for whoever starts it.
    pub fn new(options: &RunSignupOptions) -> Self {
        Self {
            api_key: options.api_key.clone(),
            api_secret: options.api_secret.clone(),
            caller_registration: options.caller_registration.clone(),
            caller_registration_secret: options.caller_registration_secret.clone(),
            oauth_client_id: options.oauth_client_id.clone(),
            callback_secret: options.callback_secret.clone(),
            store: Mutex::new(Store::new()),
            tokens: Mutex::new(Tokens::default()),
            throttle: Mutex::new(Throttle::default()),
            nonces: Mutex::new(Vec::new()),
            settings: Mutex::new(options.settings.clone()),
        }
    }

    /// The settings as they are now.
    pub(super) fn current_settings(&self) -> RunSignupSettings {
        lock(&self.settings).clone()
    }

    /// Changes the settings; the calls so far are forgotten.
    pub(super) fn configure(&self, change: impl FnOnce(&mut RunSignupSettings)) {
        change(&mut lock(&self.settings));
        lock(&self.throttle).forget();
    }

    fn named(name: &str) -> Result<Resource, ControlError> {
        Resource::named(name).ok_or_else(|| ControlError::UnknownResource(name.to_owned()))
    }

    /// A participant that is not one of `external_ids`, made up if there is none.
    fn stranger(&self, external_ids: &[String]) -> (i64, Value) {
        let store = lock(&self.store);
        let filter = Filter::default();
        let is_other = |one: &&Registration| {
            let key = store.ems_id(one).map_or_else(|| format!("reg-{}", one.id), str::to_owned);
            one.active && !external_ids.contains(&key)
        };
        if let Some(other) = store.registrations().find(is_other) {
            return (other.event_id, participant(&store, other, &filter));
        }
        let user = User {
            id: 1,
            first_name: "Some".to_owned(),
            last_name: "Body-Else".to_owned(),
            ..User::default()
        };
        let mut nobodys = Store::new();
        nobodys.users.insert(1, user);
        let other = Registration { id: 1, event_id: 1, user_id: 1, ..Registration::default() };
        (1, participant(&nobodys, &other, &filter))
    }
}

impl Remote for RunSignup {
    fn name(&self) -> &'static str {
        "runsignup"
    }

    fn subject(&self, request: &Request) -> Subject {
        subject::subject(request, &lock(&self.store))
    }

    fn answer(&self, request: &Request, subject: &Subject, record: &mut Record) -> Response {
        self.serve(request, subject, record)
    }

    fn plain_error(&self, status: StatusCode, _request: &Request) -> Response {
        match status {
            StatusCode::BAD_REQUEST => Response::json(status, &ApiError::new(17).body()),
            StatusCode::TOO_MANY_REQUESTS => Response::json(status, &ApiError::new(14).body()),
            _ => web_server(status),
        }
    }

    fn strangers_record(&self, _request: &Request, subject: &Subject) -> Response {
        let (event, row) = self.stranger(&subject.external_ids);
        let body = match subject.operation {
            Operation::Read | Operation::Find | Operation::List
                if subject.resource == Some(Resource::Registration.segment()) =>
            {
                json!([{ "event": { "event_id": event }, "participants": [row] }])
            }
            Operation::Create
            | Operation::Replace
            | Operation::Patch
            | Operation::Delete
            | Operation::Bulk => {
                let one = json!({ "registration_id": row.get("registration_id") });
                json!({ "participants": vec![one; subject.external_ids.len().max(1)] })
            }
            Operation::Login
            | Operation::Probe
            | Operation::Info
            | Operation::Read
            | Operation::Find
            | Operation::List
            | Operation::Other => {
                json!({ "race": { "race_id": 1, "name": "Somebody else's", "events": [] } })
            }
        };
        Response::json(StatusCode::OK, &body)
    }

    fn upheave(&self, upheaval: Upheaval, request: Option<&Request>) {
        match upheaval {
            Upheaval::RevokeToken => match request.and_then(Request::bearer) {
                Some(token) => lock(&self.tokens).revoke(token),
                None => lock(&self.settings).key_valid = false,
            },
            Upheaval::NewSecret => {
                lock(&self.tokens).revoke_all();
                lock(&self.settings).key_valid = false;
            }
            Upheaval::Wipe => lock(&self.store).wipe(),
            Upheaval::Reimage(how) => lock(&self.store).reimage(how),
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
        self.all_rows(Self::named(resource)?)
    }

    fn plant_row(&self, resource: &str, row: &Value) -> Result<Value, ControlError> {
        self.plant(Self::named(resource)?, row)
    }

    fn remove_row(&self, resource: &str, id: &str) -> Result<bool, ControlError> {
        let resource = Self::named(resource)?;
        Ok(id.parse().is_ok_and(|id| self.tear_out(resource, id)))
    }

    fn act(&self, act: &Value) -> Result<Value, ControlError> {
        self.perform(act)
    }

    fn settings(&self) -> Value {
        serde_json::to_value(self.current_settings()).unwrap_or_default()
    }

    fn change_settings(&self, change: &Value) -> Result<(), ControlError> {
        let unfit = |error: serde_json::Error| ControlError::Unfit(error.to_string());
        let mut merged: Map<String, Value> =
            serde_json::from_value(self.settings()).map_err(unfit)?;
        merged.extend(change.as_object().cloned().unwrap_or_default());
        let settings = serde_json::from_value(Value::Object(merged)).map_err(unfit)?;
        self.configure(|current| *current = settings);
        Ok(())
    }
}
