//! What people see and do: metrics, progress, status and explanations, and the HTTP endpoints.

pub mod metrics;
pub mod progress;
