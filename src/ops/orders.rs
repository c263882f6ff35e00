//! A person's orders to a target: the same for the command line and the console. They stand in Postgres, with their line of the
//! audit trail; every process follows within a second.

use serde::Serialize;

use crate::deliver::breaker;
use crate::deliver::breaker::rule::{Order, Patience};
use crate::ops::status::state::{self, Obstacle, Shown};
use crate::ops::status::state_of;
use crate::ops::words::cell;
use crate::store::{Store, StoreError, TargetState};
use crate::target::Target;

/// How the target is after the order.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ordered {
    /// The target.
    pub target: Target,
    /// What was ordered.
    pub order: &'static str,
    /// What keeps it back now; `None` when it takes deliveries.
    pub state: Option<Shown>,
    /// Why, in `snake_case`.
    pub reason: Option<&'static str>,
    /// Why it is disabled, in words.
    pub detail: Option<String>,
    /// A person paused it.
    pub paused: bool,
    /// It is disabled.
    pub disabled: bool,
    /// `closed`, `open`, `half_open` or `disabled`.
    pub breaker: &'static str,
}

/// Carries an order out.
///
/// # Errors
/// [`StoreError`].
pub async fn order(
    store: &Store,
    target: Target,
    order: Order,
    by: &str,
    patience: Patience,
    enabled: &[Target],
) -> Result<Ordered, StoreError> {
    let name = order.name();
    breaker::order(store, target, order, by, patience).await?;
    let states = store.target_states().await?;
    Ok(ordered(name, enabled.contains(&target), state_of(&states, target)?))
}

fn ordered(order: &'static str, is_enabled: bool, state: &TargetState) -> Ordered {
    let obstacle = Obstacle::of(is_enabled, state);
    Ordered {
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

impl Ordered {
    /// How the target is now, in a sentence.
    #[must_use]
    pub fn words(&self) -> String {
        let target = self.target;
        match (self.state, self.reason) {
            (Some(state), Some(reason)) => {
                let detail =
                    self.detail.as_deref().map(|detail| format!(": {}", cell(Some(detail))));
                format!(
                    "Target `{target}` is {} ({reason}){}",
                    state.name(),
                    detail.unwrap_or_default()
                )
            }
            (Some(_) | None, _) => format!("Target `{target}` takes deliveries"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::status::state::tests::open_target;

    #[test]
    fn what_still_keeps_a_target_back_is_told_after_an_order() {
        let open = ordered("resume", true, &open_target());
        assert_eq!((open.state, open.reason, open.breaker), (None, None, "closed"));
        assert_eq!(open.words(), "Target `tagserver` takes deliveries");

        let state = TargetState {
            paused: true,
            disabled: true,
            disabled_reason: Some("moving".to_owned()),
            ..open_target()
        };
        let ordered = ordered("disable", true, &state);
        assert_eq!(ordered.words(), "Target `tagserver` is disabled (disabled_by_person): moving");
        let json = serde_json::to_value(&ordered).unwrap();
        assert_eq!(json["state"], "disabled");
        assert_eq!((&json["paused"], &json["disabled"]), (&true.into(), &true.into()));
    }
}
