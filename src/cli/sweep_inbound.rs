//! `ems-sync sweep inbound`: one walk over everything that the targets show, then exit. What is taken in is published; the
//! consumers of the running processes apply it.

use std::sync::Arc;

use serde::Serialize;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::args::SweepInboundArgs;
use super::sweep::wanted;
use super::table::{cell, table};
use super::target::by_here;
use super::{Exit, adapters, bar, output};
use crate::clients::{self, Job};
use crate::config::Config;
use crate::deliver::breaker::Breaker;
use crate::deliver::guard;
use crate::error_chain::chain;
use crate::inbound::pull::{Puller, Swept, Walked};
use crate::ops::metrics::Metrics;
use crate::remote::Remote;
use crate::store::WholeTarget;
use crate::target::Target;
use crate::target_watch;

/// What was read of one target.
#[derive(Serialize)]
struct Row {
    target: Target,
    #[serde(flatten)]
    swept: Swept,
    /// What is to be decided about, all together.
    taken_in: u64,
    /// Why it ended early; what was read until then is taken in.
    error: Option<String>,
}

#[derive(Serialize)]
struct Document {
    targets: Vec<Row>,
}

pub(super) async fn inbound(config: &Config, args: SweepInboundArgs) -> anyhow::Result<Exit> {
    let mut targets = Vec::new();
    for target in wanted(&config.targets.enabled(), args.sweep.target)? {
        let job = SweepNow { config, accept_missing: args.accept_missing };
        let (swept, error) = clients::once(config, target, job).await?;
        targets.push(Row { target, taken_in: swept.taken_in(), swept, error });
    }
    let failed = targets.iter().any(|row| row.error.is_some());
    if args.sweep.json {
        output::json(&Document { targets })?;
    } else {
        output::text(&shown(&targets))?;
    }
    Ok(if failed { Exit::Failed } else { Exit::Fine })
}

/// All streams of one target, once.
struct SweepNow<'a> {
    config: &'a Config,
    accept_missing: bool,
}

impl Job for SweepNow<'_> {
    type Output = (Swept, Option<String>);

    async fn run<R: Remote>(
        self,
        build: impl Fn() -> anyhow::Result<R> + Send,
    ) -> anyhow::Result<Self::Output> {
        let (config, remote) = (self.config, build()?);
        let target = remote.target();
        if remote.streams().is_empty() {
            return Ok((Swept::default(), None));
        }
        let (store, publisher) = adapters(config, "sweep inbound")?;
        let stop = CancellationToken::new();
        let (watch, _watcher) = target_watch::start(store.clone(), stop.clone()).await?;
        let owner = Uuid::new_v4();
        let by = format!("ems-sync sweep {owner}");
        let puller = Puller {
            breaker: Arc::new(Breaker::new(
                store.clone(),
                target,
                watch.clone(),
                config.breaker,
                by,
            )),
            store,
            publisher: Arc::new(publisher),
            remote: Arc::new(remote),
            watch,
            guard: guard::Limits::new(config.guard, config.sweep.inbound_every),
            owner,
            metrics: Arc::new(Metrics::new()?),
            beat: bar::beat(),
            stop,
        };
        if self.accept_missing {
            let by = by_here();
            puller.store.note_order(target, WholeTarget::AcceptMissing, None, &by).await?;
        }
        let (swept, result) = puller.sweep_now(self.accept_missing).await;
        Ok((swept, result.err().map(|error| chain(&error))))
    }
}

fn taken_in(walked: &Walked) -> String {
    match walked.removals_held {
        0 => walked.taken_in.to_string(),
        held => format!("{}, {held} held", walked.taken_in),
    }
}

fn consents(walked: &Walked) -> String {
    let mut text = format!("{} of {}", walked.consents_taken, walked.consents);
    for (n, word) in [(walked.consents_held, "held"), (walked.consents_refused, "refused")] {
        if n > 0 {
            text.push_str(&format!(", {n} {word}"));
        }
    }
    text
}

fn shown(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "No target is enabled.".to_owned();
    }
    let heads = ["TARGET", "STREAM", "PAGES", "SEEN", "TAKEN IN", "MISSING", "CONSENTS"];
    let mut table = table(&heads);
    for row in rows {
        for walked in &row.swept.streams {
            let missing = match walked.missing {
                Some(missing) if walked.held => format!("{missing} (held)"),
                Some(missing) => missing.to_string(),
                None => "-".to_owned(),
            };
            table.add_row([
                row.target.to_string(),
                walked.stream.name().to_owned(),
                walked.pages.to_string(),
                walked.seen.to_string(),
                taken_in(walked),
                missing,
                consents(walked),
            ]);
        }
    }
    let mut text = table.to_string();
    for row in rows.iter().filter(|row| row.swept.read > 0) {
        let (read, taken) = (row.swept.read, row.swept.read_taken_in);
        text.push_str(&format!(
            "\n{}: {read} records read by themselves, {taken} taken in",
            row.target
        ));
    }
    for row in rows.iter().filter(|row| row.swept.streams.iter().any(|walked| walked.held)) {
        text.push_str(&format!(
            "\n{0}: more is missing than may be, so none of it is looked at. If it is gone: ems-sync sweep inbound --target {0} \
             --accept-missing",
            row.target
        ));
    }
    for row in rows {
        if let Some(error) = &row.error {
            text.push_str(&format!("\n{}: ended early: {}", row.target, cell(Some(error))));
        }
    }
    text
}
