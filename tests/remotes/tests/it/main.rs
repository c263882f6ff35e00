//! The simulators keep their contracts, and misbehave exactly as they are told.
//!
//! `tagserver_*` and `runsignup` go line by line through the contracts in `tests/remotes/contracts/`;
//! the others are about what all simulators share.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::doc_markdown,
    reason = "a test that panics has failed, which is what it is for"
)]

mod client;

mod runsignup;

mod tagserver_bulk;
mod tagserver_field;
mod tagserver_login;
mod tagserver_reads;
mod tagserver_validation;
mod tagserver_writes;

mod control;
mod door;
mod faults;
mod journal;
mod load;
mod process;
mod tls;
