//! TagServer, the organisation's own timing system, by `tests/remotes/contracts/tagserver.md`.
//!
//! Eight resources with ids of one sequence, unique `externalId` per resource, foreign keys,
//! JHipster's errors and its traps. The parts, in the order of a request: `route` tells what it
//! is about, `auth` and `token` who may, `draft` what a body says, `write`, `bulk` and `read`
//! work on the `store`, `problem` words the refusals.

#![allow(clippy::doc_markdown, reason = "TagServer and JHipster are names, not identifiers")]

mod audit;
mod auth;
mod bulk;
mod draft;
mod field;
mod handle;
mod options;
mod problem;
mod read;
mod resource;
mod route;
mod serve;
mod server;
mod store;
mod token;
mod write;

pub use options::{
    Bulk, DeleteUnknown, MissingRelation, TagServerOptions, TagServerSettings, TokenExpiry,
};
pub use problem::{concurrency_failure, data_access_failure};
pub use resource::Resource;
pub use server::TagServer;
pub use store::Row;
