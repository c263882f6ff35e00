//! What `MailChimp`'s answers mean (contract, section 9). Pure.
//!
//! A refusal is told apart by status and title, the general "Invalid Resource" by the words of its detail. Texts for
//! operators hold the status, a title that the contract knows and the names of fields; never a value.

use serde_json::{Map, Value};

use super::super::http::{Answer, Intent, after_sending};
use super::member::{EMS_ID, EMS_OUT, EMS_TAGS, FIRST_NAME, LAST_NAME, Member};
use crate::remote::{Failure, FailureClass};

/// The titles of the contract. Any other may be somebody's data.
const TITLES: [&str; 10] = [
    "Invalid Resource",
    "Member Exists",
    "Member In Compliance State",
    "Forgotten Email Not Subscribed",
    "JSONParseException",
    "BadRequest",
    "API Key Invalid",
    "Forbidden",
    "Resource Not Found",
    "TooManyRequests",
];

/// The fields that we send.
const FIELDS: [&str; 10] = [
    FIRST_NAME,
    LAST_NAME,
    EMS_ID,
    EMS_OUT,
    EMS_TAGS,
    "email_address",
    "status",
    "status_if_new",
    "language",
    "tags",
];

/// What stands for a text that may be personal.
const NOT_SHOWN: &str = "(not shown)";

/// A problem document, as far as it is looked at.
struct Problem<'a> {
    status: u16,
    /// `None` where the answer is no JSON: it came from something in between, or is a throttle.
    body: Option<&'a Map<String, Value>>,
}

impl Problem<'_> {
    fn text(&self, key: &str) -> &str {
        self.body.and_then(|body| body.get(key)?.as_str()).unwrap_or("")
    }

    fn is_titled(&self, title: &str) -> bool {
        self.status == 400 && self.text("title") == title
    }

    /// The contract's table.
    fn class(&self, intent: Intent) -> FailureClass {
        let is_page = self.body.is_none();
        match self.status {
            401 => FailureClass::Authentication,
            403 | 429 if is_page => FailureClass::Throttled,
            403 => FailureClass::Configuration,
            429 => FailureClass::Throttled,
            408 | 502 | 504 => after_sending(intent),
            400 | 404 | 405 | 422 if is_page => FailureClass::Transient,
            400 => self.class_of_400(),
            404 => FailureClass::Configuration,
            405 if self.cannot_be_removed() => FailureClass::Rejected,
            409 | 500..=599 => FailureClass::Transient,
            _ => FailureClass::OurFault,
        }
    }

    fn class_of_400(&self) -> FailureClass {
        match self.text("title") {
            "JSONParseException" | "BadRequest" => FailureClass::OurFault,
            // Somebody made the member since we looked.
            "Member Exists" => FailureClass::Transient,
            _ if self.text("detail").contains("has signed up to a lot of lists") => {
                FailureClass::Postponed
            }
            _ => FailureClass::Rejected,
        }
    }

    fn cannot_be_removed(&self) -> bool {
        self.text("detail").contains("cannot be removed")
    }

    fn failure(&self, intent: Intent) -> Failure {
        let mut text = self.status.to_string();
        let title = self.text("title");
        if self.body.is_none() {
            text.push_str(" without JSON");
        } else if !title.is_empty() {
            let title = Some(title).filter(|title| TITLES.contains(title));
            text.push_str(&format!(" {}", title.unwrap_or(NOT_SHOWN)));
        }
        if let Some(reason) = self.reason() {
            text.push_str(&format!(": {reason}"));
        }
        let errors = self.body.and_then(|body| body.get("errors")?.as_array());
        for error in errors.into_iter().flatten().take(10) {
            let field = error.get("field").and_then(Value::as_str).unwrap_or("?");
            let field = field.strip_prefix("merge_fields.").unwrap_or(field);
            let field = Some(field).filter(|field| FIELDS.contains(field)).unwrap_or(NOT_SHOWN);
            text.push_str(&format!(" {field}"));
        }
        Failure::new(self.class(intent), text)
    }

    /// What the detail says, in words that hold no address.
    fn reason(&self) -> Option<&'static str> {
        let detail = self.text("detail");
        [
            ("Your merge fields were invalid", "the list refuses a merge field"),
            ("provide a valid email address", "the address is not valid"),
            ("looks fake or invalid", "the address looks fake or invalid"),
            ("has signed up to a lot of lists", "the address signed up to a lot of lists lately"),
            ("cannot be removed", "only MailChimp's support can remove this member"),
        ]
        .into_iter()
        .find_map(|(words, reason)| detail.contains(words).then_some(reason))
    }
}

fn with_problem<T>(answer: &Answer, look: impl FnOnce(&Problem<'_>) -> T) -> T {
    let body = answer.json();
    look(&Problem { status: answer.status, body: body.as_ref().and_then(Value::as_object) })
}

/// The failure that an answer with an error status is.
pub(super) fn failure(answer: &Answer, intent: Intent) -> Failure {
    if answer.is_success() || (300..400).contains(&answer.status) {
        let text = format!("{} where the contract has another answer", answer.status);
        return Failure::new(after_sending(intent), text);
    }
    with_problem(answer, |problem| problem.failure(intent)).with_retry_after(answer.retry_after())
}

/// Whether what the path names is not there. A page for people proves nothing.
pub(super) fn is_not_found(answer: &Answer) -> bool {
    answer.status == 404 && with_problem(answer, |problem| problem.body.is_some())
}

/// Whether the remote says that there is such a member already.
pub(super) fn is_there_already(answer: &Answer) -> bool {
    with_problem(answer, |problem| problem.is_titled("Member Exists"))
}

/// Whether the remote refuses because the person left, or the address bounced.
pub(super) fn is_compliance(answer: &Answer) -> bool {
    with_problem(answer, |problem| problem.is_titled("Member In Compliance State"))
}

/// The remote wants fewer requests, though it has no header that says so.
pub(super) fn is_throttled(answer: &Answer) -> bool {
    !answer.is_success()
        && with_problem(answer, |problem| problem.class(Intent::Read) == FailureClass::Throttled)
}

/// The JSON of a success; anything else is no answer.
pub(super) fn json(answer: &Answer, intent: Intent) -> Result<Value, Failure> {
    if !answer.is_success() {
        return Err(failure(answer, intent));
    }
    answer.json().ok_or_else(|| unreadable(intent))
}

/// The member that a success shows, which must be of that list.
pub(super) fn member(answer: &Answer, intent: Intent, list_id: &str) -> Result<Member, Failure> {
    let row = json(answer, intent)?;
    let of_list = row.get("list_id").and_then(Value::as_str);
    let member = Member::read(&row).filter(|_| of_list == Some(list_id));
    member.ok_or_else(|| unreadable(intent))
}

/// A success that can't be read, or names something else.
pub(super) fn unreadable(intent: Intent) -> Failure {
    Failure::new(after_sending(intent), "The answer is not what the contract has")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn class(status: u16, body: &Value, intent: Intent) -> FailureClass {
        Problem { status, body: body.as_object() }.class(intent)
    }

    /// The contract's table, line by line.
    #[test]
    fn each_answer_has_the_class_that_the_contract_gives_it() {
        use FailureClass as C;
        let titled = |title: &str| json!({ "title": title });
        let invalid = |detail: &str| json!({"title": "Invalid Resource", "detail": detail});
        let table = [
            (400, invalid("Your merge fields were invalid."), C::Rejected, C::Rejected),
            (400, invalid("Please provide a valid email address."), C::Rejected, C::Rejected),
            (400, invalid("a@b.test looks fake or invalid"), C::Rejected, C::Rejected),
            (
                400,
                invalid(
                    "a@b.c has signed up to a lot of lists very recently; we're not allowing more signups for now",
                ),
                C::Postponed,
                C::Postponed,
            ),
            (400, titled("Member Exists"), C::Transient, C::Transient),
            (400, titled("Member In Compliance State"), C::Rejected, C::Rejected),
            (400, titled("Forgotten Email Not Subscribed"), C::Rejected, C::Rejected),
            (400, titled("JSONParseException"), C::OurFault, C::OurFault),
            (400, titled("BadRequest"), C::OurFault, C::OurFault),
            (400, Value::Null, C::Transient, C::Transient),
            (401, titled("API Key Invalid"), C::Authentication, C::Authentication),
            (401, Value::Null, C::Authentication, C::Authentication),
            (403, titled("Forbidden"), C::Configuration, C::Configuration),
            (403, Value::Null, C::Throttled, C::Throttled),
            (404, titled("Resource Not Found"), C::Configuration, C::Configuration),
            (404, Value::Null, C::Transient, C::Transient),
            (
                405,
                invalid("This list member cannot be removed. Please contact support."),
                C::Rejected,
                C::Rejected,
            ),
            (405, titled("Method Not Allowed"), C::OurFault, C::OurFault),
            (408, Value::Null, C::Ambiguous, C::Transient),
            (409, titled("Conflict"), C::Transient, C::Transient),
            (414, titled("Too Long"), C::OurFault, C::OurFault),
            (422, titled("Unprocessable"), C::OurFault, C::OurFault),
            (426, titled("Upgrade Required"), C::OurFault, C::OurFault),
            (429, titled("TooManyRequests"), C::Throttled, C::Throttled),
            (429, Value::Null, C::Throttled, C::Throttled),
            (500, Value::Null, C::Transient, C::Transient),
            (502, Value::Null, C::Ambiguous, C::Transient),
            (503, Value::Null, C::Transient, C::Transient),
            (504, Value::Null, C::Ambiguous, C::Transient),
        ];
        for (status, body, write, read) in table {
            assert_eq!(class(status, &body, Intent::Write), write, "{status} {body}");
            assert_eq!(class(status, &body, Intent::Read), read, "{status} {body}");
        }
    }

    #[test]
    fn a_failure_names_titles_and_fields_but_no_values() {
        let body = json!({"title": "Invalid Resource", "detail": "thandi@club.org looks fake or invalid",
            "errors": [{"field": "FNAME", "message": "Thandi"}, {"field": "thandi@club.org", "message": ""}]});
        let failure = Problem { status: 400, body: body.as_object() }.failure(Intent::Write);
        assert_eq!(
            failure.text,
            "400 Invalid Resource: the address looks fake or invalid FNAME (not shown)"
        );
        let body = json!({"title": "Thandi Nkosi"});
        let failure = Problem { status: 400, body: body.as_object() }.failure(Intent::Write);
        assert_eq!(failure.text, "400 (not shown)");
    }

    proptest! {
        #[test]
        fn classifying_is_total(status in 0_u16..1_000, title in any::<String>(), detail in any::<String>()) {
            for body in [Value::Null, json!({"title": title, "detail": detail, "errors": [title, {"field": detail}]}),
                         json!({"title": 1, "detail": [], "errors": {}})] {
                for intent in [Intent::Read, Intent::Write] {
                    let failure = Problem { status, body: body.as_object() }.failure(intent);
                    // Only a write may be ambiguous.
                    prop_assert!(intent == Intent::Write || failure.class != FailureClass::Ambiguous);
                }
            }
        }
    }
}
