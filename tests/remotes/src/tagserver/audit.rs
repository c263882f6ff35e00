//! Breaches of the contract by the client, noted whatever the answer is. Details name fields,
//! ids and parameters, never what a person's field holds.

use serde_json::{Map, Value};

use super::problem::Problem;
use super::resource::Resource;
use super::store::{Fields, Refusal};
use crate::Record;

/// A body that names fields the resource does not have: Jackson ignores them, but they left the
/// EMS.
pub(super) fn fields(resource: Resource, body: &Map<String, Value>, record: &mut Record) {
    for name in body.keys() {
        let known = matches!(name.as_str(), "id" | "externalId")
            || resource.fields().iter().any(|field| field.name == name);
        if !known {
            record.violation("unknown_field", format!("{resource}.{name}"));
        }
    }
    let has_external_id = body.get("externalId").is_some_and(|value| !value.is_null());
    if !has_external_id {
        record.violation("no_external_id", resource.segment());
    }
}

/// A patch with nulls, which clear nothing.
pub(super) fn patch(resource: Resource, body: &Map<String, Value>, record: &mut Record) {
    for (name, _) in body.iter().filter(|(_, value)| value.is_null()) {
        record.violation("null_in_patch", format!("{resource}.{name}"));
    }
}

/// Fields of a wrong type; a missing one may be the EMS's data.
pub(super) fn validation(problem: &Problem, record: &mut Record) {
    for error in problem.field_errors.iter().filter(|error| error.message == "typeMismatch") {
        record.violation("wrong_type", format!("{}.{}", error.object_name, error.field));
    }
}

/// A write that turns one entity's row into another's: the id came from another installation.
pub(super) fn overwrite(
    resource: Resource,
    id: i64,
    before: &Fields,
    after: &Fields,
    record: &mut Record,
) {
    if let (Some(before), Some(after)) = (&before.external_id, &after.external_id)
        && before != after
    {
        let detail = format!("{resource}/{id} was {before}, became {after}");
        record.violation("overwrites_another_record", detail);
    }
}

/// What the store refused, as far as the client could have known better.
pub(super) fn refusal(resource: Resource, refusal: &Refusal, record: &mut Record) {
    match refusal {
        Refusal::MissingRelation { field, id, .. } => {
            record.violation("absent_parent", format!("{resource}.{field} {id}"));
        }
        Refusal::Referenced => record.violation("deletes_parent_first", resource.segment()),
        // Lost answers and lost rows are what the client must live with.
        Refusal::Duplicate | Refusal::UnknownId => {}
    }
}
