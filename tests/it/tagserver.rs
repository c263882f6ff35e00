//! The client of TagServer alone against the simulator, without a database: the contract's lines, one test each. What
//! every client owes is tested in `contract.rs`.

pub(crate) mod bench;

mod identity;
mod login;

mod create;
mod delete;
mod update;

mod bulk;

mod faults;
mod late;
mod list;
mod tls;
