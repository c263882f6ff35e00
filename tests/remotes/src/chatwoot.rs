//! Chatwoot, the support desk, by `tests/remotes/contracts/chatwoot.md` (Chatwoot 4.14).
//!
//! Contacts with ids of the installation, conversations, labels, attribute definitions and account
//! webhooks, with Rails' errors and Chatwoot's traps. The parts, in the order of a request:
//! `route` tells what it is about, `throttle` and `auth` who may and how often, `draft` what a body
//! says, `contacts`, `labels`, `merge`, `conversations`, `definitions` and `webhooks` work on the
//! `store`, `listing` and `filter` choose and page, `refusal` words the errors. `jobs` and
//! `delivery` are Chatwoot's background work: events, signed webhooks, destroyed conversations.
//! `people` is what agents do, not the worker.

mod audit;
mod auth;
mod contact;
mod contacts;
mod conversation;
mod conversations;
mod definition;
mod definitions;
mod delivery;
mod draft;
mod filter;
mod handle;
mod jobs;
mod known;
mod labels;
mod listing;
mod merge;
mod options;
mod people;
mod plant;
mod refusal;
mod resource;
mod route;
mod serve;
mod server;
mod store;
mod throttle;
mod webhook;
mod webhooks;

pub use delivery::{Delivery, Sent, signature};
pub use options::{
    ChatwootOptions, ChatwootSettings, DuplicateCreate, Jobs, Locale, ServerErrorBody,
};
pub use people::Author;
pub use plant::Row;
pub use resource::Resource;
pub use server::Chatwoot;
