//! `ems-sync target rebind`: a person says that a target is where it belongs now. Begins with a `verify`, trusts nothing
//! that was known of the target, binds it to what is there, and lets it go on.
//!
//! Safe to repeat: whatever step it ended at, the next run does all of it again.

use anyhow::Context as _;
use serde::Serialize;

use super::args::RebindArgs;
use super::{Exit, adapters, output, verify};
use crate::broker::Broker;
use crate::clients::{self, Job};
use crate::config::Config;
use crate::deliver::binding::{Bound, Part};
use crate::remote::{Remote, Standing};
use crate::target::Target;

/// What was done.
#[derive(Debug, Serialize)]
struct Document {
    target: Target,
    order: &'static str,
    /// What was found before.
    verify: verify::Document,
    /// Records that are looked at anew.
    doubted: i64,
    /// The epoch from now on.
    epoch: i64,
}

pub(super) async fn rebind(config: &Config, args: RebindArgs, by: &str) -> anyhow::Result<Exit> {
    let RebindArgs { target: args, dry_run } = args;
    let found = verify::of_target(config, args.target, false)
        .await
        .context("Nothing was changed: a rebind begins with a verify")?;
    if dry_run {
        return verify::say(&found, args.json);
    }
    if !args.json {
        output::text(&verify::summary(&found))?;
    }
    let job = Rebind { config, by };
    let (doubted, epoch) = clients::once(config, args.target, job).await?;
    let target = args.target;
    if args.json {
        let document = Document { target, order: "rebind", verify: found, doubted, epoch };
        output::json(&document)?;
    } else {
        output::text(&format!(
            "Target `{target}` is bound to this database and this account. {doubted} records are looked up again."
        ))?;
    }
    Ok(Exit::Fine)
}

/// Binds a target to where it is now.
struct Rebind<'a> {
    config: &'a Config,
    by: &'a str,
}

impl Job for Rebind<'_> {
    /// Records that are looked at anew, and the epoch from now on.
    type Output = (i64, i64);

    async fn run<R: Remote>(
        self,
        build: impl Fn() -> anyhow::Result<R> + Send,
    ) -> anyhow::Result<(i64, i64)> {
        with(self.config, build()?, self.by).await
    }
}

async fn with<R: Remote>(config: &Config, remote: R, by: &str) -> anyhow::Result<(i64, i64)> {
    let target = remote.target();
    let (store, _) = adapters(config, "rebind")?;
    let account = remote
        .account()
        .await
        .map_err(|failure| anyhow::anyhow!("The target can't say who it is: {failure}"))?;
    let mut doubted = 0;
    for entity_type in target.outbound_types() {
        let is_pushed = remote.standing(*entity_type) == Standing::Pushed;
        let keeps_ids = !is_pushed || !remote.carries_keys();
        doubted += store.doubt_all(target, *entity_type, keeps_ids).await?;
    }
    let broker = Broker::new(config.broker.url.clone(), config.broker.prefix.clone());
    let lock = broker.epoch().await?;
    let facts = store.binding(target).await?;
    let kept = lock.kept().unwrap_or(0);
    if kept > facts.epoch {
        // The raise below takes away what shows the others that this database went back in time.
        store.hold_binding(target, &[Part::Epoch]).await?;
    }
    let epoch = store.raise_epoch(std::time::Duration::ZERO, kept).await?;
    lock.keep(Some(epoch)).await?;
    store.rebind(target, &Bound { database: facts.database, account }, by).await?;
    Ok((doubted, epoch))
}
