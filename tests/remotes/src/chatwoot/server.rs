//! The server: its state, and what it is to the shared core.

use std::sync::Mutex;

use hyper::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::auth::{self, Tokens};
use super::contact::Contact;
use super::conversation::Conversation;
use super::delivery::Delivery;
use super::options::{ChatwootOptions, ChatwootSettings, Jobs};
use super::refusal::Refusal;
use super::resource::Resource;
use super::route;
use super::store::Store;
use super::throttle::Throttle;
use crate::sync::lock;
use crate::{ControlError, Operation, Record, Remote, Request, Response, Subject, Upheaval};

/// A simulated Chatwoot.
#[derive(Debug)]
pub struct Chatwoot {
    pub(super) account_id: i64,
    pub(super) store: Mutex<Store>,
    pub(super) tokens: Mutex<Tokens>,
    pub(super) throttle: Mutex<Throttle>,
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
        let stranger = self.stranger(&subject.external_ids);
        let conversation = Conversation::new(1, stranger.id, self.now());
        let conversation = conversation.body(Some(&stranger), self.account_id);
        let contact = stranger.body(true);
        let meta = json!({ "count": 1, "current_page": 1 });
        let is_contact = subject.resource == Some(Resource::Contact.segment());
        let is_conversation = subject.resource == Some(Resource::Conversation.segment());
        let lists = matches!(subject.operation, Operation::Find | Operation::List);
        let body = if is_contact && subject.operation == Operation::Create {
            let none = json!({ "inbox": null, "source_id": null });
            json!({ "payload": { "contact": contact, "contact_inbox": none } })
        } else if is_contact && lists {
            json!({ "meta": meta, "payload": [contact] })
        } else if is_conversation && lists {
            json!({ "data": { "meta": meta, "payload": [conversation] } })
        } else if is_conversation {
            conversation
        } else {
            json!({ "payload": contact })
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
