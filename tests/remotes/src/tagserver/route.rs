//! Paths and methods: what a request is about, before anything is done.

use hyper::Method;
use serde_json::Value;

use super::resource::Resource;
use super::store::Store;
use crate::{Operation, Request, Subject};

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Authenticate,
    Info,
    Collection(Resource),
    Bulk(Resource),
    Item(Resource, String),
    Unknown,
}

impl Route {
    /// Where `path` leads.
    pub(super) fn of(path: &str) -> Self {
        match path {
            "/api/authenticate" => return Self::Authenticate,
            "/management/info" => return Self::Info,
            _ => {}
        }
        let Some(rest) = path.strip_prefix("/api/") else { return Self::Unknown };
        let (segment, item) = match rest.split_once('/') {
            None => (rest, None),
            Some((segment, item)) => (segment, Some(item)),
        };
        let resource = Resource::ALL.into_iter().find(|resource| resource.segment() == segment);
        match (resource, item) {
            (None, _) => Self::Unknown,
            (Some(resource), None) => Self::Collection(resource),
            (Some(resource), Some("bulk")) => Self::Bulk(resource),
            (Some(_), Some(item)) if item.is_empty() || item.contains('/') => Self::Unknown,
            (Some(resource), Some(item)) => Self::Item(resource, item.to_owned()),
        }
    }

    /// The route with its parameters by name.
    pub(super) fn template(&self) -> String {
        match self {
            Self::Authenticate => "/api/authenticate".to_owned(),
            Self::Info => "/management/info".to_owned(),
            Self::Collection(resource) => format!("/api/{resource}"),
            Self::Bulk(resource) => format!("/api/{resource}/bulk"),
            Self::Item(resource, _) => format!("/api/{resource}/{{id}}"),
            Self::Unknown => "unknown".to_owned(),
        }
    }

    /// The resource, if it leads to one.
    pub(super) fn resource(&self) -> Option<Resource> {
        match self {
            Self::Collection(resource) | Self::Bulk(resource) | Self::Item(resource, _) => {
                Some(*resource)
            }
            Self::Authenticate | Self::Info | Self::Unknown => None,
        }
    }

    /// The methods it has.
    pub(super) fn allowed(&self) -> &'static str {
        match self {
            Self::Authenticate | Self::Collection(_) => "GET,POST",
            Self::Info => "GET",
            Self::Bulk(_) => "POST",
            Self::Item(..) => "GET,PUT,PATCH,DELETE",
            Self::Unknown => "",
        }
    }

    /// What `request` is meant to do here.
    pub(super) fn operation(&self, request: &Request) -> Operation {
        match (self, request.method.as_str()) {
            (Self::Authenticate, "POST") => Operation::Login,
            (Self::Authenticate, "GET") => Operation::Probe,
            (Self::Info, "GET") => Operation::Info,
            (Self::Collection(_), "POST") => Operation::Create,
            (Self::Collection(_), "GET") if request.query_value(EXTERNAL_ID).is_some() => {
                Operation::Find
            }
            (Self::Collection(_), "GET") => Operation::List,
            (Self::Bulk(_), "POST") => Operation::Bulk,
            (Self::Item(..), "GET") => Operation::Read,
            (Self::Item(..), "PUT") => Operation::Replace,
            (Self::Item(..), "PATCH") => Operation::Patch,
            (Self::Item(..), "DELETE") => Operation::Delete,
            _ => Operation::Other,
        }
    }
}

/// The look-up by our key.
pub(super) const EXTERNAL_ID: &str = "externalId.equals";

/// What `request` is about; the store tells whose row an id is.
pub(super) fn subject(request: &Request, store: &Store) -> Subject {
    let route = Route::of(&request.path);
    let operation = route.operation(request);
    let mut subject = Subject::new(operation, route.template());
    subject.resource = route.resource().map(Resource::segment);
    let external_id = |body: &Value| Some(body.get("externalId")?.as_str()?.to_owned());
    match &route {
        Route::Item(resource, id) => {
            let stored = || {
                let fields = store.get(*resource, id.parse().ok()?)?;
                fields.external_id.clone()
            };
            let sent = request.json().and_then(external_id);
            subject.external_ids.extend(sent.or_else(stored));
            subject.remote_id = Some(id.clone());
        }
        Route::Bulk(_) => {
            let bodies = request.json().and_then(Value::as_array).into_iter().flatten();
            subject.external_ids.extend(bodies.filter_map(external_id));
        }
        Route::Collection(_) if request.method == Method::GET => {
            subject.external_ids.extend(request.query_value(EXTERNAL_ID).map(str::to_owned));
        }
        Route::Collection(_) => {
            subject.external_ids.extend(request.json().and_then(external_id));
        }
        Route::Authenticate | Route::Info | Route::Unknown => {}
    }
    subject
}
