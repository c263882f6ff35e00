//! What one row of a write says, laid onto a user and a registration (contract, section 7a):
//! absent is unchanged, null clears, and some of it is ignored in silence.

use jiff::civil::Date;
use serde_json::{Map, Value};

use super::error::ApiError;
use super::form::{number, rows};
use super::rows::{Address, Event, Race, Registration, User};
use crate::Record;

/// What a row is judged by.
pub(super) struct Context<'a> {
    pub(super) race: &'a Race,
    pub(super) event: &'a Event,
    /// Whether states and phones must look American.
    pub(super) american: bool,
    pub(super) today: Date,
}

const ROW: &[&str] = &[
    "registration_id",
    "user_id",
    "bib_num",
    "chip_num",
    "age",
    "team_id",
    "giveaway",
    "user",
    "question_responses",
];
const USER: &[&str] =
    &["first_name", "middle_name", "last_name", "gender", "dob", "email", "phone", "address"];
const ADDRESS: &[&str] = &["street", "city", "state", "zipcode", "country_code"];

/// Notes fields that RunSignup does not have, and ignores.
pub(super) fn audit(row: &Value, record: &mut Record) {
    let user = row.get("user");
    let address = user.and_then(|user| user.get("address"));
    let parts = [("", Some(row), ROW), ("user.", user, USER), ("user.address.", address, ADDRESS)];
    for (prefix, part, known) in parts {
        let names = part.and_then(Value::as_object).into_iter().flat_map(Map::keys);
        for name in names.filter(|name| !known.contains(&name.as_str())) {
            record.violation("unknown_field", format!("{prefix}{name}"));
        }
    }
}

/// Lays the personal data of `row` onto `user`.
pub(super) fn personal(
    row: &Value,
    user: &mut User,
    context: &Context<'_>,
) -> Result<(), ApiError> {
    let Some(given) = row.get("user").and_then(Value::as_object) else { return Ok(()) };
    if let Some(name) = given.get("first_name") {
        user.first_name = required(name, 104, 105)?;
    }
    if let Some(name) = given.get("last_name") {
        user.last_name = required(name, 106, 107)?;
    }
    set(given, "middle_name", &mut user.middle_name, 105, |_| true)?;
    // Who has an account is alone in charge of the address: what others say is not even refused.
    let mut email = user.email.clone();
    set(given, "email", &mut email, 108, |text| text.contains('@') && !text.contains(' '))?;
    if !user.has_account {
        user.email = email;
    }
    set(given, "gender", &mut user.gender, 114, |text| matches!(text, "M" | "F" | "X"))?;
    set(given, "phone", &mut user.phone, 120, |text| !context.american || is_phone(text))?;
    if let Some(dob) = given.get("dob") {
        user.dob = birthday(dob, context.today)?;
    }
    match given.get("address") {
        None => {}
        Some(Value::Null) => user.address = Address::default(),
        Some(Value::Object(given)) => address(given, &mut user.address, context)?,
        Some(_) => return Err(ApiError::new(109)),
    }
    Ok(())
}

/// Lays the rest of `row` onto `registration`, whose user is `user`.
pub(super) fn seat(
    row: &Value,
    user: &User,
    registration: &mut Registration,
    context: &Context<'_>,
    record: &mut Record,
) -> Result<(), ApiError> {
    let Some(given) = row.as_object() else { return Err(ApiError::new(11)) };
    let before = registration.clone();
    whole_number(given, "bib_num", &mut registration.bib_num, 115)?;
    whole_number(given, "team_id", &mut registration.team_id, 514)?;
    match given.get("chip_num") {
        None => {}
        Some(Value::Null) => registration.chip_num = None,
        Some(Value::String(text)) => registration.chip_num = Some(text.clone()),
        Some(Value::Number(number)) => registration.chip_num = Some(number.to_string()),
        Some(_) => return Err(ApiError::new(116)),
    }
    if !before.active {
        // Refunded, transferred and deferred: these three are ignored in silence.
        registration.bib_num = before.bib_num;
        registration.team_id = before.team_id;
        registration.chip_num = before.chip_num;
    }
    let is_offered = |text: &str| context.event.giveaway_options.iter().any(|one| one == text);
    set(given, "giveaway", &mut registration.giveaway, 3, is_offered)?;
    age(given, user, registration, context)?;
    for response in rows(row, "question_responses") {
        let question = number(response.get("question_id"));
        match question.filter(|question| context.race.questions.contains_key(question)) {
            None => record.violation("unknown_question", "question_responses"),
            Some(question) => answer(question, response.get("response"), registration),
        }
    }
    Ok(())
}

fn answer(question: i64, response: Option<&Value>, registration: &mut Registration) {
    match response {
        Some(Value::String(text)) => {
            registration.responses.insert(question, text.clone());
        }
        Some(Value::Number(number)) => {
            registration.responses.insert(question, number.to_string());
        }
        _ => {
            registration.responses.remove(&question);
        }
    }
}

/// The age that is given must be that of the day of birth; else it is counted anew.
fn age(
    given: &Map<String, Value>,
    user: &User,
    registration: &mut Registration,
    context: &Context<'_>,
) -> Result<(), ApiError> {
    let real = user.dob.map(|dob| age_on(dob, context.event.start_time.date()));
    match given.get("age") {
        None => registration.age = real.or(registration.age),
        Some(Value::Null) => registration.age = real,
        value => {
            let age = number(value).filter(|age| (0..=150).contains(age));
            let age = age.ok_or_else(|| ApiError::new(118))?;
            if real.is_some_and(|real| real != age) {
                return Err(ApiError::new(119));
            }
            registration.age = Some(age);
        }
    }
    Ok(())
}

/// How old somebody born on `dob` is on `day`.
pub(super) fn age_on(dob: Date, day: Date) -> i64 {
    let before_birthday = (day.month(), day.day()) < (dob.month(), dob.day());
    i64::from(day.year()) - i64::from(dob.year()) - i64::from(before_birthday)
}

fn required(value: &Value, missing: u16, invalid: u16) -> Result<String, ApiError> {
    match value {
        Value::Null => Err(ApiError::new(missing)),
        Value::String(text) if text.trim().is_empty() => Err(ApiError::new(missing)),
        Value::String(text) => Ok(text.clone()),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Err(ApiError::new(invalid))
        }
    }
}

/// Sets or clears an optional text; an empty one clears, too.
fn set(
    given: &Map<String, Value>,
    name: &str,
    field: &mut Option<String>,
    code: u16,
    fits: impl Fn(&str) -> bool,
) -> Result<(), ApiError> {
    match given.get(name) {
        None => {}
        Some(Value::Null) => *field = None,
        Some(Value::String(text)) if text.is_empty() => *field = None,
        Some(Value::String(text)) if fits(text) => *field = Some(text.clone()),
        Some(_) => return Err(ApiError::new(code)),
    }
    Ok(())
}

fn whole_number(
    given: &Map<String, Value>,
    name: &str,
    field: &mut Option<i64>,
    code: u16,
) -> Result<(), ApiError> {
    match given.get(name) {
        None => {}
        Some(Value::Null) => *field = None,
        value => {
            let found = number(value).filter(|number| *number >= 0);
            *field = Some(found.ok_or_else(|| ApiError::new(code))?);
        }
    }
    Ok(())
}

fn birthday(value: &Value, today: Date) -> Result<Option<Date>, ApiError> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if text == "XXXX-XX-XX" => Ok(None),
        Value::String(text) => {
            let dob = Date::strptime("%Y-%m-%d", text).ok().filter(|dob| *dob <= today);
            dob.map(Some).ok_or_else(|| ApiError::new(117))
        }
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Err(ApiError::new(117))
        }
    }
}

fn address(
    given: &Map<String, Value>,
    address: &mut Address,
    context: &Context<'_>,
) -> Result<(), ApiError> {
    let is_letters =
        |text: &str| text.len() == 2 && text.chars().all(|letter| letter.is_ascii_uppercase());
    set(given, "street", &mut address.street, 109, |_| true)?;
    if given.get("city").and_then(Value::as_str).is_some_and(has_odd_characters) {
        return Err(ApiError::new(123));
    }
    set(given, "city", &mut address.city, 110, |_| true)?;
    set(given, "state", &mut address.state, 111, |text| !context.american || is_letters(text))?;
    set(given, "zipcode", &mut address.zipcode, 112, |_| true)?;
    set(given, "country_code", &mut address.country_code, 113, is_letters)
}

fn has_odd_characters(city: &str) -> bool {
    city.chars().any(|letter| letter.is_ascii_digit() || "<>{}@&".contains(letter))
}

/// `856-850-1510`
fn is_phone(text: &str) -> bool {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    lengths == [3, 3, 4] && text.chars().all(|c| c == '-' || c.is_ascii_digit())
}
