//! What RunSignup holds of a registration and of its person, as one struct in normal form, and what of it can be sent.
//!
//! The same struct is made of a projection and of a row of RunSignup's, so both hashes are comparable. Pure.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::normal;
use crate::entity::{EntityRef, EntityType};
use crate::hash::ContentHash;
use crate::remote::{Fields, RemoteIds, Unmappable, Wire};
use crate::target::Target;

/// Raised when the mapping below changes what is wanted for the same projection.
const MAPPING_VERSION: u32 = 1;
/// Where the EMS ids stand in [`Wire::body`]. They are no content, so the hash leaves them out.
const EMS: &str = "ems";
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
        let id = |name: &str| normal::id(wire.body.get(EMS)?.get(name));
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
    let mut wire = content.wire();
    wire.body[EMS] = json!({ "participant": entity.id, "person": ems_id("person_id")? });
    Ok(wire)
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields() -> Map<String, Value> {
        let fields = json!({
            "race_id": 3, "person_id": 5, "number": "0042", "first_name": " Zoe\u{308} ", "last_name": "O'Brien",
            "email": "Zoe@Example.org", "phone": "+18568501510", "date_of_birth": "1986-01-06", "gender": "FEMALE",
            "address_line": "1 Main St", "city": "Trenton", "province": "nj", "postal_code": "08057",
            "country": "US"});
        fields.as_object().unwrap().clone()
    }

    fn wire(fields: Map<String, Value>) -> Result<Wire, Unmappable> {
        let race = EntityRef::new(EntityType::Race, 3);
        let parents = RemoteIds::from([(race, "72".to_owned())]);
        to_wire(EntityRef::new(EntityType::EventParticipant, 9), &Fields::new(fields), &parents)
    }

    fn content(fields: Map<String, Value>) -> Content {
        Content::of(&wire(fields).unwrap()).unwrap().0
    }

    fn row() -> Value {
        json!({"registration_id": 7, "bib_num": 42, "user": {"user_id": 1, "first_name": "Zoë", "last_name": "O'Brien",
            "email": "zoe@example.org", "dob": "1986-01-06", "gender": "F", "phone": "856-850-1510",
            "address": {"street": "1 Main St", "city": "Trenton", "state": "NJ", "zipcode": "08057",
                        "country_code": "US"}}})
    }

    #[test]
    fn a_row_that_holds_what_the_ems_has_is_hashed_alike() {
        let held = from_row(row().as_object().unwrap(), 72, true).unwrap();
        assert_eq!(held.hash(), wire(fields()).unwrap().hash);
        assert!(changes(&sendable(&content(fields()), Refused::default()), &held).is_empty());
    }

    /// A change of this re-pushes every registration everywhere.
    #[test]
    fn the_hash_of_known_content_never_changes() {
        let expected = "4932238cef10cb037c10e151ee32bf8220f87acf60447c29654f2f43b5701865";
        assert_eq!(wire(fields()).unwrap().hash.to_hex(), expected);
    }

    #[test]
    fn whose_it_is_stands_in_the_body_and_not_in_the_hash() {
        let mut other = fields();
        other["person_id"] = json!(6);
        let (one, other) = (wire(fields()).unwrap(), wire(other).unwrap());
        assert_eq!(one.hash, other.hash);
        let (_, ems) = Content::of(&other).unwrap();
        assert_eq!((ems.participant.id, ems.person.id), (9, 6));
    }

    #[test]
    fn an_edit_says_what_differs_clears_with_null_and_never_speaks_of_the_email() {
        let held = from_row(row().as_object().unwrap(), 72, true).unwrap();
        let mut other = fields();
        other["last_name"] = json!("Brien");
        other["email"] = json!("new@example.org");
        other["phone"] = json!(null);
        other["number"] = json!(null);
        other["city"] = json!(null);
        let row = Value::Object(changes(&content(other), &held));
        let expected = json!({"bib_num": null,
                              "user": {"last_name": "Brien", "phone": null, "address": {"city": null}}});
        assert_eq!(row, expected);
    }

    #[test]
    fn a_new_row_has_the_email_and_nothing_that_is_empty() {
        let mut few = fields();
        for column in
            ["phone", "address_line", "city", "province", "postal_code", "country", "gender"]
        {
            few[column] = json!(null);
        }
        let expected = json!({"bib_num": 42, "user": {"first_name": "Zoë", "last_name": "O'Brien",
                              "email": "zoe@example.org", "dob": "1986-01-06"}});
        assert_eq!(Value::Object(new_row(&content(few))), expected);
    }

    /// Contract, section 7a: "Bibs are numbers"; section 5: states of two letters.
    #[test]
    fn what_runsignup_can_not_hold_is_wanted_and_not_sent() {
        let mut african = fields();
        african["number"] = json!("A12");
        african["province"] = json!("Gauteng");
        african["phone"] = json!("+27821234567");
        let wanted = content(african);
        assert_eq!(wanted.bib_num.as_deref(), Some("A12"));
        let sent = sendable(&wanted, Refused::default());
        assert_eq!((sent.bib_num.clone(), sent.state.clone()), (None, None));
        assert_eq!(new_row(&sent)["user"]["phone"], "+27821234567");
        assert_eq!(sendable(&wanted, Refused { phone: true, state: false }).phone, None);
        assert_ne!(sent.hash(), wanted.hash());
    }

    #[test]
    fn a_column_that_can_not_be_expressed_is_named() {
        for (column, odd) in [
            ("race_id", json!(null)),
            ("race_id", json!(4)),
            ("person_id", json!("x")),
            ("first_name", json!("  ")),
            ("last_name", json!(null)),
            ("gender", json!("OTHER")),
            ("date_of_birth", json!("yesterday")),
            ("number", json!([1])),
            ("city", json!(7)),
        ] {
            let mut fields = fields();
            fields[column] = odd;
            let unmappable = wire(fields).unwrap_err();
            assert_eq!(unmappable.column, column);
            assert!(!unmappable.to_string().contains("Brien"));
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,12}".prop_map(Value::from),
            Just(json!([1])),
            Just(json!({"street": 1})),
        ]
    }

    proptest! {
        /// No projection and no row makes it panic.
        #[test]
        fn the_mapping_is_total(values in prop::collection::vec(any_json(), 14)) {
            let mut fields = fields();
            for (value, slot) in values.iter().zip(fields.values_mut()) {
                *slot = value.clone();
            }
            if let Ok(wire) = wire(fields) {
                prop_assert!(Content::of(&wire).is_some());
            }
            let mut row = row();
            for (value, slot) in values.iter().zip(row["user"].as_object_mut().unwrap().values_mut()) {
                *slot = value.clone();
            }
            row["bib_num"] = values[13].clone();
            from_row(row.as_object().unwrap(), 72, true);
        }

        /// What is sent and held as it was sent is wanted no more, and its hash is the hash of what was wanted.
        #[test]
        fn what_was_sent_comes_back_with_the_same_hash(
            texts in prop::collection::vec("[a-zA-Z0-9@. éß'-]{0,12}", 7),
            bib in prop::option::of(0_u32..100_000),
            phone in prop::option::of("\\+1[0-9]{10}|\\+27[0-9]{9}"),
            state in prop::option::of("[a-zA-Z]{2}"),
        ) {
            let mut wanted = fields();
            wanted["number"] = json!(bib.map(|bib| bib.to_string()));
            wanted["first_name"] = json!(format!("A{}", texts[0]));
            wanted["last_name"] = json!(format!("B{}", texts[1]));
            wanted["email"] = json!(texts[2]);
            wanted["address_line"] = json!(texts[3]);
            wanted["city"] = json!(texts[4]);
            wanted["postal_code"] = json!(texts[5]);
            wanted["phone"] = json!(phone);
            wanted["province"] = json!(state);
            let wanted = content(wanted);
            let sent = sendable(&wanted, Refused::default());
            prop_assert_eq!(&sent, &wanted);
            let mut row = new_row(&sent);
            let user = row["user"].as_object_mut().unwrap();
            user.insert("user_id".to_owned(), json!(1));
            let held = from_row(&row, 72, true).unwrap();
            prop_assert_eq!(held.hash(), wanted.hash());
            prop_assert!(changes(&sent, &held).is_empty());
        }
    }
}
