//! The contract's table of errors, line by line.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn problem(status: u16, body: &Value, names: Names) -> Problem {
    let body = body.as_object().cloned();
    Problem { status, is_page: false, body, names }
}

/// The contract's table, line by line: as a write, and as a read.
#[test]
fn each_answer_has_the_class_that_the_contract_gives_it() {
    use FailureClass as C;
    let error = |error: &str| json!({ "error": error });
    let invalid = json!({"message": "Email já está em uso", "attributes": ["email"]});
    let table = [
        (
            401,
            json!({"errors": ["You need to sign in or sign up before continuing."]}),
            C::Configuration,
            C::Configuration,
        ),
        (401, error("Invalid Access Token"), C::Authentication, C::Authentication),
        (
            401,
            error("You are not authorized to do this action"),
            C::Configuration,
            C::Configuration,
        ),
        (
            401,
            error("You are not authorized to access this account"),
            C::Configuration,
            C::Configuration,
        ),
        (401, error("Account is suspended"), C::Configuration, C::Configuration),
        (401, Value::Null, C::Authentication, C::Authentication),
        (403, Value::Null, C::Configuration, C::Configuration),
        (404, error("Resource could not be found"), C::StaleMapping, C::StaleMapping),
        (404, json!({"status": 404, "error": "Not Found"}), C::Transient, C::Transient),
        (404, Value::Null, C::Transient, C::Transient),
        (422, invalid, C::Rejected, C::Rejected),
        (422, error("Invalid attribute key"), C::OurFault, C::OurFault),
        (429, Value::Null, C::Throttled, C::Throttled),
        (500, json!({"status": 500, "error": "Internal Server Error"}), C::Ambiguous, C::Transient),
        (408, Value::Null, C::Ambiguous, C::Transient),
        (502, Value::Null, C::Ambiguous, C::Transient),
        (503, Value::Null, C::Transient, C::Transient),
        (504, Value::Null, C::Ambiguous, C::Transient),
        (301, Value::Null, C::Ambiguous, C::Transient),
        (400, json!({}), C::Rejected, C::Rejected),
        (405, Value::Null, C::OurFault, C::OurFault),
        (413, Value::Null, C::OurFault, C::OurFault),
        (415, Value::Null, C::OurFault, C::OurFault),
    ];
    for (status, body, write, read) in table {
        let problem = problem(status, &body, Names::Contact);
        assert_eq!(problem.class(Intent::Write), write, "{status} {body}");
        assert_eq!(problem.class(Intent::Read), read, "{status} {body}");
    }
    let gone = error("Resource could not be found");
    assert_eq!(problem(404, &gone, Names::Account).class(Intent::Write), C::Configuration);
}

#[test]
fn a_failure_names_fields_but_none_of_the_servers_words() {
    let body = json!({"message": "Email Thandi <t@example.org> has already been taken",
                      "error": "", "attributes": ["email", "Thandi", "phone_number"]});
    let failure = problem(422, &body, Names::Contact).failure(Intent::Write);
    assert_eq!(failure.text, "422 email phone_number");
    for key in ["error", "message"] {
        for status in [400, 401, 404, 422, 500] {
            let failure =
                problem(status, &json!({key: "Thandi"}), Names::Account).failure(Intent::Write);
            assert!(!failure.text.contains("Thandi"), "{}", failure.text);
        }
    }
}

#[test]
fn the_pause_ends_with_the_minute_of_the_servers_clock() {
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    assert_eq!(pause(at("2026-11-27T04:05:00Z"), 0.0), Duration::from_secs(60));
    assert_eq!(pause(at("2026-11-27T04:05:59Z"), 0.0), Duration::from_secs(1));
    assert_eq!(pause(at("2026-11-27T04:05:59Z"), 1.0), Duration::from_secs(6));
    assert_eq!(pause(at("1969-12-31T23:59:30Z"), 0.0), Duration::from_secs(30));
}

#[test]
fn a_list_is_read_whole_or_not_at_all() {
    let row = json!({"id": 7, "name": "A", "created_at": 1});
    let list =
        |payload: Value, meta: Value| contacts_of(&json!({"payload": payload, "meta": meta}));
    assert_eq!(list(json!([row]), json!({"count": 31, "current_page": "2"})).unwrap().count, 31);
    assert!(list(json!([row]), json!({"count": 1, "has_more": true})).unwrap().has_more);
    for (payload, meta) in [
        (json!([row, {"name": "B"}]), json!({"count": 2})),
        (json!([row, "B"]), json!({"count": 2})),
        (json!([{"id": "7", "name": "A"}]), json!({"count": 1})),
        (json!({"contact": row}), json!({"count": 1})),
        (json!([row]), json!({})),
        (json!([row]), json!({"count": -1})),
        (json!([row]), json!({"count": "1"})),
    ] {
        assert_eq!(list(payload.clone(), meta.clone()), None, "{payload} {meta}");
    }
    assert_eq!(contacts_of(&json!([])), None);
}

proptest! {
    /// Total over status and body; what is refused is never a success.
    #[test]
    fn every_status_with_any_body_has_a_class(
        status in 100_u16..1000, error in any::<String>(), is_page in any::<bool>(), has_status in any::<bool>(),
    ) {
        let mut body = json!({"error": error, "message": error, "attributes": [error, 7, "email"], "errors": [error]});
        if has_status {
            body["status"] = json!(status);
        }
        for body in [body.as_object().cloned(), None] {
            for names in [Names::Contact, Names::Account] {
                let problem = Problem { status, body: body.clone(), is_page: is_page && body.is_none(), names };
                for intent in [Intent::Read, Intent::Write] {
                    let failure = problem.failure(intent);
                    prop_assert!(failure.text.starts_with(&status.to_string()));
                    prop_assert!(intent == Intent::Write || failure.class != FailureClass::Ambiguous);
                }
            }
        }
    }
}
