//! What RunSignup holds of a registration and of its person, as one struct in normal form, and what of it can be sent.
//!
//! The same struct is made of a projection and of a row of RunSignup's, so both hashes are comparable. Pure.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::normal;
use crate::entity::{EntityRef, EntityType};
use crate::hash::ContentHash;
use crate::remote::{Fields, RemoteIds, Unmappable, Wire, inbound};
use crate::target::Target;

/// Raised when the mapping below changes what is wanted for the same projection.
const MAPPING_VERSION: u32 = 1;
/// The most digits of a number that is surely one at the remote, too.
const BIB_DIGITS_MAX: usize = 15;

/// A registration with its person (contract, section 4c).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Content {
    /// Ids are text, as in every hash.
    pub(super) event_id: String,
    /// It stands: nobody has refunded, deferred or removed it.
    pub(super) active: bool,
    pub(super) bib_num: Option<String>,
    pub(super) first_name: String,
    pub(super) last_name: String,
    pub(super) email: Option<String>,
    pub(super) phone: Option<String>,
    pub(super) dob: Option<String>,
    pub(super) gender: Option<String>,
    pub(super) street: Option<String>,
    pub(super) city: Option<String>,
    pub(super) state: Option<String>,
    pub(super) zipcode: Option<String>,
    pub(super) country_code: Option<String>,
}

/// The EMS entities that a registration stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ems {
    pub(super) participant: EntityRef,
    pub(super) person: EntityRef,
}

/// Who somebody is, as far as two people are told apart (contract, section 9): never by e-mail alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Who {
    first_name: String,
    last_name: String,
    dob: Option<String>,
}

impl Content {
    /// The content that a push wants, and whose it is; `None` if it was not made by [`to_wire`].
    pub(super) fn of(wire: &Wire) -> Option<(Self, Ems)> {
        let content = Self::deserialize(&wire.body).ok()?;
        let id = |name: &str| normal::id(wire.body.get(Wire::ASIDE)?.get(name));
        let participant = EntityRef::new(EntityType::EventParticipant, id("participant")?);
        let person = EntityRef::new(EntityType::Person, id("person")?);
        Some((content, Ems { participant, person }))
    }

    /// The same in the form that is hashed and compared.
    pub(super) fn wire(&self) -> Wire {
        Wire::new(Target::RunSignup, MAPPING_VERSION, self.body())
    }

    pub(super) fn hash(&self) -> ContentHash {
        self.wire().hash
    }

    fn body(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// What a registration is known to hold after an edit that asked for `asked` ([`inbound::confirmed`]). The e-mail is in no
    /// edit.
    pub(super) fn confirmed(&self, asked: &Self, after: &Self) -> Self {
        let asked = Self { email: self.email.clone(), ..asked.clone() };
        let held = inbound::confirmed(&self.body(), &asked.body(), &after.body());
        Self::deserialize(held).unwrap_or_else(|_| after.clone())
    }

    pub(super) fn who(&self) -> Who {
        Who {
            first_name: self.first_name.to_lowercase(),
            last_name: self.last_name.to_lowercase(),
            dob: self.dob.clone(),
        }
    }

    pub(super) fn event(&self) -> Option<i64> {
        self.event_id.parse().ok()
    }
}

/// Fields that RunSignup has refused for their form: they are left empty there (contract, section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Refused {
    pub(super) phone: bool,
    pub(super) state: bool,
}

/// What of a content RunSignup can hold: bibs are numbers, a state has two letters. What it can't is empty there, so that
/// nothing stale stands in its place; the comparison of both hashes shows it.
pub(super) fn sendable(content: &Content, refused: Refused) -> Content {
    let is_number =
        |bib: &String| bib.len() <= BIB_DIGITS_MAX && bib.chars().all(|c| c.is_ascii_digit());
    Content {
        bib_num: content.bib_num.clone().filter(is_number),
        state: content.state.clone().filter(|state| normal::is_code(state) && !refused.state),
        country_code: content.country_code.clone().filter(|code| normal::is_code(code)),
        phone: content.phone.clone().filter(|_| !refused.phone),
        ..content.clone()
    }
}

/// What a new registration is made of: everything that is not empty.
pub(super) fn new_row(content: &Content) -> Map<String, Value> {
    let nothing = Content::default();
    let mut row = changes(content, &nothing);
    if let (Some(email), Some(user)) = (&content.email, row.get_mut("user")) {
        user["email"] = json!(email);
    }
    row
}

/// What an edit must say so that `held` becomes `wanted`: what is absent stays, null clears (contract, section 7a). The
/// e-mail is never in it: RunSignup is in charge of it, and ignores ours in silence.
pub(super) fn changes(wanted: &Content, held: &Content) -> Map<String, Value> {
    let mut row = Map::new();
    if wanted.bib_num != held.bib_num {
        let bib = wanted.bib_num.as_ref().and_then(|bib| bib.parse::<i64>().ok());
        row.insert("bib_num".to_owned(), json!(bib));
    }
    let mut user = Map::new();
    let mut differs = |name: &str, wanted: Value, is_same: bool| {
        if !is_same {
            user.insert(name.to_owned(), wanted);
        }
    };
    differs("first_name", json!(wanted.first_name), wanted.first_name == held.first_name);
    differs("last_name", json!(wanted.last_name), wanted.last_name == held.last_name);
    differs("dob", json!(wanted.dob), wanted.dob == held.dob);
    differs("gender", json!(wanted.gender), wanted.gender == held.gender);
    let phone = wanted.phone.as_deref().map(written_phone);
    differs("phone", json!(phone), wanted.phone == held.phone);
    let address: Map<String, Value> = [
        ("street", &wanted.street, &held.street),
        ("city", &wanted.city, &held.city),
        ("state", &wanted.state, &held.state),
        ("zipcode", &wanted.zipcode, &held.zipcode),
        ("country_code", &wanted.country_code, &held.country_code),
    ]
    .into_iter()
    .filter(|(_, wanted, held)| wanted != held)
    .map(|(name, wanted, _)| (name.to_owned(), json!(wanted)))
    .collect();
    differs("address", Value::Object(address.clone()), address.is_empty());
    if !user.is_empty() {
        row.insert("user".to_owned(), Value::Object(user));
    }
    row
}

/// `xxx-xxx-xxxx` where it is American, E.164 else.
fn written_phone(phone: &str) -> String {
    match phone.strip_prefix("+1") {
        Some(digits) if digits.len() == 10 => {
            let part = |range| digits.get(range).unwrap_or_default();
            format!("{}-{}-{}", part(0..3), part(3..6), part(6..10))
        }
        _ => phone.to_owned(),
    }
}

/// What RunSignup should hold of a registration.
pub(super) fn to_wire(
    entity: EntityRef,
    fields: &Fields,
    parents: &RemoteIds,
) -> Result<Wire, Unmappable> {
    let ems_id = |column: &'static str| {
        let id = fields.get(column).and_then(Value::as_i64);
        id.ok_or_else(|| unmappable(column, "it is no id"))
    };
    let race = EntityRef::new(EntityType::Race, ems_id("race_id")?);
    let event_id = parents.get(&race).and_then(|id| id.trim().parse::<i64>().ok());
    let event_id = event_id
        .ok_or_else(|| unmappable("race_id", "its remote id is not the id of a RunSignup event"))?;
    let text = |column: &'static str| match fields.get(column) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(unmappable(column, "it is no text")),
    };
    let needed = |column: &'static str| {
        text(column)?.and_then(normal::text).ok_or_else(|| unmappable(column, "it is empty"))
    };
    let odd = |column: &'static str| unmappable(column, "it has not the expected form");
    let bib_num = match fields.get("number") {
        None => None,
        Some(bib) => normal::bib(bib).ok_or_else(|| odd("number"))?,
    };
    let content = Content {
        event_id: event_id.to_string(),
        active: true,
        bib_num,
        first_name: needed("first_name")?,
        last_name: needed("last_name")?,
        email: text("email")?.and_then(normal::email),
        phone: text("phone")?.and_then(normal::phone),
        dob: normal::day_of_birth(text("date_of_birth")?.unwrap_or_default())
            .ok_or_else(|| odd("date_of_birth"))?,
        gender: normal::gender(text("gender")?.unwrap_or_default()).ok_or_else(|| odd("gender"))?,
        street: text("address_line")?.and_then(normal::text),
        city: text("city")?.and_then(normal::text),
        state: text("province")?.and_then(normal::code),
        zipcode: text("postal_code")?.and_then(normal::text),
        country_code: text("country")?.and_then(normal::code),
    };
    Ok(content
        .wire()
        .with_aside(json!({ "participant": entity.id, "person": ems_id("person_id")? })))
}

/// The content of a row of RunSignup's. `None` when a field has not the contract's form.
pub(super) fn from_row(row: &Map<String, Value>, event_id: i64, active: bool) -> Option<Content> {
    let user = row.get("user")?.as_object()?;
    let nothing = Map::new();
    let address = match user.get("address") {
        None | Some(Value::Null) => &nothing,
        Some(address) => address.as_object()?,
    };
    Some(Content {
        event_id: event_id.to_string(),
        active,
        bib_num: match row.get("bib_num") {
            None | Some(Value::Null) => None,
            Some(bib) => normal::bib(bib)?,
        },
        first_name: shown(user, "first_name", normal::text)?.unwrap_or_default(),
        last_name: shown(user, "last_name", normal::text)?.unwrap_or_default(),
        email: shown(user, "email", normal::email)?,
        phone: shown(user, "phone", normal::phone)?,
        dob: normal::day_of_birth(plain(user, "dob")?.unwrap_or_default())?,
        gender: normal::gender(plain(user, "gender")?.unwrap_or_default())?,
        street: shown(address, "street", normal::text)?,
        city: shown(address, "city", normal::text)?,
        state: shown(address, "state", normal::code)?,
        zipcode: shown(address, "zipcode", normal::text)?,
        country_code: shown(address, "country_code", normal::code)?,
    })
}

/// A text of a row; `Some(None)` where it is null or missing.
fn plain<'a>(row: &'a Map<String, Value>, name: &str) -> Option<Option<&'a str>> {
    match row.get(name) {
        None | Some(Value::Null) => Some(None),
        Some(value) => value.as_str().map(Some),
    }
}

fn shown(
    row: &Map<String, Value>,
    name: &str,
    form: fn(&str) -> Option<String>,
) -> Option<Option<String>> {
    plain(row, name).map(|text| text.and_then(form))
}

pub(super) const fn unmappable(column: &'static str, reason: &'static str) -> Unmappable {
    Unmappable { target: Target::RunSignup, column, reason }
}

#[cfg(test)]
mod tests;
