//! JSON for who asks for it, XML for who does not (contract, section 1).

use std::fmt::Write as _;

use hyper::StatusCode;
use serde_json::Value;

use crate::Response;

/// The format of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Xml,
}

impl Format {
    /// `body` in this format.
    pub(super) fn response(self, status: StatusCode, body: &Value) -> Response {
        match self {
            Self::Json => Response::json(status, body),
            Self::Xml => {
                let mut text = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n".to_owned();
                element("response", body, &mut text);
                Response::text(status, "application/xml; charset=utf-8", text)
            }
        }
    }
}

/// Writes one element. Bodies are made here, so their depth is known.
fn element(name: &str, value: &Value, text: &mut String) {
    // Writing to a `String` cannot fail.
    let _ = write!(text, "<{name}>");
    match value {
        Value::Null => {}
        Value::Bool(flag) => text.push_str(if *flag { "T" } else { "F" }),
        Value::Number(number) => {
            let _ = write!(text, "{number}");
        }
        Value::String(string) => {
            let escaped = string.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            text.push_str(&escaped);
        }
        Value::Array(items) => items.iter().for_each(|item| element("item", item, text)),
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| element(name, value, text));
        }
    }
    let _ = write!(text, "</{name}>");
}
