//! The body of a write, read against the API's schema.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::member::Status;
use super::problem::{FieldError, Problem};

/// Times and addresses of the act of subscribing.
const ORIGIN: [&str; 4] = ["ip_signup", "timestamp_signup", "ip_opt", "timestamp_opt"];

/// Whatever else a body may have.
const OTHERS: [&str; 11] = [
    "email_address",
    "email_type",
    "status",
    "status_if_new",
    "merge_fields",
    "interests",
    "language",
    "vip",
    "location",
    "marketing_permissions",
    "tags",
];

/// What a body says; what it does not name stays as it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    pub(super) email_address: Option<String>,
    pub(super) email_type: Option<String>,
    pub(super) status: Option<Status>,
    pub(super) status_if_new: Option<Status>,
    pub(super) merge_fields: Map<String, Value>,
    pub(super) interests: BTreeMap<String, bool>,
    pub(super) language: Option<String>,
    pub(super) vip: Option<bool>,
    pub(super) location: Option<Map<String, Value>>,
    pub(super) marketing_permissions: Option<Vec<Value>>,
    pub(super) origin: BTreeMap<&'static str, String>,
    pub(super) tags: Option<Vec<String>>,
    /// Whether `tags` are all that the member has from now on.
    pub(super) replaces_tags: bool,
}

/// Whether a body may have such a field.
pub(super) fn is_known(name: &str) -> bool {
    ORIGIN.contains(&name) || OTHERS.contains(&name)
}

impl Draft {
    /// What `body` says, or everything that is wrong with it.
    pub(super) fn read(body: &Map<String, Value>) -> Result<Self, Problem> {
        let mut reader = Reader { body, errors: Vec::new() };
        let mut draft = Self {
            email_address: reader.text("email_address"),
            email_type: reader.text("email_type"),
            status: reader.status("status"),
            status_if_new: reader.status("status_if_new"),
            merge_fields: reader.object("merge_fields").unwrap_or_default(),
            language: reader.text("language"),
            vip: reader.typed("vip", "boolean", Value::as_bool),
            location: reader.object("location"),
            marketing_permissions: reader
                .typed("marketing_permissions", "array", |value| value.as_array().cloned()),
            tags: reader.tags(),
            ..Self::default()
        };
        for (id, value) in reader.object("interests").unwrap_or_default() {
            match value.as_bool() {
                Some(chosen) => drop(draft.interests.insert(id, chosen)),
                None => reader.refuse("interests", "boolean", &value),
            }
        }
        for name in ORIGIN {
            if let Some(text) = reader.text(name) {
                draft.origin.insert(name, text);
            }
        }
        let stray = |(_, value): &(&String, &Value)| value.is_null() || value.is_boolean();
        for (tag, value) in draft.merge_fields.iter().filter(stray) {
            reader.refuse(&format!("merge_fields.{tag}"), "string", value);
        }
        if reader.errors.is_empty() { Ok(draft) } else { Err(Problem::schema(reader.errors)) }
    }
}

/// Reads fields and collects what is wrong.
struct Reader<'b> {
    body: &'b Map<String, Value>,
    errors: Vec<FieldError>,
}

impl Reader<'_> {
    fn typed<T>(
        &mut self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.body.get(name)?;
        let found = read(value);
        if found.is_none() {
            self.refuse(name, expected, value);
        }
        found
    }

    fn text(&mut self, name: &str) -> Option<String> {
        self.typed(name, "string", |value| value.as_str().map(str::to_owned))
    }

    fn object(&mut self, name: &str) -> Option<Map<String, Value>> {
        self.typed(name, "object", |value| value.as_object().cloned())
    }

    fn tags(&mut self) -> Option<Vec<String>> {
        self.typed("tags", "array", |value| {
            let names = value.as_array()?.iter();
            names.map(|name| name.as_str().map(str::to_owned)).collect()
        })
    }

    /// `archived` can be read, but not written.
    fn status(&mut self, name: &str) -> Option<Status> {
        let word = self.text(name)?;
        let status = Status::of(&word).filter(|status| *status != Status::Archived);
        if status.is_none() {
            self.errors.push(FieldError::new(
                name,
                "Data presented is not one of the accepted values: subscribed, unsubscribed, \
                 cleaned, pending, transactional.",
            ));
        }
        status
    }

    fn refuse(&mut self, name: &str, expected: &str, value: &Value) {
        let found = match value {
            Value::Null => "NULL",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let message = format!("Schema describes {expected}, {found} found instead");
        self.errors.push(FieldError::new(name, message));
    }
}
