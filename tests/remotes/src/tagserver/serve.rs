//! Where each request goes once its sender is known.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::options::{Bulk, TagServerSettings};
use super::problem::Problem;
use super::read::Shelf;
use super::resource::Resource;
use super::route::Route;
use super::server::TagServer;
use super::store::Store;
use super::write::{Desk, external_id};
use crate::sync::lock;
use crate::{Effect, Operation, Record, Request, Response, Subject};

impl TagServer {
    /// `GET /management/info`
    pub(super) fn info(&self) -> Response {
        let mut build = json!({ "artifact": "tagserver", "name": "TagServer" });
        if let (true, Some(build)) =
            (self.current_settings().publish_instance, build.as_object_mut())
        {
            build.insert("instance".to_owned(), json!(self.instance().to_string()));
        }
        Response::json(StatusCode::OK, &json!({ "build": build }))
    }

    /// A JSON body with the media type that the endpoint takes.
    pub(super) fn json_body<'r>(
        &self,
        request: &'r Request,
        media_type: &str,
        record: &mut Record,
    ) -> Result<&'r Value, Problem> {
        let sent = request.media_type().unwrap_or_default();
        if !sent.eq_ignore_ascii_case(media_type) {
            record.violation("wrong_media_type", sent);
            let detail = format!("Content-Type '{sent}' is not supported");
            return Err(Problem::plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
        }
        request.json().ok_or_else(|| {
            record.violation("malformed_json", request.path.as_str());
            Problem::plain(StatusCode::BAD_REQUEST, "Failed to read request")
        })
    }

    /// Does what an authorised request asks for.
    pub(super) fn serve(
        &self,
        route: &Route,
        request: &Request,
        subject: &Subject,
        record: &mut Record,
    ) -> Result<Response, Problem> {
        let allowed = route.operation(request) != Operation::Other;
        match route {
            Route::Unknown => {
                record.violation("unknown_path", request.path.as_str());
                Err(Problem::plain(StatusCode::NOT_FOUND, "No such path"))
            }
            _ if !allowed => {
                record.violation(
                    "method_not_allowed",
                    format!("{} {}", request.method, route.template()),
                );
                Ok(method_not_allowed(request, route))
            }
            Route::Authenticate | Route::Info => Ok(Response::empty(StatusCode::NOT_FOUND)),
            Route::Bulk(resource) => self.bulk(*resource, route, request, record),
            Route::Collection(resource) if request.method == Method::GET => {
                let settings = self.current_settings();
                self.shelf(&lock(&self.store), *resource, &settings).list(request, record)
            }
            Route::Collection(resource) => self.create(*resource, request, record),
            Route::Item(resource, id) => {
                let Ok(id) = id.parse::<i64>() else {
                    record.violation("malformed_id", route.template());
                    let detail = "Failed to convert the id to a number";
                    return Err(Problem::plain(StatusCode::BAD_REQUEST, detail));
                };
                self.item(*resource, id, request, subject, record)
            }
        }
    }

    fn create(
        &self,
        resource: Resource,
        request: &Request,
        record: &mut Record,
    ) -> Result<Response, Problem> {
        let settings = self.current_settings();
        let body = self.json_body(request, "application/json", record)?;
        let mut store = lock(&self.store);
        let mut desk = self.desk(&mut store, resource, &settings, record);
        let created = desk.create(body);
        let (id, effect, status) = match &created {
            Ok(written) => (Some(written.id), Effect::Created, written.status),
            Err(problem) => (None, Effect::Refused, problem.status),
        };
        desk.note(external_id(body), id, effect, created.is_ok(), status);
        let written = created?;
        Ok(Response::json(written.status, &written.body)
            .header("Location", format!("/api/{resource}/{}", written.id)))
    }

    fn bulk(
        &self,
        resource: Resource,
        route: &Route,
        request: &Request,
        record: &mut Record,
    ) -> Result<Response, Problem> {
        let settings = self.current_settings();
        match settings.bulk {
            Bulk::Enabled => {
                let body = self.json_body(request, "application/json", record)?;
                let mut store = lock(&self.store);
                self.desk(&mut store, resource, &settings, record).bulk(body, &request.path)
            }
            Bulk::NotFound => Err(Problem::plain(StatusCode::NOT_FOUND, "No such path")),
            Bulk::MethodNotAllowed => Ok(method_not_allowed(request, route)),
        }
    }

    fn item(
        &self,
        resource: Resource,
        id: i64,
        request: &Request,
        subject: &Subject,
        record: &mut Record,
    ) -> Result<Response, Problem> {
        let settings = self.current_settings();
        if matches!(subject.operation, Operation::Replace | Operation::Patch) {
            self.change(resource, id, request, subject, record)
        } else if subject.operation == Operation::Delete {
            self.delete(resource, id, subject, record)
        } else {
            self.shelf(&lock(&self.store), resource, &settings).read(id)
        }
    }

    fn change(
        &self,
        resource: Resource,
        id: i64,
        request: &Request,
        subject: &Subject,
        record: &mut Record,
    ) -> Result<Response, Problem> {
        let settings = self.current_settings();
        let is_patch = subject.operation == Operation::Patch;
        let (media_type, effect) = if is_patch {
            ("application/merge-patch+json", Effect::Patched)
        } else {
            ("application/json", Effect::Replaced)
        };
        let body = self.json_body(request, media_type, record)?;
        let mut store = lock(&self.store);
        let mut desk = self.desk(&mut store, resource, &settings, record);
        let changed = if is_patch { desk.patch(id, body) } else { desk.replace(Some(id), body) };
        let external_id = subject.external_ids.first().cloned();
        match &changed {
            Ok((written, changed)) => {
                desk.note(external_id, Some(id), effect, *changed, written.status);
            }
            Err(problem) => {
                desk.note(external_id, Some(id), Effect::Refused, false, problem.status);
            }
        }
        changed.map(|(written, _)| Response::json(written.status, &written.body))
    }

    fn delete(
        &self,
        resource: Resource,
        id: i64,
        subject: &Subject,
        record: &mut Record,
    ) -> Result<Response, Problem> {
        let settings = self.current_settings();
        let mut store = lock(&self.store);
        let mut desk = self.desk(&mut store, resource, &settings, record);
        let deleted = desk.delete(id);
        let external_id = subject.external_ids.first().cloned();
        let (effect, status) = match &deleted {
            Ok(Some(_)) => (Effect::Deleted, StatusCode::NO_CONTENT),
            Ok(None) => (Effect::Refused, StatusCode::NO_CONTENT),
            Err(problem) => (Effect::Refused, problem.status),
        };
        desk.note(external_id, Some(id), effect, effect == Effect::Deleted, status);
        deleted.map(|_| Response::empty(StatusCode::NO_CONTENT))
    }

    fn desk<'a>(
        &self,
        store: &'a mut Store,
        resource: Resource,
        settings: &'a TagServerSettings,
        record: &'a mut Record,
    ) -> Desk<'a> {
        Desk { store, resource, settings, digits: self.digits(), record }
    }

    fn shelf<'a>(
        &self,
        store: &'a Store,
        resource: Resource,
        settings: &'a TagServerSettings,
    ) -> Shelf<'a> {
        Shelf { store, resource, settings, digits: self.digits() }
    }
}

fn method_not_allowed(request: &Request, route: &Route) -> Response {
    let detail = format!("Request method '{}' is not supported", request.method);
    Problem::plain(StatusCode::METHOD_NOT_ALLOWED, detail)
        .into_response(&request.path)
        .header("Allow", route.allowed())
}
