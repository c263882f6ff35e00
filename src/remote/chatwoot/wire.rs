//! What Chatwoot holds of a person, as one table: field, place in the contact, and form (contract, section 2).
//!
//! The same table maps a projection to the content that a contact should have, and a contact that Chatwoot shows to the same
//! normal form, so that both hashes are comparable. Pure.
//!
//! Of the country the server copies `country`, not `country_code`, into the column that its reports use: both hold the ISO
//! code. `blocked`, labels and whatever else agents write are theirs: no part of the content.

use serde_json::{Map, Value};
use unicode_normalization::UnicodeNormalization as _;

use crate::entity::{EntityRef, EntityType};
use crate::hash::ContentHash;
use crate::remote::{Fields, Unmappable, Wire, inbound};
use crate::target::Target;

/// Raised when the mapping below changes what is sent for the same projection.
const MAPPING_VERSION: u32 = 1;
/// Raised when the key of an e-mail address becomes another one.
const KEY_VERSION: u32 = 1;

/// The longest text that a column takes. `city` is copied into one.
const TEXT_CHARS_MAX: usize = 255;

/// Our identifiers are this and the EMS id.
const IDENTIFIER_PREFIX: &str = "ems-person-";
/// The custom attribute that holds the EMS id, as text, besides the identifier: others write the identifier too.
pub(super) const ATTRIBUTE: &str = "ems_person_id";

/// Names of the fields that look-ups go by.
pub(super) const IDENTIFIER: &str = "identifier";
pub(super) const EMAIL: &str = "email";
pub(super) const PHONE: &str = "phone_number";

/// Where custom attributes stand.
const CUSTOM: &str = "custom_attributes";

/// Both hold the code of the country.
const COUNTRY: &str = "country";
const COUNTRY_CODE: &str = "country_code";

/// Where a field stands in a contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Column,
    Custom,
    Additional,
}

/// How a field is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// NFC, trimmed, cut to what a column takes; never null.
    Name,
    /// NFC, trimmed, lower case; blank means null.
    Email,
    /// NFC, trimmed; blank means null.
    Text,
    /// The same, cut to what a column takes.
    ShortText,
}

/// One field of a contact.
#[derive(Debug)]
struct Field {
    name: &'static str,
    place: Place,
    form: Form,
}

const fn field(name: &'static str, place: Place, form: Form) -> Field {
    Field { name, place, form }
}

/// What we own of a contact. The names are unique over all places.
static FIELDS: [Field; 8] = [
    field("name", Place::Column, Form::Name),
    field(EMAIL, Place::Column, Form::Email),
    field(PHONE, Place::Column, Form::Text),
    field(IDENTIFIER, Place::Column, Form::Text),
    field(ATTRIBUTE, Place::Custom, Form::Text),
    field("city", Place::Additional, Form::ShortText),
    field(COUNTRY, Place::Additional, Form::Text),
    field(COUNTRY_CODE, Place::Additional, Form::Text),
];

/// The field of this name, as we call it.
pub(super) fn field_named(name: &str) -> Option<&'static str> {
    FIELDS.iter().map(|field| field.name).find(|field| *field == name)
}

/// What a contact should hold of `entity`.
pub(super) fn to_wire(entity: EntityRef, fields: &Fields) -> Result<Wire, Unmappable> {
    if entity.entity_type != EntityType::Person {
        return Err(unmappable("entity_type", "Chatwoot has contacts only"));
    }
    let column = |column: &'static str| match fields.get(column) {
        None => Ok(""),
        Some(Value::String(text)) => Ok(text.as_str()),
        Some(_) => Err(unmappable(column, "it is no text")),
    };
    let names = [column("first_name")?.trim(), column("last_name")?.trim()];
    let names: Vec<&str> = names.into_iter().filter(|name| !name.is_empty()).collect();
    let phone = text(column("phone")?);
    let country = column("country")?;
    let values = [
        names.join(" "),
        column("email")?.to_owned(),
        if is_phone_number(&phone) { phone } else { String::new() },
        identifier(entity.id),
        entity.id.to_string(),
        column("city")?.to_owned(),
        country.to_owned(),
        country.to_owned(),
    ];
    let body = FIELDS.iter().zip(&values).map(|(field, value)| {
        (field.name.to_owned(), normalise(field.form, value).map_or(Value::Null, Value::String))
    });
    let body: Map<String, Value> = body.collect();
    let key = body.get(EMAIL).filter(|email| !email.is_null());
    let key = key.map(email_key);
    Ok(wire_of(body).with_match_key(key))
}

fn email_key(email: &Value) -> ContentHash {
    ContentHash::of(Target::Chatwoot, KEY_VERSION, email)
}

/// The digest of an e-mail address in its normal form, or of none.
pub(super) fn email_digest(email: &Value) -> String {
    email_key(email).to_hex()
}

/// The normal form of a contact that Chatwoot shows. `None` when a column has not the contract's form. Attributes may hold
/// anything: what is no text is kept as it is, so that it differs from what should be there.
pub(super) fn from_contact(contact: &Map<String, Value>) -> Option<Wire> {
    let mut body = Map::new();
    for field in &FIELDS {
        let value = match field.place {
            Place::Column => contact.get(field.name),
            Place::Custom => attribute(contact, field.name),
            Place::Additional => {
                contact.get("additional_attributes").and_then(|of| of.get(field.name))
            }
        };
        let value = match value.unwrap_or(&Value::Null) {
            Value::Null => normalise(field.form, "").map_or(Value::Null, Value::String),
            Value::String(text) => normalise(field.form, text).map_or(Value::Null, Value::String),
            _ if field.place == Place::Column => return None,
            odd @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                odd.clone()
            }
        };
        body.insert(field.name.to_owned(), value);
    }
    Some(wire_of(body))
}

/// What the EMS may take of what a contact holds: bounded texts. What is no text is shown as `false`, which it takes nothing from;
/// a null would clear. The hash is that of the whole content, and so comparable.
///
/// Chatwoot's pages write a country's name into one field and its code into the other: then the code stands for both.
pub(super) fn taken_in(held: &Wire) -> Wire {
    let fields = held.body.as_object().into_iter().flatten();
    let text = |value: &Value| match value {
        Value::String(text) => Value::String(inbound::bounded(text)),
        Value::Null => Value::Null,
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Value::Bool(false)
        }
    };
    let mut body: Map<String, Value> =
        fields.map(|(name, value)| (name.clone(), text(value))).collect();
    let is_code = |value: &&Value| {
        let code = value.as_str().unwrap_or_default();
        code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_alphabetic())
    };
    let code = body.get(COUNTRY_CODE).filter(is_code).cloned();
    if let Some(code) = code.filter(|_| body.get(COUNTRY).is_some_and(|name| !is_code(&name))) {
        body.insert(COUNTRY.to_owned(), code);
    }
    Wire { body: Value::Object(body), ..held.clone() }
}

/// A custom attribute of a contact.
pub(super) fn attribute<'a>(contact: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    contact.get(CUSTOM)?.get(name)
}

fn wire_of(body: Map<String, Value>) -> Wire {
    Wire::new(Target::Chatwoot, MAPPING_VERSION, Value::Object(body))
}

/// The body that brings a contact from one content to another: what differs and nothing else, since a field that is said again
/// would be another webhook (contract, section 10). Attributes are merged key by key.
pub(super) fn changes(held: &Value, wanted: &Value) -> Map<String, Value> {
    let mut body = Map::new();
    for field in &FIELDS {
        let value = |of: &Value| of.get(field.name).cloned().unwrap_or(Value::Null);
        if value(held) != value(wanted) {
            put(&mut body, field, value(wanted));
        }
    }
    body
}

/// What a contact is known to hold after an edit that asked for `asked` ([`inbound::confirmed`]).
pub(super) fn confirmed(before: &Wire, asked: &Value, after: &Wire) -> Wire {
    if let Value::Object(body) = inbound::confirmed(&before.body, asked, &after.body) {
        wire_of(body)
    } else {
        after.clone()
    }
}

/// The body of a create: what there is, without nulls.
pub(super) fn creation(wanted: &Value) -> Map<String, Value> {
    let mut body = Map::new();
    for field in &FIELDS {
        if let Some(value) = wanted.get(field.name).filter(|value| !value.is_null()) {
            put(&mut body, field, value.clone());
        }
    }
    body
}

fn put(body: &mut Map<String, Value>, field: &Field, value: Value) {
    let group = match field.place {
        Place::Column => {
            body.insert(field.name.to_owned(), value);
            return;
        }
        Place::Custom => CUSTOM,
        Place::Additional => "additional_attributes",
    };
    put_into(body, group, field.name, value);
}

/// Adds a custom attribute that is no part of the content.
pub(super) fn put_attribute(body: &mut Map<String, Value>, name: &str, text: String) {
    put_into(body, CUSTOM, name, Value::String(text));
}

fn put_into(body: &mut Map<String, Value>, group: &str, name: &str, value: Value) {
    let group = body.entry(group).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(group) = group {
        group.insert(name.to_owned(), value);
    }
}

/// The same content, but for one field.
pub(super) fn with(body: &Value, name: &str, value: Value) -> Value {
    let mut body = body.clone();
    if let Value::Object(fields) = &mut body {
        fields.insert(name.to_owned(), value);
    }
    body
}

/// Nothing but its identifier tells who it is: with the feature `crm_v2` lists and filters do not show such a contact
/// (contract, section 0.6).
pub(super) fn may_be_hidden(body: &Value) -> bool {
    [EMAIL, PHONE].iter().all(|name| body.get(*name).is_none_or(Value::is_null))
}

/// The identifier of a person's contact.
pub(super) fn identifier(person: i64) -> String {
    format!("{IDENTIFIER_PREFIX}{person}")
}

/// The person of an identifier, if it is one of ours.
pub(super) fn person_of_identifier(identifier: &str) -> Option<i64> {
    person_of_text(identifier.strip_prefix(IDENTIFIER_PREFIX)?)
}

/// The person of the custom attribute's text.
pub(super) fn person_of_text(text: &str) -> Option<i64> {
    let id: i64 = text.parse().ok()?;
    (id.to_string() == text).then_some(id)
}

/// The contract's pattern, from both ends: the server looks at the end only.
fn is_phone_number(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (2..=15).contains(&digits.len())
            && !digits.starts_with('0')
            && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Whether two names are one person's: case and white space do not count. Nobody is without a name.
pub(super) fn names_agree(one: &Value, other: &Value) -> bool {
    let words = |body: &Value| -> Vec<String> {
        let name = body.get("name").and_then(Value::as_str).unwrap_or_default();
        name.to_lowercase().split_whitespace().map(str::to_owned).collect()
    };
    !words(one).is_empty() && words(one) == words(other)
}

/// One field in its normal form; the same for what we send and for what is answered.
fn normalise(form: Form, value: &str) -> Option<String> {
    let value = text(value);
    match form {
        Form::Name => Some(cut(&value)),
        Form::Email => Some(text(&value.to_lowercase())),
        Form::Text => Some(value),
        Form::ShortText => Some(cut(&value)),
    }
    .filter(|text| form == Form::Name || !text.is_empty())
}

/// NFC, without white space around it.
fn text(text: &str) -> String {
    text.trim().nfc().collect()
}

fn cut(text: &str) -> String {
    let cut: String = text.chars().take(TEXT_CHARS_MAX).collect();
    cut.trim_end().to_owned()
}

const fn unmappable(column: &'static str, reason: &'static str) -> Unmappable {
    Unmappable { target: Target::Chatwoot, column, reason }
}

#[cfg(test)]
pub(super) mod tests;
