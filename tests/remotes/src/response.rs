//! One answer as the remotes give it, before it becomes bytes on a connection.

use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, DATE, HeaderName, HeaderValue};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use serde_json::Value;

use crate::body::ResponseBody;

/// Status, headers and body of an answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// Headers besides `Date` and `Content-Length`.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

impl Response {
    /// An answer without a body.
    pub fn empty(status: StatusCode) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new() }
    }

    /// An answer with `application/json`.
    pub fn json(status: StatusCode, body: &Value) -> Self {
        Self::text(status, "application/json", body.to_string())
    }

    /// An answer with any text.
    pub fn text(status: StatusCode, content_type: &str, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        Self { body, ..Self::empty(status).header(CONTENT_TYPE.as_str(), content_type) }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// The answer as hyper sends it, dated `now`.
    pub(crate) fn into_http(
        self,
        now: Timestamp,
        body: impl FnOnce(Bytes) -> ResponseBody,
    ) -> hyper::Response<ResponseBody> {
        let mut response = hyper::Response::new(body(self.body));
        *response.status_mut() = self.status;
        let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&now).ok();
        let date = date.map(|date| (DATE.to_string(), date));
        for (name, value) in self.headers.into_iter().chain(date) {
            // A script may ask for a header that HTTP has no words for: it is left out.
            if let (Ok(name), Ok(value)) =
                (HeaderName::try_from(name), HeaderValue::try_from(value))
            {
                response.headers_mut().append(name, value);
            }
        }
        response
    }
}
