//! What comes back: decided and applied with a real Postgres, queues, and the simulated Chatwoot.

mod adoption;
mod bench;
mod conflicts;
mod deaths;
mod order;
mod refusals;
mod removal;
mod stale;
mod theirs;
