//! The states that people see (`docs/design.md` section 8, **fixed**), and what stands in the way of a whole target.
//!
//! Pure. `status` and `explain` share it, so that they can't contradict each other.

use serde::Serialize;

use crate::deliver::breaker::rule::GIVEN_UP;
use crate::remote::FailureClass;
use crate::store::{BreakerState, TargetState};

/// A state of a target, or of an entity at a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Shown {
    /// Nothing is owed.
    Synced,
    /// Owed, and pushed soon.
    Pending,
    /// Another entity must come first.
    Waiting,
    /// A consumer works on it.
    Leased,
    /// A failed attempt is tried again within seconds.
    Retrying,
    /// Put aside: by the target for hours, or by a person's pause.
    Parked,
    /// The target asked for a pause.
    Throttled,
    /// The target can't be reached.
    BreakerOpen,
    /// A person must decide.
    Held,
    /// The target refuses the content.
    Rejected,
    /// The target has nothing to do with it.
    Skipped,
    /// All tries of a cycle failed.
    DeadLetter,
    /// Nothing is sent to the target until a person enables it.
    Disabled,
}

impl Shown {
    /// Every state.
    pub const ALL: [Self; 13] = [
        Self::Synced,
        Self::Pending,
        Self::Waiting,
        Self::Leased,
        Self::Retrying,
        Self::Parked,
        Self::Throttled,
        Self::BreakerOpen,
        Self::Held,
        Self::Rejected,
        Self::Skipped,
        Self::DeadLetter,
        Self::Disabled,
    ];

    /// The name in tables; the same as in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Synced => "synced",
            Self::Pending => "pending",
            Self::Waiting => "waiting",
            Self::Leased => "leased",
            Self::Retrying => "retrying",
            Self::Parked => "parked",
            Self::Throttled => "throttled",
            Self::BreakerOpen => "breaker_open",
            Self::Held => "held",
            Self::Rejected => "rejected",
            Self::Skipped => "skipped",
            Self::DeadLetter => "dead_letter",
            Self::Disabled => "disabled",
        }
    }
}

/// What keeps a whole target from being pushed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Obstacle {
    /// The configuration does not enable it.
    NotEnabled,
    /// The target refused us, and was disabled.
    Refused(FailureClass),
    /// It did nothing but fail for too long, and was disabled.
    GivenUp,
    /// A person disabled it.
    DisabledByPerson,
    /// It is not where it was bound.
    NotBoundHere,
    /// A person paused it.
    Paused,
    /// The breaker is open, or half open.
    BreakerOpen,
    /// The target asked for a pause that is not over.
    Throttled,
}

impl Obstacle {
    /// Every obstacle.
    pub const ALL: [Self; 9] = [
        Self::NotEnabled,
        Self::Refused(FailureClass::Authentication),
        Self::Refused(FailureClass::Configuration),
        Self::GivenUp,
        Self::DisabledByPerson,
        Self::NotBoundHere,
        Self::Paused,
        Self::BreakerOpen,
        Self::Throttled,
    ];

    /// The first of the obstacles: the one that must go before the others matter.
    #[must_use]
    pub fn of(is_enabled: bool, state: &TargetState) -> Option<Self> {
        if !is_enabled {
            return Some(Self::NotEnabled);
        }
        if state.disabled {
            let reason = state.disabled_reason.as_deref();
            if reason.is_some_and(|reason| is_named(reason, GIVEN_UP)) {
                return Some(Self::GivenUp);
            }
            let class = reason.and_then(refusal);
            return Some(class.map_or(Self::DisabledByPerson, Self::Refused));
        }
        if !state.held_parts.is_empty() {
            return Some(Self::NotBoundHere);
        }
        if state.paused {
            return Some(Self::Paused);
        }
        match state.breaker {
            BreakerState::Open | BreakerState::HalfOpen => Some(Self::BreakerOpen),
            BreakerState::Closed => state.throttled_until.map(|_| Self::Throttled),
        }
    }

    /// The state that is shown.
    #[must_use]
    pub const fn state(self) -> Shown {
        match self {
            Self::NotEnabled | Self::Refused(_) | Self::GivenUp | Self::DisabledByPerson => {
                Shown::Disabled
            }
            Self::NotBoundHere => Shown::Held,
            Self::Paused => Shown::Parked,
            Self::BreakerOpen => Shown::BreakerOpen,
            Self::Throttled => Shown::Throttled,
        }
    }

    /// The reason that is shown.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NotEnabled => "not_enabled",
            Self::Refused(class) => class.name(),
            Self::GivenUp => GIVEN_UP,
            Self::DisabledByPerson => "disabled_by_person",
            Self::NotBoundHere => "binding",
            Self::Paused => "paused_by_person",
            Self::BreakerOpen => "target_unreachable",
            Self::Throttled => "target_asked_for_pause",
        }
    }
}

/// The class of the refusal that disabled a target. Its text is that of a failure: the class, a colon, what happened.
fn refusal(disabled_reason: &str) -> Option<FailureClass> {
    [FailureClass::Authentication, FailureClass::Configuration]
        .into_iter()
        .find(|class| is_named(disabled_reason, class.name()))
}

fn is_named(disabled_reason: &str, name: &str) -> bool {
    disabled_reason.split_once(':').is_some_and(|(first, _)| first == name)
}

/// The breaker, as it is shown.
#[must_use]
pub const fn breaker(is_enabled: bool, state: &TargetState) -> &'static str {
    if is_enabled && !state.disabled { state.breaker.name() } else { "disabled" }
}

#[cfg(test)]
pub(crate) mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::deliver::binding::Part;
    use crate::remote::Failure;
    use crate::target::Target;

    /// A target that nothing is wrong with.
    pub(crate) fn open_target() -> TargetState {
        TargetState {
            target: Target::TagServer,
            paused: false,
            disabled: false,
            disabled_reason: None,
            breaker: BreakerState::Closed,
            breaker_is_due: false,
            breaker_failures: 0,
            throttled_until: None,
            breaker_until: None,
            closed_on: None,
            on_trial: false,
            open_for: None,
            has_blemish: false,
            last_error: None,
            version: 1,
            held_parts: Vec::new(),
            database: String::new(),
        }
    }

    /// Every combination of what can be wrong with a target.
    pub(crate) fn every_target_state() -> Vec<TargetState> {
        let mut states = Vec::new();
        for bits in 0..16_u8 {
            for breaker in [BreakerState::Closed, BreakerState::Open, BreakerState::HalfOpen] {
                for disabled_reason in
                    [None, Some("stop"), Some("authentication: 401"), Some("given_up: 503")]
                {
                    states.push(TargetState {
                        held_parts: if bits & 8 == 0 { Vec::new() } else { vec![Part::Epoch] },
                        paused: bits & 1 != 0,
                        disabled: bits & 2 != 0,
                        throttled_until: (bits & 4 != 0).then_some(Timestamp::UNIX_EPOCH),
                        breaker,
                        disabled_reason: disabled_reason.map(str::to_owned),
                        ..open_target()
                    });
                }
            }
        }
        states
    }

    #[test]
    fn the_names_are_those_of_the_documents() {
        for state in Shown::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.name());
        }
    }

    #[test]
    fn a_target_has_an_obstacle_exactly_when_it_is_not_open_for_business() {
        for state in every_target_state() {
            assert_eq!(
                Obstacle::of(true, &state).is_none(),
                state.is_open_for_business(),
                "{state:?}"
            );
            assert_eq!(Obstacle::of(false, &state), Some(Obstacle::NotEnabled));
            let listed = |obstacle| Obstacle::ALL.contains(&obstacle);
            assert!(Obstacle::of(true, &state).is_none_or(listed), "{state:?}");
        }
    }

    #[test]
    fn what_must_go_first_is_shown_first() {
        for state in every_target_state() {
            let shown = Obstacle::of(true, &state).map(Obstacle::state);
            let expected = if state.disabled {
                Some(Shown::Disabled)
            } else if !state.held_parts.is_empty() {
                Some(Shown::Held)
            } else if state.paused {
                Some(Shown::Parked)
            } else if state.breaker != BreakerState::Closed {
                Some(Shown::BreakerOpen)
            } else if state.throttled_until.is_some() {
                Some(Shown::Throttled)
            } else {
                None
            };
            assert_eq!(shown, expected, "{state:?}");
        }
    }

    #[test]
    fn a_refusal_is_told_from_a_person_s_order() {
        let disabled = |reason: Option<String>| {
            let state = TargetState { disabled: true, disabled_reason: reason, ..open_target() };
            Obstacle::of(true, &state).unwrap().reason()
        };
        let refused = |class| Failure::new(class, "HTTP 401").to_string();
        assert_eq!(disabled(Some(refused(FailureClass::Authentication))), "authentication");
        assert_eq!(disabled(Some(refused(FailureClass::Configuration))), "configuration");
        let given_up = "given_up: nothing but failures since yesterday";
        assert_eq!(disabled(Some(given_up.to_owned())), "given_up");
        for by_person in [None, Some("maintenance: until noon"), Some("authentication")] {
            assert_eq!(disabled(by_person.map(str::to_owned)), "disabled_by_person");
        }
    }

    #[test]
    fn the_breaker_of_a_disabled_target_is_shown_as_disabled() {
        for state in every_target_state() {
            let expected = if state.disabled { "disabled" } else { state.breaker.name() };
            assert_eq!(breaker(true, &state), expected);
            assert_eq!(breaker(false, &state), "disabled");
        }
    }
}
