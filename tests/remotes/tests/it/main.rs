//! The simulators keep their contracts, and misbehave exactly as they are told.
//!
//! `<remote>` and `<remote>_*` go line by line through `tests/remotes/contracts/<remote>.md`; the others are about
//! what all simulators share.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::doc_markdown,
    reason = "a test that panics has failed, which is what it is for"
)]

mod chatwoot_client;
mod client;
mod mautic_client;

mod mautic_batch;
mod mautic_consent;
mod mautic_faults;
mod mautic_login;
mod mautic_merges;
mod mautic_reads;
mod mautic_writes;

mod chatwoot_access;
mod chatwoot_contacts;
mod chatwoot_conversations;
mod chatwoot_lists;
mod chatwoot_webhooks;

mod runsignup;

mod tagserver_bulk;
mod tagserver_field;
mod tagserver_login;
mod tagserver_reads;
mod tagserver_validation;
mod tagserver_writes;

mod mailchimp;

mod control;
mod door;
mod faults;
mod journal;
mod load;
mod process;
mod tls;
