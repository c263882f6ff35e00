//! What Mautic's answers mean (contract, section 8): the class of a failure, and the contacts that a success shows.
//!
//! Pure. Texts for operators hold the status, the problem's type and the names of our fields; never a value, nor Mautic's
//! messages, which are translated and may quote values.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::super::failure::shown_token;
use super::super::http::{Answer, Intent, after_sending};
use super::contact::{Contact, ahead, values};
use super::wire;
use crate::limits;
use crate::remote::{Failure, FailureClass};

/// Stands for what may be a person's data.
const NOT_SHOWN: &str = "(not shown)";

/// A refusal of a request, or of a row in a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Problem<'a> {
    status: u16,
    error: Option<&'a Map<String, Value>>,
    /// The request named its contact by an id that we knew.
    names_id: bool,
}

impl<'a> Problem<'a> {
    /// The problem of a batch's row, whose contact is named by its id.
    pub(super) fn of_row(status: u16, error: Option<&'a Value>) -> Self {
        Self { status, error: error.and_then(Value::as_object), names_id: true }
    }

    /// The contract's table, section 8. A class that says "not applied" where a gateway answered would be a lie: it may
    /// have passed the write on.
    fn class(self, intent: Intent) -> FailureClass {
        match self.status {
            401 => FailureClass::Authentication,
            403 => FailureClass::Configuration,
            404 | 410 if self.names_id => FailureClass::StaleMapping,
            // No contact was named: the base URL is wrong, or the application behind a proxy is away.
            404 | 410 => FailureClass::Transient,
            408 | 502 | 504 => after_sending(intent),
            409 => FailureClass::Transient,
            429 => FailureClass::Throttled,
            400 | 422 => match intent {
                Intent::Write => FailureClass::Rejected,
                // We ask for nothing that depends on the data.
                Intent::Read => FailureClass::OurFault,
            },
            // Also a batch that is too large and a `where` that is wrong, which answer alike.
            500..=599 => FailureClass::Transient,
            _ => FailureClass::OurFault,
        }
    }

    /// The failure, with a text for operators.
    pub(super) fn failure(self, intent: Intent) -> Failure {
        let mut text = self.status.to_string();
        let get = |key| self.error.and_then(|error| error.get(key));
        if let Some(kind) = get("type").and_then(Value::as_str).filter(|kind| !kind.is_empty()) {
            text.push(' ');
            text.push_str(shown_kind(kind));
        }
        let details = get("details").and_then(Value::as_object);
        let is_ours = |name: &str| wire::aliases().any(|alias| alias == name);
        for name in details.into_iter().flat_map(Map::keys).filter(|name| is_ours(name)).take(10) {
            text.push_str(" field ");
            text.push_str(name);
        }
        Failure::new(self.class(intent), text)
    }
}

/// The first error of an answer: `errors[0]`, or one of the older shapes (sections 1a and 8).
fn first_error(body: &Value) -> Option<&Map<String, Value>> {
    let error = match (body.get("errors"), body.get("error")) {
        (Some(errors), _) => values(errors)?.next()?,
        (None, Some(error @ Value::Object(_))) => error,
        (None, _) => body,
    };
    error.as_object()
}

/// A text for people, as PHP, a proxy or a captive portal gives it: it proves nothing about a contact.
fn is_page(answer: &Answer) -> bool {
    !answer.is_empty() && answer.json().is_none()
}

/// The failure that an answer is, which is no success.
pub(super) fn failure(answer: &Answer, intent: Intent) -> Failure {
    failure_of(answer, intent, false)
}

/// The same, for a request that named its contact by an id that we knew.
pub(super) fn failure_of_known(answer: &Answer, intent: Intent) -> Failure {
    failure_of(answer, intent, true)
}

fn failure_of(answer: &Answer, intent: Intent, names_id: bool) -> Failure {
    if answer.status < 400 {
        let text = format!("{} where the contract has another status", answer.status);
        return Failure::new(after_sending(intent), text);
    }
    if matches!(answer.status, 400 | 404 | 410 | 422) && is_page(answer) {
        let text = format!("{} with a page for people", answer.status);
        return Failure::new(FailureClass::Transient, text);
    }
    let body = answer.json();
    let error = body.as_ref().and_then(first_error);
    let failure = Problem { status: answer.status, error, names_id }.failure(intent);
    let pause = pause(answer).filter(|_| failure.class == FailureClass::Throttled);
    failure.with_retry_after(pause)
}

/// How long Mautic wants to be left alone: `Retry-After`, or until its window of calls ends (section 8).
pub(super) fn pause(answer: &Answer) -> Option<Duration> {
    let until_reset = || {
        let reset: i64 = answer.header("X-RateLimit-Reset")?.trim().parse().ok()?;
        let now = answer.date().unwrap_or_else(Timestamp::now).as_second();
        // A moment, not a number of seconds.
        let seconds = reset.checked_sub(now).filter(|seconds| *seconds >= 0)?;
        Some(Duration::from_secs(seconds.try_into().ok()?))
    };
    answer.retry_after().or_else(until_reset)
}

/// Whether the contact that a request named by its id is not there.
pub(super) fn is_gone(answer: &Answer) -> bool {
    matches!(answer.status, 404 | 410) && !is_page(answer)
}

/// Mautic refuses a request as a whole, which blames none of the contacts in it.
pub(super) const fn refuses_the_call(answer: &Answer) -> bool {
    matches!(answer.status, 400 | 404 | 405 | 409 | 413 | 414 | 415 | 422 | 500)
}

/// The contact of a success. `None` where it shows none with an id, which proves nothing (section 2b).
pub(super) fn contact(answer: &Answer) -> Option<Contact> {
    let body = answer.json()?;
    Contact::read(body.get("contact")?, ahead(answer))
}

/// The contacts of a list, each of them readable, in the order of their ids; and how many there are in all.
pub(super) fn contacts(answer: &Answer) -> Result<(Vec<Contact>, usize), Failure> {
    let odd = |what: &str| {
        Failure::new(after_sending(Intent::Read), format!("The list of contacts {what}"))
    };
    if !answer.is_success() {
        return Err(failure(answer, Intent::Read));
    }
    let body = answer.json().ok_or_else(|| odd("is not JSON"))?;
    let total = body.get("total").and_then(count).ok_or_else(|| odd("does not say how many"))?;
    let listed = body.get("contacts").and_then(values).ok_or_else(|| odd("has none in it"))?;
    let ahead = ahead(answer);
    let mut contacts = listed
        .map(|contact| Contact::read(contact, ahead))
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| odd("holds one that can't be read"))?;
    contacts.sort_by_key(|contact| contact.id);
    if contacts.is_sorted_by(|a, b| a.id < b.id) {
        Ok((contacts, total))
    } else {
        Err(odd("has one twice"))
    }
}

/// The kind of an error, which is a word of the program (`invalid_grant`). What looks otherwise may be a person's value.
fn shown_kind(kind: &str) -> &str {
    let is_word = kind.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    if is_word { shown_token(kind) } else { NOT_SHOWN }
}

/// A number, in either of the forms that it comes in (section 2b).
fn count(value: &Value) -> Option<usize> {
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    number.try_into().ok()
}

/// One page of a walk by id, and where the next one begins. It is the last one only if Mautic's own count says so too.
pub(super) fn page(answer: &Answer, after: i64) -> Result<(Vec<Contact>, Option<i64>), Failure> {
    let odd = |what: &str| Failure::new(FailureClass::OurFault, format!("The page {what}"));
    let (contacts, total) = contacts(answer)?;
    if contacts.first().is_some_and(|contact| contact.id <= after) {
        return Err(odd("ignores its filter"));
    }
    if contacts.len() < total.min(limits::MAUTIC_PAGE_ROWS) {
        return Err(odd("is shorter than it says"));
    }
    let last = contacts.last().map(|contact| contact.id);
    let is_full = contacts.len() >= limits::MAUTIC_PAGE_ROWS;
    let next = last.filter(|_| is_full || total > contacts.len());
    Ok((contacts, next))
}

/// The aliases of ours that Mautic's list of fields does not have.
pub(super) fn missing_fields(answer: &Answer) -> Result<Vec<&'static str>, Failure> {
    if !answer.is_success() {
        return Err(failure(answer, Intent::Read));
    }
    let odd = || Failure::new(FailureClass::Transient, "The list of fields can't be read");
    let body = answer.json().ok_or_else(odd)?;
    // Some versions have it under a key of its own.
    let fields = body.get("fields").unwrap_or(&body);
    let known: Vec<&str> = values(fields)
        .ok_or_else(odd)?
        .filter_map(|field| field.get("alias").and_then(Value::as_str))
        .collect();
    if known.is_empty() {
        return Err(odd());
    }
    Ok(wire::aliases().filter(|alias| !known.contains(alias)).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn class(status: u16, names_id: bool, intent: Intent) -> FailureClass {
        Problem { status, error: None, names_id }.class(intent)
    }

    /// The contract's table, section 8, line by line, and what it does not name.
    #[test]
    fn each_status_has_the_class_that_the_contract_gives_it() {
        use FailureClass as C;
        let table = [
            (400, C::Rejected, C::OurFault),
            (422, C::Rejected, C::OurFault),
            (401, C::Authentication, C::Authentication),
            (403, C::Configuration, C::Configuration),
            (404, C::Transient, C::Transient),
            (409, C::Transient, C::Transient),
            (429, C::Throttled, C::Throttled),
            (500, C::Transient, C::Transient),
            (503, C::Transient, C::Transient),
            (408, C::Ambiguous, C::Transient),
            (502, C::Ambiguous, C::Transient),
            (504, C::Ambiguous, C::Transient),
            (405, C::OurFault, C::OurFault),
            (415, C::OurFault, C::OurFault),
            (418, C::OurFault, C::OurFault),
        ];
        for (status, write, read) in table {
            assert_eq!(class(status, false, Intent::Write), write, "{status}");
            assert_eq!(class(status, false, Intent::Read), read, "{status}");
        }
        for status in [404, 410] {
            assert_eq!(class(status, true, Intent::Write), C::StaleMapping);
        }
    }

    #[test]
    fn a_failure_names_types_and_our_fields_and_no_values() {
        let body = json!({"errors": [{"code": 400, "message": "email: Thandi <t@example.org> is not valid",
            "details": {"email": ["t@example.org is not valid"], "thandi@example.org": []},
            "type": "canary t@example.org"}]});
        for shape in [
            body.clone(),
            json!({"errors": {"0": body["errors"][0]}}),
            json!({"error": body["errors"][0]}),
        ] {
            let problem = Problem { status: 400, error: first_error(&shape), names_id: false };
            let failure = problem.failure(Intent::Write);
            assert_eq!(failure.text, "400 (not shown) field email", "{shape}");
        }
        let raw = json!({"error": "invalid_grant", "error_description": "expired"});
        let problem = Problem { status: 401, error: first_error(&raw), names_id: false };
        assert_eq!(problem.failure(Intent::Read).text, "401");
    }

    #[test]
    fn a_count_is_a_number_or_a_text() {
        assert_eq!((count(&json!("12")), count(&json!(12))), (Some(12), Some(12)));
        for no in [json!(null), json!("many"), json!(-1), json!([1])] {
            assert_eq!(count(&no), None, "{no}");
        }
    }
}
