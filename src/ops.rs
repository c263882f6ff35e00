//! What people see and do: metrics, progress, status and explanations, dead letters, holds, conflicts and orders, the console, and
//! the HTTP endpoints.

pub mod conflicts;
mod console;
pub mod dead_letters;
pub mod explain;
pub mod health;
pub mod holds;
pub mod metrics;
pub mod orders;
pub mod progress;
pub mod server;
pub mod status;
pub mod words;
