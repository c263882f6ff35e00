//! What TagServer's answers mean (contract, "Errors"): the class of a failure, and the record that a success names.
//!
//! Pure. Texts for operators hold the status, the problem's code and the names of fields; never a value.

use serde_json::{Map, Value};

use super::super::failure::shown_token;
use super::super::http::{Answer, Intent, after_sending};
use super::wire::{self, Resource};
use crate::entity::EntityRef;
use crate::limits;
use crate::remote::{Failure, FailureClass, Page, RemoteRecord};

/// A problem document (RFC 7807), as far as it is looked at.
pub(super) struct Problem<'a> {
    status: u16,
    body: Option<&'a Map<String, Value>>,
    /// The request named its record by an id that we knew.
    names_id: bool,
}

impl<'a> Problem<'a> {
    /// The problem of a row in a bulk answer.
    pub(super) fn of_row(status: u16, row: &'a Map<String, Value>, names_id: bool) -> Self {
        Self { status, body: row.get("problem").and_then(Value::as_object), names_id }
    }

    fn text(&self, key: &str) -> &str {
        self.body.and_then(|body| body.get(key)?.as_str()).unwrap_or("")
    }

    /// Stock JHipster does not map a unique or foreign-key violation to a status of its own; in a bulk row, whose
    /// statuses are 4xx, it is a conflict.
    pub(super) fn is_data_access_failure(&self) -> bool {
        matches!(self.status, 409 | 500)
            && ["title", "detail", "message"]
                .iter()
                .any(|key| self.text(key).contains("Failure during data access"))
    }

    /// A create may have been refused because our record is there already. The contract has words for it in single
    /// calls only, so every refusal that blames neither a field nor a relation is worth a look.
    pub(super) fn may_be_there_already(&self) -> bool {
        let blames_fields = self.body.is_some_and(|body| body.contains_key("fieldErrors"));
        matches!(self.status, 400 | 409 | 422 | 500)
            && !blames_fields
            && !self.refuses_the_data()
            && !self.names_missing_relation()
    }

    /// The record that the request named by its id is not there. A 404 of anything else says that the base URL is
    /// wrong, or that the application behind a proxy is away.
    fn is_unknown_id(&self) -> bool {
        (self.status == 404 && self.names_id) || self.text("message") == "error.idnotfound"
    }

    /// The entity's own data is refused, whatever words come with it.
    fn refuses_the_data(&self) -> bool {
        const CODES: [&str; 4] =
            ["error.validation", "error.idexists", "error.idnull", "error.idinvalid"];
        self.status == 400 && CODES.contains(&self.text("message"))
    }

    /// A relation that the body names does not exist. The fields of the contract's relations are fixed names.
    fn names_missing_relation(&self) -> bool {
        const RELATIONS: [&str; 7] =
            ["organiser", "event", "race", "person", "startGroup", "eventParticipant", "relation"];
        let text =
            format!("{} {} {}", self.text("message"), self.text("title"), self.text("detail"));
        let text = text.to_lowercase();
        let says_missing =
            ["not exist", "notfound", "not found", "unable to find", "unknown", "missing"]
                .iter()
                .any(|word| text.contains(word));
        (self.status == 400 || self.status == 500)
            && says_missing
            && RELATIONS.iter().any(|relation| text.contains(&relation.to_lowercase()))
    }

    /// The contract's table "Errors".
    pub(super) fn class(&self, intent: Intent) -> FailureClass {
        match self.status {
            401 => FailureClass::Authentication,
            403 => FailureClass::Configuration,
            408 | 502 | 503 | 504 => match intent {
                Intent::Read => FailureClass::Transient,
                // A gateway that gave up may have passed the request on.
                Intent::Write if self.status != 503 => after_sending(intent),
                Intent::Write => FailureClass::Transient,
            },
            409 => FailureClass::Transient,
            429 => FailureClass::Throttled,
            405 | 413 | 415 => FailureClass::OurFault,
            _ if self.is_unknown_id() => FailureClass::StaleMapping,
            404 => FailureClass::Transient,
            _ if self.refuses_the_data() => FailureClass::Rejected,
            _ if self.names_missing_relation() => FailureClass::MissingParent,
            400 | 422 => FailureClass::Rejected,
            500..=599 => FailureClass::Transient,
            _ => FailureClass::OurFault,
        }
    }

    /// The failure, with a text for operators.
    pub(super) fn failure(&self, intent: Intent) -> Failure {
        let mut text = self.status.to_string();
        let code = self.text("message");
        if !code.is_empty() {
            text.push(' ');
            text.push_str(shown_code(code));
        } else if self.is_data_access_failure() {
            text.push_str(" Failure during data access");
        }
        let fields = self.body.and_then(|body| body.get("fieldErrors")?.as_array());
        for error in fields.into_iter().flatten().take(10) {
            let part = |key| error.get(key).and_then(Value::as_str).unwrap_or("?");
            let field = Some(part("field")).filter(|field| wire::is_field(field));
            let constraint = Some(part("message")).filter(|word| CONSTRAINTS.contains(word));
            let (field, constraint) = (field.unwrap_or(NOT_SHOWN), constraint.unwrap_or(NOT_SHOWN));
            text.push_str(&format!(" {field}={constraint}"));
        }
        Failure::new(self.class(intent), text)
    }
}

/// Whether the record that a request named by its id is not there.
pub(super) fn is_not_found(answer: &Answer) -> bool {
    answer.status == 404 && !is_page(answer)
}

/// A text for people, as a captive portal or a proxy gives it: it proves nothing about the record.
fn is_page(answer: &Answer) -> bool {
    !answer.is_empty() && answer.json().is_none()
}

/// The failure that an answer with an error status is.
pub(super) fn failure(answer: &Answer, intent: Intent) -> Failure {
    failure_of(answer, intent, false)
}

/// The same, for a request that named its record by an id that we knew.
pub(super) fn failure_of_known(answer: &Answer, intent: Intent) -> Failure {
    failure_of(answer, intent, true)
}

fn failure_of(answer: &Answer, intent: Intent, names_id: bool) -> Failure {
    if answer.is_success() || (300..400).contains(&answer.status) {
        let text = format!("{} where the contract has another status", answer.status);
        return Failure::new(after_sending(intent), text);
    }
    if matches!(answer.status, 400 | 404 | 422) && is_page(answer) {
        let text = format!("{} with a page for people", answer.status);
        return Failure::new(FailureClass::Transient, text);
    }
    let body = answer.json();
    let body = body.as_ref().and_then(Value::as_object);
    let problem = Problem { status: answer.status, body, names_id };
    problem.failure(intent).with_retry_after(answer.retry_after())
}

/// Whether the answer is the "Failure during data access" of a violated constraint.
pub(super) fn is_data_access_failure(answer: &Answer) -> bool {
    let body = answer.json();
    let body = body.as_ref().and_then(Value::as_object);
    Problem { status: answer.status, body, names_id: false }.is_data_access_failure()
}

/// Whether a create may have been refused because our record is there already.
pub(super) fn may_be_there_already(answer: &Answer) -> bool {
    let body = answer.json();
    let body = body.as_ref().and_then(Value::as_object);
    Problem { status: answer.status, body, names_id: false }.may_be_there_already()
}

/// What stands for a text that may be personal.
const NOT_SHOWN: &str = "(not shown)";

/// The words in which Bean Validation says what is wrong with a field. Any other may be the field's value.
const CONSTRAINTS: [&str; 17] = [
    "NotNull",
    "NotBlank",
    "NotEmpty",
    "Size",
    "Pattern",
    "Min",
    "Max",
    "DecimalMin",
    "DecimalMax",
    "Digits",
    "Positive",
    "PositiveOrZero",
    "Past",
    "PastOrPresent",
    "Email",
    "UniqueElements",
    "typeMismatch",
];

/// The code of a problem, which is a key of the server's translations.
fn shown_code(code: &str) -> &str {
    if code.starts_with("error.") { shown_token(code) } else { NOT_SHOWN }
}

/// The JSON of a read's answer. What is not JSON came from something in between, a captive portal or a proxy.
pub(super) fn json_of_read(answer: &Answer) -> Result<Value, Failure> {
    let not_json = || Failure::new(after_sending(Intent::Read), "The answer is not JSON");
    answer.json().ok_or_else(not_json)
}

/// The record that a row shows; one that staff made carries no key. `None` when it has not the contract's form.
pub(super) fn record(resource: &Resource, row: &Value) -> Option<RemoteRecord> {
    let row = row.as_object()?;
    let id = row.get("id")?.as_i64()?;
    let held = wire::from_answer(resource, row)?;
    let external_id = row.get("externalId")?.as_str();
    let entity = external_id
        .and_then(|external_id| external_id.parse().ok())
        .map(|id| EntityRef::new(resource.entity_type, id));
    Some(RemoteRecord { remote_id: id.to_string(), entity, wire: held })
}

/// What the server says it is; `Ok(None)` where it does not say so. Where it can't be told now, an error.
pub(super) fn instance(answer: &Answer) -> Result<Option<String>, Failure> {
    if answer.is_success() {
        let info = json_of_read(answer)?;
        if !info.is_object() {
            let text = "The server can't say who it is: its answer is not what the contract has";
            return Err(Failure::new(FailureClass::Transient, text));
        }
        let instance = info.get("build").and_then(|build| build.get("instance"));
        return Ok(instance.and_then(Value::as_str).map(str::to_owned));
    }
    if matches!(answer.status, 401 | 403 | 404 | 405) && !is_page(answer) {
        return Ok(None);
    }
    let failure = failure(answer, Intent::Read);
    let class = match failure.class {
        FailureClass::Throttled => FailureClass::Throttled,
        FailureClass::Transient
        | FailureClass::Ambiguous
        | FailureClass::Postponed
        | FailureClass::Authentication
        | FailureClass::Configuration
        | FailureClass::Rejected
        | FailureClass::StaleMapping
        | FailureClass::MissingParent
        | FailureClass::OurFault => FailureClass::Transient,
    };
    let text = format!("The server can't say who it is: {}", failure.text);
    Err(Failure::new(class, text).with_retry_after(failure.retry_after))
}

/// The rows of a list, every one of them readable; anything else is no answer.
pub(super) fn rows(resource: &Resource, answer: &Answer) -> Result<Vec<RemoteRecord>, Failure> {
    let not_a_list =
        || Failure::new(FailureClass::OurFault, "The list is not what the contract has");
    let json = json_of_read(answer)?;
    let rows = json.as_array().ok_or_else(not_a_list)?;
    rows.iter().map(|row| record(resource, row).ok_or_else(not_a_list)).collect()
}

/// One page of a walk by id. It is the last one only if the server's own count says so too.
pub(super) fn page(resource: &Resource, answer: &Answer, from: &str) -> Result<Page, Failure> {
    let odd = |what: &str| Failure::new(FailureClass::OurFault, format!("The list {what}"));
    let records = rows(resource, answer)?;
    let total: usize = answer
        .header("X-Total-Count")
        .and_then(|count| count.parse().ok())
        .ok_or_else(|| odd("has no X-Total-Count"))?;
    let id = |record: &RemoteRecord| record.remote_id.parse::<i64>().unwrap_or(0);
    let from = from.parse::<i64>().unwrap_or(0);
    let ascends = records.iter().map(id).try_fold(from, |last, id| (id > last).then_some(id));
    if ascends.is_none() {
        return Err(odd("ignores its filter or its order"));
    }
    if records.len() < total.min(limits::TAGSERVER_PAGE_ROWS) {
        return Err(odd("is shorter than it says"));
    }
    if records.len() > total {
        return Err(odd("is longer than it says"));
    }
    let next = (total > records.len())
        .then(|| records.last().map(|record| record.remote_id.clone()))
        .flatten();
    Ok(Page { records, next })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::entity::EntityType;

    fn class(status: u16, body: Value, intent: Intent) -> FailureClass {
        Problem { status, body: body.as_object(), names_id: true }.class(intent)
    }

    /// The contract's table, line by line.
    #[test]
    fn each_answer_has_the_class_that_the_contract_gives_it() {
        use FailureClass as C;
        let message = |m: &str| json!({ "message": m });
        let table = [
            (408, Value::Null, C::Ambiguous, C::Transient),
            (502, Value::Null, C::Ambiguous, C::Transient),
            (503, Value::Null, C::Transient, C::Transient),
            (504, Value::Null, C::Ambiguous, C::Transient),
            (429, Value::Null, C::Throttled, C::Throttled),
            (401, Value::Null, C::Authentication, C::Authentication),
            (403, Value::Null, C::Configuration, C::Configuration),
            (400, message("error.validation"), C::Rejected, C::Rejected),
            (400, message("error.idexists"), C::Rejected, C::Rejected),
            (400, message("error.idnull"), C::Rejected, C::Rejected),
            (400, message("error.idinvalid"), C::Rejected, C::Rejected),
            (400, message("error.idnotfound"), C::StaleMapping, C::StaleMapping),
            (404, Value::Null, C::StaleMapping, C::StaleMapping),
            (
                400,
                json!({"detail": "person 17 does not exist"}),
                C::MissingParent,
                C::MissingParent,
            ),
            (500, json!({"title": "startGroup not found"}), C::MissingParent, C::MissingParent),
            (409, message("error.concurrencyFailure"), C::Transient, C::Transient),
            (500, json!({"title": "Failure during data access"}), C::Transient, C::Transient),
            (500, Value::Null, C::Transient, C::Transient),
            (405, Value::Null, C::OurFault, C::OurFault),
            (413, Value::Null, C::OurFault, C::OurFault),
            (415, Value::Null, C::OurFault, C::OurFault),
        ];
        for (status, body, write, read) in table {
            assert_eq!(class(status, body.clone(), Intent::Write), write, "{status} {body}");
            assert_eq!(class(status, body.clone(), Intent::Read), read, "{status} {body}");
        }
    }

    #[test]
    fn a_failure_names_codes_and_fields_but_no_values() {
        let body = json!({"message": "error.validation", "detail": "Thandi <t@example.org>", "fieldErrors": [
            {"objectName": "person", "field": "firstName", "message": "NotNull"},
            {"field": "lastName", "message": "must not be Thandi"}]});
        let problem = Problem { status: 400, body: body.as_object(), names_id: true };
        let failure = problem.failure(Intent::Write);
        assert_eq!(failure.text, "400 error.validation firstName=NotNull lastName=(not shown)");
    }

    #[test]
    fn a_row_without_id_or_with_another_form_is_no_record() {
        let resource = wire::resource(EntityType::Organisation).unwrap();
        let row = json!({"id": 7, "externalId": "3", "name": "Club"});
        let record_of = |row: Value| record(resource, &row);
        let found = record_of(row.clone()).unwrap();
        assert_eq!((found.remote_id.as_str(), found.entity.unwrap().id), ("7", 3));
        for key in ["id", "externalId"] {
            let mut odd = row.clone();
            odd.as_object_mut().unwrap().remove(key);
            assert_eq!(record_of(odd), None, "{key}");
        }
        for key in [json!("not-ours"), Value::Null] {
            let mut foreign = row.clone();
            foreign["externalId"] = key;
            assert_eq!(record_of(foreign).unwrap().entity, None);
        }
    }
}
