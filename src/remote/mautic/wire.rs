//! What Mautic holds of a person, as one table: alias, column and kind (contract, section 2a). The same normal form for
//! what is sent and for what is answered, so that both hashes are comparable. Pure.
//!
//! `state` is left out, and the EMS's province with it: it is a choice field over Mautic's own list, the EMS's is free
//! text, and a value that is no choice fails the whole contact.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::consent::{self, Channel, Entry, Restriction, Statement};
use super::{country, normal};
use crate::entity::{EntityRef, EntityType};
use crate::hash::ContentHash;
use crate::remote::{Fields, Unmappable, Wire};
use crate::target::Target;

/// Raised when the mapping below changes what is sent for the same projection.
const MAPPING_VERSION: u32 = 1;
/// Never raised alone: with another one, records of one address would not know of each other.
const MATCH_KEY_VERSION: u32 = 1;

/// The alias of the custom field that holds the EMS id.
pub(super) const EMS_PERSON_ID: &str = "ems_person_id";
/// The alias of the address.
pub(super) const EMAIL: &str = "email";

/// How a field is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Email,
    Phone,
    Country,
    Locale,
}

/// A field of a contact that is ours.
#[derive(Debug)]
struct Field {
    alias: &'static str,
    column: &'static str,
    kind: Kind,
}

const fn field(alias: &'static str, column: &'static str, kind: Kind) -> Field {
    Field { alias, column, kind }
}

/// Our fields, besides `ems_person_id`.
static FIELDS: [Field; 9] = [
    field("title", "title", Kind::Text),
    field("firstname", "first_name", Kind::Text),
    field("lastname", "last_name", Kind::Text),
    field(EMAIL, "email", Kind::Email),
    field("mobile", "phone", Kind::Phone),
    field("city", "city", Kind::Text),
    field("zipcode", "postal_code", Kind::Text),
    field("country", "country", Kind::Country),
    field("preferred_locale", "language", Kind::Locale),
];

/// The aliases that Mautic must have: one that it has not loses its value without a word (section 2a).
pub(super) fn aliases() -> impl Iterator<Item = &'static str> {
    std::iter::once(EMS_PERSON_ID).chain(FIELDS.iter().map(|field| field.alias))
}

/// The keys of a body that hold what is said of a channel: the statement, and since when it is an opt-in.
const fn consent_keys(channel: Channel) -> (&'static str, &'static str) {
    match channel {
        Channel::Email => ("dnc_email", "dnc_email_opted_in_on"),
        Channel::Sms => ("dnc_sms", "dnc_sms_opted_in_on"),
    }
}

/// The columns of a channel's contact preference.
const fn consent_columns(channel: Channel) -> (&'static str, &'static str) {
    match channel {
        Channel::Email => ("email_opted_in", "email_preference_on"),
        Channel::Sms => ("sms_opted_in", "sms_preference_on"),
    }
}

const NO_STATEMENT: &str = "no_statement";
const OPTED_IN: &str = "opted_in";
const OPTED_OUT: &str = "opted_out";
/// Forbidden by somebody else than us; only ever held, never wanted.
const RESTRICTED: &str = "restricted";

/// What Mautic should hold of a person.
pub(super) fn to_wire(entity: EntityRef, fields: &Fields) -> Result<Wire, Unmappable> {
    if entity.entity_type != EntityType::Person {
        return Err(unmappable("entity_type", "Mautic holds persons only"));
    }
    let mut body = Map::new();
    body.insert(EMS_PERSON_ID.to_owned(), json!(entity.id.to_string()));
    for field in &FIELDS {
        let value = match fields.get(field.column) {
            None => None,
            Some(Value::String(text)) => wanted(field.kind, text),
            Some(_) => return Err(unmappable(field.column, "it is no text")),
        };
        if field.kind == Kind::Email && value.is_none() {
            return Err(unmappable(field.column, "it is no address that Mautic keeps as it is"));
        }
        body.insert(field.alias.to_owned(), json!(value));
    }
    let mut opted_out_on = Map::new();
    for channel in Channel::ALL {
        let (opted_in, since) = consent_columns(channel);
        let since = match fields.get(since) {
            None => None,
            Some(since) => {
                let since = since.as_str().and_then(|since| since.parse().ok());
                Some(since.ok_or_else(|| unmappable("…_preference_on", "it is no moment"))?)
            }
        };
        let statement = match fields.get(opted_in) {
            None => Statement::None,
            Some(Value::Bool(true)) => Statement::OptedIn(since),
            Some(Value::Bool(false)) => {
                let since = since.map(|since: Timestamp| since.to_string());
                opted_out_on.insert(channel.name().to_owned(), json!(since));
                Statement::OptedOut
            }
            Some(_) => return Err(unmappable(opted_in, "it is neither true nor false")),
        };
        state(&mut body, channel, statement);
    }
    let key = body.get(EMAIL).map(match_key);
    let wire = wire_of(body).with_match_key(key);
    Ok(if opted_out_on.is_empty() { wire } else { wire.with_aside(Value::Object(opted_out_on)) })
}

/// The comment of an entry for a channel that the person has opted out of.
pub(super) fn comment(wire: &Wire, channel: Channel) -> String {
    let moment = wire.body.get(Wire::ASIDE).and_then(|aside| aside.get(channel.name())?.as_str());
    consent::comment(moment.and_then(|moment| moment.parse().ok()))
}

/// Of several persons with one address only one has a contact (section 3).
fn match_key(email: &Value) -> ContentHash {
    ContentHash::of(Target::Mautic, MATCH_KEY_VERSION, &json!({ EMAIL: email }))
}

fn wanted(kind: Kind, text: &str) -> Option<String> {
    match kind {
        Kind::Text => normal::text(text),
        Kind::Email => normal::email(text),
        Kind::Phone => normal::phone(text),
        Kind::Country => country::name(text).map(str::to_owned),
        Kind::Locale => normal::locale(text),
    }
}

fn state(body: &mut Map<String, Value>, channel: Channel, statement: Statement) {
    let (key, since_key) = consent_keys(channel);
    let (word, since) = match statement {
        Statement::None => (NO_STATEMENT, None),
        Statement::OptedOut => (OPTED_OUT, None),
        Statement::OptedIn(since) => (OPTED_IN, since),
    };
    body.insert(key.to_owned(), json!(word));
    body.insert(since_key.to_owned(), json!(since.map(|since| since.to_string())));
}

/// What the EMS says of a channel, read back from what is wanted.
pub(super) fn statement(wire: &Wire, channel: Channel) -> Statement {
    let (key, since) = consent_keys(channel);
    let text = |key| wire.body.get(key).and_then(Value::as_str);
    match text(key) {
        Some(OPTED_OUT) => Statement::OptedOut,
        Some(OPTED_IN) => {
            Statement::OptedIn(text(since).and_then(|since| since.parse::<Timestamp>().ok()))
        }
        _ => Statement::None,
    }
}

/// The body of a POST: what is blank is left out, and cleared by a PATCH where it matters.
pub(super) fn to_create(wire: &Wire) -> Value {
    let filled = contents(&wire.body).filter(|(_, value)| !value.is_null());
    Value::Object(filled.map(|(alias, value)| (alias.to_owned(), value.clone())).collect())
}

/// The body of a PATCH: all of our fields, exactly (section 2c).
pub(super) fn to_edit(wire: &Wire) -> Map<String, Value> {
    let exactly = |value: &Value| if value.is_null() { json!("") } else { value.clone() };
    let mut body: Map<String, Value> =
        contents(&wire.body).map(|(alias, value)| (alias.to_owned(), exactly(value))).collect();
    body.insert("overwriteWithBlank".to_owned(), json!(true));
    body
}

/// The body of a PATCH that takes our key from a contact.
pub(super) fn to_release() -> Value {
    json!({ EMS_PERSON_ID: "", "overwriteWithBlank": true })
}

/// Our fields of a body, without consent, which has calls of its own.
fn contents(body: &Value) -> impl Iterator<Item = (&'static str, &Value)> {
    aliases().filter_map(|alias| Some((alias, body.get(alias)?)))
}

/// Our fields of an answer's `fields.all`, in their normal form. `None` where a field has not the contract's form.
pub(super) fn from_answer(all: &Map<String, Value>) -> Option<Map<String, Value>> {
    let mut body = Map::new();
    for alias in aliases() {
        let text = match all.get(alias) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()),
            // Custom values come back as numbers or as texts (section 2b).
            Some(Value::Number(number)) => Some(number.to_string()),
            // PHP shows an empty value as an empty list.
            Some(Value::Array(none)) if none.is_empty() => None,
            Some(Value::Array(_) | Value::Object(_) | Value::Bool(_)) => return None,
        };
        body.insert(alias.to_owned(), json!(text.and_then(|text| held(alias, &text))));
    }
    Some(body)
}

/// A value that Mautic holds, in its normal form; what is no such value stays as it is, to be seen as different.
fn held(alias: &str, text: &str) -> Option<String> {
    let text = normal::text(text)?;
    let kind = FIELDS.iter().find(|field| field.alias == alias).map_or(Kind::Text, |f| f.kind);
    match kind {
        Kind::Email => normal::email(&text).or(Some(text)),
        Kind::Phone => normal::phone(&text).or(Some(text)),
        Kind::Text | Kind::Country | Kind::Locale => Some(text),
    }
}

/// The content that a contact holds, with what its entries say of each channel. Where that is what is `wanted`, it is said
/// in the same words: a channel that nobody forbids has no way to show an opt-in.
pub(super) fn held_wire(
    content: &Map<String, Value>,
    entries: &[Entry],
    wanted: Option<&Wire>,
) -> Wire {
    let mut body = content.clone();
    for channel in Channel::ALL {
        let statement = wanted.map_or(Statement::None, |wanted| statement(wanted, channel));
        match (Restriction::of(entries, channel), statement) {
            (Restriction::Nobody, Statement::None | Statement::OptedIn(_)) => {
                state(&mut body, channel, statement);
            }
            (Restriction::Nobody, Statement::OptedOut) => {
                state(&mut body, channel, Statement::None);
            }
            (Restriction::Us(_), _) | (Restriction::Others, Statement::OptedOut) => {
                state(&mut body, channel, Statement::OptedOut);
            }
            (Restriction::Others, Statement::None | Statement::OptedIn(_)) => {
                state(&mut body, channel, Statement::None);
                body.insert(consent_keys(channel).0.to_owned(), json!(RESTRICTED));
            }
        }
    }
    wire_of(body)
}

/// Whether a contact's fields are those that are wanted, whatever its entries say.
pub(super) fn has_content(content: &Map<String, Value>, wanted: &Wire) -> bool {
    aliases().all(|alias| content.get(alias) == wanted.body.get(alias))
}

/// Whether what a contact holds is as it should be.
pub(super) fn is_as_wanted(wanted: &Wire, held: &Wire) -> bool {
    held.body.is_object() && differing_fields(wanted, held).is_empty()
}

/// By what a contact is not as it should be: fields that are not those that are wanted, and channels where what forbids them is
/// not heeded. What Mautic forbids besides is no difference (design, "Consent").
pub(super) fn differing_fields(wanted: &Wire, held: &Wire) -> Vec<String> {
    let is_heeded = |channel: &Channel| {
        let held = held.body.get(consent_keys(*channel).0).and_then(Value::as_str);
        match statement(wanted, *channel) {
            Statement::None => true,
            Statement::OptedOut => matches!(held, Some(OPTED_OUT | RESTRICTED)),
            // An entry of our own that an opt-in has not taken away is for people to see.
            Statement::OptedIn(_) => held != Some(OPTED_OUT),
        }
    };
    let fields = aliases().filter(|alias| held.body.get(alias) != wanted.body.get(alias));
    let channels = Channel::ALL.into_iter().filter(|channel| !is_heeded(channel));
    let names = fields.chain(channels.map(|channel| consent_keys(channel).0));
    let mut names: Vec<String> = names.map(str::to_owned).collect();
    names.sort_unstable();
    names
}

fn wire_of(body: Map<String, Value>) -> Wire {
    Wire::new(Target::Mautic, MAPPING_VERSION, Value::Object(body))
}

const fn unmappable(column: &'static str, reason: &'static str) -> Unmappable {
    Unmappable { target: Target::Mautic, column, reason }
}

#[cfg(test)]
mod tests;
