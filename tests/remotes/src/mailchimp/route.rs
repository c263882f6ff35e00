//! Paths and methods: what a request is about, before anything is done.

use hyper::body::Bytes;
use hyper::{Method, Uri};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::member::EMS_ID;
use super::store::Store;
use crate::{Operation, Request, Subject};

/// Where the results of batches are.
pub(super) const RESULTS: &str = "/batch-results/";

/// Where a path leads; lists and members are decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Root,
    Ping,
    List(String),
    MergeFields(String),
    Categories(String),
    Interests(String, String),
    Members(String),
    Member(String, String),
    Tags(String, String),
    Forget(String, String),
    Search,
    Batches,
    Batch(String),
    Results(String),
    Webhooks(String),
    Webhook(String, String),
    Unknown,
}

impl Route {
    /// Where `path` leads.
    pub(super) fn of(path: &str) -> Self {
        if let Some(name) = path.strip_prefix(RESULTS) {
            return Self::Results(name.to_owned());
        }
        let Some(rest) = path.strip_prefix("/3.0") else { return Self::Unknown };
        let decode = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
        let parts: Vec<String> = rest.trim_matches('/').split('/').map(decode).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let own = |part: &str| part.to_owned();
        match parts.as_slice() {
            [""] => Self::Root,
            ["ping"] => Self::Ping,
            ["search-members"] => Self::Search,
            ["batches"] => Self::Batches,
            ["batches", id] => Self::Batch(own(id)),
            ["lists", list] => Self::List(own(list)),
            ["lists", list, "merge-fields"] => Self::MergeFields(own(list)),
            ["lists", list, "interest-categories"] => Self::Categories(own(list)),
            ["lists", list, "interest-categories", category, "interests"] => {
                Self::Interests(own(list), own(category))
            }
            ["lists", list, "members"] => Self::Members(own(list)),
            ["lists", list, "members", key] => Self::Member(own(list), own(key)),
            ["lists", list, "members", key, "tags"] => Self::Tags(own(list), own(key)),
            ["lists", list, "members", key, "actions", "delete-permanent"] => {
                Self::Forget(own(list), own(key))
            }
            ["lists", list, "webhooks"] => Self::Webhooks(own(list)),
            ["lists", list, "webhooks", id] => Self::Webhook(own(list), own(id)),
            _ => Self::Unknown,
        }
    }

    /// The route with its parameters by name.
    pub(super) fn template(&self) -> &'static str {
        match self {
            Self::Root => "/3.0/",
            Self::Ping => "/3.0/ping",
            Self::List(_) => "/3.0/lists/{list_id}",
            Self::MergeFields(_) => "/3.0/lists/{list_id}/merge-fields",
            Self::Categories(_) => "/3.0/lists/{list_id}/interest-categories",
            Self::Interests(..) => {
                "/3.0/lists/{list_id}/interest-categories/{category_id}/interests"
            }
            Self::Members(_) => "/3.0/lists/{list_id}/members",
            Self::Member(..) => "/3.0/lists/{list_id}/members/{hash}",
            Self::Tags(..) => "/3.0/lists/{list_id}/members/{hash}/tags",
            Self::Forget(..) => "/3.0/lists/{list_id}/members/{hash}/actions/delete-permanent",
            Self::Search => "/3.0/search-members",
            Self::Batches => "/3.0/batches",
            Self::Batch(_) => "/3.0/batches/{batch_id}",
            Self::Results(_) => "/batch-results/{file}",
            Self::Webhooks(_) => "/3.0/lists/{list_id}/webhooks",
            Self::Webhook(..) => "/3.0/lists/{list_id}/webhooks/{webhook_id}",
            Self::Unknown => "unknown",
        }
    }

    /// The resource, if it leads to one.
    pub(super) fn resource(&self, operation: Operation) -> Option<&'static str> {
        match self {
            Self::Members(_)
            | Self::Member(..)
            | Self::Tags(..)
            | Self::Forget(..)
            | Self::Search
            | Self::Batches => Some("members"),
            Self::List(_) if operation == Operation::Bulk => Some("members"),
            Self::List(_) => Some("lists"),
            Self::MergeFields(_) => Some("merge-fields"),
            Self::Webhooks(_) | Self::Webhook(..) => Some("webhooks"),
            Self::Root
            | Self::Ping
            | Self::Categories(_)
            | Self::Interests(..)
            | Self::Batch(_)
            | Self::Results(_)
            | Self::Unknown => None,
        }
    }

    /// What `method` is meant to do here; nothing, if the route does not have it.
    pub(super) fn operation(&self, method: &Method) -> Operation {
        match (self, method.as_str()) {
            (Self::Root, "GET") => Operation::Info,
            (Self::Ping, "GET") => Operation::Probe,
            (Self::Search, "GET") => Operation::Find,
            (Self::List(_) | Self::Batches, "POST") => Operation::Bulk,
            (
                Self::MergeFields(_)
                | Self::Categories(_)
                | Self::Interests(..)
                | Self::Members(_)
                | Self::Tags(..)
                | Self::Webhooks(_)
                | Self::Batches,
                "GET",
            ) => Operation::List,
            (Self::List(_) | Self::Member(..) | Self::Batch(_) | Self::Results(_), "GET") => {
                Operation::Read
            }
            (Self::MergeFields(_) | Self::Members(_) | Self::Webhooks(_), "POST") => {
                Operation::Create
            }
            (Self::Member(..), "PUT") => Operation::Replace,
            (Self::Member(..) | Self::Webhook(..), "PATCH") | (Self::Tags(..), "POST") => {
                Operation::Patch
            }
            (Self::Member(..) | Self::Webhook(..) | Self::Batch(_), "DELETE")
            | (Self::Forget(..), "POST") => Operation::Delete,
            _ => Operation::Other,
        }
    }

    /// The ids of the EMS that a request names, or that the member it names is known by.
    fn ems_ids(&self, body: Option<&Value>, store: &Store) -> Vec<String> {
        // Who sends no id of ours may still name somebody's address.
        let known = |list: &str, body: &Value| {
            let email = body.get("email_address").and_then(Value::as_str);
            sent_ems_id(body).or_else(|| store.list(list)?.find_email(email?)?.journal_id())
        };
        match self {
            Self::Member(list, key) | Self::Tags(list, key) | Self::Forget(list, key) => {
                let stored = || store.list(list)?.find(key)?.journal_id();
                body.and_then(sent_ems_id).or_else(stored).into_iter().collect()
            }
            Self::Members(list) => body.and_then(|body| known(list, body)).into_iter().collect(),
            Self::List(list) => {
                let members = body.and_then(|body| body.get("members")).and_then(Value::as_array);
                members.into_iter().flatten().filter_map(|member| known(list, member)).collect()
            }
            Self::Batches => {
                let operations = body.and_then(|body| body.get("operations"));
                let operations = operations.and_then(Value::as_array).into_iter().flatten();
                operations
                    .filter_map(inner)
                    .flat_map(|request| {
                        let route = Self::of(&request.path);
                        // A batch in a batch is refused; it must not be followed for ever either.
                        let nested = route == Self::Batches;
                        if nested { Vec::new() } else { route.ems_ids(request.json(), store) }
                    })
                    .collect()
            }
            Self::Root
            | Self::Ping
            | Self::MergeFields(_)
            | Self::Categories(_)
            | Self::Interests(..)
            | Self::Search
            | Self::Batch(_)
            | Self::Results(_)
            | Self::Webhooks(_)
            | Self::Webhook(..)
            | Self::Unknown => Vec::new(),
        }
    }
}

/// The EMS's id that a member's body brings.
pub(super) fn sent_ems_id(body: &Value) -> Option<String> {
    let sent = body.get("merge_fields")?.get(EMS_ID)?;
    let text = sent.as_str().map(str::to_owned);
    text.or_else(|| Some(sent.as_i64()?.to_string())).filter(|id| !id.is_empty())
}

/// The request that an operation of a batch stands for.
pub(super) fn inner(operation: &Value) -> Option<Request> {
    let text = |name: &str| operation.get(name).and_then(Value::as_str);
    let method = text("method")?.parse().ok()?;
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in operation.get("params").and_then(Value::as_object).into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        query.append_pair(name, &value);
    }
    let uri: Uri = format!("/3.0{}?{}", text("path")?, query.finish()).parse().ok()?;
    let body = Bytes::from(text("body").unwrap_or_default().to_owned());
    Some(Request::inner(method, &uri, body))
}

/// What `request` is about; the store tells whose member a hash is.
pub(super) fn subject(request: &Request, store: &Store) -> Subject {
    let route = Route::of(&request.path);
    let operation = route.operation(&request.method);
    let mut subject = Subject::new(operation, route.template());
    subject.resource = route.resource(operation);
    subject.external_ids = route.ems_ids(request.json(), store);
    subject.external_ids.dedup();
    subject.remote_id = match &route {
        Route::Member(_, id)
        | Route::Tags(_, id)
        | Route::Forget(_, id)
        | Route::List(id)
        | Route::Batch(id)
        | Route::Webhook(_, id) => Some(id.clone()).filter(|_| operation != Operation::Bulk),
        Route::Root
        | Route::Ping
        | Route::MergeFields(_)
        | Route::Categories(_)
        | Route::Interests(..)
        | Route::Members(_)
        | Route::Search
        | Route::Batches
        | Route::Results(_)
        | Route::Webhooks(_)
        | Route::Unknown => None,
    };
    subject
}
