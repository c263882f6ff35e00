//! Contact fields: what they take, and what becomes of what they are sent (sections 2a, 6).

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::choices::{is_country, is_locale, is_state, is_timezone};
use super::collation::{is_email, sanitised_email};

/// The alias of the custom field that holds our key.
pub(super) const EMS_PERSON_ID: &str = "ems_person_id";
/// The alias of the e-mail address.
pub(super) const EMAIL: &str = "email";

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldKind {
    /// Any text; also telephone numbers and links.
    Text,
    /// An address, sanitised before it is looked at.
    Email,
    /// A number.
    Number,
    /// Yes or no.
    Boolean,
    /// A day.
    Date,
    /// A moment, cut to minutes.
    Datetime,
    /// One of the choices.
    Select,
    /// Several of the choices.
    Multiselect,
    /// A country by its English name.
    Country,
    /// A state by its English name.
    Region,
    /// A locale.
    Locale,
    /// A time zone.
    Timezone,
}

/// A field of all contacts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Mautic's id; 0 in a row to plant takes the next one.
    #[serde(default)]
    pub id: i64,
    /// What people see.
    #[serde(default)]
    pub label: String,
    /// The key in requests.
    pub alias: String,
    /// What it takes.
    #[serde(rename = "type")]
    pub kind: FieldKind,
    /// `core`, `social`, `personal` or `professional`.
    #[serde(default = "core")]
    pub group: String,
    /// Whether it is a unique identifier: looked up before a contact is made, not enforced.
    #[serde(default)]
    pub unique: bool,
    /// The values that a select takes.
    #[serde(default)]
    pub choices: Vec<String>,
    /// What a POST sets when the field is empty.
    #[serde(default)]
    pub default: Option<Value>,
}

fn core() -> String {
    "core".to_owned()
}

/// What a field makes of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Accepted {
    /// It is set.
    Set(Value),
    /// It is empty: ignored, or cleared with `overwriteWithBlank`.
    Blank,
    /// It is dropped without a word.
    Dropped,
}

/// A value that fails validation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Invalid;

impl Field {
    fn new(id: i64, alias: &str, kind: FieldKind, group: &str) -> Self {
        Self {
            id,
            label: alias.to_owned(),
            alias: alias.to_owned(),
            kind,
            group: group.to_owned(),
            unique: alias == EMAIL,
            choices: Vec::new(),
            default: None,
        }
    }

    /// The fields of a new Mautic, and ours.
    pub(super) fn standard() -> Vec<Self> {
        use FieldKind::{Country, Email, Locale, Region, Text, Timezone};
        [
            ("title", Text, "core"),
            ("firstname", Text, "core"),
            ("lastname", Text, "core"),
            ("company", Text, "core"),
            ("position", Text, "core"),
            (EMAIL, Email, "core"),
            ("mobile", Text, "core"),
            ("phone", Text, "core"),
            ("fax", Text, "core"),
            ("address1", Text, "core"),
            ("address2", Text, "core"),
            ("city", Text, "core"),
            ("state", Region, "core"),
            ("zipcode", Text, "core"),
            ("country", Country, "core"),
            ("preferred_locale", Locale, "core"),
            ("timezone", Timezone, "core"),
            ("website", Text, "core"),
            ("facebook", Text, "social"),
            ("twitter", Text, "social"),
            (EMS_PERSON_ID, Text, "core"),
        ]
        .into_iter()
        .zip(1..)
        .map(|((alias, kind, group), id)| Self::new(id, alias, kind, group))
        .collect()
    }

    /// What it makes of `sent`.
    pub(super) fn accept(
        &self,
        sent: &Value,
        php_utc_offset_minutes: i32,
    ) -> Result<Accepted, Invalid> {
        if let FieldKind::Multiselect = self.kind {
            return self.accept_several(sent);
        }
        if let (FieldKind::Boolean, Value::Bool(truth)) = (self.kind, sent) {
            return Ok(Accepted::Set(json!(truth)));
        }
        let Some(text) = plain_text(sent)? else { return Ok(Accepted::Blank) };
        match self.kind {
            FieldKind::Text => Ok(Accepted::Set(json!(text))),
            FieldKind::Email => {
                let email = sanitised_email(&text);
                if email.is_empty() {
                    return Ok(Accepted::Blank);
                }
                one_of(is_email(&email), &email)
            }
            FieldKind::Number => {
                let number = serde_json::from_str(&text).ok().filter(Value::is_number);
                number.map(Accepted::Set).ok_or(Invalid)
            }
            FieldKind::Boolean => match text.to_ascii_lowercase().as_str() {
                "1" | "true" | "yes" | "on" => Ok(Accepted::Set(json!(true))),
                "0" | "false" | "no" | "off" => Ok(Accepted::Set(json!(false))),
                _ => Err(Invalid),
            },
            FieldKind::Date => Ok(date(&text)
                .map_or(Accepted::Dropped, |date| Accepted::Set(json!(date.to_string())))),
            FieldKind::Datetime => {
                let moment = moment(&text, php_utc_offset_minutes);
                Ok(moment.map_or(Accepted::Dropped, |moment| {
                    Accepted::Set(json!(moment.strftime("%Y-%m-%d %H:%M:00").to_string()))
                }))
            }
            FieldKind::Select => one_of(self.choices.contains(&text), &text),
            FieldKind::Multiselect => Err(Invalid),
            FieldKind::Country => one_of(is_country(&text), &text),
            FieldKind::Region => one_of(is_state(&text), &text),
            FieldKind::Locale => one_of(is_locale(&text), &text),
            FieldKind::Timezone => one_of(is_timezone(&text), &text),
        }
    }

    /// Several choices, as an array or joined by `|`.
    fn accept_several(&self, sent: &Value) -> Result<Accepted, Invalid> {
        let chosen: Vec<String> = if let Some(list) = sent.as_array() {
            let texts: Result<Vec<_>, _> = list.iter().map(plain_text).collect();
            texts?.into_iter().flatten().collect()
        } else {
            let text = plain_text(sent)?.unwrap_or_default();
            text.split('|').filter(|part| !part.is_empty()).map(str::to_owned).collect()
        };
        if chosen.is_empty() {
            return Ok(Accepted::Blank);
        }
        let known = chosen.iter().all(|choice| self.choices.contains(choice));
        one_of(known, &chosen.join("|"))
    }
}

fn one_of(known: bool, text: &str) -> Result<Accepted, Invalid> {
    if known { Ok(Accepted::Set(json!(text))) } else { Err(Invalid) }
}

/// A scalar as PHP's text; `None` if it is blank.
pub(super) fn plain_text(value: &Value) -> Result<Option<String>, Invalid> {
    let text = match value {
        Value::Null | Value::Bool(false) => return Ok(None),
        Value::Bool(true) => "1".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_owned(),
        Value::Array(_) | Value::Object(_) => return Err(Invalid),
    };
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// Whether the value is a number, or a text that PHP takes for one, with the integer part 0.
pub(super) fn is_numeric_zero(value: &Value) -> bool {
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok());
    number.is_some_and(|number: f64| number.abs() < 1.0)
}

fn date(text: &str) -> Option<Date> {
    text.parse().ok().or_else(|| Some(text.parse::<DateTime>().ok()?.date()))
}

/// `strtotime`, then `date()` in PHP's time zone: an offset in the text moves the clock's face.
pub(super) fn moment(text: &str, php_utc_offset_minutes: i32) -> Option<DateTime> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        let offset = Offset::from_seconds(php_utc_offset_minutes.saturating_mul(60)).ok()?;
        return Some(offset.to_datetime(instant));
    }
    text.parse().ok()
}

/// Whether a moment was sent with an offset.
pub(super) fn has_offset(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.trim().parse::<Timestamp>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_what_php_takes_for_them() {
        for zero in [json!(0), json!("0"), json!(0.5), json!("0.9"), json!(-0.5)] {
            assert!(is_numeric_zero(&zero), "{zero}");
        }
        for other in [json!(1), json!("no"), json!(""), json!(false), json!(null), json!([0])] {
            assert!(!is_numeric_zero(&other), "{other}");
        }
    }

    #[test]
    fn a_moment_with_an_offset_is_moved_into_phps_zone_and_cut_to_minutes() {
        let field = Field::new(1, "seen", FieldKind::Datetime, "core");
        let accept = |text: &str| field.accept(&json!(text), 120).unwrap();
        assert_eq!(accept("2026-01-31 10:00:59"), Accepted::Set(json!("2026-01-31 10:00:00")));
        assert_eq!(accept("2026-01-31T10:00:59Z"), Accepted::Set(json!("2026-01-31 12:00:00")));
        assert_eq!(accept("0000-00-00 00:00:00"), Accepted::Dropped);
    }
}
