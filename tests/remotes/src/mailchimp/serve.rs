//! Where each request goes once its sender is known.

use hyper::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::list::List;
use super::merge_field::MergeField;
use super::problem::{FieldError, Problem};
use super::read;
use super::route::{Route, sent_ems_id};
use super::server::MailChimp;
use super::trim::trim;
use super::upsert::{Desk, Written};
use crate::sync::lock;
use crate::{Effect, Operation, Record, Remote as _, Request, Response, RowEffect};

impl MailChimp {
    /// Does what an authorised request asks for.
    pub(super) fn serve(
        &self,
        route: &Route,
        request: &Request,
        record: &mut Record,
    ) -> Result<Response, Problem> {
        if *route == Route::Unknown {
            record.violation("unknown_path", request.method.as_str());
            return Err(Problem::not_found());
        }
        if route.operation(&request.method) == Operation::Other {
            let what = format!("{} {}", request.method, route.template());
            record.violation("method_not_allowed", what);
            return Err(Problem::not_allowed(
                "The requested method and resource are not compatible. See the Allow header for \
                 this resource's available methods.",
            ));
        }
        if let Some(answered) = self.serve_batch(route, request, record) {
            return answered.map(|body| show(&body, request));
        }
        match route {
            Route::Root => Ok(show(&self.account(), request)),
            Route::Ping => Ok(show(&json!({ "health_status": "Everything's Chimpy!" }), request)),
            Route::Search => Ok(show(&read::search(&lock(&self.store), request)?, request)),
            Route::Members(list) | Route::List(list) if request.method == Method::POST => {
                let bulk = matches!(route, Route::List(_));
                self.add(list, bulk, request, record)
            }
            Route::Member(list, key) | Route::Tags(list, key) | Route::Forget(list, key)
                if request.method != Method::GET =>
            {
                self.write(route, list, key, request, record)
            }
            Route::Webhooks(list) | Route::Webhook(list, _) => {
                self.serve_webhook(route, list, request, record)
            }
            Route::MergeFields(list) if request.method == Method::POST => {
                let field = self.add_field(list, request, record)?;
                Ok(show(&field, request))
            }
            Route::List(list)
            | Route::MergeFields(list)
            | Route::Categories(list)
            | Route::Interests(list, _)
            | Route::Members(list)
            | Route::Member(list, _)
            | Route::Tags(list, _)
            | Route::Forget(list, _) => {
                let store = lock(&self.store);
                let list = store.list(list).ok_or_else(Problem::not_found)?;
                Ok(show(&self.read(route, list, request, record)?, request))
            }
            Route::Batches | Route::Batch(_) | Route::Results(_) | Route::Unknown => {
                Err(Problem::not_found())
            }
        }
    }

    fn account(&self) -> Value {
        json!({
            "account_id": self.account_id(),
            "account_name": "Club",
            "login_id": "1000001",
            "email": "office@club.org",
            "role": "owner",
            "_links": [],
        })
    }

    fn read(
        &self,
        route: &Route,
        list: &List,
        request: &Request,
        record: &mut Record,
    ) -> Result<Value, Problem> {
        match route {
            Route::Member(_, key) => {
                Ok(list.find(key).ok_or_else(Problem::not_found)?.to_value(list))
            }
            Route::Tags(_, key) => {
                let member = list.find(key).ok_or_else(Problem::not_found)?;
                read::page("tags", member.dated_tags(list), request, record)
            }
            Route::Members(_) => read::members(list, &self.current_settings(), request, record),
            Route::MergeFields(_) => {
                read::page("merge_fields", merge_fields(list), request, record)
            }
            Route::Categories(_) => read::page("categories", categories(list), request, record),
            Route::Interests(_, category) => {
                let interests = interests(list, category).ok_or_else(Problem::not_found)?;
                read::page("interests", interests, request, record)
            }
            Route::List(_) => Ok(list.to_value()),
            Route::Root
            | Route::Ping
            | Route::Forget(..)
            | Route::Search
            | Route::Batches
            | Route::Batch(_)
            | Route::Results(_)
            | Route::Webhooks(_)
            | Route::Webhook(..)
            | Route::Unknown => Err(Problem::not_found()),
        }
    }

    /// `POST …/members` or `POST /lists/{id}`
    fn add(
        &self,
        list: &str,
        bulk: bool,
        request: &Request,
        record: &mut Record,
    ) -> Result<Response, Problem> {
        let body = json_body(request, record)?;
        self.at_desk(list, request, record, |desk| {
            if bulk {
                let skip = request.query_value("skip_duplicate_check") == Some("true");
                return Ok(show(&desk.bulk(body, skip)?, request));
            }
            let written = desk.post(object(body)?);
            noted(desk.record, body, None, &written);
            Ok(show(&written?.body, request))
        })
    }

    /// Whatever changes one member.
    fn write(
        &self,
        route: &Route,
        list: &str,
        key: &str,
        request: &Request,
        record: &mut Record,
    ) -> Result<Response, Problem> {
        let nothing = Value::Null;
        let bodiless = request.method == Method::DELETE || matches!(route, Route::Forget(..));
        let body = if bodiless { &nothing } else { json_body(request, record)? };
        self.at_desk(list, request, record, |desk| {
            let written = if matches!(route, Route::Tags(..)) {
                desk.change_tags(key, body)
            } else if matches!(route, Route::Forget(..)) {
                desk.forget(key)
            } else if request.method == Method::DELETE {
                desk.archive(key)
            } else if request.method == Method::PATCH {
                object(body).and_then(|body| desk.patch(key, body))
            } else {
                object(body).and_then(|body| desk.put(key, body))
            };
            noted(desk.record, body, Some(key), &written);
            let written = written?;
            let empty = written.body.is_null();
            Ok(if empty {
                Response::empty(StatusCode::NO_CONTENT)
            } else {
                show(&written.body, request)
            })
        })
    }

    fn at_desk<T>(
        &self,
        list: &str,
        request: &Request,
        record: &mut Record,
        work: impl FnOnce(&mut Desk<'_>) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let settings = self.current_settings();
        let now = self.now();
        let mut store = lock(&self.store);
        let (list, next_web_id) = store.split(list).ok_or_else(Problem::not_found)?;
        let skip_merge_validation = request.query_value("skip_merge_validation") == Some("true");
        work(&mut Desk {
            list,
            next_web_id,
            settings: &settings,
            now,
            skip_merge_validation,
            record,
        })
    }

    fn add_field(
        &self,
        list: &str,
        request: &Request,
        record: &mut Record,
    ) -> Result<Value, Problem> {
        let body = json_body(request, record)?;
        let mut body = object(body)?.clone();
        // The API makes a tag from the name if none is given.
        if !body.contains_key("tag") {
            let name = body.get("name").and_then(Value::as_str).unwrap_or_default();
            let tag: String = name.to_uppercase().chars().filter(|c| c.is_alphanumeric()).collect();
            body.insert("tag".to_owned(), json!(tag));
        }
        let choices = body.get("options").and_then(|options| options.get("choices")).cloned();
        body.extend(choices.map(|choices| ("choices".to_owned(), choices)));
        let field: MergeField = serde_json::from_value(Value::Object(body)).map_err(|_| {
            Problem::schema(vec![FieldError::new("type", "This value is not valid.")])
        })?;
        let mut store = lock(&self.store);
        let list = store.list_mut(list).ok_or_else(Problem::not_found)?;
        let fits = (1..=10).contains(&field.tag.len()) && field.tag.is_ascii();
        if !fits || list.field(&field.tag).is_some() {
            let detail = format!("A Merge Field with the tag \"{}\" cannot be made.", field.tag);
            return Err(Problem::invalid(detail));
        }
        list.options.merge_fields.push(field.clone());
        record.rows.push(made(&field.tag));
        Ok(field.to_value(list.options.merge_fields.len(), &list.options.id))
    }
}

fn merge_fields(list: &List) -> Vec<Value> {
    let fields = list.options.merge_fields.iter().enumerate();
    fields.map(|(index, field)| field.to_value(index + 1, &list.options.id)).collect()
}

fn categories(list: &List) -> Vec<Value> {
    let categories = list.options.interest_categories.iter();
    categories
        .map(|category| {
            json!({
                "list_id": list.options.id, "id": category.id, "title": category.title,
                "display_order": 0, "type": "checkboxes",
            })
        })
        .collect()
}

fn interests(list: &List, category: &str) -> Option<Vec<Value>> {
    let mut categories = list.options.interest_categories.iter();
    let category = categories.find(|other| other.id == category)?;
    let interest = |(id, name): &(String, String)| {
        json!({
            "category_id": category.id, "list_id": list.options.id, "id": id, "name": name,
            "subscriber_count": "0", "display_order": 0,
        })
    };
    Some(category.interests.iter().map(interest).collect())
}

/// Notes what became of a member.
fn noted(record: &mut Record, body: &Value, key: Option<&str>, written: &Result<Written, Problem>) {
    record.rows.push(match written {
        Ok(written) => RowEffect {
            external_id: written.ems_id.clone(),
            remote_id: Some(written.id.clone()),
            effect: written.effect,
            changed: written.changed,
            status: if written.body.is_null() { 204 } else { 200 },
        },
        Err(problem) => RowEffect {
            external_id: sent_ems_id(body),
            remote_id: key.map(str::to_owned),
            effect: Effect::Refused,
            changed: false,
            status: problem.status.as_u16(),
        },
    });
}

/// A new merge field or webhook in the journal.
pub(super) fn made(id: &str) -> RowEffect {
    RowEffect {
        external_id: None,
        remote_id: Some(id.to_owned()),
        effect: Effect::Created,
        changed: true,
        status: 200,
    }
}

/// The body as JSON.
pub(super) fn json_body<'r>(
    request: &'r Request,
    record: &mut Record,
) -> Result<&'r Value, Problem> {
    request.json().ok_or_else(|| {
        record.violation("malformed_json", request.method.as_str());
        Problem::not_json()
    })
}

/// The body as an object.
pub(super) fn object(body: &Value) -> Result<&Map<String, Value>, Problem> {
    body.as_object().ok_or_else(|| Problem::bad_request("An object was expected."))
}

/// An answer, trimmed as the query asks for.
pub(super) fn show(body: &Value, request: &Request) -> Response {
    if body.is_null() {
        return Response::empty(StatusCode::NO_CONTENT);
    }
    Response::json(StatusCode::OK, &trim(body.clone(), request))
}
