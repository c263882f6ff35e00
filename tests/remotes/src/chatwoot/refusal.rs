//! Refusals, worded as Rails and Chatwoot do (contract, section 8).

use hyper::StatusCode;
use serde_json::json;

use super::options::{Locale, ServerErrorBody};
use crate::Response;

/// Why a request is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// 401 without a token that arrived.
    NotSignedIn,
    /// 401: bad token, or no permission. Never 403.
    Unauthorized(&'static str),
    /// 404.
    NotFound,
    /// 422 by validation.
    Invalid(Vec<Invalid>),
    /// 422 with a message of its own.
    Message(String),
    /// 422 with an error: missing parameters, filters.
    Error(String),
    /// 429.
    Throttled,
    /// 500: an exception that nothing handles.
    Exception,
    /// Any other status.
    Other(StatusCode),
}

/// What is wrong with one attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Invalid {
    pub(super) attribute: &'static str,
    pub(super) why: Why,
}

/// Which validation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Taken,
    Malformed,
    TooLong,
}

impl Refusal {
    /// One attribute that is not valid.
    pub(super) fn invalid(attribute: &'static str, why: Why) -> Self {
        Self::Invalid(vec![Invalid { attribute, why }])
    }

    /// The status it is answered with.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::NotSignedIn | Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Invalid(_) | Self::Message(_) | Self::Error(_) => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            Self::Throttled => StatusCode::TOO_MANY_REQUESTS,
            Self::Exception => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Other(status) => *status,
        }
    }

    /// The answer.
    pub(super) fn into_response(self, locale: Locale, server_error: ServerErrorBody) -> Response {
        let status = self.status();
        let body = match self {
            Self::NotSignedIn => {
                json!({ "errors": ["You need to sign in or sign up before continuing."] })
            }
            Self::Unauthorized(why) => json!({ "error": why }),
            Self::NotFound => json!({ "error": "Resource could not be found" }),
            Self::Invalid(invalid) => {
                let messages: Vec<String> = invalid.iter().map(|one| one.words(locale)).collect();
                let mut attributes: Vec<&str> = invalid.iter().map(|one| one.attribute).collect();
                attributes.dedup();
                json!({ "message": messages.join(", "), "attributes": attributes })
            }
            Self::Message(message) => json!({ "message": message }),
            Self::Error(error) => json!({ "error": error }),
            // Without `Retry-After`, and not JSON.
            Self::Throttled => return Response::text(status, "text/plain", "Retry later"),
            Self::Exception => return exception(server_error),
            Self::Other(status) if status.is_server_error() => return proxy_page(status),
            Self::Other(status) => {
                let reason = status.canonical_reason().unwrap_or_default();
                json!({ "status": status.as_u16(), "error": reason })
            }
        };
        Response::json(status, &body)
    }

    /// What is answered with `status` when nothing more is known.
    pub(super) fn plain(status: StatusCode) -> Self {
        match status.as_u16() {
            401 => Self::Unauthorized(INVALID_TOKEN),
            404 => Self::NotFound,
            422 => Self::Message("Validation failed".to_owned()),
            429 => Self::Throttled,
            500 => Self::Exception,
            _ => Self::Other(status),
        }
    }
}

/// A token that is unknown or revoked.
pub(super) const INVALID_TOKEN: &str = "Invalid Access Token";
/// A role that may not.
pub(super) const NOT_PERMITTED: &str = "You are not authorized to do this action";

impl Invalid {
    fn words(self, locale: Locale) -> String {
        let english = locale == Locale::English;
        let name = match (self.attribute, english) {
            ("email", _) => "Email",
            ("phone_number", true) => "Phone number",
            ("phone_number", false) => "Número de telefone",
            ("identifier", true) => "Identifier",
            ("identifier", false) => "Identificador",
            ("name", true) => "Name",
            ("name", false) => "Nome",
            ("url", _) => "Url",
            (other, _) => other,
        };
        let why = match (self.why, english) {
            (Why::Taken, true) => "has already been taken",
            (Why::Taken, false) => "já está em uso",
            (Why::Malformed, true) => "is invalid",
            (Why::Malformed, false) => "não é válido",
            (Why::TooLong, true) => "is too long (maximum is 255 characters)",
            (Why::TooLong, false) => "é muito longo (máximo: 255 caracteres)",
        };
        format!("{name} {why}")
    }
}

fn exception(body: ServerErrorBody) -> Response {
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    match body {
        ServerErrorBody::Json => {
            Response::json(status, &json!({ "status": 500, "error": "Internal Server Error" }))
        }
        ServerErrorBody::Html => {
            let page = "<!DOCTYPE html><html><head><title>We're sorry, but something went wrong \
                (500)</title></head><body></body></html>";
            Response::text(status, "text/html; charset=UTF-8", page)
        }
    }
}

/// A page of the proxy in front of Chatwoot.
fn proxy_page(status: StatusCode) -> Response {
    let title = format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or_default());
    let page = format!(
        "<html><head><title>{title}</title></head><body><center><h1>{title}</h1></center>\
        <hr><center>nginx</center></body></html>"
    );
    Response::text(status, "text/html", page)
}
