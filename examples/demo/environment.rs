//! What the demo reads from its environment: the only place that does.

use std::ffi::OsString;

use anyhow::{Context as _, Result};

/// What the launcher has started.
pub(crate) struct Services {
    pub(crate) database_url: String,
    pub(crate) amqp_url: String,
}

impl Services {
    pub(crate) fn find() -> Result<Self> {
        let get = |name: &str| {
            let value = variable(name).and_then(|value| value.into_string().ok());
            value.with_context(|| {
                format!(
                    "{name} is not set. The demo needs a Postgres and a RabbitMQ of its own: start it with \
                     `make demo`, or as `deploy/local/with-services -- cargo run --example demo`."
                )
            })
        };
        Ok(Self {
            database_url: get("EMS_SYNC_LOCAL_DATABASE_URL")?,
            amqp_url: get("EMS_SYNC_LOCAL_AMQP_URL")?,
        })
    }
}

/// A variable that is set and not empty.
#[expect(
    clippy::disallowed_methods,
    reason = "the demo is no part of the program that src/config.rs configures"
)]
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}
