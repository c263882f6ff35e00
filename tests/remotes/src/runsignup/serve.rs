//! Where each request goes, and in which shape its answer comes.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::auth::Caller;
use super::error::{ApiError, web_server};
use super::form::Form;
use super::options::ThrottleAnswer;
use super::render::Format;
use super::route::Route;
use super::rows::Race;
use super::server::RunSignup;
use super::store::Store;
use crate::sync::lock;
use crate::{Effect, Record, Request, Response, RowEffect, Subject};

impl RunSignup {
    /// Answers a request.
    pub(super) fn serve(
        &self,
        request: &Request,
        subject: &Subject,
        record: &mut Record,
    ) -> Response {
        let route = Route::of(request);
        if request.oversized {
            record.violation("body_too_large", subject.route.as_str());
            return web_server(StatusCode::PAYLOAD_TOO_LARGE);
        }
        if route == Route::Outside {
            record.violation("unknown_path", "outside of /rest");
            return web_server(StatusCode::NOT_FOUND);
        }
        let format = match self.format(request, &route, record) {
            Ok(format) => format,
            Err(error) => return Format::Xml.response(error.status(), &error.body()),
        };
        let settings = self.current_settings();
        if !lock(&self.throttle).admits(request, &settings, record) {
            let status = match settings.throttle_answer {
                ThrottleAnswer::ErrorCode => StatusCode::OK,
                ThrottleAnswer::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            };
            return format.response(status, &ApiError::new(14).body());
        }
        let is_refresh = route == Route::RefreshToken;
        if request.method == "POST" && (is_refresh || route == Route::RedeemCode) {
            return self.redeem(request, is_refresh);
        }
        match self.dispatch(&route, request, subject, record) {
            Ok(body) => format.response(StatusCode::OK, &body),
            Err(error) => {
                if subject.operation.is_write() && record.rows.is_empty() {
                    record.rows.push(refused(subject, error.code));
                }
                format.response(error.status(), &error.body())
            }
        }
    }

    fn dispatch(
        &self,
        route: &Route,
        request: &Request,
        subject: &Subject,
        record: &mut Record,
    ) -> Result<Value, ApiError> {
        let caller = self.caller(request, record)?;
        if *route == Route::UnknownMethod {
            record.violation("unknown_path", "no such method");
            return Err(ApiError::new(1));
        }
        if !route.allows(request.method.as_str()) {
            record.violation("method_not_allowed", subject.route.as_str());
            return Err(ApiError::new(2));
        }
        match route {
            Route::Races => self.list_races(request, caller, record),
            Route::Race(id) => self.read_race(id, request, caller, record),
            Route::Participants(id) if request.method == "GET" => {
                self.list_participants(id, request, caller, record)
            }
            Route::RemovedParticipants(id) => self.list_removed(id, request, caller, record),
            Route::Participants(id) => self.write_participants(id, request, caller, record),
            Route::Switch(id) => self.switch_events(id, request, caller, record),
            Route::Delete(id) => self.delete_participants(id, request, caller, record),
            Route::SyncSettings(id) => self.sync_settings(id, request, caller, record),
            Route::NewRace => self.write_race(request, caller, record),
            Route::User(id) => self.read_user(id, caller),
            Route::Login => {
                record.violation("deprecated_login", "/rest/login");
                Err(ApiError::new(102))
            }
            Route::ParticipantCounts(_) | Route::BibChip(_) => Err(ApiError::new(8)),
            Route::RedeemCode | Route::RefreshToken | Route::UnknownMethod | Route::Outside => {
                Err(ApiError::new(1))
            }
        }
    }

    /// `POST /rest/race/{id}/sync-settings`
    fn sync_settings(
        &self,
        race: &str,
        request: &Request,
        caller: Caller,
        record: &mut Record,
    ) -> Result<Value, ApiError> {
        caller.writes()?;
        let mut store = lock(&self.store);
        let race = reachable(&store, race)?.id;
        let form = Form::read(request);
        let on = match form.value_or_query(request, "safe_sync_enabled") {
            Some("T") => true,
            Some("F") => false,
            _ => return Err(ApiError::new(3)),
        };
        let Some(race) = store.races.get_mut(&race) else { return Err(ApiError::new(201)) };
        let changed = std::mem::replace(&mut race.safe_sync, on) != on;
        record.rows.push(RowEffect {
            external_id: None,
            remote_id: Some(race.id.to_string()),
            effect: Effect::Patched,
            changed,
            status: 200,
        });
        Ok(json!({ "safe_sync_enabled": if on { "T" } else { "F" } }))
    }

    /// `GET /rest/user/{id}`: the user of the token, so a key has nobody to show.
    fn read_user(&self, id: &str, caller: Caller) -> Result<Value, ApiError> {
        if !matches!(caller, Caller::User { .. }) {
            return Err(ApiError::new(13));
        }
        let store = lock(&self.store);
        let user = id.parse().ok().and_then(|id: i64| store.users.get(&id));
        let user = user.ok_or_else(|| ApiError::new(101))?;
        Ok(json!({ "user": super::participants::user(user, true) }))
    }

    /// What the answer has to be written in; XML if nothing is said.
    fn format(
        &self,
        request: &Request,
        route: &Route,
        record: &mut Record,
    ) -> Result<Format, ApiError> {
        if matches!(route, Route::RedeemCode | Route::RefreshToken) {
            return Ok(Format::Json);
        }
        match request.query_value("format") {
            Some("json") => Ok(Format::Json),
            other => {
                record.violation("no_format_json", route.template());
                match other {
                    None | Some("xml") => Ok(Format::Xml),
                    Some(_) => Err(ApiError::new(10)),
                }
            }
        }
    }
}

/// A race that the worker's key reaches.
pub(super) fn reachable<'s>(store: &'s Store, id: &str) -> Result<&'s Race, ApiError> {
    let race = id.parse().ok().and_then(|id: i64| store.races.get(&id));
    let race = race.ok_or_else(|| ApiError::new(201))?;
    if race.reachable { Ok(race) } else { Err(ApiError::new(7)) }
}

/// A row of which nothing was committed; its status is RunSignup's code.
pub(super) fn refused(subject: &Subject, code: u16) -> RowEffect {
    RowEffect {
        external_id: subject.external_ids.first().cloned(),
        remote_id: subject.remote_id.clone(),
        effect: Effect::Refused,
        changed: false,
        status: code,
    }
}
