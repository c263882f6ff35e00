//! `fields` and `exclude_fields`: what of an answer the client wants.

use serde_json::{Map, Value};

use crate::Request;

/// Trims `body` as the query asks for.
pub(super) fn trim(mut body: Value, request: &Request) -> Value {
    let paths = |name: &str| -> Vec<Vec<String>> {
        let asked = request.query_value(name).unwrap_or_default().split(',');
        let asked = asked.map(str::trim).filter(|path| !path.is_empty());
        asked.map(|path| path.split('.').map(str::to_owned).collect()).collect()
    };
    let included = paths("fields");
    if !included.is_empty() {
        let included: Vec<&[String]> = included.iter().map(Vec::as_slice).collect();
        body = kept(&body, &included);
    }
    for path in paths("exclude_fields") {
        remove(&mut body, &path);
    }
    body
}

/// What `paths` lead to; arrays are looked through.
fn kept(body: &Value, paths: &[&[String]]) -> Value {
    match body {
        Value::Array(items) => items.iter().map(|item| kept(item, paths)).collect(),
        Value::Object(fields) => {
            let mut result = Map::new();
            for (name, value) in fields {
                let below: Vec<&[String]> = paths
                    .iter()
                    .filter_map(|path| path.split_first())
                    .filter(|(first, _)| *first == name)
                    .map(|(_, rest)| rest)
                    .collect();
                if below.iter().any(|rest| rest.is_empty()) {
                    result.insert(name.clone(), value.clone());
                } else if !below.is_empty() {
                    result.insert(name.clone(), kept(value, &below));
                }
            }
            Value::Object(result)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => body.clone(),
    }
}

fn remove(body: &mut Value, path: &[String]) {
    let Some((first, rest)) = path.split_first() else { return };
    if let Some(items) = body.as_array_mut() {
        items.iter_mut().for_each(|item| remove(item, path));
    } else if let Some(fields) = body.as_object_mut() {
        if rest.is_empty() {
            fields.remove(first);
        } else if let Some(value) = fields.get_mut(first) {
            remove(value, rest);
        }
    }
}
