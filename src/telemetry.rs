//! Logs: structured events on standard error, as text or JSON.
//!
//! **Never:** personal data or credentials. Our own events name entities by type and id. What the libraries log
//! below `warn` is not shown whatever the level, since drivers quote statement parameters and handshakes there.

use std::str::FromStr;

use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

/// What is logged unless `--log-level` says otherwise. lapin logs every lost connection and returned message by
/// itself; we report both where they matter.
pub const DEFAULT_FILTER: &str = "info,lapin=off,lapin::returned_messages=off";

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object per line.
    Json,
}

/// A filter in the syntax of `tracing`, for example `info` or `warn,ems_sync::sweep=debug`; proven to be readable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter(String);

impl Default for LogFilter {
    fn default() -> Self {
        Self(DEFAULT_FILTER.to_owned())
    }
}

impl FromStr for LogFilter {
    type Err = tracing_subscriber::filter::ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        EnvFilter::builder().parse(text)?;
        let quiet = if text.contains("lapin") { "" } else { ",lapin=off" };
        Ok(Self(format!("{text}{quiet}")))
    }
}

/// Begins logging: each event is written to a `writer` of its own, at once.
///
/// # Errors
/// When logging was begun before.
pub fn start<W>(format: LogFormat, filter: &LogFilter, writer: W) -> Result<(), TryInitError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layers = tracing_subscriber::registry()
        .with(EnvFilter::builder().parse_lossy(&filter.0))
        .with(FilterFn::new(may_be_shown));
    match format {
        LogFormat::Text => {
            let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
            let layer = tracing_subscriber::fmt::layer().with_writer(writer);
            layers.with(layer.with_ansi(is_terminal)).try_init()
        }
        LogFormat::Json => {
            let layer = tracing_subscriber::fmt::layer().json().flatten_event(true);
            layers.with(layer.with_writer(writer)).try_init()
        }
    }
}

/// Ours at any level, the libraries' from `warn` upwards.
fn may_be_shown(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    let is_ours = target == "ems_sync" || target.starts_with("ems_sync::");
    is_ours || *metadata.level() <= Level::WARN
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_a_driver_logs_in_detail_is_never_shown() {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::registry()
            .with(EnvFilter::builder().parse_lossy("trace"))
            .with(FilterFn::new(may_be_shown))
            .with(tracing_subscriber::fmt::layer().with_writer(move || writer.clone()));
        tracing::subscriber::with_default(subscriber, || {
            tracing::debug!(target: "tokio_postgres::query", "parameters: a@example.org");
            tracing::trace!(target: "lapin::connection", "PLAIN guest guest");
            tracing::debug!(target: "ems_sync_lookalike", "a@example.org");
            tracing::info!(target: "tokio_postgres::connection", "NOTICE: a@example.org");
            tracing::warn!(target: "hyper", "of a library");
            tracing::trace!(target: "ems_sync::sweep", "in detail");
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert!(!text.contains("example.org") && !text.contains("guest"), "{text}");
        assert!(text.contains("of a library") && text.contains("in detail"), "{text}");
    }

    #[test]
    fn a_filter_is_proven_when_it_is_read_and_keeps_lapin_quiet() {
        let read = |text: &str| text.parse::<LogFilter>().map(|filter| filter.0).ok();
        assert_eq!(read("debug").as_deref(), Some("debug,lapin=off"));
        assert_eq!(read("info,lapin=warn").as_deref(), Some("info,lapin=warn"));
        assert_eq!(read("  ").as_deref(), Some(DEFAULT_FILTER));
        assert_eq!(read("ems_sync=loud"), None);
    }
}
