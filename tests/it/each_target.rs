//! What must hold for each of the five targets, by the whole engine: what would withdraw many consents is held, `verify` finds what
//! people did at the remote, certificates are checked before a byte is sent, nothing leaks to any of them, and each may fail in every
//! way.

mod bed;
mod canaries;
mod canaries_inbound;
mod consent;
mod failures;
mod meddling;
mod tls;
mod verify;
mod wiretap;
