//! What changed: from the outbox to what each target is owed, then to the broker.

pub mod change;
pub mod relay;
mod republish;
