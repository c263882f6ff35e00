//! How a failure is told: the chain of causes once, and what to do about it.

use std::io::Write as _;

use super::Exit;
use super::output::OutputClosed;
use crate::broker::BrokerError;
use crate::config::ConfigError;
use crate::store::StoreError;
use crate::sweep::SweepError;
use crate::target::Target;
use crate::telemetry::LogFormat;

/// Tells the failure on standard error, and says how to exit.
pub(super) fn failed(error: &anyhow::Error, format: LogFormat) -> Exit {
    if error.is::<OutputClosed>() {
        return Exit::Fine;
    }
    let exit = if error.is::<ConfigError>() { Exit::Configuration } else { Exit::Failed };
    let (text, advice) = (words(error), advice(error).unwrap_or_default());
    match format {
        LogFormat::Json => tracing::error!(error = text, advice, "Failed"),
        LogFormat::Text => {
            let separator = if advice.is_empty() { "" } else { "\n  " };
            // There is nowhere left to say that standard error is closed.
            writeln!(std::io::stderr(), "Error: {text}{separator}{advice}").ok();
        }
    }
    exit
}

/// The causes, outermost first, leaving out what the one before has said already.
fn words(error: &anyhow::Error) -> String {
    if let Some(config) = error.downcast_ref::<ConfigError>() {
        let lines: Vec<_> = config.problems.iter().map(|p| format!("\n  {p}")).collect();
        return format!("The configuration can't be used.{}", lines.concat());
    }
    let mut text = String::new();
    let mut last = String::new();
    for cause in error.chain() {
        let words = cause.to_string();
        if !last.is_empty() {
            if last.contains(&words) {
                continue;
            }
            text.push_str(": ");
        }
        text.push_str(&words);
        last = words;
    }
    text
}

/// What an operator can do.
fn advice(error: &anyhow::Error) -> Option<&'static str> {
    error.chain().find_map(|cause| {
        let sweep = cause.downcast_ref::<SweepError>();
        let store = match sweep {
            Some(SweepError::Store(store)) => Some(store),
            Some(SweepError::Broker(_) | SweepError::TakenOver) => None,
            None => cause.downcast_ref::<StoreError>(),
        };
        store.map(of_store).or_else(|| cause.downcast_ref::<BrokerError>().map(of_broker)).flatten()
    })
}

const MISSING_SCHEMA: &str =
    "Schema `sync` is missing or older than this program: run `ems-sync migrate`.";
const MISSING_PROJECTION: &str = "A projection is missing: run `ems-sync migrate`, or create the view if your \
     EMS has tables of its own (see sql/projections/).";

fn of_store(error: &StoreError) -> Option<&'static str> {
    if error.needs_migration() {
        return Some(if names_a_projection(error) { MISSING_PROJECTION } else { MISSING_SCHEMA });
    }
    match error {
        StoreError::Pool(_) | StoreError::Connection(_) | StoreError::NoAnswer => {
            Some("See whether Postgres runs and `database.url` is right.")
        }
        StoreError::Migration(_) => Some(
            "See whether the database belongs to an older or newer ems-sync, and whether the role owns schema `sync`.",
        ),
        StoreError::Url
        | StoreError::Tls(_)
        | StoreError::Build(_)
        | StoreError::Database { .. }
        | StoreError::Unexpected(_) => None,
    }
}

/// Whether the error is about a view `sync.<target>_<entity>`.
fn names_a_projection(error: &StoreError) -> bool {
    let StoreError::Database { message, .. } = error else { return false };
    let views = Target::ALL.into_iter().flat_map(|target| {
        let types = target.outbound_types().iter();
        types.map(move |entity_type| format!("sync.{target}_{entity_type}\""))
    });
    views.into_iter().any(|view| message.contains(&view))
}

const fn of_broker(error: &BrokerError) -> Option<&'static str> {
    match error {
        BrokerError::Timeout(_) | BrokerError::Amqp { .. } => {
            Some("See whether RabbitMQ runs and `broker.url` is right.")
        }
        BrokerError::Blocked => {
            Some("See `rabbitmqctl status`: memory and disk, and their limits.")
        }
        BrokerError::Url | BrokerError::OtherArguments(_) | BrokerError::Unconfirmed { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    fn database(code: &str) -> StoreError {
        StoreError::Database { code: code.to_owned(), message: "it is not there".to_owned() }
    }

    #[test]
    fn a_cause_that_was_told_already_is_not_told_again() {
        let error = anyhow!("connection refused").context("No connection: connection refused");
        assert_eq!(
            words(&error.context("Can't begin")),
            "Can't begin: No connection: connection refused"
        );
    }

    #[test]
    fn a_missing_schema_says_to_migrate_through_any_context() {
        for code in ["42P01", "42883", "3F000", "42703"] {
            let error = anyhow::Error::new(database(code)).context("The state can't be read");
            assert!(advice(&error).unwrap().contains("ems-sync migrate"), "{code}");
            let error = anyhow::Error::new(SweepError::Store(database(code)));
            assert!(advice(&error).unwrap().contains("ems-sync migrate"), "{code}");
        }
        assert_eq!(advice(&anyhow::Error::new(database("23505"))), None);
    }

    #[test]
    fn a_missing_projection_is_told_from_a_missing_schema() {
        let missing = |relation: &str| StoreError::Database {
            code: "42P01".to_owned(),
            message: format!("relation \"{relation}\" does not exist"),
        };
        assert!(names_a_projection(&missing("sync.tagserver_start_group")));
        for other in ["sync.tagserver_record", "sync.outbox", "sync.tagserver"] {
            assert!(!names_a_projection(&missing(other)), "{other}");
        }
    }

    #[test]
    fn only_the_configuration_exits_with_64_and_a_reader_that_left_is_no_failure() {
        let exit = |error: anyhow::Error| failed(&error, LogFormat::Json);
        assert_eq!(exit(ConfigError { problems: Vec::new() }.into()), Exit::Configuration);
        assert_eq!(exit(OutputClosed.into()), Exit::Fine);
        assert_eq!(exit(anyhow!("else")), Exit::Failed);
    }
}
