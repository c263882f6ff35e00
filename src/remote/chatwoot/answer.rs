//! What Chatwoot's answers mean (contract, section 8): the class of a failure, and the contact that a success shows.
//!
//! Pure. Texts for operators hold the status, fixed words and the names of fields. The server's own words are never shown:
//! they are localised and may quote a person.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::super::http::{Answer, Intent, after_sending};
use super::contact::Contact;
use super::conversation::Conversation;
use super::wire;
use crate::remote::{Failure, FailureClass};

/// What a request named, which decides what a 404 means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// A contact, by an id that we knew.
    Contact,
    /// Nothing but the account.
    Account,
}

/// An answer that is no success, as far as it is looked at.
struct Problem {
    status: u16,
    /// The body, where it is a JSON object.
    body: Option<Map<String, Value>>,
    /// The body is something else: a page of a proxy, or nothing.
    is_page: bool,
    names: Names,
}

impl Problem {
    fn of(answer: &Answer, names: Names) -> Self {
        let body = match answer.json() {
            Some(Value::Object(body)) => Some(body),
            Some(_) | None => None,
        };
        let is_page = body.is_none() && !answer.is_empty();
        Self { status: answer.status, body, is_page, names }
    }

    fn text(&self, key: &str) -> &str {
        self.body.as_ref().and_then(|body| body.get(key)?.as_str()).unwrap_or("")
    }

    /// Chatwoot itself says that there is no such thing; Rails' own 404, for a path that it does not have, tells its status.
    fn is_not_found(&self) -> bool {
        self.status == 404
            && self.body.as_ref().is_some_and(|body| !body.contains_key("status"))
            && !self.text("error").is_empty()
    }

    /// Everything that is wrong with us is a 401, missing permissions too; there is no login that could help.
    fn of_401(&self) -> (FailureClass, &'static str) {
        if self.body.as_ref().is_some_and(|body| body.contains_key("errors")) {
            let text = "no token arrived: see that no proxy drops the header `Api-Access-Token`";
            return (FailureClass::Configuration, text);
        }
        match self.text("error") {
            "You are not authorized to do this action" => {
                let text = "the token may not do this: use an administrator's";
                (FailureClass::Configuration, text)
            }
            "You are not authorized to access this account" => (
                FailureClass::Configuration,
                "the token's user is not in this account: see `account_id`",
            ),
            "Account is suspended" => (FailureClass::Configuration, "the account is suspended"),
            _ => (FailureClass::Authentication, "the token was refused"),
        }
    }

    /// The contract's table.
    fn class(&self, intent: Intent) -> FailureClass {
        match self.status {
            401 => self.of_401().0,
            403 => FailureClass::Configuration,
            404 if self.is_not_found() => match self.names {
                Names::Contact => FailureClass::StaleMapping,
                Names::Account => FailureClass::Configuration,
            },
            404 => FailureClass::Transient,
            // Before the application: it did not reach it.
            503 => FailureClass::Transient,
            // It may have been applied: by a gateway that gave up, or before what follows a commit broke.
            408 | 500..=599 => after_sending(intent),
            429 => FailureClass::Throttled,
            400 | 422 if self.is_page => FailureClass::Transient,
            // Parameters that are missing, a filter that is none.
            422 if !self.text("error").is_empty() => FailureClass::OurFault,
            400 | 409 | 422 => FailureClass::Rejected,
            400..=499 => FailureClass::OurFault,
            // A redirect, or a success that is none of the contract's.
            _ => after_sending(intent),
        }
    }

    /// The fields that a validation names; it does not say whether they are taken or malformed.
    fn attributes(&self) -> Vec<&'static str> {
        let named = self.body.as_ref().and_then(|body| body.get("attributes")?.as_array());
        let named = named.into_iter().flatten().filter_map(Value::as_str);
        named.filter_map(wire::field_named).take(10).collect()
    }

    fn failure(&self, intent: Intent) -> Failure {
        let class = self.class(intent);
        let mut text = self.status.to_string();
        match self.status {
            401 => text.push_str(&format!(": {}", self.of_401().1)),
            404 if class == FailureClass::Configuration => {
                text.push_str(": there is no such account: see `account_id`");
            }
            _ if self.is_page => text.push_str(" with a page for people"),
            422 if class == FailureClass::OurFault => text.push_str(": a parameter or a filter"),
            _ => {}
        }
        for name in self.attributes() {
            text.push(' ');
            text.push_str(name);
        }
        Failure::new(class, text)
    }
}

/// The failure that an answer is which is no success.
pub(super) fn failure(answer: &Answer, intent: Intent, names: Names) -> Failure {
    Problem::of(answer, names).failure(intent).with_retry_after(answer.retry_after())
}

/// A refused write, and what it says about the way on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Refusal {
    pub(super) failure: Failure,
    /// The fields that it names.
    pub(super) attributes: Vec<&'static str>,
    /// The cause may be another contact, or our own: a unique index says so by a 500 (contract, section 8).
    pub(super) may_be_taken: bool,
}

/// The refusal that an answer to a write is.
pub(super) fn refusal(answer: &Answer, names: Names) -> Refusal {
    let attributes = Problem::of(answer, names).attributes();
    let keys = [wire::IDENTIFIER, wire::EMAIL, wire::PHONE];
    let names_key = attributes.iter().any(|name| keys.contains(name));
    let may_be_taken = answer.status == 500 || answer.status == 422 && names_key;
    Refusal { failure: failure(answer, Intent::Write, names), attributes, may_be_taken }
}

/// The contact with the known id is not there.
pub(super) fn is_not_found(answer: &Answer) -> bool {
    Problem::of(answer, Names::Contact).is_not_found()
}

/// The contact of a success: `{"payload": Contact}`, or below `contact` after a create.
pub(super) fn contact(answer: &Answer) -> Option<Contact> {
    let json = answer.json()?;
    let payload = json.get("payload")?;
    Contact::read(payload.get("contact").unwrap_or(payload))
}

/// The contact with this id that a read shows; `None` only if Chatwoot itself says that there is none (any more).
pub(super) fn contact_or_none(answer: &Answer, id: i64) -> Result<Option<Contact>, Failure> {
    if is_not_found(answer) {
        return Ok(None);
    }
    if !answer.is_success() {
        return Err(failure(answer, Intent::Read, Names::Contact));
    }
    match contact(answer) {
        Some(contact) if contact.id == id => Ok(Some(contact)),
        Some(_) | None => {
            let text = "The answer does not show the contact that was asked for";
            Err(Failure::new(FailureClass::Transient, text))
        }
    }
}

/// One page of contacts.
#[derive(Debug, PartialEq)]
pub(super) struct Contacts {
    pub(super) rows: Vec<Contact>,
    /// Those of which nothing but the id can be read.
    pub(super) odd: Vec<i64>,
    /// How many there are in all; of a search, on this page.
    pub(super) count: usize,
    /// A search says whether there are more.
    pub(super) has_more: bool,
}

/// The contacts of a list; all of them readable, or it is none.
pub(super) fn contacts(answer: &Answer) -> Result<Contacts, Failure> {
    list(answer, |json| contacts_of(json).filter(|contacts| contacts.odd.is_empty()))
}

/// The contacts of a list that is walked: one that can't be read stops no other.
pub(super) fn contacts_walked(answer: &Answer) -> Result<Contacts, Failure> {
    list(answer, contacts_of)
}

/// Conversations.
#[derive(Debug, PartialEq)]
pub(super) struct Conversations {
    pub(super) rows: Vec<Conversation>,
    /// Those of which nothing but the key can be read.
    pub(super) odd: Vec<String>,
    /// How many there are in all, whatever window was asked for.
    pub(super) count: usize,
}

impl Conversations {
    /// How many are shown.
    pub(super) const fn len(&self) -> usize {
        self.rows.len() + self.odd.len()
    }
}

/// The conversations of a list that is walked.
pub(super) fn conversations(answer: &Answer) -> Result<Conversations, Failure> {
    list(answer, conversations_of)
}

fn list<T>(answer: &Answer, read: impl Fn(&Value) -> Option<T>) -> Result<T, Failure> {
    if !answer.is_success() {
        return Err(failure(answer, Intent::Read, Names::Account));
    }
    let not_json = || Failure::new(after_sending(Intent::Read), "The answer is not JSON");
    let json = answer.json().ok_or_else(not_json)?;
    read(&json).ok_or_else(|| {
        Failure::new(FailureClass::OurFault, "The list is not what the contract has")
    })
}

fn conversations_of(json: &Value) -> Option<Conversations> {
    let data = json.get("data")?;
    let rows = data.get("payload")?.as_array()?;
    let (rows, odd) = readable(rows, Conversation::read, Conversation::key)?;
    let count = data.get("meta")?.get("all_count")?.as_u64()?;
    Some(Conversations { rows, odd, count: usize::try_from(count).ok()? })
}

/// What can be read of rows, and the ids of the others. `None` where even that can't be read of one.
fn readable<T, I>(
    rows: &[Value],
    read: impl Fn(&Value) -> Option<T>,
    id: impl Fn(&Value) -> Option<I>,
) -> Option<(Vec<T>, Vec<I>)> {
    let (mut found, mut odd) = (Vec::new(), Vec::new());
    for row in rows {
        match read(row) {
            Some(row) => found.push(row),
            None => odd.push(id(row)?),
        }
    }
    Some((found, odd))
}

fn contacts_of(json: &Value) -> Option<Contacts> {
    let meta = json.get("meta")?;
    let rows = json.get("payload")?.as_array()?;
    let (rows, odd) = readable(rows, Contact::read, |row| row.get("id")?.as_i64())?;
    Some(Contacts {
        rows,
        odd,
        count: usize::try_from(meta.get("count")?.as_u64()?).ok()?,
        has_more: meta.get("has_more").and_then(Value::as_bool).unwrap_or(false),
    })
}

/// The limits hold per minute of the server's clock, and nothing tells how long to wait: until the next one, and up to five
/// seconds more, so that not everybody comes at once. `random` is in 0 to 1.
pub(super) fn pause(server: Timestamp, random: f64) -> Duration {
    let into_minute = u64::try_from(server.as_second().rem_euclid(60)).unwrap_or(0);
    let jitter = Duration::from_secs(5).mul_f64(random.clamp(0.0, 1.0));
    Duration::from_secs(60 - into_minute.min(59)) + jitter
}

#[cfg(test)]
mod tests;
