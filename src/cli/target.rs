//! `ems-sync target …`: a person's orders. They stand in Postgres; every process follows within a second.

use std::collections::BTreeMap;

use serde::Serialize;

use super::args::{TargetArgs, TargetOrder};
use super::table::cell;
use super::{Exit, adapters, guard, output, rebind};
use crate::config::{self, Config};
use crate::deliver::breaker::{self, rule::Order};
use crate::ops::status::state::{self, Obstacle, Shown};
use crate::ops::status::state_of;
use crate::store::TargetState;
use crate::target::Target;

/// How the target is after the order.
#[derive(Debug, PartialEq, Serialize)]
struct Document {
    target: Target,
    /// What was ordered.
    order: &'static str,
    /// What keeps it back now; `None` when it takes deliveries.
    state: Option<Shown>,
    reason: Option<&'static str>,
    /// Why it is disabled, in words.
    detail: Option<String>,
    paused: bool,
    disabled: bool,
    breaker: &'static str,
}

pub(super) async fn order(config: &Config, order: TargetOrder) -> anyhow::Result<Exit> {
    let (order, args) = match order {
        TargetOrder::Pause(args) => (Order::Pause, args),
        TargetOrder::Resume(args) => (Order::Resume, args),
        TargetOrder::Enable(args) => (Order::Enable, args),
        TargetOrder::Disable(args) => (Order::Disable(args.reason.clone()), args),
        TargetOrder::Approve(args) => return guard::approve(config, args).await,
        TargetOrder::Reject(args) => return guard::reject(config, args).await,
        TargetOrder::Rebind(args) => {
            let by = by_of(&args);
            return rebind::rebind(config, args, &by).await;
        }
    };
    let name = order.name();
    let (store, _) = adapters(config, "target")?;
    let by = by_of(&args);
    breaker::order(&store, args.target, order, &by, config.breaker).await?;
    let states = store.target_states().await?;
    let is_enabled = config.targets.enabled().contains(&args.target);
    let document = document(name, is_enabled, state_of(&states, args.target)?);
    if args.json {
        output::json(&document)?;
    } else {
        output::text(&shown(&document))?;
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

/// The same of these arguments, here and now.
pub(super) fn by_of(args: &TargetArgs) -> String {
    by(&config::environment(), args.reason.as_deref())
}

fn document(order: &'static str, is_enabled: bool, state: &TargetState) -> Document {
    let obstacle = Obstacle::of(is_enabled, state);
    Document {
        target: state.target,
        order,
        state: obstacle.map(Obstacle::state),
        reason: obstacle.map(Obstacle::reason),
        detail: state.disabled_reason.clone(),
        paused: state.paused,
        disabled: state.disabled,
        breaker: state::breaker(is_enabled, state),
    }
}

fn shown(document: &Document) -> String {
    let target = document.target;
    match (document.state, document.reason) {
        (Some(state), Some(reason)) => {
            let detail =
                document.detail.as_deref().map(|detail| format!(": {}", cell(Some(detail))));
            format!(
                "Target `{target}` is {} ({reason}){}",
                state.name(),
                detail.unwrap_or_default()
            )
        }
        (Some(_) | None, _) => format!("Target `{target}` takes deliveries"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::status::state::tests::open_target;

    #[test]
    fn what_still_keeps_a_target_back_is_told_after_an_order() {
        let open = document("resume", true, &open_target());
        assert_eq!((open.state, open.reason, open.breaker), (None, None, "closed"));
        assert_eq!(shown(&open), "Target `tagserver` takes deliveries");

        let state = TargetState {
            paused: true,
            disabled: true,
            disabled_reason: Some("moving".to_owned()),
            ..open_target()
        };
        let document = document("disable", true, &state);
        assert_eq!(shown(&document), "Target `tagserver` is disabled (disabled_by_person): moving");
        let json = serde_json::to_value(&document).unwrap();
        assert_eq!(json["state"], "disabled");
        assert_eq!((&json["paused"], &json["disabled"]), (&true.into(), &true.into()));
    }
}
