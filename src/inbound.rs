//! The way inbound: what comes back from the remotes.
//!
//! [`pull`] reads, page by page, and stores what is new in `sync.inbox` together with where the walk stands. What is stored
//! is decided about and applied to the EMS by the consumers of `<prefix>.<target>.inbound`, whose messages only name rows of
//! the inbox. A webhook ([`hook`]) only says where to look.

pub mod hook;
pub mod pull;
