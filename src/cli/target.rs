//! `ems-sync target …`: a person's orders. They stand in Postgres; every process follows within a second.

use std::collections::BTreeMap;

use super::args::{TargetArgs, TargetOrder};
use super::{Exit, adapters, guard, output, rebind};
use crate::config::{self, Config};
use crate::deliver::breaker::rule::Order;
use crate::ops::orders;

pub(super) async fn order(config: &Config, order: TargetOrder) -> anyhow::Result<Exit> {
    let (order, args) = match order {
        TargetOrder::Pause(args) => (Order::Pause, args),
        TargetOrder::Resume(args) => (Order::Resume, args),
        TargetOrder::Enable(args) => (Order::Enable, args),
        TargetOrder::Disable(args) => (Order::Disable(args.reason.clone()), args),
        TargetOrder::Approve(args) => return guard::approve(config, args).await,
        TargetOrder::Reject(args) => return guard::reject(config, args).await,
        TargetOrder::Rebind(args) => {
            let by = by_of(&args.target);
            return rebind::rebind(config, args, &by).await;
        }
    };
    let (store, _) = adapters(config, "target")?;
    let (by, enabled) = (by_of(&args), config.targets.enabled());
    let ordered = orders::order(&store, args.target, order, &by, config.breaker, &enabled).await?;
    if args.json {
        output::json(&ordered)?;
    } else {
        output::text(&ordered.words())?;
    }
    Ok(Exit::Fine)
}

/// Who gave the order, as it stands in `sync.target` and the audit trail: the account of this host, as far as the
/// environment knows it.
pub(super) fn by(environment: &BTreeMap<String, String>, reason: Option<&str>) -> String {
    let user = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| environment.get(*name));
    let who = match user.filter(|user| !user.is_empty()) {
        Some(user) => format!("command line, {}", user.chars().take(60).collect::<String>()),
        None => "command line".to_owned(),
    };
    reason.map_or_else(|| who.clone(), |reason| format!("{who}: {reason}"))
}

/// The same without a reason, here and now.
pub(super) fn by_here() -> String {
    by(&config::environment(), None)
}

/// The same of these arguments, here and now.
pub(super) fn by_of(args: &TargetArgs) -> String {
    by(&config::environment(), args.reason.as_deref())
}
