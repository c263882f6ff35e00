//! Refusals as RFC 7807 problems, worded as a stock JHipster server does.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::options::MissingRelation;
use super::resource::Resource;
use super::store::Refusal;
use crate::{Fault, Response};

/// JHipster hides every database error behind these words.
const DATA_ACCESS: &str = "Failure during data access";

const MEDIA_TYPE: &str = "application/problem+json";
const WITH_MESSAGE: &str = "https://www.jhipster.tech/problem/problem-with-message";
const CONSTRAINT_VIOLATION: &str = "https://www.jhipster.tech/problem/constraint-violation";

/// One field that is not valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FieldError {
    pub(super) object_name: &'static str,
    pub(super) field: &'static str,
    pub(super) message: &'static str,
}

/// A refusal.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    detail: String,
    message: String,
    params: Option<&'static str>,
    pub(super) field_errors: Vec<FieldError>,
}

impl Problem {
    /// What Spring answers when there is nothing more to say.
    pub(super) fn plain(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            message: format!("error.http.{}", status.as_u16()),
            params: None,
            field_errors: Vec::new(),
        }
    }

    fn bad_request(message: &str, params: &'static str, detail: impl Into<String>) -> Self {
        Self {
            message: message.to_owned(),
            params: Some(params),
            ..Self::plain(StatusCode::BAD_REQUEST, detail)
        }
    }

    /// A body with fields that are missing or do not fit.
    pub(super) fn validation(field_errors: Vec<FieldError>) -> Self {
        Self {
            message: "error.validation".to_owned(),
            field_errors,
            ..Self::plain(StatusCode::BAD_REQUEST, "Validation failed")
        }
    }

    /// A create that brings an id.
    pub(super) fn id_exists(resource: Resource) -> Self {
        let detail = "A new entity cannot already have an ID";
        Self::bad_request("error.idexists", resource.object_name(), detail)
    }

    /// An update without an id.
    pub(super) fn id_null(resource: Resource) -> Self {
        Self::bad_request("error.idnull", resource.object_name(), "Invalid id")
    }

    /// An update with another id than the path's.
    pub(super) fn id_invalid(resource: Resource) -> Self {
        Self::bad_request("error.idinvalid", resource.object_name(), "Invalid ID")
    }

    /// What the store refuses.
    pub(super) fn refusal(
        refusal: &Refusal,
        resource: Resource,
        missing_relation: MissingRelation,
    ) -> Self {
        match refusal {
            Refusal::UnknownId => {
                Self::bad_request("error.idnotfound", resource.object_name(), "Entity not found")
            }
            Refusal::Duplicate | Refusal::Referenced => {
                Self::plain(StatusCode::INTERNAL_SERVER_ERROR, DATA_ACCESS)
            }
            Refusal::MissingRelation { field, parent, id } => match missing_relation {
                MissingRelation::BadRequest => Self::bad_request(
                    "error.relationnotfound",
                    field,
                    format!("The relation {field} names {} {id}, which is absent", parent.entity()),
                ),
                MissingRelation::ServerError => Self::plain(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    format!(
                        "Unable to find the relation {field} ({} with id {id})",
                        parent.entity()
                    ),
                ),
            },
        }
    }

    /// The same refusal as a row of a bulk answer, where only 4xx exist: a violated constraint is
    /// 409 there, any other failure 400; the words stay.
    pub(super) fn in_bulk(mut self) -> Self {
        if self.status.is_server_error() {
            let violated = self.detail == DATA_ACCESS;
            self.status = if violated { StatusCode::CONFLICT } else { StatusCode::BAD_REQUEST };
            self.message = format!("error.http.{}", self.status.as_u16());
        }
        self
    }

    /// The problem's document.
    pub(super) fn to_value(&self, path: &str) -> Value {
        let kind = if self.field_errors.is_empty() { WITH_MESSAGE } else { CONSTRAINT_VIOLATION };
        let mut value = json!({
            "type": kind,
            "title": self.status.canonical_reason(),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "path": path,
            "message": self.message,
        });
        let Some(object) = value.as_object_mut() else { return value };
        if let Some(params) = self.params {
            object.insert("params".to_owned(), json!(params));
        }
        if !self.field_errors.is_empty() {
            let errors = self.field_errors.iter().map(|error| {
                json!({
                    "objectName": error.object_name,
                    "field": error.field,
                    "message": error.message,
                })
            });
            object.insert("fieldErrors".to_owned(), errors.collect());
        }
        value
    }

    /// The problem as an answer.
    pub(super) fn into_response(self, path: &str) -> Response {
        Response::text(self.status, MEDIA_TYPE, self.to_value(path).to_string())
    }
}

/// 409 of optimistic locking, not applied.
pub fn concurrency_failure() -> Fault {
    Fault::status(StatusCode::CONFLICT.as_u16())
}

/// 500 "Failure during data access" though nothing was violated, not applied.
pub fn data_access_failure() -> Fault {
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    Fault::Status {
        code: status.as_u16(),
        headers: vec![("Content-Type".to_owned(), MEDIA_TYPE.to_owned())],
        body: Some(Problem::plain(status, DATA_ACCESS).to_value("")),
        applied: false,
    }
}

/// The usual answer with a status that nobody explained.
pub(super) fn plain_error(status: StatusCode, path: &str) -> Response {
    match status {
        StatusCode::UNAUTHORIZED if path == "/api/authenticate" => {
            Problem::plain(status, "Bad credentials").into_response(path)
        }
        StatusCode::UNAUTHORIZED => unauthorized(),
        StatusCode::FORBIDDEN => Response::empty(status),
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            let title = status.canonical_reason().unwrap_or_default();
            let page = format!("<html><head><title>{title}</title></head><body></body></html>");
            Response::text(status, "text/html", page)
        }
        StatusCode::CONFLICT => {
            let mut problem = Problem::plain(status, "Failed to update: changed by somebody else");
            problem.message = "error.concurrencyFailure".to_owned();
            problem.into_response(path)
        }
        other => {
            let detail = other.canonical_reason().unwrap_or("Error");
            Problem::plain(other, detail).into_response(path)
        }
    }
}

/// A token that is expired, revoked or made up: 401 without a body.
pub(super) fn unauthorized() -> Response {
    Response::empty(StatusCode::UNAUTHORIZED)
        .header("WWW-Authenticate", "Bearer error=\"invalid_token\"")
}
