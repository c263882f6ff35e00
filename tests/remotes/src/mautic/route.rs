//! Paths and methods: what a request is about, before anything is done (section 2).

use hyper::Method;
use serde_json::Value;

use super::field::{EMAIL, EMS_PERSON_ID, plain_text};
use super::params;
use super::store::Store;
use crate::{Operation, Request, Subject};

/// The name of the one resource that writes are about.
pub(super) const CONTACTS: &str = "contacts";

/// Where a path leads. Ids are as they were sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Token,
    List,
    New,
    Contact(String),
    Edit(String),
    Delete(String),
    BatchNew,
    BatchEdit,
    BatchDelete,
    DncAdd(String, String),
    DncRemove(String, String),
    SegmentsOf(String),
    Fields,
    Owners,
    Segments,
    SegmentAdd(String, String),
    SegmentRemove(String, String),
    SegmentAddMany(String),
    Unknown,
}

impl Route {
    /// Where `path` leads.
    pub(super) fn of(path: &str) -> Self {
        if path == "/oauth/v2/token" {
            return Self::Token;
        }
        let Some(rest) = path.strip_prefix("/api/") else { return Self::Unknown };
        let parts: Vec<&str> = rest.split('/').collect();
        let own = |text: &&str| (*text).to_owned();
        match parts.as_slice() {
            ["contacts"] => Self::List,
            ["contacts", "new"] => Self::New,
            ["contacts", "batch", "new"] => Self::BatchNew,
            ["contacts", "batch", "edit"] => Self::BatchEdit,
            ["contacts", "batch", "delete"] => Self::BatchDelete,
            ["contacts", "list", "fields"] => Self::Fields,
            ["contacts", "list", "owners"] => Self::Owners,
            ["contacts", id] => Self::Contact(own(id)),
            ["contacts", id, "edit"] => Self::Edit(own(id)),
            ["contacts", id, "delete"] => Self::Delete(own(id)),
            ["contacts", id, "segments"] => Self::SegmentsOf(own(id)),
            ["contacts", id, "dnc", channel, "add"] => Self::DncAdd(own(id), own(channel)),
            ["contacts", id, "dnc", channel, "remove"] => Self::DncRemove(own(id), own(channel)),
            ["segments"] => Self::Segments,
            ["segments", id, "contact", contact, "add"] => Self::SegmentAdd(own(id), own(contact)),
            ["segments", id, "contact", contact, "remove"] => {
                Self::SegmentRemove(own(id), own(contact))
            }
            ["segments", id, "contacts", "add"] => Self::SegmentAddMany(own(id)),
            _ => Self::Unknown,
        }
    }

    /// The route with its parameters by name.
    pub(super) fn template(&self) -> &'static str {
        match self {
            Self::Token => "/oauth/v2/token",
            Self::List => "/api/contacts",
            Self::New => "/api/contacts/new",
            Self::Contact(_) => "/api/contacts/{id}",
            Self::Edit(_) => "/api/contacts/{id}/edit",
            Self::Delete(_) => "/api/contacts/{id}/delete",
            Self::BatchNew => "/api/contacts/batch/new",
            Self::BatchEdit => "/api/contacts/batch/edit",
            Self::BatchDelete => "/api/contacts/batch/delete",
            Self::DncAdd(..) => "/api/contacts/{id}/dnc/{channel}/add",
            Self::DncRemove(..) => "/api/contacts/{id}/dnc/{channel}/remove",
            Self::SegmentsOf(_) => "/api/contacts/{id}/segments",
            Self::Fields => "/api/contacts/list/fields",
            Self::Owners => "/api/contacts/list/owners",
            Self::Segments => "/api/segments",
            Self::SegmentAdd(..) => "/api/segments/{segment}/contact/{id}/add",
            Self::SegmentRemove(..) => "/api/segments/{segment}/contact/{id}/remove",
            Self::SegmentAddMany(_) => "/api/segments/{segment}/contacts/add",
            Self::Unknown => "unknown",
        }
    }

    /// The contact it names.
    pub(super) fn contact(&self) -> Option<&str> {
        match self {
            Self::Contact(id)
            | Self::Edit(id)
            | Self::Delete(id)
            | Self::SegmentsOf(id)
            | Self::DncAdd(id, _)
            | Self::DncRemove(id, _)
            | Self::SegmentAdd(_, id)
            | Self::SegmentRemove(_, id) => Some(id),
            Self::Token
            | Self::List
            | Self::New
            | Self::BatchNew
            | Self::BatchEdit
            | Self::BatchDelete
            | Self::Fields
            | Self::Owners
            | Self::Segments
            | Self::SegmentAddMany(_)
            | Self::Unknown => None,
        }
    }

    /// What a request with this method is meant to do here.
    pub(super) fn operation(&self, method: &Method) -> Operation {
        match (self, method.as_str()) {
            (Self::Token, "POST") => Operation::Login,
            (Self::List, "GET") => Operation::List,
            (Self::New, "POST") => Operation::Create,
            (Self::Contact(_), "GET") => Operation::Read,
            (Self::Edit(_), "PATCH") => Operation::Patch,
            (Self::Edit(_), "PUT") => Operation::Replace,
            (Self::Delete(_), "DELETE") => Operation::Delete,
            (Self::BatchNew, "POST")
            | (Self::BatchEdit, "PATCH" | "PUT")
            | (Self::BatchDelete, "DELETE")
            | (Self::SegmentAddMany(_), "POST") => Operation::Bulk,
            (Self::DncAdd(..) | Self::DncRemove(..), "POST")
            | (Self::SegmentAdd(..) | Self::SegmentRemove(..), "POST") => Operation::Patch,
            (Self::SegmentsOf(_) | Self::Segments, "GET") => Operation::List,
            (Self::Fields | Self::Owners, "GET") => Operation::Info,
            _ => Operation::Other,
        }
    }
}

/// Our id in a body.
pub(super) fn sent_person(body: &Value) -> Option<String> {
    plain_text(body.get(EMS_PERSON_ID)?).ok()?
}

/// What `request` is about; the store tells whose contact an id is.
pub(super) fn subject(request: &Request, store: &Store) -> Subject {
    let route = Route::of(&request.path);
    let mut operation = route.operation(&request.method);
    let body = params::peek(request);
    let mut people = Vec::new();
    let stored = |id: i64| Some(store.get(id)?.ems_person_id()?.to_owned());
    match &route {
        Route::List => {
            let wanted = looked_up(request);
            if !wanted.is_empty() {
                operation = Operation::Find;
            }
            people.extend(
                wanted.into_iter().filter_map(|(col, val)| (col == EMS_PERSON_ID).then_some(val)),
            );
        }
        Route::New => people.extend(sent_person(&body)),
        Route::BatchNew | Route::BatchEdit => {
            for (_, row) in params::entries(&body) {
                let id = row.get("id").and_then(number);
                people.extend(sent_person(row).or_else(|| stored(id?)));
            }
        }
        Route::BatchDelete => people.extend(batch_ids(request).into_iter().filter_map(stored)),
        Route::SegmentAddMany(_) => {
            let ids = body.get("ids").map(params::entries).unwrap_or_default();
            people.extend(ids.iter().filter_map(|(_, id)| stored(number(id)?)));
        }
        Route::Token
        | Route::Contact(_)
        | Route::Edit(_)
        | Route::Delete(_)
        | Route::DncAdd(..)
        | Route::DncRemove(..)
        | Route::SegmentsOf(_)
        | Route::Fields
        | Route::Owners
        | Route::Segments
        | Route::SegmentAdd(..)
        | Route::SegmentRemove(..)
        | Route::Unknown => {
            let id = route.contact().and_then(|id| id.parse().ok());
            people.extend(sent_person(&body));
            people.extend(id.and_then(stored));
        }
    }
    people.dedup();
    Subject {
        operation,
        resource: (!matches!(route, Route::Token | Route::Unknown)).then_some(CONTACTS),
        remote_id: route.contact().map(str::to_owned),
        external_ids: people,
        seen: store.commits(),
        ..Subject::new(operation, route.template())
    }
}

/// The exact look-ups by e-mail address or by our id: column and value.
fn looked_up(request: &Request) -> Vec<(String, String)> {
    let query = params::nested(request.query.iter().cloned());
    let conditions = query.get("where").map(params::entries).unwrap_or_default();
    let looked_up = |condition: &Value| {
        let text = |name: &str| condition.get(name).and_then(Value::as_str);
        let (col, val) = (text("col")?, text("val")?);
        let exact = text("expr") == Some("eq") && matches!(col, EMAIL | EMS_PERSON_ID);
        exact.then(|| (col.to_owned(), val.to_owned()))
    };
    conditions.into_iter().filter_map(|(_, condition)| looked_up(condition)).collect()
}

/// The contacts that a batch deletes.
pub(super) fn batch_ids(request: &Request) -> Vec<i64> {
    if let Some(ids) = request.query_value("ids") {
        return ids.split(',').filter_map(|id| id.trim().parse().ok()).collect();
    }
    let body = params::peek(request);
    params::entries(body.get("ids").unwrap_or(&body))
        .iter()
        .filter_map(|(_, id)| number(id))
        .collect()
}

/// A whole number, also as text.
pub(super) fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
}
