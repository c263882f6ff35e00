//! What the body of a write says: each field absent, null or a value that fits.

use serde_json::{Map, Value};

use super::field::FieldValue;
use super::problem::FieldError;
use super::resource::{Field, Resource};
use super::store::Fields;

/// What a body says about one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Given<T> {
    Absent,
    Null,
    Value(T),
}

/// A body whose types fit.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) id: Option<i64>,
    pub(super) external_id: Given<String>,
    /// In the order of [`Resource::fields`].
    values: Vec<Given<FieldValue>>,
}

impl<T> Given<T> {
    fn read<E>(
        value: Option<&Value>,
        read: impl FnOnce(&Value) -> Result<T, E>,
    ) -> Result<Self, E> {
        match value {
            None => Ok(Self::Absent),
            Some(Value::Null) => Ok(Self::Null),
            Some(value) => read(value).map(Self::Value),
        }
    }

    /// The value, if there is one.
    pub(super) fn value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Null => None,
        }
    }
}

impl Draft {
    /// Reads the fields that are there; none is required.
    pub(super) fn partial(
        resource: Resource,
        body: &Map<String, Value>,
    ) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let mut fail = |field, message| {
            errors.push(FieldError { object_name: resource.object_name(), field, message });
        };
        let id = Given::read(body.get("id"), |value| value.as_i64().ok_or(()));
        let id = id.unwrap_or_else(|()| {
            fail("id", "typeMismatch");
            Given::Null
        });
        let text = |value: &Value| value.as_str().map(str::to_owned).ok_or(());
        let external_id = Given::read(body.get("externalId"), text).unwrap_or_else(|()| {
            fail("externalId", "typeMismatch");
            Given::Null
        });
        let read = |field: &Field| {
            let value = body.get(field.name);
            Given::read(value, |value| FieldValue::read(field.kind, value)).unwrap_or_else(
                |misfit| {
                    fail(field.name, misfit.0);
                    Given::Null
                },
            )
        };
        let values = resource.fields().iter().map(read).collect();
        if errors.is_empty() {
            Ok(Self { id: id.value(), external_id, values })
        } else {
            Err(errors)
        }
    }

    /// Reads a whole record: required fields must be there and not blank.
    pub(super) fn whole(
        resource: Resource,
        body: &Map<String, Value>,
    ) -> Result<Self, Vec<FieldError>> {
        let draft = Self::partial(resource, body)?;
        let missing =
            |field| FieldError { object_name: resource.object_name(), field, message: "NotNull" };
        let has_external_id =
            matches!(&draft.external_id, Given::Value(text) if !text.trim().is_empty());
        let mut errors = Vec::new();
        if !has_external_id {
            errors.push(missing("externalId"));
        }
        for (field, given) in resource.fields().iter().zip(&draft.values) {
            let is_there = matches!(given, Given::Value(value) if !value.is_blank());
            if field.required && !is_there {
                errors.push(missing(field.name));
            }
        }
        if errors.is_empty() { Ok(draft) } else { Err(errors) }
    }

    /// The fields that a create or a replace stores: what is not given is null.
    pub(super) fn into_fields(self) -> Fields {
        Fields {
            external_id: self.external_id.value(),
            values: self.values.into_iter().map(Given::value).collect(),
        }
    }

    /// `before` with what is given; null and absent both mean unchanged.
    pub(super) fn patched_onto(self, before: &Fields) -> Fields {
        let values = self.values.into_iter().zip(&before.values);
        Fields {
            external_id: self.external_id.value().or_else(|| before.external_id.clone()),
            values: values.map(|(given, old)| given.value().or_else(|| old.clone())).collect(),
        }
    }

    /// `before` with what is given; null clears. No request can do this, only the control API.
    pub(super) fn planted_onto(self, before: &Fields) -> Fields {
        let values = self.values.into_iter().zip(&before.values);
        Fields {
            external_id: planted(self.external_id, before.external_id.as_ref()),
            values: values.map(|(given, old)| planted(given, old.as_ref())).collect(),
        }
    }
}

fn planted<T: Clone>(given: Given<T>, old: Option<&T>) -> Option<T> {
    match given {
        Given::Absent => old.cloned(),
        Given::Null => None,
        Given::Value(value) => Some(value),
    }
}
