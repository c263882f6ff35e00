//! What comes back: remote records that people changed at a target, decided and taken into the EMS.
//!
//! [`pull`] reads, page by page, and stores what is new in `sync.inbox` together with where the walk stands: one row per remote
//! record, the newest. A message on `<prefix>.<target>.inbound` names such a row; lost messages do no harm, since rows that are
//! due are published again. Each row is decided and applied in a transaction of its own ([`apply`]) by a pure table ([`decision`]); the
//! EMS wins, and what lost is kept in `sync.conflict`. A webhook ([`hook`]) only says where to look.

pub mod apply;
pub mod consumer;
pub mod decision;
pub mod hook;
pub mod merge;
pub mod pull;
