//! The client of MailChimp alone against the simulator, without a database: the obligations of `src/remote.rs` and the
//! contract's lines, one test each. `engine` is the whole system.

mod bench;

mod account;
mod address;
mod consent;
mod create;
mod faults;
mod former;
mod lapse;
mod list;
mod orders;
mod tags;
mod update;

mod engine;
