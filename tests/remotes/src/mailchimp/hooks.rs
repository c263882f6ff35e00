//! Webhooks are listed, made, changed and removed.

use std::collections::BTreeMap;

use hyper::{Method, StatusCode};
use serde_json::Value;
use uuid::Uuid;

use super::list::List;
use super::problem::{FieldError, Problem};
use super::read;
use super::route::Route;
use super::serve::{json_body, made, object, show};
use super::server::MailChimp;
use super::webhook::Webhook;
use crate::sync::lock;
use crate::{Record, Request, Response};

const EVENTS: [&str; 6] = ["subscribe", "unsubscribe", "profile", "cleaned", "upemail", "campaign"];
const SOURCES: [&str; 3] = ["user", "admin", "api"];

impl MailChimp {
    /// Whatever concerns webhooks of a list.
    pub(super) fn serve_webhook(
        &self,
        route: &Route,
        list: &str,
        request: &Request,
        record: &mut Record,
    ) -> Result<Response, Problem> {
        let signs = self.current_settings().signs_webhooks;
        let mut store = lock(&self.store);
        let list = store.list_mut(list).ok_or_else(Problem::not_found)?;
        let body = match (route, &request.method) {
            (Route::Webhook(_, id), &Method::DELETE) => {
                let before = list.webhooks.len();
                list.webhooks.retain(|hook| hook.id != *id);
                let gone = list.webhooks.len() < before;
                return gone
                    .then(|| Response::empty(StatusCode::NO_CONTENT))
                    .ok_or_else(Problem::not_found);
            }
            (Route::Webhook(_, id), _) => {
                let list_id = list.options.id.clone();
                let mut hooks = list.webhooks.iter_mut();
                let hook = hooks.find(|hook| hook.id == *id).ok_or_else(Problem::not_found)?;
                fill(hook, json_body(request, record)?, record)?;
                hook.to_value(&list_id, false)
            }
            (_, &Method::POST) => create(list, json_body(request, record)?, signs, record)?,
            _ => {
                let id = &list.options.id;
                let hooks = list.webhooks.iter().map(|hook| hook.to_value(id, false)).collect();
                read::page("webhooks", hooks, request, record)?
            }
        };
        Ok(show(&body, request))
    }
}

/// The secret is told here, once.
fn create(
    list: &mut List,
    body: &Value,
    signs: bool,
    record: &mut Record,
) -> Result<Value, Problem> {
    let url = body.get("url").and_then(Value::as_str).unwrap_or_default();
    if !url.starts_with("http://") && !url.starts_with("https://") {
        let detail = "We couldn't verify that the URL you entered is valid.";
        let errors = vec![FieldError::new("url", detail)];
        return Err(Problem { errors, ..Problem::invalid("The WebHook could not be saved.") });
    }
    if list.webhooks.iter().any(|hook| hook.url == url) {
        record.violation("duplicate_webhook", list.options.id.as_str());
        let detail = "Sorry, you can't set up multiple WebHooks for one URL";
        return Err(Problem::invalid(detail));
    }
    let on = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), true)).collect();
    let secret = || format!("mcsec_{}", Uuid::new_v4().simple());
    let mut hook = Webhook {
        id: Uuid::new_v4().simple().to_string().chars().take(10).collect(),
        url: url.to_owned(),
        events: on(&EVENTS),
        // Sources that are not named are on: our own writes come back.
        sources: on(&SOURCES),
        secret: signs.then(secret),
    };
    fill(&mut hook, body, record)?;
    let value = hook.to_value(&list.options.id, true);
    record.rows.push(made(&hook.id));
    list.webhooks.push(hook);
    Ok(value)
}

fn fill(hook: &mut Webhook, body: &Value, record: &mut Record) -> Result<(), Problem> {
    let body = object(body)?;
    if let Some(url) = body.get("url").and_then(Value::as_str) {
        url.clone_into(&mut hook.url);
    }
    let switch = |switches: &mut BTreeMap<String, bool>, name: &str| {
        let sent = body.get(name).and_then(Value::as_object).into_iter().flatten();
        let sent = sent.filter_map(|(name, on)| Some((name.clone(), on.as_bool()?)));
        switches.extend(sent);
    };
    switch(&mut hook.events, "events");
    switch(&mut hook.sources, "sources");
    if hook.sources.get("api") == Some(&true) {
        record.violation("webhook_echoes_api", "");
    }
    Ok(())
}
