//! Readiness: whether this process makes progress and reaches what it needs. Liveness is another question, and its
//! answer is always yes: a process that can answer needs no restart, however long Postgres is away.

use std::time::Duration;

use serde::Serialize;

use crate::broker::Publisher;
use crate::error_chain::chain;
use crate::ops::progress::Progress;
use crate::store::Store;
use crate::target::Target;
use crate::target_watch::TargetWatch;

/// How long each check may take.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// The document of `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// Everything below is well.
    pub ready: bool,
    /// `ok`, or why not.
    pub database: String,
    /// `ok`, or why not.
    pub broker: String,
    /// The parts of this process that make no progress.
    pub silent: Vec<Silent>,
    /// For information: a target that takes no deliveries does not make a process unready.
    pub targets: Vec<Open>,
}

/// A part that makes no progress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Silent {
    /// Which.
    pub part: String,
    /// For how long.
    pub seconds: u64,
}

/// Whether a target takes deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Open {
    /// The target.
    pub target: Target,
    /// It does.
    pub takes_deliveries: bool,
}

/// Checks, within [`PATIENCE`].
pub async fn check(
    store: &Store,
    publisher: &Publisher,
    progress: &Progress,
    watch: &TargetWatch,
    enabled: &[Target],
) -> Readiness {
    let (database, broker) =
        tokio::join!(within_patience(Box::pin(store.ping())), takes_messages(publisher));
    let open = |target: &Target| Open { target: *target, takes_deliveries: watch.is_open(*target) };
    readiness(database, broker, progress.silent(), enabled.iter().map(open).collect())
}

/// Whether the broker takes messages now; if not, why. A connection learns of an alarm of the broker when it publishes.
pub(super) async fn takes_messages(publisher: &Publisher) -> Result<(), String> {
    within_patience(Box::pin(publisher.prove())).await
}

/// Whether it went well in time; if not, why.
async fn within_patience<E: std::error::Error + 'static>(
    call: impl Future<Output = Result<(), E>>,
) -> Result<(), String> {
    match tokio::time::timeout(PATIENCE, call).await {
        Ok(Ok(())) => Ok(()),
        // The endpoint is open to everybody: addresses and names of roles stand in the log, not here.
        Ok(Err(error)) => {
            tracing::debug!(error = chain(&error), "Not ready");
            Err("can't be reached".to_owned())
        }
        Err(_) => Err("no answer in time".to_owned()),
    }
}

fn readiness(
    database: Result<(), String>,
    broker: Result<(), String>,
    silent: Vec<(String, Duration)>,
    targets: Vec<Open>,
) -> Readiness {
    let ready = database.is_ok() && broker.is_ok() && silent.is_empty();
    let told = |result: Result<(), String>| result.map_or_else(|why| why, |()| "ok".to_owned());
    let silent = silent
        .into_iter()
        .map(|(part, silence)| Silent { part, seconds: silence.as_secs() })
        .collect();
    Readiness { ready, database: told(database), broker: told(broker), silent, targets }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_that_is_not_well_makes_it_unready_and_is_named() {
        let ok = || Ok(());
        let bad = || Err("no answer in time".to_owned());
        let silent = vec![("relay".to_owned(), Duration::from_secs(75))];
        assert!(readiness(ok(), ok(), vec![], vec![]).ready);
        let database = readiness(bad(), ok(), vec![], vec![]);
        assert_eq!((database.ready, database.database.as_str()), (false, "no answer in time"));
        let broker = readiness(ok(), bad(), vec![], vec![]);
        assert_eq!((broker.ready, broker.broker.as_str()), (false, "no answer in time"));
        let relay = readiness(ok(), ok(), silent, vec![]);
        assert_eq!(
            (relay.ready, relay.silent),
            (false, vec![Silent { part: "relay".to_owned(), seconds: 75 }])
        );
    }

    #[test]
    fn a_target_that_takes_no_deliveries_does_not_make_it_unready() {
        let targets = vec![Open { target: Target::TagServer, takes_deliveries: false }];
        assert!(readiness(Ok(()), Ok(()), vec![], targets).ready);
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_hangs_is_given_up() {
        let hangs = std::future::pending::<Result<(), std::fmt::Error>>();
        assert_eq!(within_patience(hangs).await, Err("no answer in time".to_owned()));
    }
}
