//! What a body says about a contact: strong parameters, casts and validations (contract,
//! section 2).

use serde_json::{Map, Value};

use super::contact::{Contact, present};
use super::refusal::{Invalid, Why};

/// The text columns that a body may set.
pub(super) const TEXTS: [&str; 5] = ["name", "email", "phone_number", "identifier", "avatar_url"];
/// The attributes that are merged key by key.
pub(super) const OBJECTS: [&str; 2] = ["custom_attributes", "additional_attributes"];

/// The longest text that a column holds.
const LONGEST: usize = 255;

/// Lays `body` over `contact`: what is not permitted or has no scalar where one belongs is
/// dropped, as strong parameters do; objects are merged one level deep.
pub(super) fn lay_over(contact: &mut Contact, body: &Map<String, Value>) {
    for name in TEXTS {
        let Some(text) = body.get(name).and_then(cast) else { continue };
        match name {
            "name" => contact.name = text.unwrap_or_default(),
            "email" => {
                let text = text.map(|text| text.to_lowercase());
                contact.email = text.filter(|text| !text.trim().is_empty());
            }
            "phone_number" => contact.phone_number = text,
            // Blank is not turned into null here.
            "identifier" => contact.identifier = text,
            _ => contact.thumbnail = text.unwrap_or_default(),
        }
    }
    match body.get("blocked") {
        Some(Value::Bool(blocked)) => contact.blocked = *blocked,
        Some(Value::Null) => contact.blocked = false,
        Some(Value::String(text)) => {
            contact.blocked = !matches!(text.as_str(), "" | "0" | "f" | "false" | "off");
        }
        _ => {}
    }
    if let Some(sent) = body.get("custom_attributes").and_then(Value::as_object) {
        contact.custom.extend(sent.clone());
    }
    if let Some(sent) = body.get("additional_attributes").and_then(Value::as_object) {
        contact.additional.extend(sent.clone());
    }
    contact.settle();
}

/// A scalar as text; `None` for what strong parameters drop.
#[allow(clippy::option_option, reason = "sent as null is not the same as not sent")]
fn cast(value: &Value) -> Option<Option<String>> {
    match value {
        Value::Null => Some(None),
        Value::String(text) => Some(Some(text.clone())),
        Value::Number(number) => Some(Some(number.to_string())),
        Value::Bool(truth) => Some(Some(truth.to_string())),
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// What is wrong with a contact on its own, in the order of Chatwoot's validations.
pub(super) fn validate(contact: &Contact) -> Vec<Invalid> {
    let columns: [(&'static str, Option<&String>); 4] = [
        ("email", contact.email.as_ref()),
        ("phone_number", contact.phone_number.as_ref()),
        ("identifier", contact.identifier.as_ref()),
        ("name", Some(&contact.name)),
    ];
    let mut invalid = Vec::new();
    for (attribute, text) in columns {
        let Some(text) = text else { continue };
        let malformed = match attribute {
            "email" => !is_email(text),
            "phone_number" => present(Some(text)) && !is_phone_number(text),
            _ => false,
        };
        if malformed {
            invalid.push(Invalid { attribute, why: Why::Malformed });
        }
        if text.chars().count() > LONGEST {
            invalid.push(Invalid { attribute, why: Why::TooLong });
        }
    }
    invalid
}

fn is_email(text: &str) -> bool {
    let mut parts = text.split('@');
    let is_part = |part: Option<&str>| {
        part.is_some_and(|part| !part.is_empty() && !part.contains(char::is_whitespace))
    };
    is_part(parts.next()) && is_part(parts.next()) && parts.next().is_none()
}

/// `/\+[1-9]\d{1,14}\z/`: anchored at the end only, so anything may stand before it.
fn is_phone_number(text: &str) -> bool {
    let Some((_, digits)) = text.rsplit_once('+') else { return false };
    (2..=15).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.starts_with('0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_number_is_looked_at_from_its_end_only() {
        for good in ["+27123", "tel:+27123", "++12", "+1 +27123"] {
            assert!(is_phone_number(good), "{good}");
        }
        for bad in ["27123", "+0123", "+1", "+27 123", "+1234567890123456", "+", ""] {
            assert!(!is_phone_number(bad), "{bad}");
        }
    }

    #[test]
    fn an_email_has_one_at_and_no_blank() {
        assert!(is_email("a@b"));
        for bad in ["a", "a@", "@b", "a@b@c", "a b@c"] {
            assert!(!is_email(bad), "{bad}");
        }
    }
}
