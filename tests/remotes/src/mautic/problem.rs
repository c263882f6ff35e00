//! Refusals, as Mautic words them (section 8). Messages are translated in the field: nobody may
//! match on them.

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::options::{ErrorShape, MauticSettings, OauthErrors, Validation};
use crate::{Fault, Response};

/// Why a request, or a row of a batch, is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    message: String,
    details: Vec<(String, String)>,
    kind: Option<&'static str>,
    /// Refused by OAuth, which has a shape of its own.
    oauth: bool,
    /// PHP itself failed: a page, not JSON.
    fatal: bool,
}

impl Problem {
    /// A refusal without details.
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        let (details, kind) = (Vec::new(), None);
        Self { status, message: message.into(), details, kind, oauth: false, fatal: false }
    }

    /// 400.
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 404.
    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "Item was not found.")
    }

    /// 403 of a role.
    pub(super) fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN, "You do not have access to the requested area/action.")
    }

    /// Values that fail validation: field and message.
    pub(super) fn validation(details: Vec<(String, String)>, settings: &MauticSettings) -> Self {
        let status = match settings.validation {
            Validation::BadRequest => StatusCode::BAD_REQUEST,
            Validation::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
        };
        let messages: Vec<String> =
            details.iter().map(|(field, message)| format!("{field}: {message}")).collect();
        Self { details, ..Self::new(status, messages.join(", ")) }
    }

    /// 400 of a client, 401 of a token, 403 of the set-up.
    pub(super) fn oauth(status: StatusCode, kind: &'static str, message: &str) -> Self {
        Self { kind: Some(kind), oauth: true, ..Self::new(status, message) }
    }

    /// 403 of the set-up, which has a type.
    pub(super) fn set_up(kind: &'static str, message: &str) -> Self {
        Self { kind: Some(kind), ..Self::new(StatusCode::FORBIDDEN, message) }
    }

    /// 500 of PHP itself.
    pub(super) fn fatal() -> Self {
        Self { fatal: true, ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, "error #500") }
    }

    /// The refusal as a row of `errors`.
    pub(super) fn to_value(&self) -> Value {
        let details: Map<String, Value> =
            self.details.iter().map(|(field, message)| (field.clone(), json!([message]))).collect();
        // PHP shows an empty map as an empty list.
        let details = if details.is_empty() { json!([]) } else { Value::Object(details) };
        json!({
            "code": self.status.as_u16(),
            "message": self.message,
            "details": details,
            "type": self.kind,
        })
    }

    /// The refusal as an answer.
    pub(super) fn into_response(self, settings: &MauticSettings) -> Response {
        if self.fatal {
            return page(self.status);
        }
        let body = if self.oauth {
            match settings.oauth_errors {
                OauthErrors::Envelope => json!({ "errors": [{
                    "message": self.message, "code": self.status.as_u16(), "type": self.kind,
                }] }),
                OauthErrors::Raw => {
                    json!({ "error": self.kind, "error_description": self.message })
                }
            }
        } else {
            match settings.error_shape {
                ErrorShape::Errors => json!({ "errors": [self.to_value()] }),
                ErrorShape::Error => json!({
                    "error": { "code": self.status.as_u16(), "message": self.message },
                }),
            }
        };
        Response::json(self.status, &body)
    }
}

/// PHP's own page, or the proxy's: not JSON.
fn page(status: StatusCode) -> Response {
    let title = status.canonical_reason().unwrap_or_default();
    let page = format!(
        "<!DOCTYPE html><html><head><title>{title}</title></head>\
         <body><h1>error #{}</h1></body></html>",
        status.as_u16()
    );
    Response::text(status, "text/html; charset=UTF-8", page)
}

/// The answer to one call too many.
pub(super) fn throttled(limit: u64) -> Response {
    let body = json!({ "errors": [{
        "code": 429,
        "message": format!("You exceeded the rate limit of {limit} API calls per hour."),
        "details": [],
    }] });
    Response::json(StatusCode::TOO_MANY_REQUESTS, &body)
}

/// The usual answer with a status that nobody explained.
pub(super) fn plain_error(status: StatusCode, path: &str, settings: &MauticSettings) -> Response {
    let problem = match status {
        StatusCode::UNAUTHORIZED => invalid_token(),
        StatusCode::BAD_REQUEST if path.starts_with("/oauth/") => invalid_client(),
        StatusCode::NOT_FOUND => Problem::not_found(),
        StatusCode::FORBIDDEN => Problem::forbidden(),
        StatusCode::TOO_MANY_REQUESTS => return throttled(settings.rate_limit_per_hour),
        _ if status.is_server_error() => return page(status),
        _ => Problem::new(status, status.canonical_reason().unwrap_or("Error")),
    };
    problem.into_response(settings)
}

/// 401: nobody issued this token, or it was revoked.
pub(super) fn invalid_token() -> Problem {
    let message = "The access token provided is invalid.";
    Problem::oauth(StatusCode::UNAUTHORIZED, "invalid_grant", message)
}

/// 400: not the client that this Mautic knows.
pub(super) fn invalid_client() -> Problem {
    let message = "The client credentials are invalid";
    Problem::oauth(StatusCode::BAD_REQUEST, "invalid_client", message)
}

/// The 2xx without an id of Mautic 5.0.x (section 2b), applied.
pub fn contact_without_id() -> Fault {
    Fault::Status {
        code: 200,
        headers: Vec::new(),
        body: Some(json!({ "contact": [] })),
        applied: true,
    }
}

/// The list of the same versions, whose contact has nothing in it (section 2b).
pub fn list_without_contact(id: i64) -> Fault {
    let contacts = json!({ id.to_string(): [] });
    let body = Some(json!({ "total": "1", "contacts": contacts }));
    Fault::Status { code: 200, headers: Vec::new(), body, applied: false }
}

/// PHP's 500, which is no JSON (section 8), not applied.
pub fn server_error_page() -> Fault {
    Fault::status(500)
}
