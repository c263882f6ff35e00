//! Where each request goes once its sender is known.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::contact::Contact;
use super::options::{MauticSettings, Role};
use super::params;
use super::problem::Problem;
use super::read;
use super::route::{Route, batch_ids};
use super::server::Mautic;
use super::store::Store;
use super::write::{Desk, Written};
use crate::sync::lock;
use crate::{Operation, Record, Remote, Request, Response, Subject};

impl Mautic {
    /// Does what an authorised request asks for.
    pub(super) fn serve(
        &self,
        route: &Route,
        request: &Request,
        subject: &Subject,
        record: &mut Record,
    ) -> Result<Response, Problem> {
        let settings = self.current_settings();
        let operation = route.operation(&request.method);
        if *route == Route::Unknown {
            record.violation("unknown_path", request.method.as_str());
            return Err(Problem::not_found());
        }
        if operation == Operation::Other {
            let detail = format!("{} {}", request.method, route.template());
            record.violation("method_not_allowed", detail);
            return Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed"));
        }
        let denied = match settings.role {
            Role::Full => false,
            Role::ViewOnly => operation.is_write(),
            Role::Nothing => true,
        };
        if denied {
            return Err(Problem::forbidden());
        }
        if operation.is_write() {
            return self.write(route, request, subject, &settings, record);
        }
        let mut cache = lock(&self.counts);
        let store = lock(&self.store);
        match route {
            Route::List => read::list(request, &store, &settings, self.now(), &mut cache, record),
            Route::Fields => Ok(read::fields(&store.fields, &settings)),
            Route::Owners => Ok(read::owners()),
            Route::Segments => Ok(read::segments(store.segments.values().cloned(), &settings)),
            Route::Token
            | Route::New
            | Route::Contact(_)
            | Route::Edit(_)
            | Route::Delete(_)
            | Route::BatchNew
            | Route::BatchEdit
            | Route::BatchDelete
            | Route::DncAdd(..)
            | Route::DncRemove(..)
            | Route::SegmentsOf(_)
            | Route::SegmentAdd(..)
            | Route::SegmentRemove(..)
            | Route::SegmentAddMany(_)
            | Route::Unknown => {
                let id = number(route.contact(), record)?;
                let known = store.known(id, settings.merged_id).ok_or_else(Problem::not_found)?;
                if let Route::SegmentsOf(_) = route {
                    let segments = known.segments.iter().filter_map(|id| store.segments.get(id));
                    return Ok(read::segments(segments.cloned(), &settings));
                }
                Ok(contact(known, &store, StatusCode::OK))
            }
        }
    }

    fn write(
        &self,
        route: &Route,
        request: &Request,
        subject: &Subject,
        settings: &MauticSettings,
        record: &mut Record,
    ) -> Result<Response, Problem> {
        let body = params::body(request, record)?;
        let is_put = request.method == "PUT";
        if is_put {
            record.violation("put", route.template());
        }
        let now = self.now();
        let mut store = lock(&self.store);
        let path_id = route.contact().map(|id| number(Some(id), record)).transpose()?;
        let id = path_id.unwrap_or_default();
        let unseen = subject.seen.saturating_add(1)..store.commits().saturating_add(1);
        let mut desk = Desk { store: &mut store, settings, now, unseen, record };
        let written = match route {
            Route::New => desk.create(&body)?,
            Route::Edit(_) if is_put => desk.put(id, &body)?,
            Route::Edit(_) => desk.patch(id, &body)?,
            Route::Delete(_) => return delete(&mut desk, id),
            Route::BatchNew => {
                let outcome = desk.batch_new(&body)?;
                return Ok(Response::json(StatusCode::CREATED, &outcome.into_body()));
            }
            Route::BatchEdit => {
                let outcome = desk.batch_edit(&body, is_put)?;
                return Ok(Response::json(StatusCode::OK, &outcome.into_body()));
            }
            Route::BatchDelete => {
                let outcome = desk.batch_delete(&batch_ids(request))?;
                return Ok(Response::json(StatusCode::OK, &outcome.into_body()));
            }
            Route::DncAdd(_, channel) => {
                desk.dnc_add(id, channel, &body)?;
                Written { id, status: StatusCode::OK }
            }
            Route::DncRemove(_, channel) => {
                let found = desk.dnc_remove(id, channel)?;
                let contact = desk.known(id)?.to_api(&desk.store.fields, false);
                let body = json!({ "recordFound": found, "contact": contact });
                return Ok(Response::json(StatusCode::OK, &body));
            }
            Route::SegmentAdd(segment, _) | Route::SegmentRemove(segment, _) => {
                let add = matches!(route, Route::SegmentAdd(..));
                let segment = number(Some(segment), desk.record)?;
                return Ok(Response::json(StatusCode::OK, &desk.segment(segment, id, add)?));
            }
            Route::SegmentAddMany(segment) => {
                let segment = number(Some(segment), desk.record)?;
                return Ok(Response::json(StatusCode::OK, &desk.segment_many(segment, &body)?));
            }
            Route::Token
            | Route::List
            | Route::Contact(_)
            | Route::SegmentsOf(_)
            | Route::Fields
            | Route::Owners
            | Route::Segments
            | Route::Unknown => return Err(Problem::not_found()),
        };
        let after = desk.known(written.id)?;
        Ok(contact(&after, &store, written.status))
    }
}

/// `DELETE /contacts/{id}/delete`: the id in the answer is null or not, nobody may rely on it.
fn delete(desk: &mut Desk<'_>, id: i64) -> Result<Response, Problem> {
    let shown = desk.store.get(id).map(|contact| contact.to_api(&desk.store.fields, false));
    desk.delete(id)?;
    let mut shown = shown.unwrap_or_default();
    if let (true, Some(shown)) = (id % 2 != 0, shown.as_object_mut()) {
        shown.insert("id".to_owned(), Value::Null);
    }
    Ok(Response::json(StatusCode::OK, &json!({ "contact": shown })))
}

fn contact(contact: &Contact, store: &Store, status: StatusCode) -> Response {
    Response::json(status, &json!({ "contact": contact.to_api(&store.fields, false) }))
}

/// An id in a path.
fn number(id: Option<&str>, record: &mut Record) -> Result<i64, Problem> {
    id.and_then(|id| id.parse().ok()).ok_or_else(|| {
        record.violation("malformed_id", "an id is a number");
        Problem::not_found()
    })
}
