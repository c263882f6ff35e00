//! Bodies of writes (contract, section 7): a form with JSON inside its field `request`.

use serde_json::Value;

use super::error::ApiError;
use crate::{Record, Request};

/// A form, as PHP reads it: what is not percent-encoded is taken as it stands, and `&`, `+` and
/// `%` in it do their damage.
#[derive(Clone, Debug, Default)]
pub(super) struct Form {
    fields: Vec<(String, String)>,
    encoded: bool,
}

impl Form {
    /// The form of `request`; empty if it is no form.
    pub(super) fn read(request: &Request) -> Self {
        if !request.media_type().is_some_and(is_form) {
            return Self { fields: Vec::new(), encoded: true };
        }
        let pairs = form_urlencoded::parse(&request.body);
        let fields = pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"*-._~+%=&".contains(byte);
        Self { fields, encoded: request.body.iter().all(is_plain) }
    }

    /// The first value of a field.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// The value of a field of the form, or else of the query.
    pub(super) fn value_or_query<'a>(
        &'a self,
        request: &'a Request,
        name: &str,
    ) -> Option<&'a str> {
        self.value(name).or_else(|| request.query_value(name))
    }

    /// The JSON in `request`, without asking whether the rest is right.
    pub(super) fn json(&self) -> Option<Value> {
        serde_json::from_str(self.value("request")?).ok()
    }

    /// The JSON in `request`, if the form is as the contract wants it.
    pub(super) fn checked(
        &self,
        request: &Request,
        record: &mut Record,
    ) -> Result<Value, ApiError> {
        let media_type = request.media_type().unwrap_or_default();
        if !is_form(media_type) {
            record.violation("wrong_media_type", media_type);
            return Err(ApiError::new(3));
        }
        if !self.encoded {
            record.violation("request_not_encoded", "request");
        }
        if self.value_or_query(request, "request_format") != Some("json") {
            // The default is XML, which this JSON is not.
            record.violation("no_request_format", "request_format");
            return Err(ApiError::new(11));
        }
        self.json().filter(Value::is_object).ok_or_else(|| {
            record.violation("malformed_request", "request");
            ApiError::new(11)
        })
    }
}

fn is_form(media_type: &str) -> bool {
    media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// The rows of a write, in `name`.
pub(super) fn rows<'a>(body: &'a Value, name: &str) -> &'a [Value] {
    body.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A number that may come as text.
pub(super) fn number(value: Option<&Value>) -> Option<i64> {
    let value = value?;
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
}
