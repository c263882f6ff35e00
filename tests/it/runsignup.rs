//! The client of RunSignup alone against the simulator, without a database: the obligations of `src/remote.rs` and the
//! contract's lines. `engine` runs the whole of ems-sync against it.

mod bench;

mod create;
mod delete;
mod ignored;
mod lost;
mod transfer;
mod update;

mod faults;
mod list;
mod login;
mod races;

mod differs;
mod pull;
mod pull_faults;
mod reread;
mod takes_in;
mod takes_in_races;

mod engine;
mod inbound;
mod inbound_clock;
#[cfg(feature = "failpoints")]
mod inbound_deaths;
mod inbound_edits;
