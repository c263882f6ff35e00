//! placeholder
#![allow(missing_docs)]
pub mod broker;
pub mod capture;
pub mod config;
pub mod deliver;
pub mod delivery;
pub mod entity;
pub mod error_chain;
pub mod hash;
pub mod limits;
pub mod ops;
pub mod remote;
pub mod route;
pub mod store;
pub mod sweep;
pub mod target;
pub mod target_watch;
