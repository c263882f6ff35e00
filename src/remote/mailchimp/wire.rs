//! What each list should hold of a person, and the same normal form of what it holds. Pure.
//!
//! The body is an object by list code. Of somebody who is to be out of a list only address and EMS id count: nothing else
//! of them is brought there. The hash is over the normal form, in which tags have no case; `since` is not in it, since
//! only the comparison with our own earlier opt-out needs it, and the remote doesn't hold it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use unicode_normalization::UnicodeNormalization as _;

use crate::entity::EntityRef;
use crate::hash::ContentHash;
use crate::limits;
use crate::remote::{Fields, Unmappable, Wire};
use crate::target::Target;

/// Raised when the mapping below changes what is sent for the same projection.
const MAPPING_VERSION: u32 = 1;

/// Raised when the key of an address is made of something else.
const KEY_VERSION: u32 = 1;

/// How a person should stand in a list, or stands there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// They want its mail.
    Subscribed,
    /// They must confirm that they want it.
    Pending,
    /// They don't want it: opted out of the list, or of e-mail as such.
    Out,
}

impl Wanted {
    /// Its word in the body.
    const fn word(self) -> &'static str {
        match self {
            Self::Subscribed => "subscribed",
            Self::Pending => "pending",
            Self::Out => "out",
        }
    }

    fn of(word: &str) -> Option<Self> {
        [Self::Subscribed, Self::Pending, Self::Out].into_iter().find(|w| w.word() == word)
    }
}

/// One list's part of the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) email: String,
    pub(super) first_name: Option<String>,
    pub(super) last_name: Option<String>,
    /// The EMS id as text; `None` for a member who carries none.
    pub(super) ems_id: Option<String>,
    pub(super) language: Option<String>,
    /// As the EMS spells them, sorted, none twice.
    pub(super) tags: Vec<String>,
    pub(super) wanted: Wanted,
    /// When the EMS learnt that it is so: the opt-in, or the opt-out.
    pub(super) since: Option<Timestamp>,
}

impl Content {
    /// What is sent and shown.
    fn body(&self) -> Value {
        let mut body = self.common();
        if self.wanted != Wanted::Out {
            body.insert("tags".to_owned(), json!(self.tags));
        }
        let since = self.since.map(|since| since.to_string());
        body.insert("since".to_owned(), json!(since));
        Value::Object(body)
    }

    /// What is hashed and compared.
    pub(super) fn normal(&self) -> Value {
        let mut body = self.common();
        if self.wanted != Wanted::Out {
            let mut tags: Vec<String> = self.tags.iter().map(|tag| tag_key(tag)).collect();
            tags.sort_unstable();
            tags.dedup();
            body.insert("tags".to_owned(), json!(tags));
        }
        Value::Object(body)
    }

    fn common(&self) -> Map<String, Value> {
        let mut body = Map::new();
        let mut put = |name: &str, value: Value| body.insert(name.to_owned(), value);
        put("email", json!(self.email));
        put("EMSID", json!(self.ems_id));
        put("wanted", json!(self.wanted.word()));
        if self.wanted != Wanted::Out {
            put("FNAME", json!(self.first_name));
            put("LNAME", json!(self.last_name));
            put("language", json!(self.language));
        }
        body
    }

    /// Reads a part of a body that [`to_wire`] has made.
    fn read(part: &Value) -> Option<Self> {
        let text = |name: &str| part.get(name).and_then(Value::as_str).map(str::to_owned);
        let tags = part.get("tags").and_then(Value::as_array).into_iter().flatten();
        Some(Self {
            email: text("email")?,
            first_name: text("FNAME"),
            last_name: text("LNAME"),
            ems_id: text("EMSID"),
            language: text("language"),
            tags: tags.filter_map(|tag| tag.as_str().map(str::to_owned)).collect(),
            wanted: Wanted::of(part.get("wanted")?.as_str()?)?,
            since: text("since").and_then(|since| since.parse().ok()),
        })
    }
}

/// The parts of a body by list code.
pub(super) fn contents(wire: &Wire) -> BTreeMap<String, Content> {
    let parts = wire.body.as_object().into_iter().flatten();
    parts.filter_map(|(code, part)| Some((code.clone(), Content::read(part)?))).collect()
}

/// The wire of these parts.
pub(super) fn wire_of<'a>(parts: impl IntoIterator<Item = (&'a str, &'a Content)>) -> Wire {
    let (mut body, mut normal) = (Map::new(), Map::new());
    for (code, content) in parts {
        body.insert(code.to_owned(), content.body());
        normal.insert(code.to_owned(), content.normal());
    }
    let hash = ContentHash::of(Target::MailChimp, MAPPING_VERSION, &Value::Object(normal));
    Wire { body: Value::Object(body), hash, match_key: None, given_up_by: Vec::new() }
}

/// What the configured lists should hold of a person.
pub(super) fn to_wire(
    entity: EntityRef,
    fields: &Fields,
    lists: &BTreeMap<String, String>,
) -> Result<Wire, Unmappable> {
    let email = fields.get("email").and_then(Value::as_str).map(email).unwrap_or_default();
    if email.is_empty() {
        return Err(unmappable("email", "it is blank"));
    }
    let person = Content {
        first_name: optional(fields, "first_name")?,
        last_name: optional(fields, "last_name")?,
        ems_id: Some(entity.id.to_string()),
        language: optional(fields, "language")?.as_deref().and_then(language),
        email,
        tags: Vec::new(),
        wanted: Wanted::Out,
        since: None,
    };
    let opted_in = match fields.get("email_opted_in") {
        None => None,
        Some(value) => {
            let odd = || unmappable("email_opted_in", "it is not true or false");
            Some(value.as_bool().ok_or_else(odd)?)
        }
    };
    let preference_on = instant(fields.get("email_opted_in_on"), "email_opted_in_on")?;
    let preference = Preference { opted_in, modified_on: preference_on };
    let memberships = match fields.get("memberships") {
        None => &Map::new(),
        Some(value) => {
            let odd = || unmappable("memberships", "it is not an object by list code");
            value.as_object().ok_or_else(odd)?
        }
    };
    let mut parts = BTreeMap::new();
    for (code, membership) in memberships {
        // Variables of the environment have no case: their codes are lower-case.
        let lower = code.to_ascii_lowercase();
        let taken = lower != *code && memberships.contains_key(&lower);
        let configured = match lists.get_key_value(code) {
            Some((code, _)) => code,
            None if taken => continue,
            None => match lists.get_key_value(&lower) {
                Some((code, _)) => code,
                None => continue,
            },
        };
        parts.insert(configured.as_str(), part(&person, membership, preference)?);
    }
    let key = (!parts.is_empty()).then(|| match_key(&person.email));
    Ok(wire_of(parts.iter().map(|(code, part)| (*code, part))).with_match_key(key))
}

/// What the EMS knows of a person's wish for e-mail as such.
#[derive(Debug, Clone, Copy)]
struct Preference {
    opted_in: Option<bool>,
    modified_on: Option<Timestamp>,
}

/// One membership; e-mail as such overrides it.
fn part(
    person: &Content,
    membership: &Value,
    preference: Preference,
) -> Result<Content, Unmappable> {
    let odd = |reason| unmappable("memberships", reason);
    let status = match membership.get("status").and_then(Value::as_str) {
        Some("SUBSCRIBED") => Wanted::Subscribed,
        Some("PENDING") => Wanted::Pending,
        Some("UNSUBSCRIBED") => Wanted::Out,
        Some(_) | None => return Err(odd("a membership has an unknown status")),
    };
    let modified_on = instant(membership.get("modified_on"), "memberships")?;
    let opted_out = preference.opted_in == Some(false);
    let wanted = if opted_out { Wanted::Out } else { status };
    let of_status = modified_on.filter(|_| status == wanted || !opted_out);
    let of_preference = preference.modified_on.filter(|_| preference.opted_in.is_some());
    let since = match wanted {
        Wanted::Out if !opted_out => of_status,
        Wanted::Out | Wanted::Subscribed | Wanted::Pending => of_status.max(of_preference),
    };
    let tags = match membership.get("labels") {
        None | Some(Value::Null) => Vec::new(),
        Some(labels) => {
            let labels = labels.as_array().ok_or_else(|| odd("its labels are no array"))?;
            tags(labels.iter().filter_map(Value::as_str))
        }
    };
    if wanted == Wanted::Out {
        let nameless =
            Content { first_name: None, last_name: None, language: None, ..person.clone() };
        return Ok(Content { wanted, since, ..nameless });
    }
    // After that: nothing may keep an opt-out from being said.
    if tags.len() > limits::MAILCHIMP_TAGS_MAX {
        return Err(odd("a membership has more than 40 labels"));
    }
    Ok(Content { tags, wanted, since, ..person.clone() })
}

/// Labels as tags: NFC, trimmed, none blank, none twice in whatever case, sorted.
pub(super) fn tags<'a>(labels: impl Iterator<Item = &'a str>) -> Vec<String> {
    let by_key: BTreeMap<String, String> =
        labels.map(text).filter(|tag| !tag.is_empty()).map(|tag| (tag_key(&tag), tag)).collect();
    let mut tags: Vec<String> = by_key.into_values().collect();
    tags.sort_unstable();
    tags
}

/// What two spellings of a tag have in common.
pub(super) fn tag_key(tag: &str) -> String {
    let lower: String = text(tag).to_lowercase();
    lower.nfc().collect()
}

/// NFC, without white space around it.
pub(super) fn text(text: &str) -> String {
    text.trim().nfc().collect()
}

/// An address as it is compared.
pub(super) fn email(address: &str) -> String {
    let lower = text(address).to_lowercase();
    text(&lower)
}

/// The primary language of a BCP 47 tag, which is what `MailChimp` tells apart.
pub(super) fn language(tag: &str) -> Option<String> {
    let primary = tag.trim().split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
    let is_language =
        (2..=3).contains(&primary.len()) && primary.chars().all(|c| c.is_ascii_lowercase());
    is_language.then_some(primary)
}

/// The digest of an address, of which a list has one member at most.
fn match_key(email: &str) -> ContentHash {
    ContentHash::of(Target::MailChimp, KEY_VERSION, &json!({ "email": email }))
}

fn optional(fields: &Fields, column: &'static str) -> Result<Option<String>, Unmappable> {
    match fields.get(column) {
        None => Ok(None),
        Some(value) => {
            let value = value.as_str().ok_or_else(|| unmappable(column, "it is no text"))?;
            Ok(Some(text(value)).filter(|text| !text.is_empty()))
        }
    }
}

fn instant(value: Option<&Value>, column: &'static str) -> Result<Option<Timestamp>, Unmappable> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let instant = value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
            instant.map(Some).ok_or_else(|| unmappable(column, "it holds no instant"))
        }
    }
}

const fn unmappable(column: &'static str, reason: &'static str) -> Unmappable {
    Unmappable { target: Target::MailChimp, column, reason }
}

/// Whether the lists hold what they should, as far as we may change them: somebody who left, whose address bounces or who
/// has not confirmed stays as they are there, and a list that somebody was taken out of by people stays without them.
pub(super) fn is_as_wanted(wanted: &Wire, held: &Wire) -> bool {
    differing_fields(wanted, held).is_empty()
}

/// The lists in which somebody does not stand as they should.
pub(super) fn differing_fields(wanted: &Wire, held: &Wire) -> Vec<String> {
    let (wanted, held) = (contents(wanted), contents(held));
    let agree = |code: &String, held: &Content| {
        let Some(wanted) = wanted.get(code) else { return false };
        if held.wanted == Wanted::Out {
            return wanted.ems_id == held.ems_id;
        }
        let as_wanted = Content { wanted: wanted.wanted, ..held.clone() };
        wanted.wanted != Wanted::Out && as_wanted.normal() == wanted.normal()
    };
    held.iter().filter(|(code, held)| !agree(code, held)).map(|(code, _)| code.clone()).collect()
}

#[cfg(test)]
mod tests;
