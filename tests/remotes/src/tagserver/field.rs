//! The values of fields: read from JSON strictly, written as a JHipster server writes them.

use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::{Value, json};
use uuid::Uuid;

use super::resource::Kind;

/// A value that fits its field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FieldValue {
    Text(String),
    Integer(i64),
    Instant(Timestamp),
    Date(Date),
    Uuid(Uuid),
    Relation(i64),
}

/// Why a value does not fit; the code that a field error carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Misfit(pub(super) &'static str);

const TYPE_MISMATCH: Misfit = Misfit("typeMismatch");
const PATTERN: Misfit = Misfit("Pattern");

/// How many sub-second digits instants are written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Digits {
    /// As few as the value needs, in steps of three, as Java does.
    Fewest,
    /// At least this number of steps of three.
    Steps(u8),
}

impl FieldValue {
    /// Reads a value that is not null.
    pub(super) fn read(kind: Kind, value: &Value) -> Result<Self, Misfit> {
        match kind {
            Kind::Text => text(value).map(|text| Self::Text(text.to_owned())),
            Kind::Integer => value.as_i64().map(Self::Integer).ok_or(TYPE_MISMATCH),
            Kind::Instant => parsed(value).map(Self::Instant),
            Kind::Date => date(value).map(Self::Date),
            Kind::Gender => gender(value).map(Self::Text),
            Kind::Uuid => parsed(value).map(Self::Uuid),
            Kind::Relation(_) => {
                let id = value.as_object().and_then(|relation| relation.get("id"));
                id.and_then(Value::as_i64).map(Self::Relation).ok_or(TYPE_MISMATCH)
            }
        }
    }

    /// Writes the value.
    pub(super) fn write(&self, digits: Digits) -> Value {
        match self {
            Self::Text(text) => json!(text),
            Self::Integer(number) => json!(number),
            Self::Instant(instant) => json!(instant_text(*instant, digits)),
            Self::Date(date) => json!(date.to_string()),
            Self::Uuid(uuid) => json!(uuid.to_string()),
            Self::Relation(id) => json!({ "id": id }),
        }
    }

    /// Whether it is text without a character to read.
    pub(super) fn is_blank(&self) -> bool {
        match self {
            Self::Text(text) => text.trim().is_empty(),
            Self::Integer(_)
            | Self::Instant(_)
            | Self::Date(_)
            | Self::Uuid(_)
            | Self::Relation(_) => false,
        }
    }
}

fn text(value: &Value) -> Result<&str, Misfit> {
    value.as_str().ok_or(TYPE_MISMATCH)
}

fn parsed<T: std::str::FromStr>(value: &Value) -> Result<T, Misfit> {
    text(value)?.parse().map_err(|_| TYPE_MISMATCH)
}

/// `YYYY-MM-DD` and nothing else: a date-time is not a date.
fn date(value: &Value) -> Result<Date, Misfit> {
    let text = text(value)?;
    Date::strptime("%Y-%m-%d", text).ok().filter(|_| text.len() == 10).ok_or(TYPE_MISMATCH)
}

fn gender(value: &Value) -> Result<String, Misfit> {
    match text(value)? {
        known @ ("UNKNOWN" | "MALE" | "FEMALE") => Ok(known.to_owned()),
        _ => Err(PATTERN),
    }
}

/// An instant in UTC. The same instant may be written with more zeros than it needs.
fn instant_text(instant: Timestamp, digits: Digits) -> String {
    let nanosecond = instant.subsec_nanosecond();
    let fewest: u8 = match nanosecond {
        0 => 0,
        _ if nanosecond % 1_000_000 == 0 => 1,
        _ if nanosecond % 1_000 == 0 => 2,
        _ => 3,
    };
    let steps = match digits {
        Digits::Fewest => fewest,
        Digits::Steps(steps) => steps.clamp(fewest, 3),
    };
    format!("{instant:.precision$}", precision = usize::from(steps) * 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_in_utc_with_varying_digits() {
        let read = FieldValue::read(Kind::Instant, &json!("2026-05-01T10:00:00.5+02:00")).unwrap();
        assert_eq!(read.write(Digits::Fewest), json!("2026-05-01T08:00:00.500Z"));
        assert_eq!(read.write(Digits::Steps(0)), json!("2026-05-01T08:00:00.500Z"));
        assert_eq!(read.write(Digits::Steps(2)), json!("2026-05-01T08:00:00.500000Z"));
        let whole = FieldValue::read(Kind::Instant, &json!("2026-05-01T08:00:00Z")).unwrap();
        assert_eq!(whole.write(Digits::Fewest), json!("2026-05-01T08:00:00Z"));
    }

    #[test]
    fn wrong_types_do_not_fit() {
        for (kind, value) in [
            (Kind::Text, json!(7)),
            (Kind::Integer, json!("7")),
            (Kind::Integer, json!(7.5)),
            (Kind::Instant, json!("2026-05-01")),
            (Kind::Date, json!("2026-05-01T00:00:00Z")),
            (Kind::Date, json!("2026-02-30")),
            (Kind::Date, json!("2026-2-3")),
            (Kind::Gender, json!("male")),
            (Kind::Uuid, json!("7")),
            (Kind::Relation(super::super::Resource::Race), json!(7)),
        ] {
            assert!(FieldValue::read(kind, &value).is_err(), "{kind:?} {value}");
        }
    }
}
