//! Nothing personal leaves by the way: errors carry codes and names of fields (obligation 8).

use std::collections::BTreeSet;

use ems_sync::remote::{Fields, PushResult, Remote as _};
use ems_sync_remotes::{Fault, Garbage};
use serde_json::{Value, json};

use super::bench::{Bench, answers};
use super::kit::{Content, Kit};

/// Every text of the value that can be told from a code or a word of the program.
fn texts(value: &Value, found: &mut BTreeSet<String>) {
    let is_word = |text: &str| text.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    match value {
        Value::String(text) if text.chars().count() >= 4 && !is_word(text) => {
            found.insert(text.clone());
        }
        Value::Array(values) => values.iter().for_each(|value| texts(value, found)),
        Value::Object(fields) => fields.values().for_each(|value| texts(value, found)),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Errors that quote the text in every place where a remote may do so.
fn echoes(text: &str) -> Vec<Value> {
    let row = json!({"field": text, "message": text, "code": text, "objectName": text});
    vec![
        json!(format!("{text} is not valid")),
        json!([text]),
        json!({"title": text, "detail": text, "message": text, "error": text, "type": text,
               "instance": text, "attributes": [text], "errors": [row.clone()]}),
        json!({"message": "error.validation", "fieldErrors": [row.clone()]}),
        json!({"errors": {"email": [text], "0": {"code": 400, "message": text, "details": {text: [text]}}}}),
        json!({"errors": [{"code": 400, "message": text, "details": {"email": [text]}, "type": text}]}),
        json!({"error": {"error_code": 104, "error_msg": text, "error_details": [
               {"error_code": 108, "error_msg": text, "detailed_desc": text}]}}),
        json!({"error": {"error_code": text, "error_msg": text}, "error_details": [{"error_code": 114,
               "error_msg": text, "detailed_desc": text}]}),
    ]
}

pub(super) async fn no_value_comes_into_a_failure_or_a_debug_text<K: Kit>(bench: &Bench<K>) {
    let record = bench.made(7, Content::A).await;
    let mut secret = BTreeSet::new();
    for content in [Content::A, Content::B] {
        texts(&bench.kit.projection(7, content), &mut secret);
        texts(&bench.wire(7, content).body, &mut secret);
    }
    assert!(!secret.is_empty());
    let assert_hidden = |shown: &str, what: &str| {
        for text in &secret {
            assert!(!shown.contains(text.as_str()), "{what} shows {text:?}: {shown}");
        }
        assert!(!shown.contains("://") && !shown.contains("127.0.0.1"), "a URL: {shown}");
    };
    let row = bench.kit.projection(7, Content::B).as_object().cloned().expect("an object");
    assert_hidden(&format!("{:?}", Fields::new(row)), "Fields");
    assert_hidden(&format!("{:?}", bench.wire(7, Content::B)), "Wire");
    for push in bench.of_every_kind(7, &record) {
        assert_hidden(&format!("{push:?}"), "Push");
    }
    let quoted = secret.iter().cloned().collect::<Vec<_>>().join(" ");
    let mut faults: Vec<Fault> = [Garbage::Html, Garbage::TruncatedJson, Garbage::StrangersRecord]
        .map(Fault::garbage)
        .into();
    faults.push(Fault::Drop);
    for echo in secret.iter().chain([&quoted]).flat_map(|text| echoes(text)) {
        faults.push(answers(echo.clone()));
        for code in [400, 403, 404, 409, 422, 500] {
            let body = Some(echo.clone());
            faults.push(Fault::Status { code, headers: Vec::new(), body, applied: false });
        }
    }
    for fault in faults {
        let rule = bench.strike_all(&fault);
        for push in bench.of_every_kind(7, &record) {
            if let PushResult::Failed(failure) = bench.one(push).await {
                assert_hidden(&format!("{failure} {failure:?}"), &format!("{fault:?}"));
            }
        }
        if let Err(failure) = bench.client.list(K::ENTITY, None).await {
            assert_hidden(&format!("{failure} {failure:?}"), &format!("list: {fault:?}"));
        }
        bench.sim().faults().remove(rule);
    }
}
