//! Bodies and queries as PHP reads them: JSON or a form, brackets for arrays (section 1).

use form_urlencoded::parse;
use serde_json::{Map, Value};

use super::problem::Problem;
use crate::{Record, Request};

/// Brackets in one name; PHP has the same limit.
const MAX_DEPTH: usize = 64;

/// The parameters of a request's body: an object of any media type that PHP understands.
pub(super) fn body(request: &Request, record: &mut Record) -> Result<Value, Problem> {
    match request.media_type().unwrap_or_default().to_ascii_lowercase().as_str() {
        _ if request.body.is_empty() => Ok(Value::Object(Map::new())),
        "application/x-www-form-urlencoded" => Ok(form(&request.body)),
        "application/json" => match request.json() {
            Some(body) if body.is_object() || body.is_array() => Ok(body.clone()),
            _ => {
                record.violation("malformed_json", "the body is no JSON object");
                Err(Problem::bad_request("Invalid JSON"))
            }
        },
        other => {
            record.violation("wrong_media_type", other);
            Ok(Value::Object(Map::new()))
        }
    }
}

/// What a body says, before anybody complains about it.
pub(super) fn peek(request: &Request) -> Value {
    body(request, &mut Record::default()).unwrap_or_default()
}

/// A form as nested arrays.
pub(super) fn form(body: &[u8]) -> Value {
    nested(parse(body).map(|(name, value)| (name.into_owned(), value.into_owned())))
}

/// Names with brackets as nested arrays: `where[0][col]`, `tags[]`.
pub(super) fn nested(pairs: impl IntoIterator<Item = (String, String)>) -> Value {
    let mut root = Value::Object(Map::new());
    for (name, value) in pairs {
        let (first, rest) = name.split_once('[').unwrap_or((&name, ""));
        let keys = std::iter::once(first)
            .chain(rest.split('[').filter_map(|key| key.strip_suffix(']')))
            .take(MAX_DEPTH);
        insert(&mut root, keys, value);
    }
    listed(root)
}

fn insert<'k>(root: &mut Value, keys: impl Iterator<Item = &'k str>, value: String) {
    let mut place = root;
    for key in keys {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        let Some(object) = place.as_object_mut() else { return };
        let key = if key.is_empty() { object.len().to_string() } else { key.to_owned() };
        place = object.entry(key).or_insert(Value::Null);
    }
    *place = Value::String(value);
}

/// Turns what is numbered from 0 without holes into arrays.
fn listed(value: Value) -> Value {
    let Value::Object(object) = value else { return value };
    let object: Map<String, Value> =
        object.into_iter().map(|(key, value)| (key, listed(value))).collect();
    let numbered = |place: usize| object.get(&place.to_string());
    let list: Option<Vec<Value>> =
        (0..object.len()).map(|place| numbered(place).cloned()).collect();
    match list {
        Some(list) if !list.is_empty() => Value::Array(list),
        _ => Value::Object(object),
    }
}

/// An array's entries with their keys; an object's in the order of its numbers.
pub(super) fn entries(value: &Value) -> Vec<(String, &Value)> {
    if let Some(list) = value.as_array() {
        return list.iter().enumerate().map(|(key, value)| (key.to_string(), value)).collect();
    }
    let object = value.as_object().into_iter().flatten();
    let mut entries: Vec<_> = object.map(|(key, value)| (key.clone(), value)).collect();
    entries.sort_by_key(|(key, _)| key.parse::<u64>().unwrap_or(u64::MAX));
    entries
}

/// An array with these keys as PHP writes it: a list only if they are 0, 1, 2 …
pub(super) fn php_array(entries: Vec<(String, Value)>) -> Value {
    let is_list = entries.iter().enumerate().all(|(place, (key, _))| *key == place.to_string());
    if is_list {
        entries.into_iter().map(|(_, value)| value).collect()
    } else {
        Value::Object(entries.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn brackets_nest() {
        let read = |text: &str| form(text.as_bytes());
        assert_eq!(
            read("where[0][col]=email&where[0][val]=a%2Bb"),
            json!({
                "where": [{ "col": "email", "val": "a+b" }],
            })
        );
        assert_eq!(read("tags[]=a&tags[]=b"), json!({ "tags": ["a", "b"] }));
        assert_eq!(read("a=1&a[b]=2&d[=4"), json!({ "a": { "b": "2" }, "d": "4" }));
        let deep = format!("a{}=1", "[]".repeat(10_000));
        assert!(read(&deep).is_object());
    }

    #[test]
    fn holes_make_an_object() {
        let entry = |key: &str| (key.to_owned(), json!(key));
        assert_eq!(php_array(vec![entry("0"), entry("1")]), json!(["0", "1"]));
        assert_eq!(php_array(vec![entry("0"), entry("2")]), json!({ "0": "0", "2": "2" }));
        assert_eq!(php_array(vec![]), json!([]));
    }
}
