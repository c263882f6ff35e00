//! MailChimp's Marketing API v3, by `tests/remotes/contracts/mailchimp.md`.
//!
//! Lists with members that are found by the hash of their address, consent that an API may not
//! give back, tags by a call of their own, and the traps of the contract. The parts, in the order
//! of a request: `throttle` lets it in, `route` tells what it is about, `serve` sends it where it
//! belongs, `draft` reads a body, `audit` notes what the contract forbids, `upsert`, `remove`,
//! `tags`, `bulk` and `batch` write to the `store`, `read` pages through it, `problem` words the
//! refusals. `people` is what subscribers and administrators do; `webhook` tells of it.

#![allow(clippy::doc_markdown, reason = "MailChimp and EMSID are names, not identifiers")]

mod address;
mod audit;
mod batch;
mod bulk;
mod deliver;
mod draft;
mod handle;
mod hooks;
mod list;
mod member;
mod merge_field;
mod options;
mod people;
mod plant;
mod problem;
mod read;
mod remove;
mod route;
mod serve;
mod server;
mod store;
mod tags;
mod throttle;
mod trim;
mod upsert;
mod webhook;

pub use address::subscriber_hash;
pub use deliver::DeliveryError;
pub use list::{InterestCategory, ListOptions};
pub use member::{OptOut, Row, Status};
pub use merge_field::{Kind, MergeField};
pub use options::{
    ArchivedUpsert, MailChimpOptions, MailChimpSettings, PutTags, TagCase, ThrottledAnswer,
};
pub use people::Act;
pub use server::MailChimp;
pub use webhook::Delivery;
