//! The account: its state, and what the core asks of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::address::subscriber_hash;
use super::batch::Batches;
use super::list::List;
use super::member::{EMS_ID, Member, Status};
use super::options::{MailChimpOptions, MailChimpSettings};
use super::people;
use super::plant;
use super::problem::{Problem, plain_error};
use super::route::{self, Route};
use super::store::Store;
use super::throttle::Throttle;
use crate::sync::lock;
use crate::{
    Admission, ControlError, Operation, Record, Reimage, Remote, Request, Response, Subject,
    Upheaval,
};

/// A simulated MailChimp account.
#[derive(Debug)]
pub struct MailChimp {
    pub(super) api_key: String,
    pub(super) store: Mutex<Store>,
    pub(super) batches: Mutex<Batches>,
    pub(super) base_url: OnceLock<String>,
    settings: Mutex<MailChimpSettings>,
    account_id: Mutex<String>,
    throttle: Throttle,
    problems: AtomicU64,
}

impl MailChimp {
    /// An account whose lists have no members; `options.server` is for whoever starts it.
    pub fn new(options: &MailChimpOptions) -> Self {
        Self {
            api_key: options.api_key.clone(),
            store: Mutex::new(Store::new(&options.lists)),
            batches: Mutex::new(Batches::default()),
            base_url: OnceLock::new(),
            settings: Mutex::new(options.settings.clone()),
            account_id: Mutex::new(Uuid::new_v4().simple().to_string()),
            throttle: Throttle::default(),
            problems: AtomicU64::new(0),
        }
    }

    /// The settings as they are now.
    pub(super) fn current_settings(&self) -> MailChimpSettings {
        lock(&self.settings).clone()
    }

    /// Changes the settings.
    pub(super) fn configure(&self, change: impl FnOnce(&mut MailChimpSettings)) {
        change(&mut lock(&self.settings));
    }

    /// Which account this is.
    pub(super) fn account_id(&self) -> String {
        lock(&self.account_id).clone()
    }

    /// A problem as an answer; some lack their `type`.
    pub(super) fn refuse(&self, problem: Problem) -> Response {
        let even = self.problems.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
        problem.into_response(even || lock(&self.settings).problem_types)
    }

    /// Whether the sender knows the key: as the password of Basic with any user, or as a bearer.
    fn check_sender(&self, request: &Request) -> Result<(), Problem> {
        let settings = lock(&self.settings);
        if settings.key_revoked || presented_key(request).as_deref() != Some(&self.api_key) {
            return Err(Problem::unauthorized());
        }
        if settings.deactivated { Err(Problem::deactivated()) } else { Ok(()) }
    }
}

fn presented_key(request: &Request) -> Option<String> {
    if let Some(bearer) = request.bearer() {
        return Some(bearer.to_owned());
    }
    let (scheme, encoded) = request.header("authorization")?.split_once(' ')?;
    let decoded = BASE64_STANDARD.decode(encoded.trim()).ok()?;
    let pair = String::from_utf8(decoded).ok()?;
    let (_, key) = pair.split_once(':')?;
    scheme.eq_ignore_ascii_case("basic").then(|| key.to_owned())
}

impl Remote for MailChimp {
    fn name(&self) -> &'static str {
        "mailchimp"
    }

    fn subject(&self, request: &Request) -> Subject {
        route::subject(request, &lock(&self.store))
    }

    fn admit(&self, request: &Request, record: &mut Record) -> Admission {
        // Files are not served by the API.
        if matches!(Route::of(&request.path), Route::Results(_)) {
            return Admission::Admitted(None);
        }
        let settings = self.current_settings();
        let (pass, inside) = self.throttle.enter();
        if inside + settings.foreign_connections <= settings.max_connections {
            return Admission::Admitted(Some(Box::new(pass)));
        }
        if inside > settings.max_connections {
            record.violation("too_many_connections", inside.to_string());
        }
        Admission::Refused(self.throttle.refusal(&settings))
    }

    fn answer(&self, request: &Request, subject: &Subject, record: &mut Record) -> Response {
        if request.oversized {
            record.violation("body_too_large", subject.route.as_str());
            return plain_error(StatusCode::PAYLOAD_TOO_LARGE);
        }
        let route = Route::of(&request.path);
        if let Route::Results(name) = &route {
            return self.batch_results(name, request);
        }
        let answered =
            self.check_sender(request).and_then(|()| self.serve(&route, request, record));
        let response = answered.unwrap_or_else(|problem| self.refuse(problem));
        let named = response.headers.iter().any(|(name, _)| name == "X-Request-Id");
        if named { response } else { response.header("X-Request-Id", Uuid::new_v4().to_string()) }
    }

    fn plain_error(&self, status: StatusCode, _request: &Request) -> Response {
        plain_error(status)
    }

    fn strangers_record(&self, _request: &Request, subject: &Subject) -> Response {
        let email = "somebody.else@club.org";
        let id = subscriber_hash(email);
        let mut member = Member::new(1, id, email, Status::Subscribed, self.now());
        member.merge_fields.insert(EMS_ID.to_owned(), json!("somebody-else"));
        let store = lock(&self.store);
        let list = store.lists().first();
        let body = list.map_or_else(|| json!({}), |list: &List| member.to_value(list));
        let body = match subject.operation {
            Operation::List | Operation::Find => json!({ "members": [body], "total_items": 1 }),
            Operation::Bulk => json!({
                "new_members": [], "updated_members": [body], "errors": [],
                "total_created": 0, "total_updated": 1, "error_count": 0,
            }),
            Operation::Login
            | Operation::Probe
            | Operation::Info
            | Operation::Create
            | Operation::Replace
            | Operation::Patch
            | Operation::Delete
            | Operation::Read
            | Operation::Other => body,
        };
        Response::json(StatusCode::OK, &body)
    }

    fn upheave(&self, upheaval: Upheaval, request: Option<&Request>) {
        match upheaval {
            Upheaval::RevokeToken => {
                if request.and_then(presented_key).as_deref() == Some(&self.api_key) {
                    self.configure(|settings| settings.key_revoked = true);
                }
            }
            Upheaval::NewSecret => self.configure(|settings| settings.key_revoked = true),
            Upheaval::Wipe => lock(&self.store).wipe(),
            Upheaval::Reimage(how) => {
                let mut store = lock(&self.store);
                match how {
                    Reimage::Empty => store.wipe(),
                    Reimage::Shuffled => store.renumber(),
                }
                *lock(&self.account_id) = Uuid::new_v4().simple().to_string();
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
            "members" | "member" | "persons" | "person" => Some("members"),
            "lists" | "list" => Some("lists"),
            "merge-fields" | "merge_field" => Some("merge-fields"),
            "webhooks" | "webhook" => Some("webhooks"),
            _ => None,
        }
    }

    fn resources(&self) -> Vec<&'static str> {
        vec!["members", "lists", "merge-fields", "webhooks"]
    }

    fn rows_of(&self, resource: &str) -> Result<Vec<Value>, ControlError> {
        plant::rows_of(&lock(&self.store), self.named(resource)?)
    }

    fn plant_row(&self, resource: &str, row: &Value) -> Result<Value, ControlError> {
        let now = self.now();
        let settings = self.current_settings();
        let resource = self.named(resource)?;
        plant::plant(&mut lock(&self.store), resource, row, &settings, now)
    }

    fn remove_row(&self, resource: &str, id: &str) -> Result<bool, ControlError> {
        plant::remove(&mut lock(&self.store), self.named(resource)?, id)
    }

    fn act(&self, act: &Value) -> Result<Value, ControlError> {
        let now = self.now();
        let settings = self.current_settings();
        people::act_by_json(&mut lock(&self.store), act, &settings, now)
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

impl MailChimp {
    fn named(&self, name: &str) -> Result<&'static str, ControlError> {
        self.resource_name(name).ok_or_else(|| ControlError::UnknownResource(name.to_owned()))
    }
}
