//! Errors (contract, section 2): a code inside HTTP 200. Only the caller's registration has a
//! status of its own, and what is not RunSignup's program but its web server.

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::{Fault, Response};

/// An error by its code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiError {
    pub(super) code: u16,
    /// What is known besides the code's own message: `detailed_desc` of a row.
    pub(super) detail: Option<String>,
    /// The rows' own errors, for a write of participants.
    pub(super) rows: Option<Vec<Value>>,
}

impl ApiError {
    /// An error with its usual message.
    pub(super) fn new(code: u16) -> Self {
        Self { code, detail: None, rows: None }
    }

    /// An error with more to say.
    pub(super) fn with_detail(code: u16, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..Self::new(code) }
    }

    /// As one element of `error_details`.
    pub(super) fn row(&self) -> Value {
        let mut row = json!({ "error_code": self.code, "error_msg": message(self.code) });
        if let (Some(detail), Some(row)) = (&self.detail, row.as_object_mut()) {
            row.insert("detailed_desc".to_owned(), json!(detail));
        }
        row
    }

    /// As a whole answer.
    pub(super) fn body(&self) -> Value {
        let mut body =
            json!({ "error": { "error_code": self.code, "error_msg": message(self.code) } });
        if let (Some(rows), Some(body)) = (&self.rows, body.as_object_mut()) {
            body.insert("error_details".to_owned(), json!(rows));
        }
        body
    }

    /// The HTTP status it comes with.
    pub(super) fn status(&self) -> StatusCode {
        if self.code == 17 { StatusCode::BAD_REQUEST } else { StatusCode::OK }
    }
}

/// An answer of HTTP 200 that carries error `code`, not applied.
pub fn api_error(code: u16) -> Fault {
    Fault::Status {
        code: 200,
        headers: Vec::new(),
        body: Some(ApiError::new(code).body()),
        applied: false,
    }
}

/// The usual answer to calls too many: HTTP 200 with code 14.
pub fn throttled() -> Fault {
    api_error(14)
}

/// What RunSignup's web server answers when the program does not.
pub(super) fn web_server(status: StatusCode) -> Response {
    let title = format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or("Error"));
    let page = format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\
         \r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    );
    Response::text(status, "text/html", page)
}

fn message(code: u16) -> &'static str {
    match code {
        1 => "Unknown method",
        2 => "HTTP method not supported",
        3 => "Invalid parameters",
        5 => "Database error",
        6 => "Key authentication failed",
        7 => "Permission Denied",
        8 => "Not implemented",
        9 => "Invalid date",
        10 => "Response format not supported",
        11 => "Invalid submission",
        12 => "Request received out of order",
        13 => "You must be logged in as a user",
        14 => "Request throttled",
        15 => "Invalid ID",
        17 => "Invalid API caller credentials.",
        101 => "User not found",
        102 => "Email or password invalid",
        103 => "Account locked",
        104 => "First name missing",
        105 => "First name invalid",
        106 => "Last name missing",
        107 => "Last name invalid",
        108 => "Email invalid",
        109 => "Street invalid",
        110 => "City invalid",
        111 => "State invalid",
        112 => "Zip code invalid",
        113 => "Country invalid",
        114 => "Gender invalid",
        115 => "Bib number invalid",
        116 => "Chip number invalid",
        117 => "Date of birth invalid",
        118 => "Age invalid",
        119 => "Age and date of birth do not match",
        120 => "Phone invalid",
        121 => "User is not editable",
        122 => "Email already associated with an existing account",
        123 => "City has invalid characters",
        201 => "Race not found",
        202 => "Failed to create race",
        213 => "Failed to edit race",
        214 => "Timezone invalid",
        215 => "URL invalid",
        216 => "URL in use",
        217 => "At least one event is needed",
        224 => "Renewal not allowed",
        514 | 515 => "Team error",
        517 => "Existing registration",
        _ => "Unknown error",
    }
}
