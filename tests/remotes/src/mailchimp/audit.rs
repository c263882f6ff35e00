//! Breaches of the contract by the client, noted whatever the answer is. Details name lists,
//! fields and parameters, never an address or what a person's field holds.

use serde_json::{Map, Value};

use super::draft::{Draft, is_known};
use super::list::List;
use super::member::{EMS_ID, Member, OptOut, Status};
use super::merge_field::Kind;
use super::webhook::Source;
use crate::Record;

/// How a member is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// `PUT …/members/{hash}`
    Put,
    /// `PATCH …/members/{hash}`
    Patch,
    /// `POST …/members`
    Post,
    /// `POST /lists/{id}`
    Bulk,
}

/// What a body alone shows.
pub(super) fn body(list: &List, body: &Map<String, Value>, record: &mut Record) {
    for name in body.keys().filter(|name| !is_known(name)) {
        record.violation("unknown_field", name.as_str());
    }
    for name in ["status", "status_if_new"] {
        if body.get(name).and_then(Value::as_str) == Some(Status::Archived.word()) {
            record.violation("writes_archived", name);
        }
    }
    let fields = body.get("merge_fields").and_then(Value::as_object);
    for (tag, value) in fields.into_iter().flatten() {
        let Some(field) = list.field(tag) else {
            record.violation("unknown_merge_field", tag.as_str());
            continue;
        };
        if value.is_boolean() || value.is_null() {
            record.violation("untyped_merge_field", tag.as_str());
        }
        if field.kind == Kind::Address && is_partial(value) {
            record.violation("incomplete_address", tag.as_str());
        }
    }
}

fn is_partial(value: &Value) -> bool {
    value.as_object().is_some_and(|parts| {
        let given =
            |name| parts.get(name).and_then(Value::as_str).is_some_and(|s| !s.trim().is_empty());
        !["addr1", "city", "state", "zip"].into_iter().all(given)
    })
}

/// A write onto a member.
pub(super) fn update(list: &List, verb: Verb, member: &Member, draft: &Draft, record: &mut Record) {
    let id = &list.options.id;
    let archived = member.status == Status::Archived;
    if verb == Verb::Put && draft.status.is_some() && !archived {
        record.violation("status_in_upsert", id.as_str());
    }
    if draft.status == Some(Status::Subscribed)
        && member.opt_out.is_some_and(|opt_out| opt_out != OptOut::Api)
    {
        record.violation("flips_back_opt_out", id.as_str());
    }
    if draft.status.is_some() && member.archived_by == Some(Source::Admin) {
        record.violation("restores_foreign_archive", id.as_str());
    }
    if draft.status == Some(Status::Pending) && member.status == Status::Pending {
        record.violation("resends_confirmation", id.as_str());
    }
    if matches!(verb, Verb::Put | Verb::Patch) && draft.tags.is_some() {
        record.violation("tags_in_update", id.as_str());
    }
    let sent = draft.merge_fields.get(EMS_ID).and_then(Value::as_str);
    if let (Some(sent), Some(stored)) = (sent, member.ems_id())
        && !archived
        && sent != stored
    {
        record.violation("overwrites_another_person", id.as_str());
    }
}

/// A new member.
pub(super) fn create(list: &List, status: Status, record: &mut Record) {
    if list.options.double_optin && status == Status::Subscribed {
        record.violation("skips_double_opt_in", list.options.id.as_str());
    }
}
