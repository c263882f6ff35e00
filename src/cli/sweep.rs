//! `ems-sync sweep outbound`: all legs in full, once, then exit. What is found is owed and published; the consumers
//! of the running processes push it.

use std::sync::Arc;

use anyhow::Context as _;
use serde::Serialize;

use super::args::SweepArgs;
use super::table::table;
use super::{Exit, adapters, bar, output};
use crate::clients::{self, Job};
use crate::config::Config;
use crate::ops::metrics::Metrics;
use crate::remote::Remote;
use crate::sweep::{Found, Sweeper};
use crate::target::Target;
use crate::target_watch;

/// What was found for one target.
#[derive(Serialize)]
struct Row {
    target: Target,
    #[serde(flatten)]
    found: Found,
    total: usize,
}

#[derive(Serialize)]
struct Document {
    targets: Vec<Row>,
}

pub(super) async fn outbound(config: &Config, args: SweepArgs) -> anyhow::Result<Exit> {
    let mut targets = Vec::new();
    for target in wanted(&config.targets.enabled(), args.target)? {
        let found = clients::once(config, target, SweepNow(config))
            .await
            .with_context(|| format!("The sweep of `{target}` ended early"))?;
        targets.push(Row { target, found, total: found.total() });
    }
    if args.json {
        output::json(&Document { targets })?;
    } else {
        output::text(&shown(&targets))?;
    }
    Ok(Exit::Fine)
}

/// The targets to sweep.
pub(super) fn wanted(enabled: &[Target], only: Option<Target>) -> anyhow::Result<Vec<Target>> {
    match only {
        None => Ok(enabled.to_vec()),
        Some(target) if enabled.contains(&target) => Ok(vec![target]),
        Some(target) => {
            anyhow::bail!("Target `{target}` is not enabled: set `targets.{target}.enabled = true`")
        }
    }
}

/// All legs, once.
struct SweepNow<'a>(&'a Config);

impl Job for SweepNow<'_> {
    type Output = Found;

    async fn run<R: Remote>(
        self,
        build: impl Fn() -> anyhow::Result<R> + Send,
    ) -> anyhow::Result<Found> {
        sweep_with(self.0, build()?).await
    }
}

async fn sweep_with<R: Remote>(config: &Config, remote: R) -> anyhow::Result<Found> {
    let (store, publisher) = adapters(config, "sweep")?;
    let (watch, _watcher) =
        target_watch::start(store.clone(), tokio_util::sync::CancellationToken::new()).await?;
    let sweeper = Sweeper {
        store,
        publisher: Arc::new(publisher),
        remote: Arc::new(remote),
        policy: config.retry,
        watch,
        metrics: Arc::new(Metrics::new()?),
        beat: bar::beat(),
    };
    Ok(sweeper.sweep_now().await?)
}

fn shown(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "No target is enabled.".to_owned();
    }
    let mut table = table(&["TARGET", "CHANGED", "OWED", "ORPHANED", "DIFFERENT"]);
    for Row { target, found, .. } in rows {
        let numbers = [found.changed, found.owed, found.orphaned, found.different];
        table.add_row(
            std::iter::once(target.to_string()).chain(numbers.map(|number| number.to_string())),
        );
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_enabled_target_is_swept_or_the_one_that_is_named() {
        let enabled = [Target::TagServer, Target::Mautic];
        assert_eq!(wanted(&enabled, None).unwrap(), enabled);
        assert_eq!(wanted(&enabled, Some(Target::Mautic)).unwrap(), [Target::Mautic]);
        let error = wanted(&enabled, Some(Target::Chatwoot)).unwrap_err().to_string();
        assert!(error.contains("targets.chatwoot.enabled"), "{error}");
    }

    #[test]
    fn a_row_has_the_legs_beside_its_target() {
        let found = Found { changed: 1, owed: 2, orphaned: 3, different: 4 };
        let row = Row { target: Target::TagServer, found, total: found.total() };
        assert_eq!(
            serde_json::to_value(Document { targets: vec![row] }).unwrap(),
            serde_json::json!({"targets": [{"target": "tagserver", "changed": 1, "owed": 2,
                "orphaned": 3, "different": 4, "total": 10}]})
        );
    }
}
