//! `ems-sync target …`: a person's orders. They stand in Postgres; every process follows within a second.

use serde::Serialize;

use super::args::{TargetArgs, TargetOrder};
use super::table::cell;
use super::{Exit, adapters, guard, output};
use crate::config::Config;
use crate::ops::status::state::{Obstacle, Shown, breaker};
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
    let (name, args) = match order {
        TargetOrder::Pause(args) => ("pause", args),
        TargetOrder::Resume(args) => ("resume", args),
        TargetOrder::Enable(args) => ("enable", args),
        TargetOrder::Disable(args) => ("disable", args),
        TargetOrder::Approve(args) => return guard::approve(config, args).await,
        TargetOrder::Reject(args) => return guard::reject(config, args).await,
    };
    let (store, _) = adapters(config, "target")?;
    store.set_target(args.target, name, args.reason.as_deref(), &by(&args)).await?;
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

/// Who gave the order, as it stands in `sync.target`.
const BY: &str = "command line";

/// Who gave the order, and why.
pub(super) fn by(args: &TargetArgs) -> String {
    args.reason.as_ref().map_or_else(|| BY.to_owned(), |reason| format!("{BY}: {reason}"))
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
        breaker: breaker(is_enabled, state),
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
