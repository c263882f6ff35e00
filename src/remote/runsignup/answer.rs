//! What an answer says (contract, section 2). Errors come inside HTTP 200, so every answer is looked at for one before
//! anything is decoded. Pure and total; no text holds a value that came from RunSignup.

use serde_json::Value;

use super::super::http::{Answer, Intent, after_sending};
use super::normal;
use crate::remote::{Failure, FailureClass};

/// `detailed_desc` is the id of the registration that is there already.
pub(super) const EXISTING_REGISTRATION: i64 = 517;
/// The address belongs to somebody with an account.
pub(super) const EMAIL_OF_AN_ACCOUNT: i64 = 122;
/// Safe Sync mode.
pub(super) const USER_NOT_EDITABLE: i64 = 121;
/// A phone that is not `xxx-xxx-xxxx`.
pub(super) const PHONE_INVALID: i64 = 120;
/// A state that has not two letters.
pub(super) const STATE_INVALID: i64 = 111;
/// An id that is not there.
pub(super) const INVALID_ID: i64 = 15;
/// A race that is not there.
pub(super) const RACE_NOT_FOUND: i64 = 201;
/// The end of the public address is somebody else's.
pub(super) const URL_IN_USE: i64 = 216;

/// An answer that is no success.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Refusal {
    /// RunSignup's code, if it gave one.
    pub(super) code: Option<i64>,
    /// The id in `detailed_desc`, if there is one.
    pub(super) existing: Option<i64>,
    /// How it is classified.
    pub(super) failure: Failure,
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self { code: None, existing: None, failure }
    }
}

/// The JSON of a success, or why it is none.
pub(super) fn checked(answer: &Answer, intent: Intent) -> Result<Value, Refusal> {
    let body = answer.json();
    let refused = |refusal: Refusal| Refusal {
        failure: refusal.failure.with_retry_after(answer.retry_after()),
        ..refusal
    };
    judged(answer.status, body, intent).map_err(refused)
}

/// The same, of a status and a body; `None` where the body is no JSON.
fn judged(status: u16, body: Option<Value>, intent: Intent) -> Result<Value, Refusal> {
    if let Some(error) = body.as_ref().and_then(error_of) {
        // A pause and a refusal of us are what the status says, whatever stands in the body.
        let by_status = matches!(status, 401 | 403 | 429).then(|| by_status(status, intent));
        return Err(by_status.unwrap_or_else(|| of_code(&error, intent)));
    }
    match (status, body) {
        (200..=299, Some(body)) if body.is_object() || body.is_array() => Ok(body),
        (200..=299, _) => Err(Failure::new(after_sending(intent), "The answer is not JSON").into()),
        (status, _) => Err(by_status(status, intent)),
    }
}

/// An error object: its code, and the id that it names.
struct ErrorObject {
    code: Option<i64>,
    existing: Option<i64>,
}

/// The error of an answer. Of a write of one row the row's own error says more than the one above it.
fn error_of(body: &Value) -> Option<ErrorObject> {
    let body = body.as_object()?;
    let error = body.get("error").filter(|error| !error.is_null());
    let rows = body.get("error_details").and_then(Value::as_array);
    if error.is_none() && (rows.is_none() || body.contains_key("participants")) {
        return None;
    }
    let of = |error: &Value| ErrorObject {
        code: normal::id(error.get("error_code")),
        existing: normal::id(error.get("detailed_desc")),
    };
    let mut of_rows = rows.into_iter().flatten().map(of).filter(|row| row.code.is_some());
    match (of_rows.next(), of_rows.next()) {
        (Some(row), None) => Some(row),
        _ => Some(error.map_or(ErrorObject { code: None, existing: None }, of)),
    }
}

/// RunSignup's own web server speaks by statuses.
fn by_status(status: u16, intent: Intent) -> Refusal {
    let class = match status {
        401 => FailureClass::Authentication,
        403 => FailureClass::Configuration,
        429 => FailureClass::Throttled,
        503 => FailureClass::Transient,
        // It may have come to the program, and been applied.
        200..=399 | 408 | 500..=599 => after_sending(intent),
        405 | 413..=415 => FailureClass::OurFault,
        _ => FailureClass::Transient,
    };
    Failure::new(class, format!("HTTP {status} without an answer of the API")).into()
}

fn of_code(error: &ErrorObject, intent: Intent) -> Refusal {
    let ErrorObject { code, existing } = *error;
    let Some(code) = code else {
        let text = "The answer is an error without a code";
        return Failure::new(after_sending(intent), text).into();
    };
    let text = match meaning(code) {
        Some(meaning) => format!("Error {code}: {meaning}"),
        None => format!("Error {code}"),
    };
    let class = match code {
        UNKNOWN_ERROR | DATABASE_ERROR => after_sending(intent),
        _ => class(code),
    };
    Refusal { code: Some(code), existing, failure: Failure::new(class, text) }
}

/// RunSignup's own troubles, which say nothing about whether a write was applied.
const UNKNOWN_ERROR: i64 = 4;
const DATABASE_ERROR: i64 = 5;

/// The contract's table of classes, section 2.
const fn class(code: i64) -> FailureClass {
    match code {
        UNKNOWN_ERROR | DATABASE_ERROR => FailureClass::Transient,
        14 => FailureClass::Throttled,
        6 => FailureClass::Authentication,
        7 | 13 | 17 | 102 | 103 => FailureClass::Configuration,
        201 => FailureClass::MissingParent,
        101 | 104..=123 | 202..=299 | 514 | 515 | EXISTING_REGISTRATION => FailureClass::Rejected,
        _ => FailureClass::OurFault,
    }
}

/// What a code means, and what a person can do where only a person can.
const fn meaning(code: i64) -> Option<&'static str> {
    Some(match code {
        1 => "unknown method",
        2 => "HTTP method not supported",
        3 => "invalid parameters",
        4 => "unknown error",
        5 => "database error",
        6 => "the API key was refused",
        7 => "permission denied: see what the key may do, and whether `push_races` is wanted",
        8 => "not implemented",
        9 => "invalid date",
        10 => "response format not supported",
        11 => "invalid submission",
        13 => "it must be done by a user",
        14 => "too many calls",
        15 => "invalid id",
        17 => "the caller registration was refused: see `caller_id` and `caller_secret`",
        101 => "user not found",
        102 => "e-mail or password invalid",
        103 => "the account is locked",
        104 | 105 => "first name missing or invalid",
        106 | 107 => "last name missing or invalid",
        108 => "e-mail invalid",
        109 => "street invalid",
        110 | 123 => "city invalid",
        111 => "state invalid",
        112 => "postal code invalid",
        113 => "country invalid",
        114 => "gender invalid",
        115 => "bib invalid",
        116 => "chip invalid",
        117 => "date of birth invalid",
        118 | 119 => "age invalid",
        120 => "phone invalid",
        121 => {
            "the person has an account and the race is in Safe Sync mode: correct the person at RunSignup, or here"
        }
        122 => {
            "the e-mail belongs to an account that is not registered: see who it is, then correct one of them"
        }
        201 => "race not found",
        202 => "the race can't be created",
        213 => "the race can't be edited",
        214 => "timezone invalid",
        215 | 216 => "the race's address is invalid or in use",
        217 => "at least one event is needed",
        224 => "a renewal is not allowed while the race has current events",
        514 | 515 => "the team was refused",
        517 => "the registration exists already",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn judge(status: u16, body: Value, intent: Intent) -> FailureClass {
        judged(status, Some(body), intent).unwrap_err().failure.class
    }

    /// The contract's table of classes, code by code.
    #[test]
    fn each_code_has_the_class_that_the_contract_gives_it() {
        use FailureClass as C;
        for code in [4, 5] {
            let body = json!({"error": {"error_code": code}});
            assert_eq!(judge(200, body.clone(), Intent::Read), C::Transient);
            assert_eq!(judge(200, body, Intent::Write), C::Ambiguous, "it may have been applied");
        }
        let table: [(&[i64], C); 6] = [
            (&[14], C::Throttled),
            (&[6], C::Authentication),
            (&[7, 13, 17, 102, 103], C::Configuration),
            (&[1, 2, 3, 8, 9, 10, 11, 12, 15], C::OurFault),
            (
                &[
                    101, 104, 105, 106, 107, 108, 109, 110, 111, 112, 113, 114, 115, 116, 117, 118,
                    119, 120, 121, 122, 123, 202, 213, 214, 215, 216, 217, 224, 514, 515, 517,
                ],
                C::Rejected,
            ),
            (&[201], C::MissingParent),
        ];
        for (codes, expected) in table {
            for code in codes {
                let body = json!({"error": {"error_code": code, "error_msg": "Thandi"}});
                for (status, intent) in
                    [(200, Intent::Read), (200, Intent::Write), (400, Intent::Write)]
                {
                    assert_eq!(judge(status, body.clone(), intent), expected, "{code} in {status}");
                }
            }
        }
    }

    #[test]
    fn a_status_without_an_error_object_is_the_web_servers() {
        use FailureClass as C;
        let table = [
            (500, C::Transient, C::Ambiguous),
            (502, C::Transient, C::Ambiguous),
            (503, C::Transient, C::Transient),
            (504, C::Transient, C::Ambiguous),
            (302, C::Transient, C::Ambiguous),
            (404, C::Transient, C::Transient),
            (429, C::Throttled, C::Throttled),
            (401, C::Authentication, C::Authentication),
            (403, C::Configuration, C::Configuration),
            (413, C::OurFault, C::OurFault),
        ];
        for (status, read, write) in table {
            for body in [None, Some(json!({}))] {
                let class =
                    |intent| judged(status, body.clone(), intent).unwrap_err().failure.class;
                assert_eq!((class(Intent::Read), class(Intent::Write)), (read, write), "{status}");
            }
        }
        let page = judged(200, None, Intent::Write).unwrap_err().failure.class;
        assert_eq!(page, C::Ambiguous, "a page for people proves nothing about a write");
        assert_eq!(judge(429, json!({"error": {"error_code": 14}}), Intent::Write), C::Throttled);
    }

    /// Contract, section 2, "Per-row errors".
    #[test]
    fn the_error_of_the_one_row_says_more_than_the_one_above_it() {
        let body = json!({"error": {"error_code": 11}, "error_details": [
            {"error_code": 517, "error_msg": "Existing", "detailed_desc": "2645624"}]});
        let refusal = judged(200, Some(body), Intent::Write).unwrap_err();
        assert_eq!((refusal.code, refusal.existing), (Some(517), Some(2_645_624)));
        let only_rows = json!({"error_details": [{"error_code": 120}]});
        assert_eq!(judged(200, Some(only_rows), Intent::Write).unwrap_err().code, Some(120));
        let two = json!({"error": {"error_code": 11}, "error_details": [{"error_code": 120}, {"error_code": 111}]});
        assert_eq!(judged(200, Some(two), Intent::Write).unwrap_err().code, Some(11));
    }

    #[test]
    fn texts_hold_codes_and_never_what_the_remote_wrote() {
        let body = json!({"error": {"error_code": 108, "error_msg": "thandi@example.org"},
                          "error_details": [{"error_code": 108, "detailed_desc": "thandi@example.org"}]});
        let failure = judged(200, Some(body), Intent::Write).unwrap_err().failure;
        assert_eq!(failure.text, "Error 108: e-mail invalid");
    }

    proptest! {
        /// Total over status and body.
        #[test]
        fn every_answer_is_judged(status in 100_u16..600, code in any::<i64>(), shape in 0_u8..8) {
            let body = match shape {
                0 => None,
                1 => Some(json!({"error": {"error_code": code}})),
                2 => Some(json!({"error": "invalid_client"})),
                3 => Some(json!({"error_details": [{"error_code": code}, {}]})),
                4 => Some(json!([{"event": {"event_id": code}}])),
                5 => Some(json!(code)),
                6 => Some(json!({"error": {"error_code": code.to_string()}})),
                _ => Some(json!({"participants": []})),
            };
            for intent in [Intent::Read, Intent::Write] {
                let judged = judged(status, body.clone(), intent);
                prop_assert_eq!(judged.is_ok(), (200..300).contains(&status) && matches!(shape, 4 | 7));
            }
        }
    }
}
