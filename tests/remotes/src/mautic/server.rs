//! The server: its state, and the way of a request.

use std::sync::Mutex;

use hyper::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::auth::Tokens;
use super::options::{MauticOptions, MauticSettings, Version};
use super::plant;
use super::problem::plain_error;
use super::read::{self, CountCache};
use super::route::{self, CONTACTS, Route};
use super::store::Store;
use super::throttle::Throttle;
use crate::sync::lock;
use crate::{ControlError, Operation, Record, Remote, Request, Response, Subject, Upheaval};

/// A simulated Mautic.
#[derive(Debug)]
pub struct Mautic {
    pub(super) client_id: String,
    pub(super) client_secret: String,
    pub(super) username: String,
    pub(super) password: String,
    pub(super) store: Mutex<Store>,
    pub(super) tokens: Mutex<Tokens>,
    pub(super) counts: Mutex<CountCache>,
    throttle: Mutex<Throttle>,
    settings: Mutex<MauticSettings>,
}

impl Mautic {
    /// A server without contacts; `options.server` is for whoever starts it.
    pub fn new(options: &MauticOptions) -> Self {
        Self {
            client_id: options.client_id.clone(),
            client_secret: options.client_secret.clone(),
            username: options.username.clone(),
            password: options.password.clone(),
            store: Mutex::new(Store::new(options.first_id)),
            tokens: Mutex::new(Tokens::default()),
            counts: Mutex::new(CountCache::new()),
            throttle: Mutex::new(Throttle::default()),
            settings: Mutex::new(options.settings.clone()),
        }
    }

    /// The settings as they are now.
    pub(super) fn current_settings(&self) -> MauticSettings {
        lock(&self.settings).clone()
    }

    /// Changes the settings.
    pub(super) fn configure(&self, change: impl FnOnce(&mut MauticSettings)) {
        change(&mut lock(&self.settings));
    }

    /// Answers a request under `/api`, within the limit.
    fn answer_api(&self, request: &Request, subject: &Subject, record: &mut Record) -> Response {
        let settings = self.current_settings();
        let standing = lock(&self.throttle).count(settings.rate_limit_per_hour, self.now());
        if let Some(standing) = standing
            && let Some(refusal) = standing.refusal()
        {
            return standing.on(refusal);
        }
        let response = self.admit(request, record).map(|()| {
            let route = Route::of(&request.path);
            let version = match settings.version {
                Version::V3 => "3.1.2",
                Version::V5 => "5.2.1",
            };
            let served = self.serve(&route, request, subject, record);
            let response = served.unwrap_or_else(|problem| problem.into_response(&settings));
            response.header("Mautic-Version", version)
        });
        let response = response.unwrap_or_else(|problem| problem.into_response(&settings));
        match standing {
            Some(standing) => standing.on(response),
            None => response,
        }
    }
}

impl Remote for Mautic {
    fn name(&self) -> &'static str {
        "mautic"
    }

    fn subject(&self, request: &Request) -> Subject {
        route::subject(request, &lock(&self.store))
    }

    fn answer(&self, request: &Request, subject: &Subject, record: &mut Record) -> Response {
        if request.oversized {
            record.violation("body_too_large", subject.route.as_str());
            return self.plain_error(StatusCode::PAYLOAD_TOO_LARGE, request);
        }
        if subject.operation == Operation::Login {
            let token = self.token(request, record);
            return token.unwrap_or_else(|problem| problem.into_response(&self.current_settings()));
        }
        self.answer_api(request, subject, record)
    }

    fn plain_error(&self, status: StatusCode, request: &Request) -> Response {
        plain_error(status, &request.path, &self.current_settings())
    }

    fn strangers_record(&self, _request: &Request, subject: &Subject) -> Response {
        let contact = read::stranger(&lock(&self.store), &subject.external_ids, self.now());
        let id = contact.get("id").and_then(Value::as_i64).unwrap_or_default().to_string();
        let body = match subject.operation {
            Operation::Login => json!({
                "access_token": "somebody-else", "expires_in": 3600, "token_type": "bearer",
            }),
            Operation::Find | Operation::List => {
                json!({ "total": "1", "contacts": { id: contact } })
            }
            Operation::Bulk => {
                let rows = subject.external_ids.len();
                json!({ "contacts": vec![contact; rows], "statusCodes": vec![200; rows] })
            }
            Operation::Probe
            | Operation::Info
            | Operation::Create
            | Operation::Replace
            | Operation::Patch
            | Operation::Delete
            | Operation::Read
            | Operation::Other => json!({ "contact": contact }),
        };
        let created = subject.operation == Operation::Create;
        Response::json(if created { StatusCode::CREATED } else { StatusCode::OK }, &body)
    }

    fn upheave(&self, upheaval: Upheaval, request: Option<&Request>) {
        match upheaval {
            Upheaval::RevokeToken => {
                if let Some(token) = request.and_then(Request::bearer) {
                    lock(&self.tokens).revoke(token);
                }
            }
            Upheaval::NewSecret => lock(&self.tokens).revoke_all(),
            Upheaval::Wipe => lock(&self.store).wipe(),
            Upheaval::Reimage(how) => {
                lock(&self.store).reimage(how);
                lock(&self.tokens).revoke_all();
            }
        }
    }

    fn now(&self) -> Timestamp {
        let offset = SignedDuration::from_secs(lock(&self.settings).clock_offset_seconds);
        let now = Timestamp::now();
        now.checked_add(offset).unwrap_or(now)
    }

    fn resource_name(&self, name: &str) -> Option<&'static str> {
        match name {
            "person" => Some(CONTACTS),
            _ => self.resources().into_iter().find(|resource| *resource == name),
        }
    }

    fn resources(&self) -> Vec<&'static str> {
        plant::RESOURCES.to_vec()
    }

    fn rows_of(&self, resource: &str) -> Result<Vec<Value>, ControlError> {
        let resource = self.named(resource)?;
        Ok(plant::rows(resource, &lock(&self.store)))
    }

    fn plant_row(&self, resource: &str, row: &Value) -> Result<Value, ControlError> {
        let resource = self.named(resource)?;
        plant::plant(resource, row, &mut lock(&self.store), self.now())
    }

    fn remove_row(&self, resource: &str, id: &str) -> Result<bool, ControlError> {
        let resource = self.named(resource)?;
        Ok(id.parse().is_ok_and(|id| plant::remove(resource, id, &mut lock(&self.store))))
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

impl Mautic {
    fn named(&self, name: &str) -> Result<&'static str, ControlError> {
        self.resource_name(name).ok_or_else(|| ControlError::UnknownResource(name.to_owned()))
    }
}
