//! Where each request goes.

use hyper::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::auth::{self, Role};
use super::contacts::Desk;
use super::conversations;
use super::filter::equalities;
use super::listing;
use super::merge::merge;
use super::options::ChatwootSettings;
use super::refusal::Refusal;
use super::route::Route;
use super::server::Chatwoot;
use super::store::Store;
use crate::sync::lock;
use crate::{Effect, Operation, Record, Remote as _, Request, Response, Subject};

impl Chatwoot {
    /// Serves a request whose sender need not be known yet.
    pub(super) fn serve(
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
        note_look_ups(&route, request, &mut store);
        let visit = Visit { request, subject, body: &body, settings, role, now: self.now() };
        self.dispatch(&route, &visit, &mut store, record)
    }

    /// Does what an admitted request asks for.
    fn dispatch(
        &self,
        route: &Route,
        visit: &Visit<'_>,
        store: &mut Store,
        record: &mut Record,
    ) -> Result<Response, Refusal> {
        let Visit { request, subject, body, settings, now, .. } = *visit;
        let reads = request.method == Method::GET;
        let deletes = subject.operation == Operation::Delete;
        match route {
            Route::Contacts if reads => Ok(listing::list(request, store, settings, record)),
            Route::ContactSearch => listing::search(request, store, record),
            Route::ContactFilter => listing::filter(request, body, store, settings, now, record),
            Route::Contacts => visit.desk(store, record).create(body),
            Route::Contact(id) if reads => visit.desk(store, record).read(id, request),
            Route::Contact(id) if deletes => visit.desk(store, record).delete(id, subject),
            Route::Contact(id) => visit.desk(store, record).update(id, body, request, subject),
            Route::ContactAttributes(id) => {
                visit.desk(store, record).drop_attributes(id, body, request, subject)
            }
            Route::ContactLabels(id) if reads => visit.desk(store, record).read_labels(id),
            Route::ContactLabels(id) => visit.desk(store, record).replace_labels(id, body, subject),
            Route::ContactMerge => merge_contacts(body, subject, &mut visit.desk(store, record)),
            Route::ContactConversations(id) => self.threads(visit, store).of_contact(id),
            Route::Conversations => Ok(self.threads(visit, store).list(request, record)),
            Route::ConversationMeta => Ok(self.threads(visit, store).meta()),
            Route::ConversationFilter => self.threads(visit, store).filter(request, body, record),
            Route::Conversation(id) => self.threads(visit, store).read(id),
            Route::Messages(id) => self.threads(visit, store).messages(id, request),
            Route::Definitions if reads => Ok(visit.desk(store, record).list_definitions(request)),
            Route::Definitions => visit.desk(store, record).define(body),
            Route::Webhooks if reads => {
                Ok(visit.desk(store, record).list_webhooks(self.account_id))
            }
            Route::Webhooks => visit.desk(store, record).create_webhook(body, self.account_id),
            Route::Webhook(id) if deletes => visit.desk(store, record).delete_webhook(id),
            Route::Webhook(id) => {
                visit.desk(store, record).update_webhook(id, body, self.account_id)
            }
            Route::Unknown => Err(Refusal::NotFound),
        }
    }

    /// The conversations that the sender sees.
    fn threads<'a>(&self, visit: &Visit<'a>, store: &'a Store) -> conversations::Desk<'a> {
        let Visit { settings, role, now, .. } = *visit;
        conversations::Desk { store, settings, role, account_id: self.account_id, now }
    }
}

/// An admitted request.
struct Visit<'a> {
    request: &'a Request,
    subject: &'a Subject,
    body: &'a Map<String, Value>,
    settings: &'a ChatwootSettings,
    role: Role,
    now: Timestamp,
}

impl Visit<'_> {
    fn desk<'d>(&'d self, store: &'d mut Store, record: &'d mut Record) -> Desk<'d> {
        Desk { store, settings: self.settings, now: self.now, record }
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
    if *route == Route::ContactFilter {
        let sought = request.json().into_iter().flat_map(equalities);
        let sought = sought.filter(|(key, _)| *key == "identifier");
        sought.for_each(|(_, value)| store.known.looked_up(value));
    } else if *route == Route::ContactSearch {
        request.query_value("q").into_iter().for_each(|value| store.known.looked_up(value));
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
