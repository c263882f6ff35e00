//! What people see and do: metrics, progress, status and explanations, and the HTTP endpoints.

pub mod conflicts;
pub mod dead_letters;
pub mod explain;
pub mod health;
pub mod metrics;
pub mod progress;
pub mod server;
pub mod status;
