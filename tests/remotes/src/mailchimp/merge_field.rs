//! The merge fields of a list, and what each type takes.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The type of a merge field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Any text.
    Text,
    /// A number.
    Number,
    /// Street, city, state and zip.
    Address,
    /// A phone number.
    Phone,
    /// A date.
    Date,
    /// A web address.
    Url,
    /// The web address of an image.
    #[serde(rename = "imageurl")]
    ImageUrl,
    /// One of the choices.
    Radio,
    /// One of the choices.
    Dropdown,
    /// Month and day.
    Birthday,
    /// A US zip code.
    Zip,
}

/// A merge field of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergeField {
    /// The name in `merge_fields`, for example `FNAME`.
    pub tag: String,
    /// The name for people.
    pub name: String,
    /// The type.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Whether new members need it.
    #[serde(default)]
    pub required: bool,
    /// Whether forms show it.
    #[serde(default)]
    pub public: bool,
    /// What can be chosen.
    #[serde(default)]
    pub choices: Vec<String>,
}

/// A value that a field takes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Accepted {
    /// It is set.
    Set(Value),
    /// It is cleared.
    Cleared,
    /// An address with parts missing: taken, but it blocks later updates.
    Incomplete(Value),
}

impl MergeField {
    /// A field that is neither required nor public.
    pub fn new(tag: &str, name: &str, kind: Kind) -> Self {
        Self {
            tag: tag.to_owned(),
            name: name.to_owned(),
            kind,
            required: false,
            public: false,
            choices: Vec::new(),
        }
    }

    /// What a list shows for a field without a value.
    pub(super) fn unset() -> Value {
        json!("")
    }

    /// What becomes of `value`, or why it is refused.
    pub(super) fn accept(&self, value: &Value) -> Result<Accepted, String> {
        if value.as_str().is_some_and(|text| text.trim().is_empty()) {
            return Ok(Accepted::Cleared);
        }
        match self.kind {
            Kind::Number => number(value),
            Kind::Address => address(value),
            Kind::Date => date(value),
            Kind::Birthday => birthday(value),
            Kind::Text | Kind::Phone => text(value).map(|text| Accepted::Set(json!(text))),
            Kind::Zip => {
                let zip = text(value)?;
                let digits = zip.bytes().filter(u8::is_ascii_digit).count();
                let fits = digits == 5 && zip.len() == 5;
                fits.then(|| Accepted::Set(json!(zip)))
                    .ok_or_else(|| "Please enter a zip code (5 digits)".to_owned())
            }
            Kind::Url | Kind::ImageUrl => {
                let url = text(value)?;
                let fits = url.starts_with("http://") || url.starts_with("https://");
                fits.then(|| Accepted::Set(json!(url)))
                    .ok_or_else(|| "Please enter a valid URL".to_owned())
            }
            Kind::Radio | Kind::Dropdown => {
                let choice = text(value)?;
                self.choices
                    .contains(&choice)
                    .then(|| Accepted::Set(json!(choice)))
                    .ok_or_else(|| "Please select one of the listed choices".to_owned())
            }
        }
    }

    /// The field as the API shows it.
    pub(super) fn to_value(&self, merge_id: usize, list_id: &str) -> Value {
        json!({
            "merge_id": merge_id,
            "tag": self.tag,
            "name": self.name,
            "type": self.kind,
            "required": self.required,
            "default_value": "",
            "public": self.public,
            "display_order": merge_id,
            "options": { "choices": self.choices },
            "help_text": "",
            "list_id": list_id,
        })
    }
}

fn text(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            Err("Please enter a value".to_owned())
        }
    }
}

fn number(value: &Value) -> Result<Accepted, String> {
    let refused = || "Please enter a number".to_owned();
    let text = text(value).map_err(|_| refused())?;
    let parsed: f64 = text.trim().parse().map_err(|_| refused())?;
    let whole = text.trim().parse::<i64>().map(Value::from);
    let number = whole.or_else(|_| serde_json::Number::from_f64(parsed).map(Value::from).ok_or(()));
    number.map(Accepted::Set).map_err(|()| refused())
}

fn date(value: &Value) -> Result<Accepted, String> {
    let text = text(value)?;
    let day = text.get(..10).unwrap_or(&text);
    let american = || Date::strptime("%m/%d/%Y", day);
    match day.parse::<Date>().or_else(|_| american()) {
        Ok(date) => Ok(Accepted::Set(json!(date.to_string()))),
        Err(_) => Err("Please enter a valid date".to_owned()),
    }
}

fn birthday(value: &Value) -> Result<Accepted, String> {
    let text = text(value)?;
    let parts = text.split_once('/').and_then(|(month, day)| {
        let (month, day) = (month.parse::<i8>().ok()?, day.parse::<i8>().ok()?);
        // A leap year, as 02/29 is a birthday.
        Date::new(2000, month, day).ok()
    });
    match parts {
        Some(date) => Ok(Accepted::Set(json!(format!("{:02}/{:02}", date.month(), date.day())))),
        None => Err("Please enter a valid birthday (MM/DD)".to_owned()),
    }
}

/// An incomplete address is answered with 200, as MailChimp does.
fn address(value: &Value) -> Result<Accepted, String> {
    let Some(parts) = value.as_object() else {
        return Err("Please enter a complete address".to_owned());
    };
    let part = |name: &str| parts.get(name).and_then(Value::as_str).unwrap_or_default().trim();
    let names = ["addr1", "addr2", "city", "state", "zip", "country"];
    let stored: Map<String, Value> =
        names.into_iter().map(|name| (name.to_owned(), json!(part(name)))).collect();
    let complete = ["addr1", "city", "state", "zip"].into_iter().all(|name| !part(name).is_empty());
    let stored = Value::Object(stored);
    Ok(if complete { Accepted::Set(stored) } else { Accepted::Incomplete(stored) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(kind: Kind, value: &Value) -> Result<Accepted, String> {
        MergeField::new("X", "X", kind).accept(value)
    }

    #[test]
    fn numbers_come_back_as_numbers() {
        assert_eq!(accept(Kind::Number, &json!("42")), Ok(Accepted::Set(json!(42))));
        assert_eq!(accept(Kind::Number, &json!(1.5)), Ok(Accepted::Set(json!(1.5))));
        assert_eq!(accept(Kind::Number, &json!("")), Ok(Accepted::Cleared));
        assert_eq!(accept(Kind::Number, &json!("x")), Err("Please enter a number".to_owned()));
        assert!(accept(Kind::Number, &json!("inf")).is_err());
    }

    #[test]
    fn dates_and_birthdays_have_their_forms() {
        assert_eq!(
            accept(Kind::Date, &json!("02/28/1990")),
            Ok(Accepted::Set(json!("1990-02-28")))
        );
        assert!(accept(Kind::Date, &json!("1990-02-30")).is_err());
        assert_eq!(accept(Kind::Birthday, &json!("2/29")), Ok(Accepted::Set(json!("02/29"))));
        assert!(accept(Kind::Birthday, &json!("1990-02-28")).is_err());
        assert!(accept(Kind::Date, &json!("ééééééé")).is_err());
    }
}
