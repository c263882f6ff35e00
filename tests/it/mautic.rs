//! Mautic's client alone against the simulator, and the whole engine in front of it: the obligations of `src/remote.rs` and
//! the contract's lines, one test each. None of them breaks the contract: each ends without a violation.

mod bench;
mod rig;

mod account;
mod login;

mod create;
mod delete;
mod update;

mod batch;
mod consent;
mod shared;

mod faults;
mod late;
mod list;

mod engine;
