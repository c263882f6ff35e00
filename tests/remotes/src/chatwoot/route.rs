//! Paths and methods: what a request is about, before anything is done.

use hyper::Method;
use serde_json::Value;

use super::contact::{ems_id_of, ems_id_of_identifier};
use super::filter::equalities;
use super::resource::Resource;
use super::store::Store;
use crate::{Operation, Request, Subject};

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Contacts,
    ContactSearch,
    ContactFilter,
    Contact(String),
    ContactAttributes(String),
    ContactLabels(String),
    ContactConversations(String),
    ContactMerge,
    Definitions,
    Conversations,
    ConversationMeta,
    ConversationFilter,
    Conversation(String),
    Messages(String),
    Webhooks,
    Webhook(String),
    Unknown,
}

impl Route {
    /// The account that `path` names, and where it leads there.
    pub(super) fn of(path: &str) -> (Option<&str>, Self) {
        let Some(rest) = path.strip_prefix("/api/v1/accounts/") else {
            return (None, Self::Unknown);
        };
        let Some((account, rest)) = rest.split_once('/') else {
            return (Some(rest), Self::Unknown);
        };
        let segments: Vec<&str> = rest.split('/').collect();
        let route = match segments.as_slice() {
            ["contacts"] => Self::Contacts,
            ["contacts", "search"] => Self::ContactSearch,
            ["contacts", "filter"] => Self::ContactFilter,
            ["contacts", id] => Self::Contact((*id).to_owned()),
            ["contacts", id, "destroy_custom_attributes"] => {
                Self::ContactAttributes((*id).to_owned())
            }
            ["contacts", id, "labels"] => Self::ContactLabels((*id).to_owned()),
            ["contacts", id, "conversations"] => Self::ContactConversations((*id).to_owned()),
            ["actions", "contact_merge"] => Self::ContactMerge,
            ["custom_attribute_definitions"] => Self::Definitions,
            ["conversations"] => Self::Conversations,
            ["conversations", "meta"] => Self::ConversationMeta,
            ["conversations", "filter"] => Self::ConversationFilter,
            ["conversations", id] => Self::Conversation((*id).to_owned()),
            ["conversations", id, "messages"] => Self::Messages((*id).to_owned()),
            ["webhooks"] => Self::Webhooks,
            ["webhooks", id] => Self::Webhook((*id).to_owned()),
            _ => Self::Unknown,
        };
        (Some(account), route)
    }

    /// The route with its parameters by name.
    pub(super) fn template(&self) -> &'static str {
        match self {
            Self::Contacts => "/api/v1/accounts/{account}/contacts",
            Self::ContactSearch => "/api/v1/accounts/{account}/contacts/search",
            Self::ContactFilter => "/api/v1/accounts/{account}/contacts/filter",
            Self::Contact(_) => "/api/v1/accounts/{account}/contacts/{id}",
            Self::ContactAttributes(_) => {
                "/api/v1/accounts/{account}/contacts/{id}/destroy_custom_attributes"
            }
            Self::ContactLabels(_) => "/api/v1/accounts/{account}/contacts/{id}/labels",
            Self::ContactConversations(_) => {
                "/api/v1/accounts/{account}/contacts/{id}/conversations"
            }
            Self::ContactMerge => "/api/v1/accounts/{account}/actions/contact_merge",
            Self::Definitions => "/api/v1/accounts/{account}/custom_attribute_definitions",
            Self::Conversations => "/api/v1/accounts/{account}/conversations",
            Self::ConversationMeta => "/api/v1/accounts/{account}/conversations/meta",
            Self::ConversationFilter => "/api/v1/accounts/{account}/conversations/filter",
            Self::Conversation(_) => "/api/v1/accounts/{account}/conversations/{id}",
            Self::Messages(_) => "/api/v1/accounts/{account}/conversations/{id}/messages",
            Self::Webhooks => "/api/v1/accounts/{account}/webhooks",
            Self::Webhook(_) => "/api/v1/accounts/{account}/webhooks/{id}",
            Self::Unknown => "unknown",
        }
    }

    /// The resource, if it leads to one.
    pub(super) fn resource(&self) -> Option<Resource> {
        match self {
            Self::Contacts
            | Self::ContactSearch
            | Self::ContactFilter
            | Self::Contact(_)
            | Self::ContactAttributes(_)
            | Self::ContactLabels(_)
            | Self::ContactMerge => Some(Resource::Contact),
            Self::ContactConversations(_)
            | Self::Conversations
            | Self::ConversationMeta
            | Self::ConversationFilter
            | Self::Conversation(_)
            | Self::Messages(_) => Some(Resource::Conversation),
            Self::Definitions => Some(Resource::AttributeDefinition),
            Self::Webhooks | Self::Webhook(_) => Some(Resource::Webhook),
            Self::Unknown => None,
        }
    }

    /// What `request` is meant to do here; `Other` for what there is not.
    pub(super) fn operation(&self, request: &Request) -> Operation {
        match (self, request.method.as_str()) {
            (Self::Contacts | Self::Definitions | Self::Webhooks, "POST") => Operation::Create,
            (Self::Contact(_) | Self::Webhook(_), "PUT" | "PATCH")
            | (Self::ContactAttributes(_) | Self::ContactLabels(_) | Self::ContactMerge, "POST") => {
                Operation::Patch
            }
            (Self::Contact(_) | Self::Webhook(_), "DELETE") => Operation::Delete,
            (Self::Contact(_) | Self::ContactLabels(_) | Self::Conversation(_), "GET") => {
                Operation::Read
            }
            (Self::ContactSearch, "GET") => Operation::Find,
            (Self::ContactFilter, "POST") if finds_one(request) => Operation::Find,
            (Self::ContactFilter | Self::ConversationFilter, "POST")
            | (
                Self::Contacts
                | Self::ContactConversations(_)
                | Self::Definitions
                | Self::Conversations
                | Self::Messages(_)
                | Self::Webhooks,
                "GET",
            ) => Operation::List,
            (Self::ConversationMeta, "GET") => Operation::Info,
            _ => Operation::Other,
        }
    }
}

/// Whether a filter looks for a contact by one of its keys.
fn finds_one(request: &Request) -> bool {
    let keys = ["identifier", "email", "phone_number", EMS_ATTRIBUTE];
    request.json().is_some_and(|body| equalities(body).any(|(key, _)| keys.contains(&key)))
}

/// The custom attribute that holds our id besides the identifier.
pub(super) const EMS_ATTRIBUTE: &str = "ems_person_id";

/// What `request` is about; the store tells whose row an id is.
pub(super) fn subject(request: &Request, store: &Store) -> Subject {
    let (_, route) = Route::of(&request.path);
    let mut subject = Subject::new(route.operation(request), route.template());
    subject.resource = route.resource().map(Resource::segment);
    subject.seen = store.contacts.writes();
    let body = request.json();
    let stored = |id: &str| store.contacts.get(id.parse().ok()?)?.ems_id();
    match &route {
        Route::Contacts if request.method == Method::POST => {
            subject.external_ids.extend(body.and_then(ems_id_of));
        }
        Route::ContactFilter => {
            let ours = body.into_iter().flat_map(equalities).filter_map(|(key, value)| match key {
                "identifier" => ems_id_of_identifier(value),
                EMS_ATTRIBUTE => Some(value.to_owned()),
                _ => None,
            });
            subject.external_ids.extend(ours);
        }
        Route::ContactSearch => {
            let sought = request.query_value("q").and_then(ems_id_of_identifier);
            subject.external_ids.extend(sought);
        }
        Route::ContactMerge => {
            let ids = ["base_contact_id", "mergee_contact_id"].map(|name| {
                body.and_then(|body| body.get(name))
                    .and_then(Value::as_i64)
                    .map(|id| id.to_string())
            });
            subject.external_ids.extend(ids.iter().flatten().filter_map(|id| stored(id)));
            subject.remote_id = ids.into_iter().next().flatten();
        }
        Route::Webhook(id) | Route::Conversation(id) | Route::Messages(id) => {
            subject.remote_id = Some(id.clone());
        }
        Route::Contact(id)
        | Route::ContactAttributes(id)
        | Route::ContactLabels(id)
        | Route::ContactConversations(id) => {
            subject.external_ids.extend(body.and_then(ems_id_of));
            subject.external_ids.extend(stored(id));
            subject.external_ids.dedup();
            subject.remote_id = Some(id.clone());
        }
        Route::Contacts
        | Route::Definitions
        | Route::Conversations
        | Route::ConversationMeta
        | Route::ConversationFilter
        | Route::Webhooks
        | Route::Unknown => {}
    }
    subject
}
