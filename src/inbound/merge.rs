//! Two contents and what both sides held when they last agreed: which fields lost, and which may be taken. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::hash::ContentHash;
use crate::remote::Wire;
use crate::target::Target;

/// A digest per field: enough to see that it changed, without its value.
pub type Digests = BTreeMap<String, String>;

/// What both sides held when they last agreed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Agreed {
    /// The EMS.
    pub ems: Digests,
    /// The remote.
    pub remote: Digests,
}

/// A field whose remote value lost.
#[derive(Clone, PartialEq, Serialize, serde::Deserialize)]
pub struct LosingField {
    /// The field, in the remote's words.
    pub field: String,
    /// What the EMS has.
    pub ems_value: Value,
    /// What the remote had.
    pub remote_value: Value,
}

impl std::fmt::Debug for LosingField {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.field)
    }
}

/// What becomes of the fields.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Merged {
    /// The remote's values that the EMS takes.
    pub taken: Map<String, Value>,
    /// The remote's values that lose.
    pub losing: Vec<LosingField>,
}

/// The digest of each field of a content.
#[must_use]
pub fn digests(target: Target, body: &Value) -> Digests {
    let fields = body.as_object().into_iter().flatten();
    fields
        .filter(|(name, _)| *name != Wire::ASIDE)
        .map(|(name, value)| (name.clone(), digest(target, value)))
        .collect()
}

/// What both sides hold after a push of `sent`: the remote what it answered (`held`). Where only the hash of that is known, and is
/// another one, it is not known of any field.
#[must_use]
pub fn after_push(
    target: Target,
    sent: &Wire,
    held: Option<&Wire>,
    remote_hash: Option<ContentHash>,
) -> Agreed {
    let ems = digests(target, &sent.body);
    let remote = match held {
        Some(held) => digests(target, &held.body),
        None if remote_hash == Some(sent.hash) => ems.clone(),
        None => ems.keys().map(|field| (field.clone(), UNKNOWN.to_owned())).collect(),
    };
    Agreed { ems, remote }
}

/// Whether all fields of one of these sets are in a record what they were when both sides agreed last; a blank one proves nothing.
#[must_use]
pub fn has_kept_one_of(target: Target, agreed: &Agreed, body: &Value, sets: &[&[&str]]) -> bool {
    let is_kept = |field: &&str| {
        let value = body.get(*field).filter(|value| !value.is_null());
        value.is_some_and(|value| agreed.remote.get(*field) == Some(&digest(target, value)))
    };
    sets.iter().any(|set| set.iter().all(is_kept))
}

/// In the place of a digest: what the field held is not known. Nothing that it holds counts as a change.
const UNKNOWN: &str = "";

fn digest(target: Target, value: &Value) -> String {
    ContentHash::of(target, 0, value).to_hex()
}

/// The fields in which the remote's content differs from the EMS's, without those that the remote has not changed since both
/// agreed: there the EMS changed something, and nothing is lost.
#[must_use]
pub fn losing(
    target: Target,
    ems: Option<&Value>,
    remote: &Value,
    agreed: Option<&Agreed>,
) -> Vec<LosingField> {
    differing(ems, remote)
        .filter(|field| {
            agreed.is_none_or(|agreed| changed(target, &agreed.remote, field.0, field.2))
        })
        .map(|(field, ems_value, remote_value)| LosingField {
            field: field.to_owned(),
            ems_value: ems_value.clone(),
            remote_value: remote_value.clone(),
        })
        .collect()
}

/// The three-way merge: a field that only the remote changed since both agreed is taken; one that both changed, each to something
/// else, loses; one that only the EMS changed stays. Without an agreement every difference is one that both made.
#[must_use]
pub fn three_way(
    target: Target,
    ems: Option<&Value>,
    remote: &Value,
    agreed: Option<&Agreed>,
) -> Merged {
    let mut merged = Merged::default();
    for losing in losing(target, ems, remote, agreed) {
        let ems_kept = agreed.is_some_and(|agreed| {
            ems.is_some() && !changed(target, &agreed.ems, &losing.field, &losing.ems_value)
        });
        if ems_kept {
            merged.taken.insert(losing.field, losing.remote_value);
        } else {
            merged.losing.push(losing);
        }
    }
    merged
}

/// Of a record that is adopted: what the EMS leaves blank is taken, if it may be (`takes`); where both say something else, the remote's
/// value loses. What the remote held when both sides agreed (`agreed`, of each entity whose record it was) is nobody's edit.
#[must_use]
pub fn fill(
    target: Target,
    ems: &Value,
    remote: &Value,
    agreed: &[&Digests],
    takes: bool,
) -> Merged {
    let mut merged = Merged::default();
    for (field, ems_value, remote_value) in differing(Some(ems), remote) {
        let now = digest(target, remote_value);
        if agreed.iter().any(|agreed| agreed.get(field) == Some(&now)) {
            continue;
        }
        if takes && is_blank(ems_value) {
            merged.taken.insert(field.to_owned(), remote_value.clone());
        } else if !is_blank(remote_value) {
            merged.losing.push(LosingField {
                field: field.to_owned(),
                ems_value: ems_value.clone(),
                remote_value: remote_value.clone(),
            });
        }
    }
    merged
}

/// The fields of both contents in which they differ: name, EMS, remote. What one side has not counts as null.
fn differing<'a>(
    ems: Option<&'a Value>,
    remote: &'a Value,
) -> impl Iterator<Item = (&'a str, &'a Value, &'a Value)> {
    let names: BTreeSet<&str> = [ems, Some(remote)]
        .into_iter()
        .flatten()
        .filter_map(Value::as_object)
        .flat_map(|fields| fields.keys().map(String::as_str))
        .filter(|name| *name != Wire::ASIDE)
        .collect();
    names.into_iter().filter_map(move |name| {
        let of =
            |content: Option<&'a Value>| content.and_then(|c| c.get(name)).unwrap_or(&Value::Null);
        let (mine, theirs) = (of(ems), of(Some(remote)));
        (mine != theirs).then_some((name, mine, theirs))
    })
}

fn changed(target: Target, agreed: &Digests, field: &str, value: &Value) -> bool {
    match agreed.get(field) {
        Some(digest_then) => digest_then != UNKNOWN && *digest_then != digest(target, value),
        // What had no such field held nothing in it.
        None => !value.is_null(),
    }
}

/// A value that says nothing.
#[must_use]
pub fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TARGET: Target = Target::Chatwoot;

    fn agreed(ems: &Value, remote: &Value) -> Agreed {
        Agreed { ems: digests(TARGET, ems), remote: digests(TARGET, remote) }
    }

    fn names(losing: &[LosingField]) -> Vec<&str> {
        losing.iter().map(|field| field.field.as_str()).collect()
    }

    /// Each field by itself: who changed it decides, and nothing of the remote's is in neither list.
    #[test]
    fn who_changed_a_field_alone_wins_it() {
        let then = json!({"a": "0", "b": "0", "c": "0", "d": "0", "e": "0"});
        let ems = json!({"a": "0", "b": "E", "c": "E", "d": "S", "e": "0"});
        let remote = json!({"a": "0", "b": "0", "c": "R", "d": "S", "e": "R"});
        let merged = three_way(TARGET, Some(&ems), &remote, Some(&agreed(&then, &then)));
        assert_eq!(Value::Object(merged.taken), json!({"e": "R"}));
        assert_eq!(names(&merged.losing), ["c"]);
        assert_eq!(
            names(&losing(TARGET, Some(&ems), &remote, Some(&agreed(&then, &then)))),
            ["c", "e"]
        );
    }

    /// A remote that writes values in its own way has not changed what it still writes that way.
    #[test]
    fn each_side_is_compared_with_what_it_held_itself() {
        let agreed =
            agreed(&json!({"phone": "+1 5", "name": "A"}), &json!({"phone": "+15", "name": "A"}));
        let remote = json!({"phone": "+15", "name": "B"});
        let merged =
            three_way(TARGET, Some(&json!({"phone": "+1 5", "name": "A"})), &remote, Some(&agreed));
        assert_eq!(Value::Object(merged.taken), json!({"name": "B"}));
        assert!(merged.losing.is_empty());
    }

    #[test]
    fn without_an_agreement_every_difference_is_a_conflict() {
        let merged =
            three_way(TARGET, Some(&json!({"a": 1, "b": 1})), &json!({"a": 1, "b": 2}), None);
        assert!(merged.taken.is_empty());
        assert_eq!(names(&merged.losing), ["b"]);
        // Nothing to compare with: all of it is kept.
        assert_eq!(names(&losing(TARGET, None, &json!({"a": 1, "b": null}), None)), ["a"]);
    }

    #[test]
    fn a_field_that_came_or_went_is_a_change() {
        let then = json!({"a": "0"});
        let merged =
            three_way(TARGET, Some(&then), &json!({"b": "R"}), Some(&agreed(&then, &then)));
        assert_eq!(Value::Object(merged.taken), json!({"a": null, "b": "R"}));
    }

    /// What was ignored in silence, left out or written in another way there is no edit of people's.
    #[test]
    fn after_a_push_each_side_holds_its_own() {
        let wire = |body: Value| Wire::new(TARGET, 1, body);
        let sent = wire(json!({"email": "new", "phone": "1"}));
        let held = wire(json!({"email": "old", "phone": "1"}));
        let edited = json!({"email": "old", "phone": "2"});
        let taken = |agreed: &Agreed| -> Vec<String> {
            three_way(TARGET, Some(&sent.body), &edited, Some(agreed))
                .taken
                .into_iter()
                .map(|(field, _)| field)
                .collect()
        };
        let agreed = after_push(TARGET, &sent, Some(&held), Some(held.hash));
        assert_eq!(agreed, self::agreed(&sent.body, &held.body));
        assert_eq!(taken(&agreed), ["phone"]);
        let as_sent = after_push(TARGET, &sent, None, Some(sent.hash));
        assert_eq!(as_sent, self::agreed(&sent.body, &sent.body));
        let unknown = after_push(TARGET, &sent, None, Some(held.hash));
        assert_eq!(taken(&unknown), [""; 0]);
    }

    #[test]
    fn what_is_put_aside_is_no_field() {
        let (ems, remote) = (json!({"ems": 1, "a": 1}), json!({"ems": 2, "a": 1}));
        assert_eq!(three_way(TARGET, Some(&ems), &remote, None), Merged::default());
        assert!(!digests(TARGET, &ems).contains_key("ems"));
    }

    #[test]
    fn an_adoption_fills_what_is_blank_and_takes_nothing_away() {
        let ems = json!({"a": null, "b": "E", "c": "E", "d": " ", "e": []});
        let remote = json!({"a": "R", "b": "R", "c": null, "d": "R", "e": ["R"]});
        let filled = fill(TARGET, &ems, &remote, &[], true);
        assert_eq!(Value::Object(filled.taken), json!({"a": "R", "d": "R", "e": ["R"]}));
        assert_eq!(names(&filled.losing), ["b"]);
        let kept = fill(TARGET, &ems, &remote, &[], false);
        assert_eq!((kept.taken.len(), names(&kept.losing)), (0, vec!["a", "b", "d", "e"]));
    }

    /// It was ours, or that of one who gave it up.
    #[test]
    fn what_an_adopted_record_held_for_us_is_neither_taken_nor_lost() {
        let ems = json!({"a": null, "b": "E", "c": "E", "d": null});
        let remote = json!({"a": "0", "b": "0", "c": "R", "d": "R"});
        let then = digests(TARGET, &json!({"a": "0", "c": "0"}));
        let before = digests(TARGET, &json!({"b": "0", "d": "0"}));
        let filled = fill(TARGET, &ems, &remote, &[&then, &before], true);
        assert_eq!(Value::Object(filled.taken), json!({"d": "R"}));
        assert_eq!(names(&filled.losing), ["c"]);
    }

    #[test]
    fn a_losing_value_is_never_shown_by_debug() {
        let (ems, remote) = (json!({"a": "E"}), json!({"a": "secret"}));
        let shown = format!("{:?}", fill(TARGET, &ems, &remote, &[], true).losing);
        assert_eq!(shown, "[a]");
    }
}
