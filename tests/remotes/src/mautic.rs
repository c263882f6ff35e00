//! Mautic, by `tests/remotes/contracts/mautic.md`.
//!
//! Contacts with flat field aliases, unique identifiers that are only looked at (no constraint),
//! merges that delete, do-not-contact, tags, segments, and its traps. The parts, in the order of
//! a request: `route` tells what it is about, `auth` and `throttle` who may and how often,
//! `params` and `draft` what a body says, `write`, `merge`, `batch`, `consent`, `membership` and
//! `read` work on the `store`, `problem` words the refusals, `audit` notes what a correct client
//! never does.

#![allow(clippy::doc_markdown, reason = "Mautic, OAuth and MySQL are names, not identifiers")]

mod audit;
mod auth;
mod batch;
mod choices;
mod collation;
mod consent;
mod contact;
mod draft;
mod field;
mod filter;
mod handle;
mod membership;
mod merge;
mod options;
mod params;
mod plant;
mod problem;
mod query;
mod read;
mod route;
mod serve;
mod server;
mod store;
mod throttle;
mod write;

pub use contact::{Contact, DoNotContact, Source};
pub use field::{Field, FieldKind};
pub use options::{
    AuthorizationHeader, DedupeCheck, ErrorShape, MauticOptions, MauticSettings, MergeWinner,
    MergedId, OauthErrors, Role, Shape, SharedStage, Total, UniqueOperator, Validation, Version,
    Zeros,
};
pub use problem::{contact_without_id, list_without_contact, server_error_page};
pub use server::Mautic;
pub use store::Segment;
