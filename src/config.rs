//! Configuration: defaults, then a TOML file, then the environment, checked as a whole before anything starts.
//!
//! One list (`keys`) names every setting; the reader, the example files under `deploy/` and the suggestions for
//! typos follow it. [`Config::load`] finds all problems at once.
//!
//! **Guarantees.** What is set must be valid, whether its target is enabled or not; what is missing is a problem
//! only where it is needed. No text of a [`ConfigError`] and no `Debug` of a [`Config`] holds a secret's value.
//! Nothing else in the program reads the environment.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use crate::deliver::breaker::rule::Patience;
use crate::deliver::retry::RetryPolicy;

mod base_url;
mod keys;
mod problem;
mod reader;
mod source;
mod targets;
mod value;

pub use problem::{ConfigError, Origin, Problem};
pub use targets::{
    ChatwootConfig, MailChimpConfig, MauticConfig, MauticCredentials, MergeMode, RunSignupCaller,
    RunSignupConfig, TagServerConfig, TargetConfig, Targets,
};

use reader::Reader;

/// Everything that the program can be told.
#[derive(Debug, Clone)]
pub struct Config {
    /// The EMS database.
    pub database: Database,
    /// The message broker.
    pub broker: BrokerConfig,
    /// How changes are noticed.
    pub capture: Capture,
    /// The operations endpoints.
    pub ops: Ops,
    /// How often everything is compared.
    pub sweep: Sweep,
    /// How a failed attempt is tried again.
    pub retry: RetryPolicy,
    /// How long a target may fail.
    pub breaker: Patience,
    /// The five targets.
    pub targets: Targets,
    /// What stops a flood of deletes.
    pub guard: Guard,
}

/// The EMS database.
#[derive(Debug, Clone)]
pub struct Database {
    /// `postgres://…`; may hold a password.
    pub url: SecretString,
}

/// The message broker.
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    /// `amqp://…` or `amqps://…`; may hold a password.
    pub url: SecretString,
    /// First part of the name of every exchange and queue.
    pub prefix: String,
}

/// How the relay learns that the outbox has rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WakeMode {
    /// `LISTEN`; needs a session of its own, so no pooler in transaction mode.
    Notify,
    /// It looks at short intervals.
    Poll,
}

/// How changes are noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capture {
    /// What wakes the relay.
    pub wake: WakeMode,
}

/// The operations endpoints.
#[derive(Debug, Clone)]
pub struct Ops {
    /// Where they listen.
    pub listen: SocketAddr,
    /// Opens the console and the API; both stay off without one.
    pub token: Option<SecretString>,
    /// Opens both for reading only.
    pub read_token: Option<SecretString>,
    /// The header in which a proxy in front of the console says who somebody is; believed beside a token only.
    pub user_header: Option<String>,
}

/// How often everything is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sweep {
    /// Between two looks for what events missed on the way out.
    pub outbound_every: Duration,
    /// Between two looks at the bi-directional remotes.
    pub inbound_every: Duration,
}

/// What stops a flood of deletes, per target and sweep interval. The larger allowance counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Guard {
    /// Deletes that are always allowed.
    pub max_deletes: u32,
    /// Share of the target's records that may be deleted, 0 to 1.
    pub max_delete_share: f64,
}

impl Config {
    /// Reads and checks the configuration. Without `file`, `EMS_SYNC_CONFIG` may name one.
    ///
    /// # Errors
    ///
    /// Every problem that was found, none of the secrets.
    pub fn load(
        file: Option<&Path>,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, ConfigError> {
        load(file, environment)
    }
}

/// The environment of this process: its only reader. What is not UTF-8 comes with replacement characters, which
/// [`Config::load`] reports for its own variables.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub fn environment() -> BTreeMap<String, String> {
    let text = |s: std::ffi::OsString| s.to_string_lossy().into_owned();
    std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect()
}

/// Whether spans are to be sent: an OTLP endpoint is named by one of OpenTelemetry's own variables, which its library reads, and it is
/// not switched off (`OTEL_SDK_DISABLED`).
#[must_use]
pub fn wants_traces() -> bool {
    let environment = environment();
    let is_set = |name: &str| environment.get(name).is_some_and(|value| !value.trim().is_empty());
    let is_disabled = environment
        .get("OTEL_SDK_DISABLED")
        .is_some_and(|value| value.eq_ignore_ascii_case("true"));
    !is_disabled
        && (is_set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") || is_set("OTEL_EXPORTER_OTLP_ENDPOINT"))
}

/// The name of the variable that names the configuration file.
const CONFIG_VARIABLE: &str = "EMS_SYNC_CONFIG";
/// Bounds of the sweeps' intervals.
const SWEEP_EVERY: (Duration, Duration) =
    (Duration::from_millis(100), Duration::from_secs(7 * 24 * 60 * 60));
/// Bounds of the first retry's delay.
const BASE_DELAY: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(10));
/// Bounds of the time after which a target that only fails is disabled.
const DISABLE_AFTER: (Duration, Duration) =
    (Duration::from_secs(1), Duration::from_secs(365 * 24 * 60 * 60));
/// Retries of a cycle that may be configured.
const MAX_RETRIES: i64 = 10;
/// A shorter token could be guessed.
const TOKEN_CHARS_MIN: usize = 8;
/// Names of queues have at most 255 bytes; the prefix leaves most of them to what follows.
const PREFIX_CHARS_MAX: usize = 64;

fn load(
    file: Option<&Path>,
    environment: &BTreeMap<String, String>,
) -> Result<Config, ConfigError> {
    let named = environment.get(CONFIG_VARIABLE).filter(|name| !name.is_empty()).map(Path::new);
    let mut reader = Reader::new(source::merge(file.or(named), environment));
    let config = read(&mut reader);
    let problems = reader.into_problems();
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(ConfigError { problems }),
    }
}

/// Reads every setting, also after a problem, and only then puts them together.
fn read(r: &mut Reader) -> Option<Config> {
    let always = "it is always needed";
    let database = r.needed(Some(always), "database.url", value::database_url);
    let broker = r.needed(Some(always), "broker.url", value::broker_url);
    let prefix = r.get("broker.prefix", |raw| value::prefix(raw, PREFIX_CHARS_MAX));
    let wake = r.get("capture.wake", |raw| {
        value::choice(raw, &[("notify", WakeMode::Notify), ("poll", WakeMode::Poll)])
    });
    let ops = ops(r);
    let outbound = r.get("sweep.outbound_every", |raw| value::duration(raw, SWEEP_EVERY));
    let inbound = r.get("sweep.inbound_every", |raw| value::duration(raw, SWEEP_EVERY));
    let max_retries = r.get("retry.max_retries", |raw| value::integer(raw, 0..=MAX_RETRIES));
    let base_delay = r.get("retry.base_delay", |raw| value::duration(raw, BASE_DELAY));
    let disable_after = r.get("breaker.disable_after", |raw| value::duration(raw, DISABLE_AFTER));
    let targets = targets::read(r);
    let max_deletes = r.get("guard.max_deletes", |raw| value::integer(raw, 0..=u32::MAX.into()));
    let max_delete_share = r.get("guard.max_delete_share", value::share);
    Some(Config {
        database: Database { url: database? },
        broker: BrokerConfig { url: broker?, prefix: prefix? },
        capture: Capture { wake: wake? },
        ops: ops?,
        sweep: Sweep { outbound_every: outbound?, inbound_every: inbound? },
        retry: RetryPolicy { max_retries: max_retries?, base_delay: base_delay? },
        breaker: Patience { disable_after: disable_after? },
        targets: targets?,
        guard: Guard { max_deletes: max_deletes?, max_delete_share: max_delete_share? },
    })
}

fn ops(r: &mut Reader) -> Option<Ops> {
    let listen = r.get("ops.listen", value::address);
    let token = r.get("ops.token", |raw| value::token(raw, TOKEN_CHARS_MIN));
    let read_token = r.get("ops.read_token", |raw| value::token(raw, TOKEN_CHARS_MIN));
    let user_header = r.get("ops.user_header", value::word);
    if let (Some(token), Some(reader)) = (&token, &read_token)
        && token.expose_secret() == reader.expose_secret()
    {
        r.problem("ops.read_token", "must differ from `ops.token`, which opens everything");
    }
    let secret = ["authorization", "cookie"];
    if let Some(header) = &user_header
        && secret.contains(&header.to_ascii_lowercase().as_str())
    {
        r.problem("ops.user_header", "must be a header that holds a name, not a secret");
    }
    Some(Ops { listen: listen?, token, read_token, user_header })
}

#[cfg(test)]
mod tests;
