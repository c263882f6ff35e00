//! Refusals as MailChimp words them: `application/problem+json`, told apart by status and title.

use hyper::StatusCode;
use serde_json::json;
use uuid::Uuid;

use crate::Response;

const MEDIA_TYPE: &str = "application/problem+json";
const TYPE: &str = "https://mailchimp.com/developer/marketing/docs/errors/";
const INVALID: &str = "Invalid Resource";

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) title: &'static str,
    pub(super) detail: String,
    pub(super) errors: Vec<FieldError>,
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FieldError {
    pub(super) field: String,
    pub(super) message: String,
}

impl FieldError {
    pub(super) fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

impl Problem {
    fn new(status: StatusCode, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, title, detail: detail.into(), errors: Vec::new() }
    }

    fn bad(title: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, title, detail)
    }

    /// 400 with these words.
    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::bad(INVALID, detail)
    }

    /// A body that does not fit the schema.
    pub(super) fn schema(errors: Vec<FieldError>) -> Self {
        let detail = "The resource submitted could not be validated. For field-specific details, \
                      see the 'errors' array.";
        Self { errors, ..Self::bad(INVALID, detail) }
    }

    /// Merge fields that their types refuse.
    pub(super) fn merge_fields(errors: Vec<FieldError>) -> Self {
        Self { errors, ..Self::bad(INVALID, "Your merge fields were invalid.") }
    }

    /// The address is no address.
    pub(super) fn invalid_address() -> Self {
        Self::invalid("Please provide a valid email address.")
    }

    /// The address is at a reserved domain.
    pub(super) fn fake_address(email: &str) -> Self {
        Self::invalid(format!("{email} looks fake or invalid, please enter a real email address."))
    }

    /// The person has subscribed to too much lately.
    pub(super) fn too_many_signups(email: &str) -> Self {
        Self::invalid(format!(
            "{email} has signed up to a lot of lists very recently; we're not allowing more \
             signups for now"
        ))
    }

    /// A create, or a change of address, that meets a member.
    pub(super) fn member_exists(email: &str) -> Self {
        Self::bad(
            "Member Exists",
            format!("{email} is already a list member. Use PUT to insert or update list members."),
        )
    }

    /// A member who opted out, bounced or complained.
    pub(super) fn compliance(email: &str) -> Self {
        Self::bad(
            "Member In Compliance State",
            format!(
                "{email} is in a compliance state due to unsubscribe, bounce, or compliance \
                 review and cannot be subscribed."
            ),
        )
    }

    /// An address that was deleted for good.
    pub(super) fn forgotten(email: &str) -> Self {
        Self::bad(
            "Forgotten Email Not Subscribed",
            format!(
                "{email} was permanently deleted and cannot be re-imported. The contact must \
                 re-subscribe to get back on the list."
            ),
        )
    }

    /// A body that is not JSON.
    pub(super) fn not_json() -> Self {
        Self::bad("JSONParseException", "We encountered an unspecified JSON parsing error.")
    }

    /// JSON of another shape.
    pub(super) fn bad_request(detail: &str) -> Self {
        Self::bad("BadRequest", detail)
    }

    /// Nothing is there.
    pub(super) fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "Resource Not Found",
            "The requested resource could not be found.",
        )
    }

    /// 405 with these words.
    pub(super) fn not_allowed(detail: &str) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed", detail)
    }

    /// A wrong or revoked key.
    pub(super) fn unauthorized() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "API Key Invalid",
            "Your API key may be invalid, or you've attempted to access the wrong datacenter.",
        )
    }

    /// An account that may not.
    pub(super) fn deactivated() -> Self {
        let detail = "This account has been deactivated.";
        Self::new(StatusCode::FORBIDDEN, "Forbidden", detail)
    }

    /// 429 as a problem.
    pub(super) fn too_many_requests() -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "TooManyRequests",
            "You have exceeded the limit of 10 simultaneous connections.",
        )
    }

    /// 429 of batches.
    pub(super) fn too_many_batches() -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "TooManyRequests",
            "You have more than 500 pending batches.",
        )
    }

    /// The answer; `with_type` as some have none.
    pub(super) fn into_response(self, with_type: bool) -> Response {
        let instance = Uuid::new_v4().to_string();
        let mut body = json!({
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
            "instance": instance,
        });
        if let Some(body) = body.as_object_mut() {
            if with_type {
                body.insert("type".to_owned(), json!(TYPE));
            }
            if !self.errors.is_empty() {
                let errors = self
                    .errors
                    .iter()
                    .map(|error| json!({ "field": error.field, "message": error.message }));
                body.insert("errors".to_owned(), errors.collect());
            }
        }
        Response::text(self.status, MEDIA_TYPE, body.to_string()).header("X-Request-Id", instance)
    }
}

/// A refusal by what stands before the API: a page, no JSON.
pub(super) fn bare(status: StatusCode) -> Response {
    let title = status.canonical_reason().unwrap_or("Error");
    let page =
        format!("<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>");
    Response::text(status, "text/html", page)
}

/// The usual answer with a status that nobody explained.
pub(super) fn plain_error(status: StatusCode) -> Response {
    let problem = match status {
        StatusCode::UNAUTHORIZED => Problem::unauthorized(),
        StatusCode::NOT_FOUND => Problem::not_found(),
        StatusCode::TOO_MANY_REQUESTS => Problem::too_many_requests(),
        StatusCode::FORBIDDEN
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => return bare(status),
        StatusCode::INTERNAL_SERVER_ERROR => Problem::new(
            status,
            "InternalServerError",
            "An unexpected internal error has occurred. Please contact Support for more \
             information.",
        ),
        other => {
            let reason = other.canonical_reason().unwrap_or("Error");
            Problem::new(other, reason, reason)
        }
    };
    problem.into_response(true)
}
