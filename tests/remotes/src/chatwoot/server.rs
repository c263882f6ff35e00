//! The server: its state, and where each request goes.

use std::sync::Mutex;

use hyper::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use tokio::runtime::Handle;

use super::auth::{self, Role, Tokens};
use super::contact::Contact;
use super::contacts::Desk;
use super::conversations;
use super::delivery::Delivery;
use super::filter::equalities;
use super::listing;
use super::merge::merge;
use super::options::{ChatwootOptions, ChatwootSettings, Jobs};
use super::refusal::Refusal;
use super::resource::Resource;
use super::route::{self, Route};
use super::store::Store;
use super::throttle::Throttle;
use crate::sync::lock;
use crate::{
    ControlError, Effect, Operation, Record, Remote, Request, Response, Subject, Upheaval,
};

/// A simulated Chatwoot.
#[derive(Debug)]
pub struct Chatwoot {
    pub(super) account_id: i64,
    pub(super) store: Mutex<Store>,
    pub(super) tokens: Mutex<Tokens>,
    throttle: Mutex<Throttle>,
    settings: Mutex<ChatwootSettings>,
}

impl Chatwoot {
    /// A server without rows; `options.server` is for whoever starts it.
    pub fn new(options: &ChatwootOptions) -> Self {
        Self {
            account_id: options.account_id,
            store: Mutex::new(Store::new(options.first_id)),
            tokens: Mutex::new(Tokens::new(options)),
            throttle: Mutex::new(Throttle::default()),
            settings: Mutex::new(options.settings.clone()),
        }
    }

    /// The settings as they are now.
    pub(super) fn current_settings(&self) -> ChatwootSettings {
        lock(&self.settings).clone()
    }

    /// Changes the settings.
    pub(super) fn configure(&self, change: impl FnOnce(&mut ChatwootSettings)) {
        change(&mut lock(&self.settings));
    }

    /// Runs the background jobs: what is to be sent, in the order of the events.
    pub(super) fn run_jobs(&self) -> Vec<Delivery> {
        let settings = self.current_settings();
        let second = self.now().as_second();
        let mut store = lock(&self.store);
        let events = store.run_jobs(self.account_id, &settings);
        let mut deliveries = Vec::new();
        for event in &events {
            let subscribed = store.webhooks.values().filter(|webhook| {
                webhook.subscriptions.iter().any(|subscription| subscription == event.name)
            });
            deliveries
                .extend(subscribed.map(|webhook| Delivery::new(webhook, event, second, &settings)));
        }
        deliveries
    }

    /// Sends deliveries one after the other, and lets nobody wait for it.
    pub(super) fn send_behind(deliveries: Vec<Delivery>) {
        let Ok(runtime) = Handle::try_current() else { return };
        if deliveries.is_empty() {
            return;
        }
        runtime.spawn(async move {
            for delivery in deliveries {
                let sent = delivery.send().await;
                tracing::debug!(event = sent.delivery.event, status = sent.status, "Webhook");
            }
        });
    }

    fn serve(
        &self,
        request: &Request,
        subject: &Subject,
        settings: &ChatwootSettings,
        record: &mut Record,
    ) -> Result<Response, Refusal> {
        let (account, route) = Route::of(&request.path);
        lock(&self.throttle).admit(&route, self.now().as_second(), settings)?;
        if request.oversized {
            record.violation("body_too_large", subject.route.as_str());
            return Err(Refusal::Other(StatusCode::PAYLOAD_TOO_LARGE));
        }
        if account.is_none() {
            record.violation("unknown_path", request.path.as_str());
            return Err(Refusal::NotFound);
        }
        let role = auth::admit(request, &lock(&self.tokens), settings, record)?;
        if account != Some(self.account_id.to_string().as_str()) {
            let why = "You are not authorized to access this account";
            return Err(Refusal::Unauthorized(why));
        }
        if route == Route::Unknown || subject.operation == Operation::Other {
            // Rails has no 405: what has no route is not found.
            let code = if route == Route::Unknown { "unknown_path" } else { "method_not_allowed" };
            record.violation(code, format!("{} {}", request.method, subject.route));
            return Err(Refusal::NotFound);
        }
        auth::permit(role, &route, request)?;
        let body = parameters(request, record)?;
        let mut store = lock(&self.store);
        if let Some(response) =
            self.converse(&route, role, request, &body, &store, settings, record)
        {
            return response;
        }
        note_look_ups(&route, request, &mut store);
        if let Some(response) = self.look_up(&route, request, &body, &store, settings, record) {
            return response;
        }
        let now = self.now();
        let mut desk = Desk { store: &mut store, settings, now, record };
        self.work(&route, request, subject, &body, &mut desk)
    }

    /// Requests about conversations; `None` for others.
    #[allow(clippy::too_many_arguments, reason = "the parts of one request")]
    fn converse(
        &self,
        route: &Route,
        role: Role,
        request: &Request,
        body: &Map<String, Value>,
        store: &Store,
        settings: &ChatwootSettings,
        record: &mut Record,
    ) -> Option<Result<Response, Refusal>> {
        let account_id = self.account_id;
        let desk = conversations::Desk { store, settings, role, account_id, now: self.now() };
        match route {
            Route::Conversations => Some(Ok(desk.list(request, record))),
            Route::ConversationMeta => Some(Ok(desk.meta())),
            Route::ConversationFilter => Some(desk.filter(request, body, record)),
            Route::Conversation(id) => Some(desk.read(id)),
            Route::Messages(id) => Some(desk.messages(id, request)),
            Route::ContactConversations(id) => Some(desk.of_contact(id)),
            _ => None,
        }
    }

    /// Lists of contacts; `None` for other requests.
    fn look_up(
        &self,
        route: &Route,
        request: &Request,
        body: &Map<String, Value>,
        store: &Store,
        settings: &ChatwootSettings,
        record: &mut Record,
    ) -> Option<Result<Response, Refusal>> {
        match route {
            Route::Contacts if request.method == hyper::Method::GET => {
                Some(Ok(listing::list(request, store, settings, record)))
            }
            Route::ContactFilter => {
                Some(listing::filter(request, body, store, settings, self.now(), record))
            }
            Route::ContactSearch => Some(listing::search(request, store, record)),
            _ => None,
        }
    }

    /// Everything else.
    fn work(
        &self,
        route: &Route,
        request: &Request,
        subject: &Subject,
        body: &Map<String, Value>,
        desk: &mut Desk<'_>,
    ) -> Result<Response, Refusal> {
        let reads = request.method == hyper::Method::GET;
        let deletes = subject.operation == Operation::Delete;
        match route {
            Route::Contacts => desk.create(body),
            Route::Contact(id) if reads => desk.read(id, request),
            Route::Contact(id) if deletes => desk.delete(id, subject),
            Route::Contact(id) => desk.update(id, body, request, subject),
            Route::ContactAttributes(id) => desk.drop_attributes(id, body, request, subject),
            Route::ContactLabels(id) if reads => desk.read_labels(id),
            Route::ContactLabels(id) => desk.replace_labels(id, body, subject),
            Route::ContactMerge => merge_contacts(body, subject, desk),
            Route::Definitions if reads => Ok(desk.list_definitions(request)),
            Route::Definitions => desk.define(body),
            Route::Webhooks if reads => Ok(desk.list_webhooks(self.account_id)),
            Route::Webhooks => desk.create_webhook(body, self.account_id),
            Route::Webhook(id) if deletes => desk.delete_webhook(id),
            Route::Webhook(id) => desk.update_webhook(id, body, self.account_id),
            _ => Err(Refusal::NotFound),
        }
    }

    /// A contact that is not one of `external_ids`, made up if there is none.
    fn stranger(&self, external_ids: &[String]) -> Contact {
        let store = lock(&self.store);
        let is_other = |one: &&Contact| one.ems_id().is_some_and(|id| !external_ids.contains(&id));
        store.contacts.all().find(is_other).cloned().unwrap_or_else(|| {
            let mut contact = Contact::new(1, self.now());
            contact.identifier = Some("somebody-else".to_owned());
            contact
        })
    }

    fn named(name: &str) -> Result<Resource, ControlError> {
        Resource::named(name).ok_or_else(|| ControlError::UnknownResource(name.to_owned()))
    }
}

/// The body's parameters as Rails reads them: only JSON that is an object has any.
fn parameters(request: &Request, record: &mut Record) -> Result<Map<String, Value>, Refusal> {
    if request.body.is_empty() {
        return Ok(Map::new());
    }
    let is_json = request.media_type().is_some_and(|t| t.eq_ignore_ascii_case("application/json"));
    if !is_json {
        record.violation("wrong_media_type", request.media_type().unwrap_or_default());
        return Ok(Map::new());
    }
    match request.json() {
        Some(Value::Object(body)) => Ok(body.clone()),
        Some(_) => {
            record.violation("malformed_json", "an object was expected");
            Ok(Map::new())
        }
        None => {
            record.violation("malformed_json", "not JSON");
            Err(Refusal::Other(StatusCode::BAD_REQUEST))
        }
    }
}

/// Remembers which identifiers were looked up, so that a create without is seen.
fn note_look_ups(route: &Route, request: &Request, store: &mut Store) {
    match route {
        Route::ContactFilter => {
            let sought = request.json().into_iter().flat_map(equalities);
            let sought = sought.filter(|(key, _)| *key == "identifier");
            store.looked_up.extend(sought.map(|(_, value)| value.to_lowercase()));
        }
        Route::ContactSearch => {
            store.looked_up.extend(request.query_value("q").map(str::to_lowercase));
        }
        _ => {}
    }
}

/// `POST /actions/contact_merge`: for people, not for a sync.
fn merge_contacts(
    body: &Map<String, Value>,
    subject: &Subject,
    desk: &mut Desk<'_>,
) -> Result<Response, Refusal> {
    desk.record.violation("merges_contacts", "contact_merge");
    let id = |name: &str| body.get(name).and_then(Value::as_i64).ok_or(Refusal::NotFound);
    let (base, mergee) = (id("base_contact_id")?, id("mergee_contact_id")?);
    let ems_id = subject.external_ids.first().cloned();
    let merged = match merge(desk.store, base, mergee, desk.now) {
        Ok(merged) => merged,
        Err(refusal) => return desk.refused(ems_id, Some(base), refusal),
    };
    desk.note(ems_id, Some(base), Effect::Patched, base != mergee, StatusCode::OK);
    if base != mergee {
        let mergee_ems_id = subject.external_ids.get(1).cloned();
        desk.note(mergee_ems_id, Some(mergee), Effect::Deleted, true, StatusCode::OK);
    }
    Ok(Response::json(StatusCode::OK, &merged.body(true)))
}

impl Remote for Chatwoot {
    fn name(&self) -> &'static str {
        "chatwoot"
    }

    fn subject(&self, request: &Request) -> Subject {
        route::subject(request, &lock(&self.store))
    }

    fn answer(&self, request: &Request, subject: &Subject, record: &mut Record) -> Response {
        let settings = self.current_settings();
        let served = self.serve(request, subject, &settings, record);
        if settings.jobs == Jobs::Immediate {
            Self::send_behind(self.run_jobs());
        }
        served
            .unwrap_or_else(|refusal| refusal.into_response(settings.locale, settings.server_error))
    }

    fn plain_error(&self, status: StatusCode, _request: &Request) -> Response {
        let settings = self.current_settings();
        Refusal::plain(status).into_response(settings.locale, settings.server_error)
    }

    fn strangers_record(&self, _request: &Request, subject: &Subject) -> Response {
        let contact = self.stranger(&subject.external_ids).body(true);
        let meta = json!({ "count": 1, "current_page": 1 });
        let is_contact = subject.resource == Some(Resource::Contact.segment());
        let body = match subject.operation {
            Operation::Create if is_contact => {
                let none = json!({ "inbox": null, "source_id": null });
                json!({ "payload": { "contact": contact, "contact_inbox": none } })
            }
            Operation::Find | Operation::List if is_contact => {
                json!({ "meta": meta, "payload": [contact] })
            }
            Operation::List => json!({ "data": { "meta": meta, "payload": [contact] } }),
            _ => json!({ "payload": contact }),
        };
        Response::json(StatusCode::OK, &body)
    }

    fn upheave(&self, upheaval: Upheaval, request: Option<&Request>) {
        match upheaval {
            Upheaval::RevokeToken => {
                let settings = self.current_settings();
                if let Some(token) = request.and_then(|request| auth::token(request, &settings)) {
                    lock(&self.tokens).revoke(token);
                }
            }
            Upheaval::NewSecret => lock(&self.tokens).revoke_all(),
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
        let rows = lock(&self.store).rows(Self::named(resource)?, self.account_id);
        Ok(rows.into_iter().map(|row| row.body).collect())
    }

    fn plant_row(&self, resource: &str, row: &Value) -> Result<Value, ControlError> {
        let resource = Self::named(resource)?;
        let now = self.now();
        let mut store = lock(&self.store);
        let id = store.plant(resource, row, now)?;
        let row = store.row(resource, id, self.account_id);
        row.map(|row| row.body).ok_or_else(|| ControlError::Unfit("it is gone".to_owned()))
    }

    fn remove_row(&self, resource: &str, id: &str) -> Result<bool, ControlError> {
        let resource = Self::named(resource)?;
        Ok(id.parse().is_ok_and(|id| lock(&self.store).tear_out(resource, id)))
    }

    fn act(&self, act: &Value) -> Result<Value, ControlError> {
        self.perform(act)
    }

    fn settings(&self) -> Value {
        serde_json::to_value(self.current_settings()).unwrap_or_default()
    }

    fn change_settings(&self, change: &Value) -> Result<(), ControlError> {
        let unfit = |error: serde_json::Error| ControlError::Unfit(error.to_string());
        let mut settings = lock(&self.settings);
        let mut merged = serde_json::to_value(&*settings).map_err(unfit)?;
        if let (Some(merged), Some(change)) = (merged.as_object_mut(), change.as_object()) {
            merged.extend(change.clone());
        }
        *settings = serde_json::from_value(merged).map_err(unfit)?;
        Ok(())
    }
}
