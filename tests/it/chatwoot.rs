//! Chatwoot: the client alone against the simulator, the obligations of `src/remote.rs` and the contract's lines, one test
//! each; then the engine with it, against Postgres and RabbitMQ.

mod bench;
mod rig;

mod adopt;
mod create;
mod differs;
mod unlink;
mod update;

mod faults;
mod list;
mod pull;
mod pull_conversations;
mod pull_faults;

mod setup;

mod inbound_sql;

mod engine;
mod inbound;
